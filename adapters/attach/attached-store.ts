/**
 * A store that is open here or in another process, with one face. Where this process has it, every call is the store's own;
 * else it is asked for over the socket, and again of the next owner if this one goes away. Longer than most files here: it
 * has a method for each call of the store, and nothing that could go by itself.
 */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import {
  type BackupOptions,
  type BackupReport,
  type BatchConsumerOptions,
  type Bytes,
  type Change,
  type ChangeEvent,
  type ChangesOptions,
  type Commit,
  type CompactRange,
  ConsumerError,
  type ConsumerInfo,
  type ConsumerOptions,
  type EngineEvent,
  type Entry,
  type ScanOptions,
  type Store,
  type StoreStats,
  type VersionedValue,
  type WatchedValue,
  type WatchOptions,
  type WriteOperation,
  type WriteOptions,
} from 'alluvium';
import { EMPTY, type Observable } from 'rxjs';
import { abortedBy, onAbort } from './abort.ts';
import { AttachedConsumer, consumerOf } from './attached-consumer.ts';
import { AttachedSnapshot, checkedScan, pinned } from './attached-snapshot.ts';
import { NotAttachableError } from './attach-error.ts';
import type {
  ConsumerFace,
  DeskFace,
  OperationFace,
  PlainChangesOptions,
  ScanPart,
  SnapshotFace,
  StoreFace,
  StreamFace,
} from './face.ts';
import type { Link, Role } from './link.ts';
import { operation, type Sink, stream } from './operation.ts';
import type { Request } from './protocol.ts';
import { abortable, RemoteChanges, RemoteScan } from './remote-pages.ts';
import { RemoteDesk } from './remote-desk.ts';
import { RemoteWatch } from './remote-watch.ts';
import { readError } from './wire-error.ts';

/** How long an owner remembers a write that may be repeated: far longer than a take-over may last. */
const WINDOW_MS: number = 60 * 60 * 1000;

/** The process that has a store. */
export interface Holder {
  readonly pid: number;
  readonly since: Date;
  /** Version of its package. */
  readonly package: string;
}

/** Figures of a store, and of the way to it. */
export interface AttachedStats extends StoreStats {
  /** Calls of this process that have not been sent to the one that has the store; see `waitingRequestsMax`. */
  readonly waitingRequests: number;
}

/** Made by `openOrAttach`. */
export class AttachedStore implements StoreFace {
  readonly location: string;
  readonly #link: Link;
  readonly #closedStore: Store | undefined;
  readonly #durability: WriteOptions['durability'];
  /** With a number behind it, the name of a write. */
  readonly #name: string = `attach-${randomBytes(12).toString('base64url')}-`;
  #writes = 0;

  /**
   * @internal
   * @param checker - for whoever does not have the store; who has it keeps it
   */
  constructor(location: string, link: Link, checker: Store | undefined, durability: WriteOptions['durability']) {
    this.location = location;
    this.#link = link;
    this.#closedStore = checker;
    this.#durability = durability;
  }

  /** Whether this process has the store, or another one; `'between'`: the one that had it has gone. */
  get role(): Role {
    return this.#link.role;
  }

  /** The process that has the store, where it is another one. */
  get holder(): Holder | undefined {
    const { holder } = this.#link;
    return holder === undefined ? undefined : { pid: holder.pid, since: holder.since, package: holder.package };
  }

  /** The store itself, where this process has it: with its events, consumers and keyspaces. Close this one, not that. */
  get store(): Store | undefined {
    return this.#link.store;
  }

  /** Why nobody can attach to this process, if it has the store and cannot listen. */
  get serveFailure(): unknown {
    return this.#link.serveFailure;
  }

  /** Calls that have not been sent to the process that has the store: the way is full, or that one has gone. */
  get waitingRequests(): number {
    return this.#link.waitingRequests;
  }

  /** As `store.set`. It is done once, also if the owner goes away before it has answered. */
  set(key: Bytes, value: Bytes, options: WriteOptions = {}): OperationFace<Commit> {
    const { store } = this.#link;
    if (store !== undefined) return store.set(key, value, options);
    void this.#checker.set(key, value, options);
    return this.#write([{ type: 'set', key, value }], options);
  }

