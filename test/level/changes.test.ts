// Goal: whatever writes through `level`, its changes can be followed and handled: put, del, batch, clear, every sublevel.
import { firstValueFrom, toArray, take, filter } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from 'alluvium';
import { type ChangeFeed, Level, type LevelChangeEvent } from 'alluvium/level';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const makeDirectory = temporaryDirectories();

const make = (): Level => new Level('/memory', { engine: { fileSystem: new MemoryFileSystem() } });

/** What can be compared of an event. */
const brief = <Key, Value>(event: LevelChangeEvent<Key, Value>): readonly unknown[] => {
  if (event.type === 'set' || event.type === 'entry') return [event.type, event.key, event.value];
  return event.type === 'delete' ? [event.type, event.key] : [event.type];
};

async function first<Key, Value>(
  count: number,
  feed: ChangeFeed<LevelChangeEvent<Key, Value>>,
): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  for await (const event of feed) {
    seen.push(brief(event));
    if (seen.length === count) break;
  }
  return seen;
}

describe('changes', () => {
  it('tell of put, del, batch, chained batch, clear and sublevels, in one order', async () => {
    const db = make();
    const seen = inTime('changes', first(12, db.changes())); // from the open on
    const users = db.sublevel<string, { age: number }>('users', { valueEncoding: 'json' });
    await db.put('a', '1');
    await db.del('a');
    await db.batch<string, unknown>(
      [
        { type: 'put', key: 'b', value: '2' },
        { type: 'put', key: 'ada', value: { age: 36 }, sublevel: users, valueEncoding: 'json' },
      ],
      {},
    );
    await db.batch().put('c', '3').del('b').write();
    await users.put('bob', { age: 7 });
    await users.sublevel('deep').put('x', 'y');
    await users.clear();
    await db.clear({ gte: 'c' });
    expect(await seen).toEqual([
      ['set', 'a', '1'],
      ['delete', 'a'],
      ['set', 'b', '2'],
      ['set', '!users!ada', '{"age":36}'],
      ['set', 'c', '3'],
      ['delete', 'b'],
      ['set', '!users!bob', '{"age":7}'],
      ['set', '!users!!deep!x', 'y'],
      ['delete', '!users!!deep!x'],
      ['delete', '!users!ada'],
      ['delete', '!users!bob'],
      ['delete', 'c'],
    ]);
    await db.close();
  });

  it('of a sublevel have its keys without the prefix, in its types, within bounds', async () => {
    const db = make();
    const users = db.sublevel<string, { age: number }>('users', { valueEncoding: 'json' });
    const deep = users.sublevel<Uint8Array, Buffer>(['very', 'deep'], { keyEncoding: 'view', valueEncoding: 'buffer' });
    await db.put('!users', 'a neighbour');
    await db.put('!users"', 'a neighbour');
    await db.sublevel('user').put('x', 'a neighbour');
    for (const [key, age] of [
      ['ada', 36],
      ['bob', 7],
      ['cid', 70],
    ] as const)
      await users.put(key, { age });
    await deep.put(Uint8Array.of(255, 0), Buffer.from([1, 2]));
    await users.del('bob');

    const whole = db.changes({ sublevel: users, from: 'start', gte: 'a' });
    const between = db.changes({ sublevel: users, from: 'start', gt: 'ada', lte: 'cid' });
    expect(await first(4, whole)).toEqual([
      ['set', 'ada', { age: 36 }],
      ['set', 'bob', { age: 7 }],
      ['set', 'cid', { age: 70 }],
      ['delete', 'bob'],
    ]);
    expect(await first(3, between)).toEqual([
      ['set', 'bob', { age: 7 }],
      ['set', 'cid', { age: 70 }],
      ['delete', 'bob'],
    ]);
    expect(await first(1, db.changes({ sublevel: deep, from: 'start' }))).toEqual([
      ['set', Uint8Array.of(255, 0), Buffer.from([1, 2])],
    ]);
    // As with the sublevel's own iterators, `gte` and `lte` win.
    const both = { gt: 'cid', gte: 'bob', lt: 'ada', lte: 'cid' };
    expect(await first(3, db.changes({ sublevel: users, from: 'start', ...both }))).toHaveLength(3);
    expect((await users.keys(both).all()).length).toBe(1);
    expect(() => make().changes({ sublevel: users })).toThrow(TypeError);
    await db.close();
  });

  it('begin with the present state, from a snapshot, and go on from a cursor', async () => {
    const db = make();
    await db.batch([
      { type: 'put', key: 'a', value: '1' },
      { type: 'put', key: 'b', value: '2' },
    ]);
    const events = firstValueFrom(db.changes({ from: 'snapshot' }).pipe(take(4), toArray()));
    await db.put('c', '3');
    const seen = await inTime('events', events);
    expect(seen.map(brief)).toEqual([['entry', 'a', '1'], ['entry', 'b', '2'], ['snapshotEnd'], ['set', 'c', '3']]);
    const end = seen[2];
    if (end?.type !== 'snapshotEnd') throw new Error('no end');
    expect(await first(1, db.changes({ from: end.cursor }))).toEqual([['set', 'c', '3']]);
    await db.close();
  });

  it('can be decoded otherwise than the database does, and fail where they cannot be', async () => {
    const db = make();
    await db.put('a', '{"n":1}');
    await db.put('b', 'no json');
    const feed = db.changes<string, { n: number }>({ from: 'start', valueEncoding: 'json' });
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const change of feed) seen.push(brief(change));
    })();
    await expect(reading).rejects.toMatchObject({ code: 'LEVEL_DECODE_ERROR' });
    expect(seen).toEqual([['set', 'a', { n: 1 }]]);
    await expect(firstValueFrom(feed.pipe(toArray()))).rejects.toMatchObject({ code: 'LEVEL_DECODE_ERROR' });
    await db.close();
  });

  it('complete when the database closes; on one that is closed they fail', async () => {
    const db = make();
    await db.open();
    const iterated = first(10, db.changes());
    const pushed = firstValueFrom(db.changes().pipe(toArray()));
    await db.put('a', '1');
    await db.close();
    expect(await iterated).toHaveLength(1);
    expect(await pushed).toHaveLength(1);
    await expect(first(1, db.changes())).rejects.toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN' });
    await expect(firstValueFrom(db.changes())).rejects.toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN' });
  });

  it('end with an abort, and with a place that is gone', async () => {
    const db = make();
    await db.open();
    const abort = new AbortController();
    const reading = first(1, db.changes({ signal: abort.signal }));
    abort.abort();
    await expect(reading).rejects.toMatchObject({ code: 'LEVEL_ABORTED', name: 'AbortError' });
    await expect(first(1, db.changes({ from: 99 }))).rejects.toMatchObject({ code: 'LEVEL_INVALID_CURSOR' });
    await db.close();
  });

  it('what a subscriber does to its buffers, no other one sees', async () => {
    const db = make();
    await db.put('a', 'value');
    const bytes = () =>
      firstValueFrom(db.changes<Buffer, Uint8Array>({ from: 'start', keyEncoding: 'buffer', valueEncoding: 'view' }));
    const one = await bytes();
    if (one.type === 'set') one.value.fill(0);
    one.key.fill(0);
    expect(brief(await bytes())).toEqual(['set', Buffer.from('a'), Uint8Array.from(Buffer.from('value'))]);
    await db.close();
  });
});

