/**
 * A version: which tables make up the tree at one moment. Immutable; an edit gives a new one.
 *
 *   level 0     tables as they were flushed; they overlap, and the one with the higher file number is newer
 *   level 1..6  runs: tables in key order that share no user key
 *
 * Readers hold a version while they need its tables; a table is deleted when no held version names it.
 */
import * as E from 'fp-ts/lib/Either.js';
import { compareBytes } from '../codec/compare.ts';
import { compareInternal, readSequence, TAG_BYTES } from '../codec/internal-key.ts';
import {
  compareUserKeysOf,
  isOverlapping,
  LEVELS,
  rangeOf,
  type TableMeta,
  totalBytes,
  type UserKeyRange,
} from './table-meta.ts';
import type { VersionEdit } from './version-edit.ts';

const newestFirst = (a: TableMeta, b: TableMeta): number => b.fileNumber - a.fileNumber;
const byKey = (a: TableMeta, b: TableMeta): number =>
  compareInternal(a.smallest, 0, a.smallest.length, b.smallest, 0, b.smallest.length);

export class Version {
  static readonly empty: Version = new Version(Array.from({ length: LEVELS }, () => []));

  /** Level 0 newest first; the others in key order. */
  readonly levels: readonly (readonly TableMeta[])[];
  /** Readers that hold this version, and the version set while it is the current one. */
  holders = 0;

  /** Bytes per level: asked before every write group. */
  readonly #levelBytes: readonly number[];

  private constructor(levels: readonly (readonly TableMeta[])[]) {
    this.levels = levels;
    this.#levelBytes = levels.map(totalBytes);
  }

  tables(level: number): readonly TableMeta[] {
    return this.levels[level] ?? [];
  }

  levelBytes(level: number): number {
    return this.#levelBytes[level] ?? 0;
  }

  /** The deepest level that has tables; 0 if none has. */
  get deepestLevel(): number {
    let level = LEVELS - 1;
    while (level > 0 && this.tables(level).length === 0) level -= 1;
    return level;
  }

  /**
   * The version after the edit, or what makes the edit impossible. Every invariant that a reader relies on is checked
   * here, so that a damaged MANIFEST is found at open and a mistake of ours before it is written.
   */
  apply(edit: VersionEdit): E.Either<string, Version> {
    const levels = this.levels.map((tables) => new Map(tables.map((table) => [table.fileNumber, table])));
    for (const { level, fileNumber } of edit.deletedTables ?? []) {
      if (levels[level]?.delete(fileNumber) !== true) return E.left(`table ${fileNumber} is not in level ${level}`);
    }
    for (const { level, table } of edit.newTables ?? []) {
      if (levels.some((tables) => tables.has(table.fileNumber)))
        return E.left(`table ${table.fileNumber} is there twice`);
      if (compareInternal(table.smallest, 0, table.smallest.length, table.largest, 0, table.largest.length) > 0) {
        return E.left(`table ${table.fileNumber} begins behind its end`);
      }
      levels[level]?.set(table.fileNumber, table);
    }
    const sorted = levels.map((tables, level) => [...tables.values()].sort(level === 0 ? newestFirst : byKey));
    for (const [level, tables] of sorted.entries()) {
      const clash = level === 0 ? undefined : firstOverlap(tables);
      if (clash !== undefined) return E.left(`tables ${clash[0]} and ${clash[1]} of level ${level} overlap`);
    }
    return E.right(new Version(sorted));
  }

  /**
   * Tables of the level that may hold a user key of the range. In level 0 the range grows with each table found, until
   * it grows no more: older data of a key must never stay above newer data. In the runs it grows too, for directories in
   * which real LevelDB split one user key over two tables.
   */
  overlapping(level: number, range: UserKeyRange): readonly TableMeta[] {
    let found: readonly TableMeta[] = [];
    for (let wanted = range; ;) {
      const next = this.tables(level).filter((table) => isOverlapping(table, wanted));
      if (next.length === found.length) return next;
      found = next;
      const grown = rangeOf(found);
      wanted = {
        start: wanted.start === undefined ? undefined : grown.start,
        end: wanted.end === undefined ? undefined : grown.end,
      };
    }
  }

  /** The only table of a run (level 1 and deeper) that may hold the key at that sequence number or older. */
  tableFor(level: number, key: Uint8Array, keyStart: number, keyEnd: number, sequence: number): TableMeta | undefined {
    const tables = this.tables(level);
    let low = 0;
    let high = tables.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { largest } = tables[middle] as TableMeta;
      const order = compareBytes(largest, 0, largest.length - TAG_BYTES, key, keyStart, keyEnd);
      // Of one user key, the entry with the higher sequence number comes first.
      const isBefore = order < 0 || (order === 0 && readSequence(largest, largest.length) > sequence);
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return tables[low];
  }
}

/** Two tables of one run that share user keys in the wrong order, if there are any. */
function firstOverlap(tables: readonly TableMeta[]): readonly [number, number] | undefined {
  for (const [index, table] of tables.entries()) {
    const previous = tables[index - 1];
    if (previous === undefined) continue;
    // Real LevelDB may split a user key over neighbours, newest part first: legal, if the internal keys are in order.
    const isSplit =
      compareUserKeysOf(previous.largest, table.smallest) === 0 &&
      compareInternal(previous.largest, 0, previous.largest.length, table.smallest, 0, table.smallest.length) < 0;
    if (!isSplit && compareUserKeysOf(previous.largest, table.smallest) >= 0) {
      return [previous.fileNumber, table.fileNumber];
    }
  }
  return undefined;
}
