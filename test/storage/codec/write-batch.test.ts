import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import {
  BATCH_HEADER_BYTES,
  BatchBuffer,
  type BatchOperation,
  BatchReader,
  byteLength,
  checkBatch,
  encodedOperationBytes,
} from '../../../src/storage/codec/write-batch.ts';
import { brokenFrom } from '../../support/broken-bytes.ts';
import { KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../../../src/storage/read/internal-iterator.ts';

const data = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 70, size: 'max' }),
  fc.uint8Array({ minLength: 40, maxLength: 140, size: 'max' }),
  fc.constantFrom('', 'a'.repeat(32), 'a'.repeat(33), 'a'.repeat(127), 'a'.repeat(128), 'é'.repeat(32), '\ud800'),
);
const operation: fc.Arbitrary<BatchOperation> = fc.oneof(
  fc.record({ type: fc.constant('set' as const), key: data, value: data }),
  fc.record({ type: fc.constant('delete' as const), key: data }),
);
const operations = fc.array(operation, { maxLength: 20 });
const sequence = fc.oneof(fc.nat({ max: 100 }), fc.integer({ min: 0, max: SEQUENCE_MAX - 100 }));

interface Decoded {
  readonly sequence: number;
  readonly key: string;
  readonly value: string | undefined;
}

const hex = (bytes: Uint8Array | string): string => Buffer.from(bytes as string).toString('hex');

function expectedOf(first: number, list: readonly BatchOperation[]): Decoded[] {
  return list.map((each, index) => ({
    sequence: first + index,
    key: hex(each.key),
    value: each.type === 'set' ? hex(each.value) : undefined,
  }));
}

function readAll(reader: BatchReader, bytes: Uint8Array, start: number, end: number): Decoded[] {
  reader.reset(bytes, start, end);
  const read: Decoded[] = [];
  while (reader.next()) {
    const key = hex(bytes.subarray(reader.keyStart, reader.keyEnd));
    const value = hex(bytes.subarray(reader.valueStart, reader.valueEnd));
    if (reader.kind === KIND_DELETE) expect(value).toBe('');
    read.push({ sequence: reader.sequence, key, value: reader.kind === KIND_SET ? value : undefined });
  }
  expect(reader.next()).toBe(false);
  expect(read).toHaveLength(reader.count);
  return read;
}

function encode(first: number, list: readonly BatchOperation[]): Uint8Array {
  const buffer = new BatchBuffer();
  buffer.append(first, list);
  return buffer.bytes.slice(0, buffer.length);
}

const sizeOf = (each: BatchOperation): number =>
  encodedOperationBytes(byteLength(each.key), each.type === 'set' ? byteLength(each.value) : -1);

