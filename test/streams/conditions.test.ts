// Goal: a batch with checks is written when all of them hold at its turn in the one order of all writes, and else not at
// all; and whoever loses is told what the key is at now.
import { firstValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import {
  type CheckOperation,
  type Commit,
  ConflictError,
  MemoryFileSystem,
  open,
  openInMemory,
  type OpenOptions,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { inTime, until } from '../support/waiting.ts';

const never = (): number => 0;
const set = (key: string, value = ''): WriteOperation => ({ type: 'set', key, value });
const check = (key: string, sequence: CheckOperation['sequence']): WriteOperation => ({ type: 'check', key, sequence });
/** What a plain-JavaScript caller may pass, as nothing the compiler would take. */
const wrong = (value: unknown): never => value as never;
const textOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);

/** Writes at once, so that all of one turn are in one group. */
const write = (store: Store, operations: readonly WriteOperation[]): Promise<Commit> => store.write(operations).then();

const conflict = (key: string, expected: number | 'absent', actual: number | 'absent'): object => ({
  code: 'CONFLICT',
  key: new TextEncoder().encode(key),
  expected,
  actual,
});

describe('store.entry', () => {
  it('gives the value and the sequence number of the set that gave it', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    await store.write([set('b', '2'), set('a', '3'), set('c')]);
    expect(await store.entry('a')).toEqual({ value: new TextEncoder().encode('3'), sequence: 3 });
    await store.set('d', '');
    expect((await store.entry('a'))?.sequence).toBe(3);
    await store.delete('a');
    expect(await store.entry('a')).toBeUndefined();
    expect(await store.entry('never')).toBeUndefined();
    await store.close();
  });

  it('answers synchronously from memory', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    const log: unknown[] = [];
    store.entry('a').subscribe((entry) => log.push(entry?.sequence));
    expect(log).toEqual([1]);
    await store.close();
  });

  it('gives the same sequence number from a table, after a compaction, and after another open', async () => {
    const fileSystem = new MemoryFileSystem();
    let store = await open('/db', { fileSystem });
    await store.set('a', '1');
    await store.set('b', '2');
    const before = await store.entry('b');
    await store.flush();
    expect(await store.entry('b')).toEqual(before);
    await store.set('b2', '');
    await store.compact();
    expect(await store.entry('b')).toEqual(before);
    await store.close();
    store = await open('/db', { fileSystem });
    expect(await store.entry('b')).toEqual(before);
    await store.close();
  });

  it('of a snapshot is as of its moment', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    const snapshot = store.snapshot();
    await store.set('a', '2');
    expect((await snapshot.entry('a'))?.sequence).toBe(1);
    expect((await store.entry('a'))?.sequence).toBe(2);
    snapshot.close();
    await expect(snapshot.entry('a')).rejects.toMatchObject({ code: 'CLOSED' });
    await store.close();
    await expect(store.entry('a')).rejects.toMatchObject({ code: 'CLOSED' });
    expect(() => store.entry(wrong(5))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});

describe('a batch with checks', () => {
  it('is written when all of them hold', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    const commit = await store.write([check('a', 1), check('b', 'absent'), set('a', '2'), set('b', '2')]);
    expect(commit).toEqual({ sequence: 3, durability: 'synced' }); // a check has no sequence number
    expect(textOf(await store.get('a'))).toBe('2');
    await store.close();
  });

  it('fails whole when one does not, and names the key, the expected and the actual sequence number', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    await store.set('a', '2');
    const failing = write(store, [set('x'), check('a', 2), check('a', 1), set('y')]);
    await expect(failing).rejects.toBeInstanceOf(ConflictError);
    await expect(failing).rejects.toMatchObject(conflict('a', 1, 2));
    await expect(store.write([check('a', 'absent'), set('x')])).rejects.toMatchObject(conflict('a', 'absent', 2));
    await expect(store.write([check('x', 3), set('x')])).rejects.toMatchObject(conflict('x', 3, 'absent'));
    expect(await store.has('x')).toBe(false);
    expect(await store.has('y')).toBe(false);
    expect(await store.set('z', '')).toMatchObject({ sequence: 3 }); // what failed took no number
    await store.close();
  });

  it('finds a deleted key absent, also when it has been deleted from a table', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    await store.flush();
    await store.delete('a');
    await store.write([check('a', 'absent'), set('m')]);
    await store.flush();
    await store.write([check('a', 'absent'), set('t')]);
    await store.close();
  });

  it('asks for what was before it: no line of its own counts, wherever the check stands', async () => {
    const store = await openInMemory();
    await store.write([set('a'), check('a', 'absent')]);
    await store.write([check('a', 1), { type: 'delete', key: 'a' }, check('a', 1), set('a'), check('a', 1)]);
    expect((await store.entry('a'))?.sequence).toBe(3);
    await store.close();
  });

  it('takes the same key as a string and as bytes for the same', async () => {
    const store = await openInMemory();
    const key = 'fluß \u{1f30a}';
    const bytes = new TextEncoder().encode(key);
    const together = [
      write(store, [{ type: 'set', key: bytes, value: '1' }]),
      write(store, [check(key, 1), set(key, '2')]),
      write(store, [{ type: 'check', key: Buffer.from(bytes), sequence: 2 }, set(key, '3')]),
    ];
    await Promise.all(together);
    expect(textOf(await store.get(key))).toBe('3');
    await store.close();
  });

  it('asks for the key that it was given at the call, whatever becomes of those bytes', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    const key = new TextEncoder().encode('a');
    const changed = store.write([{ type: 'check', key, sequence: 1 }, set('b')]);
    key[0] = 0x7a;
    await changed;
    structuredClone(key, { transfer: [key.buffer] });
    await changed; // cold: each subscription writes again
    expect((await store.entry('b'))?.sequence).toBe(3);
    await store.close();
  });

  it.each([
    ['nothing', undefined, 'INVALID_ARGUMENT'],
    ['null', null, 'INVALID_ARGUMENT'],
    ['a string', '5', 'INVALID_ARGUMENT'],
    ['a bigint', 5n, 'INVALID_ARGUMENT'],
    ['a fraction', 1.5, 'OUT_OF_RANGE'],
    ['a negative number', -1, 'OUT_OF_RANGE'],
    ['NaN', NaN, 'OUT_OF_RANGE'],
    ['2^53', 2 ** 53, 'OUT_OF_RANGE'],
  ])('is refused at the call when its sequence number is %s', async (_what, sequence, code) => {
    const store = await openInMemory();
    const call = (): unknown => store.write([set('a'), check('a', wrong(sequence))]);
    expect(call).toThrow(expect.objectContaining({ code, argument: 'batch[1].sequence' }));
    await store.close();
  });

  it('is refused at the call when it has a line of another type, or the key is none', async () => {
    const store = await openInMemory();
    const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error;
    expect(() => store.write([wrong({ type: 'chek', key: 'a', sequence: 1 })])).toThrow(invalid);
    expect(() => store.write([{ type: 'check', key: wrong(1), sequence: 1 }])).toThrow(invalid);
    expect(() => store.write(wrong([set('a'), , set('b')]))).toThrow(invalid);
    await store.close();
  });
});

