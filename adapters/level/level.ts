/**
 * `Level`: an Alluvium store with the face of an abstract-level 3 database.
 *
 * Every read fixes what it sees at the call: the store's operations are cold, so each is subscribed to (by `then`) before the
 * method returns, and never first by an `await`, which would be a turn later.
 */
import {
  type AbstractBatchOperation,
  type AbstractKeyIterator,
  AbstractLevel,
  type AbstractSnapshot,
  type AbstractValueIterator,
} from 'abstract-level';
import type { Bytes, Store, WriteOperation } from 'alluvium';
import { type AttachedStore, NotAttachableError, openOrAttach } from '../attach/index.ts';
import type { ConsumerFace, OperationFace, ReaderFace } from '../attach/index.ts';
import { changeFeed, type ChangeFeed } from './change-feed.ts';
import { storeChangesOptions, typedEvent } from './changes.ts';
import type {
  LevelBatchConsumerOptions,
  LevelChange,
  LevelChangeEvent,
  LevelChangesOptions,
  LevelConsumerOptions,
  WholeChanges,
} from './change-types.ts';
import { clear, type PrivateClearOptions } from './clear.ts';
import { consumerOf } from './consumer.ts';
import { destroy, repair } from './directory.ts';
import { type Format, type Formatted, formattedOrNone, pinned } from './format.ts';
import { LevelChainedBatch } from './level-chained-batch.ts';
import { notOpen, throwLevelError, translated } from './level-error.ts';
import { LevelIterator, type PrivateIteratorOptions } from './level-iterator.ts';
import { LevelSnapshot, type SnapshotOwner } from './level-snapshot.ts';
import {
  type BatchOptions,
  type ClearOptions,
  type DatabaseOptions,
  type DelOptions,
  type GetManyOptions,
  type GetOptions,
  type HasManyOptions,
  type HasOptions,
  type IteratorOptions,
  type KeyIteratorOptions,
  type OpenOptions,
  type PutOptions,
  type ReadOptions,
  type StartEndOptions,
  storeOptions,
  type ValueIteratorOptions,
  type WriteOptions,
} from './options.ts';
import { property } from './property.ts';
import { typedKeys } from './typed-keys.ts';

interface PrivateReadOptions extends ReadOptions {
  readonly valueEncoding?: Format;
  readonly snapshot?: AbstractSnapshot | undefined;
}

interface PrivateOperation {
  readonly type: 'put' | 'del';
  readonly key: Formatted;
  readonly value: Formatted;
}

/** What abstract-level is told that it can do here: all that classic-level can. */
const MANIFEST = {
  encodings: { buffer: true, utf8: true, view: true },
  has: true,
  getSync: true,
  createIfMissing: true,
  errorIfExists: true,
  implicitSnapshots: true,
  explicitSnapshots: true,
  additionalMethods: { approximateSize: true, compactRange: true },
  signals: { iterators: true },
};

/** Point reads of one `hasMany` that are at work at once. */
const READS_AT_ONCE = 64;
const nothing = (): undefined => undefined;

