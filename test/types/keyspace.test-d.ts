import { codecs } from 'alluvium';
import type {
  Commit,
  Consumer,
  Cursor,
  DeleteOperation,
  KeyBound,
  KeyCodec,
  Keyspace,
  KeyspaceChange,
  KeyspaceChangeEvent,
  KeyspaceEntry,
  KeyspaceSnapshotEntry,
  KeyspaceVersion,
  KeyspaceWatchedValue,
  Operation,
  SetOperation,
  SnapshotEnd,
  StandardSchemaV1,
  Store,
  Stream,
  ValueCodec,
} from 'alluvium';
import { expectTypeOf } from 'vitest';

declare const store: Store;
declare const schema: StandardSchemaV1<unknown, User>;

interface User {
  readonly name: string;
}

// Codecs say what they are of; tuples of what their elements are.
expectTypeOf(codecs.utf8).toEqualTypeOf<KeyCodec<string>>();
expectTypeOf(codecs.json<User>()).toEqualTypeOf<ValueCodec<User>>();
expectTypeOf(codecs.tuple(codecs.utf8, codecs.date)).toEqualTypeOf<KeyCodec<readonly [string, Date]>>();
expectTypeOf(codecs.tuple(codecs.tuple(codecs.bigint), codecs.boolean)).toEqualTypeOf<
  KeyCodec<readonly [readonly [bigint], boolean]>
>();
// @ts-expect-error JSON has no order that its text keeps.
void codecs.tuple(codecs.utf8, codecs.json);

// A keyspace has the types of its codecs, or of its schema's output.
const users = store.keyspace('users', { key: codecs.utf8, value: codecs.json<User>() });
expectTypeOf(users).toEqualTypeOf<Keyspace<string, User>>();
const events = store.keyspace(['log', 'events'], { key: codecs.tuple(codecs.utf8, codecs.number), value: schema });
expectTypeOf(events).toEqualTypeOf<Keyspace<readonly [string, number], User>>();
// @ts-expect-error Both codecs are needed.
void store.keyspace('users', { key: codecs.utf8 });

// What goes in and comes out has these types.
expectTypeOf(users.get('ada')).toEqualTypeOf<Operation<User | undefined>>();
expectTypeOf(users.getMany(['ada'])).toEqualTypeOf<Operation<(User | undefined)[]>>();
expectTypeOf(users.entry('ada')).toEqualTypeOf<Operation<KeyspaceVersion<User> | undefined>>();
expectTypeOf(users.set('ada', { name: 'Ada' })).toEqualTypeOf<Operation<Commit>>();
expectTypeOf(events.set(['ada', 1] as const, { name: 'Ada' }, { durability: 'buffered' })).toEqualTypeOf<
  Operation<Commit>
>();
// @ts-expect-error A key is a string here.
void users.get(1);
// @ts-expect-error A value has a name.
void users.set('ada', {});
// @ts-expect-error A key has two elements here.
void events.set(['ada'], { name: 'Ada' });
// @ts-expect-error A line has a value of the type.
void users.write([{ type: 'set', key: 'ada', value: 'Ada' }]);

// Scans give what is asked for.
expectTypeOf(users.scan()).toEqualTypeOf<Stream<KeyspaceEntry<string, User>>>();
expectTypeOf(users.scan({ values: false })).toEqualTypeOf<Stream<string>>();
expectTypeOf(users.scan({ keys: false, gte: 'a' })).toEqualTypeOf<Stream<User>>();

// Bounds are keys, or the first elements of them.
expectTypeOf<KeyBound<string>>().toEqualTypeOf<string>();
expectTypeOf<KeyBound<Date>>().toEqualTypeOf<Date>();
expectTypeOf(events.scan({ gte: ['ada'], lte: ['ada', 2], reverse: true })).toExtend<Stream<unknown>>();
expectTypeOf(events.scan({ gte: [] })).toExtend<Stream<unknown>>();
// @ts-expect-error The second element is a number.
void events.scan({ gte: ['ada', 'bob'] });
// @ts-expect-error There are two elements.
void events.scan({ gte: ['ada', 1, 2] });
// @ts-expect-error A bound is a key.
void users.scan({ gte: 1 });

// Changes and watched values have the keyspace's types; what can be among them depends on the options.
expectTypeOf(users.changes()).toEqualTypeOf<Stream<KeyspaceChange<string, User>>>();
expectTypeOf(events.changes({ from: 'start', gte: ['ada'] })).toEqualTypeOf<
  Stream<KeyspaceChange<readonly [string, number], User>>
>();
expectTypeOf(users.changes({ from: 'snapshot' })).toEqualTypeOf<
  Stream<KeyspaceChange<string, User> | KeyspaceSnapshotEntry<string, User> | SnapshotEnd>
>();
expectTypeOf(users.changes({ overflow: 'dropOldest' })).toEqualTypeOf<Stream<KeyspaceChangeEvent<string, User>>>();
expectTypeOf<Extract<KeyspaceChange<string, User>, { type: 'set' }>['value']>().toEqualTypeOf<User>();
expectTypeOf<Extract<KeyspaceChange<string, User>, { type: 'delete' }>>().not.toHaveProperty('value');
expectTypeOf<KeyspaceChange<string, User>['cursor']>().toEqualTypeOf<Cursor>();
// @ts-expect-error A bound is a key.
void users.changes({ gte: 1 });
expectTypeOf(users.watch('ada')).toEqualTypeOf<Stream<KeyspaceWatchedValue<string, User>>>();
expectTypeOf(events.watchRange({ gte: ['ada'] })).toEqualTypeOf<
  Stream<KeyspaceWatchedValue<readonly [string, number], User>>
>();

// A consumer's handler is given changes of these types, and its transaction takes them.
const consumer = users.consumer('names', {
  gte: 'a',
  partitionBy: (change) => change.key,
  handle: (change, tx) => {
    expectTypeOf(change).toEqualTypeOf<KeyspaceChange<string, User>>();
    users.in(tx).set('ada', { name: 'Ada' });
    // @ts-expect-error A value has a name.
    users.in(tx).set('ada', {});
  },
});
expectTypeOf(consumer).toEqualTypeOf<Consumer<KeyspaceChange<string, User>>>();
users.consumer('names', {
  batch: { changesMax: 10 },
  handle: (changes) => {
    expectTypeOf(changes).toEqualTypeOf<readonly KeyspaceChange<string, User>[]>();
  },
});

// Lines of keyspaces are lines of the store.
expectTypeOf(users.setLine('ada', { name: 'Ada' })).toEqualTypeOf<SetOperation>();
expectTypeOf(events.deleteLine(['ada', 1])).toEqualTypeOf<DeleteOperation>();
expectTypeOf(
  store.write([users.setLine('ada', { name: 'Ada' }), events.checkLine(['ada', 1], 'absent')]),
).toEqualTypeOf<Operation<Commit>>();
