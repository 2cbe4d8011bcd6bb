/** Places in the change stream, as people write them. */
import type { Cursor } from 'alluvium';
import { UsageError } from './failure.ts';

export type Place = 'now' | 'start' | 'snapshot' | Cursor | number | Date;

export type End = 'now' | Cursor | number;

const NAMES = ['now', 'start', 'snapshot'] as const;
/** A year first, so that a sequence number is never taken for a date. */
const DATE = /^\d{4}-\d{2}(-\d{2})?(T[\d:.]+(Z|[+-]\d{2}:\d{2})?)?$/;

const isCursor = (text: string): text is Cursor => text.startsWith('al1.');

export function placeOf(text: string): Place {
  const name = NAMES.find((known) => known === text);
  if (name !== undefined) return name;
  if (isCursor(text)) return text; // whether it leads anywhere is for the store to say
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const date = new Date(text);
  if (DATE.test(text) && !Number.isNaN(date.getTime())) return date;
  throw new UsageError(
    `${JSON.stringify(text)} is no place in the changes. Use start, now, snapshot, a cursor as --json gives it, a sequence ` +
      'number, or a date such as 2026-01-31T12:00Z.',
  );
}

export function endOf(text: string): End {
  const place = placeOf(text);
  if (place !== 'start' && place !== 'snapshot' && !(place instanceof Date)) return place;
  throw new UsageError(`${JSON.stringify(text)} is no place to end at. Use now, a cursor, or a sequence number.`);
}
