// Goal: a change stream begins where it was asked to, and gives what was committed from there on: once each, in order,
// batches whole, nothing of our own; only what is durable, if that is asked for; and it ends as it should.
// Method: small stores whose every change is known; file systems that hold a sync or a read back.
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import {
  type Change,
  type ChangeEvent,
  type ChangesFrom,
  type Commit,
  type FileSystem,
  MemoryFileSystem,
  open,
  openInMemory,
  type OpenOptions,
  type Store,
} from '../../src/index.ts';
import { ending, lineOf, linesOf, next, taken } from '../support/change-lines.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { Gate } from '../support/gate.ts';
import { SetClock } from '../support/set-clock.ts';
import { scanned, textOf } from '../support/sorted-model.ts';
import { inTime, until } from '../support/waiting.ts';

const DIRECTORY = '/data';
const set = (key: string, value = ''): { type: 'set'; key: string; value: string } => ({ type: 'set', key, value });

/** A store on a file system of which some calls wait at a gate. */
async function openBehindGate(
  isHeld: (call: string) => boolean,
  options: OpenOptions = {},
  files: FileSystem = new MemoryFileSystem(),
): Promise<[Store, Gate]> {
  const gate = new Gate();
  const fileSystem = new DelayedFileSystem(files, async (call) => {
    if (isHeld(call)) await gate.pass();
  });
  return [await open(DIRECTORY, { ...options, fileSystem }), gate];
}
/** Syncs of logs wait, so nothing becomes durable. */
const isSync = (call: string): boolean => /^sync .*\.log$/.test(call);
/** Reads of logs wait: history. */
const isHistory = (call: string): boolean => /^(open|read) .*\.log$/.test(call);

