/**
 * A keyspace: a named part of the store whose keys and values have types. It is a view that holds nothing: what it writes
 * are ordinary entries of the store, in the same order, the same batches, the same change stream as all others.
 */
import { InvalidArgumentError } from '../errors.ts';
import type {
  Bytes,
  Change,
  CheckOperation,
  Commit,
  DeleteOperation,
  Entry,
  SequenceNumber,
  SetOperation,
  WriteOperation,
} from '../model.ts';
import type { ChangesFrom } from './change-place.ts';
import type { SnapshotEnd } from './change-stream.ts';
import { checkSettings } from './check-settings.ts';
import type { Consumer } from './consumer.ts';
import {
  type KeyspaceChange,
  type KeyspaceChangeEvent,
  type KeyspaceChangesOptions,
  type KeyspaceSnapshotEntry,
  type KeyspaceWatchedValue,
  type KeyspaceWatchOptions,
  typedChange,
  typedEvents,
  typedValues,
} from './keyspace-changes.ts';
import {
  type KeyspaceBatchConsumerOptions,
  keyspaceConsumer,
  type KeyspaceConsumerOptions,
} from './keyspace-consumer.ts';
import { KeyspaceForm, type KeyspaceOptions } from './keyspace-form.ts';
import type { KeyspaceName } from './keyspace-name.ts';
import { type KeyspaceRewriteOptions, type KeyspaceRewriteReport, rewriteKeyspace } from './keyspace-rewrite.ts';
import {
  type KeyspaceEntry,
  type KeyspaceReadOptions,
  type KeyspaceScanOptions,
  scanKeyspace,
} from './keyspace-scan.ts';
import type { KeyspaceParts, KeyspaceReader, KeyspaceStore } from './keyspace-store.ts';
import { type BytesTransaction, KeyspaceTransaction } from './keyspace-transaction.ts';
import { mapOperation } from './map-stream.ts';
import type { Operation } from './operation.ts';
import { Snapshot } from './snapshot.ts';
import type { Stream } from './stream.ts';
import type { WriteOptions } from './write-options.ts';

/** One line of a keyspace's batch. */
export type KeyspaceOperation<Key, Value> =
  | { readonly type: 'set'; readonly key: Key; readonly value: Value }
  | { readonly type: 'delete'; readonly key: Key }
  | { readonly type: 'check'; readonly key: Key; readonly sequence: SequenceNumber | 'absent' };

/** A value, and the sequence number of the set that gave it: what a check asks for. */
export interface KeyspaceVersion<Value> {
  readonly value: Value;
  readonly sequence: SequenceNumber;
}

/** A stream that drops nothing, and does not tell its place, never has a `'skipped'` in it. */
interface NothingSkipped {
  readonly overflow?: 'replay' | 'fail' | undefined;
  readonly progressMs?: undefined;
}
type AfterSnapshot = Exclude<ChangesFrom, 'snapshot'> | undefined;

/**
 * What is thrown at the call, and what a stream or operation fails with: a key, value or bound that the codec or schema does
 * not take throws a `SchemaError` at the call, and nothing is written; stored bytes that they do not take are a `SchemaError`
 * of the operation or stream that reads them, with the stored key, and everything else can still be read.
 *
 * With `encryption`, a value that cannot be decrypted does as one that does not fit, with a `ValueUnreadableError`; and where
 * no key is to be had, whatever writes a value throws an `EncryptionKeyError` at the call.
 */
export class Keyspace<Key, Value> {
  readonly #form: KeyspaceForm<Key, Value>;
  readonly #store: KeyspaceStore;
  readonly #parts: KeyspaceParts;

  /** @internal */
  constructor(parts: KeyspaceParts, name: KeyspaceName, options: KeyspaceOptions<Key, Value>) {
    this.#store = parts.store;
    this.#parts = parts;
    this.#form = new KeyspaceForm(name, options);
  }

  /** Its name; of a keyspace within others, all their names from the outside in, joined by `!`. */
  get name(): string {
    return this.#form.prefix.name;
  }

  /** Where its keys lie in the store: for `store.scan`, `store.changes` and `store.compact`, which give them as bytes. */
  get range(): { readonly gte: Uint8Array; readonly lt: Uint8Array } {
    const { bytes, end } = this.#form.prefix;
    return { gte: Uint8Array.from(bytes), lt: Uint8Array.from(end) };
  }

