// Goal: what one subscriber does while it is given a change is its own affair: throw, leave, subscribe, write, close. Others
// get everything; and of a thousand only those hear of a change who asked for it.
// Method: subscribers that do so at a known change, beside one that does nothing but note.
import { config, type Subscription } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type Change, openInMemory, type Store } from '../../src/index.ts';
import { lineOf } from '../support/change-lines.ts';
import { textOf } from '../support/sorted-model.ts';
import { inTime, until } from '../support/waiting.ts';

const set = (key: string): { type: 'set'; key: string; value: string } => ({ type: 'set', key, value: '' });
const BATCH = ['b', 'c', 'd'].map(set);

/** Notes what it is given. */
function witness(store: Store, from: 'now' | 'start' = 'start'): string[] {
  const lines: string[] = [];
  store.changes({ from }).subscribe((change) => lines.push(lineOf(change)));
  return lines;
}

describe('a subscriber that', () => {
  afterEach(() => {
    config.onUnhandledError = null;
  });

  it('throws in next is reported on a timer, goes on, and takes nothing from anybody', async () => {
    const reported: unknown[] = [];
    config.onUnhandledError = (error) => reported.push(error);
    const store = await openInMemory();
    await store.set('a', '');
    const seen: string[] = [];
    const before = witness(store);
    let isComplete = false;
    const subscription = store.changes({ from: 'start' }).subscribe({
      next: (change) => {
        seen.push(lineOf(change));
        throw new Error(lineOf(change));
      },
      complete: () => (isComplete = true),
    });
    const after = witness(store);
    await until('history has come', () => seen.length === 1);
    await store.write(BATCH);
    await until('all came', () => reported.length === 4);
    const all = ['1 set a=', '2 set b=', '3 set c=', '4 set d='];
    expect([seen, before, after]).toEqual([all, all, all]);
    expect(reported.map((error) => (error as Error).message)).toEqual(all);
    expect(subscription.closed).toBe(false);
    await store.close();
    expect(isComplete).toBe(true);
  });

  it('leaves in the midst of a batch is given no more of it, from history or live', async () => {
    const store = await openInMemory();
    await store.set('a', '');
    await store.write(BATCH);
    const others = witness(store);
    const leave = (from: 'start' | 'now', at: number): string[] => {
      const lines: string[] = [];
      const subscription: Subscription = store.changes({ from }).subscribe((change) => {
        lines.push(lineOf(change));
        if (change.sequence === at) subscription.unsubscribe();
      });
      return lines;
    };
    const replayed = leave('start', 3);
    const live = leave('now', 6);
    await until('history has come', () => replayed.length === 2 + 1);
    await store.write(BATCH);
    await store.set('e', '');
    await until('others have it', () => others.length === 8);
    expect(replayed).toEqual(['1 set a=', '2 set b=', '3 set c=']);
    expect(live).toEqual(['5 set b=', '6 set c=']);
    await store.close();
    expect([replayed.length, live.length]).toEqual([3, 2]);
  });

  it('subscribes in next gets what comes after that, or history to the end, as it asks', async () => {
    const store = await openInMemory();
    const others = witness(store);
    const inner: { now: string[]; start: string[] }[] = [];
    store.changes().subscribe(() => {
      if (inner.length >= 3) return;
      inner.push({ now: witness(store, 'now'), start: witness(store) });
    });
    await store.write(BATCH.slice(0, 2));
    await store.set('x', '');
    await store.set('y', '');
    const all = ['1 set b=', '2 set c=', '3 set x=', '4 set y='];
    await until('all have it', () => inner.every(({ start }) => start.length === 4));
    expect(others).toEqual(all);
    expect(inner.map(({ now }) => now)).toEqual([all.slice(2), all.slice(2), all.slice(3)]);
    for (const { start } of inner) expect(start).toEqual(all);
    await store.close();
  });

  it('writes in next gets its own change behind those that were there, and so does everybody', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    const others = witness(store);
    const seen: string[] = [];
    const writes: Promise<unknown>[] = [];
    store.changes().subscribe((change) => {
      seen.push(lineOf(change));
      const key = textOf(change.key);
      // Each change makes two of the next generation, down to the fifth.
      if (key.length < 5) {
        for (const letter of 'ab') writes.push(Promise.resolve(store.set(key + letter, '')));
      }
    });
    await store.set('k', '');
    const count = 1 + 2 + 4 + 8 + 16;
    await until('all came', () => others.length === count);
    expect(seen).toEqual(others);
    expect(seen.map((line) => Number(line.split(' ')[0]))).toEqual(
      Array.from({ length: count }, (_, index) => index + 1),
    );
    expect(new Set(seen.map((line) => line.replace(/^\d+/, ''))).size).toBe(count);
    expect(await Promise.all(writes)).toHaveLength(count - 1); // none has failed
    await store.close();
  });

  it('closes the store in next is given what was committed before, and the end', async () => {
    const store = await openInMemory();
    const others = witness(store);
    const closing: PromiseLike<void>[] = [];
    const seen: string[] = [];
    const end = new Promise<void>((resolve) => {
      store.changes().subscribe({
        next: (change) => {
          seen.push(lineOf(change));
          closing.push(store.close().then((done) => done));
        },
        complete: resolve,
      });
    });
    await store.write(BATCH);
    await inTime('the end', end);
    await Promise.all(closing);
    expect(seen).toEqual(['1 set b=', '2 set c=', '3 set d=']);
    expect(others).toEqual(seen);
  });

  it('keeps the event loop busy with its own work lets timers fire between its pages', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    for (let index = 0; index < 20_000; index += 1) store.set(`${index}`, '').subscribe();
    await store.set('last', '');
    let seen = 0;
    let fired = 0;
    const timer = setInterval(() => (fired += 1), 1);
    await new Promise<void>((resolve) => {
      const subscription = store.changes({ from: 'start' }).subscribe(() => {
        seen += 1;
        for (const end = performance.now() + 0.005; performance.now() < end;); // 100 ms in all
        if (seen > 20_000) {
          subscription.unsubscribe();
          resolve();
        }
      });
    });
    clearInterval(timer);
    expect(fired).toBeGreaterThan(3);
    await store.close();
  });
});

