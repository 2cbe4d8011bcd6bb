// T5 of the plan: the power fails under a real file system on a block device. Root and Linux only; elsewhere it says so.
//
// A file system on a loop device is shut down by the ioctl that the tests of file systems use (XFS_IOC_GOINGDOWN, without a flush
// of the journal): nothing reaches the device from there on, what the page cache has is lost, and mounting it again replays its
// journal, as after a power cut. The device is itself a file of such a file system. Shutting that one down takes what the
// device had taken, and not flushed: the volatile cache of a disk.
//
// What is acknowledged as synced must be there, all writes without a hole, batches whole; and a database whose creation was cut
// short must open. ALLUVIUM_RUNS_FACTOR multiplies the 20 cuts of each kind; ALLUVIUM_SEED repeats their draws.
import { open, verify } from 'alluvium';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';

const CUTS = Math.max(1, Math.round(20 * Number(process.env.ALLUVIUM_RUNS_FACTOR ?? '1')));
const seed = Number(process.env.ALLUVIUM_SEED ?? Math.floor(Math.random() * 2 ** 31));
const WRITER = join(import.meta.dirname, 'children', 'power-cut-writer.mjs');
const MIB = 1024 * 1024;
/** Cuts that one database goes through, and how often it is looked into from end to end. */
const CUTS_PER_DATABASE = 20;
const DEEP_EVERY = 5;
const UNMOUNT_TRIES = 100;

/** What is mounted in turn: what the file system may do with bytes and names that were not synced. */
const KINDS = [
  { make: 'mkfs.ext4', words: ['-q', '-F'], options: 'data=ordered' },
  { make: 'mkfs.ext4', words: ['-q', '-F'], options: 'data=writeback,nodelalloc,commit=1' },
  { make: 'mkfs.xfs', words: ['-q', '-f'], options: 'defaults' },
];

/** Python has ioctl, and Node has not. It stays, so that a cut comes when it should. */
const SHUT_DOWN = `
import fcntl, os, struct, sys
for line in sys.stdin:
    fd = os.open(line.strip(), os.O_RDONLY)
    fcntl.ioctl(fd, 0x8004587D, struct.pack('I', 2))
    os.close(fd)
    print('down', flush=True)
`;

