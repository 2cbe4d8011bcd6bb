// Goal: a stream gives every value once and in order, holds one page, closes its source whichever way it ends, and lets the
// event loop have its turns.
// Method: sources made by hand, then the store's own scans and changes.
import { firstValueFrom, lastValueFrom, take, tap, toArray } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { openInMemory, type OpenOptions, type Store, Stream } from '../../src/index.ts';
import { systemClock } from '../../src/streams/clock.ts';
import type { PageSource } from '../../src/streams/stream.ts';

const streamOf = <T>(open: () => PageSource<T>): Stream<T> => new Stream(open, systemClock);

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A source of the given pages, which counts. */
class Pages implements PageSource<number> {
  pulls = 0;
  closes = 0;
  readonly #pages: (readonly number[] | Error)[];
  readonly #isLate: boolean;

  constructor(pages: readonly (readonly number[] | Error)[], isLate = false) {
    this.#pages = [...pages];
    this.#isLate = isLate;
  }

  pull(): readonly number[] | Promise<readonly number[]> {
    this.pulls += 1;
    const page = this.#pages.shift() ?? [];
    if (this.#isLate) return Promise.resolve().then(() => Pages.#given(page));
    return Pages.#given(page);
  }

  close(): void {
    this.closes += 1;
  }

  static #given(page: readonly number[] | Error): readonly number[] {
    if (page instanceof Error) throw page;
    return page;
  }
}

const collect = async <T>(values: AsyncIterable<T>): Promise<T[]> => {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
};

const drain = async (values: AsyncIterable<unknown>): Promise<void> => {
  const iterator = values[Symbol.asyncIterator]();
  for (let isDone: boolean | undefined = false; isDone !== true;) ({ done: isDone } = await iterator.next());
};

