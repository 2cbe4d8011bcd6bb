/**
 * Idempotent writes: the second write with a key gets the answer of the first, and writes nothing.
 *
 * The answer is kept as a record in the store itself, written by the batch that it is about: so a crash leaves both or
 * neither. A second line says when it may go, in an order that the sweeper reads from its beginning:
 *
 *     IDEMPOTENCY_PREFIX key                    -> record
 *     EXPIRY_PREFIX time (12 hex digits) ! key  -> (empty)
 *
 *     record := version (1 byte, 1) | sequence (fixed64) | expires at (fixed64) | digest (fixed64)
 *
 * `sequence` is that of the batch's last user operation, the times are milliseconds since 1970, and the digest tells
 * whether a second batch is the same one. These two lines are the last ones of their batch.
 */
import * as E from 'fp-ts/lib/Either.js';
import { InvalidArgumentError, OutOfRangeError } from '../errors.ts';
import type { CheckOperation, SetOperation } from '../model.ts';
import { bloomHash } from '../storage/codec/bloom.ts';
import { crc32c } from '../storage/codec/crc32c.ts';
import { readFixed64, writeFixed32, writeFixed64 } from '../storage/codec/fixed.ts';
import { Malformed } from '../storage/codec/malformed.ts';
import { SealedValue } from '../storage/codec/sealed-value.ts';
import { type BatchOperation, byteLength, encodedOperationBytes } from '../storage/codec/write-batch.ts';
import { EXPIRY_PREFIX, IDEMPOTENCY_PREFIX } from '../storage/reserved.ts';
import { toBytes } from './key-buffer.ts';

/** Longest idempotency key, in bytes of UTF-8. */
export const IDEMPOTENCY_KEY_BYTES_MAX = 512;
export const WINDOW_MS_DEFAULT: number = 24 * 60 * 60 * 1000;
export const WINDOW_MS_MAX: number = 30 * WINDOW_MS_DEFAULT;
/** What an idempotent write adds at the end of its batch. */
export const BOOKKEEPING_LINES = 2;

const VERSION = 1;
const RECORD_BYTES = 25;
const SEQUENCE_OFFSET = 1;
const EXPIRY_OFFSET = 9;
const DIGEST_OFFSET = 17;
/** Digits of a time in an expiry line. */
const TIME_DIGITS = 12;
/** Good until the year 10889. */
export const TIME_MAX: number = 16 ** TIME_DIGITS - 1;

/** The latest time from which every window ends before the last one. */
const DATE_MAX: number = TIME_MAX - WINDOW_MS_MAX - 1;

/** What a caller may ask for; checked. */
export interface IdempotencySettings {
  readonly key: string;
  readonly windowMs: number;
}

/** Refuses, at the call, settings that are none; `undefined` without a key. */
export function checkIdempotency(key: unknown, windowMs: unknown): IdempotencySettings | undefined {
  const window = windowMs ?? WINDOW_MS_DEFAULT;
  if (typeof window !== 'number') throw new InvalidArgumentError('windowMs', 'a number of milliseconds', window);
  if (!Number.isSafeInteger(window) || window < 1 || window > WINDOW_MS_MAX) {
    throw new OutOfRangeError('windowMs', `a whole number from 1 to ${WINDOW_MS_MAX} (30 days)`, window);
  }
  if (key === undefined && windowMs !== undefined) {
    throw new InvalidArgumentError('idempotencyKey', 'given where there is windowMs', key);
  }
  if (key === undefined) return undefined;
  if (typeof key !== 'string') throw new InvalidArgumentError('idempotencyKey', 'a string', key);
  const bytes = byteLength(key);
  if (bytes < 1 || bytes > IDEMPOTENCY_KEY_BYTES_MAX) {
    throw new OutOfRangeError('idempotencyKey', `1 to ${IDEMPOTENCY_KEY_BYTES_MAX} bytes of UTF-8 long`, bytes);
  }
  return { key, windowMs: window };
}

/** The answer of an earlier write. */
export interface IdempotencyRecord {
  readonly sequence: number;
  readonly expiresAtMs: number;
  readonly digest: number;
}

/** The two lines that one write adds to its batch. Their length is known from the beginning, their content at its turn. */
export class IdempotencyLines {
  /** Of the record. */
  readonly key: string;
  readonly windowMs: number;
  readonly operations: readonly [record: SetOperation, expiry: SetOperation];
  /** Encoded bytes of the two. */
  readonly bytes: number;
  readonly #record = new Uint8Array(RECORD_BYTES);
  readonly #expiryKey: Uint8Array;