const run = (program, ...words) =>
  execFileSync(program, words, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
const isThere = (program) => {
  try {
    run('sh', '-c', `command -v ${program}`);
    return true;
  } catch {
    return false;
  }
};

/** A generator of numbers in [0, 1) that gives the same row for the same seed (mulberry32). */
function randomOf(start) {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Disk {
  #kind;
  #outer;
  #inner;

  constructor(folder, kind) {
    this.#kind = kind;
    this.#outer = { image: join(folder, 'device'), at: join(folder, 'outer') };
    this.#inner = { image: join(folder, 'outer', 'disk'), at: join(folder, 'inner') };
    for (const { at } of [this.#outer, this.#inner]) mkdirSync(at);
    run('truncate', '--size', `${768 * MIB}`, this.#outer.image);
    run('mkfs.ext4', '-q', '-F', this.#outer.image);
    this.#mountOuter();
    run('truncate', '--size', `${384 * MIB}`, this.#inner.image);
    run(kind.make, ...kind.words, this.#inner.image);
    run('sync', '--file-system', this.#outer.at);
    this.#mountInner();
  }

  get path() {
    return this.#inner.at;
  }

  /** What goes away in a cut: the machine's memory, or also the cache of its disk. */
  pathOfCut(isCacheLost) {
    return isCacheLost ? this.#outer.at : this.#inner.at;
  }

  /** After a cut: the power comes back. */
  async restart() {
    await unmount(this.#inner.at);
    await unmount(this.#outer.at);
    this.#mountOuter();
    this.#mountInner();
  }

  async remove() {
    for (const { at } of [this.#inner, this.#outer]) await unmount(at).catch(() => undefined);
  }

  #mountOuter() {
    run('mount', '-o', 'loop', this.#outer.image, this.#outer.at);
  }

  #mountInner() {
    run('mount', '-o', `loop,${this.#kind.options}`, this.#inner.image, this.#inner.at);
  }
}

/** It is busy for a moment, after whoever used it was killed. */
async function unmount(at) {
  for (let tries = 1; ; tries += 1) {
    try {
      return run('umount', at);
    } catch (error) {
      if (tries === UNMOUNT_TRIES) throw error;
      await wait(20);
    }
  }
}

/** Starts a writer, and cuts. @returns the synced writes that it was told of, before the cut was asked for and after */
async function writeAndCut({ disk, cutter, directory, first, isCreation, isCacheLost, random }) {
  const child = spawn(process.execPath, [WRITER, directory, String(first)], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.on('error', () => undefined); // it may have ended
  const ended = once(child, 'close');
  const acknowledged = new Set();
  const late = new Set();
  let isCut = false;
  let isAsked = false;
  const cut = async (afterMs) => {
    isCut = true;
    await wait(afterMs);
    isAsked = true;
    cutter.stdin.write(`${disk.pathOfCut(isCacheLost)}\n`);
    await once(cutter.stdout, 'data');
    child.kill('SIGKILL');
  };
  let cutting;
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.endsWith(';')) continue;
    const [word, index, durability] = line.slice(0, -1).split(' ');
    if (word === 'ready') child.stdin.write('go\n');
    // A machine without power says nothing more. This one goes on, and a sync that the cut finds under way may be called a success.
    if (word === 'acknowledged' && durability === 'synced') (isAsked ? late : acknowledged).add(Number(index));
    if (!isCut && word === 'ready' && isCreation) cutting = cut(random() * 30);
    if (!isCut && word === 'open') cutting = cut(5 + random() * 500);
  }
  await ended;
  if (cutting === undefined) throw new Error('the writer ended before it was cut off');
  await cutting;
  return { acknowledged, late };
}

/** What is there after a cut. @returns how many writes */
async function check(directory, acknowledged, isDeep) {
  const store = await open(directory);
  try {
    const found = { a: [], b: [] };
    for await (const { key } of store.scan()) {
      const [part, index] = Buffer.from(key).toString().split('/');
      found[part].push(Number(index));
    }
    const hole = found.a.findIndex((index, at) => index !== at);
    if (hole !== -1) throw new Error(`write ${hole} is missing, and ${found.a[hole]} is there`);
    if (found.a.length !== found.b.length)
      throw new Error(`${found.a.length} of one half, ${found.b.length} of the other`);
    const lost = [...acknowledged].find((index) => index >= found.a.length);
    if (lost !== undefined) throw new Error(`write ${lost} was acknowledged as synced, and is missing`);
    if (isDeep) await checkHistory(store, found.a.length);
    return found.a.length;
  } finally {
    await store.close();
    if (isDeep) {
      const { findings } = await verify(directory);
      const wrong = findings.filter(({ code }) => code !== 'historyIndex'); // times of changes: not synced
      if (wrong.length > 0) throw new Error(`verify: ${JSON.stringify(wrong[0])}`);
    }
  }
}

async function checkHistory(store, count) {
  if (count === 0) return;
  let at = 0;
  for await (const { key } of store.changes({ from: 'start' })) {
    const wanted = `${at % 2 === 0 ? 'a' : 'b'}/${String(Math.floor(at / 2)).padStart(8, '0')}`;
    const text = Buffer.from(key).toString();
    if (text !== wanted) throw new Error(`change ${at} is ${text}, not ${wanted}`);
    at += 1;
    if (at === 2 * count) return;
  }
}

async function runKind(kind, cutter, random) {
  const folder = mkdtempSync(join(tmpdir(), 'alluvium-power-cut-'));
  const disk = new Disk(folder, kind);
  try {
    let [first, database] = [0, 0];
    for (let count = 0; count < 2 * CUTS; count += 1) {
      const isCreation = count % 2 === 1;
      const isCacheLost = count % 4 >= 2;
      if (!isCreation && count % (2 * CUTS_PER_DATABASE) === 0) {
        rmSync(join(disk.path, `database-${database}`), { recursive: true, force: true });
        [first, database] = [0, database + 1];
      }
      const directory = join(disk.path, isCreation ? `new-${count}` : `database-${database}`);
      const from = isCreation ? 0 : first;
      const given = { disk, cutter, directory, first: from, isCreation, isCacheLost, random };
      const { acknowledged, late } = await writeAndCut(given);
      await disk.restart();
      const what = `${kind.make} (${kind.options}), cut ${count}, creation: ${isCreation}, cache lost: ${isCacheLost}`;
      try {
        const there = await check(directory, acknowledged, isCreation || count % DEEP_EVERY === 0);
        if (!isCreation) first = there;
        record({ lateAndLost: [...late].filter((index) => index >= there).length });
      } catch (error) {
        throw new Error(`ALLUVIUM_SEED=${seed}: ${what}: ${error.message}`, { cause: error });
      }
      if (isCreation) rmSync(directory, { recursive: true });
      record({
        cuts: 1,
        creations: isCreation ? 1 : 0,
        cachesLost: isCacheLost ? 1 : 0,
        acknowledged: acknowledged.size,
        violations: 0,
      });
    }
  } finally {
    await disk.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

function record(figures) {
  const file = process.env.ALLUVIUM_FIGURES_FILE;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ part: 'T5', figures })}\n`);
}

/** Why it cannot be done here; `undefined`: it can. */
function obstacle() {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid() !== 0) return 'it needs root, to mount';
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices';
  for (const program of ['python3', 'mount', 'mkfs.ext4']) if (!isThere(program)) return `there is no ${program}`;
  return undefined;
}

const why = obstacle();
if (why !== undefined) {
  console.log(`T5 is skipped: ${why}`);
  record({ cuts: 0, skipped: 1 });
} else {
  const cutter = spawn('python3', ['-c', SHUT_DOWN], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const random = randomOf(seed);
    for (const kind of KINDS) {
      if (!isThere(kind.make)) {
        console.log(`${kind.make} is skipped: it is not here`);
        continue;
      }
      await runKind(kind, cutter, random);
      console.log(`${kind.make} (${kind.options}) held through ${2 * CUTS} cuts`);
    }
  } finally {
    cutter.stdin.end();
  }
}
