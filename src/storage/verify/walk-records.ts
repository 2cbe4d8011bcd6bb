/**
 * Goes through a log or a MANIFEST record by record, and looks at the bytes between them, which readers pass over:
 *
 *   between two records, and behind the last    zeros, fewer than 7 and up to the end of the block
 *                                               or an empty FIRST fragment there, which old versions of LevelDB wrote
 */
import { crc32c, maskCrc } from '../codec/crc32c.ts';
import { writeFixed32 } from '../codec/fixed.ts';
import type { ReadableFile } from '../file-system/file-system.ts';
import { readFully } from '../file-system/read-fully.ts';
import { BLOCK_BYTES, FIRST, HEADER_BYTES } from '../wal/record-format.ts';
import { type ReadOutcome, RecordReader } from '../wal/record-reader.ts';
import type { VerifyContext } from './verify-context.ts';

export type WalkedRecord = Extract<ReadOutcome, { readonly type: 'record' }>;

/** A FIRST fragment without payload: its checksum, its length, its type. */
const EMPTY_FIRST = new Uint8Array(HEADER_BYTES);
EMPTY_FIRST[HEADER_BYTES - 1] = FIRST;
writeFixed32(EMPTY_FIRST, 0, maskCrc(crc32c(Uint8Array.of(FIRST), 0, 1)));
const BYTES_PER_TURN = 256 * 1024;

/**
 * Calls `visit` for each record up to the first place that is none.
 *
 * @returns what ended it: `end`, `torn` or `bad`
 * @throws CorruptionError, IoError
 */
export async function walkRecords(
  context: VerifyContext,
  file: ReadableFile,
  name: string,
  visit: (record: WalkedRecord) => void,
): Promise<Exclude<ReadOutcome, WalkedRecord>> {
  const reader = new RecordReader(file, name);
  let end = 0;
  let told = 0;
  for (;;) {
    const answer = reader.next();
    const outcome = answer instanceof Promise ? await answer : answer;
    if (outcome.type !== 'record') {
      if (outcome.type === 'end') await checkBetween(context, file, name, end, await file.size());
      else if (outcome.offset > end) await checkBetween(context, file, name, end, outcome.offset);
      await context.advance(end - told);
      return outcome;
    }
    if (outcome.offset > end) await checkBetween(context, file, name, end, outcome.offset);
    end = outcome.endOffset;
    visit(outcome);
    if (end - told < BYTES_PER_TURN) continue;
    await context.advance(end - told);
    told = end;
  }
}

/** Bytes from `start` up to `next`, of which only those in the same block can be anything but preallocated zeros. */
async function checkBetween(
  context: VerifyContext,
  file: ReadableFile,
  name: string,
  start: number,
  next: number,
): Promise<void> {
  const blockEnd = start - (start % BLOCK_BYTES) + BLOCK_BYTES;
  const length = Math.min(blockEnd, next) - start;
  if (length === 0 || length > HEADER_BYTES) return; // more than a trailer: the reader has seen that it is zeros
  const bytes = new Uint8Array(length);
  await readFully({ file, name }, bytes, start);
  if (length === HEADER_BYTES && EMPTY_FIRST.every((byte, index) => bytes[index] === byte)) return;
  const odd = bytes.findIndex((byte) => byte !== 0);
  if (odd !== -1) context.add('padding', name, start + odd, 'the bytes between two records are not zero');
}
