/**
 * The store, as its users see it. Every method checks its arguments at the call and gives an operation or a stream, which
 * does nothing until it is awaited, iterated or subscribed to. What then happens is told in `write-stream.ts`,
 * `read-stream.ts`, `flush-stream.ts` and `compaction-stream.ts`.
 */
import type { Observable } from 'rxjs';
import { AbortedError, ClosedError, InvalidArgumentError } from '../errors.ts';
import type { Bytes, Change, Commit, Durability, Entry, KeyRange, VersionedValue, WriteOperation } from '../model.ts';
import { onAbort } from './abort.ts';
import { approximateSize } from './approximate-size.ts';
import { type BackupOptions, type BackupReport, checkBackup } from './backup.ts';
import type { ChangesFrom } from './change-place.ts';
import {
  type ChangeEvent,
  ChangeEvents,
  type ChangesOptions,
  type ChangesQuery,
  changesQueryOf,
  type SnapshotEnd,
  type SnapshotEntry,
} from './change-stream.ts';
import { checkSettings } from './check-settings.ts';
import type { Consumer } from './consumer.ts';
import type { ConsumerDesk } from './consumer-desk.ts';
import type { BatchConsumerOptions, ConsumerOptions } from './consumer-options.ts';
import type { ConsumerInfo } from './consumers.ts';
import type { Engine } from './engine.ts';
import type { EngineEvent } from './engine-events.ts';
import { checkIdempotency, IdempotencyLines } from './idempotency.ts';
import { Keyspace } from './keyspace.ts';
import type { MakeConsumer } from './keyspace-consumer.ts';
import type { KeyspaceOptions } from './keyspace-form.ts';
import type { KeyspaceName } from './keyspace-name.ts';
import { Operation, operationOf, type Sink } from './operation.ts';
import {
  checkedKey,
  partOf,
  queryOf,
  type ScanOptions,
  scanOptionsOf,
  selectEntry,
  selectPart,
} from './scan-options.ts';
import { Snapshot } from './snapshot.ts';
import { statsOf, type StoreStats } from './stats.ts';
import { Stream } from './stream.ts';
import { type WatchedValue, WatchSource } from './watch-stream.ts';
import { type CheckedBatch, checkBatchOperations, checkDelete, checkKey, checkSet, Write } from './write.ts';
import type { WriteOptions } from './write-options.ts';

/** What and how to scan. */
export interface StoreScanOptions extends ScanOptions {
  /** Scan what this snapshot sees. Default: what the store holds when the scan is opened. */
  readonly snapshot?: Snapshot | undefined;
}

/** A range of keys to compact; both ends inclusive, absent: without bound. */
export interface CompactRange {
  readonly start?: Bytes | undefined;
  readonly end?: Bytes | undefined;
  /** Ends the compaction after the piece that is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** A batch that may come without conditions. */
type UncheckedBatch = Pick<CheckedBatch, 'operations' | 'bytes'> & Partial<CheckedBatch>;

/** What to watch: a range of keys. */
export interface WatchOptions extends KeyRange {
  readonly signal?: AbortSignal | undefined;
}

/** A stream that drops nothing, and does not tell its place, never has a `'skipped'` in it. */
interface NothingSkipped {
  readonly overflow?: 'replay' | 'fail' | undefined;
  readonly progressMs?: undefined;
}
type AfterSnapshot = Exclude<ChangesFrom, 'snapshot'> | undefined;
type SnapshotOrChange = SnapshotEntry | SnapshotEnd | Change;

/** A database, open. Made by `open` and `openInMemory`. */
export class Store {
  readonly #engine: Engine;

  /** @internal */
  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The directory's absolute name, symbolic links resolved. */
  get location(): string {
    return this.#engine.location;
  }

  /** What happens in the background: flushes, compactions, stalls, errors. Completes when the store has closed. */
  get events(): Observable<EngineEvent> {
    return this.#engine.events;
  }

