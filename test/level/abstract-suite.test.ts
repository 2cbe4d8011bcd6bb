// Goal: `alluvium/level` is an abstract-level database. Method: the whole of abstract-level's own suite, on the built package,
// in a process of its own.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Level } from 'alluvium/level';
import { temporaryDirectories } from '../support/temporary.ts';

const makeDirectory = temporaryDirectories();

/** Assertions that classic-level 3.0.0 passes in the suite of abstract-level 3.1.1, by the same runner; with getSync masked. */
const CLASSIC_LEVEL = 5168;
const CLASSIC_LEVEL_WITHOUT_GET_SYNC = 4708;

const runSuite = (): Promise<string> =>
  new Promise((resolve) => {
    const child = join(import.meta.dirname, 'abstract-suite-child.mjs');
    const settings = { maxBuffer: 64 * 1024 * 1024 };
    // Failed assertions make an exit code; what they are is in the output.
    execFile(process.execPath, [child, 'alluvium', makeDirectory()], settings, (_, stdout) => resolve(stdout));
  });

it("passes abstract-level's suite, no less of it than classic-level", { timeout: 300_000 }, async () => {
  const output = await runSuite();
  const count = (what: string): number => Number(new RegExp(`^# ${what} +(\\d+)$`, 'm').exec(output)?.[1] ?? 0);

  expect(output.split('\n').filter((line) => /^not ok|SKIP|TODO/.test(line))).toEqual([]);
  expect(count('fail')).toBe(0);
  expect(count('tests')).toBe(count('pass'));
  const db = new Level(makeDirectory());
  const hasGetSync = 'getSync' in db.supports && db.supports.getSync === true; // its types leave it out
  expect(count('pass')).toBeGreaterThanOrEqual(hasGetSync ? CLASSIC_LEVEL : CLASSIC_LEVEL_WITHOUT_GET_SYNC);
  await db.close();
});
