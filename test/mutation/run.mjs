// `npm run test:mutation [-- --room wal,manifest] [--concurrency 1]`: changes the core in every small way that Stryker knows,
// and looks whether a test notices. A room fails below 85 % killed; mutants that live are in reports/mutation/<room>.json.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { rooms } from './rooms.mjs';

const KILLED_PERCENT_MIN = 85;
const root = join(import.meta.dirname, '../..');
const reports = join(root, 'reports/mutation');

function readArguments() {
  const { values } = parseArgs({
    options: { room: { type: 'string', multiple: true }, concurrency: { type: 'string', default: '2' } },
  });
  const names = values.room?.flatMap((list) => list.split(','));
  for (const name of names ?? []) {
    if (!rooms.some((room) => room.name === name))
      throw new Error(`--room takes ${rooms.map(({ name }) => name).join(', ')}`);
  }
  return { chosen: rooms.filter(({ name }) => names?.includes(name) ?? true), concurrency: values.concurrency };
}

/**
 * Whether it stopped whole files of tests from being loaded: such a run is red, but Stryker sees no test that failed, and says
 * that the mutant survived. It knows which tests run into the mutant, and how many of them have run.
 */
const isUnloadable = ({ coveredBy = [], testsCompleted = 0 }) => testsCompleted < coveredBy.length;

/** Mutants that no type would let stand, or that Stryker was told to leave out, are not counted. */
function figuresOf(report) {
  const figures = { killed: 0, lived: 0 };
  for (const mutant of Object.values(report.files).flatMap(({ mutants }) => mutants)) {
    const { status } = mutant;
    if (status === 'Killed' || status === 'Timeout' || (status === 'Survived' && isUnloadable(mutant))) {
      figures.killed += 1;
    } else if (status === 'Survived' || status === 'NoCoverage') {
      figures.lived += 1;
    }
  }
  return figures;
}

function runRoom({ name, mutate, tests }, concurrency) {
  const words = ['stryker', 'run', '--mutate', mutate.join(','), '--concurrency', concurrency];
  const { status } = spawnSync('npx', words, {
    cwd: root,
    env: { ...process.env, ALLUVIUM_MUTATION_TESTS: tests.join(' ') },
    stdio: 'inherit',
  });
  if (status !== 0) return { name, killed: 0, lived: 0, percent: 0 };
  const file = join(reports, `${name}.json`);
  renameSync(join(reports, 'mutation.json'), file);
  const { killed, lived } = figuresOf(JSON.parse(readFileSync(file, 'utf8')));
  return { name, killed, lived, percent: (100 * killed) / (killed + lived) };
}

const { chosen, concurrency } = readArguments();
mkdirSync(reports, { recursive: true });
const results = chosen.map((room) => runRoom(room, concurrency));
for (const { name, killed, lived, percent } of results) {
  console.log(`${name}: ${killed} of ${killed + lived} mutants killed, ${percent.toFixed(1)} %`);
}
process.exit(results.every(({ percent }) => percent >= KILLED_PERCENT_MIN) ? 0 : 1);
