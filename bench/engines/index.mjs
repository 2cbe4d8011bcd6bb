/** All engines, by name. */
import { alluvium } from './alluvium.mjs';
import { classicLevel, memoryLevel } from './level.mjs';
import { lmdb } from './lmdb.mjs';
import { rocksdb } from './rocksdb.mjs';
import { sqlite } from './sqlite.mjs';

/** @type {Readonly<Record<import('./engine.mjs').EngineName, import('./engine.mjs').Engine>>} */
export const engines = {
  alluvium,
  'classic-level': classicLevel,
  rocksdb,
  lmdb,
  sqlite,
  'memory-level': memoryLevel,
};
