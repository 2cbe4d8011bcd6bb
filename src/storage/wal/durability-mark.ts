/**
 * Durability marks: how our logs say what was safe, so that damage can be told from a torn tail.
 *
 * A log that ends badly looks the same whether the power went out in the middle of a write, which harms nobody, or a
 * record that was synced and acknowledged has rotted since, which must not pass in silence. LevelDB cannot tell, and drops
 * both. So we write marks: a mark is a write batch without operations, an ordinary record of 12 bytes, and its sequence
 * number q says:
 *
 *     when this was written, every record with a sequence number below q was durable.
 *
 * Real LevelDB reads it as an empty batch, which changes nothing. `log-recovery.ts` reads it as a claim: where a mark can
 * still be read, everything below its q must be readable too. The idea is Pebble's (WAL sync chunks, which carry the offset
 * known to be synced); the form is ours, since LevelDB's format has no room in the header.
 *
 * What the writer of a log owes its reader:
 *
 * 1. The first record of each log is a mark; it is synced before a batch follows (a log whose first record can not be read
 *    is taken for LevelDB's). q is at least 1, since LevelDB takes q - 1 as a sequence number.
 * 2. The first record appended after a sync has moved the durable watermark is a mark.
 * 3. q - 1 is the sequence number of the last operation in a durable *record* (or in the tables), never a number that was
 *    burnt: numbers without a record would look like a loss.
 * 4. No number is burnt between the last batch of a log and the first of the next, as long as recovery would read both: it
 *    takes numbers that are missing there for a lost end, since the power may take the end of the older log (a new one may
 *    begin before the old one was synced) and leave the younger one.
 * 5. After a failed write or sync, nothing is acknowledged in a later log before what memory holds is in a table and the
 *    manifest has let go of the failed log. The same holds for a log that recovery has cut short.
 *
 * What stays open: records that were synced last of all, with no mark behind them. For them the index of the log speaks, as long
 * as the power has not taken it (`history/segment-index.ts`). If both are gone, and nothing else was written since, they look
 * like a torn tail.
 */
import { OutOfRangeError } from '../../errors.ts';
import { writeFixed64 } from '../codec/fixed.ts';

/** Sequence number and a count of 0. */
const MARK_BYTES = 12;

/**
 * @param nextSequence - q: one more than the sequence number of the last durable operation; in [1, 2^53 - 1]
 * @returns a write batch of 12 bytes, to be staged as a record
 * @throws OutOfRangeError
 */
export function encodeDurabilityMark(nextSequence: number): Uint8Array {
  if (!Number.isSafeInteger(nextSequence) || nextSequence < 1) {
    throw new OutOfRangeError('nextSequence', 'a whole number in [1, 2^53 - 1]', nextSequence);
  }
  const mark = new Uint8Array(MARK_BYTES);
  writeFixed64(mark, 0, nextSequence);
  return mark;
}