describe('in one group', () => {
  it('each batch sees what those before it have written, and one that fails does not disturb the others', async () => {
    const store = await openInMemory();
    await store.set('a', '0'); // 1
    const outcomes = await Promise.allSettled([
      write(store, [check('a', 1), set('a', '1')]), // 2
      write(store, [check('a', 1), set('a', 'lost')]),
      write(store, [set('free')]), // 3
      write(store, [check('a', 2), { type: 'delete', key: 'a' }]), // 4
      write(store, [check('a', 2), set('a', 'lost')]),
      write(store, [check('a', 'absent'), set('a', '2'), set('a', '3')]), // 5 and 6
      write(store, [check('a', 5), set('a', 'lost')]),
      write(store, [check('a', 6)]),
    ]);
    const seen = outcomes.map((outcome) =>
      outcome.status === 'fulfilled' ? outcome.value.sequence : (outcome.reason as ConflictError).actual,
    );
    expect(seen).toEqual([2, 2, 3, 4, 'absent', 6, 6, 6]);
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([
      ...[true, false, true, true, false, true, false, true],
    ]);
    expect(store.stats().groups).toBe(2); // else this test shows less than it says
    expect(textOf(await store.get('a'))).toBe('3');
    await store.close();
  });

  it('a thousand buyers of one item make one sale', async () => {
    const store = await openInMemory();
    await store.set('stock', '1');
    const buy = async (buyer: number): Promise<boolean> => {
      for (;;) {
        const stock = await store.entry('stock');
        if (stock === undefined || textOf(stock.value) === '0') return false;
        try {
          await store.write([check('stock', stock.sequence), set('stock', '0'), set(`sale:${buyer}`, 'yes')]);
          return true;
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
        }
      }
    };
    const sold = await Promise.all(Array.from({ length: 1000 }, (_, buyer) => buy(buyer)));
    expect(sold.filter((isSold) => isSold)).toHaveLength(1);
    const sales = await firstValueFrom(store.scan('sale:', 'sale;').pipe(toArray()));
    expect(sales).toHaveLength(1);
    await store.close();
  });

  it('a thousand increments of one counter lose none', async () => {
    const store = await openInMemory({ durability: 'buffered', groupBytesMax: 300 });
    const increment = async (): Promise<void> => {
      for (;;) {
        const counter = await store.entry('counter');
        const next = `${Number(textOf(counter?.value) ?? '0') + 1}`;
        try {
          await store.write([check('counter', counter?.sequence ?? 'absent'), set('counter', next)]);
          return;
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
        }
      }
    };
    const worker = async (): Promise<void> => {
      for (let count = 0; count < 100; count += 1) await increment();
    };
    await Promise.all(Array.from({ length: 10 }, worker));
    expect(textOf(await store.get('counter'))).toBe('1000');
    await store.close();
  });
});

