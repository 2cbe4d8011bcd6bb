// Goal: a change stream with an end gives all up to it, nothing behind it, and completes: also where the end is none of its
// range's business, is not there yet, is not durable yet, or is in the midst of a batch. It never completes before.
// Method: small stores whose every change is known; a gate before the syncs; the model test of changes has the rest.
import { describe, expect, it } from 'vitest';
import {
  type ChangesOptions,
  type Cursor,
  MemoryFileSystem,
  open,
  openInMemory,
  type Store,
  codecs,
} from '../../src/index.ts';
import { toError } from '../../src/streams/to-error.ts';
import { ending, linesOf, next, taken } from '../support/change-lines.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { Gate } from '../support/gate.ts';
import { inTime } from '../support/waiting.ts';

const turns = async (count = 5): Promise<void> => {
  for (let n = 0; n < count; n += 1) await new Promise((resolve) => setTimeout(resolve, 2));
};

/** 1 set a, 2 set b, 3 set c (one batch), 4 delete a, 5 set b. */
async function five(store: Store): Promise<void> {
  await store.write(['a', 'b', 'c'].map((key) => ({ type: 'set', key, value: '1' }) as const));
  await store.delete('a');
  await store.set('b', '2');
}

const LINES = ['1 set a=1', '2 set b=1', '3 set c=1', '4 delete a', '5 set b=2'];

/** All that it gives, and its error; in all three ways the same. */
async function all(store: Store, options: ChangesOptions): Promise<{ lines: string[]; error: unknown }> {
  const { values, error } = await inTime('the end', ending(store.changes(options)));
  const pushed = await new Promise<string[]>((resolve, reject) => {
    const lines: string[] = [];
    store.changes(options).subscribe({
      next: (event) => lines.push(...linesOf([event])),
      complete: () => resolve(lines),
      error: reject,
    });
  }).catch((thrown: unknown) => String(thrown));
  expect(pushed).toEqual(error === undefined ? linesOf(values) : String(toError(error)));
  return { lines: linesOf(values), error };
}

async function cursorOf(store: Store, sequence: number): Promise<Cursor> {
  const [change] = await taken(store.changes({ from: sequence }), 1);
  if (change === undefined) throw new Error('there is none');
  return change.cursor;
}

