/**
 * The LSM tree as one reader sees it at one moment, and the few steps that change it:
 *
 *        active memtable             <- writes go in here
 *        waiting memtables           full, immutable, each on its way to a table
 *        level 0   [ ] [ ] [ ]       tables as flushed, newest first
 *        level 1   [   |   |   ]     runs: sorted, each key once
 *        level 2   [  |  |  |  |  ]
 *
 * Every step here is synchronous, so a reader never sees half of one. When and how often steps are taken is decided by
 * the streams above.
 */
import type { EngineOptions } from './options.ts';
import { oldTableName, pathOf, tableName } from './file-names.ts';
import type { FileSystem } from './file-system/file-system.ts';
import type { TableMeta } from './manifest/table-meta.ts';
import type { VersionEdit } from './manifest/version-edit.ts';
import type { VersionSet } from './manifest/version-set.ts';
import type { Version } from './manifest/version.ts';
import { ArenaPool } from './memtable/arena-pool.ts';
import type { Memtable } from './memtable/memtable.ts';
import { findInTables, findInTablesNow } from './read/find-in-tables.ts';
import type { InternalIterator, Step } from './read/internal-iterator.ts';
import { KIND_DELETE } from './read/internal-iterator.ts';
import { MergeIterator } from './read/merge-iterator.ts';
import { SnapshotList } from './read/snapshots.ts';
import type { BlockCache } from './table/block-cache.ts';
import { LevelIterator } from './table/level-iterator.ts';
import type { Lookup } from './table/lookup.ts';
import type { TableCache } from './table/table-cache.ts';

/** A full memtable on its way to a table. */
export interface WaitingMemtable {
  readonly memtable: Memtable;
  /** The log that was begun after it: once the memtable is a table, older logs may go. */
  readonly nextLogNumber: number;
  /** Sequence number of its newest entry. */
  readonly lastSequence: number;
}

/** What a reader at one sequence number reads: never changes, however long it is held. */
export interface ReadView {
  readonly sequence: number;
  /** Newest first. */
  readonly memtables: readonly Memtable[];
  readonly version: Version;
}

export interface TreeParts {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly options: EngineOptions;
  readonly versions: VersionSet;
  readonly tables: TableCache;
  readonly blockCache: BlockCache;
  readonly waiting: readonly WaitingMemtable[];
}

/** What a scan asks of its tables. */
export interface IteratorOptions {
  /** Whether blocks that are read stay in the cache. */
  readonly isCacheFilled: boolean;
  /** Bytes read at once; 0 reads block by block. */
  readonly readAheadBytes: number;
}

export class Tree {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly options: EngineOptions;
  readonly versions: VersionSet;
  readonly tables: TableCache;
  readonly blockCache: BlockCache;
  readonly snapshots: SnapshotList = new SnapshotList();
  /** Oldest first. */
  readonly waiting: WaitingMemtable[];
  active: Memtable;
  readonly #arenas: ArenaPool;
  /** Readers see entries up to here. Raised once per write group, when all of it is in the memtable. */
  visibleSequence: number;
  /** Tables that an edit took out, to be removed when no reader holds them. */
  readonly #garbage = new Set<number>();
  /** Tables of commits that failed. The MANIFEST may name them all the same, until a later commit has begun a new one. */
  readonly #orphans = new Set<number>();
  #sweeping: Promise<void> | undefined;
  /** Whether something became garbage while a sweep was under way, which does not look for it any more. */
  #isSweepDue = false;
  #isClosed = false;

  constructor(parts: TreeParts) {
    this.fileSystem = parts.fileSystem;
    this.directory = parts.directory;
    this.options = parts.options;
    this.versions = parts.versions;
    this.tables = parts.tables;
    this.blockCache = parts.blockCache;
    this.waiting = [...parts.waiting];
    this.#arenas = new ArenaPool(parts.options.memtableBytesMax);
    this.active = this.#arenas.create(parts.options.memtableBytesMax);
    this.visibleSequence = parts.versions.lastSequence;
  }

  /** The present, held until {@link release}. */
  hold(sequence: number = this.visibleSequence): ReadView {
    const memtables = [this.active];
    for (let index = this.waiting.length - 1; index >= 0; index -= 1) {
      memtables.push((this.waiting[index] as WaitingMemtable).memtable);
    }
    for (const memtable of memtables) this.#arenas.hold(memtable);
    return { sequence, memtables, version: this.versions.hold(this.versions.current) };
  }

  release(view: ReadView): void {
    for (const memtable of view.memtables) this.#arenas.release(memtable);
    this.versions.release(view.version);
    if (view.version.holders === 0) this.sweep();
  }

  /** Bytes in use of the active memtable and of those that wait. */
  get memtableBytes(): number {
    return this.waiting.reduce((sum, { memtable }) => sum + memtable.bytesUsed, this.active.bytesUsed);
  }

