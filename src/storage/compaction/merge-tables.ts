/**
 * The two jobs that write tables: a flush turns one memtable into one level-0 table, a compaction merges tables into the
 * next level's. Both are the same loop over a sorted source; they differ in what may be dropped and where outputs are cut.
 *
 *   source -> drop rule -> table builder -> file        cut when full or over too many grandparents,
 *                                                       but only between two user keys (I1)
 *
 * The loop knows no clock and no thread. It runs in a worker, or in slices on the main thread, and asks `pause` after
 * each block-sized piece of work whether something else goes first: so a flush interrupts a compaction, and a close both.
 */
import { compareBytes } from '../codec/compare.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';
import type { FileSystem, WritableFile } from '../file-system/file-system.ts';
import { pathOf, tableName } from '../file-names.ts';
import type { TableMeta } from '../manifest/table-meta.ts';
import type { InternalIterator } from '../read/internal-iterator.ts';
import { TableBuilder, type TableOptions } from '../table/table-builder.ts';
import type { DropRule } from './drop-rule.ts';

/** Finished bytes are handed to the file in pieces of about this size. */
const WRITE_BYTES = 256 * 1024;
/** Entries between two questions to `pause`... */
const ENTRIES_PER_SLICE = 256;
/** ... or bytes of values, whichever comes first: 256 large values would hold the thread for a second. */
const BYTES_PER_SLICE = 64 * 1024;

export interface TableWork {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly tableOptions: TableOptions;
  /** Bytes at which an output is cut; `Infinity` for a flush, which makes one table. */
  readonly tableBytesMax: number;
  /** Bytes of grandparents at which an output is cut. */
  readonly grandparentBytesMax: number;
  readonly grandparents: readonly TableMeta[];
  allocateFileNumber(): number | Promise<number>;
  /**
   * `undefined`: go on. A promise: wait for it; it rejects when the job is called off.
   */
  pause(): Promise<void> | undefined;
}

export interface TableOutput {
  readonly tables: readonly TableMeta[];
  readonly bytesWritten: number;
  readonly entriesRead: number;
  readonly entriesDropped: number;
}

/** A table being written. */
interface Output {
  readonly fileNumber: number;
  readonly file: WritableFile;
  readonly builder: TableBuilder;
}

class OutputSet {
  readonly #work: TableWork;
  readonly tables: TableMeta[] = [];
  bytesWritten = 0;
  #open: Output | undefined;
  /** Every file begun, finished or not: what a failed job has to take away again. */
  readonly #begun: number[] = [];
  #grandparent = 0;
  #grandparentBytes = 0;

  constructor(work: TableWork) {
    this.#work = work;
  }

  get current(): Output | undefined {
    return this.#open;
  }

  async begin(): Promise<Output> {
    const fileNumber = await this.#work.allocateFileNumber();
    const file = await this.#work.fileSystem.create(pathOf(this.#work.directory, tableName(fileNumber)));
    this.#begun.push(fileNumber);
    this.#open = { fileNumber, file, builder: new TableBuilder(this.#work.tableOptions, fileNumber) };
    return this.#open;
  }

  /** Whether the current output should end before this (new) user key. */
  shouldCutBefore(source: InternalIterator): boolean {
    const { grandparents, grandparentBytesMax, tableBytesMax } = this.#work;
    const key = source.keyBytes;
    while (this.#grandparent < grandparents.length) {
      const table = grandparents[this.#grandparent] as TableMeta;
      if (compareToUserKeyOf(key, source.keyStart, source.keyEnd, table.largest) <= 0) break;
      if (this.#open !== undefined) this.#grandparentBytes += table.fileBytes;
      this.#grandparent += 1;
    }
    if (this.#open === undefined) return false;
    return this.#open.builder.fileBytes >= tableBytesMax || this.#grandparentBytes > grandparentBytesMax;
  }

  async write(): Promise<void> {
    const output = this.#open;
    if (output === undefined || output.builder.pendingBytes === 0) return;
    const bytes = output.builder.take();
    await output.file.append(bytes);
    this.bytesWritten += bytes.length;
  }

  async finish(): Promise<void> {
    const output = this.#open;
    if (output === undefined) return;
    const { builder, file, fileNumber } = output;
    builder.finish();
    await this.write();
    await file.sync();
    await file.close();
    this.#open = undefined;
    this.#grandparentBytes = 0;
    this.tables.push({
      fileNumber,
      fileBytes: builder.fileBytes,
      smallest: builder.smallest,
      largest: builder.largest,
      entryCount: builder.entryCount,
      tombstoneCount: builder.tombstoneCount,
      largestSequence: builder.largestSequence,
    });
  }

  /** Takes away what was begun, as far as the file system lets us; open removes the rest. */
  async abandon(): Promise<void> {
    await this.#open?.file.close().catch(() => undefined);
    for (const fileNumber of this.#begun) {
      await this.#work.fileSystem.remove(pathOf(this.#work.directory, tableName(fileNumber))).catch(() => undefined);
    }
  }
}

function compareToUserKeyOf(key: Uint8Array, start: number, end: number, internalKey: Uint8Array): number {
  return compareBytes(key, start, end, internalKey, 0, internalKey.length - TAG_BYTES);
}

/**
 * Writes what the source holds, less what the rule drops, to new tables. Every table is synced; their names are not yet:
 * the version set syncs the directory before it relies on them.
 *
 * @throws IoError, NoSpaceError, CorruptionError, or what `pause` rejects with; then no output is left behind
 */
export async function writeTables(source: InternalIterator, rule: DropRule, work: TableWork): Promise<TableOutput> {
  const outputs = new OutputSet(work);
  let entriesRead = 0;
  let entriesDropped = 0;
  let bytesInSlice = 0;
  try {
    const placed = source.seekToFirst();
    if (placed !== undefined) await placed;
    while (source.isValid) {
      entriesRead += 1;
      bytesInSlice += source.valueEnd - source.valueStart;
      if (entriesRead % ENTRIES_PER_SLICE === 0 || bytesInSlice >= BYTES_PER_SLICE) {
        bytesInSlice = 0;
        const pause = work.pause();
        if (pause !== undefined) await pause;
      }
      const { keyBytes, keyStart, keyEnd, sequence, kind } = source;
      if (rule.isNewUserKey(keyBytes, keyStart, keyEnd) && outputs.shouldCutBefore(source)) await outputs.finish();
      if (rule.isDroppable(keyBytes, keyStart, keyEnd, sequence, kind)) {
        entriesDropped += 1;
      } else {
        const { builder } = outputs.current ?? (await outputs.begin());
        builder.add(keyBytes, keyStart, keyEnd, sequence, kind, source.valueBytes, source.valueStart, source.valueEnd);
        if (builder.pendingBytes >= WRITE_BYTES) await outputs.write();
      }
      const moved = source.next();
      if (moved !== undefined) await moved;
    }
    await outputs.finish();
  } catch (error) {
    await outputs.abandon();
    throw error;
  } finally {
    source.close();
  }
  return { tables: outputs.tables, bytesWritten: outputs.bytesWritten, entriesRead, entriesDropped };
}
