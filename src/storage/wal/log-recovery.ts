/**
 * Decides what the logs of a directory hold that was not closed cleanly.
 *
 * Reads all logs that are not in tables yet, in the order of their numbers, up to the first place that does not fit. Then
 * looks on behind that place, to tell which of two things happened:
 *
 *     a torn tail   the process or the power went while records were on their way to the disk. Everything from the place
 *                   on, later logs included, was never acknowledged as durable: recovery ends there, in peace.
 *     damage        something that was durable can no longer be read: CorruptionError, unless salvage is asked for.
 *
 * In our logs (their first record is a durability mark, see `durability-mark.ts`) it is damage if a mark that can still be
 * read claims more than was recovered. A log of real LevelDB has no marks: there it is damage if any later batch can still
 * be read, since what LevelDB wrote is cut from the end, not out of the middle. A log whose first record cannot be read is
 * ours if a log before it is, or a mark can be found in it.
 *
 * The end of the last log has no mark behind it. There the indexes of the logs speak (`history/segment-index.ts`): what they
 * claim counts like a mark at the very end. They are not synced; so after a power cut they may say less, and never more.
 *
 * Beyond the reader's `torn` and `bad`, these places do not fit:
 *
 * - A mark claims more than was recovered, although all records up to it were read: a log, or the end of one, is missing.
 * - All records were read, and an index claims more: the end of the last log is missing, or all of it.
 * - A record has a right checksum, and is no batch, or one whose numbers were met before, in a log or in tables. Some file systems
 *   (ext4 with `data=writeback`) give a file that grows the blocks of one that was removed, with what was in them, if the power
 *   fails before the new bytes are written. So it is judged as a bad record is: what was claimed must be there, the rest was
 *   never durable. In a log of LevelDB nothing vouches for anything: there it is damage.
 * - The first batch of a log is not the one that its index begins with: it is another log. If what the index says was met before,
 *   the index, which is not synced, is itself of an older log, and says nothing.
 * - The first batch of a log of ours leaves out numbers after the log before, if that is not LevelDB's: the end of the older
 *   log may have been lost while the younger one was kept, and what is recovered must have no hole.
 *
 * Otherwise numbers may be missing between batches, and before the first one: ranges that were burnt.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { CorruptionError, EngineError } from '../../errors.ts';
import { checkBatch } from '../codec/write-batch.ts';
import type { ReadableFile } from '../file-system/file-system.ts';
import type { Step } from '../read/internal-iterator.ts';
import { RecordReader } from './record-reader.ts';

/** A log, opened by the caller, who also closes it. */
export interface LogFile {
  readonly number: number;
  /** For errors: relative to the database directory. */
  readonly name: string;
  readonly file: ReadableFile;
}

export interface RecoverySink {
  /**
   * Takes one batch that is well formed and not empty, `bytes[start, end)`, valid only during the call (until the returned
   * promise resolves). Its operations have the numbers from `sequence` to `sequence + count - 1`.
   *
   * @param offset - of its record in `log`
   */
  batch(
    bytes: Uint8Array,
    start: number,
    end: number,
    sequence: number,
    count: number,
    log: LogFile,
    offset: number,
  ): Step;
}

/** What the indexes of logs say of them. */
export interface LogClaims {
  /** Everything up to here was durable, in these logs or before them; 0: nothing is said. */
  readonly durable: number;
  /** The number of the log whose index says so. */
  readonly claimedBy: number;
  /** Of each log by its number, as far as it is known: the first operation in it. */
  readonly firsts: ReadonlyMap<number, number>;
  /** Whether the MANIFEST is this engine's, which counts what is in tables, and nothing else. */
  readonly isManifestOurs: boolean;
}

export const NO_CLAIMS: LogClaims = { durable: 0, claimedBy: 0, firsts: new Map(), isManifestOurs: false };

