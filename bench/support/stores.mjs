/** Alluvium's own store, for questions that no other engine can be asked. */
import { BATCH_ENTRIES } from '../questions/batches.mjs';

/** @typedef {import('alluvium').Store} Store */

/**
 * @param {import('./question.mjs').Bench} bench
 * @param {'synced' | 'buffered'} durability
 * @returns {Promise<Store>}
 */
export async function openStore({ directory, variant }, durability) {
  const { open } = await import(variant.module ?? 'alluvium');
  return open(directory, { durability });
}

/** All entries, in order, in batches. @param {Store} store @param {import('./data.mjs').Data} data */
export async function writeAll(store, data) {
  for (let start = 0; start < data.count; start += BATCH_ENTRIES) {
    /** @type {import('alluvium').WriteOperation[]} */
    const batch = [];
    for (let index = start; index < Math.min(start + BATCH_ENTRIES, data.count); index += 1) {
      batch.push({ type: 'set', key: data.key(index), value: data.value(index) });
    }
    await store.write(batch);
  }
}
