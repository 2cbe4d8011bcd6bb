// Goal: backup, restore, import and repair, as a user runs them, may be killed at any moment: nothing half is taken for whole,
// nothing that was there before is lost, and the next try does it, or tells clearly what is in its way. Method: the built
// program, killed with SIGKILL at random moments: half of them in all of its life, half of them while it writes; then what it
// has left is looked at, and it is begun again. Trust: `npm run test:trust -- --only CLI`.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { open, repair, verify } from '../../src/index.ts';
import { alluvium, startAlluvium } from '../support/command-line.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();
const KILLS = runs(1);
const IS_SHORT = KILLS < 5;
const ENTRIES = IS_SHORT ? 3000 : 6000;
/** In `npm test` two of the four commands, each time others. */
const PICKED: readonly string[] = IS_SHORT
  ? ['backup', 'import', 'restore', 'repair', 'backup'].slice(seedOfThisRun() % 4).slice(0, 2)
  : ['backup', 'import', 'restore', 'repair'];
const TIMEOUT_MS = 4 * PROPERTY_MS;

const lineOf = (n: number): readonly [string, string] => [
  `key ${String(n).padStart(6, '0')}`,
  `value of ${n} `.repeat(4),
];
const WHOLE: ReadonlyMap<string, string> = new Map(Array.from({ length: ENTRIES }, (_, n) => lineOf(n)));

