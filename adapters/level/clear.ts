/** `clear(range)`: a scan of the keys as of now, and a batch of deletes per page. Each delete is a change, as any other. */
import type { AbstractSnapshot } from 'abstract-level';
import type { WriteOperation } from 'alluvium';
import type { StoreFace } from '../attach/index.ts';
import { throwLevelError, translated } from './level-error.ts';
import { LevelSnapshot } from './level-snapshot.ts';
import { type PrivateRange, storeLimit, storeRange } from './range.ts';

export interface PrivateClearOptions extends PrivateRange {
  readonly snapshot?: AbstractSnapshot | undefined;
}

/**
 * Deletes page by page: at most 256 keys, or 64 KiB of them, in one batch and in memory. Each batch is all or none; a clear
 * that fails has deleted some of the range.
 */
export async function clear(
  store: StoreFace,
  options: PrivateClearOptions,
  write: (lines: readonly WriteOperation[]) => Promise<void>,
): Promise<void> {
  const { snapshot, reverse, limit } = options;
  const view = snapshot == null ? translated(() => store.snapshot()) : LevelSnapshot.snapshotOf(snapshot, store);
  try {
    const keys = view.scan({ ...storeRange(options), reverse, limit: storeLimit(limit), values: false });
    for await (const page of keys.pages()) await write(page.map((key) => ({ type: 'delete', key })));
  } catch (error) {
    throwLevelError(error);
  } finally {
    if (snapshot == null) view.close();
  }
}
