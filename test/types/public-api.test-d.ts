import { open, openInMemory } from 'alluvium';
import type {
  Bytes,
  Change,
  Commit,
  Durability,
  Entry,
  OpenOptions,
  Operation,
  Snapshot,
  Store,
  StoreStats,
  Stream,
} from 'alluvium';
import type { Observable } from 'rxjs';
import { expectTypeOf } from 'vitest';

declare const store: Store;

// Opening gives a store, once, and can be awaited.
expectTypeOf(open('./data')).toEqualTypeOf<Operation<Store>>();
expectTypeOf(openInMemory()).toEqualTypeOf<Operation<Store>>();
expectTypeOf<Awaited<ReturnType<typeof open>>>().toEqualTypeOf<Store>();
expectTypeOf(open).parameter(1).toEqualTypeOf<OpenOptions | undefined>();

// An operation is an Observable and can be awaited; a stream is an Observable and can be iterated.
expectTypeOf<Operation<Commit>>().toExtend<Observable<Commit>>();
expectTypeOf<Operation<Commit>>().toExtend<PromiseLike<Commit>>();
expectTypeOf<Stream<Entry>>().toExtend<Observable<Entry>>();
expectTypeOf<Stream<Entry>>().toExtend<AsyncIterable<Entry>>();
expectTypeOf<Stream<Entry>>().not.toExtend<PromiseLike<Entry>>();

// Keys and values go in as bytes or text, and come out as bytes; absence is undefined.
expectTypeOf<Bytes>().toEqualTypeOf<Uint8Array | string>();
expectTypeOf(store.set('key', new Uint8Array())).toEqualTypeOf<Operation<Commit>>();
expectTypeOf(store.get('key')).toEqualTypeOf<Operation<Uint8Array | undefined>>();
expectTypeOf(store.has('key')).toEqualTypeOf<Operation<boolean>>();
expectTypeOf(store.delete('key')).toEqualTypeOf<Operation<Commit>>();
// @ts-expect-error A number is no key.
void store.set(1, 'value');
// @ts-expect-error Neither is nothing.
void store.set(undefined, 'value');
// @ts-expect-error A value is bytes or text.
void store.set('key', { value: 1 });

// A batch is a list of sets and deletes, and nothing else.
expectTypeOf(store.write([{ type: 'set', key: 'a', value: 'b' }])).toEqualTypeOf<Operation<Commit>>();
expectTypeOf(store.write([{ type: 'delete', key: 'a' }], { durability: 'buffered' })).toEqualTypeOf<
  Operation<Commit>
>();
// @ts-expect-error A set has a value.
void store.write([{ type: 'set', key: 'a' }]);
// @ts-expect-error There is no such operation.
void store.write([{ type: 'put', key: 'a', value: 'b' }]);
// @ts-expect-error There is no such durability.
void store.set('a', 'b', { durability: 'hopeful' });
expectTypeOf<Durability>().toEqualTypeOf<'synced' | 'buffered'>();
expectTypeOf<Commit>().toEqualTypeOf<{ readonly sequence: number; readonly durability: Durability }>();

// Scans take two bounds, or a range.
expectTypeOf(store.scan('a', 'b')).toEqualTypeOf<Stream<Entry>>();
expectTypeOf(store.scan({ gte: 'a', lt: 'b', reverse: true, limit: 10 })).toEqualTypeOf<Stream<Entry>>();
expectTypeOf(store.scan({ values: false })).toEqualTypeOf<Stream<Uint8Array>>();
// @ts-expect-error A limit is a number.
void store.scan({ limit: '10' });

// A snapshot reads and does not write.
expectTypeOf(store.snapshot()).toEqualTypeOf<Snapshot>();
expectTypeOf<Snapshot>().not.toHaveProperty('set');
expectTypeOf<Snapshot['get']>().returns.toEqualTypeOf<Operation<Uint8Array | undefined>>();

// What the store tells about itself, and how it ends.
expectTypeOf(store.changes()).toEqualTypeOf<Stream<Change>>();
expectTypeOf<Extract<Change, { type: 'delete' }>>().not.toHaveProperty('value');
expectTypeOf(store.changes({ from: 1 })).toEqualTypeOf<Stream<Change>>();
// @ts-expect-error A place is a cursor and not any text.
void store.changes({ from: 'yesterday' });
expectTypeOf(store.stats()).toEqualTypeOf<StoreStats>();
expectTypeOf<Store>().toExtend<AsyncDisposable>();
expectTypeOf(store.close()).toExtend<PromiseLike<void>>();

// A handler's parameters are inferred, for single changes and for batches.
store.consumer('totals', {
  handle: (change, transaction) => {
    expectTypeOf(change).toEqualTypeOf<Change>();
    transaction.set('total', change.key);
  },
});
store.consumer('totals', {
  batch: { changesMax: 100 },
  handle: (changes) => {
    expectTypeOf(changes).toEqualTypeOf<readonly Change[]>();
  },
});