describe('encoding', () => {
  it('reading undoes appending, batch after batch in one buffer', () => {
    const reader = new BatchReader();
    fc.assert(
      fc.property(fc.array(fc.tuple(sequence, operations), { maxLength: 5 }), (batches) => {
        const buffer = new BatchBuffer();
        const starts = batches.map(([first, list]) => buffer.append(first, list));
        batches.forEach(([first, list], index) => {
          const start = starts[index] ?? Number.NaN;
          const end = starts[index + 1] ?? buffer.length;
          expect(readAll(reader, buffer.bytes, start, end)).toEqual(expectedOf(first, list));
          expect(checkBatch(buffer.bytes, start, end)).toEqual(E.right({ sequence: first, count: list.length }));
        });
      }),
    );
  });

  it('takes exactly the bytes announced', () => {
    fc.assert(
      fc.property(operations, (list) => {
        const bytes = list.reduce((sum, each) => sum + sizeOf(each), BATCH_HEADER_BYTES);
        expect(encode(1, list)).toHaveLength(bytes);
      }),
    );
  });

  it('is LevelDB’s, byte for byte', () => {
    const list: BatchOperation[] = [
      { type: 'set', key: 'foo', value: Buffer.from('bar') },
      { type: 'delete', key: Uint8Array.of(0xff) },
      { type: 'set', key: '', value: 'é' },
    ];
    const expected = [
      ...[100, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0],
      ...[1, 3, 0x66, 0x6f, 0x6f, 3, 0x62, 0x61, 0x72],
      ...[0, 1, 0xff],
      ...[1, 0, 2, 0xc3, 0xa9],
    ];
    expect([...encode(100, list)]).toEqual(expected);
  });

  it('forgets the last batches when it is told to, and goes on where they began', () => {
    const buffer = new BatchBuffer();
    buffer.append(1, [{ type: 'set', key: 'kept', value: 'v' }]);
    const kept = buffer.bytes.slice(0, buffer.length);
    const start = buffer.append(2, [{ type: 'set', key: 'forgotten', value: 'v'.repeat(100) }]);
    buffer.truncate(start);
    expect(buffer.bytes.slice(0, buffer.length)).toEqual(kept);
    expect(buffer.append(2, [{ type: 'delete', key: 'k' }])).toBe(start);
    expect(buffer.bytes.slice(start, buffer.length)).toEqual(encode(2, [{ type: 'delete', key: 'k' }]));
  });

  it('one operation alone is a batch of one', () => {
    fc.assert(
      fc.property(sequence, data, data, (first, key, value) => {
        const buffer = new BatchBuffer();
        expect(buffer.appendSet(first, key, value)).toBe(0);
        const middle = buffer.length;
        expect(buffer.appendDelete(first, key)).toBe(middle);
        const set = buffer.bytes.slice(0, middle);
        expect(set).toEqual(encode(first, [{ type: 'set', key, value }]));
        expect(buffer.bytes.slice(middle, buffer.length)).toEqual(encode(first, [{ type: 'delete', key }]));
      }),
    );
  });

  it('grows with what it holds, however large', () => {
    const list: BatchOperation[] = [5000, 100_000, 3_000_000].map((length, index) => ({
      type: 'set',
      key: `key${index}`,
      value: index === 1 ? '€'.repeat(length) : new Uint8Array(length).fill(index),
    }));
    const bytes = encode(7, list);
    expect(bytes).toHaveLength(list.reduce((sum, each) => sum + sizeOf(each), BATCH_HEADER_BYTES));
    expect(readAll(new BatchReader(), bytes, 0, bytes.length)).toEqual(expectedOf(7, list));
  });

  it('grows for a string that turns out longer than its characters, wherever the memory ends', () => {
    const reader = new BatchReader();
    const deletion: BatchOperation = { type: 'delete', key: 'é'.repeat(32) };
    for (let length = 3900; length <= 4096; length += 1) {
      const buffer = new BatchBuffer();
      buffer.appendDelete(1, new Uint8Array(length));
      const start = buffer.append(2, [deletion]);
      expect(readAll(reader, buffer.bytes, start, buffer.length)).toEqual(expectedOf(2, [deletion]));
    }
  });

  it('reset forgets the batches, keeps the memory of one large value, and lets go of more', () => {
    const buffer = new BatchBuffer();
    buffer.appendSet(1, 'key', new Uint8Array(1 << 20));
    const small = buffer.bytes;
    buffer.reset();
    expect(buffer.length).toBe(0);
    expect(buffer.bytes).toBe(small);
    buffer.appendSet(1, 'key', new Uint8Array(3_000_000));
    buffer.reset();
    expect(buffer.bytes.length).toBeLessThan(100_000);
    buffer.appendSet(9, 'after', 'reset'.repeat(10));
    const end = buffer.length;
    expect(buffer.bytes.slice(0, end)).toEqual(encode(9, [{ type: 'set', key: 'after', value: 'reset'.repeat(10) }]));
  });

  it('a batch that fails leaves no trace', () => {
    const buffer = new BatchBuffer();
    buffer.appendSet(1, 'a', 'b');
    const before = buffer.bytes.slice(0, buffer.length);
    const failing: BatchOperation = {
      type: 'set',
      key: 'c',
      get value(): string {
        throw new Error('no value');
      },
    };
    expect(() => buffer.append(2, [{ type: 'delete', key: 'x' }, failing])).toThrow('no value');
    expect(buffer.bytes.slice(0, buffer.length)).toEqual(before);
    expect(buffer.appendDelete(2, 'd')).toBe(before.length);
    expect(buffer.bytes.slice(before.length, buffer.length)).toEqual(encode(2, [{ type: 'delete', key: 'd' }]));
  });
});

