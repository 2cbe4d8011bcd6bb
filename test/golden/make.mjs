/**
 * Made the directories beside it, once: `node test/golden/make.mjs`, after `npm run build`. They stay as they are for
 * ever: a later version must read what an earlier one wrote. It makes only what is not there, so that a new release adds
 * a folder (change OURS) and leaves the others alone.
 *
 *     <engine and version>/<how it ended>/...         the files
 *     <engine and version>/contents.txt              what is in each of them: key=value in hexadecimal, in order
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OURS = 'alluvium-0.1';
const THEIRS = 'leveldb-1.20';
const PLANS = [
  { engine: THEIRS, name: 'clean', isCompressed: false, isKilled: false },
  { engine: THEIRS, name: 'snappy', isCompressed: true, isKilled: false },
  { engine: THEIRS, name: 'killed', isCompressed: true, isKilled: true },
  { engine: OURS, name: 'clean', isCompressed: true, isKilled: false },
  { engine: OURS, name: 'killed', isCompressed: false, isKilled: true },
];
const DATA_FILE = /^(CURRENT|MANIFEST-\d+|\d+\.(ldb|log))$/;

/** Three sessions: what is compacted, what is in a young table, what is in the log. Operations are [key] or [key, value]. */
function sessions() {
  const bytes = (length, step) => Buffer.alloc(length).map((_, at) => (at * at * step) >> 3);
  const named = (from, to, text) =>
    Array.from({ length: to - from }, (_, at) => [
      Buffer.from(`entry ${from + at}`),
      Buffer.from(`${text} ${from + at} `.repeat((at % 9) + 1)),
    ]);
  return [
    [
      [[Buffer.alloc(0), Buffer.from('the empty key')]],
      [[Buffer.from('empty value'), Buffer.alloc(0)]],
      [
        [Buffer.from([0]), Buffer.from([0, 0])],
        [Buffer.from([0, 255]), bytes(300, 7)],
        [Buffer.from([255, 255, 255]), bytes(10, 3)],
      ],
      named(0, 120, 'first'),
      [
        [Buffer.from('large, repeated'), Buffer.alloc(3000, 'alluvium ')],
        [Buffer.from('large, mixed'), bytes(1500, 11)],
      ],
      [[Buffer.from('k'.repeat(1000)), Buffer.from('a long key')]],
    ],
    [
      named(40, 80, 'second'),
      named(90, 100, '').map(([key]) => [key]),
      [
        [Buffer.from('twice'), Buffer.from('1')],
        [Buffer.from('twice'), Buffer.from('2')],
      ],
      [[Buffer.from('gone'), Buffer.from('soon')], [Buffer.from('gone')]],
      [[Buffer.from('gone'), Buffer.from('back')]],
    ],
    [
      named(70, 75, 'third'),
      [[Buffer.alloc(0), Buffer.from('the empty key, again')]],
      [[Buffer.from('entry 1')], [Buffer.from('never there')]],
      [[Buffer.from('large, in the log'), bytes(4000, 5)]],
      [[Buffer.from('gone')], [Buffer.from('last'), Buffer.from('write')]],
    ],
  ];
}

function contentsOf() {
  const contents = new Map();
  for (const [key, value] of sessions().flat(2)) {
    if (value === undefined) contents.delete(key.toString('hex'));
    else contents.set(key.toString('hex'), value.toString('hex'));
  }
  return [...contents].sort(([a], [b]) => Buffer.compare(Buffer.from(a, 'hex'), Buffer.from(b, 'hex')));
}

async function engineOf({ engine, isCompressed }, directory) {
  if (engine === OURS) {
    const { open } = await import('alluvium');
    const store = await open(directory, { compression: isCompressed ? 'snappy' : 'none', blockBytesMax: 1024 });
    return {
      write: (operations) =>
        store.write(operations.map(([key, value]) => (value ? { type: 'set', key, value } : { type: 'delete', key }))),
      compact: () => store.compact(),
      close: () => store.close(),
    };
  }
  const { ClassicLevel } = await import('classic-level');
  const encodings = { keyEncoding: 'buffer', valueEncoding: 'buffer' };
  const db = new ClassicLevel(directory, { ...encodings, compression: isCompressed, blockSize: 1024 });
  await db.open();
  return {
    write: (operations) =>
      db.batch(operations.map(([key, value]) => (value ? { type: 'put', key, value } : { type: 'del', key }))),
    compact: () => db.compactRange(Buffer.alloc(0), Buffer.alloc(8, 255)),
    close: () => db.close(),
  };
}

async function write(plan, directory) {
  for (const [index, batches] of sessions().entries()) {
    const engine = await engineOf(plan, directory);
    for (const batch of batches) await engine.write(batch);
    if (index === 0) await engine.compact();
    if (index === 2 && plan.isKilled) process.kill(process.pid, 'SIGKILL');
    await engine.close();
  }
}

async function make(plan) {
  const target = fileURLToPath(new URL(`${plan.engine}/${plan.name}`, import.meta.url));
  if (await stat(target).catch(() => undefined)) return;
  const directory = await mkdtemp(join(tmpdir(), 'golden-'));
  const child = fork(fileURLToPath(import.meta.url), [directory, JSON.stringify(plan)]);
  const [code, signal] = await once(child, 'exit');
  if (plan.isKilled ? signal !== 'SIGKILL' : code !== 0) throw new Error(`${plan.engine} ended with ${code ?? signal}`);
  await mkdir(target, { recursive: true });
  for (const name of await readdir(directory)) {
    if (DATA_FILE.test(name)) await cp(join(directory, name), join(target, name));
  }
  const lines = contentsOf().map(([key, value]) => `${key}=${value}\n`);
  await writeFile(join(target, '..', 'contents.txt'), lines.join(''));
  await rm(directory, { recursive: true });
}

const [directory, plan] = process.argv.slice(2);
if (directory === undefined) for (const one of PLANS) await make(one);
else await write(JSON.parse(plan), directory);
