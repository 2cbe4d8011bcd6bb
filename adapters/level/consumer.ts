/** Consumers of a database or a sublevel: the store's, whose handlers get its changes and write by its encodings. */
import type { Change, Delivery, Transaction } from 'alluvium';
import { catchError } from 'rxjs';
import type { AttachedStore, ConsumerFace, OperationFace, StreamFace } from '../attach/index.ts';
import { typedChange } from './changes.ts';
import type {
  LevelBatchConsumerOptions,
  LevelChange,
  LevelConsumerOptions,
  LevelTransaction,
  Typing,
} from './change-types.ts';
import { throwLevelError, translated } from './level-error.ts';
import { type Encoder, typedKeys } from './typed-keys.ts';

/** @throws as `store.consumer` */
export function consumerOf<Key, Value, K, V>(
  db: Encoder,
  store: Pick<AttachedStore, 'consumer'>,
  name: string,
  options: LevelConsumerOptions<Key, Value, K, V> | LevelBatchConsumerOptions<Key, Value, K, V>,
): ConsumerFace {
  const types = typedKeys(db, options);
  const typed = (change: Change): LevelChange<Key, Value> => typedChange(types, change);
  const { gt, gte, lt, lte } = types.rangeOf(options);
  const range = { gt, gte, lt, lte };
  // Two calls, each of which the compiler can follow. The store does not look at options that it does not know.
  if (options.batch !== undefined) {
    const consumer = store.consumer(name, {
      ...options,
      ...range,
      handle: (changes: readonly Change[], transaction: Transaction, delivery: Delivery) =>
        options.handle(changes.map(typed), levelTransaction<K, V>(db, transaction), delivery),
    });
    return levelConsumer(consumer);
  }
  const { partitionBy } = options;
  const consumer = store.consumer(name, {
    ...options,
    ...range,
    partitionBy: partitionBy === undefined ? undefined : (change) => partitionBy(typed(change)),
    handle: (change: Change, transaction: Transaction, delivery: Delivery) =>
      options.handle(typed(change), levelTransaction<K, V>(db, transaction), delivery),
  });
  return levelConsumer(consumer);
}

/** The same consumer, with errors as `level` knows them. */
const levelConsumer = (consumer: ConsumerFace): ConsumerFace => ({
  name: consumer.name,
  run: (options) => consumer.run(options).pipe(catchError(throwLevelError)),
  position: () => levelOperation(() => consumer.position()),
  lag: (options) => levelOperation(() => consumer.lag(options)),
  seek: (from) => levelOperation(() => consumer.seek(from)),
  pause: () => levelOperation(() => consumer.pause()),
  resume: () => levelOperation(() => consumer.resume()),
  deadLetters: (options) => levelStream(() => consumer.deadLetters(options)),
  deadLetter: (id) => levelOperation(() => consumer.deadLetter(id)),
  replay: (id, options) => levelOperation(() => consumer.replay(id, options)),
  dropDeadLetter: (id, options) => levelOperation(() => consumer.dropDeadLetter(id, options)),
  delete: () => levelOperation(() => consumer.delete()),
});

function levelOperation<T>(make: () => OperationFace<T>): OperationFace<T> {
  const made = translated(make);
  const then: OperationFace<T>['then'] = (onFulfilled, onRejected) =>
    made.then(undefined, throwLevelError).then(onFulfilled, onRejected);
  return Object.assign(made.pipe(catchError(throwLevelError)), { then });
}

function levelStream<T>(make: () => StreamFace<T>): StreamFace<T> {
  const made = translated(make);
  return Object.assign(made.pipe(catchError(throwLevelError)), {
    [Symbol.asyncIterator]: () => levelValues(made),
    pages: () => levelValues(made.pages()),
  });
}

async function* levelValues<T>(values: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* values;
  } catch (error) {
    throwLevelError(error);
  }
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
