// Goal: this engine opens what real LevelDB wrote: closed or killed, compressed or not, on several levels, with keys that
// are longer than those we write; and reads exactly what LevelDB had acknowledged.
// Method: histories run in LevelDB's process; then the directory is opened here, and read by scans both ways and by get.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { lastValueFrom, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Entry, KeyTooLargeError, NodeFileSystem, open, type Store, type Stream } from '../../src/index.ts';
import { EngineProcesses } from '../support/engine-process.ts';
import {
  apply,
  type Contents,
  contentsAfterKill,
  difference,
  historyOf,
  probesOf,
  type Reading,
  type Step,
} from '../support/history.ts';
import { PROPERTY_MS, randomOf, seedOfThisRun } from '../support/runs.ts';
import { textOf } from '../support/sorted-model.ts';
import { inspectTree } from '../support/tree-invariants.ts';

const KEYS = 600;
const probes = probesOf(KEYS);
const engines = new EngineProcesses();
let workspace = '';

beforeAll(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'alluvium-contract-'));
});
afterAll(async () => {
  await engines.end();
  await rm(workspace, { recursive: true, force: true });
});

async function readOf(store: Store, keys: readonly Uint8Array[]): Promise<Reading> {
  const all = async (stream: Stream<Entry>) =>
    (await lastValueFrom(stream.pipe(toArray()))).map(({ key, value }) => [key, value] as const);
  return {
    forwards: await all(store.scan()),
    backwards: await all(store.scan({ reverse: true })),
    gets: await Promise.all(keys.map((key) => store.get(key))),
  };
}

/** Reads it as it is, then after a compaction, then after reopening. */
async function expectContents(directory: string, contents: Contents, keys: readonly Uint8Array[]): Promise<void> {
  const options = { createIfMissing: false, memtableBytesMax: 64 * 1024, tableBytesMax: 64 * 1024 };
  const readOnly = await open(directory, { ...options, readOnly: true });
  expect(difference(contents, await readOf(readOnly, keys), keys), 'read only').toBeUndefined();
  await readOnly.close();
  const store = await open(directory, options);
  expect(difference(contents, await readOf(store, keys), keys), 'opened').toBeUndefined();
  await store.compact();
  expect(difference(contents, await readOf(store, keys), keys), 'compacted').toBeUndefined();
  await store.close();
  const report = await inspectTree(new NodeFileSystem(), directory);
  expect(report.violations).toEqual([]);
  expect(report.strays).toEqual([]);
  const theirs = await engines.readAll('leveldb', directory, {}, keys);
  expect(difference(contents, theirs, keys), 'LevelDB again').toBeUndefined();
}

describe.each([
  { name: 'snappy', options: { compression: true, writeBufferSize: 65_536 } },
  { name: 'not compressed', options: { compression: false, writeBufferSize: 65_536, blockSize: 700 } },
])('directories of real LevelDB, $name', ({ name, options }) => {
  it('are read after a clean close, with several levels', { timeout: PROPERTY_MS }, async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const directory = join(workspace, `clean ${name}`);
    const old = historyOf(random, { steps: 500, keys: KEYS, largeValues: 2 });
    // Many at once: LevelDB writes several puts as one record. So they must be of different keys.
    const atOnce = probes.slice(0, 200).map((key, index): Step => {
      return { type: 'write', operations: [{ type: 'set', key, value: Uint8Array.of(index) }], isSynced: false };
    });
    const young = historyOf(random, { steps: 700, keys: KEYS, largeValues: 0 }).filter(({ type }) => type === 'write');
    const contents: Contents = new Map();
    for (const step of [...old, ...atOnce, ...young]) apply(contents, step);

    await engines.run('leveldb', directory, options, old, 1);
    await engines.run('leveldb', directory, options, [{ type: 'compact', start: undefined, end: undefined }], 1);
    await engines.run('leveldb', directory, options, atOnce, atOnce.length);
    await engines.run('leveldb', directory, options, young, 1);
    const report = await inspectTree(new NodeFileSystem(), directory);

    expect(report.violations, `seed ${seed}`).toEqual([]);
    expect(report.tablesOfLevels.filter((count) => count > 0).length, String(report.tablesOfLevels)).toBeGreaterThan(1);
    await expectContents(directory, contents, probes);
  });

  it('are read after a kill', { timeout: PROPERTY_MS }, async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const directory = join(workspace, `killed ${name}`);
    let contents: Contents = new Map();
    for (let kill = 0; kill < 2; kill += 1) {
      const steps = historyOf(random, { steps: 600, keys: KEYS, largeValues: kill });
      const killAfter = Math.floor(random() * steps.length * 0.9);
      const acknowledged = await engines.runAndKill('leveldb', directory, options, steps, 1, killAfter);

      const store = await open(directory, { createIfMissing: false });
      const reading = await readOf(store, probes);
      await store.close();
      ({ contents } = contentsAfterKill(contents, steps, acknowledged, reading));
      const where = `seed ${seed}, kill ${kill} after step ${acknowledged}`;
      expect(difference(contents, reading, probes), where).toBeUndefined();
    }
    await expectContents(directory, contents, probes);
  });
});

