// Goal: tables that are written hold what the source held, less what the rule drops; they are cut only between user keys,
// are synced, have right bounds and counts, and a job that fails or is called off leaves nothing behind.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DropRule } from '../../../src/storage/compaction/drop-rule.ts';
import { type TableOutput, type TableWork, writeTables } from '../../../src/storage/compaction/merge-tables.ts';
import { compareUserKeysOf } from '../../../src/storage/manifest/table-meta.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { ArrayIterator } from '../../support/array-iterator.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { randomOf, runsOf } from '../../support/runs.ts';
import { bytesOf } from '../../support/sorted-model.ts';
import { readForwards, tableEntries, type TableEntry, tableOptions } from '../../support/table-entries.ts';
import { tableOf } from '../../support/tables.ts';
import { TABLE_OPTIONS, tableCacheOf } from '../../support/tree-on-disk.ts';

async function workOf(change: Partial<TableWork> = {}): Promise<{ fileSystem: FaultFileSystem; work: TableWork }> {
  const fileSystem = new FaultFileSystem();
  await fileSystem.makeDirectory('/db');
  let fileNumber = 10;
  const work: TableWork = {
    fileSystem,
    directory: '/db',
    tableOptions: TABLE_OPTIONS,
    tableBytesMax: Infinity,
    grandparentBytesMax: Infinity,
    grandparents: [],
    allocateFileNumber: () => fileNumber++,
    pause: () => undefined,
    ...change,
  };
  return { fileSystem, work };
}

async function readTables(fileSystem: FaultFileSystem, { tables }: TableOutput): Promise<TableEntry[][]> {
  const cache = tableCacheOf(fileSystem.memory);
  const contents: TableEntry[][] = [];
  for (const meta of tables) {
    const table = await cache.acquire(meta);
    contents.push(await readForwards(table.iterator({ isCacheFilled: false, readAheadBytes: 0 })));
    cache.release(table);
  }
  await cache.closeAll();
  return contents;
}

const entry = (key: string, sequence: number, valueBytes = 10): TableEntry => ({
  key: bytesOf(key),
  sequence,
  kind: KIND_SET,
  value: new Uint8Array(valueBytes).fill(sequence),
});
const numbered = (count: number, valueBytes = 10): TableEntry[] =>
  Array.from({ length: count }, (_, index) => entry(String(index).padStart(6, '0'), index + 1, valueBytes));

const keepAll = (): DropRule =>
  new DropRule(
    Array.from({ length: 99 }, (_, index) => index),
    undefined,
  );

describe('tables written from a source', () => {
  it('hold what the rule keeps, in order, with right bounds, and never share a user key', async () => {
    await fc.assert(
      fc.asyncProperty(
        tableEntries,
        fc.boolean(),
        fc.constantFrom(1, 100, 500, Infinity),
        fc.array(fc.constantFrom('a', 'p', 'pa', '\x01'), { maxLength: 2 }),
        fc.option(tableOptions, { nil: TABLE_OPTIONS }),
        async (entries, isDropping, tableBytesMax, deeperKeys, options) => {
          const deeper = [deeperKeys.sort().map((key, at) => tableOf(at, { first: key, last: key }))];
          const rule = (): DropRule => (isDropping ? new DropRule([], deeper) : keepAll());
          const check = rule();
          const expected = entries.filter(
            ({ key, sequence, kind }) => !check.isDroppable(key, 0, key.length, sequence, kind),
          );
          const random = randomOf(entries.length);
          const { fileSystem, work } = await workOf({ tableBytesMax, tableOptions: options });
          const source = new ArrayIterator(entries, () => random() < 0.2);
          const output = await writeTables(source, rule(), work);
          const contents = await readTables(fileSystem, output);
          expect(contents.flat()).toEqual(expected);
          expect(output).toMatchObject({
            entriesRead: entries.length,
            entriesDropped: entries.length - expected.length,
          });
          for (const [index, table] of output.tables.entries()) {
            const before = output.tables[index - 1];
            if (before !== undefined) expect(compareUserKeysOf(before.largest, table.smallest)).toBeLessThan(0);
            const inside = contents[index] ?? [];
            expect(table).toMatchObject({
              fileBytes: (await fileSystem.stat(`/db/0000${table.fileNumber}.ldb`)).size,
              entryCount: inside.length,
              tombstoneCount: inside.filter(({ kind }) => kind === KIND_DELETE).length,
              largestSequence: Math.max(...inside.map(({ sequence }) => sequence)),
            });
          }
          expect(output.bytesWritten).toBe(output.tables.reduce((sum, { fileBytes }) => sum + fileBytes, 0));
          expect(fileSystem.memory.paths()).toHaveLength(output.tables.length);
          expect(fileSystem.openPaths).toEqual([]);
          expect(source.isClosed).toBe(true);
        },
      ),
      runsOf(120),
    );
  });

  it('are synced: a power cut right after takes nothing but their names', async () => {
    const { fileSystem, work } = await workOf({ tableBytesMax: 5000 });
    const output = await writeTables(new ArrayIterator(numbered(1000)), keepAll(), work);
    expect(output.tables.length).toBeGreaterThan(2);
    await fileSystem.syncDirectory('/db');
    const image = fileSystem.memory.crashImage('synced', randomOf(1));
    for (const path of fileSystem.memory.paths())
      expect(image.readFileNow(path)).toEqual(fileSystem.memory.readFileNow(path));
  });

  it('are cut at their size, not before and not long after', async () => {
    const { work } = await workOf({ tableBytesMax: 10_000 });
    const { tables } = await writeTables(new ArrayIterator(numbered(3000, 50)), keepAll(), work);
    expect(tables.length).toBeGreaterThan(15);
    for (const { fileBytes } of tables.slice(0, -1)) {
      expect(fileBytes).toBeGreaterThanOrEqual(10_000);
      expect(fileBytes).toBeLessThan(15_000); // its index comes on top
    }
  });

  it('are not cut within the versions of one key, however many', async () => {
    const versions = Array.from({ length: 90 }, (_, index) => entry('k', 90 - index, 100));
    const { work } = await workOf({ tableBytesMax: 100 });
    const { tables } = await writeTables(
      new ArrayIterator([entry('a', 1), ...versions, entry('z', 1)]),
      keepAll(),
      work,
    );
    expect(tables.map(({ entryCount }) => entryCount)).toEqual([91, 1]); // `a` alone does not fill one
  });

  it('are cut where they would overlap too much two levels down', async () => {
    const grandparents = Array.from({ length: 10 }, (_, index) => {
      const key = (at: number): string => String(at).padStart(6, '0');
      return tableOf(index, { first: key(index * 100), last: key(index * 100 + 99), fileBytes: 1000 });
    });
    const { work } = await workOf({ grandparents, grandparentBytesMax: 2500 });
    const { tables } = await writeTables(new ArrayIterator(numbered(1000)), keepAll(), work);
    // Cut when three of them have been passed: before the first key of the fourth.
    expect(tables.map(({ entryCount }) => entryCount)).toEqual([300, 300, 300, 100]);
  });

  it('are none when nothing is left', async () => {
    const gone = { ...entry('k', 1), kind: KIND_DELETE, value: bytesOf('') };
    for (const entries of [[], [gone]]) {
      const { fileSystem, work } = await workOf();
      const output = await writeTables(new ArrayIterator(entries), new DropRule([], []), work);
      expect(output).toMatchObject({ tables: [], bytesWritten: 0, entriesDropped: entries.length });
      expect(fileSystem.memory.paths()).toEqual([]);
    }
  });
});