export interface RecoveryOptions {
  /** Default: nothing is known. */
  readonly claims?: LogClaims | undefined;
  /** Whether to stop at damage and report it, instead of failing; what follows it is dropped. */
  readonly salvage: boolean;
}

/** Where recovery ended before the end of the last log. */
export interface TornTail {
  /** Name of the log. */
  readonly file: string;
  /** Byte offset in it after the last record that counts. */
  readonly offset: number;
  readonly reason: string;
  /** Bytes from there on, in this log and in all later ones. */
  readonly bytesDropped: number;
  /** Names of the later logs, all of whose records are dropped. */
  readonly laterLogsDropped: readonly string[];
  /** With salvage: the error there would have been. `undefined`: nothing that was durable is missing. */
  readonly corruption: CorruptionError | undefined;
}

export interface RecoveryReport {
  /** The highest sequence number there is, in the tables or in a recovered batch. */
  readonly lastSequence: number;
  /** Batches given to the sink. */
  readonly batches: number;
  readonly torn: TornTail | undefined;
}

/**
 * Gives every batch in `logs` that counts to `sink`, in order.
 *
 * @param logs - by ascending number; none of them is in tables
 * @param lastSequence - the manifest's. Best if it is the highest number in tables or burnt: while the first log has given
 *   no batch, what a mark claims up to here is believed to be in tables
 * @returns CorruptionError for damage; the error of a file, or of the sink, as it is
 */
export function recoverLogs(
  logs: readonly LogFile[],
  lastSequence: number,
  sink: RecoverySink,
  options: RecoveryOptions,
): TaskEither<EngineError, RecoveryReport> {
  return async () => {
    try {
      return E.right(await new LogRecovery(logs, lastSequence, sink, options.claims ?? NO_CLAIMS).run(options));
    } catch (error) {
      if (error instanceof EngineError) return E.left(error);
      throw error; // a bug, not bad bytes
    }
  };
}

/** Where a log ends. */
interface Seam {
  readonly index: number;
  readonly offset: number;
}

/** A place that does not fit. */
interface Break {
  /** Index of the log to blame, and what is wrong at which byte of it. */
  readonly index: number;
  readonly offset: number;
  readonly reason: string;
  /** What can still be read behind it; `undefined` if it is damage whatever follows. */
  readonly behind: Behind | undefined;
}

/** What can still be read behind a break. */
class Behind {
  /** The highest q of a mark; 0: there is none. */
  claim = 0;
  /** The lowest sequence number of a batch that was not recovered. */
  batchSequence: number | undefined;

  /** @param known - the last number that is recovered, or surely in tables */
  note(bytes: Uint8Array, known: number): void {
    const batch = checkBatch(bytes, 0, bytes.length);
    if (E.isLeft(batch)) return; // found by guessing, perhaps: it proves nothing
    const { sequence, count } = batch.right;
    if (count === 0) this.claim = Math.max(this.claim, sequence);
    else if (sequence > known) this.batchSequence = Math.min(this.batchSequence ?? sequence, sequence);
  }
}

class LogRecovery {
  readonly #logs: readonly LogFile[];
  readonly #tablesLast: number;
  readonly #sink: RecoverySink;
  /** The last number in a batch recovered from the logs. */
  #recovered: number | undefined;
  #batches = 0;
  readonly #claims: LogClaims;
  /** Whether the log at hand is ours; for one without a readable record, whether the log before is. */
  #isOurs: boolean | undefined;
  #isFirstRecord = true;
  #isFirstBatch = true;
  /** Where the log before ended, until a batch has shown that the log at hand goes on from there. */
  #seam: Seam | undefined;

  readonly #ends: Seam[] = [];

  constructor(logs: readonly LogFile[], lastSequence: number, sink: RecoverySink, claims: LogClaims) {
    this.#logs = logs;
    this.#claims = claims;
    this.#tablesLast = lastSequence;
    this.#sink = sink;
  }

