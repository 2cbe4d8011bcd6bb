/** Writes tables anew: from good blocks of damaged ones, from whole ones, and from batches of logs. */
import { BatchReader } from '../codec/write-batch.ts';
import { DropRule } from '../compaction/drop-rule.ts';
import { type TableWork, writeTables } from '../compaction/merge-tables.ts';
import { tableOptionsFor } from '../compaction/table-options.ts';
import { pathOf, tableName, tableNames } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import { LEVELS, type TableMeta } from '../manifest/table-meta.ts';
import { Memtable } from '../memtable/memtable.ts';
import { checkOptions } from '../options.ts';
import type { InternalIterator, Step } from '../read/internal-iterator.ts';
import { MergeIterator } from '../read/merge-iterator.ts';
import { BlockCache } from '../table/block-cache.ts';
import { LevelIterator } from '../table/level-iterator.ts';
import { TableCache } from '../table/table-cache.ts';
import type { SalvagedTable } from './salvage-table.ts';
import { SalvagedIterator } from './salvaged-iterator.ts';

const READ_AHEAD_BYTES = 128 * 1024;
const OPEN_TABLES_MAX = 256;

export class Rewriter {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #allocateFileNumber: () => number;
  readonly #turn: () => Promise<void>;
  readonly #options = checkOptions();

  constructor(fileSystem: FileSystem, directory: string, allocateFileNumber: () => number, turn: () => Promise<void>) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#allocateFileNumber = allocateFileNumber;
    this.#turn = turn;
  }

  /**
   * All entries of these tables, and of these runs of whole ones, in new tables: of each key the newest version, tombstones too. Synced; their names are not.
   *
   * @param isOneTable - whether they are written into one table, whatever its size: in level 0, and where one replaces one
   */
  async merge(
    salvaged: readonly SalvagedTable[],
    runs: readonly (readonly TableMeta[])[],
    isOneTable: boolean,
  ): Promise<readonly TableMeta[]> {
    const tables = new TableCache(this.#fileSystem, this.#directory, OPEN_TABLES_MAX, new BlockCache(0), tableNames);
    const options = { isCacheFilled: false, readAheadBytes: READ_AHEAD_BYTES };
    const sources: InternalIterator[] = [
      ...salvaged.map((table) => new SalvagedIterator(table)),
      ...runs.map((run) => new LevelIterator(run, tables, options)),
    ];
    try {
      return await this.#write(new MergeIterator(sources), isOneTable);
    } finally {
      await tables.closeAll();
    }
  }

  async #write(source: InternalIterator, isOneTable: boolean): Promise<readonly TableMeta[]> {
    const work: TableWork = {
      fileSystem: this.#fileSystem,
      directory: this.#directory,
      tableOptions: tableOptionsFor(this.#options, 0, LEVELS - 1),
      tableBytesMax: isOneTable ? Infinity : this.#options.tableBytesMax,
      grandparentBytesMax: Infinity,
      grandparents: [],
      allocateFileNumber: this.#allocateFileNumber,
      pause: this.#turn,
    };
    return (await writeTables(source, new DropRule([], undefined), work)).tables;
  }

  /** Tables of level 0 from batches, oldest first. */
  logTables(): LogTables {
    return new LogTables(this.#options.memtableBytesMax, (memtable) => this.#write(memtable.iterator(), true));
  }

  /** Takes tables away that were only a step on the way. */
  async discard(tables: readonly TableMeta[]): Promise<void> {
    for (const { fileNumber } of tables) {
      await this.#fileSystem.remove(pathOf(this.#directory, tableName(fileNumber)));
    }
  }
}

/** Batches on their way into tables, one memtable at a time. */
export class LogTables {
  readonly #bytesMax: number;
  readonly #write: (memtable: Memtable) => Promise<readonly TableMeta[]>;
  readonly #tables: TableMeta[] = [];
  readonly #reader = new BatchReader();
  #memtable: Memtable | undefined;

  constructor(bytesMax: number, write: (memtable: Memtable) => Promise<readonly TableMeta[]>) {
    this.#bytesMax = bytesMax;
    this.#write = write;
  }

  /** Takes one batch, checked, and not empty; its bytes are copied. */
  add(bytes: Uint8Array, count: number): Step {
    const memtable = this.#memtable;
    if (memtable?.hasRoomFor(count, bytes.length) === true) return this.#insert(memtable, bytes);
    return this.#spill().then(() => {
      const fresh = Memtable.create(Math.max(this.#bytesMax, Memtable.capacityFor(count, bytes.length)));
      this.#memtable = fresh;
      this.#insert(fresh, bytes);
    });
  }

  async finish(): Promise<readonly TableMeta[]> {
    await this.#spill();
    return this.#tables;
  }

  #insert(memtable: Memtable, bytes: Uint8Array): undefined {
    const reader = this.#reader;
    reader.reset(bytes, 0, bytes.length);
    while (reader.next()) {
      const { sequence, kind, keyStart, keyEnd, valueStart, valueEnd } = reader;
      memtable.add(sequence, kind, bytes, keyStart, keyEnd, valueStart, valueEnd);
    }
  }

  async #spill(): Promise<void> {
    const full = this.#memtable;
    this.#memtable = undefined;
    if (full !== undefined && full.entryCount > 0) this.#tables.push(...(await this.#write(full)));
  }
}
