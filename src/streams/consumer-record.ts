/**
 * A consumer's position, as it is stored: JSON in UTF-8, so that people can read it with any LevelDB tool.
 *
 *     record := { "version": 1, "cursor": text, "sequence": number, "settled": runs, "isPaused": boolean }
 *     runs   := [ (first, count)* ]      ascending, apart from each other, all above "sequence"
 *
 * Everything before `cursor` is settled: `sequence` is the last of it. `settled` is what was done beyond it while an
 * earlier change was still at work; it is bounded by `aheadMax`.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Cursor, SequenceNumber } from '../model.ts';
import { CONSUMERS_PREFIX } from '../storage/reserved.ts';
import type { Place } from './consumer-source.ts';

export interface ConsumerRecord extends Place {
  /** Sequence numbers beyond `sequence`, as runs: first, count, first, count, ... */
  readonly settled: readonly SequenceNumber[];
  readonly isPaused: boolean;
}

export const recordKeyOf = (consumer: string): string => `${CONSUMERS_PREFIX}${consumer}`;

/** Over this it is no record of ours: 65,536 runs of two numbers take less. */
const RECORD_BYTES_MAX = 4 * 1024 * 1024;
const CURSOR_LENGTH_MAX = 1_024;
const VERSION = 1;

const encoder = new TextEncoder();

export function encodeRecord({ cursor, sequence, settled, isPaused }: ConsumerRecord): Uint8Array {
  return encoder.encode(JSON.stringify({ version: VERSION, cursor, sequence, settled, isPaused }));
}

/** @returns what is wrong with it, in words, or the record */
export function decodeRecord(bytes: Uint8Array): E.Either<string, ConsumerRecord> {
  if (bytes.length > RECORD_BYTES_MAX) return E.left(`its record of ${bytes.length} bytes is too long`);
  const parsed = parseJsonObject(bytes);
  if (E.isLeft(parsed)) return parsed;
  const { version, cursor, sequence, settled, isPaused } = parsed.right;
  if (version !== VERSION) return E.left(`its record is of version ${String(version)}, and ${VERSION} is known`);
  if (typeof cursor !== 'string' || !isCursor(cursor)) return E.left('its record has no cursor');
  if (!isSequence(sequence)) return E.left('its record has no sequence number');
  if (!isRuns(settled, sequence)) return E.left('its record has a malformed list of settled changes');
  if (typeof isPaused !== 'boolean') return E.left('its record does not say whether it is paused');
  return E.right({ cursor, sequence, settled, isPaused });
}

/** @returns what is wrong with it, in words, or the object */
export function parseJsonObject(bytes: Uint8Array): E.Either<string, Readonly<Record<string, unknown>>> {
  const parsed = E.tryCatch(
    (): unknown => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
    () => 'its record is no JSON',
  );
  if (E.isLeft(parsed)) return parsed;
  const value = parsed.right;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return E.left('its record is no object');
  return E.right({ ...value });
}

export const isCursor = (text: string): text is Cursor => text.startsWith('al1.') && text.length <= CURSOR_LENGTH_MAX;

export const isSequence = (value: unknown): value is SequenceNumber =>
  Number.isSafeInteger(value) && Number(value) >= 0;

function isRuns(runs: unknown, watermark: SequenceNumber): runs is readonly SequenceNumber[] {
  if (!Array.isArray(runs) || runs.length % 2 !== 0) return false;
  let end = watermark + 1; // the first sequence number that may be next
  for (let index = 0; index < runs.length; index += 2) {
    const first: unknown = runs[index];
    const count: unknown = runs[index + 1];
    if (!isSequence(first) || !isSequence(count) || count < 1 || first < end) return false;
    end = first + count + 1; // runs that touch are one
    if (!Number.isSafeInteger(end)) return false;
  }
  return true;
}
