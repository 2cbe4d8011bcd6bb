import * as E from 'fp-ts/lib/Either.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { BatchReader, checkBatch } from '../../../src/storage/codec/write-batch.ts';
import { rebuildFromTables } from '../../../src/storage/history/rebuild-from-tables.ts';
import type { Version } from '../../../src/storage/manifest/version.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { runsOf } from '../../support/runs.ts';
import type { TableEntry } from '../../support/table-entries.ts';
import { TABLE_OPTIONS, tableCacheOf, versionOf, writeTable } from '../../support/tree-on-disk.ts';

const text = new TextEncoder();
const entryOf = (sequence: number, key = `key ${sequence % 7}`): TableEntry => {
  const isSet = sequence % 5 !== 0;
  const value = text.encode(isSet ? `value ${sequence}` : '');
  return { key: text.encode(key), sequence, kind: isSet ? KIND_SET : KIND_DELETE, value };
};
const sequencesFrom = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

async function rebuilt(
  fileSystem: MemoryFileSystem,
  version: Version,
  first: number,
  last: number,
  newestKnown = 0,
): Promise<TableEntry[] | undefined> {
  const tables = tableCacheOf(fileSystem);
  const batches = await rebuildFromTables(version, tables, () => Promise.resolve(), [first, last], newestKnown);
  await tables.closeAll();
  return batches?.map((bytes) => {
    const checked = checkBatch(bytes, 0, bytes.length);
    expect(E.isRight(checked)).toBe(true);
    const reader = new BatchReader();
    reader.reset(bytes, 0, bytes.length);
    expect(reader.next()).toBe(true);
    const { sequence, kind, keyStart, keyEnd, valueStart, valueEnd } = reader;
    expect(reader.next()).toBe(false);
    return { sequence, kind, key: bytes.slice(keyStart, keyEnd), value: bytes.slice(valueStart, valueEnd) };
  });
}

describe('changes out of tables', () => {
  it('are all of them, in the order of their numbers, wherever in the tables they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(40),
        async (tableOf, first, length) => {
          const fileSystem = new MemoryFileSystem();
          await fileSystem.makeDirectory('/db');
          const entries = tableOf.map((_, index) => entryOf(index + 1));
          const metas = [0, 1, 2, 3].flatMap((number) => {
            const own = entries.filter((_, index) => tableOf[index] === number);
            return own.length === 0 ? [] : [writeTable(fileSystem, number + 1, own)];
          });
          const last = first + length;
          const found = await rebuilt(fileSystem, versionOf([metas]), first, last);
          expect(found).toEqual(
            last > entries.length ? undefined : sequencesFrom(first, last).map((at) => entries[at - 1]),
          );
        },
      ),
      runsOf(100),
    );
  });

  it('are not given where one of them was merged away, nor looked for in tables that are older', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/db');
    const holed = writeTable(
      fileSystem,
      4,
      [1, 2, 4].map((sequence) => entryOf(sequence)),
    );
    expect(await rebuilt(fileSystem, versionOf([[holed]]), 1, 4)).toBeUndefined();
    expect(await rebuilt(fileSystem, versionOf([[holed]]), 1, 2)).toHaveLength(2);
    expect(await rebuilt(fileSystem, versionOf([[holed]]), 1, 2, 3)).toHaveLength(2);
    expect(await rebuilt(fileSystem, versionOf([[holed]]), 1, 2, 4)).toBeUndefined();
  });

  it('are not looked for where there are too many, before anything is read', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/db');
    const table = writeTable(fileSystem, 4, [entryOf(1)]);
    fileSystem.writeFileNow('/db/000004.ldb', new Uint8Array(10)); // whoever reads it fails
    expect(await rebuilt(fileSystem, versionOf([[table]]), 1, 262_145)).toBeUndefined();
    const large = { ...table, fileBytes: 2 ** 28 + 1 };
    expect(await rebuilt(fileSystem, versionOf([[large]]), 1, 1)).toBeUndefined();
    await expect(rebuilt(fileSystem, versionOf([[table]]), 1, 1)).rejects.toMatchObject({ code: 'CORRUPTION' });
  });

  it('are looked for in turns, and not held in memory beyond a bound', { timeout: 60_000 }, async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/db');
    const many = writeTable(
      fileSystem,
      4,
      sequencesFrom(1, 9000).map((sequence) => entryOf(sequence)),
      { ...TABLE_OPTIONS, blockBytesMax: 4096 },
    );
    let turns = 0;
    const tables = tableCacheOf(fileSystem);
    const turn = (): Promise<void> => Promise.resolve(void (turns += 1));
    expect(await rebuildFromTables(versionOf([[many]]), tables, turn, [1, 9000], 0)).toHaveLength(9000);
    expect(turns).toBe(2);
    await tables.closeAll();
    const large = (count: number) =>
      writeTable(
        fileSystem,
        5,
        sequencesFrom(1, count).map((sequence) => ({
          ...entryOf(sequence),
          kind: KIND_SET,
          value: new Uint8Array(2 ** 20),
        })),
        { ...TABLE_OPTIONS, compression: 'snappy' },
      );
    expect(await rebuilt(fileSystem, versionOf([[large(63)]]), 1, 63)).toHaveLength(63);
    expect(await rebuilt(fileSystem, versionOf([[large(64)]]), 1, 64)).toBeUndefined();
  });

  it('leave no table open when one cannot be read', async () => {
    const memory = new MemoryFileSystem();
    await memory.makeDirectory('/db');
    const table = writeTable(
      memory,
      4,
      sequencesFrom(1, 20).map((sequence) => entryOf(sequence)),
    );
    const fileSystem = new FaultFileSystem(memory);
    const tables = tableCacheOf(fileSystem);
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => name === 'read' };
    const turn = (): Promise<void> => Promise.resolve();
    await expect(rebuildFromTables(versionOf([[table]]), tables, turn, [1, 20], 0)).rejects.toMatchObject({
      code: 'IO',
    });
    await tables.closeAll();
    expect(fileSystem.openPaths).toEqual([]);
  });
});
