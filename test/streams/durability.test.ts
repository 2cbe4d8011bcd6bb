import { describe, expect, it } from 'vitest';
import { MemoryFileSystem, open, openInMemory } from '../../src/index.ts';

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const never = (): number => 0;

describe('a buffered write', () => {
  it('is durable after the sync interval, without another call', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { fileSystem, syncIntervalMs: 20 });
    const { durability } = await store.set('key', 'value', { durability: 'buffered' });
    expect(durability).toBe('buffered');
    const early = await open('/db', { fileSystem: fileSystem.crashImage('synced', never) });
    expect(await early.has('key')).toBe(false); // else this test shows nothing
    await early.close();

    while (store.stats().durableSequence < 1) await wait(5);

    const late = await open('/db', { fileSystem: fileSystem.crashImage('synced', never) });
    expect(await late.has('key')).toBe(true);
    await late.close();
    await store.close();
  });

  it('survives the process being killed, when it is acknowledged', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { fileSystem, durability: 'buffered', syncIntervalMs: 60_000 });
    await store.set('key', 'value');
    const killed = await open('/db', { fileSystem: fileSystem.crashImage('all', never) });
    expect(await killed.has('key')).toBe(true);
    await killed.close();
    await store.close();
  });
});

it('keeps writing from memory to memory, and lets timers fire all the while', async () => {
  const store = await openInMemory({ durability: 'buffered', memtableBytesMax: 256 * 1024 * 1024 }); // no flush: its slices have turns of their own
  const value = new Uint8Array(100);
  let isOver = false;
  let writes = 0;
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    while (!isOver) {
      await store.set(`${writer}:${writes % 5000}`, value);
      writes += 1;
    }
  });
  let fired = 0;
  const started = performance.now();
  while (performance.now() - started < 400) {
    await wait(1);
    fired += 1;
  }
  isOver = true;
  await Promise.all(writers);
  await store.close();
  expect(writes).toBeGreaterThan(1000);
  // Each may be late by a slice of 4 ms and some work; starved, it would be one.
  expect(fired).toBeGreaterThan(10);
});

describe('a store opened with readOnly', () => {
  it('reads what was logged, refuses writes, takes no lock and changes no file', async () => {
    const fileSystem = new MemoryFileSystem();
    const owner = await open('/db', { fileSystem });
    await owner.set('in a table', '1');
    await owner.flush();
    await owner.set('in the log', '2');
    const operations: string[] = [];
    const image = fileSystem.crashImage('all', never, {
      onOperation: ({ name }) => {
        operations.push(name);
        return undefined;
      },
    });

    const first = await open('/db', { fileSystem: image, readOnly: true });
    const second = await open('/db', { fileSystem: image, readOnly: true });
    for (const store of [first, second]) {
      expect(await store.has('in a table')).toBe(true);
      expect(await store.has('in the log')).toBe(true);
      await expect(store.set('key', 'value')).rejects.toMatchObject({ code: 'READ_ONLY' });
      await expect(store.flush()).rejects.toMatchObject({ code: 'READ_ONLY' });
      await store.close();
    }

    const changing = ['create', 'append', 'sync', 'rename', 'link', 'remove', 'makeDirectory', 'syncDirectory', 'lock'];
    expect(operations.length).toBeGreaterThan(5);
    expect(operations.filter((name) => changing.includes(name))).toEqual([]);
    await owner.close();
  });
});