  delete(key: Bytes, options: WriteOptions = {}): OperationFace<Commit> {
    const { store } = this.#link;
    if (store !== undefined) return store.delete(key, options);
    void this.#checker.delete(key, options);
    return this.#write([{ type: 'delete', key }], options);
  }

  write(operations: readonly WriteOperation[], options: WriteOptions = {}): OperationFace<Commit> {
    const { store } = this.#link;
    if (store !== undefined) return store.write(operations, options);
    void this.#checker.write(operations, options);
    return this.#write([...operations], options);
  }

  get(key: Bytes): OperationFace<Uint8Array | undefined> {
    const { store } = this.#link;
    if (store !== undefined) return store.get(key);
    void this.#checker.get(key);
    return this.#ask({ op: 'get', key: pinned(key) });
  }

  /** As `store.getSync`, where this process has the store. @throws NotAttachableError where it has not */
  getSync(key: Bytes): Uint8Array | undefined {
    const { store } = this.#link;
    if (store === undefined) throw new NotAttachableError('getSync');
    return store.getSync(key);
  }

  entry(key: Bytes): OperationFace<VersionedValue | undefined> {
    const { store } = this.#link;
    if (store !== undefined) return store.entry(key);
    void this.#checker.entry(key);
    return this.#ask({ op: 'entry', key: pinned(key) });
  }

  getMany(keys: readonly Bytes[]): OperationFace<(Uint8Array | undefined)[]> {
    const { store } = this.#link;
    if (store !== undefined) return store.getMany(keys);
    void this.#checker.getMany(keys);
    return this.#ask({ op: 'getMany', keys: keys.map(pinned) });
  }

  has(key: Bytes): OperationFace<boolean> {
    const { store } = this.#link;
    if (store !== undefined) return store.has(key);
    void this.#checker.has(key);
    return this.#ask({ op: 'has', key: pinned(key) });
  }