describe('checking', () => {
  const header = (count: number, first = 1): number[] => [first, 0, 0, 0, 0, 0, 0, 0, count, 0, 0, 0];
  const check = (bytes: readonly number[]): ReturnType<typeof checkBatch> =>
    checkBatch(Uint8Array.from(bytes), 0, bytes.length);

  it('finds a batch too short for its header also where others stand around it', () => {
    const bytes = new Uint8Array(100);
    for (let length = 0; length < BATCH_HEADER_BYTES; length += 1) {
      const found = checkBatch(bytes, 50, 50 + length);
      const reason = `a write batch of ${length} bytes has no room for its header`;
      expect(found).toEqual(E.left({ reason, offset: 50 }));
    }
  });

  it('passes a batch of nothing, up to the last sequence number', () => {
    expect(check(header(0))).toEqual(E.right({ sequence: 1, count: 0 }));
    const last = encode(SEQUENCE_MAX, []);
    expect(checkBatch(last, 0, last.length)).toEqual(E.right({ sequence: SEQUENCE_MAX, count: 0 }));
  });

  it.each([
    ['is empty', [], 0],
    ['is shorter than its header', header(0).slice(1), 0],
    ['has a sequence number above 2^53 - 1', [0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0], 0],
    ['ends before its count is reached', [...header(2), 0, 1, 65], 8],
    ['goes on after its count', [...header(1), 0, 1, 65, 0, 1, 66], 8],
    ['counts nothing, and goes on', [...header(0), 0, 1, 65], 8],
    ['holds an unknown kind', [...header(2), 0, 1, 65, 2, 1, 65], 15],
    ['ends behind a kind', [...header(1), 0], 13],
    ['has a key that is cut short', [...header(1), 0, 2, 65], 13],
    ['has no value', [...header(1), 1, 1, 65], 15],
    ['has a value that is cut short', [...header(1), 1, 1, 65, 3, 66, 66], 15],
    ['has a length of more than 32 bits', [...header(1), 0, 0xff, 0xff, 0xff, 0xff, 0x7f], 17],
    ['has a length that is larger than any batch', [...header(1), 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 65], 13],
  ])('reports a batch that %s', (_reason, bytes, offset) => {
    const checked = check(bytes);
    expect(E.isLeft(checked) && checked.left.offset).toBe(offset);
  });

  it('reports sequence numbers that run over 2^53 - 1, and none below', () => {
    const remove: BatchOperation = { type: 'delete', key: 'k' };
    const fits = encode(SEQUENCE_MAX - 1, [remove, remove]);
    expect(checkBatch(fits, 0, fits.length)).toEqual(E.right({ sequence: SEQUENCE_MAX - 1, count: 2 }));
    const over = encode(SEQUENCE_MAX - 1, [remove, remove, remove]);
    expect(E.isLeft(checkBatch(over, 0, over.length))).toBe(true);
  });

  it('any bytes are reported, or read within their bounds', () => {
    const reader = new BatchReader();
    fc.assert(
      fc.property(
        sequence,
        operations,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 })), { maxLength: 2 }),
        (first, list, damage) => {
          const bytes = encode(first, list);
          for (const [at, byte] of damage) bytes[at % bytes.length] = byte;
          const padded = Buffer.concat([Buffer.alloc(5, 1), bytes, Buffer.alloc(50, 1)]);
          const end = 5 + bytes.length;
          const checked = checkBatch(padded, 5, end);
          if (E.isLeft(checked)) {
            expect(checked.left.offset).toBeGreaterThanOrEqual(5);
            expect(checked.left.offset).toBeLessThanOrEqual(end);
            return;
          }
          expect(readAll(reader, padded, 5, end)).toHaveLength(checked.right.count);
          if (checked.right.count > 0) expect(reader.valueEnd).toBe(end);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('a batch that is cut anywhere is reported', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 5 }), fc.nat(), (list, cut) => {
        const bytes = encode(1, list);
        expect(E.isLeft(checkBatch(bytes, 0, cut % bytes.length))).toBe(true);
      }),
    );
  });
});

it('lets errors through that are no bad bytes', () => {
  expect(() => checkBatch(brokenFrom(new Uint8Array(20), 0), 0, 20)).toThrow('a bug');
});
