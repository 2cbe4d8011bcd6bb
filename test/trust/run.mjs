// `npm run test:trust [-- --only T1,T6] [--write]`: the large figures of what `npm test` runs in small. Each part ends green or
// says what it found and with which seed; ALLUVIUM_SEED repeats it. `--write` puts the table into docs/trust-figures.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parts } from './parts.mjs';

const root = join(import.meta.dirname, '../..');
const page = join(root, 'docs/trust-figures.md');

function readArguments() {
  try {
    const { values } = parseArgs({
      options: { only: { type: 'string', multiple: true }, write: { type: 'boolean', default: false } },
    });
    const names = values.only?.flatMap((list) => list.split(','));
    for (const name of names ?? []) {
      if (!parts.some(({ id }) => id === name)) throw new Error(`--only takes ${parts.map(({ id }) => id).join(', ')}`);
    }
    return { chosen: parts.filter(({ id }) => names?.includes(id) ?? true), isWritten: values.write };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

function gather(file, id) {
  const sums = new Map();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line === '') continue;
    const { part, figures } = JSON.parse(line);
    if (part !== id) continue;
    for (const [name, value] of Object.entries(figures)) {
      const before = sums.get(name);
      if (before === undefined) sums.set(name, value);
      else sums.set(name, name.endsWith('Max') ? Math.max(before, value) : before + value);
    }
  }
  return [...sums].map(([name, value]) => `${name} ${value.toLocaleString('en-US')}`).join(', ');
}

function runPart({ id, title, program, words, env }) {
  const folder = mkdtempSync(join(tmpdir(), 'alluvium-trust-'));
  try {
    const file = join(folder, 'figures.ndjson');
    writeFileSync(file, '');
    const begun = performance.now();
    const { status, signal } = spawnSync(program, words, {
      cwd: root,
      // A factor that was asked for goes before the part's own.
      env: { ...env, ...process.env, ALLUVIUM_FIGURES_FILE: file },
      stdio: 'inherit',
    });
    const seconds = Math.round((performance.now() - begun) / 1000);
    const figures = gather(file, id);
    // A part that tried nothing has shown nothing.
    const result = status !== 0 ? `FAILED (${status ?? signal})` : figures === '' ? 'FAILED (tried nothing)' : 'held';
    return { id, title, result, figures, seconds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const cells = ({ id, title, result, figures, seconds }) =>
  `| ${id} | ${title} | ${result} | ${figures} | ${seconds} s |`;

/** Rows of parts that did not run now stay as they were. */
function writePage(rows) {
  let earlier = new Map();
  try {
    const lines = readFileSync(page, 'utf8').split('\n');
    const rowOf = (line) => [line.split('|')[1]?.trim(), line];
    earlier = new Map(lines.filter((line) => /^\| [A-Z]/.test(line)).map(rowOf));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  const today = new Date().toISOString().slice(0, 10);
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout.trim();
  const factor = process.env['ALLUVIUM_RUNS_FACTOR'];
  const how = factor === undefined ? '' : `, ALLUVIUM_RUNS_FACTOR=${factor}`;
  for (const row of rows) earlier.set(row.id, `${cells(row)} ${today}, ${commit}${how} |`);
  const table = parts.flatMap(({ id }) => earlier.get(id) ?? []);
  writeFileSync(
    page,
    `# What was attacked, in figures

Written by \`npm run test:trust -- --only <part> --write\`, with the factor that a row names, if it names one; what each part does is
in [trust.md](./trust.md). Machine of the last run:
${cpus().length} cores (${cpus()[0]?.model.trim()}), Node ${process.versions.node}, ${process.platform}.

| part | what | result | figures | time | when, commit |
| --- | --- | --- | --- | --- | --- |
${table.join('\n')}
`,
  );
  spawnSync('npx', ['prettier', '--write', page], { cwd: root, stdio: 'ignore' });
}

const { chosen, isWritten } = readArguments();
const rows = chosen.map((part) => {
  console.log(`\n${part.id}: ${part.title}`);
  return runPart(part);
});
console.log(`\n${rows.map(cells).join('\n')}`);
if (isWritten) writePage(rows);
process.exit(rows.every(({ result }) => result === 'held') ? 0 : 1);
