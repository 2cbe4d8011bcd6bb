/** What a repair does, and what it cannot. */

/** A piece that could not be brought back. */
export interface RepairLoss {
  /** Relative to the database directory. */
  readonly file: string;
  /** Bytes of the file that are lost: from `offset` up to, not including, `endOffset`; `undefined`: to its end. */
  readonly offset: number;
  readonly endOffset: number | undefined;
  readonly reason: string;
  /** The lost keys lie between these two, or are one of them; `undefined`: without that bound, or not known. */
  readonly firstKey: Uint8Array | undefined;
  readonly lastKey: Uint8Array | undefined;
}

export interface RepairReport {
  /** The directory's absolute name, symbolic links resolved. */
  readonly location: string;
  readonly isDryRun: boolean;
  /** Nothing had to be done, and nothing was. */
  readonly wasWhole: boolean;
  /** `'kept'`: the tables stay in their levels. `'rebuilt'`: all that is readable was merged into one level. */
  readonly levels: 'kept' | 'rebuilt';
  readonly tablesKept: number;
  /** Tables that were written again, or merged. */
  readonly tablesRewritten: number;
  /** Entries (versions of keys, tombstones too) that could be read in those. */
  readonly entriesRead: number;
  /** Write batches taken out of logs and into tables; 0 where the logs stay as they are. */
  readonly logBatches: number;
  /** `'begunAnew'`: the database is another one for cursors, and history begins at the next write. */
  readonly history: 'kept' | 'begunAnew' | 'none';
  /** At most 10,000 of them. */
  readonly losses: readonly RepairLoss[];
  readonly lossCount: number;
  /** What else whoever repairs has to know, in words. */
  readonly notes: readonly string[];
  /** Files that were moved into `lostDirectory`; relative names. */
  readonly setAside: readonly string[];
  /** `lost/<date and time>`, relative; `undefined` where nothing was set aside. */
  readonly lostDirectory: string | undefined;
}

const LOSSES_MAX = 10_000;

export class LossList {
  readonly losses: RepairLoss[] = [];
  count = 0;

  add(loss: RepairLoss): void {
    this.count += 1;
    if (this.losses.length < LOSSES_MAX) this.losses.push(loss);
  }
}
