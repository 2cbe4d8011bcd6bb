// `npm run test:nodes [-- --only 22] [--allow-missing] [-- what vitest takes: files, -t name]`: the suite on each Node that
// package.json claims, one after the other, and at the end which ones ran and what came of it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { majors, obtain } from './obtain.mjs';

const root = join(import.meta.dirname, '../..');

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { only: { type: 'string', multiple: true }, 'allow-missing': { type: 'boolean', default: false } },
    });
    const chosen = values.only?.flatMap((list) => list.split(',')) ?? majors;
    for (const major of chosen) {
      if (!majors.includes(major)) throw new Error(`--only takes ${majors.join(', ')}, not ${major}`);
    }
    return { chosen, isMissingAllowed: values['allow-missing'], forVitest: positionals };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

/** Everything that a test starts by the name `node`, npm included, is the same Node as the one that runs the tests. */
function environmentFor(folder, report) {
  const node = join(folder, 'node');
  const path = `${folder}${delimiter}${process.env.PATH}`;
  return { ...process.env, PATH: path, NODE: node, npm_node_execpath: node, TEST_SUMMARY_FILE: report };
}

/** @returns the line of counts, and whether all is well */
function runSuite(folder, forVitest) {
  const reports = mkdtempSync(join(tmpdir(), 'alluvium-nodes-'));
  try {
    const report = join(reports, 'report.json');
    const node = join(folder, 'node');
    const env = environmentFor(folder, report);
    const suite = spawnSync(node, ['node_modules/vitest/vitest.mjs', 'run', ...forVitest], {
      cwd: root,
      env,
      stdio: 'inherit',
    });
    const counted = spawnSync(node, ['.ci/summary.mjs', report], { cwd: root, encoding: 'utf8' });
    const counts = counted.stdout.trim() || 'no report';
    const ending = suite.status === 0 ? '' : `, vitest ended with ${suite.status ?? suite.signal}`;
    return { isGood: suite.status === 0 && counted.status === 0, text: counts + ending };
  } finally {
    rmSync(reports, { recursive: true, force: true });
  }
}

function tryOn(major, forVitest) {
  let node;
  try {
    node = obtain(major);
  } catch (error) {
    return { name: `Node ${major}`, isMissing: true, isGood: false, text: `not run: ${error.message}` };
  }
  const name = `Node ${node.version}`;
  console.log(`\n=== ${name} ===`);
  const start = performance.now();
  const { isGood, text } = runSuite(node.folder, forVitest);
  const seconds = Math.round((performance.now() - start) / 1000);
  return { name, isMissing: false, isGood, text: `${text}, in ${seconds} s` };
}

const { chosen, isMissingAllowed, forVitest } = readArguments();
const outcomes = chosen.map((major) => tryOn(major, forVitest));

console.log(`\n${forVitest.length === 0 ? 'The whole suite' : `vitest run ${forVitest.join(' ')}`}`);
for (const { name, isGood, isMissing, text } of outcomes) {
  console.log(`${isGood ? 'ok     ' : isMissing ? 'MISSING' : 'NOT OK '}  ${name.padEnd(13)}  ${text}`);
}
const isAccepted = ({ isGood, isMissing }) => isGood || (isMissing && isMissingAllowed);
process.exitCode = outcomes.every(isAccepted) && outcomes.some(({ isGood }) => isGood) ? 0 : 1;
