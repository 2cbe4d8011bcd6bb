/** Versions whose tables are there, made by hand: for tests of what reads tables by the version that names them. */
import { encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import { tableName, tableNames } from '../../src/storage/file-names.ts';
import type { FileSystem, MemoryFileSystem } from '../../src/index.ts';
import type { TableMeta } from '../../src/storage/manifest/table-meta.ts';
import { Version } from '../../src/storage/manifest/version.ts';
import { KIND_DELETE } from '../../src/storage/read/internal-iterator.ts';
import { BlockCache } from '../../src/storage/table/block-cache.ts';
import type { TableOptions } from '../../src/storage/table/table-builder.ts';
import { TableCache } from '../../src/storage/table/table-cache.ts';
import { buildTable, compareEntries, type TableEntry } from './table-entries.ts';

export const TABLE_OPTIONS: TableOptions = {
  blockBytesMax: 100,
  restartInterval: 2,
  compression: 'none',
  filterBitsPerKey: 10,
};

/** Writes the entries, at least one, as a table into the directory `/db`. */
export function writeTable(
  fileSystem: MemoryFileSystem,
  fileNumber: number,
  entries: readonly TableEntry[],
  options: TableOptions = TABLE_OPTIONS,
): TableMeta {
  const sorted = entries.toSorted(compareEntries);
  const bytes = buildTable(sorted, options);
  fileSystem.writeFileNow(`/db/${tableName(fileNumber)}`, bytes);
  const bound = (entry: TableEntry | undefined): Uint8Array => {
    if (entry === undefined) throw new Error('a table has at least one entry');
    return encodeInternalKey(entry.key, entry.sequence, entry.kind);
  };
  return {
    fileNumber,
    fileBytes: bytes.length,
    smallest: bound(sorted[0]),
    largest: bound(sorted.at(-1)),
    entryCount: sorted.length,
    tombstoneCount: sorted.filter(({ kind }) => kind === KIND_DELETE).length,
    largestSequence: Math.max(...sorted.map(({ sequence }) => sequence)),
  };
}

/** A version with these tables in its levels. */
export function versionOf(levels: readonly (readonly TableMeta[])[]): Version {
  const version = Version.empty.apply({
    newTables: levels.flatMap((tables, level) => tables.map((table) => ({ level, table }))),
  });
  if (version._tag === 'Left') throw new Error(version.left);
  return version.right;
}

export const tableCacheOf = (
  fileSystem: FileSystem,
  openTablesMax = 100,
  cacheBytes = 1e6,
  directory = '/db',
): TableCache => new TableCache(fileSystem, directory, openTablesMax, new BlockCache(cacheBytes), tableNames);

/** Entries in the order of their writing, cut into parts: the first ones lie deepest. All of a user key of a run in one table. */
export function spreadOver(
  fileSystem: MemoryFileSystem,
  written: readonly TableEntry[],
  partCount: number,
): readonly (readonly TableMeta[])[] {
  const levels: TableMeta[][] = [[], [], [], []];
  let fileNumber = 0;
  const partLength = Math.max(1, Math.ceil(written.length / partCount));
  const parts = Array.from({ length: Math.ceil(written.length / partLength) }, (_, index) =>
    written.slice(index * partLength, (index + 1) * partLength),
  );
  for (const [index, part] of parts.entries()) {
    const level = Math.max(0, 3 - index);
    if (level === 0) {
      levels[0]?.push(writeTable(fileSystem, (fileNumber += 1), part));
      continue;
    }
    const sorted = part.toSorted(compareEntries);
    for (let start = 0; start < sorted.length;) {
      let end = Math.min(sorted.length, start + 5);
      while (end < sorted.length && sameKey(sorted[end], sorted[end - 1])) end += 1;
      levels[level]?.push(writeTable(fileSystem, (fileNumber += 1), sorted.slice(start, end)));
      start = end;
    }
  }
  return levels;
}

const sameKey = (a: TableEntry | undefined, b: TableEntry | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.compare(a.key, b.key) === 0;
