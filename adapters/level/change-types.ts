/** The types of `db.changes()` and `db.consumer()`: the store's, with keys and values as the database decodes them. */
import type { AbstractSublevel, Transcoder } from 'abstract-level';
import type {
  BatchConsumerOptions,
  ChangesFrom,
  ChangesOptions,
  ConsumerOptions,
  Delivery,
  KeyRange,
  KeyspaceChange,
  KeyspaceChangeEvent,
} from 'alluvium';
import type { ObservableInput } from 'rxjs';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as in abstract-level: of whatever parent and format
export type SublevelOf<Key, Value> = AbstractSublevel<any, any, Key, Value>;

/** Bounds of a range of keys. `gte` wins over `gt`, `lte` over `lt`. */
export interface LevelRange<Key> {
  readonly gt?: Key | undefined;
  readonly gte?: Key | undefined;
  readonly lt?: Key | undefined;
  readonly lte?: Key | undefined;
}

/** Which keys and values are meant, and how they are encoded. Default: those of the database. */
export interface Typing<Key, Value> {
  /** A sublevel of this database, of whatever depth: keys are without its prefix. */
  readonly sublevel?: SublevelOf<Key, Value> | undefined;
  /** Default: that of the sublevel, or of the database. */
  readonly keyEncoding?: string | Transcoder.PartialEncoding<Key> | undefined;
  /** Default: that of the sublevel, or of the database. */
  readonly valueEncoding?: string | Transcoder.PartialEncoding<Value> | undefined;
}

/** As for `store.changes`, with bounds of the keys' type. */
export interface LevelChangesOptions<Key, Value>
  extends LevelRange<Key>, Typing<Key, Value>, Omit<ChangesOptions, keyof KeyRange | 'progressMs'> {}

/** Options with which a feed gives changes only: no rows of a snapshot, and no places where some were dropped. */
export interface WholeChanges {
  readonly from?: Exclude<ChangesFrom, 'snapshot'> | undefined;
  readonly overflow?: 'replay' | 'fail' | undefined;
}

/** `'set'` or `'delete'`; `batchSize` counts all operations of its batch, those of other sublevels too. */
export type LevelChange<Key, Value> = KeyspaceChange<Key, Value>;
/** What `db.changes()` can give. */
export type LevelChangeEvent<Key, Value> = KeyspaceChangeEvent<Key, Value>;

export type TransactionPutOptions<Key, Value> = Typing<Key, Value>;
export type TransactionGetOptions<Key, Value> = Typing<Key, Value>;
export type TransactionDelOptions<Key> = Pick<Typing<Key, unknown>, 'keyEncoding'> & {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a delete has nothing to do with values
  readonly sublevel?: SublevelOf<Key, any> | undefined;
};

/**
 * What a consumer's handler writes; it commits in the same batch as the consumer's position, or not at all. Keys and values
 * are the database's, or by `options` those of a sublevel.
 */
export interface LevelTransaction<K, V> {
  put(key: K, value: V): void;
  put<Key = K, Value = V>(key: Key, value: Value, options: TransactionPutOptions<Key, Value>): void;
  del(key: K): void;
  del<Key = K>(key: Key, options: TransactionDelOptions<Key>): void;
  /**
   * The value of the key, this transaction's own writes included. What it read is checked when the delivery commits: if
   * somebody else wrote the key meanwhile, nothing is written, and the handler is run again.
   */
  get(key: K): Promise<V | undefined>;
  get<Key = K, Value = V>(key: Key, options: TransactionGetOptions<Key, Value>): Promise<Value | undefined>;
}

/** As for `store.consumer`. `K` and `V` are the database's types, `Key` and `Value` those of the changes. */
export interface LevelConsumerOptions<Key, Value, K = Key, V = Value>
  extends
    LevelRange<Key>,
    Typing<Key, Value>,
    Omit<ConsumerOptions<LevelChange<Key, Value>>, keyof KeyRange | 'handle'> {
  /** Does the work. Done when what it gives completes; a throw, a rejection or an error is a failed attempt. */
  readonly handle: (
    change: LevelChange<Key, Value>,
    transaction: LevelTransaction<K, V>,
    delivery: Delivery,
    // eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- a handler may give nothing, and then it is done
  ) => ObservableInput<unknown> | void;
}

/** As {@link LevelConsumerOptions}, for a handler that takes batches. */
export interface LevelBatchConsumerOptions<Key, Value, K = Key, V = Value>
  extends
    LevelRange<Key>,
    Typing<Key, Value>,
    Omit<BatchConsumerOptions<LevelChange<Key, Value>>, keyof KeyRange | 'handle'> {
  readonly handle: (
    changes: readonly LevelChange<Key, Value>[],
    transaction: LevelTransaction<K, V>,
    delivery: Delivery,
    // eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- a handler may give nothing, and then it is done
  ) => ObservableInput<unknown> | void;
}
