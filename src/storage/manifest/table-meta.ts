/** What the tree knows of a table without opening it. */
import { compareBytes } from '../codec/compare.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';

/** Most levels LevelDB knows: 0 to 6. */
export const LEVELS = 7;

export interface TableMeta {
  readonly fileNumber: number;
  readonly fileBytes: number;
  /** First internal key. */
  readonly smallest: Uint8Array;
  /** Last internal key. */
  readonly largest: Uint8Array;
  /** Entries in the table, where known: a hint for the picker, not kept in the MANIFEST. */
  readonly entryCount?: number | undefined;
  /** Tombstones among them, where known. */
  readonly tombstoneCount?: number | undefined;
  /** Highest sequence number in the table, where known. */
  readonly largestSequence?: number | undefined;
}

/** Bounds on user keys, both inclusive; `undefined`: without bound. */
export interface UserKeyRange {
  readonly start: Uint8Array | undefined;
  readonly end: Uint8Array | undefined;
}

export const userKeyOf = (internalKey: Uint8Array): Uint8Array =>
  internalKey.subarray(0, internalKey.length - TAG_BYTES);

export const compareUserKeys = (a: Uint8Array, b: Uint8Array): number => compareBytes(a, 0, a.length, b, 0, b.length);

/** Compares the user keys of two internal keys. */
export const compareUserKeysOf = (a: Uint8Array, b: Uint8Array): number =>
  compareBytes(a, 0, a.length - TAG_BYTES, b, 0, b.length - TAG_BYTES);

/** Whether the table may hold a user key of the range. */
export function isOverlapping(table: TableMeta, { start, end }: UserKeyRange): boolean {
  const { smallest, largest } = table;
  if (start !== undefined && compareBytes(largest, 0, largest.length - TAG_BYTES, start, 0, start.length) < 0) {
    return false;
  }
  return end === undefined || compareBytes(smallest, 0, smallest.length - TAG_BYTES, end, 0, end.length) <= 0;
}

export const totalBytes = (tables: readonly TableMeta[]): number =>
  tables.reduce((sum, table) => sum + table.fileBytes, 0);

/** The user keys from the first to the last of these tables; at least one table. */
export function rangeOf(tables: readonly TableMeta[]): { start: Uint8Array; end: Uint8Array } {
  const [first] = tables;
  if (first === undefined) throw new Error('no table, no range');
  let start = first.smallest;
  let end = first.largest;
  for (const { smallest, largest } of tables) {
    if (compareUserKeysOf(smallest, start) < 0) start = smallest;
    if (compareUserKeysOf(largest, end) > 0) end = largest;
  }
  return { start: userKeyOf(start), end: userKeyOf(end) };
}
