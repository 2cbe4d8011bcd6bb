/** Options that no sensible person would set, so that every path is walked with a handful of entries. */
import fc from 'fast-check';
import type { OpenOptions } from '../../src/index.ts';

const KIB = 1024;

/** One small engine: each write causes flushes and compactions soon. */
export const TINY: OpenOptions = {
  memtableBytesMax: KIB,
  blockBytesMax: 1,
  blockCacheBytesMax: 0,
  blockRestartInterval: 1,
  level0CompactionTrigger: 1,
  level1BytesMax: KIB,
  tableBytesMax: KIB,
  manifestBytesMax: KIB,
  openTablesMax: 4,
  groupBytesMax: 1,
};

/** Each differs from the defaults in one respect; `TINY` in all of them. */
export const OPTION_SETS: Readonly<Record<string, OpenOptions>> = {
  defaults: {},
  'memtable 1 KiB': { memtableBytesMax: KIB },
  'memtable 2 KiB, one may wait': { memtableBytesMax: 2 * KIB, waitingMemtablesMax: 1 },
  'block 1 byte': { blockBytesMax: 1, memtableBytesMax: 2 * KIB },
  'no cache': { blockCacheBytesMax: 0, memtableBytesMax: 2 * KIB },
  'level-0 trigger 1': { level0CompactionTrigger: 1, memtableBytesMax: 2 * KIB },
  'level-0 stop 2': {
    level0CompactionTrigger: 1,
    level0SlowdownTrigger: 1,
    level0StopTrigger: 2,
    memtableBytesMax: 2 * KIB,
  },
  'table and level 1 of 1 KiB': {
    tableBytesMax: KIB,
    level1BytesMax: KIB,
    level0CompactionTrigger: 2,
    memtableBytesMax: 2 * KIB,
  },
  'no filter, restart 1': { filterBitsPerKey: 0, blockRestartInterval: 1, memtableBytesMax: 2 * KIB },
  'manifest 1 KiB': { manifestBytesMax: KIB, memtableBytesMax: KIB },
  'group 1 byte': { groupBytesMax: 1, waitingWritesMax: 1, waitingWriteBytesMax: 1 },
  buffered: { durability: 'buffered', syncIntervalMs: 1, memtableBytesMax: 2 * KIB },
  'no compression': { compression: 'none', memtableBytesMax: 2 * KIB, level0CompactionTrigger: 2 },
  'four open tables': { openTablesMax: 4, memtableBytesMax: KIB, level0CompactionTrigger: 100 },
  tiny: TINY,
  'tiny, buffered': { ...TINY, durability: 'buffered', syncIntervalMs: 1, compression: 'none', filterBitsPerKey: 0 },
};

export const namedOptions: fc.Arbitrary<OpenOptions> = fc
  .constantFrom(...Object.keys(OPTION_SETS))
  .map((name) => OPTION_SETS[name] ?? {});

/** Any mix of the absurd. */
export const randomOptions: fc.Arbitrary<OpenOptions> = fc.record(
  {
    memtableBytesMax: fc.constantFrom(KIB, 2 * KIB, 5 * KIB),
    waitingMemtablesMax: fc.integer({ min: 1, max: 3 }),
    blockBytesMax: fc.constantFrom(1, 64, 4096),
    blockCacheBytesMax: fc.constantFrom(0, 500, 10_000),
    blockRestartInterval: fc.constantFrom(1, 2, 16),
    level0CompactionTrigger: fc.constantFrom(1, 2, 4),
    level0SlowdownTrigger: fc.constantFrom(2, 8),
    level0StopTrigger: fc.constantFrom(4, 20),
    level1BytesMax: fc.constantFrom(KIB, 10 * KIB),
    tableBytesMax: fc.constantFrom(KIB, 4 * KIB),
    manifestBytesMax: fc.constantFrom(KIB, 4 * KIB),
    openTablesMax: fc.constantFrom(4, 10),
    groupBytesMax: fc.constantFrom(1, 100, 10_000),
    filterBitsPerKey: fc.constantFrom(0, 1, 10),
    compression: fc.constantFrom('none', 'snappy'),
    durability: fc.constantFrom('synced', 'buffered'),
    syncIntervalMs: fc.constantFrom(1, 50),
  },
  { requiredKeys: ['memtableBytesMax'] },
);
