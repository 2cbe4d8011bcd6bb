// Goal: ten minutes in the life of a database, with all its parts at work on a disk that fails, in processes that die at any
// moment: every promise of durability, order and exactly-once holds; and each life can be lived again, event for event.
// Method: deterministic simulation. One seed decides about time, chance, the disk's latency and faults, and every crash.
import { describe, expect, it } from 'vitest';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { simulate, VIRTUAL_MS } from '../support/simulation.ts';

describe('a database in simulated time', () => {
  it('keeps its promises through faults and crashes', { timeout: 2 * PROPERTY_MS }, async () => {
    const random = randomOf(seedOfThisRun());
    const count = runs(2);
    for (let index = 0; index < count; index += 1) {
      // The seed of this run is that of its first life: what fails says a seed that can be given again.
      const seed = index === 0 ? seedOfThisRun() : Math.floor(random() * 2 ** 31);
      const { hash, virtualMs, ...figures } = await simulate(seed);
      expect(hash).toHaveLength(64);
      expect(virtualMs).toBeGreaterThanOrEqual(VIRTUAL_MS);
      recordFigures('T12', { seeds: 1, virtualMinutes: Math.round(virtualMs / 60_000), ...figures, violations: 0 });
    }
  });

  it('lives the same life again when it is given the same seed', { timeout: PROPERTY_MS }, async () => {
    const seed = seedOfThisRun();
    const first = await simulate(seed, 60_000);
    expect(await simulate(seed, 60_000)).toEqual(first);
    expect((await simulate(seed + 1, 60_000)).hash).not.toBe(first.hash);
    recordFigures('T12', { seedsRepeated: 1 });
  });
});