describe('a change stream', () => {
  it('gives every change in the order of the commits, batches whole, before the acknowledgement', async () => {
    const store = await openInMemory();
    const seen: Change[] = [];
    store.changes().subscribe((change) => seen.push(change));
    const atAcknowledgement: number[] = [];
    const acknowledge = ({ sequence }: Commit): void => {
      expect(seen.at(-1)?.sequence).toBe(sequence);
      atAcknowledgement.push(seen.length);
    };
    acknowledge(await store.set('a', '1'));
    acknowledge(await store.write([set('b', '2'), { type: 'delete', key: 'a' }]));
    acknowledge(await store.set('c', ''));
    expect(linesOf(seen)).toEqual(['1 set a=1', '2 set b=2', '3 delete a', '4 set c=']);
    expect(seen.map(({ batchIndex, batchSize }) => [batchIndex, batchSize])).toEqual([
      [0, 1],
      [0, 2],
      [1, 2],
      [0, 1],
    ]);
    expect(atAcknowledgement).toEqual([1, 3, 4]);
    await store.close();
    expect(seen).toHaveLength(4);
  });

  it('gives the same from history as it gave live, again after a reopening, by values, pages and pushes', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem, memtableBytesMax: 2048 });
    const live = lastValueFrom(store.changes().pipe(toArray()));
    for (let batch = 0; batch < 60; batch += 1) {
      const lines = Array.from({ length: 1 + (batch % 5) }, (_, index) => set(`${batch}.${index}`, 'v'.repeat(batch)));
      await store.write([...lines, { type: 'delete', key: `${batch - 1}.0` }], { durability: 'buffered' });
      if (batch % 20 === 5) await store.write([set('once')], { idempotencyKey: `key ${batch}` });
    }
    const count = 240 + 3;
    expect(await taken(store.changes({ from: 'start' }), count)).toHaveLength(count);
    await store.close();
    const given = await live;
    expect(given).toHaveLength(count);

    const again = await open(DIRECTORY, { fileSystem });
    expect(await taken(again.changes({ from: 'start' }), count)).toEqual(given);
    const pages: (readonly Change[])[] = [];
    for await (const page of again.changes({ from: 'start' }).pages()) {
      pages.push(page);
      if (pages.flat().length >= count) break;
    }
    expect(pages.flat()).toEqual(given);
    const pushed = lastValueFrom(again.changes({ from: 'start' }).pipe(toArray()));
    await again.set('the end', '');
    const seen: Change[] = [];
    const subscription = again.changes({ from: 'start' }).subscribe((change) => seen.push(change));
    await until('all were pushed', () => seen.length > count);
    subscription.unsubscribe();
    expect(seen.slice(0, count)).toEqual(given);
    await again.close();
    await pushed;
  });

  it('gives pages of whole batches, and numbers its changes so that a batch is known by them', async () => {
    const store = await openInMemory();
    const size = 700; // no divisor of a page
    for (let batch = 0; batch < 9; batch += 1) {
      await store.write(Array.from({ length: size }, (_, index) => set(`${index}`)));
    }
    let count = 0;
    let pages = 0;
    for await (const page of store.changes({ from: 'start' }).pages()) {
      pages += 1;
      count += page.length;
      expect(page[0]?.batchIndex).toBe(0);
      expect(page.at(-1)).toMatchObject({ batchIndex: size - 1, batchSize: size });
      for (const { sequence, batchIndex } of page) expect((sequence - batchIndex - 1) % size).toBe(0);
      if (count >= 9 * size) break;
    }
    expect(pages).toBeGreaterThan(1);
    await store.close();
  });

  it('tells the place and the size in the batch also of what the range leaves out', async () => {
    const store = await openInMemory();
    const live = taken(store.changes({ gte: 'b', lt: 'd' }), 2);
    await store.write([set('a'), set('b'), set('c'), set('d')]);
    const replayed = await taken(store.changes({ from: 'start', gte: 'b', lt: 'd' }), 2);
    expect(replayed.map(({ batchIndex, batchSize }) => [batchIndex, batchSize])).toEqual([
      [1, 4],
      [2, 4],
    ]);
    expect(await live).toEqual(replayed);
    await store.close();
  });

  it('tells when: at most 10 ms early, never going back, the same live and from history', async () => {
    const clock = new SetClock(1_000_000);
    const store = await openInMemory({ clock });
    const start = clock.dateMs;
    const live = lastValueFrom(store.changes().pipe(toArray()));
    const dates = [0, 4, 9, 10, 15, 40, 39, -500, 45, 50, 51, 1000];
    for (const at of dates) {
      clock.dateMs = start + at;
      await store.set('k', '');
    }
    const replayed = await taken(store.changes({ from: 'start' }), dates.length);
    const times = replayed.map(({ timeMs }) => timeMs - start);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    let latest = -Infinity;
    for (const [index, at] of dates.entries()) {
      latest = Math.max(latest, at);
      expect(times[index]).toBeLessThanOrEqual(latest);
      expect(times[index]).toBeGreaterThan(latest - 10);
    }
    await store.close();
    expect(await live).toEqual(replayed);
  });
});