  async run(options: RecoveryOptions): Promise<RecoveryReport> {
    const found = await this.#replay();
    return {
      lastSequence: Math.max(this.#tablesLast, this.#recovered ?? 0),
      batches: this.#batches,
      torn: found === undefined ? undefined : await this.#judge(found, options),
    };
  }

  /** The number up to which there is nothing to miss. */
  get #last(): number {
    return this.#recovered ?? this.#tablesLast;
  }

  /** Reads up to the first break. */
  async #replay(): Promise<Break | undefined> {
    for (const [index, log] of this.#logs.entries()) {
      const reader = new RecordReader(log.file, log.name);
      this.#isFirstRecord = true;
      this.#isFirstBatch = true;
      for (;;) {
        const answer = reader.next();
        const outcome = answer instanceof Promise ? await answer : answer;
        if (outcome.type === 'end') {
          this.#seam = { index, offset: outcome.offset };
          this.#ends.push(this.#seam);
          break;
        }
        if (outcome.type !== 'record') {
          return {
            index,
            offset: outcome.offset,
            reason: outcome.reason,
            behind: await this.#lookBehind(index, reader),
          };
        }
        const { bytes, offset } = outcome;
        const batch = checkBatch(bytes, 0, bytes.length);
        if (E.isLeft(batch)) return await this.#misplaced(batch.left.reason, index, offset, reader);
        const { sequence, count } = batch.right;
        this.#meet(count);
        const found = count === 0 ? this.#takeMark(sequence, index, offset) : this.#checkOrder(sequence, index, offset);
        if (found === 'old') return await this.#misplaced(this.#tooLow(sequence), index, offset, reader);
        if (found !== undefined)
          return 'seam' in found ? await this.#holeBefore(found.seam, sequence, index, reader) : found;
        if (count === 0) continue;
        const step = this.#sink.batch(bytes, 0, bytes.length, sequence, count, log, offset);
        if (step !== undefined) await step;
        this.#recovered = sequence + count - 1;
        this.#batches += 1;
        this.#seam = undefined;
      }
    }
    return this.#missingEnd();
  }

  /** All was read, and it is less than was durable. */
  #missingEnd(): Break | undefined {
    const seam = this.#seam;
    if (seam === undefined || this.#claimed <= this.#last) return undefined;
    const { claimedBy } = this.#claims;
    const place = this.#ends.find(({ index }) => this.#logs[index]?.number === claimedBy);
    const what = place === undefined ? `log ${claimedBy} is missing` : 'its end is missing';
    return { ...(place ?? seam), reason: `${what}: ${this.#lost(this.#claimed + 1)}`, behind: undefined };
  }

  /** What the indexes claim to be durable; they say nothing of a log of LevelDB. */
  get #claimed(): number {
    return this.#isOurs === false ? 0 : this.#claims.durable;
  }

  /** The first record of a log tells whose it is. */
  #meet(count: number): void {
    if (!this.#isFirstRecord) return;
    this.#isFirstRecord = false;
    const isOurs = count === 0;
    if (!isOurs || this.#isOurs === false) this.#seam = undefined; // LevelDB burns numbers between its logs
    this.#isOurs = isOurs;
  }

  #takeMark(sequence: number, index: number, offset: number): Break | undefined {
    if (this.#isOurs !== true) return undefined; // an empty batch of LevelDB's user
    if (sequence - 1 <= this.#last) return undefined;
    const place = this.#seam ?? { index, offset };
    return { ...place, reason: `what stood before is missing: ${this.#lost(sequence)}`, behind: undefined };
  }

  #checkOrder(sequence: number, index: number, offset: number): Break | { readonly seam: Seam } | 'old' | undefined {
    const first = this.#isFirstBatch ? this.#firstOf(index) : undefined;
    this.#isFirstBatch = false;
    if (sequence <= this.#known) return 'old';
    if (this.#isOurs === true && first !== undefined && first > this.#known && first !== sequence) {
      const reason = `it begins with sequence number ${sequence}, and its index says that it began with ${first}`;
      return { index, offset, reason, behind: undefined };
    }
    const seam = this.#seam;
    return seam !== undefined && sequence > this.#last + 1 ? { seam } : undefined;
  }

  /** No record that is still to come has a number up to here. The number of a MANIFEST that is not ours may be too high. */
  get #known(): number {
    const isCounted = this.#isOurs === true && this.#claims.isManifestOurs;
    return this.#recovered ?? (isCounted ? this.#tablesLast : -1);
  }

  #tooLow(sequence: number): string {
    return this.#recovered === undefined
      ? `it begins with sequence number ${sequence}, and up to ${this.#tablesLast} all is in tables`
      : `a write batch begins with sequence number ${sequence}, the one before ends with ${this.#recovered}`;
  }

  /** What the index of a log says that it begins with. */
  #firstOf(index: number): number | undefined {
    return this.#claims.firsts.get((this.#logs[index] as LogFile).number);
  }

  /** A record that was written, but not here. (Found by T5.) */
  async #misplaced(reason: string, index: number, offset: number, reader: RecordReader): Promise<Break> {
    const behind = this.#isOurs === true ? await this.#lookBehind(index, reader) : undefined;
    return { index, offset, reason, behind };
  }

  async #holeBefore(seam: Seam, sequence: number, index: number, reader: RecordReader): Promise<Break> {
    const reason = `the next log goes on with sequence number ${sequence}, this one ends with ${this.#last}`;
    return { ...seam, reason, behind: await this.#lookBehind(index, reader) };
  }

  /** Reads on from the reader's place, over everything broken, to the end of the last log. */
  async #lookBehind(index: number, reader: RecordReader): Promise<Behind> {
    const behind = new Behind();
    for (let at = index; at < this.#logs.length; at += 1) {
      const log = this.#logs[at] as LogFile;
      const records = at === index ? reader : new RecordReader(log.file, log.name);
      let outcome = await records.next();
      while (outcome.type !== 'end') {
        if (outcome.type === 'record') {
          behind.note(outcome.bytes, this.#known);
          outcome = await records.next();
        } else {
          outcome = await records.resync();
        }
      }
    }
    return behind;
  }

  /** Torn or damaged? */
  async #judge(found: Break, { salvage }: RecoveryOptions): Promise<TornTail> {
    const { index, offset, reason, behind } = found;
    const name = (this.#logs[index] as LogFile).name;
    const damage = behind === undefined ? reason : this.#damage(reason, behind);
    const corruption = damage === undefined ? undefined : new CorruptionError(name, offset, damage);
    if (corruption !== undefined && !salvage) throw corruption;
    const dropped = this.#logs.slice(index);
    let bytesDropped = -offset;
    for (const log of dropped) bytesDropped += await log.file.size();
    const laterLogsDropped = dropped.slice(1).map((log) => log.name);
    return { file: name, offset, reason, bytesDropped, laterLogsDropped, corruption };
  }

  /** Why the break is damage; `undefined`: a torn tail. */
  #damage(reason: string, behind: Behind): string | undefined {
    const { batchSequence } = behind;
    const claim = Math.max(behind.claim, this.#claimed === 0 ? 0 : this.#claimed + 1);
    const isOurs = this.#isOurs === true || (this.#isFirstRecord && claim > 0);
    if (!isOurs) {
      if (batchSequence === undefined) return undefined;
      return `${reason}; a write batch with sequence number ${batchSequence} can still be read behind it`;
    }
    if (claim - 1 > this.#last) return `${reason}; ${this.#lost(claim)}`;
    // The manifest's number may be higher than what is in tables, if another program wrote it. Then this batch shows it.
    const isUnseen = batchSequence !== undefined && batchSequence < claim;
    return isUnseen
      ? `${reason}; a write batch with sequence number ${batchSequence} behind it was durable`
      : undefined;
  }

  #lost(claim: number): string {
    return `records ${this.#last + 1} to ${claim - 1} were acknowledged as durable and cannot be read`;
  }
}
