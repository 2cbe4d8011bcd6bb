/**
 * What the engine does in the background, as events: each Begin has an End with the same job id, also when it fails.
 * For logs, metrics, and tests. Emitted synchronously; an observer that throws does not disturb the engine.
 */
import type { CompactionReason } from '../storage/compaction/picker.ts';

/** A memtable is on its way to a table. */
export interface FlushBeginEvent {
  readonly type: 'flushBegin';
  readonly jobId: number;
  readonly entries: number;
  readonly bytes: number;
}

export interface FlushEndEvent {
  readonly type: 'flushEnd';
  readonly jobId: number;
  readonly bytesWritten: number;
  readonly durationMs: number;
  readonly error: unknown;
}

/** Tables are being merged into the next level. */
export interface CompactionBeginEvent {
  readonly type: 'compactionBegin';
  readonly jobId: number;
  readonly reason: CompactionReason;
  readonly level: number;
  readonly inputTables: number;
  readonly inputBytes: number;
  /** The one input moves down as it is: nothing is read or written. */
  readonly isTrivialMove: boolean;
}

export interface CompactionEndEvent {
  readonly type: 'compactionEnd';
  readonly jobId: number;
  readonly outputTables: number;
  readonly bytesWritten: number;
  readonly entriesDropped: number;
  readonly durationMs: number;
  readonly error: unknown;
}

/** Writes wait, because flush or compaction cannot keep up. */
export interface StallBeginEvent {
  readonly type: 'stallBegin';
  /** `'slowdown'`: each group waits a little. `'stop'`: none passes. */
  readonly kind: 'slowdown' | 'stop';
  readonly level0Tables: number;
  readonly waitingMemtables: number;
}

export interface StallEndEvent {
  readonly type: 'stallEnd';
  readonly durationMs: number;
}

/** Work in the background failed; it is tried again. */
export interface BackgroundErrorEvent {
  readonly type: 'backgroundError';
  readonly during: 'log' | 'flush' | 'compaction';
  readonly error: unknown;
  /** Milliseconds until the next try. */
  readonly retryInMs: number;
}

/** After a failure, writes are refused from here on... */
export interface WritesRefusedEvent {
  readonly type: 'writesRefused';
  readonly error: unknown;
}

/** ... until here. */
export interface WritesResumedEvent {
  readonly type: 'writesResumed';
}

/** No worker thread can be had: flush and compaction run on the main thread, in slices. */
export interface WorkerUnavailableEvent {
  readonly type: 'workerUnavailable';
  readonly error: unknown;
}

/** The logs ended in a record that was never finished, or, with `salvage`, in damage. What came behind it is left out. */
export interface LogTailDroppedEvent {
  readonly type: 'logTailDropped';
  readonly file: string;
  readonly offset: number;
  readonly bytesDropped: number;
  readonly reason: string;
  /** The damage, if it was that: then acknowledged writes may be missing. `undefined`: none is. */
  readonly error: unknown;
}

/** Changes that history should have kept are lost to it: it begins anew behind them. The data itself is not touched. */
export interface HistoryLostEvent {
  readonly type: 'historyLost';
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** `'foreignWriter'`: another program wrote to the database, and merged away what it wrote. `'damage'`: see `error`. */
  readonly reason: 'foreignWriter' | 'damage';
  readonly error: unknown;
}

/** A consumer has stood still for so long that history nears `historyHardBytesMax`. */
export interface HistoryHeldEvent {
  readonly type: 'historyHeld';
  readonly consumer: string;
  readonly bytes: number;
  readonly bytesMax: number;
}

/** History has reached its hard limit: these consumers have lost their places, and `oldest` is the oldest there is. */
export interface HistoryDroppedEvent {
  readonly type: 'historyDropped';
  readonly consumers: readonly string[];
  readonly oldest: number;
}

export type EngineEvent =
  | FlushBeginEvent
  | FlushEndEvent
  | CompactionBeginEvent
  | CompactionEndEvent
  | StallBeginEvent
  | StallEndEvent
  | BackgroundErrorEvent
  | WritesRefusedEvent
  | WritesResumedEvent
  | WorkerUnavailableEvent
  | LogTailDroppedEvent
  | HistoryLostEvent
  | HistoryHeldEvent
  | HistoryDroppedEvent;