describe('a batch of nothing but checks', () => {
  it('commits nothing, and answers with the sequence number that they held at', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    const { groups } = store.stats();
    expect(await store.write([check('a', 1), check('a', 1), check('b', 'absent')])).toMatchObject({ sequence: 1 });
    await expect(store.write([check('a', 'absent')])).rejects.toMatchObject(conflict('a', 'absent', 1));
    expect(store.stats().groups).toBe(groups);
    await store.close();
  });

  it('does not make a flush of it, nor hold one up', async () => {
    const store = await openInMemory();
    await store.set('a', '1');
    const checked = write(store, [check('a', 1)]);
    const flushed = firstValueFrom(store.flush(), { defaultValue: undefined });
    expect(await checked).toMatchObject({ sequence: 1 });
    await inTime('the flush', flushed);
    const { flushes } = store.stats();
    await store.set('b', '1');
    await store.write([check('a', 1)]);
    expect(store.stats()).toMatchObject({ flushes, waitingMemtables: 0 });
    await store.close();
  });

  it('that asks for synced is answered when what it saw is durable', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { fileSystem, syncIntervalMs: 60_000, durability: 'buffered' });
    await store.set('a', '1');
    expect(await store.write([check('a', 1)])).toEqual({ sequence: 1, durability: 'buffered' });
    expect(store.stats().durableSequence).toBe(0); // else the next lines show nothing
    const answer = await store.write([check('a', 1)], { durability: 'synced' });
    expect(answer).toEqual({ sequence: 1, durability: 'synced' });
    const cut = await open('/db', { fileSystem: fileSystem.crashImage('synced', never) });
    expect((await cut.entry('a'))?.sequence).toBe(1);
    await cut.close();
    // And with nothing left to sync.
    const { syncs } = store.stats();
    expect(await store.write([check('a', 1)], { durability: 'synced' })).toEqual({ sequence: 1, durability: 'synced' });
    expect(store.stats().syncs).toBe(syncs);
    await store.close();
  });

  it('that asks for synced has the writes before it in its group synced, too', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { fileSystem, syncIntervalMs: 60_000, durability: 'buffered' });
    const saved = store.set('a', '1').then();
    const checked = store.write([check('a', 1)], { durability: 'synced' }).then();
    expect(await saved).toMatchObject({ sequence: 1 });
    expect(await checked).toEqual({ sequence: 1, durability: 'synced' });
    const cut = await open('/db', { fileSystem: fileSystem.crashImage('synced', never) });
    expect(await cut.has('a')).toBe(true);
    await cut.close();
    await store.close();
  });
});

/** Blocks are read each time anew. */
const FROM_DISK: OpenOptions = { blockCacheBytesMax: 0, blockBytesMax: 100, openTablesMax: 4 };

it('thousands of checks in one group are all looked up, also in memory', async () => {
  const store = await openInMemory();
  const keys = Array.from({ length: 3000 }, (_, index) => `key ${index}`);
  await store.write(keys.map((key) => set(key)));
  const all = keys.map((key, index) => check(key, index + 1));
  expect(await store.write([...all, set('all')])).toMatchObject({ sequence: 3001 });
  await expect(store.write([...all, check('key 2999', 'absent')])).rejects.toMatchObject({ actual: 3000 });
  await store.close();
});

