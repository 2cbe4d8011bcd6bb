/**
 * Opening a database, step by step; each step may refuse, and until the last but one nothing in the directory is changed.
 *
 *   1  the directory is there, and is one                      4  every table and log that the MANIFEST relies on exists
 *   2  the lock is ours                                        5  logs are replayed; full memtables become level-0 tables
 *   3  CURRENT names a MANIFEST; it is replayed                6  a new log, a new MANIFEST that says it all, CURRENT
 *                                                              7  files that nothing names any more are removed
 *
 * What a log held is written again into tables, and synced, before anything is built upon it: after a crash nobody knows
 * whether what can be read from a file is also on the disk (rule R3).
 */
import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { AlreadyExistsError, CorruptionError, type EngineError, IoError, NotADatabaseError } from '../errors.ts';
import { BatchReader } from './codec/write-batch.ts';
import {
  CURRENT,
  LOST_DIRECTORY,
  logName,
  oldTableName,
  parseFileName,
  pathOf,
  tableName,
  tableNames,
} from './file-names.ts';
import type { TableJobExecutor } from './compaction/executor.ts';
import { tableOptionsFor } from './compaction/table-options.ts';
import { attempt } from './file-system/attempt.ts';
import type { DirectoryLock, FileSystem } from './file-system/file-system.ts';
import { refuseLink } from './file-system/own-directory.ts';
import { databaseIdOf, databaseIdPointer } from './history/database-id.ts';
import { ARCHIVE_DIRECTORY } from './history/history-names.ts';
import { claimsOfLogs } from './history/log-claims.ts';
import type { HistoryLoss } from './history/history-state.ts';
import type { LogArchive } from './history/log-archive.ts';
import { rebuildFromTables } from './history/rebuild-from-tables.ts';
import { HistoryOpening, type OpenedHistory, type RebuildFromTables } from './history/recover-history.ts';
import { readCurrent } from './manifest/current-file.ts';
import { type ManifestState, readManifest } from './manifest/read-manifest.ts';
import { LEVELS, type TableMeta } from './manifest/table-meta.ts';
import { VersionSet } from './manifest/version-set.ts';
import { Version } from './manifest/version.ts';
import { Memtable } from './memtable/memtable.ts';
import type { EngineOptions } from './options.ts';
import type { Step } from './read/internal-iterator.ts';
import { BlockCache } from './table/block-cache.ts';
import { TableCache } from './table/table-cache.ts';
import { Tree, type WaitingMemtable } from './tree.ts';
import {
  type LogClaims,
  type LogFile,
  NO_CLAIMS,
  recoverLogs,
  type RecoveryReport,
  type RecoverySink,
} from './wal/log-recovery.ts';
import { EMPTY_LOG_BYTES_MAX, WriteAheadLog } from './wal/write-ahead-log.ts';

export interface OpenPorts {
  readonly fileSystem: FileSystem;
  readonly executor: TableJobExecutor;
  /** Who opens: goes into the error of whoever tries next. */
  readonly pid: number;
  readonly now: Date;
  /** A new identity for a database that has none: 32 hexadecimal digits. */
  readonly newDatabaseId: () => string;
  /** Lets the event loop have a turn, in a long replay. */
  readonly yieldTurn: () => Promise<void>;
}

export interface OpenedTree {
  /** The directory's one absolute name. */
  readonly location: string;
  readonly tree: Tree;
  /** `undefined` when opened for reading only. */
  readonly log: WriteAheadLog | undefined;
  readonly lock: DirectoryLock | undefined;
  readonly recovery: RecoveryReport;
  /** `undefined` when opened for reading only: then nobody writes it on. */
  readonly archive: LogArchive | undefined;
  /** Changes that history has lost, if it has. */
  readonly historyLoss: HistoryLoss | undefined;
}

/** Of the 10^15 - 1 numbers that a name has digits for, and the 2^53 - 1 that a number has: far more than are left is used up. */
const FILE_NUMBER_USED_MAX = 9e14;
const SEQUENCE_USED_MAX: number = 2 ** 52;

