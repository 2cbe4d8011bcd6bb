/**
 * Changes that another program wrote, out of the tables it left: as long as none of them was overwritten and merged away,
 * all of them are there. What was committed together nobody knows any more.
 */
import { BatchBuffer } from '../codec/write-batch.ts';
import type { Version } from '../manifest/version.ts';
import { KIND_SET } from '../read/internal-iterator.ts';
import { LevelIterator } from '../table/level-iterator.ts';
import type { TableCache } from '../table/table-cache.ts';

/** Beyond this, the gap is told instead: it is all held in memory, while the database is being opened. */
const CHANGES_MAX = 262_144;
const BYTES_MAX = 64 * 1024 * 1024;
/** Bytes of tables that are looked through. */
const TABLE_BYTES_MAX = 256 * 1024 * 1024;
const ENTRIES_PER_TURN = 4096;

/**
 * @param newestKnownFile - tables with a lower number are older than `first`
 * @returns a batch of one operation for each number in [first, last], or `undefined` if one of them is not there
 */
export async function rebuildFromTables(
  version: Version,
  tables: TableCache,
  yieldTurn: () => Promise<void>,
  [first, last]: readonly [number, number],
  newestKnownFile: number,
): Promise<readonly Uint8Array[] | undefined> {
  const count = last - first + 1;
  const suspects = version.levels.flat().filter(({ fileNumber }) => fileNumber > newestKnownFile);
  if (count > CHANGES_MAX || suspects.reduce((sum, table) => sum + table.fileBytes, 0) > TABLE_BYTES_MAX)
    return undefined;
  const found = new Map<number, Uint8Array>();
  const buffer = new BatchBuffer();
  let bytes = 0;
  let sinceTurn = 0;
  for (const table of suspects) {
    const entries = new LevelIterator([table], tables, { isCacheFilled: false, readAheadBytes: 256 * 1024 });
    try {
      for (await entries.seekToFirst(); entries.isValid; await entries.next()) {
        sinceTurn = (sinceTurn + 1) % ENTRIES_PER_TURN;
        if (sinceTurn === 0) await yieldTurn();
        const { sequence } = entries;
        if (sequence < first || sequence > last) continue;
        const key = entries.keyBytes.subarray(entries.keyStart, entries.keyEnd);
        buffer.reset();
        if (entries.kind === KIND_SET) {
          buffer.appendSet(sequence, key, entries.valueBytes.subarray(entries.valueStart, entries.valueEnd));
        } else {
          buffer.appendDelete(sequence, key);
        }
        found.set(sequence, buffer.bytes.slice(0, buffer.length));
        bytes += buffer.length;
        if (bytes > BYTES_MAX) return undefined;
      }
    } finally {
      entries.close();
    }
  }
  if (found.size !== count) return undefined;
  return Array.from({ length: count }, (_, index) => found.get(first + index) as Uint8Array);
}
