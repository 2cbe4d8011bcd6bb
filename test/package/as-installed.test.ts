// Goal: the package works as users get it: installed by npm with scripts blocked, imported or required, in a worker thread
// and in a bundle; and where no worker thread can be started, tables are written on the main thread, in slices, and that is told.
// Method: npm installs the packed tarball into an empty project, with copies of our own dependencies, so that no network is
// needed; programs there fill a store, compact it, read it back and print what came of it.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');

/** What a program prints. */
interface Outcome {
  readonly wrong: number;
  readonly jobs: readonly string[];
  readonly fallbacks: readonly string[];
  /** The part of the work on tables that was done without giving the event loop a turn, at most. */
  readonly longestTurn: number;
}

// Two flushes that are worth a worker thread, and a compaction of both. What a turn takes is counted in the processor's
// time, because on a busy machine the time on the wall says little.
const work = `
  async function work(open, directory) {
    const events = [];
    const sizes = { memtableBytesMax: 2 ** 24, tableBytesMax: 2 ** 23 };
    const store = await open(directory, { ...sizes, durability: 'buffered', onEvent: (event) => events.push(event) });
    const keys = Array.from({ length: 10000 }, (_, index) => 'key ' + ((index * 7919) % 10000));
    const valueOf = (key, round) => round + ' ' + key + 'x'.repeat(600);
    const usedMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
    const turns = [];
    for (const round of [1, 2]) {
      for (let from = 0; from < keys.length; from += 500) {
        const some = keys.slice(from, from + 500);
        await store.write(some.map((key) => ({ type: 'set', key, value: valueOf(key, round) })));
      }
      let last = usedMs();
      const turn = () => { const now = usedMs(); turns.push(now - last); last = now; };
      const timer = setInterval(turn, 1);
      await store.flush();
      if (round === 2) await store.compact();
      turn();
      clearInterval(timer);
    }
    const values = await store.getMany(keys);
    const wrong = values.filter((value, index) => Buffer.from(value ?? '').toString() !== valueOf(keys[index], 2)).length;
    await store.close();
    const jobs = events.map(({ type }) => type).filter((type) => type.endsWith('End'));
    const fallbacks = events.filter(({ type }) => type === 'workerUnavailable').map(({ error }) => String(error));
    return { wrong, jobs, fallbacks, longestTurn: Math.max(...turns) / turns.reduce((sum, used) => sum + used, 0) };
  }`;

let project = '';

/** The packages and all that these need, as npm has put them into this checkout. */
async function withNeeds(names: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>(names);
  for (const name of found) {
    const manifest = JSON.parse(await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8')) as {
      readonly dependencies?: Readonly<Record<string, string>>;
    };
    for (const needed of Object.keys(manifest.dependencies ?? {})) found.add(needed);
  }
  return [...found].map((name) => join(root, 'node_modules', name));
}

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'alluvium-installed-'));
  const cache = ['--cache', join(project, 'npm-cache')]; // empty: what it took from the network, it would miss here
  const pack = ['pack', '--ignore-scripts', ...cache, '--pack-destination', project];
  const tarball = (await run('npm', pack, { cwd: root })).stdout.trim();
  await writeFile(join(project, 'package.json'), '{ "private": true }');
  const needs = await withNeeds(['fp-ts', 'rxjs', 'fs-native-extensions', 'abstract-level']);
  const how = ['--ignore-scripts', '--offline', '--install-links', '--no-audit', '--no-fund', ...cache];
  await run('npm', ['install', ...how, `./${tarball}`, ...needs], { cwd: project });
}, 120_000);
afterAll(() => rm(project, { recursive: true, force: true }));

/** Runs a file of the project, which is given a directory for its store. */
async function runFile(file: string, flags: readonly string[] = []): Promise<Outcome> {
  const directory = join(await mkdtemp(join(project, 'data-')), 'store');
  const { stdout } = await run(process.execPath, [...flags, file, directory], { cwd: project, timeout: 60_000 });
  return JSON.parse(stdout) as Outcome;
}

async function runProgram(name: string, program: string, flags?: readonly string[]): Promise<Outcome> {
  await writeFile(join(project, name), program);
  return runFile(name, flags);
}

const asModule = `import { open } from 'alluvium';${work}
  console.log(JSON.stringify(await work(open, process.argv[2])));`;

function expectGood(outcome: Outcome): void {
  expect(outcome).toMatchObject({ wrong: 0, jobs: ['flushEnd', 'flushEnd', 'compactionEnd'] });
}

function expectInWorker(outcome: Outcome): void {
  expectGood(outcome);
  expect(outcome.fallbacks).toEqual([]);
}

