// Goal: a subscriber that is too slow gets what its policy says, to the change; nobody waits for it, and it holds no more
// than it may, however long it goes on.
// Method: tiny buffers, of which the place of each change is known; then ten slow readers behind one fast writer, and the
// memory of the process after a collection.
import { describe, expect, it } from 'vitest';
import {
  type BufferOverflowError,
  type ChangeEvent,
  type ChangesOptions,
  open,
  openInMemory,
  type Store,
} from '../../src/index.ts';
import { ending, linesOf, next, taken } from '../support/change-lines.ts';
import { collectGarbage } from '../support/garbage.ts';
import { PROPERTY_MS, runs } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const KEY = 'k';
const ONE_KEY = { gte: KEY, lte: KEY };
const setKey = (value: string): { type: 'set'; key: string; value: string } => ({ type: 'set', key: KEY, value });

/** A subscriber that has taken the first change, and sleeps since. */
async function asleep(store: Store, options: ChangesOptions): Promise<AsyncIterator<ChangeEvent>> {
  const slow = store.changes(options)[Symbol.asyncIterator]();
  const first = next(slow, 1);
  await store.set(KEY, '1');
  expect(linesOf(await first)).toEqual(['1 set k=1']);
  return slow;
}
const setUpTo = async (store: Store, from: number, to: number): Promise<void> => {
  for (let value = from; value <= to; value += 1) await store.set(KEY, String(value));
};
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `${from + index} set k=${from + index}`);