  /** The value of the key, or `undefined`. Synchronous, if memory has it. */
  get(key: Key, options?: KeyspaceReadOptions): Operation<Value | undefined> {
    const stored = this.#form.encodeKey(key);
    return mapOperation(this.#reader(options).get(stored), (value) => this.#decode(value, stored));
  }

  /** The values of the keys, in their order, all as of one moment. */
  getMany(keys: readonly Key[], options?: KeyspaceReadOptions): Operation<(Value | undefined)[]> {
    if (!Array.isArray(keys)) throw new InvalidArgumentError('keys', 'an array', keys);
    const stored = [...(keys as readonly Key[])].map((key, index) => this.#form.encodeKey(key, `keys[${index}]`));
    return mapOperation(this.#reader(options).getMany(stored), (values) =>
      values.map((value, index) => this.#decode(value, stored[index] as Bytes)),
    );
  }

  /** Whether the key has a value. */
  has(key: Key, options?: KeyspaceReadOptions): Operation<boolean> {
    return this.#reader(options).has(this.#form.encodeKey(key));
  }

  /** The value of the key, and the sequence number that a check of it asks for. */
  entry(key: Key, options?: KeyspaceReadOptions): Operation<KeyspaceVersion<Value> | undefined> {
    const stored = this.#form.encodeKey(key);
    return mapOperation(this.#reader(options).entry(stored), (found) =>
      found === undefined
        ? undefined
        : { value: this.#form.decodeValue(found.value, () => stored), sequence: found.sequence },
    );
  }

  /** Gives the key the value. As `store.set`; the value is taken at the call. */
  set(key: Key, value: Value, options?: WriteOptions): Operation<Commit> {
    const stored = this.#form.encodeKey(key);
    return this.#store.set(stored, this.#form.encodeValue(value, stored), options);
  }

  /** Makes the key absent. As `store.delete`. */
  delete(key: Key, options?: WriteOptions): Operation<Commit> {
    return this.#store.delete(this.#form.encodeKey(key), options);
  }

  /** All of these, or none, as `store.write`. For lines of several keyspaces in one batch there is {@link Keyspace.setLine}. */
  write(operations: readonly KeyspaceOperation<Key, Value>[], options?: WriteOptions): Operation<Commit> {
    if (!Array.isArray(operations)) throw new InvalidArgumentError('batch', 'an array of operations', operations);
    const given = [...(operations as readonly KeyspaceOperation<Key, Value>[])]; // `map` would pass over holes
    return this.#store.write(
      given.map((operation, index) => this.#lineOf(operation, `batch[${index}]`)),
      options,
    );
  }

  /** A line for `store.write`: gives the key the value. @throws SchemaError, EncryptionKeyError */
  setLine(key: Key, value: Value): SetOperation {
    const stored = this.#form.encodeKey(key);
    return { type: 'set', key: stored, value: this.#form.encodeValue(value, stored) };
  }

  /** A line for `store.write`: makes the key absent. @throws SchemaError */
  deleteLine(key: Key): DeleteOperation {
    return { type: 'delete', key: this.#form.encodeKey(key) };
  }

  /** A line for `store.write`: nothing of the batch is written unless the key is at `sequence`. @throws SchemaError */
  checkLine(key: Key, sequence: SequenceNumber | 'absent'): CheckOperation {
    return { type: 'check', key: this.#form.encodeKey(key), sequence };
  }

  /**
   * The entries of a range in the order of the keys, as `store.scan`. At a stored key or value that does not fit, the scan
   * gives all before it, and then fails with the SchemaError; `store.scan({ gt: error.key, lt: keyspace.range.lt })` goes on
   * behind it, in bytes, and {@link Keyspace.decodeEntry} gives them their types.
   */
  scan(options: KeyspaceScanOptions<Key> & { readonly values: false }): Stream<Key>;
  scan(options: KeyspaceScanOptions<Key> & { readonly keys: false }): Stream<Value>;
  scan(options?: KeyspaceScanOptions<Key>): Stream<KeyspaceEntry<Key, Value>>;
  scan(options: KeyspaceScanOptions<Key> = {}): Stream<Key> | Stream<Value> | Stream<KeyspaceEntry<Key, Value>> {
    return scanKeyspace(this.#form, this.#reader(options), options);
  }

  /** An entry that the store gave, in the types of this keyspace. @throws InvalidArgumentError, SchemaError, ValueUnreadableError */
  decodeEntry({ key, value }: Entry): KeyspaceEntry<Key, Value> {
    this.#form.prefix.check(key);
    return { key: this.#form.decodeKey(key), value: this.#form.decodeValue(value, () => key) };
  }

  /**
   * The changes of the keyspace, or of a range of it, as `store.changes`: from any place that is kept, without a gap.
   *
   * At a stored key or value that does not fit, the stream gives every batch before it, and then fails with the SchemaError.
   * From the cursor of the last change given on, `store.changes({ ...keyspace.range, from: cursor })` has the change in
   * bytes, and its own cursor, behind which this stream goes on. {@link Keyspace.decodeChange} gives changes their types.
   *
   * @throws (at the call) InvalidArgumentError, OutOfRangeError, SchemaError for a bound
   */
  changes(
    options: KeyspaceChangesOptions<Key> & { readonly from: 'snapshot' } & NothingSkipped,
  ): Stream<KeyspaceChange<Key, Value> | KeyspaceSnapshotEntry<Key, Value> | SnapshotEnd>;
  changes(
    options?: KeyspaceChangesOptions<Key> & { readonly from?: AfterSnapshot } & NothingSkipped,
  ): Stream<KeyspaceChange<Key, Value>>;
  changes(options: KeyspaceChangesOptions<Key>): Stream<KeyspaceChangeEvent<Key, Value>>;
  changes(options: KeyspaceChangesOptions<Key> = {}): Stream<KeyspaceChangeEvent<Key, Value>> {
    checkSettings('options', options);
    return typedEvents(this.#form, this.#store.changes(this.#form.storedOptions(options)));
  }

  /** A change that the store gave, in the types of this keyspace. @throws InvalidArgumentError, SchemaError, ValueUnreadableError */
  decodeChange(change: Change): KeyspaceChange<Key, Value> {
    this.#form.prefix.check(change.key);
    return typedChange(this.#form, change);
  }

  /** The present value of the key, then each new one, as `store.watch`. */
  watch(
    key: Key,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Stream<KeyspaceWatchedValue<Key, Value>> {
    checkSettings('options', options);
    return typedValues(this.#form, this.#store.watch(this.#form.encodeKey(key), options));
  }

  /** The present value of each key of a range, or of all keys, then each new one, as `store.watch`. */
  watchRange(range: KeyspaceWatchOptions<Key> = {}): Stream<KeyspaceWatchedValue<Key, Value>> {
    checkSettings('range', range);
    return typedValues(this.#form, this.#store.watch(this.#form.storedOptions(range)));
  }

  /**
   * A durable consumer of the keyspace, or of a range of it, as `store.consumer`; its handler gets changes of the keyspace's
   * types. One that does not fit is a failed attempt, and becomes a dead letter like any other, in bytes.
   *
   * @throws (at the call) InvalidArgumentError, OutOfRangeError, SchemaError for a bound
   */
  consumer(name: string, options: KeyspaceConsumerOptions<Key, Value>): Consumer<KeyspaceChange<Key, Value>>;
  // eslint-disable-next-line @typescript-eslint/unified-signatures -- of a union, no handler's parameter could be inferred
  consumer(name: string, options: KeyspaceBatchConsumerOptions<Key, Value>): Consumer<KeyspaceChange<Key, Value>>;
  consumer(
    name: string,
    options: KeyspaceConsumerOptions<Key, Value> | KeyspaceBatchConsumerOptions<Key, Value>,
  ): Consumer<KeyspaceChange<Key, Value>> {
    return keyspaceConsumer(this.#form, this.#parts.makeConsumer, name, options);
  }

  /**
   * Encrypts again, with the current key, each value that another key has encrypted: so that the older keys can go. It is
   * a set like any other, and subscribers see it; a value that is changed meanwhile is left alone, and so is one that cannot
   * be read. History, backups and dead letters keep what they have: see docs/encryption.md before you let a key go.
   *
   * Unsubscribing and `signal` end it between two values; begun again, it does the rest.
   *
   * @throws (at the call) InvalidArgumentError, for a keyspace without encryption too; SchemaError for a bound
   * @returns fails as reads and writes do, EncryptionKeyError, AbortedError
   */
  rewrite(options: KeyspaceRewriteOptions<Key> = {}): Operation<KeyspaceRewriteReport> {
    return rewriteKeyspace(this.#form, this.#store, options);
  }

  /** A consumer's transaction in the types of this keyspace: `handle: (change, tx) => users.in(tx).set(...)`. */
  in(transaction: BytesTransaction): KeyspaceTransaction<Key, Value> {
    return new KeyspaceTransaction(this.#form, transaction);
  }

  #reader(options: KeyspaceReadOptions | undefined): KeyspaceReader {
    checkSettings('options', options);
    const snapshot = options?.snapshot;
    if (snapshot === undefined) return this.#store;
    if (snapshot instanceof Snapshot && this.#parts.isOwn(snapshot)) return snapshot;
    throw new InvalidArgumentError('snapshot', 'a snapshot of this store', snapshot);
  }

  #decode(value: Uint8Array | undefined, stored: Bytes): Value | undefined {
    return value === undefined ? undefined : this.#form.decodeValue(value, () => stored);
  }

  #lineOf(operation: KeyspaceOperation<Key, Value>, name: string): WriteOperation {
    const given: unknown = operation;
    if (typeof given !== 'object' || given === null) throw new InvalidArgumentError(name, 'an operation', given);
    const type: unknown = operation.type;
    const key = (): Bytes => this.#form.encodeKey(operation.key, `the key of ${name}`);
    if (operation.type === 'set') {
      const stored = key();
      return {
        type: 'set',
        key: stored,
        value: this.#form.encodeValue(operation.value, stored, `the value of ${name}`),
      };
    }
    if (operation.type === 'delete') return { type: 'delete', key: key() };
    if (type === 'check') return { type: 'check', key: key(), sequence: operation.sequence };
    throw new InvalidArgumentError(`${name}.type`, "'set', 'delete' or 'check'", type);
  }
}
