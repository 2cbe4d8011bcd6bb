/**
 * A consumer's position, as it is stored: JSON in UTF-8, so that people can read it with any LevelDB tool.
 *
 *     record := { "version": 1, "cursor": text, "sequence": number, "settled": runs, "isPaused": boolean, "range": range }
 *     runs   := [ (first, count)* ]      ascending, apart from each other, all above "sequence"
 *
 *     range  := { "gt" | "gte" | "lt" | "lte": base64 }  of the keys that it wants; absent: all of them
 *
 * Everything before `cursor` is settled: `sequence` is the last of it. `settled` is what was done beyond it while an
 * earlier change was still at work; it is bounded by `aheadMax`.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Bytes, Cursor, KeyRange, SequenceNumber } from '../model.ts';
import { CONSUMERS_PREFIX } from '../storage/reserved.ts';
import type { Place } from './consumer-source.ts';

export interface ConsumerRecord extends Place {
  /** Sequence numbers beyond `sequence`, as runs: first, count, first, count, ... */
  readonly settled: readonly SequenceNumber[];
  readonly isPaused: boolean;
  /** Of the keys whose changes it wants, as it ran last; so that its lag can be told by whoever knows only its name. */
  readonly range: KeyRange;
}

export const recordKeyOf = (consumer: string): string => `${CONSUMERS_PREFIX}${consumer}`;

/** Over this it is no record of ours: 65,536 runs of two numbers take less. */
const RECORD_BYTES_MAX = 4 * 1024 * 1024;
const CURSOR_LENGTH_MAX = 1_024;
const VERSION = 1;

const encoder = new TextEncoder();

const BOUNDS = ['gt', 'gte', 'lt', 'lte'] as const;

export function encodeRecord({ cursor, sequence, settled, isPaused, range }: ConsumerRecord): Uint8Array {
  const bounds = boundsAsText(range);
  const stored = Object.keys(bounds).length === 0 ? undefined : bounds;
  return encoder.encode(JSON.stringify({ version: VERSION, cursor, sequence, settled, isPaused, range: stored }));
}

/** Bounds in base64; equal where two ranges are written alike. */
function boundsAsText(range: KeyRange): Readonly<Record<string, string>> {
  const textOf = (bound: Bytes): string => Buffer.from(bound).toString('base64');
  return Object.fromEntries(
    BOUNDS.flatMap((name) => (range[name] === undefined ? [] : [[name, textOf(range[name])] as const])),
  );
}

export const isSameRange = (a: KeyRange, b: KeyRange): boolean =>
  JSON.stringify(boundsAsText(a)) === JSON.stringify(boundsAsText(b));

/** @returns `undefined`: it is none */
function rangeOf(stored: unknown): KeyRange | undefined {
  if (stored === undefined) return {};
  if (typeof stored !== 'object' || stored === null || Array.isArray(stored)) return undefined;
  const range: { -readonly [Bound in keyof KeyRange]: KeyRange[Bound] } = {};
  for (const [name, bound] of Object.entries(stored)) {
    const known = BOUNDS.find((one) => one === name);
    if (known === undefined || typeof bound !== 'string') return undefined;
    range[known] = new Uint8Array(Buffer.from(bound, 'base64'));
  }
  return range;
}

/** @returns what is wrong with it, in words, or the record */
export function decodeRecord(bytes: Uint8Array): E.Either<string, ConsumerRecord> {
  if (bytes.length > RECORD_BYTES_MAX) return E.left(`its record of ${bytes.length} bytes is too long`);
  const parsed = parseJsonObject(bytes);
  if (E.isLeft(parsed)) return parsed;
  const { version, cursor, sequence, settled, isPaused } = parsed.right;
  const range = rangeOf(parsed.right['range']);
  if (version !== VERSION) return E.left(`its record is of version ${String(version)}, and ${VERSION} is known`);
  if (typeof cursor !== 'string' || !isCursor(cursor)) return E.left('its record has no cursor');
  if (!isSequence(sequence)) return E.left('its record has no sequence number');
  if (!isRuns(settled, sequence)) return E.left('its record has a malformed list of settled changes');
  if (typeof isPaused !== 'boolean') return E.left('its record does not say whether it is paused');
  if (range === undefined) return E.left('its record has a malformed range');
  return E.right({ cursor, sequence, settled, isPaused, range });
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
