/** `getSync`, and whether there is one: the store's own method, asked for in this file only. */
import type { Bytes, Store } from 'alluvium';
import { LevelError } from './level-error.ts';

/**
 * What the manifest claims. A store is made only later, so it cannot be looked at: the compiler looks. When `Store` has the
 * method, this line no longer compiles, and wants `true`.
 */
export const HAS_GET_SYNC: 'getSync' extends keyof Store ? true : false = false;

interface SyncReader {
  getSync(key: Bytes): Uint8Array | undefined;
}

const isSyncReader = (reader: object): reader is SyncReader =>
  'getSync' in reader && typeof reader.getSync === 'function';

/** @param reader - a store or a snapshot */
export function getSync(reader: object, key: Bytes): Uint8Array | undefined {
  if (isSyncReader(reader)) return reader.getSync(key);
  throw new LevelError('LEVEL_NOT_SUPPORTED', 'Database does not support getSync()');
}