/** The methods whose options are more than abstract-level's: types only. */
export interface Level<K = string, V = string> {
  open(options?: OpenOptions): Promise<void>;
  get(key: K): Promise<V | undefined>;
  get<Key = K, Value = V>(key: Key, options: GetOptions<Key, Value>): Promise<Value | undefined>;
  getSync(key: K): V | undefined;
  getSync<Key = K, Value = V>(key: Key, options: GetOptions<Key, Value>): Value | undefined;
  getMany(keys: K[]): Promise<(V | undefined)[]>;
  getMany<Key = K, Value = V>(keys: Key[], options: GetManyOptions<Key, Value>): Promise<(Value | undefined)[]>;
  has(key: K): Promise<boolean>;
  has<Key = K>(key: Key, options: HasOptions<Key>): Promise<boolean>;
  hasMany(keys: K[]): Promise<boolean[]>;
  hasMany<Key = K>(keys: Key[], options: HasManyOptions<Key>): Promise<boolean[]>;
  put(key: K, value: V): Promise<void>;
  put<Key = K, Value = V>(key: Key, value: Value, options: PutOptions<Key, Value>): Promise<void>;
  del(key: K): Promise<void>;
  del<Key = K>(key: Key, options: DelOptions<Key>): Promise<void>;
  batch(operations: AbstractBatchOperation<this, K, V>[]): Promise<void>;
  batch<Key = K, Value = V>(
    operations: AbstractBatchOperation<this, Key, Value>[],
    options: BatchOptions<Key, Value>,
  ): Promise<void>;
  batch(): LevelChainedBatch<this, K, V>;
  clear(): Promise<void>;
  clear<Key = K>(options: ClearOptions<Key>): Promise<void>;
  iterator(): LevelIterator<this, K, V>;
  iterator<Key = K, Value = V>(options: IteratorOptions<Key, Value>): LevelIterator<this, Key, Value>;
  keys(): AbstractKeyIterator<this, K>;
  keys<Key = K>(options: KeyIteratorOptions<Key>): AbstractKeyIterator<this, Key>;
  values(): AbstractValueIterator<this, K, V>;
  values<Key = K, Value = V>(options: ValueIteratorOptions<Key, Value>): AbstractValueIterator<this, Key, Value>;
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- as above
export class Level<K = string, V = string> extends AbstractLevel<string | Buffer | Uint8Array, K, V> {
  readonly #location: string;
  #store: AttachedStore | undefined;

  /**
   * Opens the database in the directory `location`, in the next tick, and makes it if it is missing. Calls that come before
   * it is open wait for it.
   */
  constructor(location: string, options?: DatabaseOptions<K, V>) {
    if (typeof location !== 'string' || location === '') {
      throw new TypeError("The first argument 'location' must be a non-empty string");
    }
    super(MANIFEST, options);
    this.#location = location;
  }

  /** As it was given to the constructor. */
  get location(): string {
    return this.#location;
  }

  /**
   * The store below, with its events, statistics and keyspaces.
   *
   * @throws LEVEL_DATABASE_NOT_OPEN, LEVEL_NOT_SUPPORTED while another process has it
   */
  get store(): Store {
    return this.#owned('store');
  }

  /** Bytes on disk of the keys from `start` up to `end`: roughly, and without what is still in memory. */
  approximateSize(start: K, end: K): Promise<number>;
  approximateSize<Key = K>(start: Key, end: Key, options: StartEndOptions<Key>): Promise<number>;
  approximateSize(...given: readonly unknown[]): Promise<number> {
    return this.#withRange('approximateSize()', given, (store, start, end) => store.approximateSize(start, end));
  }

  /** Merges the keys from `start` to `end` down into the deepest level that has any of them. */
  compactRange(start: K, end: K): Promise<void>;
  compactRange<Key = K>(start: Key, end: Key, options: StartEndOptions<Key>): Promise<void>;
  compactRange(...given: readonly unknown[]): Promise<void> {
    return this.#withRange('compactRange()', given, (store, start, end) => store.compact({ start, end }));
  }

