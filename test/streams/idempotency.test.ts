// Goal: a write that is repeated with its idempotency key happens once, and each repetition gets the first one's answer:
// in one group, later, after a crash; and what is kept for that goes when its window is over.
import { afterEach, describe, expect, it } from 'vitest';
import {
  type Commit,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type Store,
  type WriteOperation,
  type WriteOptions,
} from '../../src/index.ts';
import * as E from 'fp-ts/lib/Either.js';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { decodeRecord } from '../../src/streams/idempotency.ts';
import { brokenFrom } from '../support/broken-bytes.ts';
import { databaseOf } from '../support/hand-made-database.ts';
import { bytesOf } from '../support/sorted-model.ts';
import { writeTable } from '../support/tree-on-disk.ts';
import { EXPIRY_PREFIX, IDEMPOTENCY_PREFIX } from '../../src/storage/reserved.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { randomOf } from '../support/runs.ts';
import { SetClock } from '../support/set-clock.ts';
import { inTime, until } from '../support/waiting.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const never = (): number => 0;
/** What a plain-JavaScript caller may pass, as nothing the compiler would take. */
const wrong = (value: unknown): never => value as never;
const set = (key: string, value = ''): WriteOperation => ({ type: 'set', key, value });

let opened: Store[] = [];
afterEach(async () => {
  for (const store of opened) await store.close();
  opened = [];
});
const openStore = async (options: OpenOptions = {}): Promise<Store> => {
  const store = await open('/db', { fileSystem: new MemoryFileSystem(), ...options });
  opened.push(store);
  return store;
};
/** Writes at once, so that all of one turn are in one group. */
const write = (
  store: Store,
  idempotencyKey: string,
  operations: readonly WriteOperation[],
  options: WriteOptions = {},
): Promise<Commit> => store.write(operations, { ...options, idempotencyKey }).then();

const expiryKey = (timeMs: number, key: string): string =>
  `${EXPIRY_PREFIX}${timeMs.toString(16).padStart(12, '0')}!${key}`;

