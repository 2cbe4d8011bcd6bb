import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClosedError, CorruptionError, IoError } from '../../../src/errors.ts';
import { KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { BlockCache } from '../../../src/storage/table/block-cache.ts';
import { Table } from '../../../src/storage/table/table.ts';
import { TableCache } from '../../../src/storage/table/table-cache.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { MemoryReadOnlyFileSystem } from '../../support/memory-files.ts';
import { buildTable } from '../../support/table-entries.ts';

const bytes = buildTable([{ key: Uint8Array.of(1), sequence: 1, kind: KIND_SET, value: Uint8Array.of(2) }], {
  blockBytesMax: 100,
  restartInterval: 1,
  compression: 'none',
  filterBitsPerKey: 10,
});

function makeCache(openTablesMax: number, fileCount = 30): [TableCache, MemoryReadOnlyFileSystem] {
  const fileSystem = new MemoryReadOnlyFileSystem([]);
  // Odd ones have the old ending.
  for (let number = 0; number < fileCount; number += 1) {
    fileSystem.files.set(`dir/${number}.${number % 2 === 0 ? 'ldb' : 'sst'}`, bytes);
  }
  const namesOf = (number: number) => [`${number}.ldb`, `${number}.sst`];
  return [new TableCache(fileSystem, 'dir', openTablesMax, new BlockCache(1000), namesOf), fileSystem];
}

const file = (fileNumber: number) => ({ fileNumber, fileBytes: bytes.length });

it('keeps as many open as it may, and never closes one in use', async () => {
  const step = fc.tuple(fc.constantFrom('acquire', 'acquire', 'release', 'evict'), fc.nat(9));
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, openTablesMax) => {
        const [cache, fileSystem] = makeCache(openTablesMax, 10);
        const held: Table[] = [];
        for (const [action, number] of steps) {
          if (action === 'acquire') {
            const table = await cache.acquire(file(number));
            expect(table.fileNumber).toBe(number);
            held.push(table);
          } else if (action === 'release') {
            const [table] = held.splice(number % (held.length || 1), 1);
            if (table !== undefined) cache.release(table);
          } else {
            await cache.evict(number);
          }
          await new Promise(setImmediate);
          const inUse = new Set(held);
          expect(fileSystem.open.size).toBe(cache.openCount);
          expect(cache.openCount).toBeLessThanOrEqual(Math.max(openTablesMax, inUse.size));
          expect([...inUse].every((table) => [...fileSystem.open].some((open) => open === table.source.file))).toBe(
            true,
          );
        }
        await cache.closeAll();
        expect(fileSystem.open.size).toBe(0);
      },
    ),
  );
});

it('gives an open table at once, and opens one once for all who wait', async () => {
  const [cache, fileSystem] = makeCache(5);
  const waiting = [1, 2, 3].map(() => Promise.resolve(cache.acquire(file(3))));
  const tables = await Promise.all(waiting);
  expect(new Set(tables).size).toBe(1);
  expect(fileSystem.opened).toBe(1);
  expect(cache.acquire(file(3))).toBeInstanceOf(Table);
  expect(cache.memoryBytes).toBeGreaterThan(0);
});

it('closes those that were not used lately first', async () => {
  const [cache, fileSystem] = makeCache(3);
  for (const number of [0, 2, 4]) cache.release(await cache.acquire(file(number)));
  cache.release(await cache.acquire(file(6))); // clears the marks
  cache.release(await cache.acquire(file(4)));
  cache.release(await cache.acquire(file(8)));
  expect([...fileSystem.open].map(({ path }) => path)).toContain('dir/4.ldb');
  expect(cache.openCount).toBe(3);
});

it('closes a deleted table when the last of its readers lets it go', async () => {
  const [cache, fileSystem] = makeCache(3);
  const table = await cache.acquire(file(2));
  await cache.evict(2);
  expect(fileSystem.open.size).toBe(1);
  expect(cache.openCount).toBe(1);
  cache.release(table);
  await new Promise(setImmediate);
  expect(fileSystem.open.size).toBe(0);
  expect(() => cache.release(table)).toThrow('more often');
  await cache.evict(2);
});

it('evicts a table that is being opened', async () => {
  const [cache, fileSystem] = makeCache(3);
  const opening = Promise.resolve(cache.acquire(file(2)));
  await cache.evict(2);
  const table = await opening;
  expect(fileSystem.open.size).toBe(1);
  cache.release(table);
  await new Promise(setImmediate);
  expect(fileSystem.open.size).toBe(0);
});

it('closes idle tables and tries again when there are no descriptors left', async () => {
  const [cache, fileSystem] = makeCache(30);
  fileSystem.descriptorsMax = 4;
  const held = await cache.acquire(file(0));
  for (let number = 1; number < 30; number += 1) cache.release(await cache.acquire(file(number)));
  expect(fileSystem.openMax).toBeLessThanOrEqual(4);
  expect([...fileSystem.open]).toContain(held.source.file);
  const all = [held];
  for (const number of [1, 2, 3]) all.push(await cache.acquire(file(number)));
  await expect(cache.acquire(file(4))).rejects.toMatchObject({ code: 'IO', systemCode: 'EMFILE' });
  cache.release(held);
  expect((await cache.acquire(file(4))).fileNumber).toBe(4);
});