describe('of a thousand subscribers', () => {
  const COUNT = 1000;

  it('only those hear of a change who asked for its key, live and when they come back', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    const keyOf = (index: number): string => `key ${String(index).padStart(4, '0')}`;
    const seen: Change[][] = [];
    const subscriptions = Array.from({ length: COUNT }, (_, index) => {
      const mine: Change[] = [];
      seen.push(mine);
      return store.changes({ gte: keyOf(index), lte: keyOf(index) }).subscribe((change) => mine.push(change));
    });
    const range: Change[] = [];
    store.changes({ gte: keyOf(100), lt: keyOf(200) }).subscribe((change) => range.push(change));
    const all: Change[] = [];
    store.changes().subscribe((change) => all.push(change));

    await store.write(Array.from({ length: COUNT / 2 }, (_, index) => set(keyOf(2 * index))));
    await store.set('nobody', '');
    await store.delete(keyOf(7));
    // On a slow machine what is delivered takes more than one turn.
    const heard = (): number => seen.reduce((sum, { length }) => sum + length, range.length + all.length);
    await until('all came', () => heard() >= COUNT / 2 + 1 + 50 + COUNT / 2 + 2);
    const keysOf = (changes: readonly Change[]): string[] => changes.map(({ key }) => textOf(key));
    for (const [index, mine] of seen.entries()) {
      expect(keysOf(mine)).toEqual(index % 2 === 0 || index === 7 ? [keyOf(index)] : []);
    }
    expect(seen[7]?.[0]).toMatchObject({ type: 'delete', batchSize: 1 });
    expect(seen[42]?.[0]).toMatchObject({ type: 'set', batchIndex: 21, batchSize: COUNT / 2 });
    expect(keysOf(range)).toEqual(Array.from({ length: 50 }, (_, index) => keyOf(100 + 2 * index)));
    expect(all).toHaveLength(COUNT / 2 + 2);

    // Half of them leave; nobody else is missed.
    subscriptions.forEach((subscription, index) => {
      if (index % 4 < 2) subscription.unsubscribe();
    });
    const before = heard();
    await store.write(Array.from({ length: COUNT }, (_, index) => set(keyOf(index))));
    await until('all came', () => heard() >= before + COUNT / 2 + 100 + COUNT);
    for (const [index, mine] of seen.entries()) {
      const earlier = index % 2 === 0 || index === 7 ? 1 : 0;
      expect(mine).toHaveLength(earlier + (index % 4 < 2 ? 0 : 1));
    }
    expect(range).toHaveLength(150);
    const back: Change[] = [];
    store.changes({ gte: keyOf(1), lte: keyOf(1), from: 'start' }).subscribe((change) => back.push(change));
    await until('it is back', () => back.length === 1);
    await store.close();
  });
});
