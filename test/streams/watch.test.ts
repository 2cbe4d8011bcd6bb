// Goal: a watcher is given the present value, then each new one; never an older one after a newer; and where it was too slow,
// exactly how many it has not seen.
// Method: watchers that sleep through known writes; reads of tables that are held back; a watcher that wakes at random
// moments, its values compared with what was written.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem, open, openInMemory, type Store, type WatchedValue } from '../../src/index.ts';
import { ending, next } from '../support/change-lines.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { Gate } from '../support/gate.ts';
import { runsOf } from '../support/runs.ts';
import { textOf } from '../support/sorted-model.ts';
import { inTime, until } from '../support/waiting.ts';

type Step =
  | { readonly do: 'set'; readonly count: number; readonly isBatch: boolean }
  | { readonly do: 'delete' | 'read' | 'flush' | 'turn' };

/** For instance `3 k=v`, `4 k absent (2 skipped)`. */
const lineOf = ({ key, value, sequence, skipped }: WatchedValue): string =>
  `${sequence} ${textOf(key)}${value === undefined ? ' absent' : `=${textOf(value)}`}${skipped === 0 ? '' : ` (${skipped} skipped)`}`;
const lines = (values: readonly WatchedValue[]): string[] => values.map(lineOf);
const watching = (store: Store, what: Parameters<Store['watch']>[0]): AsyncIterator<WatchedValue> =>
  store.watch(what)[Symbol.asyncIterator]();
const setAll = async (store: Store, key: string, values: string): Promise<void> => {
  for (const value of values) await store.set(key, value);
};

