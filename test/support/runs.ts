/**
 * How many runs a property gets, and from which seed.
 *
 * `ALLUVIUM_RUNS_FACTOR` multiplies the figures of `npm test` (10: a long night, 0.1: a quick look), `ALLUVIUM_SEED` repeats
 * a run that failed: the seed is in the message of the failure.
 */
const factor = Number(process.env['ALLUVIUM_RUNS_FACTOR'] ?? '1');
const givenSeed = process.env['ALLUVIUM_SEED'];

/** The number of runs: `base` in `npm test`. */
export const runs = (base: number): number => Math.max(1, Math.round(base * factor));

/** Parameters for `fc.assert`. */
export const runsOf = (base: number): { numRuns: number; seed?: number } =>
  givenSeed === undefined ? { numRuns: runs(base) } : { numRuns: runs(base), seed: Number(givenSeed) };

/** The seed of tests that draw their own numbers. */
export const seedOfThisRun = (): number =>
  givenSeed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(givenSeed);

/** A generator of numbers in [0, 1) that gives the same row for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Room for a property: its runs, and the shrinking of a failure. */
export const PROPERTY_MS: number = 60_000 * Math.max(1, factor);
