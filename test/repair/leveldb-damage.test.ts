// Goal: what `repair` promises holds for directories of real LevelDB as for ours, damaged in any way: nothing comes back that
// was not written, what is missing is told with its keys, what is told of nobody is all there, and the result is whole.
// Method: both engines write the same history in processes of their own, and are killed. Copies of what they leave are damaged
// at random (bits, garbage, zeroed sectors, lost ends, lost files, files in each other's place; one or two at a time), and
// repaired. What comes back is compared with every value that was ever written.
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryFileSystem, open, repair, type RepairReport, verify } from '../../src/index.ts';
import { type EngineKind, EngineProcesses } from '../support/engine-process.ts';
import { recordFigures } from '../support/figures.ts';
import type { Step } from '../support/history.ts';
import { randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { bytesOf, textOf } from '../support/sorted-model.ts';

const DIRECTORY = '/db';
const KEYS = 600;
const never = (): number => 0;
/** Small enough that one database has tables in several levels; 64 KiB is LevelDB's least. */
const OPTIONS: Readonly<Record<EngineKind, object>> = {
  alluvium: { memtableBytesMax: 65_536, blockBytesMax: 512, tableBytesMax: 65_536, level0CompactionTrigger: 3 },
  leveldb: { writeBufferSize: 65_536, blockSize: 512, compression: true },
};
/** A single write of the history, with what a log puts around it: so much at the end of a log looks like a torn write. */
const TORN_BYTES_MAX = 400;

/** Values name their key and their number, so that a wrong one is seen. */
function historyOf(): { readonly steps: Step[]; readonly newest: Map<string, string>; readonly written: Set<string> } {
  const random = randomOf(7);
  const steps: Step[] = [];
  const newest = new Map<string, string>();
  const written = new Set<string>();
  for (let index = 0; index < 4_000; index += 1) {
    const key = `key ${String(Math.floor(random() * KEYS)).padStart(3, '0')}`;
    const isDelete = random() < 0.15;
    const value = `${key} is ${index} ${String(random()).repeat(1 + Math.floor(random() * 10))}`;
    if (isDelete) newest.delete(key);
    else newest.set(key, value);
    written.add(value);
    const operation = isDelete
      ? ({ type: 'delete', key: bytesOf(key) } as const)
      : ({ type: 'set', key: bytesOf(key), value: bytesOf(value) } as const);
    steps.push({ type: 'write', operations: [operation], isSynced: index % 100 === 99 });
  }
  return { steps, newest, written };
}

const { steps, newest, written } = historyOf();

const isTable = (path: string): boolean => /\.(ldb|sst)$/.test(path);

interface Damage {
  readonly what: string;
  /** Whether it looks like what a crash leaves at the end of a log. */
  readonly isLikeTorn: boolean;
}

/** Damages one file, or two that take each other's place. */
async function spoil(image: MemoryFileSystem, random: () => number): Promise<Damage> {
  const below = (limit: number): number => Math.floor(random() * limit);
  const paths = image.paths().filter((path) => !/LOCK|lock$|\/LOG/.test(path));
  const path = paths[below(paths.length)] ?? '';
  const bytes = image.readFileNow(path);
  const isLog = path.endsWith('.log');
  const told = (what: string, isLikeTorn: boolean): Damage => ({ what: `${what} of ${path}`, isLikeTorn });
  const kind = below(7);
  if (kind === 0) {
    await image.remove(path);
    return told('removal', isLog && /archive/.test(path));
  }
  if (kind === 1) {
    // Where a table has no block at all, each byte of it is tried as the beginning of one, which takes seconds.
    const others = paths.filter((one) => isTable(one) === isTable(path));
    const other = others[below(others.length)] ?? '';
    const theirs = image.readFileNow(other);
    image.writeFileNow(other, bytes);
    image.writeFileNow(path, theirs);
    return told(`exchange with ${other}`, isLog || other.endsWith('.log'));
  }
  if (bytes.length === 0) return told('nothing', false);
  const at = below(bytes.length);
  if (kind === 2) {
    image.writeFileNow(path, bytes.subarray(0, at));
    return told(`loss of the end from ${at}`, isLog);
  }
  const length = kind === 3 ? 1 + below(700) : kind === 4 ? 512 : 1;
  const start = kind === 4 ? at - (at % 512) : at;
  const end = Math.min(bytes.length, start + length);
  for (let place = start; place < end; place += 1) {
    bytes[place] = kind === 3 ? below(256) : kind === 4 ? 0 : (bytes[place] ?? 0) ^ (1 << below(8));
  }
  image.writeFileNow(path, bytes);
  return told(`change from ${start} to ${end}`, isLog && end > bytes.length - TORN_BYTES_MAX);
}

function isTold({ losses }: RepairReport, key: string): boolean {
  const at = bytesOf(key);
  return losses.some(
    ({ firstKey, lastKey }) =>
      (firstKey === undefined || Buffer.compare(firstKey, at) <= 0) &&
      (lastKey === undefined || Buffer.compare(at, lastKey) <= 0),
  );
}

describe.each(['leveldb', 'alluvium'] as const)('repair of a directory of %s', (kind) => {
  const engines = new EngineProcesses();
  let workspace = '';
  let source = new MemoryFileSystem();
  beforeAll(async () => {
    workspace = await mkdtemp(join(tmpdir(), 'alluvium-damage-'));
    const directory = join(workspace, 'db');
    await engines.runAndKill(kind, directory, { ...OPTIONS[kind] }, steps, 1, steps.length - 1);
    source = await copyOf(directory);
  }, 60_000);
  afterAll(async () => {
    await engines.end();
    await rm(workspace, { recursive: true, force: true });
  });

  it('gives back all there was where nothing is damaged', async () => {
    const { report, content } = await repaired(source.crashImage('all', never), 'whole');
    expect(report.wasWhole).toBe(true);
    expect(content).toEqual(newest);
    expect(source.paths().filter(isTable).length).toBeGreaterThan(1);
  });

  it('holds for random damage', { timeout: 0 }, async () => {
    const seed = seedOfThisRun();
    const tries = runs(10);
    let [lost, merged] = [0, 0];
    for (let index = 0; index < tries; index += 1) {
      const random = randomOf(seed + index);
      const image = source.crashImage('all', never);
      const damages = [await spoil(image, random), ...(random() < 0.3 ? [await spoil(image, random)] : [])];
      const what = `seed ${seed + index}: ${damages.map((one) => one.what).join(', ')}`;
      const { report, content } = await repaired(image, what);
      const wrong = [...new Set([...newest.keys(), ...content.keys()])].filter(
        (key) => content.get(key) !== newest.get(key),
      );
      const mayBeTorn = damages.some(({ isLikeTorn }) => isLikeTorn);
      if (!mayBeTorn)
        expect(
          wrong.filter((key) => !isTold(report, key)),
          what,
        ).toEqual([]);
      lost += wrong.length === 0 ? 0 : 1;
      merged += report.levels === 'rebuilt' ? 1 : 0;
    }
    if (tries > 50) expect(Math.min(lost, merged)).toBeGreaterThan(tries / 20);
    recordFigures('T6R', { repairs: tries, repairsThatLostSomething: lost, repairsWithoutManifest: merged });
  });
});

/** Repairs, and checks what holds of every repair. */
async function repaired(image: MemoryFileSystem, what: string) {
  const before = new Set(image.paths().map((path) => Buffer.from(image.readFileNow(path)).toString('latin1')));
  const dry = await repair(DIRECTORY, { fileSystem: image, dryRun: true });
  const report = await repair(DIRECTORY, { fileSystem: image });
  expect({ ...report, lostDirectory: undefined }, what).toEqual({ ...dry, isDryRun: false, lostDirectory: undefined });
  for (const path of image.paths()) before.delete(Buffer.from(image.readFileNow(path)).toString('latin1'));
  expect(before.size, `${what}: files that are gone`).toBe(0);
  const verified = await verify(DIRECTORY, { fileSystem: image });
  expect(
    verified.findings.filter(({ severity }) => severity === 'error'),
    what,
  ).toEqual([]);
  const content = new Map<string, string>();
  const store = await open(DIRECTORY, { fileSystem: image });
  for await (const { key, value } of store.scan()) {
    expect(written.has(textOf(value)) && textOf(value).startsWith(textOf(key)), what).toBe(true);
    content.set(textOf(key), textOf(value));
  }
  for (const [key, value] of content) expect(textOf((await store.get(bytesOf(key))) ?? bytesOf('')), what).toBe(value);
  await store.close();
  return { report, content };
}

async function copyOf(directory: string): Promise<MemoryFileSystem> {
  const image = new MemoryFileSystem();
  const places = new Map<number, string>();
  await image.makeDirectory(DIRECTORY);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const folder = `${DIRECTORY}${entry.parentPath.slice(directory.length)}`;
    const [from, to] = [join(entry.parentPath, entry.name), `${folder}/${entry.name}`];
    if (entry.isDirectory()) {
      await image.makeDirectory(to);
      continue;
    }
    // A live log and its name in the archive are one file, and are damaged together.
    const { ino } = await stat(from);
    const other = places.get(ino);
    places.set(ino, to);
    if (other === undefined) image.writeFileNow(to, await readFile(from));
    else await image.link(other, to);
  }
  return image;
}
