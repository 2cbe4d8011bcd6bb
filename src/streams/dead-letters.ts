/**
 * Changes that their consumer could not handle, as they are stored: what it was, what went wrong, how often and when.
 *
 *     letter  := headerBytes:fixed32 header key value
 *     header  := JSON in UTF-8: { version, type, sequence, batchIndex, batchSize, timeMs, cursor, keyBytes,
 *                                 error: { name, message, code? }, attempts, firstAtMs, lastAtMs }
 *     value   := the rest; empty where type is "delete"
 *
 *     keys    := prefix name "!" id         a letter; the id is its sequence number in 14 hexadecimal digits
 *              | prefix name "!r" id        the wish that it be replayed; empty
 *
 * A change has one id for ever: parked again, after a replay or a seek, it is the same letter.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Change, Entry, KeyRange, SequenceNumber, WriteOperation } from '../model.ts';
import { readFixed32, writeFixed32 } from '../storage/codec/fixed.ts';
import { DEAD_LETTERS_PREFIX } from '../storage/reserved.ts';
import { isCursor, isSequence, parseJsonObject } from './consumer-record.ts';
import { keyText } from './key-text.ts';

/** What a handler failed with. */
export interface DeadLetterError {
  readonly name: string;
  /** At most 4,096 characters. */
  readonly message: string;
  /** Of errors that have one. */
  readonly code: string | undefined;
}

/** A change that its consumer could not handle. */
export interface DeadLetter {
  /** Names it within its consumer; ids are in the order of the changes. */
  readonly id: string;
  /** As it was delivered, but for a keyspace's types. */
  readonly change: Change;
  /** Of the last attempt. */
  readonly error: DeadLetterError;
  /** All that were made, replays included. */
  readonly attempts: number;
  /** Of the first failed attempt, in milliseconds since 1970. */
  readonly firstAtMs: number;
  /** Of the last one. */
  readonly lastAtMs: number;
}

const VERSION = 1;
const LENGTH_BYTES = 4;
const ID_DIGITS = 14;
const ID_FORM = /^[0-9a-f]{14}$/;
const MESSAGE_LENGTH_MAX = 4_096;
const NAME_LENGTH_MAX = 256;

export const deadLetterIdOf = (sequence: SequenceNumber): string => sequence.toString(16).padStart(ID_DIGITS, '0');
export const isDeadLetterId = (id: unknown): id is string => typeof id === 'string' && ID_FORM.test(id);

const prefixOf = (consumer: string): string => `${DEAD_LETTERS_PREFIX}${consumer}!`;
export const letterKeyOf = (consumer: string, id: string): string => `${prefixOf(consumer)}${id}`;
export const wishKeyOf = (consumer: string, id: string): string => `${prefixOf(consumer)}r${id}`;

/** Ids are hexadecimal, so that `r` comes behind all of them. */
export const lettersRange = (consumer: string): KeyRange => ({
  gte: prefixOf(consumer),
  lt: `${prefixOf(consumer)}r`,
});
/** @param after - id of a letter; the wishes behind it */
export const wishesRange = (consumer: string, after: string | undefined): KeyRange => ({
  gt: `${prefixOf(consumer)}r${after ?? ''}`,
  lt: `${prefixOf(consumer)}s`,
});

/** The id at the end of a key of ours. */
export const idOfKey = (key: Uint8Array): string => keyText(key.subarray(Math.max(0, key.length - ID_DIGITS)));

/** What makes a letter of a change; a wish for its replay is fulfilled by it. */
export function parkOperations(consumer: string, letter: DeadLetter): WriteOperation[] {
  return [
    { type: 'set', key: letterKeyOf(consumer, letter.id), value: encodeDeadLetter(letter) },
    { type: 'delete', key: wishKeyOf(consumer, letter.id) },
  ];
}

/** What makes a letter go, and the wish for its replay. */
export function unparkOperations(consumer: string, id: string): WriteOperation[] {
  return [
    { type: 'delete', key: letterKeyOf(consumer, id) },
    { type: 'delete', key: wishKeyOf(consumer, id) },
  ];
}

/** What is kept of anything that can be thrown. */
export function describeError(thrown: unknown): DeadLetterError {
  if (!(thrown instanceof Error)) return { name: 'Error', message: textOf(thrown), code: undefined };
  const code: unknown = 'code' in thrown ? thrown.code : undefined;
  return {
    name: thrown.name.slice(0, NAME_LENGTH_MAX),
    message: thrown.message.slice(0, MESSAGE_LENGTH_MAX),
    code: typeof code === 'string' ? code.slice(0, NAME_LENGTH_MAX) : undefined,
  };
}