function expectOnMainThread(outcome: Outcome, reason: RegExp): void {
  expectGood(outcome);
  expect(outcome.fallbacks).toEqual([expect.stringMatching(reason)]);
  expect(outcome.longestTurn).toBeLessThan(1 / 6); // seen: 1/10 in slices of 4 ms, 1/4 without slices
}

describe('the installed package', { timeout: 60_000 }, () => {
  it('is imported', async () => {
    expectInWorker(await runProgram('imports.mjs', asModule));
  });

  it('is required', async () => {
    const program = `const { open } = require('alluvium');${work}
      work(open, process.argv[2]).then((outcome) => console.log(JSON.stringify(outcome)));`;

    expectInWorker(await runProgram('requires.cjs', program));
  });

  it.each(['import', 'require'])('has its other doors, too, by %s', async (way) => {
    const [name, program] =
      way === 'require'
        ? ['doors.cjs', `const o = require('alluvium/operators'), l = require('alluvium/level');`]
        : ['doors.mjs', `import * as o from 'alluvium/operators'; import * as l from 'alluvium/level';`];
    await writeFile(join(project, name), `${program} console.log(typeof o.boundedConcatMap, Object.keys(l).join());`);

    const { stdout } = await run(process.execPath, [name], { cwd: project });

    expect(stdout).toMatch(/^function .*\bLevel\b/);
  });

  it('works in a worker thread', async () => {
    await writeFile(
      join(project, 'thread.mjs'),
      `import { parentPort, workerData } from 'node:worker_threads';
       import { open } from 'alluvium';${work}
       parentPort.postMessage(await work(open, workerData));`,
    );
    const program = `import { Worker } from 'node:worker_threads';
      const worker = new Worker(new URL('./thread.mjs', import.meta.url), { workerData: process.argv[2] });
      worker.on('message', (outcome) => console.log(JSON.stringify(outcome)));`;

    expectInWorker(await runProgram('threads.mjs', program));
  });

  it('has its program', async () => {
    const [program, directory] = [join(project, 'node_modules/.bin/alluvium'), join(project, 'by-hand')];
    await run(program, ['set', directory, 'river', 'Po', '--create']);

    expect((await run(program, ['get', directory, 'river'])).stdout).toBe('Po\n');
  });
});

describe('in a bundle', { timeout: 60_000 }, () => {
  /** Bundles a program, by itself or with more entries, into a folder from where no package can be found. */
  const bundle = async (format: 'esm' | 'cjs', more: Readonly<Record<string, string>> = {}): Promise<string> => {
    const outdir = await mkdtemp(join(tmpdir(), 'alluvium-bundle-'));
    const main = join(project, `bundled-${format}.mjs`);
    const program = `import { open } from 'alluvium';${work}
      work(open, process.argv[2]).then((outcome) => console.log(JSON.stringify(outcome)));`;
    await writeFile(main, program);
    await writeFile(join(outdir, 'package.json'), JSON.stringify({ type: format === 'esm' ? 'module' : 'commonjs' }));
    const entryPoints = { main, ...more };
    await build({ entryPoints, outdir, format, bundle: true, platform: 'node', target: 'node20', logLevel: 'silent' });
    return outdir;
  };
  const runBundle = async (outdir: string): Promise<Outcome> => {
    try {
      return await runFile(join(outdir, 'main.js'));
    } finally {
      await rm(outdir, { recursive: true, force: true });
    }
  };

  it("goes on without the worker's file, and says so", async () => {
    expectOnMainThread(await runBundle(await bundle('esm')), /worker-main\.js/);
  });

  it('goes on where a bundle has no address, as in CommonJS, and says so', async () => {
    expectOnMainThread(await runBundle(await bundle('cjs')), /Invalid URL/);
  });

  it('has a worker where its file is bundled beside', async () => {
    const worker = join(project, 'node_modules/alluvium/dist/storage/compaction/worker-main.js');

    expectInWorker(await runBundle(await bundle('esm', { 'worker-main': worker })));
  });
});

describe('where no thread may be started', { timeout: 60_000 }, () => {
  it('goes on without, and says so', async () => {
    const preload = `import threads from 'node:worker_threads';
      import { syncBuiltinESMExports } from 'node:module';
      threads.Worker = class { constructor() { throw new Error('no threads here'); } };
      syncBuiltinESMExports();`;
    await writeFile(join(project, 'no-threads.mjs'), preload);

    expectOnMainThread(await runProgram('alone.mjs', asModule, ['--import', './no-threads.mjs']), /no threads here/);
  });
});