describe('begins', () => {
  it("with what is committed after it was subscribed to, under 'now', the default", async () => {
    const store = await openInMemory();
    await store.set('a', '');
    const unopened = store.changes(); // opened by its reader, not by the call
    const opened = [store.changes(), store.changes({ from: 'now' })].map((stream) => taken(stream, 2));
    const pending = store.set('b', ''); // begun after, so it counts
    await pending;
    const late = taken(unopened, 1);
    await store.set('c', '');
    for (const one of opened) expect(linesOf(await one)).toEqual(['2 set b=', '3 set c=']);
    expect(linesOf(await late)).toEqual(['3 set c=']);
    await store.close();
  });

  it("with the oldest change under 'start', and is live behind the newest", async () => {
    const store = await openInMemory();
    const empty = store.changes({ from: 'start' })[Symbol.asyncIterator]();
    const first = empty.next();
    await store.set('a', '');
    expect(await first).toMatchObject({ value: { sequence: 1 } });
    await store.flush();
    await store.set('b', '');
    const stream = store.changes({ from: 'start' })[Symbol.asyncIterator]();
    expect(linesOf(await next(stream, 2))).toEqual(['1 set a=', '2 set b=']);
    const waiting = next(stream, 2);
    await store.write([set('c'), set('d')]);
    expect(linesOf(await waiting)).toEqual(['3 set c=', '4 set d=']);
    expect(linesOf(await next(empty, 3))).toEqual(['2 set b=', '3 set c=', '4 set d=']);
    await store.close();
  });

  it("with the state, row by row in key order, under 'snapshot'; then with what came after it", async () => {
    const store = await openInMemory();
    for (const key of ['c', 'a', 'x', 'b']) await store.set(key, key);
    await store.delete('x');
    await store.flush();
    await store.set('b', 'again');
    const stream = store.changes({ from: 'snapshot' })[Symbol.asyncIterator]();
    const [row] = await next(stream, 1);
    await store.write([set('a', 'later'), { type: 'delete', key: 'c' }]); // not in the snapshot, but behind it
    const rest = await next(stream, 5);
    expect(linesOf([row as ChangeEvent, ...rest])).toEqual([
      '2 entry a=a',
      '6 entry b=again',
      '1 entry c=c',
      'snapshotEnd 6',
      '7 set a=later',
      '8 delete c',
    ]);
    const [end] = rest.filter((event) => event.type === 'snapshotEnd');
    const resumed = store.changes({ from: end?.type === 'snapshotEnd' ? end.cursor : 'now' });
    expect(linesOf(await taken(resumed, 2))).toEqual(['7 set a=later', '8 delete c']);
    await store.close();
  });

  it("with an empty state under 'snapshot' too, and in a range", async () => {
    const store = await openInMemory();
    const empty = store.changes({ from: 'snapshot' })[Symbol.asyncIterator]();
    expect(linesOf(await next(empty, 1))).toEqual(['snapshotEnd 0']);
    for (const key of 'abcd') await store.set(key, '');
    const part = store.changes({ from: 'snapshot', gt: 'a', lte: 'c' })[Symbol.asyncIterator]();
    expect(linesOf(await next(part, 3))).toEqual(['2 entry b=', '3 entry c=', 'snapshotEnd 4']);
    await store.write([set('a'), set('c'), set('d')]);
    expect(linesOf(await next(part, 1))).toEqual(['6 set c=']);
    expect(linesOf(await next(empty, 7)).at(-1)).toBe('7 set d=');
    await store.close();
  });

  it('with the first change committed at a date or later', async () => {
    const clock = new SetClock(1_000_000);
    const store = await openInMemory({ clock });
    for (let index = 0; index < 10; index += 1) {
      await store.set(`${index}`, '');
      if (index === 4) await store.flush();
      clock.dateMs += 1000;
    }
    const at = (ms: number): ChangesFrom => new Date(1_000_000 + ms);
    const firstFrom = async (from: ChangesFrom): Promise<string[]> => linesOf(await taken(store.changes({ from }), 1));
    expect(await firstFrom(at(-1e6))).toEqual(['1 set 0=']);
    expect(await firstFrom(at(0))).toEqual(['1 set 0=']);
    for (let index = 1; index < 10; index += 1) {
      expect(await firstFrom(at(index * 1000 - 1))).toEqual([`${index + 1} set ${index}=`]);
      expect(await firstFrom(at(index * 1000))).toEqual([`${index + 1} set ${index}=`]);
    }
    const live = firstFrom(at(9001)); // nothing yet
    await new Promise(setImmediate);
    await store.set('new', '');
    expect(await live).toEqual(['11 set new=']);
    await store.close();
  });

  it('within the range that was asked for, whatever its bounds', async () => {
    const store = await openInMemory();
    const keys = ['', 'a', 'a\0', 'ab', 'b', '\xff'];
    const entries = keys.map((key) => [textOf(key), ''] as const);
    const bounds = [
      {},
      { gte: 'a' },
      { gt: 'a' },
      { lt: 'ab' },
      { lte: 'ab' },
      { gt: 'a', lt: 'b' },
      { gte: 'b', lt: 'a' },
    ];
    const both = [...bounds, { gt: 'a', gte: '' }, { lt: 'a', lte: 'b' }, { gte: '', lte: '' }];
    const live = both.map((range) => lastValueFrom(store.changes(range).pipe(toArray())));
    for (const key of keys) await store.set(key, '');
    for (const range of both) {
      const due = scanned(entries, range).map(([key]) => key);
      const found = await taken(store.changes({ ...range, from: 'start' }), due.length);
      expect(found.map(({ key }) => textOf(key))).toEqual(due);
    }
    await store.close();
    for (const [index, range] of both.entries()) {
      const due = scanned(entries, range).map(([key]) => key);
      expect((await live[index])?.map(({ key }) => textOf(key))).toEqual(due);
    }
  });
});