describe('a write with an idempotency key', () => {
  it('that is repeated writes nothing, and gets the answer of the first', async () => {
    const store = await openStore();
    const first = await write(store, 'order 1', [set('a', '1'), set('b', '1')]);
    expect(first).toEqual({ sequence: 2, durability: 'synced' }); // of the last operation that the caller gave
    const { sequence } = store.stats();
    await store.set('a', '2');
    expect(await write(store, 'order 1', [set('a', '1'), set('b', '1')])).toEqual(first);
    expect(store.stats().sequence).toBe(sequence + 1);
    expect(await store.get('a')).toEqual(new TextEncoder().encode('2'));
    expect(await write(store, 'order 2', [set('a', '1'), set('b', '1')])).not.toEqual(first);
  });

  it('is the same for set and delete as for a batch, and for strings as for bytes', async () => {
    const store = await openStore();
    const options = { idempotencyKey: 'ü' };
    const first = await store.set('ü', 'x', options);
    expect(await store.set(new TextEncoder().encode('ü'), Buffer.from('x'), options)).toEqual(first);
    expect(await store.write([set('ü', 'x')], options)).toEqual(first);
    const gone = await store.delete('ü', { idempotencyKey: 'gone' });
    await store.set('ü', 'y');
    expect(await store.delete('ü', { idempotencyKey: 'gone' })).toEqual(gone);
    expect(await store.has('ü')).toBe(true);
  });

  // Shrunk by properties/conditions: all checks come before all writes, so where they stand between them says nothing.
  it('is the same wherever its checks stand between its writes', async () => {
    const store = await openStore();
    const check: WriteOperation = { type: 'check', key: 'b', sequence: 'absent' };
    const first = await write(store, 'k', [check, set('d')]);
    expect(await write(store, 'k', [set('d'), check])).toEqual(first);
  });

  it('is repeated by a second subscription, and both get one answer', async () => {
    const store = await openStore();
    const operation = store.set('a', '1', { idempotencyKey: 'once' });
    const first = await operation;
    expect(await operation).toEqual(first);
    expect(store.stats().groups).toBe(1);
  });

  const contents: readonly (readonly [string, readonly WriteOperation[]])[] = [
    ['another value', [set('a', '2'), set('b')]],
    ['another key', [set('b', '1'), set('b')]],
    ['a line less', [set('a', '1')]],
    ['a line more', [set('a', '1'), set('b'), set('b')]],
    ['another order', [set('b'), set('a', '1')]],
    ['a delete', [set('a', '1'), { type: 'delete', key: 'b' }]],
    ['bytes at another place', [set('a1', ''), set('b')]],
    ['a check more', [set('a', '1'), set('b'), { type: 'check', key: 'b', sequence: 2 }]],
    ['nothing', []],
  ];
  it.each(contents)('is refused when its content is another one: %s', async (_what, operations) => {
    const store = await openStore();
    await write(store, 'k', [set('a', '1'), set('b')]);
    const { sequence } = store.stats();
    const second = write(store, 'k', operations);
    await expect(second).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', argument: 'idempotencyKey' });
    await expect(second).rejects.toThrow('not for another batch');
    expect(store.stats().sequence).toBe(sequence);
  });

  it('that has nothing to write has an answer all the same, and keeps it', async () => {
    const store = await openStore();
    await store.set('a', '1');
    const first = await write(store, 'nothing', []);
    expect(first.sequence).toBe(1);
    const check = await write(store, 'only a check', [{ type: 'check', key: 'a', sequence: 1 }]);
    await store.set('a', '2');
    expect(await write(store, 'nothing', [])).toEqual(first);
    expect(await write(store, 'only a check', [{ type: 'check', key: 'a', sequence: 1 }])).toEqual(check);
  });

  it('counts its own lines into what is written', async () => {
    const store = await openStore({ memtableBytesMax: 1024 });
    const value = 'x'.repeat(300);
    for (let count = 0; count < 30; count += 1) await write(store, 'k'.repeat(500) + `${count}`, [set('a', value)]);
    expect(await write(store, `${'k'.repeat(500)}0`, [set('a', value)])).toMatchObject({ sequence: 1 });
  });

  it.each<[string, WriteOptions, string]>([
    ['an empty key', { idempotencyKey: '' }, 'OUT_OF_RANGE'],
    ['a key of 513 bytes', { idempotencyKey: `${'ü'.repeat(256)}x` }, 'OUT_OF_RANGE'],
    ['bytes for a key', { idempotencyKey: wrong(new Uint8Array(3)) }, 'INVALID_ARGUMENT'],
    ['null for a key', { idempotencyKey: wrong(null) }, 'INVALID_ARGUMENT'],
    ['no window', { idempotencyKey: 'k', windowMs: 0 }, 'OUT_OF_RANGE'],
    ['a window of 30 days and more', { idempotencyKey: 'k', windowMs: 30 * DAY_MS + 1 }, 'OUT_OF_RANGE'],
    ['a fraction for a window', { idempotencyKey: 'k', windowMs: 1.5 }, 'OUT_OF_RANGE'],
    ['NaN for a window', { idempotencyKey: 'k', windowMs: NaN }, 'OUT_OF_RANGE'],
    ['a window and no key', { windowMs: 1000 }, 'INVALID_ARGUMENT'],
    ['a string for a window', { idempotencyKey: 'k', windowMs: wrong('1 h') }, 'INVALID_ARGUMENT'],
  ])('is refused at the call with %s', async (_what, options, code) => {
    const store = await openStore();
    expect(() => store.set('a', '', options)).toThrow(expect.objectContaining({ code }));
    expect(() => store.write([], options)).toThrow(expect.objectContaining({ code }));
    await store.set('a', '', { idempotencyKey: 'ü'.repeat(256), windowMs: 30 * DAY_MS }); // just so
  });
});

