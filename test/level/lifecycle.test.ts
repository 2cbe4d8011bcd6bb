// Goal: reads see one moment, fixed at the call; nothing that is under way is lost or left behind when a database closes.
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from 'alluvium';
import { type DatabaseOptions, Level } from 'alluvium/level';
import { temporaryDirectories } from '../support/temporary.ts';

const makeDirectory = temporaryDirectories();
const open = async (options: DatabaseOptions<string, string> = {}): Promise<Level> => {
  const db = new Level('/memory', { ...options, engine: { fileSystem: new MemoryFileSystem(), ...options.engine } });
  await db.open();
  return db;
};

const keyOf = (number: number): string => String(number).padStart(6, '0');
const fill = (db: Level, entries: number, value = 'value'): Promise<void> =>
  db.batch(Array.from({ length: entries }, (_, number) => ({ type: 'put', key: keyOf(number), value })));
const isAborted = { code: 'LEVEL_ABORTED', name: 'AbortError' };

describe('a view', () => {
  it('is fixed when the call is made, and not when it is awaited', async () => {
    const db = await open();
    await fill(db, 300, 'old');
    const reads = [db.get('000007'), db.getMany(['000007']), db.iterator({ gte: '000007', limit: 1 }).all()];
    const iterator = db.iterator();
    const cleared = db.clear({ gte: '000200' });
    const snapshot = db.snapshot();
    await Promise.all([db.put('000007', 'new'), db.put('000250', 'late'), cleared]);
    expect(await Promise.all(reads)).toEqual(['old', ['old'], [['000007', 'old']]]);
    expect((await iterator.all()).map(([, value]) => value)).toEqual(Array(300).fill('old'));
    expect(await db.get('000007', { snapshot })).toBe('old');
    expect(await db.has('000250', { snapshot })).toBe(true);
    expect(await db.hasMany(['000299', '000300'], { snapshot })).toEqual([true, false]);
    expect(await db.get('000007')).toBe('new');
    await db.close();
  });

  it('of an iterator is let go when it is closed, also by the end of a loop, a break or all()', async () => {
    const db = await open();
    await fill(db, 600);
    const held = (): number => db.store.stats().snapshots;
    const iterator = db.iterator();
    expect(held()).toBe(1);
    await iterator.next();
    await iterator.close();
    expect(held()).toBe(0);
    for await (const [key] of db.iterator()) if (key === '000300') break;
    for await (const key of db.keys()) expect(key).toHaveLength(6);
    await db.values().all();
    await db.clear({ lt: '000100' });
    expect(held()).toBe(0);
    const snapshot = db.snapshot();
    const onSnapshot = db.iterator({ snapshot });
    expect(held()).toBe(1);
    await onSnapshot.close();
    expect(held()).toBe(1);
    await snapshot.close();
    expect(held()).toBe(0);
    await db.close();
  });

  it('goes on through seeks, forwards and backwards, within the range only', async () => {
    const db = await open();
    await fill(db, 1000);
    const iterator = db.iterator({ gt: '000100', lte: '000900', limit: 6 });
    await db.clear();
    const keyAt = async (target: string): Promise<string | undefined> => {
      iterator.seek(target);
      return (await iterator.next())?.[0];
    };
    expect(await keyAt('000500')).toBe('000500');
    expect((await iterator.next())?.[0]).toBe('000501');
    expect(await keyAt('0001005')).toBe('000101');
    expect(await keyAt('000100')).toBeUndefined();
    expect(await keyAt('000901')).toBeUndefined();
    expect(await keyAt('000899')).toBe('000899');
    expect((await iterator.nextv(10)).map(([key]) => key)).toEqual(['000900']);
    iterator.seek('000200');
    expect((await iterator.nextv(10)).map(([key]) => key)).toEqual(['000200']); // the sixth
    await iterator.close();
    await db.close();
  });

  it('gives pages of nextv that end behind the high water mark', async () => {
    const db = await open();
    await fill(db, 1000, 'v'.repeat(94)); // rows of 100 bytes
    const sizes = async (highWaterMarkBytes?: number): Promise<readonly number[]> => {
      const iterator = db.iterator(highWaterMarkBytes === undefined ? {} : { highWaterMarkBytes });
      const counts = [(await iterator.nextv(1000)).length, (await iterator.nextv(50)).length];
      expect(iterator.cached).toBeLessThanOrEqual(256);
      await iterator.close();
      return counts;
    };
    expect(await sizes()).toEqual([164, 50]);
    expect(await sizes(0)).toEqual([1, 1]);
    expect(await sizes(1e9)).toEqual([1000, 0]);
    await db.close();
  });
});

