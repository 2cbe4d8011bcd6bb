// Goal: a directory that somebody else has made, to do harm, can be looked into. Reading it (`readOnly`, `verify`, a dry run of
// `repair`) changes nothing in it, ends in bounded time and memory, with values or an error of ours, and never ends the process.
// Method: a real database is changed at random, mostly with its checksums made right again so that the lies get past them:
// lengths of 4 GiB and of 2^53, files cut, grown, swapped, lost, made links, pipes, devices and folders. A process of its own
// reads it; every name, kind, size, date and byte is compared.
// `npm test` reads ten; `npm run test:trust -- --only T21` a thousand.
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { crc32c, maskCrc } from '../../src/storage/codec/crc32c.ts';
import { writeFixed32 } from '../../src/storage/codec/fixed.ts';
import { Block } from '../../src/storage/table/block.ts';
import { forEachEntry } from '../../src/storage/table/block-entries.ts';
import { type BlockHandle, decodeFooter, readHandle } from '../../src/storage/table/table-format.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const newDirectory = temporaryDirectories();
const FOOTER_BYTES = 48;
/** The system keeps one mark for a process: it is made anew now and then, so that the mark is one of a few. */
const DIRECTORIES_PER_READER = 10;
const LOG_BLOCK_BYTES = 32 * 1024;
/** A hang is what this is to find, on a machine that may be busy: a repair may search a table for seconds of processor time. */
const LONGEST_MS = 300_000;
/** The most that the reader's memory may grow beyond that of as many honest databases: a repair holds a table whose index is lost. */
const GROWTH_KIB_MAX = 64 * 1024;

interface Report {
  readonly codes: readonly string[];
  readonly faults: readonly string[];
  readonly maxRssKib: number;
}

class Reader {
  #child: ChildProcess | undefined;

  /** @returns what it said; `undefined`: it has died, or takes too long, and was killed */
  async read(directory: string): Promise<Report | undefined> {
    this.#child ??= await Reader.#start();
    const child = this.#child;
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<unknown>((resolve) => {
      timer = setTimeout(() => resolve(undefined), LONGEST_MS);
      child.once('message', resolve);
      child.once('exit', () => resolve(undefined));
      child.send(directory);
    });
    clearTimeout(timer);
    child.removeAllListeners();
    if (answer === undefined) this.end();
    return answer as Report | undefined;
  }

  end(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  static async #start(): Promise<ChildProcess> {
    const child = fork(join(import.meta.dirname, 'children', 'reader.mjs'), [], { execArgv: [] });
    await new Promise((resolve) => child.once('message', resolve));
    return child;
  }
}

const reader = new Reader();
afterAll(() => reader.end());

/** Tables of two levels, a log, history, a consumer. */
async function honestDatabase(): Promise<string> {
  const location = join(newDirectory(), 'honest');
  const store = await open(location, { memtableBytesMax: 16 * 1024, tableBytesMax: 8 * 1024, worker: 'off' });
  for (let index = 0; index < 200; index += 1) {
    const value = `${'value '.repeat(20)}${index}`;
    await store.set(`key:${String(index).padStart(6, '0')}`, value, { durability: 'buffered' });
  }
  const consumer = store.consumer('one', { inFlightMax: 1, handle: () => Promise.resolve() });
  await new Promise<void>((resolve) => {
    const run = consumer.run().subscribe(() => (run.unsubscribe(), resolve()));
  });
  await store.compact();
  await store.flush();
  for (let index = 0; index < 50; index += 1) await store.set(`log:${index}`, 'in the log', { durability: 'buffered' });
  await store.close();
  return location;
}

/** Everything below a folder. Links are not followed, as node's own walk does: two that lead back would never end. */
function namesIn(folder: string, before = ''): string[] {
  return readdirSync(join(folder, before), { withFileTypes: true }).flatMap((entry) => {
    const name = join(before, entry.name);
    return entry.isDirectory() ? [name, ...namesIn(folder, name)] : [name];
  });
}

