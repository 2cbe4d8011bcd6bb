/** Databases whose tables and levels a test decides, also such as no engine should write. */
import { MemoryFileSystem } from '../../src/index.ts';
import { LEVELS, type TableMeta } from '../../src/storage/manifest/table-meta.ts';
import { VersionSet } from '../../src/storage/manifest/version-set.ts';
import { Version } from '../../src/storage/manifest/version.ts';
import { type EntryKind, KIND_DELETE, KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { DIRECTORY } from './crash-workload.ts';
import { bytesOf } from './sorted-model.ts';
import type { TableEntry } from './table-entries.ts';

export const entry = (key: string, sequence: number, kind: EntryKind = KIND_SET): TableEntry => ({
  key: bytesOf(key),
  sequence,
  kind,
  value: bytesOf(kind === KIND_DELETE ? '' : `value ${sequence}`),
});

/** A database of these tables, by level. */
export async function databaseOf(
  make: (fileSystem: MemoryFileSystem) => readonly (readonly [level: number, table: TableMeta])[],
  lastSequence = 100,
): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem();
  await fileSystem.makeDirectory(DIRECTORY);
  const newTables = make(fileSystem).map(([level, table]) => ({ level, table }));
  const state = {
    version: Version.empty,
    nextFileNumber: 1,
    lastSequence: 0,
    logNumber: 0,
    previousLogNumber: 0,
    compactionPointers: Array.from({ length: LEVELS }, () => undefined),
  };
  const versions = new VersionSet(fileSystem, DIRECTORY, state, 100, 1_000_000);
  await versions.commit({ newTables, lastSequence });
  await versions.close();
  return fileSystem;
}