  constructor({ key, windowMs }: IdempotencySettings) {
    this.key = IDEMPOTENCY_PREFIX + key;
    this.windowMs = windowMs;
    this.#expiryKey = expiryKeyOf(0, key);
    this.operations = [
      { type: 'set', key: this.key, value: this.#record },
      { type: 'set', key: this.#expiryKey, value: new Uint8Array(0) },
    ];
    this.bytes =
      encodedOperationBytes(byteLength(this.key), RECORD_BYTES) + encodedOperationBytes(this.#expiryKey.length, 0);
  }

  fill(sequence: number, nowMs: number, digest: number): void {
    const expiresAtMs = nowMs + this.windowMs;
    this.#record[0] = VERSION;
    writeFixed64(this.#record, SEQUENCE_OFFSET, sequence);
    writeFixed64(this.#record, EXPIRY_OFFSET, expiresAtMs);
    writeFixed64(this.#record, DIGEST_OFFSET, digest);
    const digits = digitsOf(expiresAtMs);
    for (let at = 0; at < TIME_DIGITS; at += 1) this.#expiryKey[EXPIRY_PREFIX.length + at] = digits.charCodeAt(at);
  }
}

/** Reads a record; the reason, if it is none. */
export function decodeRecord(bytes: Uint8Array): E.Either<string, IdempotencyRecord> {
  if (bytes.length !== RECORD_BYTES || bytes[0] !== VERSION) {
    return E.left(`${bytes.length} bytes of version ${bytes[0] ?? 'none'} are no record of an idempotent write`);
  }
  try {
    const sequence = readFixed64(bytes, SEQUENCE_OFFSET);
    const expiresAtMs = readFixed64(bytes, EXPIRY_OFFSET);
    return E.right({ sequence, expiresAtMs, digest: readFixed64(bytes, DIGEST_OFFSET) });
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown; // a bug of ours, not bad bytes
    return E.left(thrown.message);
  }
}

const digitsOf = (timeMs: number): string => timeMs.toString(16).padStart(TIME_DIGITS, '0');

const expiryKeyOf = (timeMs: number, key: string): Uint8Array => toBytes(`${EXPIRY_PREFIX}${digitsOf(timeMs)}!${key}`);

/** The first key behind the expiry lines of all records that have expired at `nowMs`. */
export const expiredEnd = (nowMs: number): Uint8Array => toBytes(EXPIRY_PREFIX + digitsOf(nowMs + 1));

/** The key of the record that an expiry line is about. */
export function recordKeyOf(expiryKey: Uint8Array): Uint8Array {
  const prefix = toBytes(IDEMPOTENCY_PREFIX);
  const key = expiryKey.subarray(EXPIRY_PREFIX.length + TIME_DIGITS + 1);
  const recordKey = new Uint8Array(prefix.length + key.length);
  recordKey.set(prefix);
  recordKey.set(key, prefix.length);
  return recordKey;
}

/** A clock's date as a time that a record can hold, whatever the clock says. */
export const timeOf = (date: Date): number => Math.min(Math.max(Math.floor(date.getTime()) || 0, 0), DATE_MAX);

/**
 * A number in [0, 2^53 - 1] that is the same for the same lines, and most likely another one for others: a CRC-32C, which
 * finds every change of up to four neighbouring bytes, and 21 bits of another kind of hash. Against mistakes, not malice.
 *
 * Of encrypted values the length counts, and not the content: each time that one is encrypted its bytes are others, and a
 * digest of what they were before would tell of it on the disk.
 */
export function digestOf(operations: readonly BatchOperation[], checks: readonly CheckOperation[]): number {
  const digest = new Digest();
  for (const operation of operations) {
    if (operation.type === 'set') addSet(digest, operation);
    else digest.add(0, operation.key, undefined);
  }
  const sequence = new Uint8Array(8);
  for (const { key, sequence: expected } of checks) {
    if (expected !== 'absent') writeFixed64(sequence, 0, expected);
    digest.add(expected === 'absent' ? 3 : 2, key, expected === 'absent' ? undefined : sequence);
  }
  return digest.value;
}

function addSet(digest: Digest, { key, value }: SetOperation): void {
  if (!(value instanceof SealedValue)) return digest.add(1, key, value);
  const length = new Uint8Array(4);
  writeFixed32(length, 0, value.length);
  digest.add(4, key, length);
}

const MULTIPLIER = 0x9e37_79b1;
const HASH_BITS = 21;

class Digest {
  #crc = 0;
  #hash = 0;
  readonly #header = new Uint8Array(9);

  get value(): number {
    return (this.#hash >>> (32 - HASH_BITS)) * 2 ** 32 + this.#crc;
  }

  /** Lengths first: else two lines could be taken for two others with the same bytes. */
  add(kind: number, key: Uint8Array | string, value: Uint8Array | string | undefined): void {
    const keyBytes = toBytes(key);
    const valueBytes = value === undefined ? undefined : toBytes(value);
    this.#header[0] = kind;
    writeFixed32(this.#header, 1, keyBytes.length);
    writeFixed32(this.#header, 5, valueBytes?.length ?? 0);
    this.#mix(this.#header);
    this.#mix(keyBytes);
    if (valueBytes !== undefined) this.#mix(valueBytes);
  }

  #mix(bytes: Uint8Array): void {
    this.#crc = crc32c(bytes, 0, bytes.length, this.#crc);
    const mixed = Math.imul(this.#hash ^ bloomHash(bytes, 0, bytes.length), MULTIPLIER);
    this.#hash = mixed ^ (mixed >>> 15);
  }
}
