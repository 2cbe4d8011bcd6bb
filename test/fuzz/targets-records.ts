/** Records that the streams keep in the store, and texts that come back from callers. */
import assert from 'node:assert/strict';
import * as E from 'fp-ts/lib/Either.js';
import { InvalidCursorError } from '../../src/errors.ts';
import { parseHolder } from '../../src/storage/file-system/node-lock-note.ts';
import { decodeRecord, encodeRecord } from '../../src/streams/consumer-record.ts';
import { cursorPrefix, isCursor, parseCursor } from '../../src/streams/cursor.ts';
import { type DeadLetter, decodeDeadLetter, encodeDeadLetter } from '../../src/streams/dead-letters.ts';
import {
  checkIdempotency,
  decodeRecord as decodeIdempotency,
  IdempotencyLines,
  recordKeyOf,
} from '../../src/streams/idempotency.ts';
import { sealLetter } from './seals.ts';
import { type FuzzTarget, never, oneOf } from './target.ts';

const encoder = new TextEncoder();
const CURSOR = `al1.${'0123456789abcdef'.repeat(2)}.3.41` as const;
const JSON_WORDS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  '"__proto__":{}',
  'null',
  '-1',
  '1e999',
  '9007199254740993',
  '0.5',
  '"',
  '\\u0000',
];

function decodeConsumer(bytes: Uint8Array): void {
  const decoded = decodeRecord(bytes);
  if (E.isLeft(decoded)) {
    assert.equal(typeof decoded.left, 'string');
    return;
  }
  const { settled, sequence } = decoded.right;
  let last: number = sequence;
  for (let index = 0; index < settled.length; index += 2) {
    assert.ok((settled[index] as number) > last, 'settled runs ascend');
    last = (settled[index] as number) + (settled[index + 1] as number);
  }
  assert.deepEqual(decodeRecord(encodeRecord(decoded.right)), decoded);
}

function idempotencyLines(): IdempotencyLines {
  const settings = checkIdempotency('order-17', 1_000);
  assert.ok(settings !== undefined);
  const lines = new IdempotencyLines(settings);
  lines.fill(41, 1_700_000_000_000, 2 ** 52);
  return lines;
}

function decodeAnswer(bytes: Uint8Array): void {
  const decoded = decodeIdempotency(bytes);
  if (E.isLeft(decoded)) return;
  const { sequence, expiresAtMs, digest } = decoded.right;
  for (const value of [sequence, expiresAtMs, digest]) assert.ok(Number.isSafeInteger(value) && value >= 0);
  const again = idempotencyLines();
  again.fill(sequence, expiresAtMs - 1_000, digest);
  assert.deepEqual(again.operations[0].value, bytes);
}

const place = { sequence: 41, batchIndex: 0, batchSize: 2, timeMs: 1_700_000_000_000.5, cursor: CURSOR };
const ID = (41).toString(16).padStart(14, '0');
const letterOf = (change: DeadLetter['change'], code: string | undefined): DeadLetter => ({
  id: ID,
  change,
  error: { name: 'Error', message: 'no "good"', code },
  attempts: 3,
  firstAtMs: 1,
  lastAtMs: 2.5,
});
const letters = (): Uint8Array[] =>
  [
    letterOf({ type: 'set', key: encoder.encode('key'), value: encoder.encode('value'), ...place }, 'EBUSY'),
    letterOf({ type: 'delete', key: new Uint8Array(0), ...place }, undefined),
  ].map(encodeDeadLetter);

function decodeLetter(bytes: Uint8Array): void {
  const decoded = decodeDeadLetter(ID, bytes);
  if (E.isRight(decoded)) assert.deepEqual(decodeDeadLetter(ID, encodeDeadLetter(decoded.right)), decoded);
}

function decodeCursor(bytes: Uint8Array): void {
  const text = new TextDecoder().decode(bytes);
  if (!isCursor(text)) assert.throws(() => parseCursor(text), InvalidCursorError);
  const { databaseId, epoch, sequence } = parseCursor(text);
  assert.equal(`${cursorPrefix(databaseId, epoch)}${sequence}`, text, 'each place has one cursor');
}

export const recordTargets: readonly FuzzTarget[] = [
  {
    name: 'consumer record',
    seeds: () => [
      encodeRecord({
        cursor: CURSOR,
        sequence: 41,
        settled: [43, 2, 50, 1],
        isPaused: false,
        range: { gte: 'a', lt: Uint8Array.of(0xff, 0) },
      }),
      encodeRecord({ cursor: CURSOR, sequence: 0, settled: [], isPaused: true, range: {} }),
    ],
    words: JSON_WORDS,
    decode: decodeConsumer,
    isRefusal: never,
  },
  {
    name: 'idempotency record',
    seeds: () => [idempotencyLines().operations[0].value as Uint8Array],
    bytesMax: 40,
    decode: decodeAnswer,
    isRefusal: never,
  },
  {
    name: 'idempotency expiry key',
    seeds: () => [idempotencyLines().operations[1].key as Uint8Array],
    bytesMax: 80,
    decode: (bytes) => recordKeyOf(bytes),
    isRefusal: never,
  },
  { name: 'dead letter', seeds: letters, seal: sealLetter, words: JSON_WORDS, decode: decodeLetter, isRefusal: never },
  {
    name: 'cursor',
    seeds: () => [encoder.encode(CURSOR)],
    words: ['.', 'al1.', '0', '9007199254740991', '9007199254740993', '\n', '٣'],
    bytesMax: 120,
    decode: decodeCursor,
    isRefusal: oneOf(InvalidCursorError),
  },
  {
    name: 'lock note',
    seeds: () => [encoder.encode('{"pid":17,"since":"2026-01-02T03:04:05.678Z"}')],
    words: [...JSON_WORDS, '"pid"', '"since"', '275760-09-13T00:00:00.001Z'],
    decode: (bytes) => {
      const holder = parseHolder(new TextDecoder().decode(bytes));
      if (holder?.pid !== undefined) assert.ok(Number.isSafeInteger(holder.pid) && holder.pid > 0);
      if (holder?.since !== undefined) assert.ok(!Number.isNaN(holder.since.getTime()));
    },
    isRefusal: never,
  },
];
