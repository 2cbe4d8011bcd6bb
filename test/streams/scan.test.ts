// Goal: a scan gives the range and nothing else, a page at a time, of one moment; it ends soon when it is told to, and lets go.
import { lastValueFrom, toArray } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import {
  AbortedError,
  ClosedError,
  type Entry,
  openInMemory,
  type OpenOptions,
  type ScanOptions,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { systemClock } from '../../src/streams/clock.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { bytesOf, scanned, textOf } from '../support/sorted-model.ts';

let store: Store | undefined;
afterEach(async () => {
  await store?.close();
  store = undefined;
});
const openStore = async (options: OpenOptions = {}): Promise<Store> => {
  store = await openInMemory(options);
  return store;
};

const set = (key: string, value = 'v'): WriteOperation => ({ type: 'set', key: bytesOf(key), value: bytesOf(value) });
const numbered = (index: number): string => String(index).padStart(7, '0');

async function pagesOf(opened: Store, options: ScanOptions = {}): Promise<(readonly Entry[])[]> {
  const pages: (readonly Entry[])[] = [];
  for await (const page of opened.scan(options).pages()) pages.push(page);
  return pages;
}

describe('the range of a scan', () => {
  it('is what its bounds say, each of them, both ways, in memory and in tables', async () => {
    const opened = await openStore();
    const keys = ['', '\0', 'a', 'a\0', 'ab', 'b', '\xff', '\xff\xff'];
    await opened.write(keys.map((key) => set(key)));
    const model = keys.map((key) => [key, 'v'] as const);
    const bounds = [undefined, '', '\0', 'a', 'aa', 'b', 'c', '\xff\xff', '\xff\xff\xff'];
    for (const place of ['memory', 'table']) {
      if (place === 'table') await opened.compact();
      for (const lower of bounds) {
        for (const upper of bounds) {
          for (const [low, high] of [
            ['gt', 'lt'],
            ['gte', 'lte'],
            ['gt', 'lte'],
            ['gte', 'lt'],
          ] as const) {
            const options: ScanOptions = {
              reverse: (lower?.length ?? 0) > (upper?.length ?? 0),
              ...(lower === undefined ? {} : { [low]: bytesOf(lower) }),
              ...(upper === undefined ? {} : { [high]: bytesOf(upper) }),
            };
            const found = await lastValueFrom(opened.scan(options).pipe(toArray()));
            expect(found.map(({ key, value }) => [textOf(key), textOf(value)])).toEqual(scanned(model, options));
          }
        }
      }
    }
  });

  it('is that of gte and lte where gt or lt are given as well, as in abstract-level', async () => {
    const opened = await openStore();
    await opened.write([set('a'), set('b'), set('c'), set('d')]);
    const keysOf = async (options: ScanOptions): Promise<string[]> =>
      (await lastValueFrom(opened.scan({ ...options, values: false }).pipe(toArray()))).map(textOf);
    expect(await keysOf({ gt: 'c', gte: 'b' })).toEqual(['b', 'c', 'd']);
    expect(await keysOf({ gt: 'b', gte: 'b', lt: 'c', lte: 'c' })).toEqual(['b', 'c']);
    expect(await keysOf({ lt: 'b', lte: 'c', reverse: true })).toEqual(['c', 'b', 'a']);
    expect(await keysOf({ gt: 'a', gte: undefined, lt: 'c', lte: undefined })).toEqual(['b']);
  });

  it('does not change with the array that it was given in', async () => {
    const opened = await openStore();
    await opened.write([set('a'), set('b'), set('c')]);
    const bound = bytesOf('b');
    const scan = opened.scan({ gte: bound });
    bound.fill(0);
    expect((await lastValueFrom(scan.pipe(toArray()))).map(({ key }) => textOf(key))).toEqual(['b', 'c']);
  });

  it('ends at the limit, and with limit 0 at once', async () => {
    const opened = await openStore();
    await opened.write(Array.from({ length: 600 }, (_, index) => set(numbered(index))));
    for (const limit of [0, 1, 255, 256, 257, 600, 601, Infinity]) {
      const keys = await lastValueFrom(opened.scan({ limit, values: false }).pipe(toArray()));
      expect(keys).toHaveLength(Math.min(600, limit));
    }
  });

  it('gives the caller bytes of its own', async () => {
    const opened = await openStore();
    await opened.write([set('a', 'one'), set('b', 'two')]);
    for await (const { key, value } of opened.scan()) {
      key.fill(0);
      value.fill(0);
    }
    const again = await lastValueFrom(opened.scan().pipe(toArray()));
    expect(again.map(({ key, value }) => textOf(key) + textOf(value))).toEqual(['aone', 'btwo']);
  });
});

describe('a page', () => {
  it('is of at most 256 entries, and of little more than 64 KiB', async () => {
    const opened = await openStore();
    await opened.write(Array.from({ length: 700 }, (_, index) => set(`a${numbered(index)}`)));
    await opened.write(Array.from({ length: 20 }, (_, index) => set(`b${numbered(index)}`, 'x'.repeat(10_000))));
    const pages = await pagesOf(opened);
    expect(pages.flat()).toHaveLength(720);
    for (const page of pages) {
      expect(page.length).toBeLessThanOrEqual(256);
      const bytes = page.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
      expect(bytes).toBeLessThan(64 * 1024 + 10_010);
    }
  });

  it('ends where the next entry would have to wait for the disk: what is there is delivered first', async () => {
    const opened = await openStore({ blockCacheBytesMax: 0, blockBytesMax: 100 });
    await opened.write(Array.from({ length: 50 }, (_, index) => set(numbered(index), 'x'.repeat(40))));
    await opened.compact();
    const pages = await pagesOf(opened, { limit: 50 }); // a short scan reads block by block
    expect(pages.length).toBeGreaterThan(10);
    expect(pages.flat().map(({ key }) => textOf(key))).toEqual(Array.from({ length: 50 }, (_, at) => numbered(at)));
  });
});

describe('a scan that is told to end', () => {
  const TOMBSTONES = 60_000;
  /** A store whose scan has to pass over a long run of tombstones; tells how often it let the event loop have a turn. */
  async function longRun(isReverse: boolean, onTurn: () => void): Promise<{ opened: Store; turns: () => number }> {
    let turns = 0;
    let isCounting = false;
    const clock = {
      ...systemClock,
      afterTurn: (work: () => void): void => {
        if (isCounting) {
          turns += 1;
          onTurn();
        }
        systemClock.afterTurn(work);
      },
    };
    const opened = await openStore({ clock, durability: 'buffered' });
    for (let start = 0; start < TOMBSTONES; start += 4000) {
      const keys = Array.from({ length: 4000 }, (_, index) => `m${numbered(start + index)}`);
      await opened.write(keys.map((key) => ({ type: 'delete', key })));
    }
    await opened.write([set(isReverse ? 'a' : 'z')]);
    isCounting = true;
    return { opened, turns: () => turns };
  }

  it.each([false, true])('passes a long run of tombstones with turns between (reverse: %s)', async (reverse) => {
    const { opened, turns } = await longRun(reverse, () => undefined);
    expect(await lastValueFrom(opened.scan({ reverse }).pipe(toArray()))).toHaveLength(1);
    expect(turns()).toBeGreaterThan(10);
  });

  it.each([false, true])('by its signal stops in the middle of a step (reverse: %s)', async (reverse) => {
    const controller = new AbortController();
    let left = 3;
    const { opened, turns } = await longRun(reverse, () => {
      if (--left === 0) controller.abort('why');
    });
    const scan = opened.scan({ reverse, signal: controller.signal });
    await expect(lastValueFrom(scan)).rejects.toMatchObject({ code: 'ABORTED', cause: 'why' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(turns()).toBeLessThan(6);
  });

  it('by unsubscribing or by return stops there, too', async () => {
    let left = 3;
    let stop = (): void => undefined;
    const { opened, turns } = await longRun(false, () => {
      if (--left === 0) stop();
    });
    const subscription = opened.scan().subscribe();
    stop = () => subscription.unsubscribe();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(turns()).toBeLessThan(6);

    const before = turns();
    left = 3;
    const values = opened.scan()[Symbol.asyncIterator]();
    stop = () => void values.return?.();
    expect(await values.next()).toEqual({ value: undefined, done: true });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(turns() - before).toBeLessThan(6);
  });

  it('by the store stops there with ClosedError', async () => {
    let left = 3;
    const { opened, turns } = await longRun(false, () => {
      if (--left === 0) void opened.close().subscribe();
    });
    await expect(lastValueFrom(opened.scan())).rejects.toBeInstanceOf(ClosedError);
    expect(turns()).toBeLessThan(20);
  });

  it('by its signal before, between two pages, and after its end', async () => {
    const opened = await openStore();
    await opened.write(Array.from({ length: 600 }, (_, index) => set(numbered(index))));
    const signal = AbortSignal.abort('early');
    await expect(lastValueFrom(opened.scan({ signal }))).rejects.toMatchObject({ code: 'ABORTED', cause: 'early' });
    const controller = new AbortController();
    let seen = 0;
    const walk = async (): Promise<void> => {
      for await (const page of opened.scan({ signal: controller.signal }).pages()) {
        seen += page.length;
        controller.abort();
      }
    };
    await expect(walk()).rejects.toBeInstanceOf(AbortedError);
    expect(seen).toBe(256);
    const late = new AbortController();
    expect(await lastValueFrom(opened.scan({ signal: late.signal }).pipe(toArray()))).toHaveLength(600);
    late.abort();
  });

  it('between two reads from the disk, leaves nothing running and nothing held', async () => {
    // The first entries of the second block are tombstones: a walk that went on without its table would never get past them.
    const fileSystem = new FaultFileSystem();
    const opened = await openStore({ fileSystem, blockCacheBytesMax: 0, blockBytesMax: 1, worker: 'off' });
    const snapshot = opened.snapshot();
    await opened.write([set('a'), set('b'), set('c')]);
    const between = opened.snapshot();
    await opened.write(['b', 'c'].map((key) => ({ type: 'delete', key })));
    await opened.compact();
    snapshot.close();
    between.close();
    for (let ticks = 0; ticks < 12; ticks += 1) {
      const values = opened.scan({ limit: 10 })[Symbol.asyncIterator]();
      const first = values.next();
      for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
      await values.return?.();
      await first;
    }
    const { calls } = fileSystem;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(fileSystem.calls).toBe(calls);
    expect(await lastValueFrom(opened.scan().pipe(toArray()))).toHaveLength(1);
  });
});

describe('a scan that cannot read', () => {
  it('fails with that error, and the next one reads again', async () => {
    const fileSystem = new FaultFileSystem();
    const opened = await openStore({ fileSystem, blockCacheBytesMax: 0, blockBytesMax: 100, worker: 'off' });
    await opened.write(Array.from({ length: 500 }, (_, index) => set(numbered(index), 'x'.repeat(40))));
    await opened.compact();
    let isBroken = false;
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => isBroken && name === 'read' };
    const seen: Entry[] = [];
    const walk = async (): Promise<void> => {
      for await (const page of opened.scan({ limit: 500 }).pages()) {
        seen.push(...page);
        isBroken = true;
      }
    };
    await expect(walk()).rejects.toMatchObject({ code: 'IO', systemCode: 'EIO' });
    expect(seen.map(({ key }) => textOf(key))).toEqual(seen.map((_, index) => numbered(index)));
    isBroken = false;
    expect(await lastValueFrom(opened.scan().pipe(toArray()))).toHaveLength(500);
  });
});

describe('many keys at once', () => {
  it('are read at one moment, in order, whatever is written meanwhile', async () => {
    const opened = await openStore({ blockCacheBytesMax: 0, memtableBytesMax: 4096 });
    await opened.write(Array.from({ length: 300 }, (_, index) => set(numbered(index), `old ${index}`)));
    const wanted = Array.from({ length: 300 }, (_, index) => numbered((index * 7) % 310));
    const read = Promise.resolve(opened.getMany(wanted));
    await opened.write(wanted.map((key) => set(key, 'new')));
    await opened.compact();
    const values = (await read).map((value) => (value === undefined ? undefined : textOf(value)));
    expect(values).toEqual(wanted.map((key) => (Number(key) < 300 ? `old ${Number(key)}` : undefined)));
    expect(opened.stats().snapshots).toBe(0);
  });

  it('let the event loop have a turn every thousand or so', async () => {
    let turns = 0;
    const clock = {
      ...systemClock,
      afterTurn: (work: () => void): void => {
        turns += 1;
        systemClock.afterTurn(work);
      },
    };
    const opened = await openStore({ clock });
    await opened.set('key', 'value');
    const keys = Array.from({ length: 40_000 }, () => 'key');
    const before = turns;
    let ticks = 0;
    const tick = (): void => {
      ticks += 1;
      timer = setImmediate(tick);
    };
    let timer = setImmediate(tick);
    const values = await opened.getMany(keys);
    clearImmediate(timer);
    expect(values.every((value) => value !== undefined && textOf(value) === 'value')).toBe(true);
    expect(turns - before).toBeGreaterThanOrEqual(39);
    expect(ticks).toBeGreaterThanOrEqual(30);
  });

  it('fail together when one cannot be read, and leave nothing held', async () => {
    const fileSystem = new FaultFileSystem();
    const opened = await openStore({ fileSystem, blockCacheBytesMax: 0, blockBytesMax: 1, worker: 'off' });
    await opened.write(Array.from({ length: 300 }, (_, index) => set(numbered(index))));
    await opened.compact();
    await opened.get(numbered(1));
    let left = 70;
    fileSystem.plan = { code: 'EACCES', arrives: 0, isHit: ({ name }) => name === 'read' && left-- < 0 };
    const keys = Array.from({ length: 300 }, (_, index) => numbered(index));
    await expect(Promise.resolve(opened.getMany(keys))).rejects.toMatchObject({ code: 'IO' });
    expect(opened.stats().snapshots).toBe(0);
    const { calls } = fileSystem;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(fileSystem.calls - calls).toBeLessThan(70); // those under way, and no further ones
    fileSystem.plan = undefined;
    expect((await opened.getMany(keys)).includes(undefined)).toBe(false);
  });
});