describe('watching a key', () => {
  it('gives its value, then each new one, absent or not', async () => {
    const store = await openInMemory();
    await store.set('other', '');
    await store.set('k', 'a');
    const values = watching(store, 'k');
    expect(lines(await next(values, 1))).toEqual(['2 k=a']);
    for (const work of [
      () => store.set('k', 'b'),
      () => store.delete('k'),
      () => store.delete('k'),
      () => store.set('k', ''),
    ]) {
      const one = next(values, 1);
      await store.set('other', '');
      const { sequence } = await work();
      const [value] = await one;
      expect(value?.sequence).toBe(sequence);
      expect(value?.skipped).toBe(0);
    }
    await store.close();
    expect(await values.next()).toEqual({ done: true, value: undefined });
  });

  it('gives an absent key as such, with the number of the moment', async () => {
    const store = await openInMemory();
    const early = watching(store, 'k');
    expect(lines(await next(early, 1))).toEqual(['0 k absent']);
    await setAll(store, 'other', 'abc');
    expect(lines(await next(watching(store, 'k'), 1))).toEqual(['3 k absent']);
    await store.set('k', 'a');
    await store.delete('k');
    await store.flush();
    await store.set('other', '');
    expect(lines(await next(watching(store, new TextEncoder().encode('k')), 1))).toEqual(['6 k absent']);
    expect(lines(await next(early, 1))).toEqual(['5 k absent (1 skipped)']);
    await store.close();
  });

  it('gives who sleeps the last value, and how many it has missed; batches and groups, too', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    const values = watching(store, 'k');
    await next(values, 1);
    await setAll(store, 'k', 'abcde');
    await store.set('other', '');
    expect(lines(await next(values, 1))).toEqual(['5 k=e (4 skipped)']);
    await store.write(['x', 'y', 'z'].map((value) => ({ type: 'set', key: 'k', value })));
    expect(lines(await next(values, 1))).toEqual(['9 k=z (2 skipped)']);
    const waiting = next(values, 1);
    for (const value of '123') store.set('k', value).subscribe(); // one group
    await store.delete('k');
    expect(lines(await waiting)[0]).toMatch(/^1[0-3] k/);
    let skipped = 0;
    let last = (await waiting)[0];
    skipped += last?.skipped ?? 0;
    let given = 1;
    while (last?.sequence !== 13) {
      [last] = await next(values, 1);
      skipped += last?.skipped ?? 0;
      given += 1;
    }
    expect([skipped + given, last.value]).toEqual([4, undefined]);
    await setAll(store, 'k', 'pq');
    await store.close(); // and what waits at the end
    expect(
      lines((await ending({ [Symbol.asyncIterator]: () => values as AsyncIterableIterator<WatchedValue> })).values),
    ).toEqual(['15 k=q (1 skipped)']);
  });

  it('gives the value of its moment first, however long the disk takes, and then only newer ones', async () => {
    const gate = new Gate();
    const fileSystem = new DelayedFileSystem(new MemoryFileSystem(), async (call) => {
      if (/^(open|read) .*\.ldb$/.test(call)) await gate.pass();
    });
    const store = await open('/data', { fileSystem, blockCacheBytesMax: 0 });
    await store.set('k', 'old');
    await store.flush();
    gate.close();
    const values = watching(store, 'k');
    const first = next(values, 1);
    await until('the disk is asked', () => gate.waiting > 0);
    await setAll(store, 'k', 'abc');
    gate.open();
    expect(lines(await first)).toEqual(['1 k=old']);
    expect(lines(await next(values, 1))).toEqual(['4 k=c (2 skipped)']);

    // One that is never read, or leaves meanwhile, disturbs nobody.
    await store.flush();
    gate.close();
    const left = watching(store, 'k');
    const answer = left.next();
    await left.return?.();
    const aborting = new AbortController();
    const aborted = ending(store.watch('k', { signal: aborting.signal }));
    aborting.abort();
    gate.open();
    expect(await inTime('who has left', answer)).toEqual({ done: true, value: undefined });
    expect(await inTime('who was aborted', aborted)).toMatchObject({ values: [], error: { code: 'ABORTED' } });
    await store.close();
  });

  it('never goes back, and counts each change once, whenever it is read', async () => {
    const step: fc.Arbitrary<Step> = fc.oneof(
      fc.record({ do: fc.constant('set'), count: fc.integer({ min: 1, max: 5 }), isBatch: fc.boolean() }),
      fc.record({ do: fc.constantFrom('delete', 'read', 'flush', 'turn') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.boolean(), async (steps, isRange) => {
        const store = await openInMemory({ durability: 'buffered' });
        await store.set('k', 'first');
        const values = watching(store, isRange ? { gte: 'k', lte: 'k' } : 'k');
        const seen: WatchedValue[] = await next(values, 1);
        const written = new Map<number, string | undefined>([[1, 'first']]);
        let reading: Promise<void> | undefined;
        const read = (): Promise<void> =>
          (reading ??= next(values, 1).then(([value]) => {
            seen.push(value as WatchedValue);
            reading = undefined;
          }));
        let position = 1;
        for (const one of steps) {
          if (one.do === 'set') {
            const sets = Array.from({ length: one.count }, () => {
              position += 1;
              written.set(position, String(position));
              return { type: 'set' as const, key: 'k', value: String(position) };
            });
            if (one.isBatch) await store.write(sets);
            else for (const { key, value } of sets) await store.set(key, value);
          } else if (one.do === 'delete') {
            position += 1;
            written.set(position, undefined);
            await store.delete('k');
          } else if (one.do === 'read') void read();
          else if (one.do === 'flush') await store.flush();
          else await new Promise(setImmediate);
        }
        while (seen.at(-1)?.sequence !== position) await inTime('the last value', read());
        await store.close();
        await reading?.catch(() => undefined);
        let before = 0;
        for (const { sequence, skipped, value } of seen) {
          expect(sequence).toBe(before + skipped + 1); // every number is one change of the key
          expect(value === undefined ? undefined : textOf(value)).toBe(written.get(sequence));
          before = sequence;
        }
      }),
      runsOf(60),
    );
  });
});

