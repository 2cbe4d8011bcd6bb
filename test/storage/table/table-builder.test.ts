import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeInternalKey } from '../../../src/storage/codec/internal-key.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { TableBuilder } from '../../../src/storage/table/table-builder.ts';
import { addEntry, buildTable, tableEntries, type TableEntry, tableOptions } from '../../support/table-entries.ts';

const options = { blockBytesMax: 100, restartInterval: 16, compression: 'snappy', filterBitsPerKey: 10 } as const;

function entry(key: string, sequence: number, kind: 0 | 1 = KIND_SET): TableEntry {
  return { key: new TextEncoder().encode(key), sequence, kind, value: new Uint8Array(10) };
}

it('gives the same bytes however often they are taken', () => {
  fc.assert(
    fc.property(tableEntries, tableOptions, fc.integer({ min: 1, max: 5 }), (entries, someOptions, every) => {
      const builder = new TableBuilder(someOptions);
      const parts: Uint8Array[] = [];
      for (const [index, one] of entries.entries()) {
        addEntry(builder, one);
        const pending = builder.pendingBytes;
        if (index % every === 0) expect(parts[parts.push(builder.take().slice()) - 1]).toHaveLength(pending);
      }
      builder.finish();
      parts.push(builder.take());
      expect(Buffer.concat(parts).equals(buildTable(entries, someOptions))).toBe(true);
      expect(builder.fileBytes).toBe(Buffer.concat(parts).length);
    }),
  );
});

it('tells bounds and counts of what it holds', () => {
  fc.assert(
    fc.property(tableEntries, tableOptions, (entries, someOptions) => {
      const builder = new TableBuilder(someOptions);
      for (const one of entries) addEntry(builder, one);
      const sequences = entries.map(({ sequence }) => sequence);
      expect(builder.entryCount).toBe(entries.length);
      expect(builder.tombstoneCount).toBe(entries.filter(({ kind }) => kind === KIND_DELETE).length);
      const first = entries[0];
      const last = entries.at(-1);
      if (first === undefined || last === undefined) return;
      expect(builder.smallestSequence).toBe(Math.min(...sequences));
      expect(builder.largestSequence).toBe(Math.max(...sequences));
      for (const [internalKey, one] of [
        [builder.smallest, first],
        [builder.largest, last],
      ] as const) {
        expect(decodeInternalKey(internalKey)).toMatchObject({
          right: { userKey: one.key, sequence: one.sequence, kind: one.kind },
        });
      }
    }),
  );
});

it.each([
  ['a lower key', entry('b', 5), entry('a', 9)],
  ['the same key and sequence', entry('b', 5), entry('b', 5)],
  ['a newer version of the key', entry('b', 5), entry('b', 6)],
  ['a prefix of the key', entry('ab', 5), entry('a', 5)],
  ['a kind that sorts before', entry('b', 5, KIND_DELETE), entry('b', 5, KIND_SET)],
])('refuses %s after a key', (_what, first, second) => {
  const builder = new TableBuilder(options);
  addEntry(builder, first);
  expect(() => addEntry(builder, second)).toThrow('ascending order');
});

it('takes keys of any length, and refuses entries once finished', () => {
  const builder = new TableBuilder(options);
  addEntry(builder, { ...entry('', 1), key: new Uint8Array(65_536) });
  addEntry(builder, { ...entry('', 1), key: new Uint8Array(200_000) }); // as real LevelDB writes them
  builder.finish();
  expect(() => addEntry(builder, entry('b', 1))).toThrow('finished');
  expect(() => builder.finish()).toThrow('once');
});

it('estimates the size while it grows', () => {
  const builder = new TableBuilder({ ...options, compression: 'none' });
  let before = 0;
  for (let index = 0; index < 1000; index += 1) {
    addEntry(builder, entry(`key${String(index).padStart(6, '0')}`, 1));
    expect(builder.fileBytes).toBeGreaterThan(before);
    before = builder.fileBytes - 30; // restarts and filters round it
  }
  const estimate = builder.fileBytes;
  builder.finish();
  expect(estimate).toBeGreaterThan(0.6 * builder.fileBytes);
  expect(estimate).toBeLessThan(builder.fileBytes);
});
