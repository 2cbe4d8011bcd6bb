/**
 * Alluvium beside its peers, on the same work in the same run: `npm run bench`, and `npm run bench:full`.
 *
 * Prints tables in Markdown; with `--write` also puts them, and charts, into `docs`, with what is needed to get the figures
 * again. Ends with an error if an engine fails, or gives a wrong answer. A figure that is not reached is not an error.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { engines } from './engines/index.mjs';
import { fill } from './questions/fill.mjs';
import { readArguments } from './support/arguments.mjs';
import { chart } from './support/chart.mjs';
import { commitOf, describeMachine, doubts } from './support/machine.mjs';
import { installClients } from './support/peer-clients.mjs';
import { bestPeer, formatCell, formatNumber, gainOf, markdownTable, summaryOf, verdictOf } from './support/report.mjs';
import { runAll } from './support/runner.mjs';

/** @typedef {import('./support/question.mjs').Question} Question */
/** @typedef {import('./support/question.mjs').Row} Row */
/** @typedef {import('./engines/engine.mjs').EngineName} EngineName */
/** @typedef {import('./engines/engine.mjs').Variant} Variant */

const USAGE = `node bench/run.mjs [options]
  --quick            200,000 entries instead of 1,000,000, and shorter measurements
  --full             also what takes long, as npm run bench:full does
  --only name,...    only the questions whose names begin so
  --engines name,... only these peers, of ${Object.keys(engines).slice(1).join(', ')}
  --runs n           rounds; the tables show medians (default 3)
  --dir path         where to make the stores; on a real disk (default: the system's directory for temporary files)
  --write            also write docs/benchmarks.md and its charts
  --json path        also write everything that was measured`;

const REPORT = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));
const CHARTS = fileURLToPath(new URL('../docs/benchmarks/', import.meta.url));
const MIB = 1024 * 1024;
const MS_PER_MINUTE = 60_000;
/** Of ours and of LevelDB's, whose own default is a quarter of it: nobody shall say that we won by configuration. */
const WRITE_BUFFER_BYTES = 16 * MIB;

/** @type {Variant} */
const own = { name: 'alluvium', engine: 'alluvium', writeBufferBytes: WRITE_BUFFER_BYTES };

const { questions, scale, runs, directory, isWriting, json, peers } = readArguments(USAGE);
const startedAt = new Date();
const commit = await commitOf();
await mkdir(directory, { recursive: true });
const warnings = await doubts(directory);
/** Those that can be asked. @type {readonly Variant[]} */
const rivals = await available(peers);
const machine = await describeMachine(directory);
for (const warning of warnings) console.error(`! ${warning}`);

const results = await runAll({
  questions,
  variantsOf: (question) => [own, ...rivalsOf(question)],
  runs,
  scale,
  directory,
  onProgress: (line) => console.error(line),
});

/** @param {Question} question @returns {readonly Variant[]} */
function rivalsOf({ peers: asked, store, name }) {
  // What memory-level holds is gone with its process, and a filled store is of another one.
  const isFilled = store === 'filled' || name === fill.name;
  return rivals.filter(({ engine }) => (asked?.includes(engine) ?? true) && !(isFilled && engine === 'memory-level'));
}

/** @param {readonly EngineName[]} names @returns {Promise<readonly Variant[]>} */
async function available(names) {
  await installClients().catch((/** @type {unknown} */ error) => {
    warnings.push(`Not all peers could be installed into bench/peers: ${String(error).split('\n')[0]}`);
  });
  const found = [];
  for (const engine of names) {
    /** @type {Variant} */
    const variant =
      engine === 'classic-level'
        ? { name: engine, engine, writeBufferBytes: WRITE_BUFFER_BYTES }
        : { name: engine, engine };
    try {
      await engines[engine].load(variant);
      found.push(variant);
    } catch (error) {
      warnings.push(`${engines[engine].label} is not there: ${String(error).split('\n')[0]}`);
    }
  }
  return found;
}

/** @param {string} group */
const questionsOf = (group) => questions.filter((question) => question.group === group);
const groups = [...new Set(questions.map(({ group }) => group))];
/** @param {string} group */
const chartName = (group) => `${group.toLowerCase().replaceAll(' ', '-')}.svg`;

/** @param {string} group @returns {string} */
function section(group) {
  const asked = questionsOf(group);
  const columns = rivals.filter((rival) => asked.some((question) => rivalsOf(question).includes(rival)));
  const hasPeers = columns.length > 0;
  const head = ['work', 'Alluvium', ...columns.map(({ engine }) => engines[engine].label)];
  const table = markdownTable(
    [...head, ...(hasPeers ? ['to the best'] : []), 'to reach', ''],
    asked.flatMap((question) =>
      question.rows.map((row) => {
        const best = bestPeer(results, question, row, rivalsOf(question));
        const ours = summaryOf(results, question, own, row.figure);
        const gain = gainOf(row, ours, best?.summary);
        const isAsked = (/** @type {Variant} */ rival) => rivalsOf(question).includes(rival);
        return [
          row.better === 'lower' ? `${row.work} (less is better)` : row.work,
          formatCell(results, question, own, row),
          ...columns.map((rival) => (isAsked(rival) ? formatCell(results, question, rival, row) : '')),
          ...(hasPeers ? [gain === undefined ? '' : `${formatNumber(gain)} x`] : []),
          ...verdictOf(results, question, row, own, rivalsOf(question)),
        ];
      }),
    ),
  );
  const picture = hasPeers ? `![${group}](benchmarks/${chartName(group)})\n\n` : '';
  return `## ${group}\n\n${picture}${table}`;
}