describe("under durability 'synced'", () => {
  it('it gives only what a power cut leaves, from history and live, and all of it', async () => {
    const [store, gate] = await openBehindGate(isSync, { durability: 'buffered', syncIntervalMs: 1 });
    await store.set('a', '');
    const buffered = store.changes({ from: 'start' })[Symbol.asyncIterator]();
    expect(linesOf(await next(buffered, 1))).toEqual(['1 set a=']);
    await until('all is durable', () => store.stats().durableSequence === 1);
    gate.close();
    await store.set('b', '');
    await store.set('c', '');
    const seen: string[][] = [];
    for (const from of ['start', 2, 'now'] as const) {
      const lines: string[] = [];
      seen.push(lines);
      store.changes({ from, durability: 'synced' }).subscribe((event) => {
        expect(store.stats().durableSequence).toBeGreaterThanOrEqual(event.sequence);
        lines.push(lineOf(event));
      });
    }
    await store.set('d', '');
    expect(linesOf(await next(buffered, 3))).toEqual(['2 set b=', '3 set c=', '4 set d=']);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(store.stats().durableSequence).toBe(1);
    expect(seen).toEqual([['1 set a='], [], []]);
    gate.open();
    await until('they have it', () => seen.every((lines) => lines.includes('4 set d=')));
    expect(seen).toEqual([
      ['1 set a=', '2 set b=', '3 set c=', '4 set d='],
      ['2 set b=', '3 set c=', '4 set d='],
      ['4 set d='],
    ]);
    await store.close();
  });

  it('a snapshot is of what is durable, also while others go on writing', async () => {
    const [store, gate] = await openBehindGate(isSync, { durability: 'buffered', syncIntervalMs: 1 });
    gate.close();
    await store.set('a', '');
    const seen: string[] = [];
    store.changes({ from: 'snapshot', durability: 'synced' }).subscribe((event) => seen.push(lineOf(event)));
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(seen).toEqual([]);
    await store.set('b', ''); // after its moment
    gate.openOnce();
    await until('a is durable', () => store.stats().durableSequence >= 1);
    const durable = store.stats().durableSequence;
    await store.set('c', '');
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(durable).toBe(1);
    expect(seen).toEqual(['1 entry a=', 'snapshotEnd 1']); // b is not durable
    gate.open();
    await until('the others are durable', () => seen.length === 4);
    expect(seen.slice(2)).toEqual(['2 set b=', '3 set c=']);
    await store.close();
  });

  it('a snapshot is not waited for by whoever has gone, or when the store closes', async () => {
    const [store, gate] = await openBehindGate(isSync, { durability: 'buffered', syncIntervalMs: 1 });
    gate.close();
    await store.set('a', '');
    const aborting = new AbortController();
    const options = { from: 'snapshot', durability: 'synced' } as const;
    const aborted = ending(store.changes({ ...options, signal: aborting.signal }));
    const left = store.changes(options)[Symbol.asyncIterator]();
    const waiting = left.next();
    const atClose = ending(store.changes(options));
    await new Promise((resolve) => setTimeout(resolve, 5));
    aborting.abort();
    await left.return?.();
    expect(await inTime('the aborted one', aborted)).toMatchObject({ values: [], error: { code: 'ABORTED' } });
    expect(await inTime('the one that left', waiting)).toEqual({ value: undefined, done: true });
    const closing = store.close();
    gate.open();
    await closing;
    expect(await inTime('the last', atClose)).toMatchObject({ values: [], error: { code: 'CLOSED' } });
  });
});