/** Room that a log keeps ready for synced writes, at a time: of this size, and of a part of the memtable at most. */
const LOG_RESERVE_BYTES_MAX: number = 256 * 1024;
const LOG_RESERVE_SHARE = 64;

/** Entries replayed between two turns of the event loop. */
const ENTRIES_PER_TURN = 4096;

export function openTree(
  directory: string,
  options: EngineOptions,
  ports: OpenPorts,
): TaskEither<EngineError, OpenedTree> {
  return attempt(async () => {
    const { fileSystem } = ports;
    const location = await findDirectory(fileSystem, directory, options);
    const holder = { pid: ports.pid, since: ports.now };
    const lock = options.readOnly ? undefined : await fileSystem.lock(location, holder);
    try {
      return { location, lock, ...(await new Opening(location, options, ports).run()) };
    } catch (error) {
      await lock?.release().catch(() => undefined); // the first error says more
      throw error;
    }
  });
}

async function findDirectory(fileSystem: FileSystem, directory: string, options: EngineOptions): Promise<string> {
  const kind = await fileSystem.stat(directory).then(
    (stat) => stat.kind,
    (error: unknown) => {
      if (error instanceof IoError && error.systemCode === 'ENOENT') return undefined;
      if (error instanceof IoError && error.systemCode === 'ENOTDIR') return 'other';
      throw error;
    },
  );
  if (kind === undefined) {
    if (options.readOnly || !options.createIfMissing) {
      throw new NotADatabaseError(directory, 'there is nothing of that name. Set createIfMissing to make one.');
    }
    await fileSystem.makeDirectory(directory);
  } else if (kind !== 'directory') {
    throw new NotADatabaseError(directory, 'it is not a directory. Give the path of a directory.');
  }
  const location = await fileSystem.realPath(directory);
  for (const name of [ARCHIVE_DIRECTORY, LOST_DIRECTORY]) await refuseLink(fileSystem, pathOf(location, name));
  return location;
}

const NEW_DATABASE: ManifestState = {
  version: Version.empty,
  nextFileNumber: 1,
  lastSequence: 0,
  logNumber: 0,
  previousLogNumber: 0,
  compactionPointers: [],
};

/** One opening: the directory's listing and what was found so far, shared by the steps. */
class Opening {
  readonly #location: string;
  readonly #options: EngineOptions;
  readonly #ports: OpenPorts;
  readonly #fileSystem: FileSystem;
  #names: readonly string[] = [];
  #claims: LogClaims = NO_CLAIMS;

  constructor(location: string, options: EngineOptions, ports: OpenPorts) {
    this.#location = location;
    this.#options = options;
    this.#ports = ports;
    this.#fileSystem = ports.fileSystem;
  }

  async run(): Promise<Omit<OpenedTree, 'location' | 'lock'>> {
    const state = await this.#readState();
    // Before the logs are looked at: who opens beside a writer must not find claims of what came later.
    if (state !== undefined) this.#claims = await claimsOfLogs(this.#fileSystem, this.#location, state);
    this.#names = await this.#fileSystem.list(this.#location);
    if (state !== undefined) this.#checkFiles(state);
    else await this.#checkNoFiles();
    return this.#replay(state ?? NEW_DATABASE);
  }