const LONG_KEYS = [
  { where: 'tables', options: { compression: true, writeBufferSize: 65_536 } },
  { where: 'log', options: { compression: false, writeBufferSize: 2 ** 24 } },
];

it.each(LONG_KEYS)(
  'keys of over 64 KiB are read, in the $where',
  { timeout: PROPERTY_MS },
  async ({ where, options }) => {
    const directory = join(workspace, `long keys in the ${where}`);
    const noise = new Uint8Array(300_000).map((_unused, at) => (at * at * 31) >> 7);
    const [short, ...longer] = [65_537, 100_000, 100_001, 300_000].map((length) => noise.subarray(0, length));
    if (short === undefined) throw new Error('no key');
    const keys = [short, ...longer, Uint8Array.of(...short, 255), new Uint8Array(1_048_576)];
    const steps: Step[] = keys.map((key, index) => {
      return { type: 'write', operations: [{ type: 'set', key, value: Uint8Array.of(index) }], isSynced: false };
    });
    steps.push({ type: 'write', operations: [{ type: 'delete', key: noise.subarray(0, 100_000) }], isSynced: false });
    const contents: Contents = new Map();
    for (const step of steps) apply(contents, step);
    const absent = [noise.subarray(0, 70_000), new Uint8Array(1_048_577)];

    if (where === 'tables') {
      await engines.run('leveldb', directory, options, steps, 1);
      await engines.run('leveldb', directory, options, [{ type: 'compact', start: undefined, end: undefined }], 1);
    } else {
      await engines.runAndKill('leveldb', directory, options, steps, 1, steps.length - 1);
    }

    await expectContents(directory, contents, [...keys, ...absent]);
    const store = await open(directory);
    const behind = await lastValueFrom(store.scan({ gt: short, values: false }).pipe(toArray()));
    expect(behind).toHaveLength([...contents.keys()].filter((key) => key > textOf(short)).length);
    expect(await store.has(noise)).toBe(true);
    expect(() => store.set(short, ''), 'our own limit is for what we write').toThrow(KeyTooLargeError);
    // What is there can be got rid of, one by one and in a batch; real LevelDB agrees.
    await store.delete(noise);
    await store.write([...keys].filter((key) => key !== noise).map((key) => ({ type: 'delete', key })));
    if (where === 'tables') await store.compact();
    await store.close();
    const left = new Map([...contents].filter(([key]) => !keys.some((one) => textOf(one) === key)));
    await expectContents(directory, left, [...keys, ...absent]);
    const theirs = new ClassicLevel<Buffer, Buffer>(directory, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
    expect(await theirs.keys().all()).toHaveLength(left.size);
    await theirs.close();
  },
);
