// Goal: what earlier versions of this engine wrote, and what LevelDB 1.20 wrote, stays readable for ever, to the byte.
// Method: directories made once (see make.mjs) are opened as they are for reading, as copies on disk, and as copies in
// memory; each time everything is read, both ways and key by key.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastValueFrom, toArray } from 'rxjs';
import { afterAll, describe, expect, it } from 'vitest';
import { type Entry, MemoryFileSystem, NodeFileSystem, open, type OpenOptions, type Stream } from '../../src/index.ts';
import { EngineProcesses } from '../support/engine-process.ts';
import { type Contents, difference } from '../support/history.ts';
import { textOf } from '../support/sorted-model.ts';
import { inspectTree } from '../support/tree-invariants.ts';

const workspace = mkdtempSync(join(tmpdir(), 'alluvium-golden-'));
const engines = new EngineProcesses();
afterAll(async () => {
  await engines.end();
  rmSync(workspace, { recursive: true, force: true });
});

const GOLDEN = import.meta.dirname;
const DIRECTORIES = readdirSync(GOLDEN, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name: engine }) =>
    readdirSync(join(GOLDEN, engine), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => ({ engine, name, path: join(GOLDEN, engine, name) })),
  );

const contentsOf = (engine: string): Contents => {
  const lines = readFileSync(join(GOLDEN, engine, 'contents.txt'), 'latin1')
    .split('\n')
    .slice(0, -1);
  return new Map(
    lines.map((line) => {
      const [key = '', value = ''] = line.split('=');
      return [textOf(Buffer.from(key, 'hex')), Buffer.from(value, 'hex')];
    }),
  );
};

const filesOf = (directory: string): [name: string, bytes: Buffer][] =>
  readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]);

/** Everything in a directory, read by our engine. */
async function read(directory: string, options: OpenOptions, probes: readonly Uint8Array[]) {
  const all = async (stream: Stream<Entry>) =>
    (await lastValueFrom(stream.pipe(toArray()))).map(({ key, value }) => [key, value] as const);
  const store = await open(directory, { createIfMissing: false, ...options });
  const forwards = await all(store.scan());
  const backwards = await all(store.scan({ reverse: true }));
  const gets = await Promise.all(probes.map((key) => store.get(key)));
  await store.close();
  return { forwards, backwards, gets };
}

it('there are directories of both engines', () => {
  const names = DIRECTORIES.map(({ engine, name }) => `${engine}/${name}`);
  expect(names).toEqual(
    expect.arrayContaining([
      'alluvium-0.1/clean',
      'alluvium-0.1/killed',
      'leveldb-1.20/clean',
      'leveldb-1.20/killed',
      'leveldb-1.20/snappy',
    ]),
  );
});

describe.each(DIRECTORIES)('$engine/$name', ({ engine, name, path }) => {
  const contents = contentsOf(engine);
  const probes = [...contents.keys(), 'gone', 'entry 1', 'absent', '\0\0'].map((key) => Buffer.from(key, 'latin1'));

  it('is read as it is, and not changed by it', async () => {
    const before = filesOf(path);
    expect(difference(contents, await read(path, { readOnly: true }, probes), probes)).toBeUndefined();
    expect(filesOf(path)).toEqual(before);
  });

  it('is opened on disk, and again after that', async () => {
    const copy = join(workspace, `${engine} ${name}`);
    cpSync(path, copy, { recursive: true });
    expect(difference(contents, await read(copy, {}, probes), probes)).toBeUndefined();
    expect(difference(contents, await read(copy, {}, probes), probes)).toBeUndefined();
    const { violations, entryCount } = await inspectTree(new NodeFileSystem(), copy);
    expect(violations).toEqual([]);
    expect(entryCount).toBeGreaterThanOrEqual(contents.size);
  });

  it('is opened in memory', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/golden');
    for (const [file, bytes] of filesOf(path)) fileSystem.writeFileNow(`/golden/${file}`, bytes);
    expect(difference(contents, await read('/golden', { fileSystem }, probes), probes)).toBeUndefined();
  });

  it('is opened by real LevelDB', async () => {
    const copy = join(workspace, `${engine} ${name} for LevelDB`);
    cpSync(path, copy, { recursive: true });
    const reading = await engines.readAll('leveldb', copy, { createIfMissing: false }, probes);
    expect(difference(contents, reading, probes)).toBeUndefined();
  });
});
