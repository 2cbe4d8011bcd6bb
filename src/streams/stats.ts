/** The figures of a store at one moment, as plain data. Counters run from its opening. */
import type { SequenceNumber } from '../model.ts';
import { compactionDebt } from '../storage/compaction/picker.ts';
import { totalBytes } from '../storage/manifest/table-meta.ts';
import type { Engine } from './engine.ts';

export interface LevelStats {
  readonly level: number;
  readonly tables: number;
  readonly bytes: number;
}

export interface StoreStats {
  /** The newest write that readers see. */
  readonly sequence: SequenceNumber;
  /** The newest write that survives a power cut. */
  readonly durableSequence: SequenceNumber;
  /** Level 0 to 6. */
  readonly levels: readonly LevelStats[];
  /** Bytes in use of the active memtable, and of those that wait for their flush. */
  readonly memtableBytes: number;
  readonly waitingMemtables: number;
  /** What waits for the log; `callersAtTheDoor` wait for room in that queue. */
  readonly waitingWrites: number;
  readonly waitingWriteBytes: number;
  readonly callersAtTheDoor: number;
  /** Writes and their groups; `syncs` is how many times the log was synced for them. */
  readonly writes: number;
  readonly groups: number;
  readonly syncs: number;
  /** Bytes of keys and values written by the caller, with a few bytes of framing. */
  readonly userBytesWritten: number;
  readonly logBytesWritten: number;
  readonly flushes: number;
  readonly flushBytesWritten: number;
  readonly compactions: number;
  readonly trivialMoves: number;
  readonly compactionBytesRead: number;
  readonly compactionBytesWritten: number;
  /** Bytes above the levels' limits: what compaction has to work off. */
  readonly compactionDebtBytes: number;
  /** (log + flush + compaction) / user bytes; 0 before the first write. */
  readonly writeAmplification: number;
  /** Milliseconds that write groups were held back, in total. */
  readonly stalledMs: number;
  readonly blockCache: { readonly hits: number; readonly misses: number; readonly bytes: number };
  readonly openTables: number;
  readonly snapshots: number;
}

export function statsOf(engine: Engine): StoreStats {
  const { tree, log, writeCounters: writes, jobCounters: jobs, stall } = engine;
  const version = tree.versions.current;
  const written = (log?.bytesWritten ?? 0) + jobs.flushBytesWritten + jobs.compactionBytesWritten;
  const { hits, misses, bytes } = tree.blockCache.metrics;
  return {
    sequence: tree.visibleSequence,
    durableSequence: log?.durableSequence ?? tree.visibleSequence,
    levels: version.levels.map((tables, level) => ({ level, tables: tables.length, bytes: totalBytes(tables) })),
    memtableBytes: tree.memtableBytes,
    waitingMemtables: tree.waiting.length,
    waitingWrites: writes.waitingWrites,
    waitingWriteBytes: writes.waitingBytes,
    callersAtTheDoor: writes.callersAtTheDoor,
    writes: writes.writes,
    groups: writes.groups,
    syncs: log?.syncs ?? 0,
    userBytesWritten: writes.userBytes,
    logBytesWritten: log?.bytesWritten ?? 0,
    flushes: jobs.flushes,
    flushBytesWritten: jobs.flushBytesWritten,
    compactions: jobs.compactions,
    trivialMoves: jobs.trivialMoves,
    compactionBytesRead: jobs.compactionBytesRead,
    compactionBytesWritten: jobs.compactionBytesWritten,
    compactionDebtBytes: compactionDebt(version, tree.options),
    writeAmplification: writes.userBytes === 0 ? 0 : written / writes.userBytes,
    stalledMs: stall.stalledMs,
    blockCache: { hits, misses, bytes },
    openTables: tree.tables.openCount,
    snapshots: tree.snapshots.size,
  };
}
