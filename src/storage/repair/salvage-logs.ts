/**
 * Takes out of logs what can be read: first what recovery takes, up to the first damage; then, behind it, each batch that
 * passes its checksums and comes later in order. A batch behind damage may rely on one that is lost: that is told.
 */
import * as E from 'fp-ts/lib/Either.js';
import { checkBatch } from '../codec/write-batch.ts';
import type { Step } from '../read/internal-iterator.ts';
import { type LogClaims, type LogFile, recoverLogs } from '../wal/log-recovery.ts';
import { RecordReader } from '../wal/record-reader.ts';
import type { LossList } from './repair-report.ts';

/** Takes one batch; valid during the call. */
export type TakeBatch = (bytes: Uint8Array, count: number) => Step;

export interface SalvagedLogs {
  readonly batches: number;
  readonly lastSequence: number;
  /** Whether something that was durable cannot be read. */
  readonly isDamaged: boolean;
}

/**
 * @param logs - by ascending number, open
 * @param tablesLast - the highest sequence number in tables
 * @param claims - what their indexes say of them
 * @throws IoError
 */
export async function salvageLogs(
  logs: readonly LogFile[],
  tablesLast: number,
  take: TakeBatch,
  losses: LossList,
  claims: LogClaims,
): Promise<SalvagedLogs> {
  const sink = {
    batch: (bytes: Uint8Array, start: number, end: number, _: number, count: number): Step =>
      take(bytes.subarray(start, end), count),
  };
  const lossesBefore = losses.count;
  const report = await recoverLogs(logs, tablesLast, sink, { salvage: true, claims })();
  if (E.isLeft(report)) throw report.left;
  const { torn, batches, lastSequence } = report.right;
  if (torn?.corruption === undefined) return { batches, lastSequence, isDamaged: false };
  const damaged = logs.findIndex(({ name }) => name === torn.file);
  // What is in tables by a MANIFEST of ours must not come on top of what is newer there: an old log in the place of this one.
  const known = claims.isManifestOurs ? tablesLast : 0;
  const behind = new BehindDamage(batches === 0 ? known : lastSequence, take, losses);
  for (const log of logs.slice(Math.max(0, damaged))) await behind.read(log);
  if (losses.count === lossesBefore) lose(losses, torn.file, torn.offset, undefined, torn.corruption.reason);
  return { batches: batches + behind.batches, lastSequence: Math.max(lastSequence, behind.last), isDamaged: true };
}

class BehindDamage {
  readonly #take: TakeBatch;
  readonly #losses: LossList;
  last: number;
  batches = 0;

  constructor(last: number, take: TakeBatch, losses: LossList) {
    this.last = last;
    this.#take = take;
    this.#losses = losses;
  }

  async read({ file, name }: LogFile): Promise<void> {
    const records = new RecordReader(file, name);
    let outcome = await records.next();
    while (outcome.type !== 'end') {
      if (outcome.type === 'record') {
        await this.#meet(outcome.bytes, name, outcome.offset, outcome.endOffset);
        outcome = await records.next();
        continue;
      }
      const { offset, reason } = outcome;
      outcome = await records.resync();
      lose(this.#losses, name, offset, outcome.type === 'record' ? outcome.offset : undefined, reason);
    }
  }

  async #meet(bytes: Uint8Array, name: string, offset: number, endOffset: number): Promise<void> {
    const batch = checkBatch(bytes, 0, bytes.length);
    if (E.isLeft(batch)) return lose(this.#losses, name, offset, endOffset, batch.left.reason);
    const { sequence, count } = batch.right;
    if (count === 0 || sequence <= this.last) return; // a mark, or one that recovery has taken
    this.last = sequence + count - 1;
    this.batches += 1;
    await this.#take(bytes, count);
  }
}

function lose(losses: LossList, file: string, offset: number, endOffset: number | undefined, reason: string): void {
  losses.add({ file, offset, endOffset, reason, firstKey: undefined, lastKey: undefined });
}
