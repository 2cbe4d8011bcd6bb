// Goal: a stream of a range that nothing is written to tells its place now and then: one that history does not leave behind, and
// that leads on without a gap and without a repeat. Method: real timers of a few milliseconds; random writes and places.
import { afterEach, describe, expect, it } from 'vitest';
import { type ChangeEvent, type ChangesOptions, openInMemory, type OpenOptions, type Store } from '../../src/index.ts';
import { randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { inTime } from '../support/waiting.ts';

const opened: Store[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

async function make(options: OpenOptions = {}): Promise<Store> {
  const store = await openInMemory({ worker: 'off', ...options });
  opened.push(store);
  return store;
}

interface Follower {
  readonly next: () => Promise<ChangeEvent>;
  readonly iterator: AsyncIterator<ChangeEvent>;
}

function follow(store: Store, options: ChangesOptions): Follower {
  const iterator = store.changes(options)[Symbol.asyncIterator]();
  return { iterator, next: async () => (await inTime('an event', iterator.next())).value as ChangeEvent };
}

describe('progressMs', () => {
  it('tells the place once when it has moved, and then what comes', async () => {
    const store = await make();
    const { next, iterator } = follow(store, { gte: 'k', lt: 'l', progressMs: 5 });
    const first = next();
    expect(await first).toMatchObject({ type: 'skipped', count: 0, sequence: 0 });
    const { sequence } = await store.set('a', '1');
    expect(await next()).toMatchObject({ type: 'skipped', count: 0, sequence });
    const silent = iterator.next();
    const after = await Promise.race([silent, new Promise((resolve) => setTimeout(resolve, 60, 'nothing'))]);
    expect(after).toBe('nothing');
    await store.set('k', '2');
    expect((await inTime('the change', silent)).value).toMatchObject({ type: 'set', sequence: sequence + 1 });
    await iterator.return?.();
  });

  it('gives a place that is kept when the one of the last change is not', async () => {
    const store = await make({ memtableBytesMax: 64 * 1024, historyBytesMax: 64 * 1024 });
    const { next } = follow(store, { gte: 'k', lt: 'l', progressMs: 5 });
    await store.set('k', '1');
    const change = await next();
    for (let n = 0; n < 100; n += 1) await store.set('a', Buffer.alloc(8 * 1024), { durability: 'buffered' });
    await store.flush();
    let place = await next();
    while (place.type === 'skipped' && place.sequence < store.stats().sequence) place = await next();
    if (change.type !== 'set' || place.type !== 'skipped') throw new Error(`${change.type}, ${place.type}`);
    await expect(follow(store, { gte: 'k', from: change.cursor }).next()).rejects.toMatchObject({
      code: 'HISTORY_GONE',
    });
    const again = follow(store, { gte: 'k', lt: 'l', from: place.cursor });
    await store.set('k', '2');
    expect(await again.next()).toMatchObject({ type: 'set', value: new Uint8Array([50]) });
  });

  it('is not ahead of what is durable, where only that is given', async () => {
    const store = await make({ syncIntervalMs: 60_000 });
    const { next, iterator } = follow(store, { gte: 'k', lt: 'l', durability: 'synced', progressMs: 5 });
    const { sequence } = await store.set('a', '1', { durability: 'synced' });
    expect(await next()).toMatchObject({ type: 'skipped', sequence });
    await store.set('k', '1', { durability: 'buffered' });
    await store.set('a', '2', { durability: 'buffered' });
    const waiting = iterator.next();
    expect(await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 60, 'nothing'))])).toBe('nothing');
    await store.set('a', '3', { durability: 'synced' });
    expect((await inTime('the change', waiting)).value).toMatchObject({ type: 'set', sequence: sequence + 1 });
  });

  it('leads on from every place, without a gap and without a repeat', { timeout: 120_000 }, async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    for (let run = 0; run < runs(5); run += 1) {
      const store = await make({ memtableBytesMax: 64 * 1024 });
      const written: number[] = [];
      const state = { isDone: false };
      const writing = (async () => {
        for (let n = 0; n < 300; n += 1) {
          const isIn = random() < 0.1;
          const { sequence } = await store.set(isIn ? 'k' : 'a', 'x'.repeat(300), { durability: 'buffered' });
          if (isIn) written.push(sequence);
          if (random() < 0.05) await new Promise((resolve) => setTimeout(resolve, random() * 6));
        }
        written.push((await store.set('k', 'end')).sequence);
        state.isDone = true;
      })();
      const seen: number[] = [];
      let from: ChangesOptions['from'] = 0;
      while (!state.isDone || seen.at(-1) !== written.at(-1)) {
        const { next, iterator } = follow(store, { gte: 'k', lt: 'l', from, progressMs: 1 });
        for (let left = 1 + Math.floor(random() * 10); left > 0; left -= 1) {
          const event = await next();
          if (event.type === 'entry') throw new Error('a row');
          from = event.cursor;
          if (event.type === 'set') seen.push(event.sequence);
          if (state.isDone && seen.at(-1) === written.at(-1)) break;
        }
        await iterator.return?.();
      }
      await writing;
      expect(seen, `seed ${seed}`).toEqual(written);
    }
  });

  it.each([0, 1.5, 3_600_001, '5'])('refuses %s', async (progressMs) => {
    const store = await make();
    expect(() => store.changes({ progressMs: progressMs as number })).toThrow();
  });
});
