// Goal: real LevelDB opens what this engine wrote, after a clean close and after a kill at any moment, and sees exactly
// what was acknowledged; and the files keep the invariants that both rely on.
// Method: random histories run in a process with the built package. After each end both engines read the directory (each
// its own copy of it, as the end left it), and an independent reader checks I1 to I7.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NodeFileSystem, type OpenOptions } from '../../src/index.ts';
import { EngineProcesses } from '../support/engine-process.ts';
import { apply, type Contents, contentsAfterKill, difference, historyOf, probesOf } from '../support/history.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { inspectTree, type TreeReport } from '../support/tree-invariants.ts';

const KIB = 1024;
const KEYS = 250;
const IN_FLIGHT_MAX = 32;
const probes = probesOf(KEYS);
const engines = new EngineProcesses();
let workspace = '';

beforeAll(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'alluvium-contract-'));
});
afterAll(async () => {
  await engines.end();
  await rm(workspace, { recursive: true, force: true });
});

interface Case {
  readonly name: string;
  readonly options: OpenOptions;
  readonly steps: number;
  readonly largeValues: number;
}

/** Small bounds, so that a few hundred writes make several levels. */
const CASES: readonly Case[] = [
  {
    name: 'snappy, no filter, tiny blocks',
    options: {
      filterBitsPerKey: 0,
      memtableBytesMax: 8 * KIB,
      blockBytesMax: 200,
      blockRestartInterval: 2,
      tableBytesMax: 4 * KIB,
      level1BytesMax: 16 * KIB,
      manifestBytesMax: 4 * KIB,
      syncIntervalMs: 5,
    },
    steps: 1000,
    largeValues: 0,
  },
  {
    name: 'no compression, filters of 10 bits, values of 1 MiB',
    options: {
      filterBitsPerKey: 10,
      compression: 'none',
      memtableBytesMax: 32 * KIB,
      tableBytesMax: 16 * KIB,
      level1BytesMax: 32 * KIB,
    },
    steps: 1000,
    largeValues: 3,
  },
  {
    name: 'snappy, filters of 20 bits, level 0 compacted at once',
    options: {
      filterBitsPerKey: 20,
      memtableBytesMax: 4 * KIB,
      tableBytesMax: 2 * KIB,
      level1BytesMax: 4 * KIB,
      level0CompactionTrigger: 1,
      groupBytesMax: 1,
    },
    steps: 300,
    largeValues: 1,
  },
];

const inspect = (directory: string): Promise<TreeReport> => inspectTree(new NodeFileSystem(), directory);

/** Both engines read copies of the directory as it is; the copies are gone afterwards. */
async function readByBoth(directory: string, options: OpenOptions) {
  const [forTheirs, forOurs] = [`${directory}.theirs`, `${directory}.ours`];
  await Promise.all([forTheirs, forOurs].map((copy) => cp(directory, copy, { recursive: true })));
  const [theirs, ours] = await Promise.all([
    engines.readAll('leveldb', forTheirs, { createIfMissing: false }, probes),
    engines.readAll('alluvium', forOurs, { ...options, createIfMissing: false }, probes),
  ]);
  const reports = await Promise.all([inspect(directory), inspect(forOurs)]);
  await Promise.all([forTheirs, forOurs].map((copy) => rm(copy, { recursive: true })));
  return { theirs, ours, violations: reports.flatMap(({ violations }) => violations) };
}

describe.each(CASES)('real LevelDB on directories of ours: $name', ({ name, options, steps: count, largeValues }) => {
  it('sees what was written, after a clean close', { timeout: PROPERTY_MS }, async () => {
    const seed = seedOfThisRun();
    const directory = join(workspace, `clean ${name}`);
    const steps = historyOf(randomOf(seed), { steps: count, keys: KEYS, largeValues });
    const contents: Contents = new Map();
    for (const step of steps) apply(contents, step);

    await engines.run('alluvium', directory, options, steps, IN_FLIGHT_MAX);
    const report = await inspect(directory);
    const { theirs, ours, violations } = await readByBoth(directory, options);

    expect(violations, `seed ${seed}`).toEqual([]);
    expect(difference(contents, theirs, probes), `LevelDB, seed ${seed}`).toBeUndefined();
    expect(difference(contents, ours, probes), `ours, seed ${seed}`).toBeUndefined();
    // Else this would have tested nothing.
    expect(report.tablesOfLevels.filter((count) => count > 0).length, String(report.tablesOfLevels)).toBeGreaterThan(1);
    expect(report.tablesOfLevels.slice(2).some((count) => count > 0)).toBe(true);
    expect(report.strays).toEqual([]);
  });

  it('sees what was acknowledged, after each of two kills', { timeout: PROPERTY_MS }, async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const directory = join(workspace, `killed ${name}`);
    let contents: Contents = new Map();
    for (let kill = 0; kill < runs(2); kill += 1) {
      const steps = historyOf(random, { steps: count, keys: KEYS, largeValues });
      const killAfter = Math.floor(random() * steps.length * 0.8);
      const where = `seed ${seed}, kill ${kill} after step ${killAfter}`;

      const acknowledged = await engines.runAndKill('alluvium', directory, options, steps, IN_FLIGHT_MAX, killAfter);
      const { theirs, ours, violations } = await readByBoth(directory, options);

      expect(acknowledged, where).toBeGreaterThanOrEqual(killAfter);
      expect(violations, where).toEqual([]);
      ({ contents } = contentsAfterKill(contents, steps, acknowledged, theirs));
      expect(difference(contents, theirs, probes), `LevelDB, ${where}`).toBeUndefined();
      expect(difference(contents, ours, probes), `ours, ${where}`).toBeUndefined();
    }
  });
});