describe('checks that ask the disk', () => {
  it('of thousands of keys in one group are all looked up', { timeout: 30_000 }, async () => {
    const store = await openInMemory(FROM_DISK);
    const keys = Array.from({ length: 3000 }, (_, index) => `key ${String(index).padStart(5, '0')}`);
    await store.write(keys.map((key) => set(key)));
    await store.flush();
    const outcomes = await Promise.allSettled(
      keys.map((key, index) => write(store, [check(key, index % 3 === 0 ? 'absent' : index + 1), set(`${key} sold`)])),
    );
    const held = outcomes.map(({ status }) => status === 'fulfilled');
    expect(held).toEqual(keys.map((_, index) => index % 3 !== 0));
    await store.close();
  });

  it('fail for those who asked when it fails, and for nobody else', async () => {
    const fileSystem = new FaultFileSystem();
    let store = await open('/db', { fileSystem, ...FROM_DISK });
    await store.set('on disk', '1');
    await store.close();
    store = await open('/db', { fileSystem, ...FROM_DISK });
    await store.set('in memory', '2');
    const { sequence } = store.stats();
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ path, name }) => path.endsWith('.ldb') && name === 'read' };
    const outcomes = await Promise.allSettled([
      write(store, [check('in memory', sequence), set('one')]),
      write(store, [check('in memory', sequence), check('on disk', 1), set('two')]),
      write(store, [set('three')]),
      write(store, [check('on disk', 1)]),
      write(store, [set('on disk')]), // from here on it is known all the same
      write(store, [check('on disk', sequence + 3), set('four')]),
    ]);
    fileSystem.plan = undefined;
    expect(
      outcomes.map((outcome) => (outcome.status === 'rejected' ? (outcome.reason as { code: string }).code : 'ok')),
    ).toEqual([...['ok', 'IO', 'ok', 'IO', 'ok', 'ok']]);
    expect(await store.getMany(['one', 'two', 'three', 'four'])).toMatchObject([{}, undefined, {}, {}]);
    await store.close();
  });

  it('are still looked up by a store that closes, for what it has accepted', async () => {
    const fileSystem = new FaultFileSystem();
    let store = await open('/db', { fileSystem, ...FROM_DISK });
    await store.set('a', '1');
    await store.close();
    store = await open('/db', { fileSystem, ...FROM_DISK });
    const written = write(store, [check('a', 1), set('b')]);
    const refused = write(store, [check('a', 2), set('c')]);
    const refusal = expect(refused).rejects.toMatchObject({ code: 'CONFLICT' });
    await store.close();
    await inTime('the write', written);
    await inTime('the conflict', refusal);
    store = await open('/db', { fileSystem });
    expect([await store.has('b'), await store.has('c')]).toEqual([true, false]);
    await store.close();
  });
});

describe('when the log fails', () => {
  it('nobody is told of what a write of the same group would have done; a conflict with what was there stands', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await open('/db', { fileSystem });
    await store.set('a', '1'); // 1
    await store.set('b', '1'); // 2
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ path, name }) => path.endsWith('.log') && name !== 'read' };
    const outcomes = await Promise.allSettled([
      write(store, [check('a', 1), set('a', '2')]),
      write(store, [check('a', 1), set('a', '3')]), // a conflict only if the one before it is there
      write(store, [check('b', 1), set('b', '2')]),
      write(store, [check('b', 2)]),
    ]);
    expect(outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason as unknown)).toMatchObject([
      { code: 'IO' },
      { code: 'IO' },
      conflict('b', 1, 2),
      { code: 'IO' },
    ]);
    fileSystem.plan = undefined;
    const isMended = async (): Promise<boolean> =>
      store.write([check('a', 1), set('a', '4')]).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'READ_ONLY' });
          return false;
        },
      );
    await until('the end of the failure', () => store.stats().levels[0]?.tables !== 0);
    while (!(await isMended())) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(textOf(await store.get('a'))).toBe('4');
    await store.close();
  });
});

describe('the keys of the store itself', () => {
  const key = '!_alluvium!anything';
  const bytes = new TextEncoder().encode(key);

  it('cannot be written by its users', async () => {
    const store = await openInMemory();
    const calls: (() => unknown)[] = [
      () => store.set(key, ''),
      () => store.set(bytes, ''),
      () => store.set('!_alluvium!', ''),
      () => store.delete(key),
      () => store.delete(Buffer.from(bytes)),
      () => store.write([set('a'), set(key)]),
      () => store.write([{ type: 'delete', key: bytes }]),
      () => store.write([check(key, 'absent')]),
    ];
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    await store.close();
  });

  it('are only those with the whole prefix', async () => {
    const store = await openInMemory();
    for (const near of ['!_alluvium', '!_alluvium"', '!', '', '!_alluviun!', ' !_alluvium!']) {
      await store.set(near, 'mine');
      await store.set(new TextEncoder().encode(near), 'mine');
    }
    await store.close();
  });
});
