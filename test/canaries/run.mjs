// `npm run test:canaries [-- --only ack-before-sync,...]`: bugs are planted one by one, in a copy of the sources, and the test
// that is named for each has to notice. A canary that lives, or that cannot be planted any more, fails the run.
//
// A canary is a patch behind three lines: what it breaks, the test file that must notice, and the name of the test there.
import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '../..');
const COPIED = ['src', 'adapters', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const COUNT_MIN = 12;

function readCanary(name) {
  const file = join(import.meta.dirname, name);
  const [head = '', ...rest] = readFileSync(file, 'utf8').split('\n\n');
  const field = (word) => new RegExp(`^${word}: (.+)$`, 'm').exec(head)?.[1];
  const canary = { name: name.slice(0, -'.patch'.length), file, breaks: field('breaks'), test: field('test') };
  const title = field('name');
  if (canary.breaks === undefined || canary.test === undefined || title === undefined || rest.length === 0) {
    throw new Error(`${name} lacks one of its lines: breaks, test, name, and the patch behind an empty line`);
  }
  return { ...canary, title };
}

function makeCopy() {
  const folder = mkdtempSync(join(tmpdir(), 'alluvium-canaries-'));
  for (const name of COPIED) cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir');
  return folder;
}

/** The results of the tests of that name. */
function runTest(folder, { test, title }) {
  const report = join(folder, 'report.json');
  rmSync(report, { force: true });
  const pattern = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const words = [
    'vitest',
    'run',
    test,
    '-t',
    pattern,
    '--typecheck.enabled=false',
    '--reporter=json',
    `--outputFile=${report}`,
  ];
  spawnSync('npx', words, { cwd: folder, stdio: 'ignore', env: { ...process.env, ALLUVIUM_FIGURES_FILE: undefined } });
  try {
    const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
    const results = testResults.flatMap(({ assertionResults }) => assertionResults);
    return results.filter(({ title: given }) => given.includes(title)).map(({ status }) => status);
  } catch {
    return []; // it did not get as far as a report
  }
}

const git = (folder, ...words) => spawnSync('git', words, { cwd: folder, encoding: 'utf8' });

/** What is wrong; `undefined`: the bug was noticed, and nothing else was wrong before. */
function verdictOn(canary, folder) {
  const sound = runTest(folder, canary);
  if (!sound.includes('passed')) return 'its test is not there';
  if (sound.includes('failed')) return 'its test fails without it';
  // Lines may have moved, and what stands around them changed a little.
  const planted = git(folder, 'apply', '-C1', canary.file);
  if (planted.status !== 0) return `it cannot be planted: ${planted.stderr.trim()}`;
  const broken = runTest(folder, canary);
  if (git(folder, 'apply', '-C1', '--reverse', canary.file).status !== 0)
    throw new Error('a canary cannot be taken back');
  if (broken.length === 0) return 'its test did not come to a result';
  return broken.includes('failed') ? undefined : 'IT LIVES';
}

const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } });
const only = values.only?.flatMap((list) => list.split(','));
const canaries = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.patch'))
  .map(readCanary)
  .filter(({ name }) => only?.includes(name) ?? true);
const folder = makeCopy();
let failures = 0;
try {
  for (const canary of canaries) {
    const verdict = verdictOn(canary, folder);
    if (verdict !== undefined) failures += 1;
    console.log(`${verdict === undefined ? 'caught' : 'FAILED'}  ${canary.name}: ${verdict ?? canary.breaks}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (only === undefined && canaries.length < COUNT_MIN) {
  console.log(`FAILED  there are ${canaries.length} canaries, and ${COUNT_MIN} are the least`);
  failures += 1;
}
console.log(`${canaries.length - failures} of ${canaries.length} planted bugs were caught by their tests.`);
const figures = process.env.ALLUVIUM_FIGURES_FILE;
if (figures !== undefined) {
  const line = { part: 'T20', figures: { 'planted bugs': canaries.length, caught: canaries.length - failures } };
  appendFileSync(figures, `${JSON.stringify(line)}\n`);
}
process.exit(failures === 0 && canaries.length > 0 ? 0 : 1);