  /**
   * The newest entry of a key at or below the lookup's sequence number. Synchronous while memory can answer; else the
   * lookup's key must stay unchanged, and the version is held until the step is done.
   */
  find(lookup: Lookup): Step {
    if (this.#findInMemtables(lookup)) return undefined;
    const version = this.versions.current;
    const step = findInTables(version, this.tables, lookup);
    if (step === undefined) return undefined;
    this.versions.hold(version);
    return step.finally(() => {
      this.versions.release(version);
      if (version.holders === 0) this.sweep();
    });
  }

  /** The same, and reads on the calling thread what must be read. */
  findNow(lookup: Lookup): void {
    if (!this.#findInMemtables(lookup)) findInTablesNow(this.versions.current, this.tables, lookup);
  }

  #findInMemtables(lookup: Lookup): boolean {
    if (findInMemtable(this.active, lookup)) return true;
    for (let index = this.waiting.length - 1; index >= 0; index -= 1) {
      if (findInMemtable((this.waiting[index] as WaitingMemtable).memtable, lookup)) return true;
    }
    return false;
  }

  /** All entries of the view, unfiltered, in internal key order. The view must be held until the iterator is closed. */
  iterate({ memtables, version }: ReadView, options: IteratorOptions): InternalIterator {
    const sources: InternalIterator[] = memtables.filter((one) => one.entryCount > 0).map((one) => one.iterator());
    for (const table of version.tables(0)) sources.push(new LevelIterator([table], this.tables, options));
    for (const [level, tables] of version.levels.entries()) {
      if (level > 0 && tables.length > 0) sources.push(new LevelIterator(tables, this.tables, options));
    }
    const [only] = sources;
    return sources.length === 1 && only !== undefined ? only : new MergeIterator(sources);
  }

  /**
   * Puts the full memtable aside and begins an empty one, of the usual size or large enough for what comes next.
   *
   * @param nextLogNumber - the log that was begun for the new memtable
   */
  rotate(nextLogNumber: number, capacityBytes: number): WaitingMemtable {
    const full = { memtable: this.active, nextLogNumber, lastSequence: this.versions.lastSequence };
    this.waiting.push(full);
    this.active = this.#arenas.create(Math.max(capacityBytes, this.options.memtableBytesMax));
    return full;
  }

  /** The oldest waiting memtable is in these tables now: makes that durable, and lets go of the memtable. */
  async installFlush(flushed: WaitingMemtable, tables: readonly TableMeta[]): Promise<void> {
    const newTables = tables.map((table) => ({ level: 0, table }));
    const { nextLogNumber: logNumber, lastSequence } = flushed;
    await this.#commit({ newTables, logNumber, lastSequence });
    this.waiting.splice(this.waiting.indexOf(flushed), 1);
    this.#arenas.retire(flushed.memtable);
  }

  /** Makes an edit durable and current; what it takes out is removed when no reader holds it. */
  async install(edit: VersionEdit): Promise<void> {
    await this.#commit(edit);
    for (const { fileNumber } of edit.deletedTables ?? []) {
      const isStillThere = edit.newTables?.some(({ table }) => table.fileNumber === fileNumber) ?? false;
      if (!isStillThere) this.#garbage.add(fileNumber); // a trivial move takes out and puts in the same table
    }
    this.sweep();
  }

  async #commit(edit: VersionEdit): Promise<void> {
    try {
      await this.versions.commit(edit);
    } catch (error) {
      for (const { table } of edit.newTables ?? []) this.#orphans.add(table.fileNumber);
      throw error;
    }
    for (const fileNumber of this.#orphans) this.#garbage.add(fileNumber);
    this.#orphans.clear();
    this.sweep();
  }

  /** Removes tables that nothing names any more. Failures are left for the next open, which removes what is not named. */
  sweep(): void {
    if (this.#garbage.size === 0 || this.options.readOnly || this.#isClosed) return;
    if (this.#sweeping !== undefined) {
      this.#isSweepDue = true;
      return;
    }
    this.#sweeping = this.#sweep().finally(() => {
      this.#sweeping = undefined;
      if (!this.#isSweepDue) return;
      this.#isSweepDue = false;
      this.sweep();
    });
  }

  async #sweep(): Promise<void> {
    await Promise.resolve(); // after the caller's own step
    const live = this.versions.liveTables();
    for (const fileNumber of [...this.#garbage]) {
      if (live.has(fileNumber)) continue;
      this.#garbage.delete(fileNumber);
      await this.tables.evict(fileNumber);
      const remove = (name: string): Promise<void> => this.fileSystem.remove(pathOf(this.directory, name));
      await remove(tableName(fileNumber))
        .catch(() => remove(oldTableName(fileNumber)))
        .catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    while (this.#sweeping !== undefined) await this.#sweeping; // one may be followed by another
    this.#isClosed = true; // the directory is soon somebody else's; what a reader still holds goes at the next open
    await this.versions.close().finally(() => this.tables.closeAll());
  }
}

function findInMemtable(memtable: Memtable, lookup: Lookup): boolean {
  const entry = memtable.find(lookup.key, lookup.keyStart, lookup.keyEnd, lookup.sequence);
  if (entry < 0) return false;
  lookup.foundSequence = memtable.sequenceOf(entry);
  if (memtable.kindOf(entry) === KIND_DELETE) {
    lookup.state = 'deleted';
    return true;
  }
  lookup.state = 'found';
  lookup.valueBytes = memtable.bytes;
  lookup.valueStart = memtable.valueStartOf(entry);
  lookup.valueEnd = memtable.valueEndOf(entry);
  return true;
}
