/**
 * Alluvium beside Redis Streams and NATS JetStream, from Node.js, on the same work in the same run: `npm run bench:events`.
 *
 * Installs the peers' clients if they are missing (`bench/peers`), starts the servers that it finds, and skips the others with a
 * line that says so. Prints a table in Markdown; with `--write` it goes to `docs/benchmarks-events.md`. Ends with an error if an
 * engine fails, or gives a wrong answer.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { eventQuestions } from './questions/peers-streams.mjs';
import { commitOf, describeMachine, doubts } from './support/machine.mjs';
import { clientVersion, installClients } from './support/peer-clients.mjs';
import { installCommand, installServer, serverVersion, startServer, whyNot } from './support/peer-servers.mjs';
import { formatCell, markdownTable } from './support/report.mjs';
import { Results } from './support/runner.mjs';
import { summarize } from './support/statistics.mjs';
import { withTemporaryDirectory } from './support/temporary.mjs';

/** @typedef {import('./support/peer-servers.mjs').PeerName} PeerName */
/** @typedef {import('./support/event-engines.mjs').EngineName} EngineName */
/** @typedef {import('./support/peer-servers.mjs').Durability} Durability */

const USAGE = `node bench/events.mjs [options]
  --quick            20,000 events instead of 100,000
  --events n         or so many
  --runs n           rounds; the table shows medians (default 3)
  --only name,...    only these of alluvium, redis, nats
  --dir path         where to make the stores; on a real disk (default: the system's directory for temporary files)
  --install-servers  install the servers that are missing, with apt-get
  --write            also write docs/benchmarks-events.md`;

const FULL_EVENTS = 100_000;
const QUICK_EVENTS = 20_000;
/** Longest time for one engine in one round: more is a hang. */
const ENGINE_MS_MAX = 5 * 60 * 1000;
const CHILD = fileURLToPath(new URL('events-child.mjs', import.meta.url));
const REPORT = fileURLToPath(new URL('../docs/benchmarks-events.md', import.meta.url));

/** @type {readonly PeerName[]} */
const PEERS = ['redis', 'nats'];
/** @type {Record<EngineName, string>} */
const TITLES = { alluvium: 'Alluvium', redis: 'Redis Streams', nats: 'NATS JetStream' };

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    events: { type: 'string' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: Object.keys(TITLES).join(',') },
    dir: { type: 'string', default: tmpdir() },
    'install-servers': { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}
const count = options.events === undefined ? (options.quick ? QUICK_EVENTS : FULL_EVENTS) : Number(options.events);
const runs = Number(options.runs);
if (!(count > 0 && runs > 0)) throw new Error('--events and --runs are numbers above 0');
const asked = options.only.split(',');
const unknown = asked.find((name) => !(name in TITLES));
if (unknown !== undefined) throw new Error(`No such engine: ${unknown}`);

await mkdir(options.dir, { recursive: true });
const warnings = await doubts(options.dir);
for (const warning of warnings) console.error(`! ${warning}`);
const commit = await commitOf();
const machine = await describeMachine(options.dir);

/** Why an engine is not asked at all. @type {Map<EngineName, string>} */
const missing = new Map();
/** @type {Map<EngineName, string>} */
const versions = new Map();
for (const name of PEERS.filter((peer) => asked.includes(peer))) await findServer(name);
if (versions.size > 0) {
  try {
    await installClients();
  } catch (error) {
    for (const name of versions.keys()) missing.set(name, 'its client could not be installed into bench/peers');
    console.error(`! ${error instanceof Error ? error.message : String(error)}`);
  }
}
for (const [name, reason] of missing) console.error(`! ${TITLES[name]} is skipped: ${reason}`);
const engines = /** @type {EngineName[]} */ (asked).filter((name) => !missing.has(name));

const results = new Results();
for (let run = 0; run < runs; run += 1) {
  for (const question of eventQuestions) {
    // Who begins changes from round to round, as the machine may be in another state for the first.
    for (const engine of run % 2 === 0 ? engines : [...engines].reverse()) await ask(question, engine, run);
  }
}

const report = await makeReport();
console.log(report);
if (options.write) {
  await writeFile(REPORT, await format(report, { ...(await resolveConfig(REPORT)), parser: 'markdown' }));
}
if (results.hasFailures) process.exitCode = 1;