describe('in one group', () => {
  it('the first is written, and those after it get its answer', async () => {
    const store = await openStore({ durability: 'buffered' });
    const answers = await Promise.all([
      write(store, 'k', [set('a', '1')]),
      write(store, 'k', [set('a', '1')]),
      store.set('b', '').then(),
      write(store, 'k', [set('a', '1')]),
    ]);
    expect(answers.map(({ sequence }) => sequence)).toEqual([1, 1, 4, 1]);
    expect(store.stats()).toMatchObject({ groups: 1, sequence: 4, writes: 2 });
  });

  it('those after one that fails fail like it, and a batch of other content is free to use the key', async () => {
    const store = await openStore();
    await store.set('a', '1');
    const missed: WriteOperation[] = [{ type: 'check', key: 'a', sequence: 7 }, set('a', '2')];
    const outcomes = await Promise.allSettled([
      write(store, 'k', missed),
      write(store, 'k', missed),
      write(store, 'k', [set('a', '3')]),
      write(store, 'k', [set('a', '4')]),
      write(store, 'k', [set('a', '3')]),
    ]);
    const seen = outcomes.map((outcome) =>
      outcome.status === 'fulfilled' ? outcome.value.sequence : (outcome.reason as { code: string }).code,
    );
    expect(seen).toEqual(['CONFLICT', 'CONFLICT', 2, 'INVALID_ARGUMENT', 2]);
    expect(store.stats().groups).toBe(2);
  });

  it('all fail when the log does, but for one that repeats what is durable; then the key is free', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await openStore({ fileSystem });
    const before = await write(store, 'before', [set('b')]);
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ path, name }) => path.endsWith('.log') && name === 'append',
    };
    const outcomes = await Promise.allSettled([
      write(store, 'k', [set('a', '1')]),
      write(store, 'k', [set('a', '1')]),
      write(store, 'before', [set('b')]),
    ]);
    fileSystem.plan = undefined;
    expect(outcomes).toMatchObject([
      { reason: { code: 'IO' } },
      { reason: { code: 'IO' } },
      { status: 'fulfilled', value: before },
    ]);
    let again: Commit | undefined;
    while (again === undefined) {
      again = await write(store, 'k', [set('a', '1')]).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await write(store, 'k', [set('a', '1')])).toEqual(again);
    expect(await store.has('a')).toBe(true);
  });
});