/** Everybody, and somebody who is interested in one key: they are served on different ways. */
describe.each([
  ['of everything', {}],
  ['of one key', ONE_KEY],
])('a slow subscriber %s', (_name, range) => {
  const small = { ...range, bufferChangesMax: 3 };

  it("misses nothing under 'replay', the default, again and again, and is live in between", async () => {
    const store = await openInMemory();
    const slow = await asleep(store, small);
    for (let last = 9; last <= 90; last += 9) {
      await setUpTo(store, Math.max(2, last - 8), last);
      const from = Math.max(2, last - 8);
      expect(linesOf(await next(slow, last - from + 1))).toEqual(numbered(from, last));
      const waiting = next(slow, 1);
      await store.set(KEY, String(last + 1));
      expect(linesOf(await waiting)).toEqual(numbered(last + 1, last + 1));
      last += 1;
    }
    await store.close();
  });

  it("ends with BUFFER_OVERFLOW under 'fail', behind all that fitted", async () => {
    const store = await openInMemory();
    const slow = await asleep(store, { ...small, overflow: 'fail' });
    const other = store.changes({ ...small, from: 'start', overflow: 'fail' })[Symbol.asyncIterator]();
    await setUpTo(store, 2, 4);
    expect(linesOf(await next(other, 4))).toEqual(numbered(1, 4));
    await setUpTo(store, 5, 9);
    const { values, error } = await ending({
      [Symbol.asyncIterator]: () => slow as AsyncIterableIterator<ChangeEvent>,
    });
    expect(linesOf(values)).toEqual(numbered(2, 4));
    expect(error).toMatchObject({ code: 'BUFFER_OVERFLOW', capacity: 3, unit: 'values' });
    expect(await slow.next()).toEqual({ done: true, value: undefined });
    await store.close();
  });

  it("loses the oldest under 'dropOldest', and hears how many, in their place", async () => {
    const store = await openInMemory();
    const slow = await asleep(store, { ...small, overflow: 'dropOldest' });
    await setUpTo(store, 2, 4);
    expect(linesOf(await next(slow, 3))).toEqual(numbered(2, 4)); // just what fits
    await setUpTo(store, 5, 12);
    const [skipped, ...rest] = await next(slow, 4);
    expect(linesOf([skipped as ChangeEvent, ...rest])).toEqual(['skipped 5 up to 9', ...numbered(10, 12)]);
    const place = skipped?.type === 'skipped' ? skipped.cursor : undefined;
    expect(linesOf(await taken(store.changes({ ...range, from: place }), 1))).toEqual(numbered(10, 10));
    const waiting = next(slow, 1);
    await setUpTo(store, 13, 13);
    expect(linesOf(await waiting)).toEqual(numbered(13, 13));
    await store.close();
  });

  it("loses the newest under 'dropNewest', and hears how many, in their place", async () => {
    const store = await openInMemory();
    const slow = await asleep(store, { ...small, overflow: 'dropNewest' });
    await setUpTo(store, 2, 4);
    expect(linesOf(await next(slow, 3))).toEqual(numbered(2, 4));
    await setUpTo(store, 5, 12);
    expect(linesOf(await next(slow, 4))).toEqual([...numbered(5, 7), 'skipped 5 up to 12']);
    await setUpTo(store, 13, 13);
    expect(linesOf(await next(slow, 1))).toEqual(numbered(13, 13));
    await store.close();
  });

  it('loses whole batches; one that is larger than the buffer waits alone', async () => {
    const store = await openInMemory();
    const batch = (size: number): Promise<unknown> =>
      Promise.resolve(store.write(Array.from({ length: size }, (_, index) => setKey(`${index + 1} of ${size}`))));
    const oldest = await asleep(store, { ...range, bufferChangesMax: 5, overflow: 'dropOldest' });
    const newest = store.changes({ ...range, bufferChangesMax: 5, overflow: 'dropNewest' })[Symbol.asyncIterator]();
    const failing = ending(store.changes({ ...range, bufferChangesMax: 1, overflow: 'fail' }));
    const opened = newest.next();
    for (const size of [2, 2, 3, 2]) await batch(size); // 2,3 | 4,5 | 6,7,8 | 9,10
    expect(linesOf(await next(oldest, 6))).toEqual([
      'skipped 4 up to 5',
      '6 set k=1 of 3',
      '7 set k=2 of 3',
      '8 set k=3 of 3',
      '9 set k=1 of 2',
      '10 set k=2 of 2',
    ]);
    expect(linesOf([(await opened).value as ChangeEvent, ...(await next(newest, 7))])).toEqual([
      '2 set k=1 of 2',
      '3 set k=2 of 2',
      '4 set k=1 of 2',
      '5 set k=2 of 2',
      '6 set k=1 of 3',
      '7 set k=2 of 3',
      '8 set k=3 of 3',
      'skipped 2 up to 10',
    ]);
    await batch(7);
    expect(linesOf(await next(oldest, 7)).at(-1)).toBe('17 set k=7 of 7');
    await batch(7);
    await batch(1);
    expect(linesOf(await next(oldest, 2))).toEqual(['skipped 7 up to 24', '25 set k=1 of 1']);
    await store.close();
    // Whoever takes each at once never has more than one batch waiting.
    expect(await failing).toMatchObject({ error: undefined });
    expect((await failing).values).toHaveLength(24);
  });
});

describe('what waits is counted', () => {
  it('in bytes, too: of keys and values', async () => {
    const store = await openInMemory();
    const options = { ...ONE_KEY, bufferBytesMax: 100 };
    const value = (letter: string): string => letter.repeat(39); // 40 bytes with the key: two fit
    const dropping = await asleep(store, { ...options, overflow: 'dropOldest' });
    const failing = store.changes({ ...options, overflow: 'fail' })[Symbol.asyncIterator]();
    const replaying = store.changes({ ...options, overflow: 'replay' })[Symbol.asyncIterator]();
    const opened = [failing.next(), replaying.next()];
    for (const letter of 'abcd') await store.set(KEY, value(letter));
    await Promise.all(opened); // a; the others wait
    expect(linesOf(await next(dropping, 3))).toEqual([
      'skipped 2 up to 3',
      `4 set k=${value('c')}`,
      `5 set k=${value('d')}`,
    ]);
    expect(await next(failing, 2)).toHaveLength(2);
    const error = await failing.next().then(
      () => undefined,
      (thrown: unknown) => thrown as BufferOverflowError,
    );
    expect(error).toMatchObject({ code: 'BUFFER_OVERFLOW', capacity: 100, unit: 'bytes' });
    expect(linesOf(await next(replaying, 3))).toEqual(
      ['b', 'c', 'd'].map((letter, i) => `${i + 3} set k=${value(letter)}`),
    );
    await store.close();
  });

  it('as far as it is asked for: what others write fills nobody', async () => {
    const store = await openInMemory();
    const slow = await asleep(store, { ...ONE_KEY, bufferChangesMax: 2, overflow: 'fail' });
    for (let index = 0; index < 100; index += 1) await store.set('other', 'v'.repeat(1000));
    await store.write([setKey('last'), { type: 'set', key: 'other', value: '' }]);
    expect(linesOf(await next(slow, 1))).toEqual(['102 set k=last']);
    await store.close();
  });
});

