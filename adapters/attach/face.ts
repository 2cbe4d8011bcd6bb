/**
 * What a store looks like from here, whether it is open in this process or in another one: `Store` has this face, and so
 * has `AttachedStore`. Types only.
 */
import type {
  Bytes,
  Change,
  ChangeEvent,
  ChangesOptions,
  Commit,
  CompactRange,
  ConsumerEvent,
  ConsumerFrom,
  ConsumerLag,
  ConsumerPosition,
  DeadLetter,
  Entry,
  ScanOptions,
  Signalled,
  VersionedValue,
  WatchedValue,
  WatchOptions,
  WriteOperation,
  WriteOptions,
} from 'alluvium';
import type { Observable } from 'rxjs';

/** One answer, later: cold, and awaitable. */
export interface OperationFace<T> extends Observable<T>, PromiseLike<T> {
  then<Fulfilled = T, Rejected = never>(
    onFulfilled?: ((value: T) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected>;
}

/** Many values: to subscribe to, or to iterate; iterating pulls. */
export type StreamFace<T> = Observable<T> & AsyncIterable<T> & { pages(): AsyncIterable<readonly T[]> };

/** Options of a scan that gives keys or values alone. */
export type ScanPart = ScanOptions & ({ readonly values: false } | { readonly keys: false });

/** What reads, of a store and of a snapshot. */
export interface ReaderFace {
  get(key: Bytes): OperationFace<Uint8Array | undefined>;
  getSync(key: Bytes): Uint8Array | undefined;
  entry(key: Bytes): OperationFace<VersionedValue | undefined>;
  getMany(keys: readonly Bytes[]): OperationFace<(Uint8Array | undefined)[]>;
  has(key: Bytes): OperationFace<boolean>;
  scan(start?: Bytes, end?: Bytes): StreamFace<Entry>;
  scan(options: ScanPart): StreamFace<Uint8Array>;
  scan(options: ScanOptions): StreamFace<Entry>;
}

export interface SnapshotFace extends ReaderFace {
  close(): void;
}

/** The desk of a consumer: `ConsumerDesk` has this face. */
export interface DeskFace {
  readonly name: string;
  position(): OperationFace<ConsumerPosition | undefined>;
  lag(options?: Signalled): OperationFace<ConsumerLag>;
  seek(from: ConsumerFrom): OperationFace<void>;
  pause(): OperationFace<void>;
  resume(): OperationFace<void>;
  deadLetters(options?: Signalled): StreamFace<DeadLetter>;
  deadLetter(id: string): OperationFace<DeadLetter | undefined>;
  replay(id?: string, options?: Signalled): OperationFace<number>;
  dropDeadLetter(id?: string, options?: Signalled): OperationFace<number>;
  delete(): OperationFace<void>;
}

/** A change stream that drops nothing, tells no place, and begins with no state, has nothing but changes in it. */
export type PlainChangesOptions = ChangesOptions & {
  readonly from?: Exclude<ChangesOptions['from'], 'snapshot'>;
  readonly overflow?: 'replay' | 'fail' | undefined;
  readonly progressMs?: undefined;
};

export interface StoreFace extends ReaderFace {
  readonly location: string;
  set(key: Bytes, value: Bytes, options?: WriteOptions): OperationFace<Commit>;
  delete(key: Bytes, options?: WriteOptions): OperationFace<Commit>;
  write(operations: readonly WriteOperation[], options?: WriteOptions): OperationFace<Commit>;
  snapshot(): SnapshotFace;
  changes(options?: PlainChangesOptions): StreamFace<Change>;
  changes(options: ChangesOptions): StreamFace<ChangeEvent>;
  watch(keyOrRange: Bytes | WatchOptions, options?: WatchOptions): StreamFace<WatchedValue>;
  flush(options?: { readonly signal?: AbortSignal | undefined }): OperationFace<void>;
  compact(range?: CompactRange): OperationFace<void>;
  approximateSize(start: Bytes, end: Bytes): OperationFace<number>;
  close(): OperationFace<void>;
}

/** How to run a consumer. */
export interface RunOptions extends Signalled {
  /**
   * Where another process has the store: true waits until this one has it, and begins then; so of several processes that run
   * the same consumer, the one that has the store does the work. False fails with NotAttachableError. Default false.
   */
  readonly whenOwner?: boolean | undefined;
}

/** A consumer; what is asked of it may be answered by another process. */
export interface ConsumerFace extends DeskFace {
  run(options?: RunOptions): Observable<ConsumerEvent>;
}
