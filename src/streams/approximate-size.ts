/**
 * How many bytes on disk a range takes, roughly: tables wholly inside count whole, those at its ends by the place of the
 * bound in their index. What is only in memtables is not counted, as in LevelDB.
 */
import { userKeyOf } from '../storage/manifest/table-meta.ts';
import { compareUserKeys, isOverlapping, type TableMeta } from '../storage/manifest/table-meta.ts';
import type { Tree } from '../storage/tree.ts';

export async function approximateSize(tree: Tree, start: Uint8Array, end: Uint8Array): Promise<number> {
  if (compareUserKeys(start, end) >= 0) return 0;
  const view = tree.hold();
  try {
    let bytes = 0;
    for (const table of view.version.levels.flat()) {
      if (isOverlapping(table, { start, end }))
        bytes += (await offsetOf(tree, table, end)) - (await offsetOf(tree, table, start));
    }
    return bytes;
  } finally {
    tree.release(view);
  }
}

async function offsetOf(tree: Tree, meta: TableMeta, key: Uint8Array): Promise<number> {
  if (compareUserKeys(key, userKeyOf(meta.smallest)) <= 0) return 0;
  if (compareUserKeys(key, userKeyOf(meta.largest)) > 0) return meta.fileBytes;
  const table = await tree.tables.acquire(meta);
  try {
    return table.approximateOffset(key);
  } finally {
    tree.tables.release(table);
  }
}