describe('watching a range', () => {
  it('gives each key that is there, in order, then each new value', async () => {
    const store = await openInMemory();
    for (const key of ['c', 'a', 'b', 'z']) await store.set(key, key);
    await store.delete('b');
    const values = watching(store, { gte: 'a', lt: 'm' });
    expect(lines(await next(values, 2))).toEqual(['2 a=a', '1 c=c']);
    const one = next(values, 1);
    await store.set('z', 'not this');
    await store.set('b', 'back');
    expect(lines(await one)).toEqual(['7 b=back']);
    await store.write([
      { type: 'delete', key: 'a' },
      { type: 'set', key: 'd', value: 'new' },
    ]);
    expect(lines(await next(values, 2))).toEqual(['8 a absent', '9 d=new']);
    await store.close();
    expect(await values.next()).toEqual({ done: true, value: undefined });
  });

  it('gives who sleeps the last value of each key, in the order of these, and how many of each it has missed', async () => {
    const store = await openInMemory();
    const values = watching(store, {});
    await store.set('first', '');
    expect(lines(await next(values, 1))).toEqual(['1 first=']);
    await setAll(store, 'a', '123');
    await setAll(store, 'b', '12');
    await store.set('c', '1');
    await store.set('a', '4');
    await store.delete('b');
    expect(lines(await next(values, 3))).toEqual(['7 c=1', '8 a=4 (3 skipped)', '9 b absent (2 skipped)']);
    await store.close();
  });

  it('knows the state of every key at the end, however slow it is', async () => {
    const store = await openInMemory({ durability: 'buffered', memtableBytesMax: 16 * 1024 });
    const state = new Map<string, string>();
    const keys = 40;
    const count = 20_000;
    const watch = (async () => {
      let last = 0;
      let changes = 0;
      for await (const { key, value, sequence, skipped } of store.watch({ gte: 'k', lt: 'l' })) {
        expect(sequence).toBeGreaterThan(last);
        last = sequence;
        changes += 1 + skipped;
        if (value === undefined) state.delete(textOf(key));
        else state.set(textOf(key), textOf(value));
        if (sequence % 7 === 0) await new Promise(setImmediate);
        if (sequence >= count) break;
      }
      return changes;
    })();
    await store.set('k00', ''); // it waits for its snapshot till here
    for (let index = 2; index <= count; index += 1) {
      const write = store.set(`k${index % keys}`, String(index));
      if (index % 100 === 0) await write;
      else write.subscribe();
    }
    expect(await inTime('the end', watch)).toBe(count);
    for (let key = 0; key < keys; key += 1) expect(Number(state.get(`k${key}`)) % keys).toBe(key);
    expect(Math.min(...[...state].flatMap(([key, value]) => (key === 'k00' ? [] : [Number(value)])))).toBe(
      count - keys + 1,
    );
    await store.close();
  });

  it('ends by its signal, and refuses what is no key and no range', async () => {
    const store = await openInMemory();
    const reason = new Error('enough');
    const before = AbortSignal.abort(reason);
    expect(await ending(store.watch('k', { signal: before }))).toMatchObject({
      error: { code: 'ABORTED', cause: reason },
    });
    expect(await ending(store.watch({ signal: before }))).toMatchObject({ error: { code: 'ABORTED', cause: reason } });
    const aborting = new AbortController();
    const both = [store.watch('k', { signal: aborting.signal }), store.watch({ signal: aborting.signal })].map(ending);
    await new Promise(setImmediate);
    aborting.abort(reason);
    for (const one of both) expect((await inTime('the end', one)).error).toMatchObject({ code: 'ABORTED' });
    for (const what of [null, 5, true]) {
      expect(() => store.watch(what as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    }
    expect(() => store.watch('k', null as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(() => store.watch({ gte: 5 as never })).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    const unread = store.watch('k');
    await store.close();
    expect(() => unread[Symbol.asyncIterator]()).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });
});
