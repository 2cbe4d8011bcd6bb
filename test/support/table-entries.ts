/** Entries of tables for tests: how to make up, write, read and expect them. */
import fc from 'fast-check';
import {
  type EntryKind,
  type InternalIterator,
  KIND_DELETE,
  KIND_SET,
  type Step,
} from '../../src/storage/read/internal-iterator.ts';
import { TableBuilder, type TableOptions } from '../../src/storage/table/table-builder.ts';

export interface TableEntry {
  readonly key: Uint8Array;
  readonly sequence: number;
  readonly kind: EntryKind;
  readonly value: Uint8Array;
}

export function compareEntries(
  a: Pick<TableEntry, 'key' | 'sequence'>,
  b: Pick<TableEntry, 'key' | 'sequence'>,
): number {
  return Buffer.compare(a.key, b.key) || b.sequence - a.sequence;
}

const alphabet = fc.constantFrom(0x00, 0x01, 0x61, 0xfe, 0xff);
/** Few letters, so that keys meet; now and then a long prefix, so that they share much. */
export const tableKey: fc.Arbitrary<Uint8Array> = fc
  .tuple(fc.constantFrom(0, 0, 0, 1, 40, 300), fc.array(alphabet, { maxLength: 5 }))
  .map(([prefixLength, rest]) => Uint8Array.from([...new Array<number>(prefixLength).fill(0x70), ...rest]));

export const tableSequence: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 1, max: 9 }),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1, 2 ** 32, 2 ** 32 + 1),
);

const tableEntry: fc.Arbitrary<TableEntry> = fc
  .tuple(
    tableKey,
    tableSequence,
    fc.boolean(),
    fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.integer({ min: 100, max: 400 }).map((length) => new Uint8Array(length)),
    ),
  )
  .map(([key, sequence, isSet, value]) => ({
    key,
    sequence,
    kind: isSet ? KIND_SET : KIND_DELETE,
    value: isSet ? value : new Uint8Array(0),
  }));

/** Sorted, each (key, sequence) once. */
export const tableEntries: fc.Arbitrary<TableEntry[]> = fc.array(tableEntry, { maxLength: 60 }).map((entries) => {
  const sorted = entries.toSorted(compareEntries);
  return sorted.filter((entry, index) => {
    const before = sorted[index - 1];
    return before === undefined || compareEntries(before, entry) !== 0;
  });
});

export const tableOptions: fc.Arbitrary<TableOptions> = fc.record({
  blockBytesMax: fc.constantFrom(1, 16, 64, 200, 1024, 4096, 65_536),
  restartInterval: fc.constantFrom(1, 2, 3, 16, 1000),
  compression: fc.constantFrom('none', 'snappy'),
  filterBitsPerKey: fc.integer({ min: 0, max: 20 }),
});

export function addEntry(builder: TableBuilder, { key, sequence, kind, value }: TableEntry): void {
  builder.add(key, 0, key.length, sequence, kind, value, 0, value.length);
}

/** The whole file. */
export function buildTable(entries: readonly TableEntry[], options: TableOptions): Uint8Array {
  const builder = new TableBuilder(options);
  for (const entry of entries) addEntry(builder, entry);
  builder.finish();
  return builder.take();
}

export async function settled(step: Step): Promise<void> {
  if (step !== undefined) await step;
}

/** What the iterator stands on, copied. */
export function entryAt(iterator: InternalIterator): TableEntry {
  return {
    key: iterator.keyBytes.slice(iterator.keyStart, iterator.keyEnd),
    sequence: iterator.sequence,
    kind: iterator.kind,
    value: iterator.valueBytes.slice(iterator.valueStart, iterator.valueEnd),
  };
}

export async function readForwards(iterator: InternalIterator): Promise<TableEntry[]> {
  const entries: TableEntry[] = [];
  for (await settled(iterator.seekToFirst()); iterator.isValid; await settled(iterator.next())) {
    entries.push(entryAt(iterator));
  }
  return entries;
}

/** All entries, read from the last to the first, in ascending order. */
export async function readBackwards(iterator: InternalIterator): Promise<TableEntry[]> {
  const entries: TableEntry[] = [];
  for (await settled(iterator.seekToLast()); iterator.isValid; await settled(iterator.previous())) {
    entries.push(entryAt(iterator));
  }
  return entries.reverse();
}