describe('a change stream with an end', () => {
  it('gives all up to and with it, from wherever it begins', async () => {
    const store = await openInMemory();
    await five(store);
    const third = await cursorOf(store, 3);
    const cases: [ChangesOptions, string[]][] = [
      [{ from: 'start', until: 'now' }, LINES],
      [{ from: 'start', until: 5 }, LINES],
      [{ from: 'start', until: 4 }, LINES.slice(0, 4)],
      [{ from: 'start', until: third }, LINES.slice(0, 3)],
      [{ from: third, until: 'now' }, LINES.slice(3)],
      [{ from: 2, until: 2 }, ['2 set b=1']], // within a batch, which is cut
      [{ from: third, until: third }, []],
      [{ from: 4, until: 2 }, []],
      [{ from: 'start', until: 0 }, []],
      [{ from: 'now', until: 'now' }, []],
      [{ from: 'start', until: 'now', gte: 'b', lt: 'c' }, ['2 set b=1', '5 set b=2']],
      [{ from: 'start', until: 'now', gte: 'x' }, []],
      [{ from: 'start', until: 'now', gte: 'b', lt: 'a' }, []],
      [{ from: 'snapshot', until: 'now' }, ['5 entry b=2', '3 entry c=1', 'snapshotEnd 5']],
      [{ from: 'snapshot', until: 2, gte: 'c' }, ['3 entry c=1', 'snapshotEnd 5']],
      [{ from: new Date(0), until: 'now' }, LINES],
    ];
    for (const [options, lines] of cases) {
      expect([options, await all(store, options)]).toEqual([options, { lines, error: undefined }]);
      const synced = { ...options, durability: 'synced', progressMs: 1, overflow: 'dropOldest' } as const;
      expect([synced, await all(store, synced)]).toEqual([synced, { lines, error: undefined }]);
    }
    await store.close();
  });

  it("takes 'now' for when it is subscribed to, whatever is written while it reads", async () => {
    const store = await openInMemory({ memtableBytesMax: 2048 });
    for (let n = 0; n < 3000; n += 1) void store.set(`k${n}`, 'v', { durability: 'buffered' }).subscribe();
    await store.set('last', '');
    const changes = store.changes({ from: 'start', until: 'now' })[Symbol.asyncIterator]();
    let count = 0;
    for (let one = await changes.next(); one.done !== true; one = await changes.next()) {
      count += 1;
      if (count % 100 === 0) await store.set('more', '', { durability: 'buffered' });
    }
    expect(count).toBe(3001);
    await store.close();
  });

  it('waits for a sequence number that is not there yet, also when its change is none of its range', async () => {
    for (const from of ['now', 'start', 'snapshot'] as const) {
      for (const range of [{}, { gte: 'a', lt: 'b' }, { gte: 'x' }]) {
        const store = await openInMemory();
        await store.set('a', '0');
        const events = ending(store.changes({ from, until: 4, ...range }));
        await turns();
        await store.set('a', '1');
        await store.set('b', '1');
        await turns(2);
        await store.write([
          { type: 'set', key: 'b', value: '2' }, // the last one that is wanted
          { type: 'set', key: 'a', value: '2' },
        ]);
        const { values, error } = await inTime('the end', events);
        expect(error).toBeUndefined();
        const sequences = values.flatMap((event) => (event.type === 'set' ? [event.sequence] : []));
        const due = [1, 2, 3, 4].filter((sequence) => {
          if (sequence === 1 && from !== 'start') return false;
          return range.gte === undefined || (range.gte === 'a' && sequence < 3);
        });
        expect(sequences).toEqual(due);
        await store.close();
      }
    }
  });

  it("with durability 'synced' waits until its end is durable", async () => {
    const gate = new Gate();
    const fileSystem = new DelayedFileSystem(new MemoryFileSystem(), async (call) => {
      if (/^sync .*\.log$/.test(call)) await gate.pass();
    });
    const store = await open('/data', { fileSystem, syncIntervalMs: 5 });
    await store.set('a', '1');
    gate.close();
    const ends: string[] = [];
    const live = ending(store.changes({ until: 2, durability: 'synced', gte: 'x' }));
    live.then(() => ends.push('live')).catch(() => undefined);
    await turns();
    await store.set('b', '1', { durability: 'buffered' });
    const watch = async (name: string, options: ChangesOptions): Promise<readonly string[]> => {
      const { values } = await ending(store.changes(options));
      ends.push(name);
      return linesOf(values);
    };
    const synced = watch('synced', { from: 'start', until: 'now', durability: 'synced' });
    const other = watch('other', { from: 'start', until: 'now', durability: 'synced', lt: 'b' });
    const buffered = watch('buffered', { from: 'start', until: 'now' });
    expect(await inTime('buffered', buffered)).toEqual(['1 set a=1', '2 set b=1']);
    await turns();
    expect(ends).toEqual(['buffered']);
    gate.open(); // nothing is written after it
    expect(await inTime('synced', synced)).toEqual(['1 set a=1', '2 set b=1']);
    expect(await inTime('other', other)).toEqual(['1 set a=1']);
    expect(await inTime('live', live)).toEqual({ values: [], error: undefined });
    await store.close();
  });

  it('drops nothing of what is behind its end, and does not count it', async () => {
    const store = await openInMemory();
    for (const overflow of ['fail', 'dropNewest', 'dropOldest', 'replay'] as const) {
      const { sequence } = await store.set('before', '');
      const until = sequence + 2;
      const options: ChangesOptions = { from: sequence, until, overflow, bufferChangesMax: 2 };
      const stream = store.changes(options)[Symbol.asyncIterator]();
      await stream.next();
      for (let n = 0; n < 20; n += 1) await store.set('k', String(n), { durability: 'buffered' });
      const given = await next(stream, 2);
      expect([overflow, ...linesOf(given)]).toEqual([overflow, `${sequence + 1} set k=0`, `${until} set k=1`]);
      expect((await inTime('the end', stream.next())).done).toBe(true);
    }
    await store.close();
  });

  it('fails when the store closes before its end, which an end would look like', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    const { values, error } = await (async () => {
      const events = ending(store.changes({ from: 'start', until: 3 }));
      await turns();
      await store.close();
      return inTime('the failure', events);
    })();
    expect(linesOf(values)).toEqual(['1 set a=1']);
    expect(error).toMatchObject({ code: 'CLOSED' });
  });

  it('refuses an end that is none', async () => {
    const store = await openInMemory();
    for (const until of ['start', 'snapshot', '', 'al1.x'] as Cursor[]) {
      const { error } = await all(store, { from: 'start', until });
      expect(error).toMatchObject({ code: 'INVALID_CURSOR', fault: 'malformed' });
    }
    for (const until of [-1, 1.5, Number.NaN, Infinity, null, {}, new Date(0), true] as number[]) {
      expect(() => store.changes({ until })).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    }
    await store.set('a', '1');
    const cursor = await cursorOf(store, 1);
    const other = await openInMemory();
    expect((await all(other, { until: cursor })).error).toMatchObject({ fault: 'otherDatabase' });
    const future = cursor.replace(/1$/, '2') as Cursor;
    for (const from of ['now', 'start', 'snapshot'] as const) {
      expect((await all(store, { from, until: future })).error).toMatchObject({ fault: 'future' });
    }
    await other.close();
    await store.close();
  });

  it('ends changes of a keyspace, too', async () => {
    const store = await openInMemory();
    const names = store.keyspace('names', { key: codecs.utf8, value: codecs.utf8 });
    await names.set('a', '1');
    await store.set('z', '1');
    const { values } = await inTime('the end', ending(names.changes({ from: 'start', until: 'now' })));
    expect(values.map(({ type }) => type)).toEqual(['set']);
    expect(values[0]).toMatchObject({ key: 'a', value: '1' });
    await store.close();
  });
});
