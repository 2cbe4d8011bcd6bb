/**
 * Cursors: places in the change stream of one database, as text.
 *
 *     al1.<database id, 32 hexadecimal digits>.<epoch>.<sequence number>
 *
 * The epoch goes up whenever the store was not closed cleanly: what an earlier one had published beyond its end, and lost in
 * a power cut, is not in the database, and a cursor that points there is told so instead of passing over other changes.
 */
import { InvalidCursorError } from '../errors.ts';
import type { Cursor, SequenceNumber } from '../model.ts';
import { isDatabaseId } from '../storage/history/history-names.ts';

const PREFIX = 'al1.';

interface CursorPlace {
  readonly databaseId: string;
  readonly epoch: number;
  readonly sequence: SequenceNumber;
}

/** What every cursor of one epoch begins with. */
export const cursorPrefix = (databaseId: string, epoch: number): `al1.${string}` => `${PREFIX}${databaseId}.${epoch}.`;

/** Whether a text has the form of a cursor. Whether it leads anywhere is for the store to say. */
export function isCursor(text: unknown): text is Cursor {
  return typeof text === 'string' && parse(text) !== undefined;
}

/** @throws InvalidCursorError */
export function parseCursor(cursor: string): CursorPlace {
  const place = parse(cursor);
  if (place !== undefined) return place;
  throw new InvalidCursorError(cursor, 'malformed', 'it is no cursor. Use one that a change had, unchanged.');
}

function parse(text: string): CursorPlace | undefined {
  const match = /^al1\.([0-9a-f]{32})\.([1-9]\d{0,15})\.(0|[1-9]\d{0,15})$/.exec(text);
  const databaseId = match?.[1];
  const epoch = Number(match?.[2]);
  const sequence = Number(match?.[3]);
  if (databaseId === undefined || !isDatabaseId(databaseId)) return undefined;
  return Number.isSafeInteger(epoch) && Number.isSafeInteger(sequence) ? { databaseId, epoch, sequence } : undefined;
}