/** What a database holds; it is whole, or this throws. */
async function contentOf(location: string): Promise<ReadonlyMap<string, string>> {
  const report = await verify(location);
  expect(report.findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  const store = await open(location, { createIfMissing: false });
  const found = new Map<string, string>();
  for await (const page of store.scan().pages()) {
    for (const { key, value } of page) found.set(Buffer.from(key).toString(), Buffer.from(value).toString());
  }
  await store.close();
  return found;
}

/** Hundreds of tables, history, and a log. */
async function makeSource(location: string): Promise<void> {
  const store = await open(location, { memtableBytesMax: 64 * 1024, tableBytesMax: 4096, worker: 'off' });
  for (let n = 0; n < ENTRIES; n += 100) {
    const lines = Array.from({ length: 100 }, (_, index) => lineOf(n + index));
    await store.write(
      lines.map(([key, value]) => ({ type: 'set', key, value })),
      { durability: 'buffered' },
    );
  }
  await store.close();
}

interface Figures {
  kills: number;
  /** It had begun to write, and had not ended. */
  midway: number;
  /** It had ended before. */
  late: number;
  /** The next try said what was in its way, and did it when that was moved away. */
  told: number;
}

/**
 * Runs the command and kills it.
 *
 * @param hasBegun - whether it writes
 * @param usualMs - how long it takes, and how long of that it writes
 */
async function kill(
  words: readonly string[],
  hasBegun: () => boolean,
  usualMs: readonly [all: number, writing: number],
  random: () => number,
  figures: Figures,
): Promise<void> {
  const { child, outcome } = startAlluvium(words);
  child.stdin?.end();
  const state = { isOver: false };
  const ended = outcome.then(() => void (state.isOver = true));
  const wait = (ms: number): Promise<unknown> => Promise.race([ended, new Promise((r) => setTimeout(r, ms))]);
  if (random() < 0.5) await wait(random() * usualMs[0] * 1.1);
  else {
    while (!state.isOver && !hasBegun()) await wait(1);
    await wait(random() * usualMs[1]);
  }
  figures.kills += 1;
  if (state.isOver) figures.late += 1;
  else if (hasBegun()) figures.midway += 1;
  child.kill('SIGKILL');
  await ended;
}

/** How long a run takes that nobody ends, and how long of that it writes. */
async function usual(words: readonly string[], hasBegun: () => boolean): Promise<readonly [number, number]> {
  if (IS_SHORT) return [800, 60];
  const start = performance.now();
  const { child, outcome } = startAlluvium(words);
  child.stdin?.end();
  let begun = Infinity;
  const look = setInterval(() => {
    if (hasBegun()) begun = Math.min(begun, performance.now());
  }, 1);
  const { code, stderr } = await outcome;
  clearInterval(look);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const end = performance.now();
  return [end - start, Math.max(5, end - begun)];
}

function newFigures(): Figures {
  return { kills: 0, midway: 0, late: 0, told: 0 };
}

function record(what: string, figures: Figures): void {
  const named = Object.entries(figures).map(([name, count]) => [`${what} ${name}`, count as number]);
  recordFigures('CLI', { ...(Object.fromEntries(named) as Record<string, number>), violations: 0 });
}

describe('killed at any moment', { timeout: TIMEOUT_MS }, () => {
  let source = '';
  let damaged = '';
  let lines = '';
  beforeAll(async () => {
    const folder = directory();
    source = join(folder, 'source');
    await makeSource(source);
    lines = join(folder, 'lines.ndjson');
    writeFileSync(lines, [...WHOLE].map(([key, value]) => `${JSON.stringify({ key, value })}\n`).join(''));
    damaged = join(folder, 'damaged');
    cpSync(source, damaged, { recursive: true });
    const tables = readdirSync(damaged).filter((name) => name.endsWith('.ldb'));
    for (const name of tables.filter((_, index) => index % 7 === 3)) {
      const bytes = readFileSync(join(damaged, name));
      bytes.fill(0, 100, 180); // within its first block
      writeFileSync(join(damaged, name), bytes);
    }
    rmSync(join(damaged, 'CURRENT'));
  }, TIMEOUT_MS);

  /** What copies a database to a place that is new. */
  const copies = async (verb: 'backup' | 'restore'): Promise<void> => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const figures = newFigures();
    const target = join(directory(), 'copy');
    const words = [verb, source, target];
    const hasBegun = (): boolean => existsSync(`${target}.partial`);
    const usualMs = await usual(words, hasBegun);
    for (let count = 0; count < KILLS; count += 1) {
      const told = `ALLUVIUM_SEED=${seed}, kill ${count}`;
      rmSync(target, { recursive: true, force: true });
      await kill(words, hasBegun, usualMs, random, figures);
      if (existsSync(target)) expect(await contentOf(target), told).toEqual(WHOLE);
      else {
        let again = await alluvium(words);
        if (again.code !== 0) {
          // Complete but for its name, which it was about to get.
          expect(again, told).toMatchObject({
            code: 1,
            stderr: expect.stringContaining('Move it away first') as string,
          });
          expect(await contentOf(`${target}.partial`), told).toEqual(WHOLE);
          rmSync(`${target}.partial`, { recursive: true });
          figures.told += 1;
          again = await alluvium(words);
        }
        expect(again, told).toMatchObject({ code: 0, stderr: '' });
        expect(await contentOf(target), told).toEqual(WHOLE);
      }
      expect(existsSync(`${target}.partial`), told).toBe(false);
    }
    expect(await contentOf(source)).toEqual(WHOLE);
    record(verb, figures);
  };

  it.runIf(PICKED.includes('backup'))('backup makes a whole copy or none', () => copies('backup'));
  it.runIf(PICKED.includes('restore'))('restore makes a whole copy or none', () => copies('restore'));

  it.runIf(PICKED.includes('import'))('import keeps what it has taken in, in order, and goes on', async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const figures = newFigures();
    const store = join(directory(), 'store');
    const words = ['import', store, lines, '--create'];
    const hasBegun = (): boolean => existsSync(join(store, 'CURRENT'));
    const usualMs = await usual(words, hasBegun);
    for (let count = 0; count < KILLS; count += 1) {
      const told = `ALLUVIUM_SEED=${seed}, kill ${count}`;
      rmSync(store, { recursive: true, force: true });
      let least = 0;
      // Killed again, into what is there already: nothing of it goes away.
      for (let round = 0; round < 2; round += 1) {
        await kill(words, hasBegun, usualMs, random, figures);
        if (!hasBegun()) continue;
        const found = await contentOf(store);
        expect([...found], told).toEqual([...WHOLE].slice(0, found.size));
        expect(found.size, told).toBeGreaterThanOrEqual(least);
        expect(found.size % 1000, told).toBe(0); // its batches
        least = found.size;
      }
      expect(await alluvium(words), told).toMatchObject({ code: 0, stderr: '' });
      expect(await contentOf(store), told).toEqual(WHOLE);
    }
    record('import', figures);
  });

  it.runIf(PICKED.includes('repair'))('repair brings back the same, and deletes nothing', async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const figures = newFigures();
    const folder = directory();
    const wanted = join(folder, 'wanted');
    cpSync(damaged, wanted, { recursive: true });
    await repair(wanted);
    const readable = await contentOf(wanted);
    expect(readable.size).toBeLessThan(ENTRIES);
    expect(readable.size).toBeGreaterThan(ENTRIES / 2);
    const before = bytesIn(damaged);

    const store = join(folder, 'store');
    const words = ['repair', store, '--yes'];
    const begin = (): void => {
      rmSync(store, { recursive: true, force: true });
      cpSync(damaged, store, { recursive: true });
    };
    const names = new Set(readdirSync(damaged));
    const hasBegun = (): boolean => readdirSync(store).some((name) => !names.has(name) && !/lock/i.test(name));
    begin();
    const usualMs = await usual(words, hasBegun);
    for (let count = 0; count < KILLS; count += 1) {
      const told = `ALLUVIUM_SEED=${seed}, kill ${count}`;
      begin();
      await kill(words, hasBegun, usualMs, random, figures);
      if (random() < 0.5) await kill(words, hasBegun, usualMs, random, figures);
      const after = bytesIn(store);
      expect(
        [...before].filter((bytes) => !after.has(bytes)),
        told,
      ).toEqual([]);
      expect(await alluvium(words), told).toMatchObject({ code: 0, stderr: '' });
      expect(await contentOf(store), told).toEqual(readable);
      const at = bytesIn(store);
      expect(
        [...before].filter((bytes) => !at.has(bytes)),
        told,
      ).toEqual([]);
    }
    record('repair', figures);
  });
});

/** The contents of all tables and logs, wherever they lie by now. */
function bytesIn(location: string): ReadonlySet<string> {
  const files = readdirSync(location, { recursive: true, withFileTypes: true });
  return new Set(
    files
      .filter((entry) => entry.isFile() && /\.(ldb|log)$/.test(entry.name))
      .map(({ parentPath, name }) => readFileSync(join(parentPath, name)).toString('base64')),
  );
}