describe('closing', () => {
  it('closes iterators and snapshots, and serves the reads that are in flight', async () => {
    const directory = makeDirectory();
    const db = new Level(directory, { cacheSize: 0 });
    await fill(db, 5000, 'v'.repeat(100));
    await db.compactRange('', '~');
    const iterator = db.iterator();
    await iterator.next();
    const snapshot = db.snapshot();
    const reads = Array.from({ length: 200 }, (_, number) => db.get(keyOf(number * 25)));
    const many = db.getMany([keyOf(1), keyOf(4999), 'none']);
    const writes = Array.from({ length: 100 }, (_, number) => db.put(`late ${number}`, 'x'));
    await db.close();
    expect(await Promise.all(reads)).toEqual(Array(200).fill('v'.repeat(100)));
    expect((await many).map((value) => value?.length)).toEqual([100, 100, undefined]);
    await Promise.all(writes);
    await expect(iterator.next()).rejects.toMatchObject({ code: 'LEVEL_ITERATOR_NOT_OPEN' });
    await expect(db.get('a', { snapshot })).rejects.toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN' });
    expect(() => db.store).toThrow(expect.objectContaining({ code: 'LEVEL_DATABASE_NOT_OPEN' }));
    await db.open();
    expect(await db.keys({ gte: 'late' }).all()).toHaveLength(100);
    await db.close();
  });

  it('may come before the open has ended, and then nothing is left open', async () => {
    const directory = makeDirectory();
    const db = new Level(directory);
    const put = db.put('a', '1');
    const read = db.get('a');
    await Promise.all([db.open(), db.close()]);
    expect(db.status).toBe('closed');
    await put; // deferred until the open, and done before the close
    expect([undefined, '1']).toContain(await read);
    const again = new Level(directory);
    expect(await again.get('a')).toBe('1');
    await again.close();
  });
});

describe('under way', () => {
  it('an abort ends a read of an iterator, and all that come after', async () => {
    const db = await open();
    await fill(db, 1000);
    const abort = new AbortController();
    const iterator = db.iterator({ signal: abort.signal });
    expect((await iterator.next())?.[0]).toBe('000000');
    abort.abort();
    await expect(iterator.next()).rejects.toMatchObject(isAborted);
    await expect(iterator.nextv(10)).rejects.toMatchObject(isAborted);
    await iterator.close();

    const late = new AbortController();
    const other = db.iterator({ signal: late.signal });
    const all = other.all();
    late.abort();
    await expect(all).rejects.toMatchObject(isAborted);
    expect(db.store.stats().snapshots).toBe(0);
    await db.close();
  });

  it('ten thousand gets at once are all answered, from tables too', async () => {
    const db = new Level(makeDirectory(), { cacheSize: 64 * 1024 });
    await fill(db, 10_000, 'v'.repeat(50));
    await db.compactRange('', '~');
    const values = await Promise.all(Array.from({ length: 10_000 }, (_, number) => db.get(keyOf(number))));
    expect(values.every((value) => value === 'v'.repeat(50))).toBe(true);
    expect(await db.hasMany(Array.from({ length: 1000 }, (_, number) => keyOf(number * 20)))).toEqual(
      Array.from({ length: 1000 }, (_, number) => number < 500),
    );
    await db.close();
  });

  it('what comes while the database opens waits for it, in order', async () => {
    const db = new Level('/memory', { engine: { fileSystem: new MemoryFileSystem() } });
    expect(db.status).toBe('opening');
    const put = db.put('a', '1');
    const read = db.get('a');
    const rows = db.iterator().all();
    await put;
    expect(await read).toBeUndefined(); // the put had not been acknowledged
    expect(await rows).toEqual([]);
    expect(await db.get('a')).toBe('1');
    await db.close();
  });
});
