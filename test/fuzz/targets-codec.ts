/** The codecs: numbers, batches, compression, keys, JSON. */
import assert from 'node:assert/strict';
import * as E from 'fp-ts/lib/Either.js';
import { codecs } from '../../src/storage/codec/codecs.ts';
import { readFixed32, readFixed64, writeFixed32, writeFixed64 } from '../../src/storage/codec/fixed.ts';
import { decodeInternalKey, encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import type { KeyCodec } from '../../src/storage/codec/key-codec.ts';
import { Malformed } from '../../src/storage/codec/malformed.ts';
import {
  snappyCompress,
  snappyDecompress,
  snappyMaxCompressedLength,
  snappyUncompressedLength,
} from '../../src/storage/codec/snappy.ts';
import { snappyBlock } from '../../src/storage/codec/snappy-block.ts';
import { joinSealed, splitSealed } from '../../src/storage/codec/sealed-value.ts';
import { readVarint32, readVarint64, varintLength, writeVarint } from '../../src/storage/codec/varint.ts';
import {
  BatchBuffer,
  type BatchOperation,
  BatchReader,
  checkBatch,
  encodedOperationBytes,
} from '../../src/storage/codec/write-batch.ts';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { type FuzzTarget, never, oneOf } from './target.ts';

const encoder = new TextEncoder();

function decodeNumbers(bytes: Uint8Array): void {
  for (const read of [readVarint32, readVarint64]) {
    const cursor = { bytes, offset: 0, end: bytes.length };
    const value = read(cursor);
    const written = new Uint8Array(varintLength(value));
    assert.equal(writeVarint(written, 0, value), written.length);
    assert.ok(written.length <= cursor.offset, 'no encoding is shorter than ours');
    assert.equal(read({ bytes: written, offset: 0, end: written.length }), value);
  }
  const fixed = new Uint8Array(8);
  writeFixed32(fixed, 0, readFixed32(bytes, 0));
  assert.deepEqual(fixed.subarray(0, 4), bytes.subarray(0, 4));
  writeFixed64(fixed, 0, readFixed64(bytes, 0));
  assert.deepEqual(fixed, bytes.subarray(0, 8));
}

function operationsOf(bytes: Uint8Array): BatchOperation[] {
  const reader = new BatchReader();
  const operations: BatchOperation[] = [];
  for (reader.reset(bytes, 0, bytes.length); reader.next();) {
    const key = bytes.slice(reader.keyStart, reader.keyEnd);
    const value = bytes.slice(reader.valueStart, reader.valueEnd);
    operations.push(reader.kind === KIND_SET ? { type: 'set', key, value } : { type: 'delete', key });
  }
  return operations;
}

function decodeBatch(bytes: Uint8Array): void {
  const checked = checkBatch(bytes, 0, bytes.length);
  if (E.isLeft(checked)) {
    assert.ok(checked.left.offset >= 0 && checked.left.offset <= bytes.length);
    return;
  }
  const operations = operationsOf(bytes);
  assert.equal(operations.length, checked.right.count);
  const buffer = new BatchBuffer();
  buffer.append(checked.right.sequence, operations);
  const encoded = buffer.bytes.slice(0, buffer.length);
  const lengths = operations.map((each) =>
    encodedOperationBytes(each.key.length, each.type === 'set' ? each.value.length : -1),
  );
  assert.equal(encoded.length, 12 + lengths.reduce((sum, length) => sum + length, 0));
  assert.deepEqual(checkBatch(encoded, 0, encoded.length), checked);
  assert.deepEqual(operationsOf(encoded), operations);
}

function seedBatches(): Uint8Array[] {
  const lists: BatchOperation[][] = [
    [],
    [{ type: 'set', key: 'key', value: 'value' }],
    [{ type: 'delete', key: 'key' }],
    [
      { type: 'set', key: 'k'.repeat(200), value: 'v'.repeat(130) },
      { type: 'delete', key: '' },
      { type: 'set', key: 'ü', value: '' },
    ],
  ];
  return lists.map((operations) => {
    const buffer = new BatchBuffer();
    buffer.append(7, operations);
    return buffer.bytes.slice(0, buffer.length);
  });
}

function compressed(bytes: Uint8Array): Uint8Array {
  const into = new Uint8Array(snappyMaxCompressedLength(bytes.length));
  return into.subarray(0, snappyCompress(bytes, 0, bytes.length, into, 0));
}

function decompressed(bytes: Uint8Array): Uint8Array {
  const into = new Uint8Array(snappyUncompressedLength(bytes, 0, bytes.length));
  try {
    snappyDecompress(bytes, 0, bytes.length, into);
  } catch (error) {
    assert.throws(() => snappyBlock(bytes, 0, bytes.length), {
      message: String(error instanceof Error ? error.message : error),
    });
    throw error;
  }
  assert.deepEqual(snappyBlock(bytes, 0, bytes.length), into);
  return into;
}

function decodeInternal(bytes: Uint8Array): void {
  const decoded = decodeInternalKey(bytes);
  if (E.isLeft(decoded)) return;
  const { userKey, sequence, kind } = decoded.right;
  assert.deepEqual(encodeInternalKey(userKey, sequence, kind), bytes);
}

/** Each key has one form: what decodes is what would have been encoded. */
function keyTarget<Key>(name: string, codec: KeyCodec<Key>, ...keys: readonly NoInfer<Key>[]): FuzzTarget {
  const encoded = (key: Key): Uint8Array => {
    const data = codec.encode(key);
    return typeof data === 'string' ? encoder.encode(data) : data;
  };
  return {
    name: `key codec: ${name}`,
    seeds: () => keys.map(encoded),
    bytesMax: 300,
    decode: (bytes) => assert.deepEqual(encoded(codec.decode(bytes)), bytes),
    isRefusal: (error) => error instanceof Malformed || isNoText(error) || isOfElement(error),
  };
}

/** What a TextDecoder says to what is no UTF-8. */
const isNoText = (error: unknown): boolean =>
  error instanceof TypeError && 'code' in error && error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA';

/** A tuple says of which element an error is. */
const isOfElement = (error: unknown): boolean =>
  error instanceof TypeError &&
  /^element \d+: /.test(error.message) &&
  (error.cause instanceof Malformed || isNoText(error.cause) || isOfElement(error.cause));

const { utf8, bytes, number, bigint, date, boolean, tuple, json } = codecs;

export const codecTargets: readonly FuzzTarget[] = [
  {
    name: 'numbers',
    seeds: () => [
      new Uint8Array(8),
      Uint8Array.of(0x80, 1, 2, 3, 4, 5, 6, 0),
      Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0x1f, 0),
    ],
    bytesMax: 24,
    decode: decodeNumbers,
    isRefusal: oneOf(Malformed),
  },
  { name: 'write batch', seeds: seedBatches, decode: decodeBatch, isRefusal: never },
  {
    name: 'snappy',
    seeds: () => [
      compressed(encoder.encode('a word, a word, a word and another one. '.repeat(20))),
      compressed(new Uint8Array(300)),
    ],
    decode: (given) => {
      const raw = decompressed(given);
      assert.deepEqual(decompressed(compressed(raw)), raw);
    },
    isRefusal: oneOf(Malformed),
  },
  {
    name: 'internal key',
    seeds: () => [
      encodeInternalKey(encoder.encode('key'), 2 ** 40, KIND_SET),
      encodeInternalKey(new Uint8Array(0), 1, 0),
    ],
    bytesMax: 40,
    decode: decodeInternal,
    isRefusal: never,
  },
  {
    name: 'sealed value',
    seeds: () => [
      Uint8Array.from({ length: 60 }, (_, index) => (index === 0 ? 1 : index)),
      Uint8Array.of(1, ...new Array<number>(44).fill(7)),
    ],
    bytesMax: 120,
    decode: (given) => {
      const parts = splitSealed(given);
      if (E.isRight(parts)) assert.deepEqual(new Uint8Array(joinSealed(parts.right)), given);
    },
    isRefusal: never,
  },
  keyTarget('utf8', utf8, '', 'text', 'ä€😀'),
  keyTarget('number', number, 0, -1.5, Infinity, 2 ** 53),
  keyTarget('bigint', bigint, 0n, -1n, 255n, -(2n ** 200n)),
  keyTarget('date', date, new Date(0), new Date(8.64e15)),
  keyTarget('boolean', boolean, false, true),
  keyTarget('tuple', tuple(utf8, number, bytes), ['a\0b', 1, Uint8Array.of(0, 255)], ['', -1, new Uint8Array(0)]),
  keyTarget('tuple in a tuple', tuple(tuple(utf8, bigint), boolean, utf8), [['a\0', 5n], true, 'b']),
  {
    name: 'JSON value',
    seeds: () => ['null', '{"a":[1,-2.5e9,"\\u00e9"],"__proto__":{"x":true}}'].map((text) => encoder.encode(text)),
    words: ['{', '}', '[', ']', ',', ':', '"__proto__"', '\\u', '1e999', 'null', '"'],
    decode: (given) => {
      const codec = json<unknown>();
      const value = codec.decode(given);
      // What JSON says once more is the same text: nothing was lost the first time.
      const text = codec.encode(value);
      assert.equal(codec.encode(codec.decode(encoder.encode(text as string))), text);
      assert.equal(Object.getPrototypeOf({}), Object.prototype);
    },
    isRefusal: (error) => error instanceof SyntaxError || isNoText(error),
  },
];
