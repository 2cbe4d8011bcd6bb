import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeInternalKey } from '../../../src/storage/codec/internal-key.ts';
import { BlockCache } from '../../../src/storage/table/block-cache.ts';
import { LevelIterator, type LevelTable } from '../../../src/storage/table/level-iterator.ts';
import { TableCache } from '../../../src/storage/table/table-cache.ts';
import { MemoryReadOnlyFileSystem } from '../../support/memory-files.ts';
import {
  buildTable,
  compareEntries,
  entryAt,
  readBackwards,
  readForwards,
  settled,
  tableEntries,
  type TableEntry,
  tableKey,
  tableOptions,
  tableSequence,
} from '../../support/table-entries.ts';
import type { TableOptions } from '../../../src/storage/table/table-builder.ts';

/** The entries cut into tables between user keys, about `count` in each. */
function cut(entries: readonly TableEntry[], count: number): TableEntry[][] {
  const runs: TableEntry[][] = [];
  for (const entry of entries) {
    const run = runs.at(-1);
    const isSameKey = run !== undefined && Buffer.compare(run.at(-1)?.key ?? entry.key, entry.key) === 0;
    if (run === undefined || (run.length >= count && !isSameKey)) runs.push([entry]);
    else run.push(entry);
  }
  return runs;
}

function makeLevel(entries: readonly TableEntry[], options: TableOptions, count: number, openTablesMax: number) {
  const fileSystem = new MemoryReadOnlyFileSystem([]);
  const tables: LevelTable[] = cut(entries, count).map((run, fileNumber) => {
    const bytes = buildTable(run, options);
    fileSystem.files.set(`dir/${fileNumber}`, bytes);
    const [smallest, largest] = [run[0], run.at(-1)].map((entry) => {
      if (entry === undefined) throw new Error('a run has entries');
      return encodeInternalKey(entry.key, entry.sequence, entry.kind);
    }) as [Uint8Array, Uint8Array];
    return { fileNumber, fileBytes: bytes.length, smallest, largest };
  });
  const cache = new TableCache(fileSystem, 'dir', openTablesMax, new BlockCache(2000), (number) => [String(number)]);
  return { tables, cache, fileSystem };
}

const how = fc.record({ isCacheFilled: fc.boolean(), readAheadBytes: fc.constantFrom(0, 100, 100_000) });
const perTable = fc.integer({ min: 1, max: 10 });
const openMax = fc.constantFrom(1, 2, 100);

it('reads back all tables forwards and backwards, holding one at a time', async () => {
  await fc.assert(
    fc.asyncProperty(tableEntries, tableOptions, how, perTable, openMax, async (entries, options, mode, count, max) => {
      const { tables, cache, fileSystem } = makeLevel(entries, options, count, max);
      const iterator = new LevelIterator(tables, cache, mode);
      expect(await readForwards(iterator)).toEqual(entries);
      expect(await readBackwards(iterator)).toEqual(entries);
      if (tables.length > 0) await settled(iterator.seekToFirst());
      iterator.close();
      iterator.close();
      await new Promise(setImmediate);
      expect(fileSystem.open.size).toBeLessThanOrEqual(max);
      // Nobody uses any of them now.
      for (const { fileNumber } of tables) await cache.evict(fileNumber);
      expect(fileSystem.open.size).toBe(0);
    }),
  );
});

it('follows any walk of seeks and steps like a sorted array does', async () => {
  const move = fc.oneof(fc.constantFrom('next', 'next', 'previous', 'previous'), fc.tuple(tableKey, tableSequence));
  await fc.assert(
    fc.asyncProperty(
      tableEntries,
      tableOptions,
      how,
      perTable,
      fc.array(move, { maxLength: 40 }),
      async (entries, options, mode, count, moves) => {
        const { tables, cache } = makeLevel(entries, options, count, 2);
        const iterator = new LevelIterator(tables, cache, mode);
        let place = -1;
        for (const one of moves) {
          if (one === 'next' || one === 'previous') {
            if (!iterator.isValid) continue;
            place += one === 'next' ? 1 : -1;
            await settled(iterator[one]());
          } else {
            const [key, sequence] = one;
            place = entries.findIndex((entry) => compareEntries(entry, { key, sequence }) >= 0);
            await settled(iterator.seek(key, sequence));
          }
          expect(iterator.isValid).toBe(entries[place] !== undefined);
          if (iterator.isValid) expect(entryAt(iterator)).toEqual(entries[place]);
        }
        iterator.close();
      },
    ),
  );
});

it('gives a table back that was opened for it after it was closed', async () => {
  const entry = { key: Uint8Array.of(1), sequence: 1, kind: 1, value: Uint8Array.of(1) } as const;
  const options = { blockBytesMax: 100, restartInterval: 1, compression: 'none', filterBitsPerKey: 0 } as const;
  const { tables, cache, fileSystem } = makeLevel([entry], options, 1, 1);
  const iterator = new LevelIterator(tables, cache, { isCacheFilled: false, readAheadBytes: 0 });
  const step = iterator.seekToFirst();
  iterator.close();
  await settled(step);
  expect(iterator.isValid).toBe(false);
  await cache.evict(0);
  expect(fileSystem.open.size).toBe(0);
});