/** @param {string} group @returns {string} */
function pictureOf(group) {
  const clusters = questionsOf(group).flatMap((question) =>
    question.rows.map((row) => ({ title: row.work, better: row.better, bars: barsOf(question, row) })),
  );
  return chart(
    group,
    clusters.filter(({ bars }) => bars.length > 1),
  );
}

/** @param {Question} question @param {Row} row */
const barsOf = (question, row) =>
  [own, ...rivalsOf(question)].flatMap((variant) => {
    const summary = summaryOf(results, question, variant, row.figure);
    if (summary === undefined) return [];
    const { label } = engines[variant.engine];
    const text = `${formatNumber(summary.median)} ${row.unit}`;
    return [{ label, value: summary.median, text, isOurs: variant === own }];
  });

const failures = questions.flatMap((question) =>
  [own, ...rivalsOf(question)].flatMap((variant) => {
    const { failure } = results.of(question, variant);
    return failure === undefined ? [] : [`- ${question.name}, ${variant.name}: ${failure}`];
  }),
);

/** As it was given, but for where things go. */
const given = process.argv
  .slice(2)
  .filter(
    (word, index, words) => !/^--(write|json|dir)(=|$)/.test(word) && !/^--(json|dir)$/.test(words[index - 1] ?? ''),
  );
const command = ['node bench/run.mjs', ...given].join(' ');
const minutes = Math.ceil((Date.now() - startedAt.getTime()) / MS_PER_MINUTE);
const report = `# Benchmarks

Generated by \`npm run bench -- --write\`; do not edit. Alluvium beside its peers, on the same work in the same run. Each figure
is the median of ${runs} runs, with the least and the most in brackets; "to the best" is how many times as good as the best
peer we are, by the medians, memory-level left out. The runs of the engines alternate; each is a process of its own on a new
directory, and its answers are checked, byte for byte after writing and by counts and sums while reading.

${markdownTable(
  ['', ''],
  [
    ['command', `\`${command}\` (${minutes} min)`],
    ['date', startedAt.toISOString().slice(0, 10)],
    ['commit', commit],
    ...machine,
  ],
)}
${warnings.length === 0 ? '' : `\n${warnings.map((warning) => `**${warning}**`).join('\n')}\n`}
${groups.map(section).join('\n\n')}

## Like with like

${markdownTable(
  ['', 'synced', 'buffered', 'checksums verified', 'compression'],
  [own, ...rivals].map(({ engine }) => {
    const { label, durable, buffered, checksums, compression } = engines[engine];
    return [label, durable, buffered, checksums, compression];
  }),
)}

- **Entries**: keys of 16 bytes, values of 100 bytes that compress to half, as in LevelDB's db_bench; a full store has
  ${scale.entries.toLocaleString('en')}. Single puts go on for ${scale.seconds} s, or until each entry is written once; the first 15 % of each
  measurement are warm-up. Writing counts up to the last acknowledgement; compaction that is left over then is not counted,
  for no engine. Gets and ranges go on as long; of three full scans in one process the fastest counts.
- **Write buffer**: ${WRITE_BUFFER_BYTES / MIB} MiB in Alluvium (its default) and in classic-level (whose default is 4 MiB), 64 MiB in rocksdb (its default).
- **Cache** of blocks or pages: 32 MiB in each that has one of its own; lmdb uses all of the system's page cache.
- **Blocks** of 4 KiB and **filters** of 10 bits a key in Alluvium, classic-level and rocksdb.
- **Page cache**: warm, unless the row says otherwise.
- **Threads**: Alluvium works in one worker besides the main thread, classic-level in Node's pool of four, rocksdb and lmdb
  in threads of their own, sqlite on the main thread alone.
- **Size on disk** is in blocks in use, after closing.
- **What is not reached**, why, and what was tried: [speed.md](speed.md).
${failures.length === 0 ? '' : `\n## Failures\n\n${failures.join('\n')}\n`}`;

console.log(report);
if (isWriting) {
  await writeFile(REPORT, await format(report, { ...(await resolveConfig(REPORT)), parser: 'markdown' }));
  await mkdir(CHARTS, { recursive: true });
  for (const group of groups) {
    if (questionsOf(group).some((question) => rivalsOf(question).length > 0)) {
      await writeFile(`${CHARTS}${chartName(group)}`, pictureOf(group));
    }
  }
}
if (json !== undefined) {
  await writeFile(json, JSON.stringify({ command, commit, date: startedAt, machine, scale, results }, undefined, 2));
}
if (results.hasFailures) process.exitCode = 1;