function census(folder: string): string {
  const names = ['', ...namesIn(folder)].toSorted();
  return names
    .map((name) => {
      const path = join(folder, name);
      const stat = lstatSync(path);
      const { mode, size, mtimeMs, ctimeMs, ino, nlink } = stat;
      let content = '';
      if (stat.isSymbolicLink()) content = readlinkSync(path);
      else if (stat.isFile() && size < 2 ** 25) content = createHash('sha1').update(readFileSync(path)).digest('hex');
      return [name, mode, size, mtimeMs, ctimeMs, ino, nlink, content].join(' ');
    })
    .join('\n');
}

type Random = () => number;
const below = (random: Random, bound: number): number => Math.floor(random() * bound);
const oneOf = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)] as T;

/** Bytes that are the worst in the place of a length, a number or a place. */
const LIES: readonly Uint8Array[] = [
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f), // 2^32 - 1 as a varint
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f), // 2^53 - 1 and a little
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
  Uint8Array.of(0xff, 0xff, 0xff, 0x7f),
  Uint8Array.of(0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80),
  Uint8Array.of(0, 0, 0, 0),
  Uint8Array.of(0xff),
];

function lie(random: Random, bytes: Uint8Array, start: number, end: number): void {
  for (let count = 1 + below(random, 3); count > 0; count -= 1) {
    const what = random() < 0.7 ? oneOf(random, LIES) : Uint8Array.of(below(random, 256));
    const at = start + below(random, Math.max(1, end - start));
    bytes.set(what.subarray(0, Math.min(what.length, end - at)), at);
  }
}

/** One record of a log, a MANIFEST or a state of history, its checksum right. */
function lieInRecord(random: Random, bytes: Uint8Array): void {
  const records: (readonly [start: number, length: number])[] = [];
  for (let at = 0; at + 7 <= bytes.length;) {
    const left = LOG_BLOCK_BYTES - (at % LOG_BLOCK_BYTES);
    const length = (bytes[at + 4] ?? 0) + 256 * (bytes[at + 5] ?? 0);
    if (left < 7 || at + 7 + length > bytes.length) break;
    records.push([at, length]);
    at += 7 + length;
  }
  const [at, length] = records.length === 0 ? [0, 0] : oneOf(random, records);
  if (length === 0) return;
  lie(random, bytes, at + 7, at + 7 + Math.min(length, random() < 0.5 ? 40 : length));
  writeFixed32(bytes, at, maskCrc(crc32c(bytes, at + 6, at + 7 + length)));
}

/** The footer, or one block of a table, its checksum right. */
function lieInTable(random: Random, bytes: Uint8Array, name: string): void {
  const footerAt = bytes.length - FOOTER_BYTES;
  if (random() < 0.2) return lie(random, bytes, footerAt, footerAt + 40);
  const { metaindex, index } = decodeFooter(bytes.subarray(footerAt), bytes.length);
  const handles: BlockHandle[] = [metaindex, index, index];
  for (const { offset, size } of [metaindex, index]) {
    if (bytes[offset + size] !== 0) continue; // compressed
    forEachEntry(new Block(bytes.slice(offset, offset + size), name, 0), (_, start, end) => {
      handles.push(readHandle({ bytes, offset: offset + start, end: offset + end }, bytes.length));
    });
  }
  const { offset, size } = oneOf(random, handles);
  const places = [0, 0, Math.max(0, size - 12), below(random, size)]; // entries, the length of snappy, restarts, anywhere
  lie(random, bytes, offset + oneOf(random, places), offset + size);
  if (random() < 0.1) bytes[offset + size] = below(random, 3); // the type
  writeFixed32(bytes, offset + size + 1, maskCrc(crc32c(bytes, offset, offset + size + 1)));
}

function lieInside(random: Random, path: string): void {
  const bytes = Uint8Array.from(readFileSync(path));
  if (bytes.length === 0) return;
  try {
    if (/(\.log|STATE|MANIFEST-\d+)$/.test(path)) lieInRecord(random, bytes);
    else if (path.endsWith('.ldb') && bytes.length > FOOTER_BYTES) lieInTable(random, bytes, path);
    else lie(random, bytes, 0, bytes.length);
  } catch {
    lie(random, bytes, 0, bytes.length); // an earlier lie has made it unreadable for us, too
  }
  writeFileSync(path, bytes);
}

