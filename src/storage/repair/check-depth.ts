/**
 * Whether each key's newest entry lies above its older ones, in what can be read of damaged tables and in those beside them.
 *
 * A point read asks levels from the top down, and stops at the first that has the key. Where a file has come into another
 * one's place, or its levels are not as they should be, it would stop at an old entry; then everything is to be merged.
 *
 *   rank      0, 1, ...  tables of level 0, newest first; one rank for all of them if they are written again together
 *             behind     the deeper levels, one rank each
 *   is right  for each key, if no entry has a lower rank than the newest one
 */
import { compareBytes } from '../codec/compare.ts';
import { tableNames } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import type { InternalIterator, Step } from '../read/internal-iterator.ts';
import { MergeIterator } from '../read/merge-iterator.ts';
import { BlockCache } from '../table/block-cache.ts';
import { LevelIterator } from '../table/level-iterator.ts';
import { TableCache } from '../table/table-cache.ts';
import type { KnownTable } from './rebuild-tables.ts';
import { SalvagedIterator } from './salvaged-iterator.ts';

const READ_AHEAD_BYTES = 128 * 1024;
const OPEN_TABLES_MAX = 256;

interface Ranked {
  readonly rank: number;
  readonly source: InternalIterator;
}

/**
 * @param known - the tables, which do not overlap within a level below 0
 * @param turn - is called for each entry
 * @throws IoError, CorruptionError
 */
export async function isNewestOnTop(
  fileSystem: FileSystem,
  directory: string,
  known: readonly KnownTable[],
  turn: () => Step,
): Promise<boolean> {
  const tables = new TableCache(fileSystem, directory, OPEN_TABLES_MAX, new BlockCache(0), tableNames);
  const ranked = rankedSources(known, tables);
  const merged = new MergeIterator(ranked.map(({ source }) => source));
  try {
    let key = new Uint8Array(0);
    let newest: { readonly rank: number; readonly sequence: number } | undefined;
    for (let step = merged.seekToFirst(); ; step = merged.next()) {
      if (step !== undefined) await step;
      if (!merged.isValid) return true;
      const pause = turn();
      if (pause !== undefined) await pause;
      const { keyBytes, keyStart, keyEnd, sequence } = merged;
      const rank = rankOfTop(ranked, merged);
      if (newest === undefined || compareBytes(key, 0, key.length, keyBytes, keyStart, keyEnd) !== 0) {
        key = keyBytes.slice(keyStart, keyEnd);
        newest = { rank, sequence };
      } else if (rank < newest.rank && sequence < newest.sequence) return false;
    }
  } finally {
    merged.close();
    await tables.closeAll();
  }
}

function rankedSources(known: readonly KnownTable[], tables: TableCache): readonly Ranked[] {
  const options = { isCacheFilled: false, readAheadBytes: READ_AHEAD_BYTES };
  const sourceOf = ({ salvaged, meta }: KnownTable): InternalIterator =>
    salvaged === undefined ? new LevelIterator([meta], tables, options) : new SalvagedIterator(salvaged);
  const level0 = known.filter(({ level }) => level === 0).sort((a, b) => b.meta.fileNumber - a.meta.fileNumber);
  const isRewritten = level0.some(({ salvaged }) => salvaged !== undefined);
  const ranked = level0.map((table, index) => ({ rank: isRewritten ? 0 : index, source: sourceOf(table) }));
  for (const table of known) {
    if (table.level > 0) ranked.push({ rank: level0.length + table.level, source: sourceOf(table) });
  }
  return ranked;
}

/** Of the source that shows what the merge shows. */
function rankOfTop(ranked: readonly Ranked[], { keyBytes, keyStart, sequence }: InternalIterator): number {
  const top = ranked.find(
    ({ source }) =>
      source.isValid && source.keyBytes === keyBytes && source.keyStart === keyStart && source.sequence === sequence,
  );
  return top?.rank ?? 0;
}
