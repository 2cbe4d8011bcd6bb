// T7 of the plan: random bit flips, truncations and zeroed sectors on a store of 2,000 keys that was killed, each read whole by a
// process of its own: key by key, by iterator, as changes. Run as
//
//     node test/crash/damaged/run.mjs [--flips 2000] [--truncations 300] [--sectors 300] [--seed n] [--peers folder]
//
// Ends with 0 if our store was never wrong in silence, never took its process along, and never hung. With `--peers`, a folder
// in which lmdb and better-sqlite3 are installed (`bench/peers`), the same damages in number and kind to them and to
// classic-level, for the table; they do not decide. Repeat what it found by the seed.
import { fork, spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { engines, isIdle } from './engines.mjs';

const SECTOR_BYTES = 512;
const CONTROL_EVERY = 10;
/** Of processor time, so that a busy machine hangs nobody; and on the wall, for whoever waits for nothing. */
const HANG_CPU_MS = 5_000;
const HANG_WALL_MS = 120_000;

const { values } = parseArgs({
  options: {
    flips: { type: 'string', default: '2000' },
    truncations: { type: 'string', default: '300' },
    sectors: { type: 'string', default: '300' },
    seed: { type: 'string', default: process.env.ALLUVIUM_SEED ?? String(Math.floor(Math.random() * 2 ** 31)) },
    peers: { type: 'string' },
  },
});

function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Files by their share of the bytes; a log with two names is one file. */
function filesOf(directory) {
  const seen = new Set();
  return readdirSync(directory, { recursive: true })
    .sort()
    .map((name) => ({ name, stat: statSync(join(directory, name)) }))
    .filter(({ name, stat }) => stat.isFile() && stat.size > 0 && !isIdle(name))
    .filter(({ stat: { ino } }) => !seen.has(ino) && seen.add(ino))
    .map(({ name, stat: { size } }) => ({ name, size }));
}

function* damagesTo(files, random) {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const place = () => {
    let at = Math.floor(random() * total);
    const file = files.find(({ size }) => (at -= size) < 0);
    return { file: file.name, offset: at + file.size };
  };
  for (let left = Number(values.flips); left > 0; left -= 1) {
    yield { kind: 'flip', ...place(), bit: Math.floor(random() * 8) };
  }
  for (let left = Number(values.truncations); left > 0; left -= 1) yield { kind: 'truncation', ...place() };
  for (let left = Number(values.sectors); left > 0; left -= 1) {
    const { file, offset } = place();
    yield { kind: 'sector', file, offset: offset - (offset % SECTOR_BYTES), length: SECTOR_BYTES };
  }
}

/** A child that reads, replaced when it has died or hangs. */
class Reader {
  #child;

  constructor(...words) {
    this.words = words;
  }

  async read(source, damage) {
    this.#child ??= fork(join(import.meta.dirname, 'read-damaged.mjs'), this.words, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'], // why it died is said on stderr
    });
    const child = this.#child;
    const answer = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve({ verdict: 'hang' }), HANG_WALL_MS);
      const settle = (answer) => {
        clearTimeout(timer);
        child.removeAllListeners();
        resolve(answer);
      };
      child.on('message', (message) => message.verdict !== undefined && settle(message));
      child.once('exit', (code, signal) => settle({ verdict: 'death', detail: String(signal ?? code) }));
      child.send({ source, damage });
    });
    if (answer.verdict === 'hang' || answer.verdict === 'death') this.end();
    return (answer.cpuMs ?? 0) > HANG_CPU_MS ? { ...answer, verdict: 'hang' } : answer;
  }

  end() {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
}

async function attack(engine, folder, workspace) {
  const source = join(workspace, engine);
  mkdirSync(source);
  const words = [join(import.meta.dirname, 'write-store.mjs'), engine, source, folder ?? ''];
  const { signal } = spawnSync(process.execPath, words, { stdio: 'inherit' });
  if (signal !== 'SIGKILL') throw new Error(`${engine} could not be filled`);
  const files = filesOf(source);
  const counts = { trials: 0, right: 0, told: 0, silent: 0, death: 0, hang: 0, cpuMsMax: 0 };
  const reader = new Reader(engine, join(workspace, `${engine} damaged`), folder ?? '');
  const nothing = { kind: 'sector', file: files[0].name, offset: 0, length: 0 };
  // Also between the others: a reader that has told once must not tell of everything.
  const control = async () => {
    const { verdict, detail } = await reader.read(source, nothing);
    if (verdict !== 'right') throw new Error(`${engine}: undamaged, and ${verdict}: ${detail}`);
  };
  await control();
  for (const damage of damagesTo(files, randomOf(Number(values.seed)))) {
    const { verdict, detail, cpuMs } = await reader.read(source, damage);
    counts.trials += 1;
    if (counts.trials % CONTROL_EVERY === 0) await control();
    counts[verdict] += 1;
    counts.cpuMsMax = Math.max(counts.cpuMsMax, cpuMs ?? 0);
    if (engine === 'alluvium' && verdict !== 'right' && verdict !== 'told') {
      console.error(`ALLUVIUM_SEED=${values.seed}: ${JSON.stringify(damage)}: ${verdict}: ${detail}`);
    }
  }
  reader.end();
  return { ...counts, bytes: files.reduce((sum, { size }) => sum + size, 0) };
}

const workspace = mkdtempSync(join(tmpdir(), 'alluvium-damaged-'));
try {
  const ours = await attack('alluvium', undefined, workspace);
  console.log(ours);
  const rows = { alluvium: ours };
  if (values.peers !== undefined) {
    for (const engine of Object.keys(engines).slice(1)) {
      rows[engine] = await attack(engine, values.peers, workspace);
      console.log(engine, rows[engine]);
    }
  }
  console.table(rows);
  const file = process.env.ALLUVIUM_FIGURES_FILE;
  const { bytes: _, ...figures } = ours;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ part: 'T7', figures })}\n`);
  if (ours.silent + ours.death + ours.hang > 0 || ours.told === 0) process.exitCode = 1;
} finally {
  rmSync(workspace, { recursive: true, force: true });
}
