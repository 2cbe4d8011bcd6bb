/**
 * Places in the change stream: whatever a caller gave, as the sequence number that it stands for; and what is wrong with a
 * place that leads nowhere.
 */
import { HistoryGoneError, InvalidCursorError } from '../errors.ts';
import type { Cursor, SequenceNumber } from '../model.ts';
import type { ChangeHub } from './change-hub.ts';
import { parseCursor } from './cursor.ts';

/**
 * Where a change stream begins:
 *
 * - `'now'`: with what is committed after it was subscribed to
 * - `'start'`: with the oldest change that is kept
 * - `'snapshot'`: with the present state, row by row in key order, then with every change after it
 * - a cursor: behind the change that had it
 * - a sequence number: with the first change of at least this number
 * - a date: with the first change committed then or later
 */
export type ChangesFrom = 'now' | 'start' | 'snapshot' | Cursor | SequenceNumber | Date;

/**
 * Where a change stream ends:
 *
 * - `'now'`: with the newest change that is committed when it is subscribed to
 * - a cursor: with the change that had it
 * - a sequence number: with the last change of at most this number; one that the store has not reached yet is waited for
 */
export type ChangesUntil = 'now' | Cursor | SequenceNumber;

/** @throws InvalidCursorError, HistoryGoneError */
export async function positionOf(hub: ChangeHub, from: Exclude<ChangesFrom, 'snapshot'>): Promise<SequenceNumber> {
  const position = positionAtOnce(hub, from);
  return position ?? (await positionAtTime(hub, from as Date));
}

/** Behind which sequence number to begin; `undefined` where the history must be asked for it. */
function positionAtOnce(hub: ChangeHub, from: Exclude<ChangesFrom, 'snapshot'>): SequenceNumber | undefined {
  if (from === 'now') return hub.visibleSequence;
  const start = hub.archive?.start ?? hub.visibleSequence + 1;
  if (from === 'start') return start - 1;
  if (from instanceof Date) return undefined;
  if (typeof from === 'number') {
    if (from > hub.visibleSequence + 1) {
      throw new InvalidCursorError(String(from), 'future', `the newest sequence number is ${hub.visibleSequence}.`);
    }
    return checkKept(Math.max(from, 1) - 1, start);
  }
  return checkKept(positionOfCursor(hub, from), start);
}

function checkKept(position: SequenceNumber, start: SequenceNumber): SequenceNumber {
  if (position + 1 < start) throw new HistoryGoneError(position + 1, start);
  return position;
}

function positionOfCursor(hub: ChangeHub, cursor: Cursor): SequenceNumber {
  const { databaseId, epoch, sequence } = parseCursor(cursor);
  const { archive, visibleSequence } = hub;
  if (archive !== undefined && databaseId !== archive.databaseId) {
    throw new InvalidCursorError(cursor, 'otherDatabase', 'it is of another database, or of one that was here before.');
  }
  const epochNow = archive?.epoch ?? epoch;
  if (epoch > epochNow || (epoch === epochNow && sequence > visibleSequence)) {
    throw new InvalidCursorError(cursor, 'future', `the database has not got there: it is at ${visibleSequence}.`);
  }
  if (archive === undefined || epoch === epochNow) return sequence;
  const end = archive.epochEnd(epoch);
  if (end === undefined || sequence > end) {
    throw new InvalidCursorError(
      cursor,
      'droppedEpoch',
      `what it stands behind was lost in a crash${end === undefined ? '' : `: of that time, ${end} is the last that is there`}. ` +
        `Start from 'snapshot', or from a cursor of a change that was synced.`,
    );
  }
  return sequence;
}

async function positionAtTime({ archive, visibleSequence, nowMs }: ChangeHub, date: Date): Promise<SequenceNumber> {
  if (archive === undefined) return visibleSequence;
  const timeMs = date.getTime();
  // What is gone may have been committed in the same millisecond as the oldest that is there.
  if (archive.start > 1 && timeMs <= (archive.oldestTimeMs ?? nowMs)) {
    throw new HistoryGoneError(archive.start - 1, archive.start);
  }
  const segment = archive.segmentAtTime(timeMs);
  if (segment === undefined) return visibleSequence;
  if (timeMs <= segment.firstTimeMs) return segment.firstSequence - 1;
  const index = await archive.openIndex(segment);
  try {
    const tick = await index?.firstAtOrAfter(timeMs);
    return (tick?.sequence ?? segment.firstSequence) - 1;
  } finally {
    await index?.close();
  }
}

/**
 * The last sequence number that is wanted; `Infinity`: there is no end.
 *
 * @throws InvalidCursorError
 */
export function endOf(hub: ChangeHub, until: ChangesUntil | undefined): SequenceNumber {
  if (until === undefined) return Infinity;
  if (until === 'now') return hub.visibleSequence;
  return typeof until === 'number' ? until : positionOfCursor(hub, until);
}