describe('a consumer', () => {
  it('handles the changes of a sublevel, clear among them, and its effects commit with its position', async () => {
    const db = make();
    await db.open();
    const orders = db.sublevel<string, { item: string; count: number }>('orders', { valueEncoding: 'json' });
    const stock = db.sublevel<string, number>('stock', { valueEncoding: 'json' });
    const consumer = db.consumer('stock', {
      sublevel: orders,
      partitionBy: () => 'one',
      handle: async (change, transaction) => {
        if (change.type === 'delete') {
          await transaction
            .get('deleted')
            .then((before) => transaction.put('deleted', `${before ?? ''}${change.key} `));
          return;
        }
        const { item, count } = change.value;
        const left = await transaction.get(item, { sublevel: stock });
        transaction.put(item, (left ?? 100) - count, { sublevel: stock });
      },
    });
    await orders.batch([
      { type: 'put', key: '1', value: { item: 'lamp', count: 2 } },
      { type: 'put', key: '2', value: { item: 'book', count: 5 } },
      { type: 'put', key: '3', value: { item: 'lamp', count: 1 } },
    ]);
    await orders.clear();
    const last = db.store.stats().sequence;
    await inTime(
      'acks',
      firstValueFrom(consumer.run().pipe(filter((event) => event.type === 'acked' && event.sequence >= last))),
    );
    expect(await stock.iterator().all()).toEqual([
      ['book', 95],
      ['lamp', 97],
    ]);
    expect(await db.get('deleted')).toBe('1 2 3 ');
    expect(await consumer.position()).toMatchObject({ sequence: last });
    await db.close();
  });

  it('takes batches, and deletes', async () => {
    const db = make();
    await db.batch(['a', 'b', 'c'].map((key) => ({ type: 'put', key, value: key.toUpperCase() })));
    const batches: (readonly unknown[])[] = [];
    const consumer = db.consumer('mover', {
      lt: 'm',
      batch: { changesMax: 2 },
      handle: (changes, transaction) => {
        batches.push(changes.map(brief));
        for (const change of changes) {
          if (change.type === 'delete') continue;
          transaction.del(change.key);
          transaction.put(`moved ${change.key}`, change.value);
        }
      },
    });
    await inTime(
      'acks',
      firstValueFrom(consumer.run().pipe(filter((event) => event.type === 'acked' && event.sequence >= 5))),
    );
    expect(batches[0]).toEqual([
      ['set', 'a', 'A'],
      ['set', 'b', 'B'],
    ]);
    expect(batches.flat()).toContainEqual(['delete', 'a']);
    expect(await db.values({ gte: 'moved' }).all()).toEqual(['A', 'B', 'C']);
    await db.close();
  });

  it('needs an open database', async () => {
    const db = make();
    const start = () => db.consumer('early', { handle: () => undefined });
    expect(start).toThrow(expect.objectContaining({ code: 'LEVEL_DATABASE_NOT_OPEN' }));
    await db.open();
    expect(start().name).toBe('early');
    await db.close();
  });

  it('fails with codes of level, whatever is asked of it, and however', async () => {
    const db = make();
    await db.open();
    const consumer = db.consumer('c', { handle: () => undefined });
    const running = consumer.run().subscribe({ error: () => undefined });
    await expect(consumer.delete()).rejects.toMatchObject({ code: 'LEVEL_CONSUMER', cause: { consumer: 'c' } });
    const other = db.consumer('c', { handle: () => undefined, inFlightMax: 2 });
    await expect(firstValueFrom(other.run())).rejects.toMatchObject({ code: 'LEVEL_CONSUMER' });
    await expect(consumer.seek(1_000_000)).rejects.toMatchObject({ code: 'LEVEL_INVALID_CURSOR' });
    const aborted = { signal: AbortSignal.abort() };
    await expect(consumer.lag(aborted)).rejects.toMatchObject({ code: 'LEVEL_ABORTED', name: 'AbortError' });
    await expect(firstValueFrom(consumer.lag(aborted))).rejects.toMatchObject({ code: 'LEVEL_ABORTED' });
    running.unsubscribe();
    await db.close();
    const closed = expect.objectContaining({ code: 'LEVEL_DATABASE_NOT_OPEN' }) as Error;
    for (const call of ['position', 'pause', 'resume', 'replay', 'dropDeadLetter', 'delete'] as const)
      await expect(consumer[call](), call).rejects.toEqual(closed);
    await expect(consumer.deadLetters()[Symbol.asyncIterator]().next()).rejects.toEqual(closed);
    await expect(consumer.deadLetters().pages()[Symbol.asyncIterator]().next()).rejects.toEqual(closed);
    await expect(firstValueFrom(consumer.deadLetters())).rejects.toEqual(closed);
    await expect(firstValueFrom(consumer.run())).rejects.toEqual(closed);
  });

  it('of a database that another one has is its desk, and runs when it takes over', async () => {
    const directory = makeDirectory();
    const first = new Level<string, string>(directory);
    await first.put('a', '1', { sync: true });
    const second = new Level<string, string>(directory);
    await second.open();
    const handled: unknown[] = [];
    const consumer = second.consumer('c', { handle: (change) => void handled.push(brief(change)) });
    await expect(firstValueFrom(consumer.run())).rejects.toMatchObject({ code: 'LEVEL_NOT_SUPPORTED' });
    expect(await consumer.lag()).toMatchObject({ changes: 1 });
    await expect(consumer.seek(1_000_000)).rejects.toMatchObject({ code: 'LEVEL_INVALID_CURSOR' });
    const acked = firstValueFrom(consumer.run({ whenOwner: true }).pipe(filter((event) => event.type === 'acked')));
    await first.close();
    await inTime('the work', acked);
    expect(handled).toEqual([['set', 'a', '1']]);
    await second.close();
  });
});
