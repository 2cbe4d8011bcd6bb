/**
 * How the tables of a level are written. Shallow levels get more filter bits: each holds a tenth of the next one's keys,
 * so five more bits there cost little memory, and they are asked first for every missing key (Monkey, Dayan et al.,
 * SIGMOD 2017). LevelDB reads any number of bits.
 */
import type { EngineOptions } from '../options.ts';
import type { TableOptions } from '../table/table-builder.ts';

/** ln(10) / ln(2)^2: what makes the false positive rate of a level ten times smaller than that of the next one. */
const BITS_PER_LEVEL = 5;
/** More than two levels' worth cost time in every read and save none. */
const EXTRA_BITS_MAX = 10;

export function tableOptionsFor(options: EngineOptions, level: number, deepestLevel: number): TableOptions {
  const { blockBytesMax, blockRestartInterval, compression, filterBitsPerKey } = options;
  const extra = Math.min(EXTRA_BITS_MAX, BITS_PER_LEVEL * Math.max(0, deepestLevel - level));
  return {
    blockBytesMax,
    restartInterval: blockRestartInterval,
    compression,
    filterBitsPerKey: filterBitsPerKey === 0 ? 0 : filterBitsPerKey + extra,
  };
}