  /**
   * Gives `key` the value `value`.
   *
   * Bytes are read until the operation completes: do not change them before. Unsubscribing takes the write back if it
   * still waits for the log; after that only nobody hears of its outcome.
   *
   * @param key - up to 64 KiB; a string is stored as UTF-8; may be empty
   * @param value - up to 1 GiB
   * @throws (at the call) InvalidArgumentError, KeyTooLargeError, ValueTooLargeError
   * @returns fails with IoError or NoSpaceError (outcome `'unknown'`: the write may still turn up after a crash),
   *   ReadOnlyError, BufferOverflowError (policies other than `'wait'`), AbortedError, ClosedError
   */
  set(key: Bytes, value: Bytes, options?: WriteOptions): Operation<Commit> {
    const bytes = checkSet(key, value);
    return this.#submit({ operations: [{ type: 'set', key, value }], bytes }, options);
  }

  /**
   * Makes `key` absent; no error if it is so already. Otherwise like {@link Store.set}.
   *
   * @param key - up to 16 MiB: real LevelDB takes longer keys than `set` does
   */
  delete(key: Bytes, options?: WriteOptions): Operation<Commit> {
    const bytes = checkDelete(key);
    return this.#submit({ operations: [{ type: 'delete', key }], bytes }, options);
  }

