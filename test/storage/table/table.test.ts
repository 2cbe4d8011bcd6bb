import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { InternalIterator } from '../../../src/storage/read/internal-iterator.ts';
import { KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { BlockCache } from '../../../src/storage/table/block-cache.ts';
import { Lookup } from '../../../src/storage/table/lookup.ts';
import { Table } from '../../../src/storage/table/table.ts';
import { MemoryReadableFile } from '../../support/memory-files.ts';
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

const cacheBytes = fc.constantFrom(0, 300, 2000, 1_000_000);
const iteratorOptions = fc.record({
  isCacheFilled: fc.boolean(),
  readAheadBytes: fc.constantFrom(0, 1, 100, 1000, 1_000_000),
});

async function openTable(bytes: Uint8Array, cacheBytesMax = 1_000_000): Promise<[Table, MemoryReadableFile]> {
  const file = new MemoryReadableFile(bytes);
  return [await Table.open(file, 7, '000007.ldb', bytes.length, new BlockCache(cacheBytesMax)), file];
}

function smallTable(count = 100): TableEntry[] {
  const entries: TableEntry[] = [];
  for (let index = 0; index < count; index += 1) {
    const key = new TextEncoder().encode(`key${String(index).padStart(5, '0')}`);
    entries.push({ key, sequence: index + 1, kind: KIND_SET, value: new TextEncoder().encode(`value ${index}`) });
  }
  return entries;
}

const plainOptions = { blockBytesMax: 256, restartInterval: 4, compression: 'none', filterBitsPerKey: 10 } as const;

it('reads back forwards and backwards what was written, whatever the options', async () => {
  await fc.assert(
    fc.asyncProperty(tableEntries, tableOptions, iteratorOptions, cacheBytes, async (entries, options, how, cache) => {
      const [table] = await openTable(buildTable(entries, options), cache);
      const iterator = table.iterator(how);
      expect(await readForwards(iterator)).toEqual(entries);
      expect(await readBackwards(iterator)).toEqual(entries);
    }),
    { numRuns: 200 },
  );
});

it('follows any walk of seeks and steps like a sorted array does', async () => {
  const move = fc.oneof(
    fc.constantFrom('next', 'next', 'previous', 'previous', 'previous', 'first', 'last'),
    fc.tuple(tableKey, tableSequence),
  );
  await fc.assert(
    fc.asyncProperty(
      tableEntries,
      tableOptions,
      iteratorOptions,
      fc.array(move, { maxLength: 40 }),
      async (entries, options, how, moves) => {
        const [table] = await openTable(buildTable(entries, options));
        const iterator = table.iterator(how);
        let place = -1;
        for (const one of moves) {
          if (one === 'next' || one === 'previous') {
            if (!iterator.isValid) continue;
            place += one === 'next' ? 1 : -1;
            await settled(iterator[one]());
          } else if (one === 'first' || one === 'last') {
            place = one === 'first' ? 0 : entries.length - 1;
            await settled(one === 'first' ? iterator.seekToFirst() : iterator.seekToLast());
          } else {
            const [key, sequence] = one;
            place = entries.findIndex((entry) => compareEntries(entry, { key, sequence }) >= 0);
            await settled(iterator.seek(key, sequence));
          }
          expect(iterator.isValid).toBe(entries[place] !== undefined);
          if (iterator.isValid) expect(entryAt(iterator)).toEqual(entries[place]);
        }
      },
    ),
    { numRuns: 300 },
  );
});

it('finds the newest entry of any key at any sequence, cached or not', async () => {
  await fc.assert(
    fc.asyncProperty(
      tableEntries,
      tableOptions,
      fc.array(fc.tuple(tableKey, tableSequence), { maxLength: 20 }),
      cacheBytes,
      async (entries, options, questions, cache) => {
        const [table] = await openTable(buildTable(entries, options), cache);
        const lookup = new Lookup();
        const all = [...questions, ...entries.map(({ key, sequence }) => [key, sequence] as const)];
        for (const [key, sequence] of all) {
          lookup.reset(key, 0, key.length, sequence);
          await settled(table.find(lookup));
          const expected = entries.find((entry) => Buffer.compare(entry.key, key) === 0 && entry.sequence <= sequence);
          expect(lookup.state).toBe(
            expected === undefined ? 'absent' : expected.kind === KIND_SET ? 'found' : 'deleted',
          );
          if (expected !== undefined) expect(lookup.foundSequence).toBe(expected.sequence);
          if (expected?.kind === KIND_SET) {
            expect(lookup.valueBytes.slice(lookup.valueStart, lookup.valueEnd)).toEqual(expected.value);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});

it('finds each of many versions of one key, over blocks and filters', async () => {
  const key = new TextEncoder().encode('key');
  const entries: TableEntry[] = [];
  for (let sequence = 300; sequence > 0; sequence -= 1) {
    entries.push({ key, sequence, kind: KIND_SET, value: new Uint8Array(100).fill(sequence) });
  }
  const [table] = await openTable(buildTable(entries, plainOptions));
  const lookup = new Lookup();
  for (let sequence = 1; sequence <= 300; sequence += 1) {
    lookup.reset(key, 0, key.length, sequence);
    await settled(table.find(lookup));
    expect([lookup.state, lookup.foundSequence]).toEqual(['found', sequence]);
  }
});

it('seeks to a key that is a view of its own key', async () => {
  const entries = smallTable();
  const [table] = await openTable(buildTable(entries, { ...plainOptions, restartInterval: 1000 }));
  const iterator = table.iterator({ isCacheFilled: true, readAheadBytes: 0 });
  for (let index = 0; index < entries.length; index += 1) {
    await settled(iterator.seek(entries[index]?.key ?? new Uint8Array(0), 1000));
    await settled(iterator.seek(iterator.keyBytes.subarray(iterator.keyStart, iterator.keyEnd), 1000));
    expect(entryAt(iterator)).toEqual(entries[index]);
  }
});

it('keeps properties that LevelDB does not look at', async () => {
  const [table] = await openTable(buildTable(smallTable(), plainOptions));
  expect(table.properties).toMatchObject({
    entryCount: 100,
    tombstoneCount: 0,
    smallestSequence: 1,
    largestSequence: 100,
  });
  expect(table.memoryBytes).toBeGreaterThan(0);
});

it('answers at once when the block is cached or the filter says no', async () => {
  const [table, file] = await openTable(buildTable(smallTable(), plainOptions));
  const reads = file.reads;
  const lookup = new Lookup();
  const key = new TextEncoder().encode('key00042');
  lookup.reset(key, 0, key.length, 1000);
  expect(table.find(lookup)).toBeInstanceOf(Promise);
  await Promise.resolve(table.find(lookup));
  lookup.reset(key, 0, key.length, 1000);
  expect(table.find(lookup)).toBeUndefined();
  expect(lookup.state).toBe('found');
  // One read for the two that met.
  expect(file.reads).toBe(reads + 1);
  const isAtOnce = [];
  for (let index = 0; index < 50; index += 1) {
    const absent = new TextEncoder().encode(`key000${index}x`);
    lookup.reset(absent, 0, absent.length, 1000);
    isAtOnce.push(table.find(lookup) === undefined);
  }
  expect(isAtOnce.filter((is) => is).length).toBeGreaterThan(45);
});

it('reads ahead many blocks with one call, in both directions', async () => {
  const [table, file] = await openTable(buildTable(smallTable(1000), plainOptions), 0);
  const reads = file.reads;
  const iterator = table.iterator({ isCacheFilled: false, readAheadBytes: 1_000_000 });
  expect(await readForwards(iterator)).toHaveLength(1000);
  expect(file.reads).toBe(reads + 1);
  const back = table.iterator({ isCacheFilled: false, readAheadBytes: 1_000_000 });
  expect(await readBackwards(back)).toHaveLength(1000);
  expect(file.reads).toBe(reads + 2);
});

it('reads a block once more when its checksum does not match, and goes on', async () => {
  const entries = smallTable();
  const bytes = buildTable(entries, plainOptions);
  for (const readAheadBytes of [0, 1000]) {
    const [table, file] = await openTable(bytes, 0);
    let isBad = false;
    file.beforeRead = () => {
      isBad = !isBad;
      file.bytes = bytes.slice();
      // Each second read is right.
      if (isBad) file.bytes.fill(0xaa);
      return undefined;
    };
    expect(await readForwards(table.iterator({ isCacheFilled: false, readAheadBytes }))).toEqual(entries);
  }
});

it('says about how far into the file a key is', async () => {
  const entries = smallTable(1000);
  const bytes = buildTable(entries, plainOptions);
  const [table] = await openTable(bytes);
  const offsets = entries.map((entry) => table.approximateOffset(entry.key));
  expect(offsets[0]).toBe(0);
  expect(offsets.toSorted((a, b) => a - b)).toEqual(offsets);
  expect(table.approximateOffset(Uint8Array.of(0xff))).toBeGreaterThan(bytes.length / 2);
  expect(table.approximateOffset(Uint8Array.of(0xff))).toBeLessThan(bytes.length);
});

it('closes its file only behind the reads that are under way', async () => {
  const [table, file] = await openTable(buildTable(smallTable(), plainOptions));
  const steps: InternalIterator[] = [];
  const pending = [0, 500].map((readAheadBytes) => {
    const iterator = table.iterator({ isCacheFilled: true, readAheadBytes });
    steps.push(iterator);
    return settled(iterator.seekToFirst());
  });
  let isSettled = false;
  const both = Promise.all(pending).then(() => (isSettled = true));
  await table.close();
  expect(file.isClosed).toBe(true);
  await both;
  expect(isSettled).toBe(true);
  expect(steps.every((iterator) => iterator.isValid)).toBe(true);
  expect(table.slots.every((slot) => slot === undefined)).toBe(true);
});
