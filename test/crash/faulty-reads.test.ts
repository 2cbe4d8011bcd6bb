// Goal (T8 of the plan): what a read gives wrongly is never believed: a flipped bit, too few bytes, an error, bytes of another
// place, bytes of another file of the same kind. Everything that is read is right, or fails with an error of ours.
// Method: the stores of T6 and one whose tables are made to be mistaken for each other (the same keys, the same sizes, other
// values); in each run one of the reads goes wrong, once or several times over, and all is read; with a cache and without.
import { afterAll, describe, expect, it } from 'vitest';
import { EngineError, IoError, MemoryFileSystem, open } from '../../src/index.ts';
import { rightOf, verdictOn } from '../support/damage-verdict.ts';
import { FaultyReads, READ_FAULTS, type ReadFault } from '../support/faulty-reads.ts';
import { recordFigures } from '../support/figures.ts';
import { DIRECTORY, richImages, SMALL } from '../support/rich-store.ts';
import { randomOf, runs, seedOfThisRun } from '../support/runs.ts';

const RUNS = 24;
const seed = seedOfThisRun();
const random = randomOf(seed);
const counts = { runs: 0, faults: 0, reads: 0, told: 0, rightAllTheSame: 0, silent: 0 };
afterAll(() => recordFigures('T8', counts));

/** Three tables of level 0 with the same keys and sizes: each block has two twins whose checksums are right. */
async function twins(): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem();
  const store = await open(DIRECTORY, { fileSystem, ...SMALL, compression: 'none' });
  for (const round of [1, 2, 3]) {
    for (let key = 0; key < 30; key += 1) await store.set(`k${10 + key}`, `value ${round} of ${10 + key}`);
    await store.flush();
  }
  await store.close();
  return fileSystem;
}

const { killed, closed } = await richImages();
const stores = [
  ['killed', killed],
  ['closed', closed],
  ['with twins', await twins()],
] as const;

describe.each(stores)('a store, %s', async (_, image) => {
  const right = await rightOf(image, DIRECTORY);
  const whole = new FaultyReads(image);
  await verdictOn(whole, right, 'without a fault');

  it.each(READ_FAULTS)('is right, or tells, when a read goes wrong: %s', { timeout: 0 }, async (fault) => {
    expect(whole.reads).toBeGreaterThan(20);
    let faults = 0;
    for (let run = 0; run < runs(RUNS); run += 1) {
      const done = await attack(fault, run);
      faults += done;
    }
    expect(faults).toBeGreaterThan(0);
  });

  async function attack(fault: ReadFault, run: number): Promise<number> {
    const fileSystem = new FaultyReads(image);
    const at = Math.floor(random() * whole.reads);
    const times = run % 2 === 0 ? 8 : 1;
    fileSystem.readPlan = { fault, at, times, random };
    const cache = run % 4 < 2 ? {} : { blockCacheBytesMax: 0 };
    counts.runs += 1;
    const what = `ALLUVIUM_SEED=${seed}: ${fault} from read ${at} on, ${times} times`;
    try {
      const { errors, events } = await verdictOn(fileSystem, right, what, cache);
      for (const error of errors) {
        // A disk that fails for good, and nothing else, is an IoError.
        if (fault === 'EIO') expect(error, what).toBeInstanceOf(EngineError);
        else expect(error instanceof IoError, `${what}: ${error.message}`).toBe(false);
      }
      if (errors.length > 0 || events.includes('historyLost')) counts.told += 1;
      else counts.rightAllTheSame += 1;
    } catch (error) {
      counts.silent += 1;
      throw new Error(`${fileSystem.done.join('; ')}: ${String(error)}`, { cause: error });
    }
    counts.faults += fileSystem.done.length;
    counts.reads += fileSystem.reads;
    return fileSystem.done.length;
  }
});