/** @param {PeerName} name */
async function findServer(name) {
  let version = await serverVersion(name);
  if (version === undefined && options['install-servers']) {
    try {
      await installServer(name);
      version = await serverVersion(name);
    } catch (error) {
      console.error(`! ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (version !== undefined) versions.set(name, version);
  else missing.set(name, `no server here; \`${installCommand(name).join(' ')}\`, or --install-servers`);
}

/** @param {EngineName} engine @param {Durability} durability @returns {string | undefined} */
function reasonAgainst(engine, durability) {
  return engine === 'alluvium' ? undefined : whyNot(engine, durability, versions.get(engine) ?? '');
}

/** @param {(typeof eventQuestions)[number]} question @param {EngineName} engine @param {number} run */
async function ask(question, engine, run) {
  const { name, durability } = question;
  const outcome = results.of(/** @type {any} */ (question), { name: engine, engine: 'alluvium' });
  if (outcome.failure !== undefined) return; // once is enough
  const reason = reasonAgainst(engine, durability);
  if (reason !== undefined) {
    if (run === 0) console.error(`! ${TITLES[engine]}, ${durability}, is skipped: ${reason}`);
    return;
  }
  try {
    const answer = await withTemporaryDirectory(options.dir, 'alluvium-events-', (directory) =>
      measure(engine, directory, durability),
    );
    outcome.answers.push(answer);
    const figures = Object.entries(answer.figures).map(([figure, value]) => `${figure} ${value.toPrecision(4)}`);
    console.error(`${run + 1}/${runs}  ${name}  ${engine}  ${figures.join('  ')}`);
  } catch (error) {
    outcome.failure = error instanceof Error ? error.message : String(error);
    console.error(`${run + 1}/${runs}  ${name}  ${engine}  FAILED: ${outcome.failure}`);
  }
}

/** @param {EngineName} engine @param {string} root @param {Durability} durability */
async function measure(engine, root, durability) {
  const directory = join(root, engine);
  const server = engine === 'alluvium' ? undefined : await startServer(engine, directory, durability);
  try {
    return await askChild({ engine, directory, port: server?.port ?? 0, durability, count });
  } finally {
    await server?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** @param {object} order @returns {Promise<import('./support/runner.mjs').Answer>} */
async function askChild(order) {
  const child = fork(CHILD, [JSON.stringify(order)], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  const killChild = () => child.kill('SIGKILL');
  process.once('exit', killChild);
  const timeout = setTimeout(killChild, ENGINE_MS_MAX);
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text) => (complaint = (complaint + text).slice(-4000)));
  /** @type {any} */
  let answer;
  child.on('message', (message) => (answer = message));
  try {
    const [code, signal] = await once(child, 'close');
    if (answer === undefined || code !== 0) {
      throw new Error(`the process ended with ${signal ?? code}: ${complaint.trim()}`);
    }
    return answer;
  } finally {
    clearTimeout(timeout);
    process.removeListener('exit', killChild);
  }
}

/** @param {(typeof eventQuestions)[number]} question @param {EngineName} engine @param {string} figure */
function medianOf(question, engine, figure) {
  const { answers } = results.of(/** @type {any} */ (question), { name: engine, engine: 'alluvium' });
  const figures = answers.flatMap((answer) => answer.figures[figure] ?? []);
  return figures.length === 0 ? undefined : summarize(figures).median;
}

/** @returns {Promise<string>} */
async function makeReport() {
  const peers = engines.filter((name) => name !== 'alluvium');
  const rows = eventQuestions.flatMap((question) =>
    question.rows.map((row) => {
      const cells = engines.map((engine) => {
        const reason = reasonAgainst(engine, question.durability);
        if (reason !== undefined) return `skipped: ${reason}`;
        return formatCell(results, /** @type {any} */ (question), { name: engine, engine: 'alluvium' }, row);
      });
      const ours = medianOf(question, 'alluvium', row.figure);
      const theirs = Math.max(...peers.map((peer) => medianOf(question, peer, row.figure) ?? 0));
      const ratio = ours !== undefined && theirs > 0 ? `${(ours / theirs).toFixed(2)} x` : 'n/a';
      return [row.work, ...cells, ratio];
    }),
  );
  const failures = eventQuestions.flatMap((question) =>
    engines.flatMap((engine) => {
      const { failure } = results.of(/** @type {any} */ (question), { name: engine, engine: 'alluvium' });
      return failure === undefined ? [] : [`- ${question.name}, ${TITLES[engine]}: ${failure}`];
    }),
  );
  const about = [
    ['command', `\`node bench/events.mjs --events ${count} --runs ${runs}\``],
    ['date', new Date().toISOString().slice(0, 10)],
    ['commit', commit],
    ...machine,
    ...[...versions].map(([name, version]) => [TITLES[name], `server ${version}`]),
    ['clients', ['ioredis', 'redis', '@nats-io/jetstream'].map((name) => `${name} ${clientVersion(name)}`).join(', ')],
    ...[...missing].map(([name, reason]) => [TITLES[name], `skipped: ${reason}`]),
  ];
  return `# Benchmarks of events

Generated by \`npm run bench:events -- --write\`; do not edit. Alluvium beside the streams of Redis and of NATS, from Node.js, on
the same work in the same run. Each figure is the median of ${runs} runs, with the least and the most in brackets; the ratio is that
of the medians, ours to the best of the others. The engines take turns; each client is a process of its own, with a new directory, and every event is
checked to arrive once and whole.

${markdownTable(['', ''], about)}
${warnings.length === 0 ? '' : `\n${warnings.map((warning) => `**${warning}**`).join('\n')}\n`}
${markdownTable(['work', ...engines.map((name) => TITLES[name]), 'ours to the best other'], rows)}

## Like with like

- **Events**: ${count.toLocaleString('en')} of 100 bytes. Ours also have a key of 16 bytes, Redis and NATS give theirs an id.
- **Where it runs**: Redis and NATS are servers, reached over the loopback interface, and have a processor of their own beside the
  client's; Alluvium is in the client's process. This is what an application chooses between; it is not the same service.
- **synced**: synced to the disk before it is acknowledged: ours \`durability: 'synced'\`, Redis \`appendfsync always\`, NATS
  \`sync_interval: always\`. **buffered**: in the operating system's hands before it is acknowledged: ours \`'buffered'\` (synced ten times a second
  besides), Redis \`appendfsync no\`, NATS as it comes. Of a consumer's position the same holds for us and for Redis; when NATS writes it was
  not examined.
- **Consuming**: Redis by XREADGROUP and XACK; NATS by a durable pull consumer with explicit acknowledgements, of which each is confirmed by the
  server (\`ackAck\`), in batches the last of each; ours by \`store.consumer\`. The handlers do nothing but check; one by one they are asynchronous.
  All events lie there when it begins, and it ends when each is acknowledged.
- **Replay**: Redis by XRANGE, 1,000 a page; NATS by an ordered consumer; ours by \`changes({ from: 'start' })\`, in pages.
${failures.length === 0 ? '' : `\n## Failures\n\n${failures.join('\n')}\n`}`;
}