  /**
   * All of these, or none: in the store, in every snapshot, in every change stream, and after every crash. Later lines of
   * the batch win over earlier ones of the same key.
   *
   * A `check` is a condition: the sequence number that a key has (as {@link Store.entry} told it) when the batch's turn has
   * come, whatever its place in the batch. If it has another one, nothing is written, and the write fails with
   * ConflictError. A batch of nothing but checks commits nothing, and gives the sequence number that they held at.
   *
   * @param operations - together up to 1 GiB; an empty batch commits nothing, and gives the present sequence number
   * @throws (at the call) as {@link Store.set}; a wrong line refuses the whole batch
   * @returns fails as {@link Store.set}, with ConflictError, and with what a look-up for a check fails with
   */
  write(operations: readonly WriteOperation[], options?: WriteOptions): Operation<Commit> {
    const batch = checkBatchOperations(operations);
    const isEmpty = batch.operations.length === 0 && batch.checks.length === 0;
    if (!isEmpty || options?.idempotencyKey !== undefined) return this.#submit(batch, options);
    checkIdempotency(undefined, options?.windowMs);
    return new Operation((sink) => {
      const refusal = this.#engine.health.refusalOfWrite();
      if (refusal !== undefined) sink.fail(refusal);
      else sink.succeed({ sequence: this.#engine.tree.visibleSequence, durability: this.#durability(options) });
      return undefined;
    });
  }

  /** The value of the key, or `undefined`. Synchronous, if memory has it. */
  get(key: Bytes): Operation<Uint8Array | undefined> {
    checkKey(key);
    return new Operation((sink) => {
      this.#engine.reader.get(key, undefined, sink);
      return undefined;
    });
  }

  /**
   * The value of the key, or `undefined`, without an Observable or a promise in between. What memory does not have is read
   * on the calling thread, which stands still for as long as the disk takes: `get` reads in the background.
   *
   * @throws ClosedError, CorruptionError, IoError (`ENOSYS` if the file system cannot read so), InvalidArgumentError
   */
  getSync(key: Bytes): Uint8Array | undefined {
    checkKey(key);
    return this.#engine.reader.getSync(key, undefined);
  }

  /**
   * The value of the key and the sequence number of the set that gave it, or `undefined`. Synchronous, if memory has it.
   * The sequence number is what a `check` asks for; it stays as it is until the key is written again.
   */
  entry(key: Bytes): Operation<VersionedValue | undefined> {
    checkKey(key);
    return new Operation((sink) => {
      this.#engine.reader.entry(key, undefined, sink);
      return undefined;
    });
  }

  /** The values of the keys, in their order, all as of one moment. */
  getMany(keys: readonly Bytes[]): Operation<(Uint8Array | undefined)[]> {
    if (!Array.isArray(keys)) throw new InvalidArgumentError('keys', 'an array', keys);
    const wanted = [...(keys as readonly Bytes[])]; // before the check, which would pass over holes
    wanted.forEach((key, index) => checkKey(key, `keys[${index}]`));
    return operationOf(() => this.#engine.reader.getMany(wanted, undefined));
  }

  /** Whether the key has a value. */
  has(key: Bytes): Operation<boolean> {
    checkKey(key);
    return new Operation((sink) => {
      this.#engine.reader.has(key, undefined, sink);
      return undefined;
    });
  }

  /**
   * The entries of a range in key order, as of the moment when the stream is subscribed to or iterated.
   *
   * Iterating pulls: a slow reader slows the scan, and holds one page of it. `scan(start, end)` includes `start` and
   * excludes `end`. An open scan keeps the tables it reads from being deleted; closing the store ends it with ClosedError.
   */
  scan(start?: Bytes, end?: Bytes): Stream<Entry>;
  scan(options: StoreScanOptions & ({ readonly values: false } | { readonly keys: false })): Stream<Uint8Array>;
  scan(options: StoreScanOptions): Stream<Entry>;
  scan(startOrOptions?: Bytes | StoreScanOptions, end?: Bytes): Stream<Entry> | Stream<Uint8Array> {
    const options: StoreScanOptions = scanOptionsOf(startOrOptions, end);
    const { snapshot } = options;
    if (snapshot !== undefined) {
      if (!(snapshot instanceof Snapshot) || !snapshot.isOf(this.#engine.reader)) {
        throw new InvalidArgumentError('snapshot', 'a snapshot of this store', snapshot);
      }
      return snapshot.scan(options);
    }
    const part = partOf(options);
    const { reader } = this.#engine;
    if (part === 'entry') {
      const query = queryOf(options, undefined, selectEntry);
      return new Stream(() => reader.scan(query), reader.clock);
    }
    const query = queryOf(options, undefined, selectPart(part));
    return new Stream(() => reader.scan(query), reader.clock);
  }

  /** The present moment, kept for reading until it is closed. */
  snapshot(): Snapshot {
    const refusal = this.#engine.health.refusalOfRead();
    if (refusal !== undefined) throw refusal;
    const { reader, tree } = this.#engine;
    return new Snapshot(reader, tree.snapshots, tree.visibleSequence);
  }

  /**
   * Everything that is committed, in the one order of all writes, from a place on: history first, then live, without a gap
   * and without a repeat. Batches are whole; `pages()` gives them undivided. Completes at `until`, and when the store closes; in
   * the midst of a snapshot, or before `until`, it fails then instead: an end would look like the end of what was asked for.
   *
   * Never holds writers back. A subscriber that is too slow reads on from history (see {@link ChangesOptions.overflow}), at
   * constant memory. To go on after a restart, keep the `cursor` of the last change that was dealt with.
   *
   * @throws (at the call) InvalidArgumentError, OutOfRangeError
   * @returns fails with InvalidCursorError, HistoryGoneError (says where it can start), BufferOverflowError (`'fail'`),
   *   CorruptionError, AbortedError, ClosedError
   */
  changes(options?: ChangesOptions & { readonly from?: AfterSnapshot } & NothingSkipped): Stream<Change>;
  changes(options: ChangesOptions & { readonly from: 'snapshot' } & NothingSkipped): Stream<SnapshotOrChange>;
  changes(options: ChangesOptions): Stream<ChangeEvent>;
  changes(options: ChangesOptions = {}): Stream<ChangeEvent> {
    checkSettings('options', options);
    const query = changesQueryOf(options);
    return new Stream(() => this.#changeEvents(query), this.#engine.reader.clock);
  }

  /**
   * The present value of a key, or of each key of a range, then each new one. A subscriber that is too slow gets the last
   * value of each key, and how many it has missed; it never gets an older one after a newer.
   */
  watch(keyOrRange: Bytes | WatchOptions, options: WatchOptions = {}): Stream<WatchedValue> {
    if (typeof keyOrRange !== 'string' && !(keyOrRange instanceof Uint8Array)) {
      checkSettings('range', keyOrRange);
      const query = changesQueryOf({ ...keyOrRange, from: 'snapshot', overflow: 'replay', progressMs: undefined });
      return new Stream(() => new WatchSource(this.#changeEvents(query)), this.#engine.reader.clock);
    }
    checkSettings('options', options);
    const key = checkedKey(keyOrRange, 'key');
    const { signal } = options;
    const query = changesQueryOf({ gte: key, lte: key, overflow: 'dropOldest', bufferChangesMax: 1, signal });
    return new Stream(() => {
      const events = this.#changeEvents(query);
      const { reader, tree } = this.#engine;
      const sequence = tree.visibleSequence;
      const present = new Promise<VersionedValue | undefined>((succeed, fail) => {
        reader.entry(key, sequence, { succeed, fail });
      });
      present.catch(() => undefined); // whoever pulls hears of it
      const first = (): Promise<WatchedValue> =>
        present.then((entry) => ({ key, value: entry?.value, sequence: entry?.sequence ?? sequence, skipped: 0 }));
      return new WatchSource(events, first);
    }, this.#engine.reader.clock);
  }

  /**
   * A durable consumer: handles every change at least once, in order per key, also across restarts; what it writes through
   * its transaction commits in the same batch as its position, so exactly once. Nothing happens before `run()` is
   * subscribed to. It is also the {@link Store.desk} of its name.
   *
   * @param name - 1 to 128 of letters, digits, `.`, `_`, `-`; one position in this store
   * @throws InvalidArgumentError, OutOfRangeError, ReadOnlyError
   */
  consumer(name: string, options: ConsumerOptions): Consumer;
  // eslint-disable-next-line @typescript-eslint/unified-signatures -- of a union, no handler's parameter could be inferred
  consumer(name: string, options: BatchConsumerOptions): Consumer;
  consumer(name: string, options: ConsumerOptions | BatchConsumerOptions): Consumer {
    return this.#engine.consumers.consumer(name, options, (change) => change);
  }

  /**
   * The desk of the consumer of that name, for which nobody needs its handler: position, lag, dead letters, seek, pause,
   * delete. A desk makes no consumer: it has no position before a consumer of that name has run, or is sought to a place.
   *
   * In a store that is open for reading only, what writes fails with ReadOnlyError.
   *
   * @throws InvalidArgumentError
   */
  desk(name: string): ConsumerDesk {
    return this.#engine.desks.desk(name);
  }

  /** All consumers that ever ran in this database and were not deleted, by name. */
  consumers(): Stream<ConsumerInfo> {
    return this.#engine.desks.list();
  }

  #changeEvents(query: ChangesQuery): ChangeEvents {
    const { health, changes, reader } = this.#engine;
    if (health.isClosed) throw new ClosedError('store');
    return new ChangeEvents(changes, query, (scan) => reader.scan(scan));
  }

  /**
   * Completes when everything acknowledged before is in tables. An abort ends the wait, not the flush.
   *
   * @returns fails with what a flush failed with (IoError, NoSpaceError, ...) before that; it is tried again in the background,
   *   and at once by the next call. ReadOnlyError: so many memtables wait already that no other may. Nothing is lost: the log has it
   */
  flush(options: { readonly signal?: AbortSignal | undefined } = {}): Operation<void> {
    checkSettings('options', options);
    const { signal } = options;
    return operationOf(() => this.#engine.flush(), { name: 'the flush', signal });
  }

  /**
   * Flushes, then merges a range (or everything) down into the deepest level that has any of it, dropping what is deleted
   * or overwritten and seen by no snapshot. What lies in that deepest level already is rewritten only where something is
   * merged into it: so what an earlier compaction kept for a snapshot stays until then. Replaced files are removed in the
   * background.
   */
  compact(range: CompactRange = {}): Operation<void> {
    checkSettings('range', range);
    const { start, end, signal } = range;
    const bounds = {
      start: start === undefined ? undefined : checkedKey(start, 'start'),
      end: end === undefined ? undefined : checkedKey(end, 'end'),
    };
    return operationOf(() => this.#engine.compact(bounds, signal), { name: 'the compaction', signal });
  }

  /**
   * Makes a copy of the store in another directory, of one moment, while everything goes on: it holds all that was
   * acknowledged before the call, every batch whole, and is itself a database, for real LevelDB too. Tables are shared by
   * hard links where the file system makes them: it costs a flush, and the time to make the links.
   *
   * The copy gets its name when it is complete and on the disk: one that was interrupted leaves `<directory>.partial`, which
   * does not open and which the next try uses again. Cursors up to the moment lead on in the copy; those from behind it are
   * refused there, since the copy goes its own way.
   *
   * @param directory - one that is not there yet, or is empty
   * @throws (at the call) InvalidArgumentError
   * @returns fails with AlreadyExistsError, LockedError (another backup goes there), ReadOnlyError, IoError, NoSpaceError,
   *   AbortedError, ClosedError (the store was closed meanwhile)
   */
  backup(directory: string, options: BackupOptions = {}): Operation<BackupReport> {
    const checked = checkBackup(directory, options);
    return operationOf(() => this.#engine.backup(directory, checked), { name: 'the backup', signal: options.signal });
  }

  /** Bytes on disk of the keys from `start` up to, not including, `end`: roughly, and without what is still in memory. */
  approximateSize(start: Bytes, end: Bytes): Operation<number> {
    const from = checkedKey(start, 'start');
    const to = checkedKey(end, 'end');
    return operationOf(() => {
      const refusal = this.#engine.health.refusalOfRead();
      return refusal === undefined ? approximateSize(this.#engine.tree, from, to) : Promise.reject(refusal);
    });
  }

  /**
   * A named part of the store whose keys and values have types: by codecs, or for values by a schema of any library with
   * Standard Schema. Costs nothing, and holds nothing; two of one name are two views of the same entries.
   *
   * Its keys lie where abstract-level's `sublevel(name)` has them, behind `!name!`. `['a', 'b']` is b within a.
   *
   * @param name - characters from `#` to `~`; none that begins with `_alluvium`
   * @throws InvalidArgumentError
   */
  keyspace<Key, Value>(name: KeyspaceName, options: KeyspaceOptions<Key, Value>): Keyspace<Key, Value> {
    const isOwn = (snapshot: Snapshot): boolean => snapshot.isOf(this.#engine.reader);
    const makeConsumer: MakeConsumer = (...given) => this.#engine.consumers.consumer(...given);
    return new Keyspace({ store: this, isOwn, makeConsumer }, name, options);
  }

  /** The store's figures at this moment. */
  stats(): StoreStats {
    return statsOf(this.#engine);
  }

  /**
   * Refuses new calls, serves those accepted, writes memory to a table, and lets go of the directory. Open scans end with
   * ClosedError, change streams complete. Idempotent.
   */
  close(): Operation<void> {
    return operationOf(() => this.#engine.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine.close();
  }

  #durability(options: WriteOptions | undefined): Durability {
    return options?.durability ?? this.#engine.tree.options.durability;
  }

  #submit(batch: UncheckedBatch, options: WriteOptions | undefined): Operation<Commit> {
    checkSettings('options', options);
    const durability = this.#durability(options);
    checkDurability(durability);
    const idempotency = checkIdempotency(options?.idempotencyKey, options?.windowMs);
    const signal = options?.signal;
    const { operations, bytes, checks = [], checkBytes = 0 } = batch;
    const isConditional = checks.length > 0 || idempotency !== undefined;
    return new Operation((sink) => {
      const conditions = isConditional
        ? { checks, checkBytes, idempotency: idempotency === undefined ? undefined : new IdempotencyLines(idempotency) }
        : undefined;
      const write = new Write(operations, bytes, durability, sink, conditions);
      if (signal === undefined) this.#engine.submit(write);
      else this.#submitWithSignal(write, sink, signal);
      return () => write.cancel();
    });
  }

  #submitWithSignal(write: Write, sink: Sink<Commit>, signal: AbortSignal): void {
    const abort = (): void => {
      write.cancel();
      sink.fail(new AbortedError('the write', { cause: signal.reason }));
    };
    if (signal.aborted) return abort();
    write.onSettled = onAbort(signal, abort);
    this.#engine.submit(write);
  }
}

/** The compiler knows; a plain-JavaScript caller may not. */
function checkDurability(durability: unknown): void {
  if (durability === 'synced' || durability === 'buffered') return;
  throw new InvalidArgumentError('durability', "'synced' or 'buffered'", durability);
}