  async #readState(): Promise<ManifestState | undefined> {
    const manifestNumber = await readCurrent(this.#fileSystem, this.#location);
    if (manifestNumber === undefined) return undefined;
    if (this.#options.errorIfExists) throw new AlreadyExistsError(this.#location);
    return readManifest(this.#fileSystem, this.#location, manifestNumber);
  }

  /** Without CURRENT, only what an interrupted creation leaves behind may be here. */
  async #checkNoFiles(): Promise<void> {
    const { createIfMissing, readOnly } = this.#options;
    for (const name of this.#names) {
      const kind = parseFileName(name)?.kind;
      if (kind !== 'table' && kind !== 'log') continue;
      // A creation that was cut short leaves a log with its first mark: no write is logged before CURRENT is there.
      const { size } = await this.#fileSystem.stat(pathOf(this.#location, name));
      const isData = kind === 'table' || size > EMPTY_LOG_BYTES_MAX;
      if (isData) throw new CorruptionError(CURRENT, 0, `it is missing, and there is ${name}`);
    }
    if (readOnly || !createIfMissing) {
      throw new NotADatabaseError(this.#location, 'there is no CURRENT file in it. Set createIfMissing to make one.');
    }
  }

  #checkFiles(state: ManifestState): void {
    const present = new Set(this.#names);
    for (const { fileNumber } of state.version.levels.flat()) {
      if (present.has(tableName(fileNumber)) || present.has(oldTableName(fileNumber))) continue;
      throw new CorruptionError(tableName(fileNumber), 0, 'the MANIFEST names it, and it is missing');
    }
    // A log exists before a MANIFEST names it and until one names a later one. Without it, the MANIFEST has lost its end.
    const { logNumber } = state;
    if (logNumber !== 0 && !present.has(logName(logNumber))) {
      throw new CorruptionError(
        logName(logNumber),
        0,
        'the MANIFEST, which may have lost its end, names it, and it is missing',
      );
    }
  }

  async #openLogs(state: ManifestState): Promise<LogFile[]> {
    const numbers = this.#names
      .map(parseFileName)
      .filter((name) => name?.kind === 'log')
      .map((name) => name?.fileNumber ?? 0)
      .filter((number) => number >= state.logNumber || number === state.previousLogNumber)
      .sort((a, b) => a - b);
    const logs: LogFile[] = [];
    try {
      for (const number of numbers) {
        const name = logName(number);
        logs.push({ number, name, file: await this.#fileSystem.openForRead(pathOf(this.#location, name)) });
      }
    } catch (error) {
      await closeAll(logs);
      throw error;
    }
    return logs;
  }

  async #replay(state: ManifestState): Promise<Omit<OpenedTree, 'location' | 'lock'>> {
    const { memtableBytesMax, blockCacheBytesMax, openTablesMax, tableCacheBytesMax, manifestBytesMax, salvage } =
      this.#options;
    const history = this.#options.readOnly ? undefined : await this.#beginHistory(state);
    const newestNumber = this.#names.reduce(
      (most, name) => Math.max(most, parseFileName(name)?.fileNumber ?? 0),
      history?.newestFileNumber ?? 0,
    );
    this.#checkRoom('file numbers', Math.max(newestNumber, state.nextFileNumber), FILE_NUMBER_USED_MAX);
    const versions = new VersionSet(this.#fileSystem, this.#location, state, newestNumber + 1, manifestBytesMax);
    const replayed = new ReplayedMemtables(
      memtableBytesMax,
      this.#ports.yieldTurn,
      (memtable) => (this.#options.readOnly ? undefined : this.#spill(memtable, versions)),
      history,
    );
    const logs = await this.#openLogs(state);
    let recovery: RecoveryReport;
    try {
      const report = await recoverLogs(logs, state.lastSequence, replayed, { salvage, claims: this.#claims })();
      if (E.isLeft(report)) throw report.left;
      recovery = report.right;
      this.#checkRoom('sequence numbers', recovery.lastSequence, SEQUENCE_USED_MAX);
    } catch (error) {
      await history?.abandon();
      throw error;
    } finally {
      await closeAll(logs);
    }
    versions.lastSequence = recovery.lastSequence;

    const { fileSystem, location: directory } = { fileSystem: this.#fileSystem, location: this.#location };
    const blockCache = new BlockCache(blockCacheBytesMax);
    const tables = new TableCache(fileSystem, directory, openTablesMax, blockCache, tableNames, tableCacheBytesMax);
    const parts = { fileSystem, directory, options: this.#options, versions, tables, blockCache };
    if (history === undefined) {
      const waiting = replayed
        .all()
        .map((memtable): WaitingMemtable => ({ memtable, nextLogNumber: 0, lastSequence: recovery.lastSequence }));
      const tree = new Tree({ ...parts, waiting });
      return { tree, log: undefined, recovery, archive: undefined, historyLoss: undefined };
    }

    const allocateFileNumber = (): number => versions.allocateFileNumber();
    const opened = await this.#finishHistory(history, replayed, state, allocateFileNumber);
    const { archive, lastSequence } = opened;
    versions.lastSequence = lastSequence;
    const reserveBytes = Math.min(
      LOG_RESERVE_BYTES_MAX,
      Math.floor(this.#options.memtableBytesMax / LOG_RESERVE_SHARE),
    );
    const log = await WriteAheadLog.begin(
      fileSystem,
      directory,
      allocateFileNumber,
      lastSequence,
      archive,
      reserveBytes,
    );
    try {
      await this.#keepDamaged(recovery);
      const newTables = replayed.spilled.map((table) => ({ level: 0, table }));
      const compactionPointers = [databaseIdPointer(archive.databaseId)];
      await versions.commit({ newTables, compactionPointers, logNumber: log.activeNumber, lastSequence });
      await archive.moveLeft();
      await this.#clean(versions, log.activeNumber, opened.strays);
    } catch (error) {
      await log.close().catch(() => undefined);
      await versions.close().catch(() => undefined);
      throw error;
    }
    return { tree: new Tree({ ...parts, waiting: [] }), log, recovery, archive, historyLoss: opened.loss };
  }

  /** No engine counts so far; whoever made such files up would have us write names that nobody reads again. */
  #checkRoom(what: string, used: number, usedMax: number): void {
    if (used <= usedMax || this.#options.readOnly) return;
    throw new CorruptionError(CURRENT, 0, `its files use ${what} up to ${used}, and leave no room for others`);
  }

  #beginHistory(state: ManifestState): Promise<HistoryOpening> {
    const { fileSystem, newDatabaseId, now } = this.#ports;
    const known = databaseIdOf(state.compactionPointers);
    return HistoryOpening.begin({
      fileSystem,
      directory: this.#location,
      databaseId: known ?? newDatabaseId(),
      isNew: known === undefined,
      logNumber: state.logNumber,
      names: this.#names,
      tablesLast: state.lastSequence,
      nowMs: now.getTime(),
      salvage: this.#options.salvage,
    });
  }

  async #finishHistory(
    history: HistoryOpening,
    replayed: ReplayedMemtables,
    state: ManifestState,
    allocateFileNumber: () => number,
  ): Promise<OpenedHistory> {
    const { openTablesMax, tableCacheBytesMax } = this.#options;
    // What is looked through is not what will be read: a cache for this alone.
    const blocks = new BlockCache(0);
    const tables = new TableCache(
      this.#fileSystem,
      this.#location,
      openTablesMax,
      blocks,
      tableNames,
      tableCacheBytesMax,
    );
    const rebuild: RebuildFromTables = (first, last, newestKnownFile) =>
      rebuildFromTables(state.version, tables, this.#ports.yieldTurn, [first, last], newestKnownFile);
    try {
      await replayed.finish();
      return await history.finish(rebuild, allocateFileNumber);
    } catch (error) {
      await history.abandon();
      throw error;
    } finally {
      await tables.closeAll();
    }
  }

  async #spill(memtable: Memtable, versions: VersionSet): Promise<TableMeta | undefined> {
    const output = await this.#ports.executor.run(
      {
        type: 'flush',
        jobId: 0,
        directory: this.#location,
        memtable: memtable.buffer,
        bytes: memtable.bytesUsed,
        tableOptions: tableOptionsFor(this.#options, 0, LEVELS - 1),
        snapshots: [],
      },
      () => versions.allocateFileNumber(),
    );
    return output.tables[0];
  }

  /**
   * A second name in `lost/` for every log that salvage left something out of: made before the commit, after which the
   * first name goes, so that the bytes are never without one.
   */
  async #keepDamaged({ torn }: RecoveryReport): Promise<void> {
    if (torn?.corruption === undefined) return;
    const lost = pathOf(this.#location, LOST_DIRECTORY);
    await this.#fileSystem.makeDirectory(lost);
    for (const name of [torn.file, ...torn.laterLogsDropped]) {
      await this.#fileSystem.link(pathOf(this.#location, name), pathOf(lost, name)).catch((error: unknown) => {
        const isThere = error instanceof IoError && error.systemCode === 'EEXIST'; // from an open that was cut short
        if (!isThere) throw error;
      });
    }
    await this.#fileSystem.syncDirectory(lost);
  }

  /** Removes what the new MANIFEST does not name. */
  async #clean(versions: VersionSet, logNumber: number, strays: readonly string[]): Promise<void> {
    for (const path of strays) await this.#fileSystem.remove(path).catch(() => undefined);
    const live = versions.liveTables();
    for (const name of this.#names) {
      const parsed = parseFileName(name);
      if (parsed === undefined) continue;
      const { kind, fileNumber } = parsed;
      const isNeeded =
        (kind === 'table' && live.has(fileNumber)) ||
        (kind === 'log' && fileNumber >= logNumber) ||
        (kind === 'manifest' && fileNumber === versions.manifestNumber);
      // A file that cannot be removed is in nobody's way; the next open tries again.
      if (!isNeeded) await this.#fileSystem.remove(pathOf(this.#location, name)).catch(() => undefined);
    }
  }
}

async function closeAll(logs: readonly LogFile[]): Promise<void> {
  await Promise.allSettled(logs.map(({ file }) => file.close())); // nothing was written, so nothing is lost
}

/** Takes recovered batches into memtables; hands full ones over to become tables. */
class ReplayedMemtables implements RecoverySink {
  readonly spilled: TableMeta[] = [];
  readonly #bytesMax: number;
  readonly #yieldTurn: () => Promise<void>;
  readonly #spill: (memtable: Memtable) => Promise<TableMeta | undefined> | undefined;
  readonly #history: HistoryOpening | undefined;
  readonly #kept: Memtable[] = [];
  readonly #reader = new BatchReader();
  /** Made when the first batch comes: most opens have none. */
  #memtable: Memtable | undefined;
  #sinceTurn = 0;

  constructor(
    bytesMax: number,
    yieldTurn: () => Promise<void>,
    spill: (memtable: Memtable) => Promise<TableMeta | undefined> | undefined,
    history: HistoryOpening | undefined,
  ) {
    this.#bytesMax = bytesMax;
    this.#yieldTurn = yieldTurn;
    this.#spill = spill;
    this.#history = history;
  }

  batch(bytes: Uint8Array, start: number, end: number, sequence: number, count: number, log: LogFile): Step {
    const kept = this.#history?.batch(bytes, start, end, sequence, count, log.number);
    if (kept === undefined) return this.#take(bytes, start, end, count);
    return kept.then(() => this.#take(bytes, start, end, count));
  }

  #take(bytes: Uint8Array, start: number, end: number, count: number): Step {
    const capacityBytes = Math.max(this.#bytesMax, Memtable.capacityFor(count, end - start));
    const memtable = (this.#memtable ??= Memtable.create(capacityBytes));
    if (memtable.hasRoomFor(count, end - start)) return this.#insert(memtable, bytes, start, end, count);
    return this.finish().then(() => {
      this.#memtable = Memtable.create(capacityBytes);
      return this.#insert(this.#memtable, bytes, start, end, count);
    });
  }

  /** Hands over the memtable, if there is one. */
  async finish(): Promise<void> {
    const full = this.#memtable;
    this.#memtable = undefined;
    if (full === undefined) return;
    const table = await this.#spill(full);
    if (table === undefined) this.#kept.push(full);
    else this.spilled.push(table);
  }

  /** For a reader that may write nothing: all of it, oldest first. */
  all(): readonly Memtable[] {
    return this.#memtable === undefined ? this.#kept : [...this.#kept, this.#memtable];
  }

  #insert(memtable: Memtable, bytes: Uint8Array, start: number, end: number, count: number): Step {
    const reader = this.#reader;
    reader.reset(bytes, start, end);
    while (reader.next()) {
      const { sequence, kind, keyStart, keyEnd, valueStart, valueEnd } = reader;
      memtable.add(sequence, kind, bytes, keyStart, keyEnd, valueStart, valueEnd);
    }
    this.#sinceTurn += count;
    if (this.#sinceTurn < ENTRIES_PER_TURN) return undefined;
    this.#sinceTurn = 0;
    return this.#yieldTurn();
  }
}
