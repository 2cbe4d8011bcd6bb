/**
 * Reads damaged stores until it is told to end, or dies of it: `node read-damaged.mjs <engine> <directory> [folder]`.
 *
 * Each message is a trial, `{ source, damage }`: the files of `source` are copied, one of them is damaged, and all is read,
 * key by key, by iterator, and as changes. Answers `{ verdict: 'right' | 'told' | 'silent', detail, cpuMs }`.
 */
import {
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  readFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expected, expectedChanges } from './content.mjs';
import { engines } from './engines.mjs';

const [engine, workspace, folder] = process.argv.slice(2);
/** A new one for each trial: what an engine has not let go of is not in the way of the next. */
let directory = workspace;
let trials = 0;
const { keys, content } = expected();
const changes = expectedChanges();

/** As it is, hard links included: a log that history keeps has two names. */
function copy(source) {
  rmSync(directory, { recursive: true, force: true });
  trials += 1;
  directory = join(workspace, `${process.pid}-${trials}`);
  mkdirSync(directory, { recursive: true });
  const copies = new Map();
  for (const name of readdirSync(source, { recursive: true })) {
    const [from, to] = [join(source, name), join(directory, name)];
    const { ino } = statSync(from);
    if (statSync(from).isDirectory()) continue;
    mkdirSync(dirname(to), { recursive: true });
    const first = copies.get(ino);
    if (first === undefined) cpSync(from, to);
    else linkSync(first, to);
    copies.set(ino, first ?? to);
  }
}

function apply({ kind, file, offset, length, bit }) {
  const path = join(directory, file);
  if (kind === 'truncation') return truncateSync(path, offset);
  const bytes = readFileSync(path);
  if (kind === 'flip') bytes[offset] ^= 1 << bit;
  else bytes.fill(0, offset, Math.min(offset + length, bytes.length));
  writeFileSync(path, bytes); // the same file: also under its other name
}

/** @returns what is wrong, unless it is right or was told */
async function readAll() {
  let told = 0;
  let silent;
  let store;
  try {
    store = await engines[engine](directory, folder);
  } catch (error) {
    return { told: 1, silent: undefined, detail: `${error.code}: ${error.message} ${error.cause?.message}` };
  }
  const part = async (read) => {
    try {
      silent ??= await read();
    } catch {
      told += 1;
    }
  };
  for (const key of keys) {
    await part(async () => {
      const value = await store.get(key);
      if (value !== content.get(key)) return `get of ${key} gives ${String(value).slice(0, 20)}`;
    });
  }
  await part(async () => {
    const entries = await store.entries();
    const isRight = entries.length === content.size && entries.every(([key, value]) => content.get(key) === value);
    if (!isRight) return `the iterator gives ${entries.length} entries of ${content.size}, or wrong ones`;
  });
  await part(async () => {
    if (store.changes === undefined) return undefined;
    const lines = (await store.changes()).map((line) => line.slice(line.indexOf(' ') + 1));
    const at = changes.findIndex((line, index) => line !== lines[index]);
    if (at >= 0 || lines.length !== changes.length) return `${lines.length} changes, wrong from ${at} on`;
  });
  await part(async () => {
    await store.close(); // what it gives is no fault
  });
  return { told, silent };
}

process.on('message', async ({ source, damage }) => {
  copy(source);
  apply(damage);
  process.send({ begun: true });
  const before = process.cpuUsage();
  const { told, silent, detail } = await readAll();
  const { user, system } = process.cpuUsage(before);
  const verdict = silent !== undefined ? 'silent' : told > 0 ? 'told' : 'right';
  process.send({ verdict, detail: silent ?? detail, cpuMs: Math.round((user + system) / 1000) });
});
// Only what the reader threw at nobody: an engine that does so has not answered.
process.on('unhandledRejection', (error) => {
  console.error(error);
  process.exit(3);
});