describe('with checks', () => {
  const sale: readonly WriteOperation[] = [{ type: 'check', key: 'stock', sequence: 1 }, set('stock', '0')];

  it('the answer comes before the checks: a repetition does not conflict with its own first', async () => {
    const store = await openStore();
    await store.set('stock', '1');
    const first = await write(store, 'buy', sale);
    expect(await write(store, 'buy', sale)).toEqual(first);
    await expect(write(store, 'other', sale)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('a conflict leaves nothing behind, and a repetition is judged anew', async () => {
    const store = await openStore();
    const early = write(store, 'buy', sale);
    await expect(early).rejects.toMatchObject({ code: 'CONFLICT', actual: 'absent' });
    expect(store.stats().sequence).toBe(0);
    await store.set('stock', '1');
    expect(await write(store, 'buy', sale)).toMatchObject({ sequence: 2 });
  });
});

describe('the durability of an answer', () => {
  it('is at least what the repetition asks for', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await openStore({ fileSystem, syncIntervalMs: MINUTE_MS / 10 });
    const buffered = { durability: 'buffered' } as const;
    const first = await write(store, 'k', [set('a', '1')], buffered);
    expect(first.durability).toBe('buffered');
    expect(await write(store, 'k', [set('a', '1')], buffered)).toEqual(first);
    expect(store.stats().durableSequence).toBe(0); // else the next lines show nothing
    expect(await write(store, 'k', [set('a', '1')])).toEqual({ ...first, durability: 'synced' });
    const cut = await openStore({ fileSystem: fileSystem.crashImage('synced', never) });
    expect(await cut.has('a')).toBe(true);
    const { syncs } = store.stats();
    expect(await write(store, 'k', [set('a', '1')])).toEqual({ ...first, durability: 'synced' });
    expect(await write(store, 'k', [set('a', '1')], buffered)).toEqual({ ...first, durability: 'synced' });
    expect(store.stats().syncs).toBe(syncs);
  });

  it('of one in the same group is that of the group', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await openStore({ fileSystem });
    const first = write(store, 'k', [set('a', '1')], { durability: 'buffered' });
    const second = write(store, 'k', [set('a', '1')], { durability: 'synced' });
    expect([await first, await second]).toEqual([
      { sequence: 1, durability: 'synced' },
      { sequence: 1, durability: 'synced' },
    ]);
    const cut = await openStore({ fileSystem: fileSystem.crashImage('synced', never) });
    expect(await cut.has('a')).toBe(true);
  });
});

describe('a crash', () => {
  it('keeps both, the batch and its answer, or neither', { timeout: 60_000 }, async () => {
    const images: { readonly fileSystem: MemoryFileSystem; readonly answered: ReadonlyMap<string, Commit> }[] = [];
    const answers = new Map<string, Commit>();
    let calls = 0;
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({
      onOperation: ({ name }) => {
        if (!['append', 'sync', 'create', 'rename', 'remove'].includes(name)) return undefined;
        calls += 1;
        for (const mode of ['all', 'synced', 'prefix', 'sectors'] as const) {
          images.push({ fileSystem: fileSystem.crashImage(mode, randomOf(calls)), answered: new Map(answers) });
        }
        return undefined;
      },
    });
    const operationsOf = (id: string): WriteOperation[] => [set(`state ${id}`, 'x'.repeat(60)), set(`event ${id}`)];
    const ids = Array.from({ length: 24 }, (_, index) => `id ${index}`);
    const options = { memtableBytesMax: 1024, level0CompactionTrigger: 2 };
    const store = await openStore({ fileSystem, ...options });
    for (const [index, id] of ids.entries()) {
      const commit = write(store, id, operationsOf(id), { durability: index % 3 === 0 ? 'buffered' : 'synced' });
      if (index % 2 === 0) answers.set(id, await commit);
      else void commit.then((value) => answers.set(id, value));
    }
    await store.close();
    expect(images.length).toBeGreaterThan(100);
    let kept = 0;
    for (const image of images) {
      const after = await open('/db', { fileSystem: image.fileSystem, ...options });
      for (const id of ids) {
        const isThere = await after.has(`state ${id}`);
        expect(await after.has(`event ${id}`)).toBe(isThere);
        expect(await after.has(IDEMPOTENCY_PREFIX + id)).toBe(isThere);
        const answer = image.answered.get(id);
        if (answer?.durability === 'synced') expect(isThere).toBe(true);
        if (!isThere) continue;
        kept += 1;
        const { sequence } = after.stats();
        const again = await write(after, id, operationsOf(id));
        if (answer !== undefined) expect(again.sequence).toBe(answer.sequence);
        expect(after.stats().sequence).toBe(sequence);
      }
      await after.close();
    }
    expect(kept).toBeGreaterThan(100);
  });
});

describe('an answer that is none', () => {
  const record = (bytes: readonly number[]) => ({
    key: bytesOf(`${IDEMPOTENCY_PREFIX}k`),
    sequence: 1,
    kind: KIND_SET,
    value: Uint8Array.from(bytes),
  });
  const line = (key: string, sequence: number) => ({
    key: bytesOf(expiryKey(0, key)),
    sequence,
    kind: KIND_SET,
    value: new Uint8Array(0),
  });

  it('is told with its reason, whatever its bytes are', () => {
    const whole = [1, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    expect(decodeRecord(Uint8Array.from(whole))).toEqual(E.right({ sequence: 7, expiresAtMs: 8, digest: 9 }));
    const none = 'are no record of an idempotent write';
    expect(decodeRecord(new Uint8Array(0))).toEqual(E.left(`0 bytes of version none ${none}`));
    expect(decodeRecord(Uint8Array.from(whole.slice(1)))).toEqual(E.left(`24 bytes of version 7 ${none}`));
    expect(decodeRecord(Uint8Array.from(whole.with(0, 2)))).toEqual(E.left(`25 bytes of version 2 ${none}`));
    for (const last of [8, 16, 24]) {
      expect(E.isLeft(decodeRecord(Uint8Array.from(whole.with(last, 0xff))))).toBe(true); // above 2^53 - 1
    }
    expect(() => decodeRecord(brokenFrom(Uint8Array.from(whole), 5))).toThrow('a bug');
  });

  it('refuses writes with its key, and is left as it is by the sweep', async () => {
    const fileSystem = await databaseOf((files) => [
      [1, writeTable(files, 5, [record([9]), line('k', 2), line('gone', 3)])],
    ]);
    const clock = new SetClock();
    const store = await openStore({ fileSystem, clock });
    await expect(write(store, 'k', [set('a')])).rejects.toMatchObject({ code: 'SCHEMA' });
    expect(await store.has('a')).toBe(false);
    clock.fire(MINUTE_MS);
    await until('the sweep', () => store.stats().sequence === 101);
    expect(await store.has(expiryKey(0, 'gone'))).toBe(false);
    expect(await store.has(expiryKey(0, 'k'))).toBe(true);
    expect(await store.get(`${IDEMPOTENCY_PREFIX}k`)).toEqual(Uint8Array.of(9));
    await write(store, 'other', [set('a')]);
  });
});

describe('when the window is over', () => {
  it('the key is free, also for other content', async () => {
    const clock = new SetClock();
    const store = await openStore({ clock });
    const first = await write(store, 'k', [set('a', '1')], { windowMs: 1000 });
    clock.dateMs += 999;
    expect(await write(store, 'k', [set('a', '1')], { windowMs: 1000 })).toEqual(first); // and does not begin it anew
    clock.dateMs += 1;
    const second = await write(store, 'k', [set('a', '2')], { windowMs: 1000 });
    expect(second.sequence).toBeGreaterThan(first.sequence);
    expect(await write(store, 'k', [set('a', '2')])).toEqual(second);
  });

  it('lasts 24 hours if nothing else is said', async () => {
    const clock = new SetClock();
    const store = await openStore({ clock });
    const first = await write(store, 'k', [set('a', '1')]);
    clock.dateMs += DAY_MS - 1;
    expect(await write(store, 'k', [set('a', '1')])).toEqual(first);
    clock.dateMs += 1;
    expect(await write(store, 'k', [set('a', '1')])).not.toEqual(first);
  });

  it('what was kept is removed, in pieces, and only that', async () => {
    const clock = new SetClock();
    const store = await openStore({ clock, durability: 'buffered' });
    const start = clock.dateMs;
    const ids = Array.from({ length: 2500 }, (_, index) => `id ${index}`);
    await Promise.all(ids.map((id) => write(store, id, [set('a')], { windowMs: 1000 })));
    await write(store, 'longer', [set('a')], { windowMs: DAY_MS });
    clock.dateMs += 2000;
    const { sequence, groups } = store.stats();
    expect(clock.fire(MINUTE_MS)).toBe(1);
    await until('the sweep', () => store.stats().sequence === sequence + 2 * ids.length);
    expect(store.stats().groups).toBe(groups + 3);
    for (const id of ids) {
      expect(await store.has(IDEMPOTENCY_PREFIX + id)).toBe(false);
      expect(await store.has(expiryKey(start + 1000, id))).toBe(false);
    }
    expect(await store.has(IDEMPOTENCY_PREFIX + 'longer')).toBe(true);
    expect(await store.has(expiryKey(start + DAY_MS, 'longer'))).toBe(true);
  });

  it('nothing is looked for in a store that holds none, until there is one', async () => {
    const clock = new SetClock();
    const fileSystem = new MemoryFileSystem();
    const store = await openStore({ clock, fileSystem });
    expect(clock.held).toEqual([MINUTE_MS]); // an open store does not know before it has looked
    clock.fire(MINUTE_MS);
    await new Promise((resolve) => setTimeout(resolve, 10));
    await store.set('a', '1');
    expect(clock.held).toEqual([]);
    await write(store, 'k', [set('a')]);
    expect(clock.held).toEqual([MINUTE_MS]);
    clock.fire(MINUTE_MS);
    await until('the next look', () => clock.held.length === 1);
    clock.dateMs += DAY_MS;
    clock.fire(MINUTE_MS);
    await until('the end of the last one', () => store.stats().sequence === 6);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(clock.held).toEqual([]);
    await store.close();
    expect(clock.held).toEqual([]);

    const again = await openStore({ clock, fileSystem });
    expect(clock.held).toEqual([MINUTE_MS]);
    await again.close();
    expect(clock.held).toEqual([]);
  });

  it('what another open left is removed, also from tables', async () => {
    const clock = new SetClock();
    const fileSystem = new MemoryFileSystem();
    let store = await openStore({ clock, fileSystem });
    await write(store, 'k', [set('a')]);
    await store.close();
    clock.dateMs += DAY_MS;
    store = await openStore({ clock, fileSystem });
    expect(await store.has(IDEMPOTENCY_PREFIX + 'k')).toBe(true);
    const { sequence } = store.stats();
    clock.fire(MINUTE_MS);
    await until('the sweep', () => store.stats().sequence === sequence + 2);
    expect(await store.has(IDEMPOTENCY_PREFIX + 'k')).toBe(false);
    expect(await store.has('a')).toBe(true);
  });

  it('a key that is used again while it is swept keeps its new answer, and loses its old line', async () => {
    const clock = new SetClock();
    const store = await openStore({ clock });
    const start = clock.dateMs;
    await write(store, 'other', [set('a')], { windowMs: 1000 });
    await write(store, 'k', [set('a', '1')], { windowMs: 1000 });
    clock.dateMs += 1000;
    clock.fire(MINUTE_MS); // looks at the old record, while the next write waits for its group
    const second = await write(store, 'k', [set('a', '2')], { windowMs: DAY_MS });
    await until('the next plan', () => clock.held.length === 1);
    expect(await store.has(IDEMPOTENCY_PREFIX + 'other')).toBe(false);
    expect(await store.has(expiryKey(start + 1000, 'k'))).toBe(false);
    expect(await store.has(expiryKey(start + 1000 + DAY_MS, 'k'))).toBe(true);
    expect(await write(store, 'k', [set('a', '2')])).toEqual(second);
  });

  it('a repetition beside the sweep of an old line of its key is still one', async () => {
    const clock = new SetClock();
    const store = await openStore({ clock });
    const start = clock.dateMs;
    await write(store, 'k', [set('a', '1')], { windowMs: 1000 });
    clock.dateMs += 1000;
    const second = await write(store, 'k', [set('a', '2')]); // the line of the first one is left
    await new Promise((resolve) => setTimeout(resolve, 10)); // so that the next group waits for a turn
    const { groups } = store.stats();
    clock.fire(MINUTE_MS);
    for (let count = 0; count < 50; count += 1) await Promise.resolve(); // the sweep looks at what is in memory, and writes
    expect(await write(store, 'k', [set('a', '2')])).toMatchObject({ sequence: second.sequence });
    expect(await store.has(expiryKey(start + 1000, 'k'))).toBe(false);
    expect(store.stats().groups).toBe(groups + 1); // else the two were not side by side
  });

  it('a close in the midst of the sweep comes to its end, at any moment', { timeout: 60_000 }, async () => {
    // Reading tables is the slow part: else the sweep has ended before the close needs it to.
    const slowly = async (call: string): Promise<void> => {
      for (let turns = /^(open|size|read) .*ldb$/.test(call) ? 40 : 0; turns > 0; turns -= 1)
        await new Promise(setImmediate);
    };
    for (let turns = 0; turns < 200; turns += 17) {
      const clock = new SetClock();
      const fileSystem = new FaultFileSystem();
      const store = await openStore({
        clock,
        fileSystem: new DelayedFileSystem(fileSystem, slowly),
        durability: 'buffered',
        blockCacheBytesMax: 0,
      });
      const ids = Array.from({ length: 1500 }, (_, index) => `${index}`);
      await Promise.all(ids.map((id) => write(store, id, [set('a')], { windowMs: 1 })));
      await store.flush();
      clock.dateMs += 1;
      clock.fire(MINUTE_MS);
      for (let count = 0; count < turns; count += 1) await new Promise(setImmediate);
      await inTime('the close', store.close());
      fileSystem.isFinished = true;
      expect(fileSystem.openPaths).toEqual([]);
      expect(clock.held).toEqual([]);
      for (let count = 0; count < 50; count += 1) await new Promise(setImmediate);
      expect(fileSystem.lateCalls).toEqual([]);
    }
  });

  it('a sweep that fails is tried again a minute later', async () => {
    const clock = new SetClock();
    const fileSystem = new FaultFileSystem();
    const store = await openStore({ clock, fileSystem, blockCacheBytesMax: 0 });
    await write(store, 'k', [set('a')], { windowMs: 1 });
    await store.flush();
    clock.dateMs += 1;
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name, path }) => name === 'read' && path.endsWith('.ldb') };
    clock.fire(MINUTE_MS);
    await until('the next plan', () => clock.held.length === 1);
    fileSystem.plan = undefined;
    const { sequence } = store.stats();
    clock.fire(MINUTE_MS);
    await until('the sweep', () => store.stats().sequence === sequence + 2);
  });

  it('a clock that shows nonsense does no harm', async () => {
    for (const dateMs of [NaN, -1e15, 8.64e15]) {
      const clock = new SetClock(dateMs);
      const store = await openStore({ clock });
      const first = await write(store, 'k', [set('a')]);
      expect(await write(store, 'k', [set('a')])).toMatchObject({ sequence: first.sequence });
      clock.fire(MINUTE_MS);
      await store.close();
    }
  });
});