describe('ten slow subscribers and one fast writer', () => {
  const newDirectory = temporaryDirectories();
  const BATCH = 100;
  const VALUE = new Uint8Array(600);
  const MIB = 1024 * 1024;

  it('hold memory flat, and each is given what its policy promises', { timeout: 4 * PROPERTY_MS }, async () => {
    const batches = runs(1000);
    const last = batches * BATCH;
    const store = await open(newDirectory(), {
      durability: 'buffered',
      memtableBytesMax: MIB,
      blockCacheBytesMax: 0,
      worker: 'off',
    });
    const bounds = { bufferChangesMax: 1000, bufferBytesMax: 256 * 1024 };
    let isWriting = true;

    /** Reads a little now and then while the writer writes, and then the rest; counts, and checks the order. */
    const follow = async (options: ChangesOptions): Promise<{ given: number; skipped: number; holes: number }> => {
      const seen = { given: 0, skipped: 0, holes: 0 };
      let position = 0;
      for await (const event of store.changes({ ...bounds, ...options })) {
        if (event.type === 'set') seen.given += 1;
        else if (event.type === 'skipped') seen.skipped += event.count;
        if (event.sequence !== position + (event.type === 'skipped' ? event.count : 1)) seen.holes += 1;
        position = event.sequence;
        if (isWriting && seen.given % 40 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
        if (position >= last) break;
      }
      return seen;
    };
    const overflows = ['dropOldest', 'dropNewest', ...Array.from({ length: 8 }, () => 'replay' as const)] as const;
    const following = overflows.map((overflow) => follow({ overflow }));
    const everything = Promise.all(following);
    everything.catch(() => undefined); // it is awaited below

    const used = async (): Promise<number> => {
      await collectGarbage();
      await collectGarbage(); // what the first one left to finalizers
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const write = async (count: number): Promise<void> => {
      for (let batch = 0; batch < count; batch += 1) {
        await store.write(
          Array.from({ length: BATCH }, (_, index) => ({ type: 'set', key: `${index}`, value: VALUE })),
        );
      }
    };
    const portion = Math.ceil(batches / 10);
    await write(portion);
    const early = await used();
    const later: number[] = [];
    for (let written = portion; written < batches; written += portion) {
      await write(Math.min(portion, batches - written));
      later.push((await used()) - early);
    }
    isWriting = false;
    const seen = await inTime('all have everything', everything, PROPERTY_MS);
    later.push((await used()) - early);

    // What was written is far more than this: 600 bytes and more for each change, 60 MB in `npm test`.
    for (const more of later) expect(more).toBeLessThan(16 * MIB);
    for (const { given, skipped, holes } of seen) expect([given + skipped, holes]).toEqual([last, 0]);
    expect(seen[0]?.skipped).toBeGreaterThan(0);
    expect(seen[1]?.skipped).toBeGreaterThan(0);
    for (const { skipped } of seen.slice(2)) expect(skipped).toBe(0);
    await store.close();
  });
});
