// Goal: this engine and real LevelDB can have one directory in turns, closed or killed, and never disagree on what is in it.
// Method: each turn is a random history on the directory as the turns before left it. After each, both open it, one after
// the other in either order, and must read what the model has; then its files are inspected. A turn that begins with the
// other's log, tables and MANIFEST is what this is about, so the checks between are part of it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NodeFileSystem, type OpenOptions } from '../../src/index.ts';
import { type EngineKind, EngineProcesses } from '../support/engine-process.ts';
import { apply, type Contents, contentsAfterKill, difference, historyOf, probesOf } from '../support/history.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { inspectTree } from '../support/tree-invariants.ts';

const KIB = 1024;
const KEYS = 300;
const TURNS = 16;
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

const OUR_OPTIONS: readonly OpenOptions[] = [
  {},
  { memtableBytesMax: 16 * KIB, tableBytesMax: 8 * KIB, level1BytesMax: 16 * KIB },
  { memtableBytesMax: 4 * KIB, blockBytesMax: 1, filterBitsPerKey: 0, compression: 'none', level0CompactionTrigger: 1 },
  { memtableBytesMax: 64 * KIB, blockRestartInterval: 1, filterBitsPerKey: 20, manifestBytesMax: KIB, worker: 'off' },
];
const THEIR_OPTIONS = [
  {},
  { writeBufferSize: 64 * KIB },
  { writeBufferSize: 64 * KIB, compression: false, blockSize: 300, blockRestartInterval: 3 },
];

it('both see the same after each turn', { timeout: 2 * PROPERTY_MS }, async () => {
  const seed = seedOfThisRun();
  const random = randomOf(seed);
  const oneOf = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const optionsOf = (kind: EngineKind): object => oneOf<object>(kind === 'alluvium' ? OUR_OPTIONS : THEIR_OPTIONS);
  const directory = join(workspace, 'turns');
  let contents: Contents = new Map();
  for (let turn = 0; turn < runs(TURNS); turn += 1) {
    const kind = turn % 2 === 0 ? 'alluvium' : 'leveldb';
    const isKilled = turn % 4 > 1;
    const steps = historyOf(random, {
      steps: 20 + Math.floor(random() * 300),
      keys: KEYS,
      largeValues: turn % 8 === 5 ? 1 : 0,
    });
    const options = optionsOf(kind);
    const where = `seed ${seed}, turn ${turn} of ${kind}${isKilled ? ', killed' : ''} with ${JSON.stringify(options)}`;
    const inFlightMax = kind === 'alluvium' ? 32 : 1; // of LevelDB's writes in flight, any may come first
    const order = random() < 0.5 ? (['alluvium', 'leveldb'] as const) : (['leveldb', 'alluvium'] as const);

    if (isKilled) {
      const killAfter = Math.floor(random() * steps.length * 0.9);
      const acknowledged = await engines.runAndKill(kind, directory, options, steps, inFlightMax, killAfter);
      const reading = await engines.readAll(order[0], directory, optionsOf(order[0]), probes);
      ({ contents } = contentsAfterKill(contents, steps, acknowledged, reading));
      expect(difference(contents, reading, probes), `${order[0]} first, ${where}`).toBeUndefined();
    } else {
      await engines.run(kind, directory, options, steps, inFlightMax);
      for (const step of steps) apply(contents, step);
    }
    for (const reader of order) {
      const reading = await engines.readAll(reader, directory, optionsOf(reader), probes);
      expect(difference(contents, reading, probes), `${reader} reads, ${where}`).toBeUndefined();
    }
    expect((await inspectTree(new NodeFileSystem(), directory)).violations, where).toEqual([]);
  }
  expect(contents.size).toBeGreaterThan(KEYS / 4);
});
