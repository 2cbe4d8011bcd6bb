/** The knobs of storage, with units, defaults and ranges in one table; `checkOptions` is the only way to make them. */
import type { Compression, Durability, OverflowPolicy } from '../model.ts';
import { choice, flag, whole } from './check-option.ts';

/** Options of a store. All are optional; a wrong one throws at the call. */
export interface EngineOptions {
  /** What an acknowledgement promises where the write does not say. Default `'synced'`. */
  readonly durability: Durability;
  /** Longest time, in milliseconds, that a buffered write waits for its sync. 1 to 60,000; default 100. */
  readonly syncIntervalMs: number;
  /** Bytes of one memtable, overhead included. 1 KiB to 1 GiB; default 16 MiB. At most `waitingMemtablesMax` + 2 exist at a time (a huge batch gets one of its own size). */
  readonly memtableBytesMax: number;
  /** Full memtables that may wait for their flush before writes stop. 1 to 16; default 2. */
  readonly waitingMemtablesMax: number;
  /** Bytes of uncompressed blocks kept for reads. 0 to 1 TiB; default 32 MiB. */
  readonly blockCacheBytesMax: number;
  /** Uncompressed bytes at which a block is cut. 1 to 4 MiB; default 4,096. */
  readonly blockBytesMax: number;
  /** Entries between two restart points of a block. 1 to 1,024; default 16. */
  readonly blockRestartInterval: number;
  /** Bytes at which a compaction cuts a table. 1 KiB to 1 GiB; default 4 MiB. */
  readonly tableBytesMax: number;
  /** Tables open at once, each a file descriptor, its index and its filter. 4 to 65,536; default 1,000. */
  readonly openTablesMax: number;
  /** Bytes of the indexes and filters of open tables. 0 to 1 TiB; default 64 MiB. Tables in use stay open beyond it. */
  readonly tableCacheBytesMax: number;
  /** Bits of bloom filter per key on the deepest levels; shallower levels get more (Monkey). 0 (none) to 32; default 10. */
  readonly filterBitsPerKey: number;
  /** Default `'snappy'`, as in LevelDB. */
  readonly compression: Compression;
  /** Level-0 tables that start a compaction. 1 to 1,000; default 4. */
  readonly level0CompactionTrigger: number;
  /** Level-0 tables from which writes are slowed. 1 to 1,000; default 8. */
  readonly level0SlowdownTrigger: number;
  /** Level-0 tables at which writes stop. 2, or `level0CompactionTrigger` if that is more, to 1,000; default 20, likewise. */
  readonly level0StopTrigger: number;
  /** Bytes of level 1; each deeper level holds ten times as many. 1 KiB to 1 TiB; default four memtables. */
  readonly level1BytesMax: number;
  /** Bytes at which a MANIFEST is rewritten (or ten times its first snapshot, if that is more). 1 KiB to 1 GiB; default 4 MiB. */
  readonly manifestBytesMax: number;
  /** Writes that may wait for the log. 1 to 2^24; default 65,536. */
  readonly waitingWritesMax: number;
  /** Bytes of keys and values that may wait for the log. 1 to 1 GiB; default 64 MiB. */
  readonly waitingWriteBytesMax: number;
  /** Bytes that one write group takes before it is closed. 1 to 64 MiB; default 1 MiB. */
  readonly groupBytesMax: number;
  /** What happens to a write that comes when those are full. Default `'wait'`. */
  readonly onOverflow: OverflowPolicy;
  /** Makes a new database where there is none. Default true. */
  readonly createIfMissing: boolean;
  /** Refuses a database that is there already. Default false. */
  readonly errorIfExists: boolean;
  /** Opens without the lock and changes no file. Default false. */
  readonly readOnly: boolean;
  /**
   * Opens a damaged log up to the damage, and tells by an event what was left out, instead of refusing. The damaged file
   * is moved to `lost/`. Default false.
   */
  readonly salvage: boolean;
  /**
   * Bytes of history that are kept: logs whose content is in tables, for change streams that begin at an earlier place.
   * Beyond it the oldest go that no consumer needs. 0 to 1 PiB; default 256 MiB. 0 keeps what consumers need, and nothing else.
   */
  readonly historyBytesMax: number;
  /** Milliseconds after which history goes that no consumer needs. 1,000 to 100 years, or `Infinity`; default `Infinity`. */
  readonly historyAgeMsMax: number;
  /**
   * Bytes of history beyond which the oldest go, whoever needs them: a consumer that has stood still for too long then gets a
   * HistoryGoneError. `historyBytesMax` to 1 PiB; default 4 GiB, or `historyBytesMax` if that is more. A `historyHeld`
   * event warns from four fifths of it on.
   */
  readonly historyHardBytesMax: number;
  /** `'auto'`: flush and compaction run in a worker thread, or in slices on this one where none can be had. Default `'auto'`. */
  readonly worker: 'auto' | 'off';
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const PIB = 1024 * 1024 * GIB;
const CENTURY_MS = 100 * 366 * 86_400_000;

const historyAge = (given: unknown): number =>
  given === Infinity ? Infinity : whole('historyAgeMsMax', given, 1000, CENTURY_MS, Infinity);

/** What the caller may give: any part of the options. `undefined` means the default. */
export type GivenOptions = { readonly [Name in keyof EngineOptions]?: EngineOptions[Name] | undefined };

/** Refuses what the compiler could not see (a plain-JavaScript caller, a parsed file) and fills in the defaults. */
export function checkOptions(given: GivenOptions = {}): EngineOptions {
  const memtableBytesMax = whole('memtableBytesMax', given.memtableBytesMax, KIB, GIB, 16 * MIB);
  const level0CompactionTrigger = whole('level0CompactionTrigger', given.level0CompactionTrigger, 1, 1000, 4);
  const historyBytesMax = whole('historyBytesMax', given.historyBytesMax, 0, PIB, 256 * MIB);
  const hardMax = Math.max(4 * GIB, historyBytesMax);
  const stopMin = Math.max(2, level0CompactionTrigger); // stopped before a compaction begins, writes would never go on
  return {
    durability: choice('durability', given.durability, ['synced', 'buffered'], 'synced'),
    syncIntervalMs: whole('syncIntervalMs', given.syncIntervalMs, 1, 60_000, 100),
    memtableBytesMax,
    waitingMemtablesMax: whole('waitingMemtablesMax', given.waitingMemtablesMax, 1, 16, 2),
    blockCacheBytesMax: whole('blockCacheBytesMax', given.blockCacheBytesMax, 0, 1024 * GIB, 32 * MIB),
    blockBytesMax: whole('blockBytesMax', given.blockBytesMax, 1, 4 * MIB, 4 * KIB),
    blockRestartInterval: whole('blockRestartInterval', given.blockRestartInterval, 1, 1024, 16),
    tableBytesMax: whole('tableBytesMax', given.tableBytesMax, KIB, GIB, 4 * MIB),
    openTablesMax: whole('openTablesMax', given.openTablesMax, 4, 65_536, 1000),
    tableCacheBytesMax: whole('tableCacheBytesMax', given.tableCacheBytesMax, 0, 1024 * GIB, 64 * MIB),
    filterBitsPerKey: whole('filterBitsPerKey', given.filterBitsPerKey, 0, 32, 10),
    compression: choice('compression', given.compression, ['snappy', 'none'], 'snappy'),
    level0CompactionTrigger,
    level0SlowdownTrigger: whole('level0SlowdownTrigger', given.level0SlowdownTrigger, 1, 1000, 8),
    level0StopTrigger: whole('level0StopTrigger', given.level0StopTrigger, stopMin, 1000, Math.max(stopMin, 20)),
    level1BytesMax: whole('level1BytesMax', given.level1BytesMax, KIB, 1024 * GIB, 4 * memtableBytesMax),
    manifestBytesMax: whole('manifestBytesMax', given.manifestBytesMax, KIB, GIB, 4 * MIB),
    waitingWritesMax: whole('waitingWritesMax', given.waitingWritesMax, 1, 2 ** 24, 65_536),
    waitingWriteBytesMax: whole('waitingWriteBytesMax', given.waitingWriteBytesMax, 1, GIB, 64 * MIB),
    groupBytesMax: whole('groupBytesMax', given.groupBytesMax, 1, 64 * MIB, MIB),
    onOverflow: choice('onOverflow', given.onOverflow, ['wait', 'fail', 'dropOldest', 'dropNewest'], 'wait'),
    createIfMissing: flag('createIfMissing', given.createIfMissing, true),
    errorIfExists: flag('errorIfExists', given.errorIfExists, false),
    readOnly: flag('readOnly', given.readOnly, false),
    salvage: flag('salvage', given.salvage, false),
    historyBytesMax,
    historyAgeMsMax: historyAge(given.historyAgeMsMax),
    historyHardBytesMax: whole('historyHardBytesMax', given.historyHardBytesMax, historyBytesMax, PIB, hardMax),
    worker: choice('worker', given.worker, ['auto', 'off'], 'auto'),
  };
}
