/** LevelDB's properties, as far as the store's figures tell them. */
import type { StoreStats } from 'alluvium';

const MIB = 1024 * 1024;

/** The empty string for a name that is not known, as in LevelDB. */
export function property(stats: StoreStats, name: string): string {
  if (name === 'leveldb.stats') return statsText(stats);
  if (name === 'leveldb.sstables') return tablesText(stats);
  if (name === 'leveldb.approximate-memory-usage') return String(stats.memtableBytes + stats.blockCache.bytes);
  const level = /^leveldb\.num-files-at-level(\d+)$/.exec(name)?.[1];
  if (level === undefined) return '';
  const found = stats.levels.find((each) => each.level === Number(level));
  return found === undefined ? '' : String(found.tables);
}

/** One line per level that has anything, then what was written since the database was opened. */
function statsText(stats: StoreStats): string {
  const rows = stats.levels
    .filter(({ tables }) => tables > 0)
    .map(({ level, tables, bytes }) => `${pad(level, 5)} ${pad(tables, 8)} ${pad((bytes / MIB).toFixed(1), 8)}\n`);
  return (
    `Level   Tables Size(MB)\n------------------------\n${rows.join('')}` +
    `flushes ${stats.flushes}, compactions ${stats.compactions}, moved ${stats.trivialMoves}\n` +
    `compaction read ${mib(stats.compactionBytesRead)} MB, wrote ${mib(stats.compactionBytesWritten)} MB\n`
  );
}

/** A heading per level, as LevelDB has it; below it sums, for the store tells no single tables. */
const tablesText = ({ levels }: StoreStats): string =>
  levels.map(({ level, tables, bytes }) => `--- level ${level} ---\n ${tables} tables, ${bytes} bytes\n`).join('');

const mib = (bytes: number): string => (bytes / MIB).toFixed(1);
const pad = (value: number | string, width: number): string => String(value).padStart(width);
