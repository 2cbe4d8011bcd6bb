// `npm run test:ecosystem`: published packages that take an abstract-level database, on ours, unchanged. Their own suites
// where they publish them, else a workload. They are installed into a folder of their own, without running any script.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const packages = join(import.meta.dirname, 'packages');
const run = (command, given) =>
  spawnSync(command, given, { cwd: packages, encoding: 'utf8', timeout: 600_000, maxBuffer: 64 * 1024 * 1024 });

if (!existsSync(join(packages, 'node_modules'))) {
  const { status, stderr } = run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
  if (status !== 0) {
    console.error(`The packages could not be installed:\n${stderr}`);
    process.exit(1);
  }
}

const redirected = ['--import', './redirect.mjs'];
const tap = [...redirected, '--test-reporter=tap'];
const mocha = [...redirected, 'node_modules/mocha/bin/_mocha', '--timeout', '60000', '--reporter', 'json'];
const readTap = (stdout) => [/^# pass (\d+)/m, /^# fail (\d+)/m].map((count) => Number(count.exec(stdout)?.[1] ?? NaN));
const readMocha = (stdout) => {
  const { passes, failures, pending } = JSON.parse(stdout).stats;
  return [passes, failures + pending];
};
const programs = [
  ['aedes-persistence-level, its own suite', [...tap, 'node_modules/aedes-persistence-level/test/test.js'], readTap],
  ['datastore-level and blockstore-level, the suites of their interfaces', [...mocha, 'stores.mjs'], readMocha],
  ['quadstore and level-read-stream, a workload', [...tap, 'workload.mjs'], readTap],
];

let passed = 0;
let failed = 0;
for (const [name, given, read] of programs) {
  const { status, stdout, stderr } = run(process.execPath, given);
  let counts = [0, 1];
  try {
    counts = read(stdout);
  } catch {
    // It printed no result: that is a failure, told below.
  }
  const [passes, failures] = counts;
  const isGood = status === 0 && passes > 0 && failures === 0;
  passed += passes || 0;
  failed += isGood ? 0 : failures || 1;
  console.log(`${isGood ? 'ok' : 'NOT OK'}  ${name}: ${passes} passed, ${failures} failed`);
  if (!isGood) console.log(stdout, stderr);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