it('tells missing files from damaged ones, and forgets neither failure nor recovery', async () => {
  const [cache, fileSystem] = makeCache(3);
  const missing = cache.acquire(file(99));
  await expect(missing).rejects.toBeInstanceOf(IoError);
  await expect(missing).rejects.toMatchObject({ systemCode: 'ENOENT', file: 'dir/99.ldb' });
  fileSystem.files.set('dir/98.ldb', bytes.slice(1));
  await expect(cache.acquire(file(98))).rejects.toBeInstanceOf(CorruptionError);
  expect(fileSystem.open.size).toBe(0);
  expect(cache.openCount).toBe(0);
  fileSystem.files.set('dir/98.ldb', bytes);
  expect(await cache.acquire(file(98))).toBeInstanceOf(Table);
});

it('keeps no more indexes and filters than their bytes may be, but for those in use', async () => {
  const [probe] = makeCache(1);
  const { memoryBytes } = await probe.acquire(file(0));
  const [, fileSystem] = makeCache(1);
  const namesOf = (number: number) => [`${number}.ldb`, `${number}.sst`];
  const cache = new TableCache(fileSystem, 'dir', 100, new BlockCache(0), namesOf, 3 * memoryBytes);

  const held = [await cache.acquire(file(0)), await cache.acquire(file(1))];
  for (let number = 2; number < 20; number += 1) {
    cache.release(await cache.acquire(file(number)));
    expect(cache.memoryBytes).toBeLessThanOrEqual(3 * memoryBytes);
  }
  for (let number = 2; number < 6; number += 1) held.push(await cache.acquire(file(number)));
  expect(cache.memoryBytes).toBe(6 * memoryBytes); // all six are in use
  for (const table of held) cache.release(table);
  expect(cache.memoryBytes).toBe(3 * memoryBytes);

  await cache.closeAll();
  expect(cache.memoryBytes).toBe(0);
  await probe.closeAll();
});

describe('beside somebody who opens the same table in the background', () => {
  async function makeCacheOnFiles(): Promise<readonly [TableCache, FaultFileSystem]> {
    const fileSystem = new FaultFileSystem();
    await fileSystem.makeDirectory('/dir');
    fileSystem.memory.writeFileNow('/dir/2.ldb', bytes);
    const cache = new TableCache(fileSystem, '/dir', 5, new BlockCache(1000), (number) => [`${number}.ldb`]);
    return [cache, fileSystem];
  }

  it('whoever cannot wait opens it once, and both get that one', async () => {
    const [cache, fileSystem] = await makeCacheOnFiles();
    const opening = Promise.resolve(cache.acquire(file(2)));
    const now = Array.from({ length: 20 }, () => cache.acquireNow(file(2)));
    expect(fileSystem.openPaths).toHaveLength(1);
    const tables = [await opening, ...now];
    expect(new Set(tables).size).toBe(1);
    await new Promise(setImmediate);
    expect(fileSystem.openPaths).toEqual(['/dir/2.ldb']); // the other one is closed again
    expect(cache.openCount).toBe(1);
    expect(cache.memoryBytes).toBe(tables[0]?.memoryBytes);
    for (const table of tables) cache.release(table);
    expect(() => cache.release(tables[0] as Table)).toThrow('more often');
    await cache.closeAll();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('whoever could wait gets it also where its own opening fails', async () => {
    for (const name of ['open', 'read'] as const) {
      const [cache, fileSystem] = await makeCacheOnFiles();
      let calls = 0;
      // The first to open is the one in the background, and so is the last to read.
      fileSystem.plan = {
        code: 'EIO',
        arrives: 0,
        isHit: (one) => one.name === name && (name === 'open' ? calls++ === 0 : !isNow),
      };
      let isNow = false;
      const opening = Promise.resolve(cache.acquire(file(2)));
      isNow = true;
      const now = cache.acquireNow(file(2));
      isNow = false;
      expect(await opening, name).toBe(now);
      expect(fileSystem.faults, name).toBeGreaterThan(0);
      await new Promise(setImmediate);
      expect(fileSystem.openPaths, name).toEqual(['/dir/2.ldb']);
      cache.release(now);
      cache.release(now);
      await cache.closeAll();
      expect(fileSystem.openPaths, name).toEqual([]);
    }
  });

  it('a failure of who cannot wait is its own', async () => {
    const [cache, fileSystem] = await makeCacheOnFiles();
    const opening = Promise.resolve(cache.acquire(file(2)));
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => name === 'read' };
    expect(() => cache.acquireNow(file(2))).toThrow(IoError);
    fileSystem.plan = undefined;
    expect((await opening).fileNumber).toBe(2);
    await new Promise(setImmediate);
    expect(fileSystem.openPaths).toEqual(['/dir/2.ldb']);
    await cache.closeAll();
    expect(() => cache.acquireNow(file(2))).toThrow(ClosedError);
  });
});
