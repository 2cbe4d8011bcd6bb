/**
 * What a durable consumer stands on, as ports: where its changes come from (the change stream now; a topic or a
 * replicated log later), and where its position and its effects are kept.
 */
import type {
  Bytes,
  Change,
  Commit,
  Cursor,
  Durability,
  Entry,
  KeyRange,
  SequenceNumber,
  VersionedValue,
  WriteOperation,
} from '../model.ts';
import type { Clock } from './clock.ts';
import type { Operation } from './operation.ts';
import type { PageSource } from './stream.ts';

/**
 * Where to begin: behind a cursor; with the first change of at least this sequence number; with the first committed at or
 * after a date; with the oldest that is kept; or with what is committed from now on.
 */
export type ConsumerFrom = 'now' | 'start' | Cursor | SequenceNumber | Date;

/** A place between changes, in both of its forms: `cursor` stands behind everything up to and including `sequence`. */
export interface Place {
  readonly cursor: Cursor;
  readonly sequence: SequenceNumber;
}

/** What lies between a place and the end of what is durable. */
export interface Backlog {
  readonly changes: number;
  /** Of keys and values. */
  readonly bytes: number;
  /** Commit time of the first of them, in milliseconds since 1970. */
  readonly oldestTimeMs: number | undefined;
}

/** Changes in order of their sequence numbers, of one range, from one place on; only what survives a power cut. */
export interface ChangeSource extends PageSource<Change> {
  /**
   * Everything up to here was handed over by a pull that has returned, or was filtered out; it moves also while a pull
   * waits. Never ahead of a change that is not handed over: what stands before it is not seen again.
   */
  readonly watermark: Place;
}

/** Where a consumer's changes come from. */
export interface ConsumerSource {
  /** @throws HistoryGoneError, InvalidCursorError (or the promise rejects with them) */
  open(from: Cursor, range: KeyRange): ChangeSource | Promise<ChangeSource>;
  /**
   * @param settled - what does not count, though it is behind `after`, as runs: first, count, first, count, ...
   * @throws as {@link ConsumerSource.open}
   */
  lag(after: Cursor, range: KeyRange, settled: readonly SequenceNumber[], signal?: AbortSignal): Promise<Backlog>;
  /** The place that a `from` means at this moment. @throws InvalidCursorError */
  resolve(from: ConsumerFrom): Place | Promise<Place>;
  /** Everything behind this place may go, as far as the consumer is concerned; `undefined`: the consumer is no more. */
  retain(consumer: string, watermark: Place | undefined): void;
}

/** The store, as consumers use it: reserved keys can be read and written. */
export interface ConsumerStorePort {
  /** All of it or nothing. @returns rejects as a user's write does */
  commit(operations: readonly WriteOperation[], durability: Durability): Promise<Commit>;
  entry(key: Bytes): Operation<VersionedValue | undefined>;
  /** Entries in key order, reserved ones too. */
  scanReserved(range: KeyRange, signal?: AbortSignal): PageSource<Entry>;
  readonly clock: Clock;
  /** Of commits whose consumer does not say. */
  readonly durability: Durability;
}