  /**
   * One of LevelDB's properties: `leveldb.num-files-at-levelN`, `leveldb.stats`, `leveldb.sstables`,
   * `leveldb.approximate-memory-usage`. The empty string for any other name.
   *
   * @throws LEVEL_DATABASE_NOT_OPEN
   */
  getProperty(name: string): string {
    if (typeof name !== 'string') throw new TypeError("The first argument 'property' must be a string");
    return property(this.#owned('getProperty()').stats(), name);
  }

  /**
   * Everything that is committed, in the one order of all writes, from a place on: what `put`, `del`, `batch`, `clear` and
   * every sublevel write. With `sublevel` only its changes, whose keys come without its prefix. See `store.changes`.
   *
   * Begins when it is subscribed to or iterated, or, if the database is opening then, when it is open.
   *
   * @returns fails as `store.changes`, with codes that begin with `LEVEL_`; at data that cannot be decoded with
   *   LEVEL_DECODE_ERROR, after everything before it
   */
  changes<Key = K, Value = V>(
    options?: LevelChangesOptions<Key, Value> & WholeChanges,
  ): ChangeFeed<LevelChange<Key, Value>>;
  changes<Key = K, Value = V>(options: LevelChangesOptions<Key, Value>): ChangeFeed<LevelChangeEvent<Key, Value>>;
  changes<Key, Value>(options: LevelChangesOptions<Key, Value> = {}): ChangeFeed<LevelChangeEvent<Key, Value>> {
    const types = typedKeys(this, options);
    const stored = storeChangesOptions(types, options);
    return changeFeed(
      this,
      () => this.#opened('changes()').changes(stored),
      (event) => typedEvent(types, event),
    );
  }

  /**
   * A durable consumer: handles every change at least once, in order per key, also across restarts; what its handler writes
   * through the transaction commits in the same batch as its position, so exactly once. See `store.consumer`. Where another
   * process has the database, it runs there, or with `run({ whenOwner: true })` here when this one takes over.
   *
   * @throws LEVEL_DATABASE_NOT_OPEN, and as `store.consumer`
   */
  consumer<Key = K, Value = V>(name: string, options: LevelConsumerOptions<Key, Value, K, V>): ConsumerFace;
  // eslint-disable-next-line @typescript-eslint/unified-signatures -- of a union, no handler's parameter could be inferred
  consumer<Key = K, Value = V>(name: string, options: LevelBatchConsumerOptions<Key, Value, K, V>): ConsumerFace;
  consumer<Key, Value>(
    name: string,
    options: LevelConsumerOptions<Key, Value, K, V> | LevelBatchConsumerOptions<Key, Value, K, V>,
  ): ConsumerFace {
    const store = this.#opened('consumer()');
    return translated(() => consumerOf(this, store, name, options));
  }

  /**
   * Removes the database's files from the directory, and the directory if nothing is left in it. A missing directory is no
   * error. @throws LEVEL_LOCKED if it is open
   */
  static destroy(location: string): Promise<void> {
    return destroy(location);
  }

  /**
   * Brings back all that can be read of a damaged database, and deletes nothing: what it replaces is moved into
   * `lost/<date and time>/`. What could not be read it does not tell: `repair` of the package itself does.
   *
   * @throws LEVEL_LOCKED if it is open, LEVEL_NOT_A_DATABASE
   */
  static repair(location: string): Promise<void> {
    return repair(location);
  }

  /** @internal */
  async _open(options: OpenOptions): Promise<void> {
    try {
      this.#store = await openOrAttach(this.#location, { ...storeOptions(options), attach: options.attach });
    } catch (error) {
      throwLevelError(error);
    }
  }

  /** @internal */
  _close(): Promise<void> {
    return this.#opened('close()')
      .close()
      .then(() => {
        this.#store = undefined;
      }, throwLevelError);
  }

  /** @internal */
  _get(key: Formatted, { valueEncoding, snapshot }: PrivateReadOptions): Promise<Formatted | undefined> {
    return this.#reader(snapshot)
      .get(key)
      .then((value) => formattedOrNone(value, valueEncoding), throwLevelError);
  }

  /** @internal */
  _getSync(key: Formatted, { valueEncoding, snapshot }: PrivateReadOptions): Formatted | undefined {
    return translated(() => formattedOrNone(this.#reader(snapshot).getSync(key), valueEncoding));
  }

  /** @internal */
  _getMany(
    keys: readonly Formatted[],
    { valueEncoding, snapshot }: PrivateReadOptions,
  ): Promise<(Formatted | undefined)[]> {
    return this.#reader(snapshot)
      .getMany(keys.map(pinned))
      .then((values) => values.map((value) => formattedOrNone(value, valueEncoding)), throwLevelError);
  }

  /** @internal */
  _has(key: Formatted, { snapshot }: PrivateReadOptions): Promise<boolean> {
    return this.#reader(snapshot).has(key).then(undefined, throwLevelError);
  }

  /** @internal */
  async _hasMany(keys: readonly Formatted[], { snapshot }: PrivateReadOptions): Promise<boolean[]> {
    const store = this.#opened('hasMany()');
    const wanted = keys.map(pinned);
    const found: boolean[] = [];
    snapshot?.ref(); // abstract-level lets go of its own reference before this is done
    const view = snapshot == null ? translated(() => store.snapshot()) : LevelSnapshot.snapshotOf(snapshot, store);
    try {
      for (let start = 0; start < wanted.length; start += READS_AT_ONCE) {
        const chunk = wanted.slice(start, start + READS_AT_ONCE);
        found.push(...(await Promise.all(chunk.map((key) => view.has(key)))));
      }
      return found;
    } catch (error) {
      return throwLevelError(error);
    } finally {
      if (snapshot == null) view.close();
      else snapshot.unref();
    }
  }

  /** @internal */
  _put(key: Formatted, value: Formatted, options: WriteOptions): Promise<void> {
    const store = this.#opened('put()');
    return translated(() => store.set(pinned(key), pinned(value), durabilityOf(options))).then(
      nothing,
      throwLevelError,
    );
  }

  /** @internal */
  _del(key: Formatted, options: WriteOptions): Promise<void> {
    const store = this.#opened('del()');
    return translated(() => store.delete(pinned(key), durabilityOf(options))).then(nothing, throwLevelError);
  }

  /** @internal */
  _batch(operations: readonly PrivateOperation[], options: WriteOptions): Promise<void> {
    const lines = operations.map(({ type, key, value }): WriteOperation =>
      type === 'put' ? { type: 'set', key: pinned(key), value: pinned(value) } : { type: 'delete', key: pinned(key) },
    );
    return this.#write(lines, options);
  }

  /** @internal */
  _chainedBatch(): LevelChainedBatch<this, K, V> {
    return new LevelChainedBatch<this, K, V>(this, (lines, options) => this.#write(lines, options));
  }

  /** @internal */
  _iterator(options: PrivateIteratorOptions): LevelIterator<this, K, V> {
    return new LevelIterator<this, K, V>(this, this.#opened('iterator()'), options);
  }

  /** @internal */
  _snapshot(options: SnapshotOwner): LevelSnapshot {
    return new LevelSnapshot(this.#opened('snapshot()'), options);
  }

  /** @internal */
  _clear(options: PrivateClearOptions & WriteOptions): Promise<void> {
    const store = this.#opened('clear()');
    return clear(store, options, (lines) => this.#write(lines, options));
  }

  #opened(what: string): AttachedStore {
    if (this.#store === undefined || this.status === 'closed') throw notOpen(what);
    return this.#store;
  }

  /** The store itself, for what cannot be done from another process. */
  #owned(what: string): Store {
    const { store } = this.#opened(what);
    return store ?? throwLevelError(new NotAttachableError(what));
  }

  #reader(snapshot: AbstractSnapshot | undefined): ReaderFace {
    const store = this.#opened('get()');
    return snapshot == null ? store : LevelSnapshot.snapshotOf(snapshot, store);
  }

  /** In an async function, what the store throws at the call is a rejection, too. */
  async #write(lines: readonly WriteOperation[], options: WriteOptions): Promise<void> {
    const store = this.#opened('batch()');
    await translated(() => store.write(lines, durabilityOf(options))).then(undefined, throwLevelError);
  }

  async #withRange<T>(
    what: string,
    given: readonly unknown[],
    work: (store: AttachedStore, start: Bytes, end: Bytes) => OperationFace<T>,
  ): Promise<T> {
    if (given.length < 2) throw new TypeError("The arguments 'start' and 'end' are required");
    if (this.status === 'opening') return this.deferAsync(() => this.#withRange(what, given, work));
    const [start, end, options] = given;
    const store = this.#opened(what);
    const types = typedKeys<unknown, unknown>(this, options ?? {});
    return work(store, types.encodeKey(start), types.encodeKey(end)).then(undefined, throwLevelError);
  }
}

const durabilityOf = ({ sync }: WriteOptions): { readonly durability: 'synced' | 'buffered' } => ({
  durability: sync === true ? 'synced' : 'buffered',
});