describe('a job', () => {
  it('asks again and again whether something else goes first: by entries, and by bytes', async () => {
    const pausesOf = async (entries: readonly TableEntry[]): Promise<number> => {
      let pauses = 0;
      const { work } = await workOf({
        pause: () => {
          pauses += 1;
          return pauses % 2 === 0 ? Promise.resolve() : undefined;
        },
      });
      await writeTables(new ArrayIterator(entries), keepAll(), work);
      return pauses;
    };
    expect(await pausesOf(numbered(5000))).toBeGreaterThanOrEqual(19);
    // Few entries, many bytes: 200 of 100 KB take as long as a hundred thousand small ones.
    expect(await pausesOf(numbered(200, 100_000))).toBeGreaterThanOrEqual(19);
  });

  it('that is called off leaves no file, open or not', async () => {
    let pauses = 0;
    const { fileSystem, work } = await workOf({
      tableBytesMax: 5000,
      pause: () => (++pauses === 4 ? Promise.reject(new Error('called off')) : undefined),
    });
    const source = new ArrayIterator(numbered(5000));
    await expect(writeTables(source, keepAll(), work)).rejects.toThrow('called off');
    expect(fileSystem.memory.paths()).toEqual([]);
    expect(fileSystem.openPaths).toEqual([]);
    expect(source.isClosed).toBe(true);
  });

  it('that fails at any call rejects with that failure, and leaves no file, open or not', async () => {
    for (let failing = 0; ; failing += 1) {
      const { fileSystem, work } = await workOf({ tableBytesMax: 5000 });
      let calls = 0;
      fileSystem.plan = { code: 'ENOSPC', arrives: 0.5, isHit: () => calls++ === failing };
      const source = new ArrayIterator(numbered(800));
      const error: unknown = await writeTables(source, keepAll(), work).catch((thrown: unknown) => thrown);
      if (fileSystem.faults === 0) break; // all of its calls have had their turn
      expect(error).toMatchObject({ code: 'NO_SPACE' });
      expect(fileSystem.memory.paths()).toEqual([]);
      expect(fileSystem.openPaths).toEqual([]);
      expect(source.isClosed).toBe(true);
      expect(failing).toBeLessThan(100);
    }
  });

  it('rejects with what the source fails with, at once or later', async () => {
    for (const isLate of [false, true]) {
      const { fileSystem, work } = await workOf();
      const source = new ArrayIterator(numbered(500));
      const next = source.next.bind(source);
      source.next = () => {
        if (source.steps < 400) return next();
        if (isLate) return Promise.reject(new Error('unreadable'));
        throw new Error('unreadable');
      };
      await expect(writeTables(source, keepAll(), work)).rejects.toThrow('unreadable');
      expect(fileSystem.memory.paths()).toEqual([]);
      expect(fileSystem.openPaths).toEqual([]);
    }
  });
});