function textOf(thrown: unknown): string {
  try {
    return String(thrown).slice(0, MESSAGE_LENGTH_MAX);
  } catch {
    return 'something without a text was thrown'; // an object without prototype, for one
  }
}

const encoder = new TextEncoder();

export function encodeDeadLetter({ change, error, attempts, firstAtMs, lastAtMs }: DeadLetter): Uint8Array {
  const { type, key, sequence, batchIndex, batchSize, timeMs, cursor } = change;
  const place = { type, sequence, batchIndex, batchSize, timeMs, cursor, keyBytes: key.length };
  const header = encoder.encode(JSON.stringify({ version: VERSION, ...place, error, attempts, firstAtMs, lastAtMs }));
  const value = change.type === 'set' ? change.value : undefined;
  const keyStart = LENGTH_BYTES + header.length;
  const bytes = new Uint8Array(keyStart + key.length + (value?.length ?? 0));
  writeFixed32(bytes, 0, header.length);
  bytes.set(header, LENGTH_BYTES);
  bytes.set(key, keyStart);
  if (value !== undefined) bytes.set(value, keyStart + key.length);
  return bytes;
}

/** @returns what is wrong with it, in words, or the letter; its arrays are parts of `bytes` */
export function decodeDeadLetter(id: string, bytes: Uint8Array): E.Either<string, DeadLetter> {
  if (!isDeadLetterId(id)) return E.left('its key has no id');
  if (bytes.length < LENGTH_BYTES) return E.left('it is cut short');
  const headerBytes = readFixed32(bytes, 0);
  if (headerBytes > bytes.length - LENGTH_BYTES) return E.left('it is cut short');
  const keyStart = LENGTH_BYTES + headerBytes;
  const parsed = parseJsonObject(bytes.subarray(LENGTH_BYTES, keyStart));
  if (E.isLeft(parsed)) return parsed;
  const header = parsed.right;
  if (header['version'] !== VERSION)
    return E.left(`it is of version ${String(header['version'])}, and ${VERSION} is known`);
  const { keyBytes } = header;
  if (!isSequence(keyBytes) || keyBytes > bytes.length - keyStart) return E.left('its key is cut short');
  const key = bytes.subarray(keyStart, keyStart + keyBytes);
  const change = changeOf(header, key, bytes.subarray(keyStart + keyBytes));
  if (change === undefined || deadLetterIdOf(change.sequence) !== id)
    return E.left('its header does not tell of its change');
  const error = errorOf(header['error']);
  const { attempts, firstAtMs, lastAtMs } = header;
  if (error === undefined || !isSequence(attempts) || !isNumber(firstAtMs) || !isNumber(lastAtMs)) {
    return E.left('its header does not tell of its error');
  }
  return E.right({ id, change, error, attempts, firstAtMs, lastAtMs });
}

const isNumber = (value: unknown): value is number => Number.isFinite(value);

function changeOf(header: Readonly<Record<string, unknown>>, key: Uint8Array, value: Uint8Array): Change | undefined {
  const { type, sequence, batchIndex, batchSize, timeMs, cursor } = header;
  if (!isSequence(sequence) || !isSequence(batchIndex) || !isSequence(batchSize) || !isNumber(timeMs)) return undefined;
  if (typeof cursor !== 'string' || !isCursor(cursor)) return undefined;
  const place = { key, sequence, batchIndex, batchSize, timeMs, cursor };
  if (type === 'set') return { type, ...place, value };
  return type === 'delete' && value.length === 0 ? { type, ...place } : undefined;
}

function errorOf(error: unknown): DeadLetterError | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { name, message, code } = error as {
    readonly name?: unknown;
    readonly message?: unknown;
    readonly code?: unknown;
  };
  if (typeof name !== 'string' || typeof message !== 'string') return undefined;
  if (code !== undefined && typeof code !== 'string') return undefined;
  return { name, message, code };
}

/** The letter of an entry as a scan gives it. */
export const deadLetterOfEntry = ({ key, value }: Entry): E.Either<string, DeadLetter> =>
  decodeDeadLetter(idOfKey(key), value);
