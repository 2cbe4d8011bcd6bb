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
  store: Store,
  name: string,
  options: LevelConsumerOptions<Key, Value, K, V> | LevelBatchConsumerOptions<Key, Value, K, V>,
): Consumer {
  const types = typedKeys(db, options);
  const typed = (change: Change): LevelChange<Key, Value> => typedChange(types, change);
  const range = types.rangeOf(options);
  // Two calls, each of which the compiler can follow.
  if (options.batch !== undefined) {
    const { handle, ...settings } = withoutTyping(options);
    return store.consumer(name, {
      ...settings,
      ...range,
      handle: (changes: readonly Change[], transaction: Transaction, delivery: Delivery) =>
        handle(changes.map(typed), levelTransaction<K, V>(db, transaction), delivery),
    });
  }
  const { handle, partitionBy, ...settings } = withoutTyping(options);
  return store.consumer(name, {
    ...settings,
    ...range,
    partitionBy: partitionBy === undefined ? undefined : (change) => partitionBy(typed(change)),
    handle: (change: Change, transaction: Transaction, delivery: Delivery) =>
      handle(typed(change), levelTransaction<K, V>(db, transaction), delivery),
  });
}

type LevelOnly = 'sublevel' | 'keyEncoding' | 'valueEncoding' | 'gt' | 'gte' | 'lt' | 'lte';

function withoutTyping<Options extends Partial<Record<LevelOnly, unknown>>>(
  options: Options,
): Omit<Options, LevelOnly> {
  const { sublevel: _s, keyEncoding: _k, valueEncoding: _v, gt: _gt, gte: _gte, lt: _lt, lte: _lte, ...rest } = options;
  return rest;
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
