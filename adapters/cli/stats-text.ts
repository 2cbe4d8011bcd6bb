/** The figures of a store, for people. */
import type { StoreStats } from 'alluvium';
import { alignColumns } from './table-text.ts';
import { bytesText, countText, durationText } from './units.ts';

export function statsLines(stats: StoreStats): string[] {
  const { blockCache, levels } = stats;
  const tables = levels.reduce((sum, level) => sum + level.tables, 0);
  const tableBytes = levels.reduce((sum, level) => sum + level.bytes, 0);
  const reads = blockCache.hits + blockCache.misses;
  const hitRate = reads === 0 ? '' : `, ${Math.round((100 * blockCache.hits) / reads)} % hits`;
  const perSync = stats.syncs === 0 ? '' : `, ${(stats.writes / stats.syncs).toFixed(1)} writes each`;
  return alignColumns([
    ['sequence', `${stats.sequence}, durable up to ${stats.durableSequence}`],
    ['tables', `${countText(tables)}, ${bytesText(tableBytes)}; ${countText(stats.openTables)} open`],
    ['memtables', `${bytesText(stats.memtableBytes)}; ${countText(stats.waitingMemtables)} wait for their flush`],
    [
      'writes',
      `${countText(stats.writes)} in ${countText(stats.groups)} groups; ${bytesText(stats.userBytesWritten)} from callers`,
    ],
    [
      'waiting',
      `${countText(stats.waitingWrites)} writes, ${bytesText(stats.waitingWriteBytes)}; ${countText(stats.callersAtTheDoor)} at the door`,
    ],
    ['syncs', `${countText(stats.syncs)}${perSync}`],
    ['log', `${bytesText(stats.logBytesWritten)} written`],
    ['flushes', `${countText(stats.flushes)}, ${bytesText(stats.flushBytesWritten)} written`],
    [
      'compactions',
      `${countText(stats.compactions)} and ${countText(stats.trivialMoves)} moves; ` +
        `${bytesText(stats.compactionBytesRead)} read, ${bytesText(stats.compactionBytesWritten)} written`,
    ],
    ['debt', `${bytesText(stats.compactionDebtBytes)} above the levels' limits`],
    ['amplification', `${stats.writeAmplification.toFixed(2)} bytes written for each byte from callers`],
    ['stalled', durationText(stats.stalledMs)],
    ['block cache', `${bytesText(blockCache.bytes)}${hitRate}`],
    ['snapshots', countText(stats.snapshots)],
  ]);
}
