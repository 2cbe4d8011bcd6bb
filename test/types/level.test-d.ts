import type { AbstractSublevel } from 'abstract-level';
import type { ClassicLevel as RealClassicLevel } from 'classic-level';
import type { SnapshotEnd, Store } from 'alluvium';
import type { ConsumerFace } from 'alluvium/attach';
import {
  type ChainedBatch,
  type ChangeFeed,
  ClassicLevel,
  type DatabaseOptions,
  Level,
  type LevelChange,
  type LevelChangeEvent,
  type LevelIterator,
  type LevelTransaction,
  type OpenOptions,
} from 'alluvium/level';
import type { Observable } from 'rxjs';
import { expectTypeOf } from 'vitest';

interface User {
  readonly age: number;
}
type Database = Level<string, User>;
declare const db: Database;
declare const plain: Level;
declare const users: AbstractSublevel<Level, string | Buffer | Uint8Array, number, User>;

// Both names are one class; keys and values are text where nothing else is said.
expectTypeOf(ClassicLevel).toEqualTypeOf(Level);
expectTypeOf(new Level<string, User>('./data', { valueEncoding: 'json' })).toEqualTypeOf<Database>();
// @ts-expect-error A database has a place.
new Level();
// @ts-expect-error A size is a number.
new Level('./data', { cacheSize: '8 MiB' });
// @ts-expect-error An encoding has a name, or is an object.
new Level('./data', { valueEncoding: 5 });

// What classic-level's options are called, ours are called; only the engine's come on top.
type RealOpenOptions = NonNullable<Parameters<RealClassicLevel['open']>[0]>;
expectTypeOf<Exclude<keyof RealOpenOptions, keyof OpenOptions>>().toEqualTypeOf<never>();
expectTypeOf<Exclude<keyof OpenOptions, keyof RealOpenOptions>>().toEqualTypeOf<'readOnly' | 'attach' | 'engine'>();
expectTypeOf<Exclude<keyof RealClassicLevel, keyof Level>>().toEqualTypeOf<never>();
expectTypeOf<Exclude<keyof Level, keyof RealClassicLevel>>().toEqualTypeOf<'store' | 'changes' | 'consumer'>();
expectTypeOf<DatabaseOptions<string, User>>().not.toHaveProperty('passive');

// Reads and writes have the types of the database, or of the options.
expectTypeOf(db.get('ada')).toEqualTypeOf<Promise<User | undefined>>();
expectTypeOf(db.getSync('ada')).toEqualTypeOf<User | undefined>();
expectTypeOf(db.getMany(['ada'])).toEqualTypeOf<Promise<(User | undefined)[]>>();
expectTypeOf(db.has('ada')).toEqualTypeOf<Promise<boolean>>();
expectTypeOf(db.hasMany(['ada'])).toEqualTypeOf<Promise<boolean[]>>();
expectTypeOf(db.put('ada', { age: 36 }, { sync: true })).toEqualTypeOf<Promise<void>>();
expectTypeOf(db.get<Buffer, string>(Buffer.from('a'), { keyEncoding: 'buffer', valueEncoding: 'utf8' })).toEqualTypeOf<
  Promise<string | undefined>
>();
expectTypeOf(db.batch()).toEqualTypeOf<ChainedBatch<Database, string, User>>();
expectTypeOf(db.batch([{ type: 'del', key: 'ada' }])).toEqualTypeOf<Promise<void>>();
expectTypeOf(db.clear({ gte: 'a', limit: 3 })).toEqualTypeOf<Promise<void>>();
expectTypeOf(db.iterator()).toEqualTypeOf<LevelIterator<Database, string, User>>();
expectTypeOf(db.iterator({ gte: 'a', highWaterMarkBytes: 1 }).next()).toEqualTypeOf<
  Promise<[string, User] | undefined>
>();
expectTypeOf(db.keys().all()).toEqualTypeOf<Promise<string[]>>();
expectTypeOf(db.values().all()).toEqualTypeOf<Promise<User[]>>();
// @ts-expect-error A user has an age.
void db.put('ada', {});
// @ts-expect-error A key is text here.
void db.get(1);

// What classic-level has besides, and the store below.
expectTypeOf(db.location).toEqualTypeOf<string>();
expectTypeOf(db.store).toEqualTypeOf<Store>();
expectTypeOf(db.approximateSize('a', 'b')).toEqualTypeOf<Promise<number>>();
expectTypeOf(db.compactRange(Buffer.of(0), Buffer.of(255), { keyEncoding: 'buffer' })).toEqualTypeOf<Promise<void>>();
expectTypeOf(db.getProperty('leveldb.stats')).toEqualTypeOf<string>();
expectTypeOf(Level.destroy('./data')).toEqualTypeOf<Promise<void>>();
expectTypeOf(Level.repair('./data')).toEqualTypeOf<Promise<void>>();

// Changes are typed as the database, as its sublevel, or as said; rows of a snapshot come only where they are asked for.
expectTypeOf(db.changes()).toEqualTypeOf<ChangeFeed<LevelChange<string, User>>>();
expectTypeOf(db.changes()).toExtend<Observable<LevelChange<string, User>>>();
expectTypeOf(plain.changes({ sublevel: users, from: 'start', gte: 5 })).toEqualTypeOf<
  ChangeFeed<LevelChange<number, User>>
>();
expectTypeOf(db.changes({ from: 'snapshot' })).toEqualTypeOf<ChangeFeed<LevelChangeEvent<string, User>>>();
expectTypeOf<SnapshotEnd>().toExtend<LevelChangeEvent<string, User>>();
expectTypeOf<SnapshotEnd>().not.toExtend<LevelChange<string, User>>();
expectTypeOf<Extract<LevelChange<string, User>, { type: 'set' }>['value']>().toEqualTypeOf<User>();
// @ts-expect-error A bound is a key of the sublevel.
void plain.changes({ sublevel: users, gte: 'five' });

// A consumer's changes are the sublevel's, and its transaction writes as the database does.
const consumer = plain.consumer('ages', {
  sublevel: users,
  handle: (change, transaction) => {
    expectTypeOf(change).toEqualTypeOf<LevelChange<number, User>>();
    expectTypeOf(transaction).toEqualTypeOf<LevelTransaction<string, string>>();
    expectTypeOf(transaction.get('total')).toEqualTypeOf<Promise<string | undefined>>();
    expectTypeOf(transaction.get(5, { sublevel: users })).toEqualTypeOf<Promise<User | undefined>>();
    transaction.put(5, { age: 6 }, { sublevel: users });
    transaction.del(5, { sublevel: users });
    // @ts-expect-error A value is text here.
    transaction.put('total', 5);
  },
});
expectTypeOf(consumer).toEqualTypeOf<ConsumerFace>();
void db.consumer('all', {
  batch: { changesMax: 10 },
  handle: (changes) => {
    expectTypeOf(changes).toEqualTypeOf<readonly LevelChange<string, User>[]>();
  },
});
