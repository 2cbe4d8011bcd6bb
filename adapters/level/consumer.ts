/** Consumers of a database or a sublevel: the store's, whose handlers get its changes and write by its encodings. */
import type { Change, Consumer, Delivery, Store, Transaction } from 'alluvium';
import { typedChange } from './changes.ts';
import type {
  LevelBatchConsumerOptions,
  LevelChange,
  LevelConsumerOptions,
  LevelTransaction,
  Typing,
} from './change-types.ts';
import { type Encoder, typedKeys } from './typed-keys.ts';

/** @throws as `store.consumer` */
export function consumerOf<Key, Value, K, V>(
  db: Encoder,
  store: Pick<Store, 'consumer'>,
  name: string,
  options: LevelConsumerOptions<Key, Value, K, V> | LevelBatchConsumerOptions<Key, Value, K, V>,
): Consumer {
  const types = typedKeys(db, options);
  const typed = (change: Change): LevelChange<Key, Value> => typedChange(types, change);
  const { gt, gte, lt, lte } = types.rangeOf(options);
  const range = { gt, gte, lt, lte };
  // Two calls, each of which the compiler can follow. The store does not look at options that it does not know.
  if (options.batch !== undefined) {
    return store.consumer(name, {
      ...options,
      ...range,
      handle: (changes: readonly Change[], transaction: Transaction, delivery: Delivery) =>
        options.handle(changes.map(typed), levelTransaction<K, V>(db, transaction), delivery),
    });
  }
  const { partitionBy } = options;
  return store.consumer(name, {
    ...options,
    ...range,
    partitionBy: partitionBy === undefined ? undefined : (change) => partitionBy(typed(change)),
    handle: (change: Change, transaction: Transaction, delivery: Delivery) =>
      options.handle(typed(change), levelTransaction<K, V>(db, transaction), delivery),
  });
}

function levelTransaction<K, V>(db: Encoder, transaction: Transaction): LevelTransaction<K, V> {
  return {
    put: <Key, Value>(key: Key, value: Value, options: Typing<Key, Value> = {}): void => {
      const types = typedKeys(db, options);
      transaction.set(types.encodeKey(key), types.encodeValue(value));
    },
    del: <Key>(key: Key, options: Typing<Key, unknown> = {}): void => {
      transaction.delete(typedKeys(db, options).encodeKey(key));
    },
    get: async <Key, Value>(key: Key, options: Typing<Key, Value> = {}): Promise<Value | undefined> => {
      const types = typedKeys(db, options);
      const value = await transaction.get(types.encodeKey(key));
      return value === undefined ? undefined : types.decodeValue(value);
    },
  };
}