describe.each([false, true])('a stream whose source is late: %s', (isLate) => {
  it('gives all values, pulled, pushed and in pages, and closes its source each time', async () => {
    const sources: Pages[] = [];
    const stream = streamOf(() => {
      const source = new Pages([[1, 2], [3], [4, 5, 6]], isLate);
      sources.push(source);
      return source;
    });
    await turn();
    expect(sources).toEqual([]); // cold
    expect(await collect(stream)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await lastValueFrom(stream.pipe(toArray()))).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await collect(stream.pages())).toEqual([[1, 2], [3], [4, 5, 6]]);
    expect(sources.map(({ pulls }) => pulls)).toEqual([4, 4, 4]);
    for (const { closes } of sources) expect(closes).toBeGreaterThan(0);
  });

  it('asks for the next page when the one before is used up, and not before', async () => {
    const source = new Pages([[1, 2], [3]], isLate);
    const values = streamOf(() => source)[Symbol.asyncIterator]();
    await turn();
    expect(source.pulls).toBe(0);
    await values.next();
    expect(source.pulls).toBe(1);
    await turn();
    await values.next();
    expect(source.pulls).toBe(1);
    expect(await values.next()).toEqual({ value: 3, done: false });
    expect(source.pulls).toBe(2);
    await values.return?.();
    expect(source.closes).toBe(1);
  });

  it('answers calls of next that overlap in the order of the calls', async () => {
    const source = new Pages([[1, 2], [3], [4, 5, 6]], isLate);
    const values = streamOf(() => source)[Symbol.asyncIterator]();
    const order: number[] = [];
    const results = await Promise.all(
      Array.from({ length: 9 }, (_, call) =>
        values.next().then((result) => {
          order.push(call);
          return result;
        }),
      ),
    );
    expect(results.map(({ value }) => value as unknown)).toEqual([1, 2, 3, 4, 5, 6, undefined, undefined, undefined]);
    expect(results.map(({ done }) => done)).toEqual([...Array<boolean>(6).fill(false), true, true, true]);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('answers in order whenever the later call comes', async () => {
    for (let delay = 0; delay < 8; delay += 1) {
      const values = streamOf(
        () =>
          new Pages(
            [
              [1, 2],
              [3, 4],
            ],
            isLate,
          ),
      )[Symbol.asyncIterator]();
      const first = values.next();
      for (let count = 0; count < delay; count += 1) await Promise.resolve();
      const second = values.next();
      expect([(await first).value, (await second).value]).toEqual([1, 2]);
    }
  });

  it('ends for good by return, in the middle of a page and of a pull', async () => {
    const source = new Pages(
      [
        [1, 2],
        [3, 4],
      ],
      isLate,
    );
    const values = streamOf(() => source)[Symbol.asyncIterator]();
    await values.next();
    expect(await values.return?.()).toEqual({ value: undefined, done: true });
    expect(await values.next()).toEqual({ value: undefined, done: true });
    expect(source).toMatchObject({ pulls: 1, closes: 1 });

    const other = new Pages(
      [
        [1, 2],
        [3, 4],
      ],
      isLate,
    );
    const cut = streamOf(() => other)[Symbol.asyncIterator]();
    const underWay = cut.next();
    await cut.return?.();
    await underWay;
    expect(await cut.next()).toEqual({ value: undefined, done: true });
    expect(other.closes).toBeGreaterThan(0);
  });

  it('ends by throw with that error, and by an error of its source with that one', async () => {
    const source = new Pages([[1, 2]], isLate);
    const values = streamOf(() => source)[Symbol.asyncIterator]();
    await values.next();
    await expect(values.throw?.(new Error('mine'))).rejects.toThrow('mine');
    expect(await values.next()).toMatchObject({ done: true });
    expect(source.closes).toBe(1);

    const failing = new Pages([[1], new Error('disk')], isLate);
    const seen: number[] = [];
    const walk = async (): Promise<void> => {
      for await (const value of streamOf(() => failing)) seen.push(value);
    };
    await expect(walk()).rejects.toThrow('disk');
    expect(seen).toEqual([1]);
    expect(failing.closes).toBeGreaterThan(0);

    const pushed = new Pages([[1], new Error('disk')], isLate);
    await expect(lastValueFrom(streamOf(() => pushed))).rejects.toThrow('disk');
    expect(pushed.closes).toBeGreaterThan(0);
  });

  it('pushes no more than is taken, and closes its source', async () => {
    const endless: PageSource<number> & { pulls: number; closes: number } = {
      pulls: 0,
      closes: 0,
      pull() {
        this.pulls += 1;
        return isLate ? Promise.resolve([1, 2, 3]) : [1, 2, 3];
      },
      close() {
        this.closes += 1;
      },
    };
    const stream = streamOf(() => endless);
    expect(await lastValueFrom(stream.pipe(take(4), toArray()))).toEqual([1, 2, 3, 1]);
    expect(endless.closes).toBe(1);
    const { pulls } = endless;
    await turn();
    expect(endless.pulls).toBe(pulls);
  });

  it('that cannot be opened fails, wherever it is taken', async () => {
    const stream = streamOf<number>(() => {
      throw new Error('closed');
    });
    await expect(lastValueFrom(stream)).rejects.toThrow('closed');
    await expect(collect(stream)).rejects.toThrow('closed');
  });

  it(
    'lets the event loop have its turns, pulled and pushed, however fast the source is',
    { timeout: 20_000 },
    async () => {
      let ticks = 0;
      // The source goes on until the timer has had its turns; a stream that never yields runs into the end, whatever else
      // the machine does.
      const untilTicked = (end: number): PageSource<number> => ({
        pull: () => {
          const page = ticks <= 3 && performance.now() < end ? [1, 2, 3] : [];
          return isLate ? Promise.resolve(page) : page;
        },
        close: () => undefined,
      });
      const ticksWhile = async (work: () => Promise<unknown>): Promise<number> => {
        ticks = 0;
        const timer = setInterval(() => (ticks += 1), 1);
        await work();
        clearInterval(timer);
        return ticks;
      };
      const stream = streamOf(() => untilTicked(performance.now() + 3000));
      expect(await ticksWhile(() => lastValueFrom(stream))).toBeGreaterThan(3);
      expect(await ticksWhile(() => drain(stream))).toBeGreaterThan(3);
      expect(await ticksWhile(() => drain(stream.pages()))).toBeGreaterThan(3);
    },
  );
});

describe('a scan of a store', () => {
  let store: Store | undefined;
  afterEach(() => store?.close());

  const COUNT = 3000;
  const keyOf = (index: number): string => `key ${String(index).padStart(6, '0')}`;
  /** A store with so many entries, in tables and in memory. */
  async function filled(options: OpenOptions = {}): Promise<Store> {
    const opened = await openInMemory({ memtableBytesMax: 64 * 1024, durability: 'buffered', ...options });
    store = opened;
    await Promise.all(Array.from({ length: COUNT }, (_, index) => opened.set(keyOf(index), String(index))));
    return opened;
  }

  it('is complete, and holds up no timer, also when every block comes from the disk', { timeout: 20_000 }, async () => {
    const opened = await filled({ blockCacheBytesMax: 0, memtableBytesMax: 2 ** 24 });
    for (let batch = 0; batch < 30; batch += 1) {
      const keys = Array.from({ length: 1000 }, (_, index) => keyOf(1000 * batch + index));
      await opened.write(keys.map((key) => ({ type: 'set', key, value: 'value' })));
    }
    await opened.compact();
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    let pushed = 0;
    await lastValueFrom(opened.scan({ values: false }).pipe(tap(() => (pushed += 1))));
    clearInterval(timer);
    expect(pushed).toBe(30_000);
    expect(ticks).toBeGreaterThan(2);
  });

  it('lets its tables go when it is left, by break, return, unsubscribe, and at its end', async () => {
    const opened = await filled();
    await opened.compact();
    const leave = [
      async () => {
        for await (const entry of opened.scan()) if (entry.key.length > 0) break;
      },
      async () => {
        const values = opened.scan()[Symbol.asyncIterator]();
        await Promise.all([values.next(), values.return?.()]);
      },
      () => firstValueFrom(opened.scan()),
      () => lastValueFrom(opened.scan().pipe(take(700))),
      () => collect(opened.scan()),
      async () => {
        opened.scan().subscribe().unsubscribe();
        await turn();
      },
    ];
    for (const way of leave) {
      await way();
      await turn();
      // Nobody holds the tables any more: overwritten, they leave the disk and the cache.
      await opened.set(keyOf(0), 'again');
      await opened.compact();
      await turn();
      const tables = opened.stats().levels.reduce((sum, level) => sum + level.tables, 0);
      expect(opened.stats().openTables).toBeLessThanOrEqual(tables);
    }
  });

  it('sees one moment, whatever is written, flushed and compacted beside it', { timeout: 20_000 }, async () => {
    const opened = await filled();
    const values = opened.scan()[Symbol.asyncIterator]();
    const seen: string[] = [];
    for (let index = 0; ; index += 1) {
      const result = await values.next();
      if (result.done === true) break;
      seen.push(`${Buffer.from(result.value.key).toString()} = ${Buffer.from(result.value.value).toString()}`);
      if (index % 250 !== 100) continue;
      await opened.delete(keyOf(index + 7));
      await opened.set(keyOf(index + 9), 'changed');
      await opened.set(`${keyOf(index + 11)}+`, 'new');
      if (index % 500 === 100) await opened.flush();
      else await opened.compact();
    }
    expect(seen).toEqual(Array.from({ length: COUNT }, (_, index) => `${keyOf(index)} = ${index}`));
    expect(await opened.get(keyOf(107))).toBeUndefined();
  });
});
