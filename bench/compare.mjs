/**
 * A gate against getting slower: builds two commits, and compares them on the same work in the same run.
 *
 * Ends with an error if the second is slower: if the ratio of the medians is worse than the tolerance allows, and the runs of
 * the two do not overlap. On a busy machine they do overlap: give it more runs, or a quieter machine.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { readArguments } from './support/arguments.mjs';
import { describeMachine, doubts } from './support/machine.mjs';
import { compareAll, formatCell, markdownTable } from './support/report.mjs';
import { runAll } from './support/runner.mjs';
import { withTemporaryDirectory } from './support/temporary.mjs';

/** @typedef {import('./engines/engine.mjs').Variant} Variant */
/** @typedef {import('./support/report.mjs').Comparison} Comparison */

const USAGE = `node bench/compare.mjs <commit before> <commit after> [options]
  A commit is anything that git understands, or a dot: the files as they are now.
  --quick            200,000 entries instead of 1,000,000, and shorter measurements
  --only name,...    only the questions whose names begin so
  --runs n           rounds (default 3)
  --tolerance part   how much slower is still no regression (default 0.1: a tenth)
  --dir path         where to make the stores; on a real disk
  --json path        also write everything that was measured`;

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BUILD_FILES = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'src'];

/**
 * Puts the sources of a commit into a directory of their own, and compiles them there with the tools that are installed
 * here. Nothing in the checkout or in git's own files is changed, so that there is nothing to clean up after a kill.
 *
 * @param {string} commit
 * @param {string} name
 * @param {string} into
 * @returns {Promise<Variant>}
 */
async function build(commit, name, into) {
  await mkdir(into);
  if (commit === '.') {
    for (const file of BUILD_FILES) await cp(join(ROOT, file), join(into, file), { recursive: true });
  } else {
    const archive = `${into}.tar`;
    await run('git', ['archive', '--output', archive, commit, ...BUILD_FILES], { cwd: ROOT });
    await run('tar', ['-xf', archive, '-C', into]);
  }
  await symlink(join(ROOT, 'node_modules'), join(into, 'node_modules'), 'junction');
  await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: into,
  });
  return { name, engine: 'alluvium', module: pathToFileURL(join(into, 'dist/index.js')).href };
}

/** Above 1: the second is better. @param {Comparison} comparison @returns {number | undefined} */
function gainOf({ row, ratio }) {
  if (ratio === undefined || !Number.isFinite(ratio) || ratio === 0) return undefined;
  return row.better === 'higher' ? ratio : 1 / ratio;
}

/** @param {Comparison} comparison @param {number} tolerance @returns {'slower' | 'faster' | 'as before' | 'no figure'} */
function verdictOf(comparison, tolerance) {
  const { row, ours, theirs } = comparison;
  const gain = gainOf(comparison);
  if (gain === undefined || ours === undefined || theirs === undefined) return 'no figure';
  const isAbove = ours.min > theirs.max;
  const isBelow = ours.max < theirs.min;
  const [isBetter, isWorse] = row.better === 'higher' ? [isAbove, isBelow] : [isBelow, isAbove];
  if (isWorse && gain < 1 - tolerance) return 'slower';
  return isBetter && gain > 1 + tolerance ? 'faster' : 'as before';
}

const { questions, scale, runs, directory, json, tolerance, rest } = readArguments(USAGE);
const [before, after] = rest;
if (before === undefined || after === undefined || rest.length > 2) {
  console.error(USAGE);
  process.exit(2);
}

await withTemporaryDirectory(directory, 'alluvium-compare-', async (workshop) => {
  for (const warning of await doubts(workshop)) console.error(`! ${warning}`);
  const old = await build(before, 'before', join(workshop, 'before'));
  const recent = await build(after, 'after', join(workshop, 'after'));
  const results = await runAll({
    questions,
    variantsOf: () => [old, recent],
    runs,
    scale,
    directory: workshop,
    onProgress: (line) => console.error(line),
  });
  const comparisons = compareAll(results, questions, recent, () => [old]);
  const verdicts = comparisons.map((comparison) => verdictOf(comparison, tolerance));
  console.log(
    markdownTable(
      ['work', `before (${before})`, `after (${after})`, 'gain', ''],
      comparisons.map((comparison, index) => {
        const { question, row } = comparison;
        const cell = (/** @type {Variant} */ variant) => formatCell(results, question, variant, row);
        const gain = gainOf(comparison);
        const verdict = verdicts[index] ?? 'no figure';
        return [row.work, cell(old), cell(recent), gain === undefined ? 'n/a' : `${gain.toFixed(2)} x`, verdict];
      }),
    ),
  );
  if (json !== undefined) {
    const machine = await describeMachine(directory);
    await writeFile(json, JSON.stringify({ before, after, machine, scale, results }, undefined, 2));
  }
  const slower = verdicts.filter((verdict) => verdict === 'slower').length;
  if (slower > 0) console.error(`${slower} of ${verdicts.length} figures are slower than before`);
  if (slower > 0 || results.hasFailures) process.exitCode = 1;
});