const PLANTS: readonly ((path: string, folder: string) => void)[] = [
  (path) => symlinkSync('/dev/zero', path),
  (path) => symlinkSync('/etc/passwd', path),
  (path, folder) => symlinkSync(folder, path),
  (path) => symlinkSync('nowhere', path),
  (path) => mkdirSync(path),
  (path) => void execFileSync('mkfifo', [path]),
];

/** @returns what was done */
function harm(random: Random, folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  if (files.length === 0) return 'nothing left';
  const path = oneOf(random, files);
  const kind = random();
  const size = lstatSync(path).size;
  if (kind < 0.6) lieInside(random, path);
  else if (kind < 0.68) truncateSync(path, below(random, size + 1));
  else if (kind < 0.7)
    truncateSync(path, 2 ** 25); // zeros without end, almost
  else if (kind < 0.76) copyFileSync(oneOf(random, files), path);
  else if (kind < 0.82) rmSync(path);
  else if (kind < 0.88) {
    const parts = ['MANIFEST-999999', '999999999999999.log', '000000.ldb', '000003.sst', 'CURRENT', '000009.log'];
    renameSync(path, join(folder, oneOf(random, parts)));
  } else if (kind < 0.9) {
    const lines = [
      'MANIFEST-000001\n',
      '../../etc/passwd\n',
      'MANIFEST-../x\n',
      '/dev/zero\n',
      '\n',
      'MANIFEST-9007199254740993\n',
    ];
    writeFileSync(join(folder, 'CURRENT'), oneOf(random, lines));
  } else {
    rmSync(path);
    oneOf(random, PLANTS)(path, folder);
  }
  return `${path.slice(folder.length + 1)} by ${kind.toFixed(2)}`;
}

describe('a directory that was made to do harm', () => {
  it('is read without a write, a death or a hang', { timeout: PROPERTY_MS * 4 }, async () => {
    const honest = await honestDatabase();
    const count = runs(10);
    let rssKib = 0;
    let growthKibMax = 0;
    const startReader = async (): Promise<void> => {
      reader.end();
      // As often as the others after it: what the collector leaves lying for a while is nobody's harm.
      for (let times = Math.min(count, DIRECTORIES_PER_READER); times > 0; times -= 1) {
        const honestly = await reader.read(honest);
        expect(honestly?.codes).toEqual(['ok', 'ok', 'ok', 'ok']);
        rssKib = honestly?.maxRssKib ?? 0;
      }
    };
    const seed = seedOfThisRun();
    const violations: string[] = [];
    const seen = new Map<string, number>();
    for (let index = 0; index < count; index += 1) {
      if (index % DIRECTORIES_PER_READER === 0) await startReader();
      const random = randomOf(seed + index);
      const folder = join(newDirectory(), 'harmful');
      cpSync(honest, folder, { recursive: true });
      const done = Array.from({ length: 1 + below(random, 3) }, () => harm(random, folder));
      const before = census(folder);
      const report = await reader.read(folder);
      const told = `ALLUVIUM_SEED=${seed + index}: ${done.join(', ')}`;
      if (report === undefined) {
        violations.push(`${told}: the process died, or hung`);
        await startReader();
      } else {
        violations.push(...report.faults.map((fault) => `${told}: ${fault}`));
        const growthKib = report.maxRssKib - rssKib;
        growthKibMax = Math.max(growthKibMax, growthKib);
        if (growthKib > GROWTH_KIB_MAX) {
          violations.push(`${told}: ${growthKib} KiB of memory`);
          await startReader(); // the mark stays where it was: one more would be blamed for it
        }
        for (const code of report.codes) seen.set(code, (seen.get(code) ?? 0) + 1);
      }
      if (census(folder) !== before) violations.push(`${told}: something in it was changed`);
      rmSync(folder, { recursive: true, force: true });
    }
    recordFigures('T21', {
      directories: count,
      readable: seen.get('ok') ?? 0,
      refused: [...seen].reduce((sum, [code, times]) => (code === 'ok' ? sum : sum + times), 0),
      memoryGrowthKiBMax: growthKibMax,
      violations: violations.length,
    });
    expect(violations).toEqual([]);
    expect(seen.get('CORRUPTION')).toBeGreaterThan(0); // it was not all in vain
  });
});