  /** As `store.scan`. A scan that is open when the owner goes away fails with OwnerLostError. */
  scan(start?: Bytes, end?: Bytes): StreamFace<Entry>;
  scan(options: ScanPart): StreamFace<Uint8Array>;
  scan(options: ScanOptions): StreamFace<Entry>;
  scan(startOrOptions?: Bytes | ScanOptions, end?: Bytes): StreamFace<Entry> | StreamFace<Uint8Array> {
    const { store } = this.#link;
    if (store !== undefined) return scanOf(store, startOrOptions, end);
    const options = checkedScan(this.#checker, startOrOptions, end);
    return stream<never>(() => abortable(new RemoteScan<never>(this.#link, options), options.signal, 'the scan'));
  }

  /** As `store.snapshot`. When the owner goes away, what is asked of it fails with OwnerLostError. */
  snapshot(): SnapshotFace {
    return this.#link.store?.snapshot() ?? new AttachedSnapshot(this.#link, this.#checker);
  }

  /** As `store.changes`. It goes on without a gap and without a repeat when the owner goes away. */
  changes(options?: PlainChangesOptions): StreamFace<Change>;
  changes(options: ChangesOptions): StreamFace<ChangeEvent>;
  changes(options: ChangesOptions = {}): StreamFace<ChangeEvent> {
    const { store } = this.#link;
    if (store !== undefined) return store.changes(options);
    void this.#checker.changes(options);
    return this.#changes({ ...options });
  }

  watch(keyOrRange: Bytes | WatchOptions, options: WatchOptions = {}): StreamFace<WatchedValue> {
    const { store } = this.#link;
    if (store !== undefined) return store.watch(keyOrRange, options);
    void this.#checker.watch(keyOrRange, options);
    const isKey = typeof keyOrRange === 'string' || keyOrRange instanceof Uint8Array;
    const { signal } = isKey ? options : keyOrRange;
    const key = isKey ? Uint8Array.from(Buffer.from(keyOrRange as Uint8Array)) : undefined;
    const range = isKey ? { gte: key, lte: key } : { ...keyOrRange };
    const query = { ...range, from: 'snapshot', overflow: 'replay', progressMs: undefined, signal: undefined } as const;
    return stream(() =>
      abortable(new RemoteWatch(new RemoteChanges(this.#link, query), key), signal, 'the change stream'),
    );
  }

  /**
   * As `store.consumer`. Where another process has the store, it is the consumer's desk (position, lag, seek, pause, dead
   * letters); it runs in whichever process has the store, see {@link RunOptions.whenOwner}.
   */
  consumer(name: string, options: ConsumerOptions): ConsumerFace;
  // eslint-disable-next-line @typescript-eslint/unified-signatures -- of a union, no handler's parameter could be inferred
  consumer(name: string, options: BatchConsumerOptions): ConsumerFace;
  consumer(name: string, options: ConsumerOptions | BatchConsumerOptions): ConsumerFace {
    const link = this.#link;
    if (link.store !== undefined) return consumerOf(link.store, name, options);
    return new AttachedConsumer({ name, options, link, checker: this.#checker, ask: this.#asker });
  }

  flush(options: { readonly signal?: AbortSignal | undefined } = {}): OperationFace<void> {
    const { store } = this.#link;
    if (store !== undefined) return store.flush(options);
    void this.#checker.flush(options);
    return this.#ask({ op: 'flush' }, options.signal, 'the flush');
  }

  compact(range: CompactRange = {}): OperationFace<void> {
    const { store } = this.#link;
    if (store !== undefined) return store.compact(range);
    void this.#checker.compact(range);
    const { start, end, signal } = range;
    return this.#ask({ op: 'compact', start: pinned(start), end: pinned(end) }, signal, 'the compaction');
  }

  approximateSize(start: Bytes, end: Bytes): OperationFace<number> {
    const { store } = this.#link;
    if (store !== undefined) return store.approximateSize(start, end);
    void this.#checker.approximateSize(start, end);
    return this.#ask({ op: 'approximateSize', start: pinned(start), end: pinned(end) });
  }

  /** What happens in the store, where this process has it; nothing where it has not. */
  get events(): Observable<EngineEvent> {
    return this.#link.store?.events ?? EMPTY;
  }

  /** As `store.desk`; where another process has the store, what is asked for is done there. @throws InvalidArgumentError */
  desk(name: string): DeskFace {
    const { store } = this.#link;
    if (store !== undefined) return store.desk(name);
    return new RemoteDesk({
      name,
      view: undefined,
      link: this.#link,
      checked: this.#checker.desk(name),
      ask: this.#asker,
    });
  }

  /** As `store.consumers`. */
  consumers(): StreamFace<ConsumerInfo> {
    const { store } = this.#link;
    if (store !== undefined) return store.consumers();
    return stream(() => {
      let isRead = false;
      const next = async (): Promise<readonly ConsumerInfo[]> => {
        if (isRead) return [];
        isRead = true;
        const infos = await this.#ask<readonly ConsumerInfo[]>({ op: 'consumers' });
        return infos.map((info) => ({ ...info, error: consumerErrorOf(info.error) }));
      };
      return { next, close: () => (isRead = true) };
    });
  }

  /** As `store.backup`; where another process has the store, that one makes the copy, and `onProgress` is not called. */
  backup(directory: string, options: BackupOptions = {}): OperationFace<BackupReport> {
    const { store } = this.#link;
    if (store !== undefined) return store.backup(directory, options);
    void this.#checker.backup(directory, options);
    return this.#ask({ op: 'backup', directory: resolve(directory) }, options.signal, 'the backup');
  }

  /** The figures of the store, in whichever process it is; and of this one, what waits to be sent there. */
  stats(): OperationFace<AttachedStats> {
    return operation((sink) => {
      const { store } = this.#link;
      const tell = (figures: StoreStats): void =>
        sink.succeed({ ...figures, waitingRequests: this.#link.waitingRequests });
      if (store === undefined) {
        return this.#run<StoreStats>({ op: 'stats' }, { succeed: tell, fail: (error) => sink.fail(error) });
      }
      tell(store.stats());
      return undefined;
    });
  }

  /**
   * Answers what was accepted, and ends: the store, where this process has it; then others take over. Open scans end with
   * ClosedError, change streams complete. Idempotent.
   */
  close(): OperationFace<void> {
    return operation((sink) => {
      this.#link.close().then(
        () => sink.succeed(undefined),
        (error: unknown) => sink.fail(error),
      );
      return undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link.close();
  }

  readonly #asker = <T>(request: Request, signal?: AbortSignal, what?: string): OperationFace<T> =>
    this.#ask<T>(request, signal, what);

  get #checker(): Store {
    if (this.#closedStore === undefined) throw new NotAttachableError('this'); // an owner stays the owner
    return this.#closedStore;
  }

  #changes(options: ChangesOptions): StreamFace<never> {
    const { signal, gt, gte, lt, lte } = options;
    const query = { ...options, gt: pinned(gt), gte: pinned(gte), lt: pinned(lt), lte: pinned(lte) };
    return stream<never>(
      () =>
        abortable(new RemoteChanges(this.#link, query), signal, 'the change stream') as ReturnType<
          typeof abortable<never>
        >,
    );
  }

  /** The same write whenever it is repeated, and another one each time it is called for. */
  #write(operations: readonly WriteOperation[], options: WriteOptions): OperationFace<Commit> {
    const { signal, durability = this.#durability } = options;
    // A batch that changes nothing may be judged twice; to remember it would be a change.
    const hasNoEffect = operations.every(({ type }) => type === 'check');
    const isNamed = options.idempotencyKey !== undefined;
    return operation((sink) => {
      const { idempotencyKey, windowMs } = isNamed || hasNoEffect ? options : this.#nextName();
      const request: Request = { op: 'write', operations, durability, idempotencyKey, windowMs };
      // Well within the time for which it is remembered: later, it might be done a second time.
      const repeatMs = hasNoEffect && !isNamed ? Infinity : (windowMs ?? WINDOW_MS) / 2;
      return this.#run(request, sink, { signal, what: 'the write', repeatMs });
    });
  }

  #nextName(): { readonly idempotencyKey: string; readonly windowMs: number } {
    this.#writes += 1;
    return { idempotencyKey: this.#name + String(this.#writes), windowMs: WINDOW_MS };
  }

  #ask<T>(request: Request, signal?: AbortSignal, what?: string): OperationFace<T> {
    return operation<T>((sink) => this.#run(request, sink, { signal, what }));
  }

  #run<T>(request: Request, sink: Sink<T>, { signal, what = 'the operation', repeatMs }: RunOptions = {}): () => void {
    if (signal?.aborted === true) {
      sink.fail(abortedBy(signal, what));
      return () => undefined;
    }
    let takeBack = (): void => undefined;
    const stop = onAbort(signal, () => {
      takeBack();
      sink.fail(abortedBy(signal, what));
    });
    const answered: Sink<unknown> = {
      succeed: (value) => {
        stop();
        sink.succeed(value as T);
      },
      fail: (error) => {
        stop();
        sink.fail(error);
      },
    };
    takeBack = this.#link.ask(request, answered, repeatMs === undefined ? {} : { repeatMs });
    return () => {
      stop();
      takeBack();
    };
  }
}

interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** For the error of an abort. */
  readonly what?: string | undefined;
  readonly repeatMs?: number;
}

/** An error that is part of an answer came as such parts come. */
function consumerErrorOf(given: unknown): ConsumerError | undefined {
  if (given === undefined) return undefined;
  const error = readError(given);
  return error instanceof ConsumerError ? error : undefined;
}

/** The overloads of `scan` hand on one by one. */
function scanOf(
  store: Store,
  startOrOptions: Bytes | ScanOptions | undefined,
  end: Bytes | undefined,
): StreamFace<Entry> | StreamFace<Uint8Array> {
  if (typeof startOrOptions === 'object' && !(startOrOptions instanceof Uint8Array)) return store.scan(startOrOptions);
  return store.scan(startOrOptions, end);
}
