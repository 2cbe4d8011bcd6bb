/** A sorted array that a memtable is compared with. */
import { expect } from 'vitest';
import type { Memtable } from '../../../src/storage/memtable/memtable.ts';
import type { EntryKind, InternalIterator } from '../../../src/storage/read/internal-iterator.ts';

export interface ModelEntry {
  readonly key: Uint8Array;
  readonly sequence: number;
  readonly kind: EntryKind;
  readonly value: Uint8Array;
}

/** User key ascending bytewise, then sequence descending. */
export function entryOrd(a: Pick<ModelEntry, 'key' | 'sequence'>, b: Pick<ModelEntry, 'key' | 'sequence'>): number {
  return Buffer.compare(a.key, b.key) || b.sequence - a.sequence;
}

/** First entry at or after (key, sequence) of a sorted array. */
export function firstFrom(
  sorted: readonly ModelEntry[],
  target: Pick<ModelEntry, 'key' | 'sequence'>,
): ModelEntry | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = sorted[middle];
    if (entry !== undefined && entryOrd(entry, target) < 0) low = middle + 1;
    else high = middle;
  }
  return sorted[low];
}

export function add(table: Memtable, { key, sequence, kind, value }: ModelEntry): void {
  const source = new Uint8Array(key.length + value.length);
  source.set(key);
  source.set(value, key.length);
  table.add(sequence, kind, source, 0, key.length, key.length, source.length);
}

export function entryAt(table: Memtable, entry: number): ModelEntry | undefined {
  if (entry === -1) return undefined;
  return {
    key: Uint8Array.from(table.bytes.subarray(table.keyStartOf(entry), table.keyEndOf(entry))),
    sequence: table.sequenceOf(entry),
    kind: table.kindOf(entry),
    value: Uint8Array.from(table.bytes.subarray(table.valueStartOf(entry), table.valueEndOf(entry))),
  };
}

export function current(iterator: InternalIterator): ModelEntry | undefined {
  if (!iterator.isValid) return undefined;
  const { keyBytes, keyStart, keyEnd, sequence, kind, valueBytes, valueStart, valueEnd } = iterator;
  return {
    key: Uint8Array.from(keyBytes.subarray(keyStart, keyEnd)),
    sequence,
    kind,
    value: Uint8Array.from(valueBytes.subarray(valueStart, valueEnd)),
  };
}

export function collectForwards(table: Memtable): ModelEntry[] {
  const iterator = table.iterator();
  const entries: ModelEntry[] = [];
  void iterator.seekToFirst();
  for (let entry = current(iterator); entry !== undefined; entry = current(iterator)) {
    entries.push(entry);
    void iterator.next();
  }
  return entries;
}

export function collectBackwards(table: Memtable): ModelEntry[] {
  const iterator = table.iterator();
  const entries: ModelEntry[] = [];
  void iterator.seekToLast();
  for (let entry = current(iterator); entry !== undefined; entry = current(iterator)) {
    entries.push(entry);
    void iterator.previous();
  }
  return entries;
}

function isSame(a: ModelEntry | undefined, b: ModelEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return entryOrd(a, b) === 0 && a.kind === b.kind && Buffer.compare(a.value, b.value) === 0;
}

/** `toEqual` for entries, many times as fast: the matcher itself is only called to explain a difference. */
export function expectSame(
  actual: readonly (ModelEntry | undefined)[],
  expected: readonly (ModelEntry | undefined)[],
): void {
  const at = expected.findIndex((entry, index) => !isSame(actual[index], entry));
  if (at !== -1) expect(actual[at], `entry ${at}`).toEqual(expected[at]);
  expect(at).toBe(-1);
  expect(actual).toHaveLength(expected.length);
}