describe('our own keys', () => {
  const RESERVED = '!_alluvium!';

  it('are in no stream, live or from history, nor do they count in a batch', async () => {
    const store = await openInMemory();
    const live = lastValueFrom(store.changes().pipe(toArray()));
    const all = lastValueFrom(store.changes({ gte: '!_', lt: '!`' }).pipe(toArray()));
    await store.write([set('a'), set('b')], { idempotencyKey: 'one' }); // two lines of ours behind them
    await store.write([], { idempotencyKey: 'nothing' });
    await store.write([set('!_alluvium'), set('!_alluvium"'), set('!`')]); // right before and behind ours
    await store.set('c', '');
    const { sequence } = await store.write([]);
    expect(sequence).toBeGreaterThan(6); // so there are lines of ours
    const expected = ['a', 'b', '!_alluvium', '!_alluvium"', '!`', 'c'];
    const replayed = await taken(store.changes({ from: 'start' }), expected.length);
    expect(replayed.map(({ key }) => textOf(key))).toEqual(expected);
    expect(replayed.map(({ batchIndex, batchSize }) => `${batchIndex + 1} of ${batchSize}`)).toEqual([
      '1 of 2',
      '2 of 2',
      '1 of 3',
      '2 of 3',
      '3 of 3',
      '1 of 1',
    ]);
    const ours = { gte: RESERVED, lt: '!_alluvium"' };
    const fromInside = [ours, { gt: `${RESERVED}!m` }, { lte: `${RESERVED}!m` }].map((range) =>
      lastValueFrom(store.changes({ ...range, from: 'start' }).pipe(toArray())),
    );
    const rows = await taken(store.changes({ from: 'snapshot' }), 7);
    expect(rows.map((event) => (event.type === 'snapshotEnd' ? '' : textOf(event.key)))).toEqual([
      '!_alluvium',
      '!_alluvium"',
      '!`',
      'a',
      'b',
      'c',
      '',
    ]);
    await store.close();
    expect(await live).toEqual(replayed);
    expect((await all).map(({ key }) => textOf(key))).toEqual(['!_alluvium', '!_alluvium"']);
    const keysOf = (changes: readonly Change[]): string[] => changes.map(({ key }) => textOf(key));
    expect((await Promise.all(fromInside)).map(keysOf)).toEqual([
      [],
      ['a', 'b', '!_alluvium"', '!`', 'c'],
      ['!_alluvium'],
    ]);
  });

  it('are in no scan and no snapshot: both ways, with limits, in ranges that begin or end among them', async () => {
    const store = await openInMemory();
    const keys = ['!', '!_alluvium', '!_alluvium"', '!z', 'a'];
    for (const key of keys) await store.write([set(key)], { idempotencyKey: `of ${key}` });
    const entries = keys.map((key) => [key, ''] as const);
    const bounds = ['', '!', '!_alluvium', RESERVED, `${RESERVED}!idempotency!m`, '!_alluvium"', 'a', 'b'];
    for (const stage of ['memtable', 'table']) {
      if (stage === 'table') await store.compact();
      for (const gte of bounds) {
        for (const lt of bounds) {
          for (const reverse of [false, true]) {
            for (const limit of [1, 2, 100]) {
              const range = { gte, lt, reverse, limit };
              const found = await taken(store.scan(range), 100);
              expect(found.map(({ key }) => textOf(key))).toEqual(scanned(entries, range).map(([key]) => key));
            }
          }
        }
      }
      const snapshot = store.snapshot();
      expect((await taken(snapshot.scan(), 100)).map(({ key }) => textOf(key))).toEqual(keys);
      snapshot.close();
    }
    expect(() => store.set(`${RESERVED}x`, '')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    await store.close();
  });
});

describe('ends', () => {
  it('with AbortedError: before it begins, while it waits, between two values, and not any more after its end', async () => {
    const store = await openInMemory();
    for (const key of 'abc') await store.set(key, '');
    const reason = new Error('enough');
    for (const from of ['now', 'start', 'snapshot', 2, new Date(0)] as const) {
      const before = await ending(store.changes({ from, signal: AbortSignal.abort(reason) }));
      expect(before).toMatchObject({ values: [], error: { code: 'ABORTED', cause: reason } });
      const aborting = new AbortController();
      const waiting = ending(store.changes({ from, signal: aborting.signal }));
      await new Promise((resolve) => setTimeout(resolve, 2));
      aborting.abort(reason);
      expect(await inTime(`an aborted one from ${String(from)}`, waiting)).toMatchObject({
        error: { code: 'ABORTED', cause: reason },
      });
    }
    const aborting = new AbortController();
    const seen: string[] = [];
    const error = await new Promise((resolve) => {
      store.changes({ from: 'start', signal: aborting.signal }).subscribe({
        next: (event) => {
          seen.push(lineOf(event));
          aborting.abort();
        },
        error: resolve,
      });
    });
    expect(error).toMatchObject({ code: 'ABORTED' });
    expect(seen[0]).toBe('1 set a=');
    const late = new AbortController();
    const whole = taken(store.changes({ from: 'start', signal: late.signal }), 3);
    expect(await whole).toHaveLength(3);
    late.abort();
    await store.close();
  });

  it('by completing when the store closes: live, with all that was committed before', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    const streams = [{}, { durability: 'synced' as const }, { gte: 'a', lte: 'a' }];
    const all = streams.map((options) => ending(store.changes(options)));
    const pushed = lastValueFrom(store.changes().pipe(toArray()));
    const silent = store.changes()[Symbol.asyncIterator](); // read only after the close
    const writes = Array.from({ length: 100 }, () => store.set('a', ''));
    writes.forEach((write) => write.subscribe());
    await store.close();
    for (const one of all) {
      const { values, error } = await inTime('the end', one);
      expect(error).toBeUndefined();
      expect(values).toHaveLength(100);
    }
    expect(await pushed).toHaveLength(100);
    expect(await next(silent, 100)).toHaveLength(100);
    expect(await silent.next()).toEqual({ value: undefined, done: true });
  });

  it('by completing when the store closes: in the midst of history, behind what was given', async () => {
    const [store, gate] = await openBehindGate(isHistory);
    for (let index = 0; index < 5000; index += 1) store.set(`${index}`, 'v').subscribe();
    await store.set('last', '');
    const begun = store.changes({ from: 'start' })[Symbol.asyncIterator]();
    expect(linesOf(await next(begun, 1))).toEqual(['1 set 0=v']);
    gate.close();
    const waiting = ending(store.changes({ from: 'start' }));
    await until('it waits for the file', () => gate.waiting > 0);
    await inTime('the close', store.close());
    gate.open();
    expect(await inTime('the one in the midst of it', waiting)).toEqual({ values: [], error: undefined });
    // The page that it had is given to its end: whole batches, without a hole.
    const { values, error } = await ending({ [Symbol.asyncIterator]: () => begun });
    expect(error).toBeUndefined();
    expect(values.map(({ sequence }) => sequence)).toEqual(values.map((_, index) => index + 2));
    expect(values.length).toBeLessThan(5000);
  });

  it('with CLOSED when the store closes before its snapshot is whole, so that nobody takes a part for all', async () => {
    const store = await openInMemory();
    for (let index = 0; index < 1000; index += 1) store.set(`${index}`, '').subscribe();
    await store.set('last', '');
    const rows = store.changes({ from: 'snapshot' })[Symbol.asyncIterator]();
    expect(await next(rows, 1)).toHaveLength(1);
    await store.close();
    const { values, error } = await ending({ [Symbol.asyncIterator]: () => rows });
    expect(error).toMatchObject({ code: 'CLOSED' });
    expect(values.some((event) => event.type === 'snapshotEnd')).toBe(false);
  });

  it('when its reader leaves, at any moment, and holds nothing open', async () => {
    const files = new FaultFileSystem();
    const [store, gate] = await openBehindGate(isHistory, {}, files);
    for (const key of 'abc') await store.set(key, '');
    const before = [...files.openPaths].sort();
    for await (const change of store.changes({ from: 'start' })) if (change.sequence === 1) break;
    gate.close();
    const leaving = store.changes({ from: 'start' })[Symbol.asyncIterator]();
    const waiting = leaving.next();
    await until('it waits for the file', () => gate.waiting > 0);
    await leaving.return?.();
    gate.open();
    expect(await inTime('its next', waiting)).toEqual({ value: undefined, done: true });
    await until('all is closed', () => files.openPaths.length <= before.length);
    expect([...files.openPaths].sort()).toEqual(before);
    await store.close();
  });
});
