// Goal: `repair` brings back all that can be read, tells all that cannot, never deletes, and leaves a database that is whole:
// for `verify`, for us, and for real LevelDB. What it gives back was written so.
// Method: a small database with every kind of file; its bytes are changed one by one, its files removed one by one, and in
// pairs; each is repaired, first dry, then opened and read. Crashes at each file call of a repair.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastValueFrom, take, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  InvalidCursorError,
  LockedError,
  MemoryFileSystem,
  NotADatabaseError,
  open,
  repair,
  type RepairReport,
  type Store,
  verify,
} from '../../src/index.ts';
import type { FileOperation } from '../../src/storage/file-system/memory-faults.ts';
import { KIND_DELETE } from '../../src/storage/read/internal-iterator.ts';
import { EngineProcesses } from '../support/engine-process.ts';
import { databaseOf, entry } from '../support/hand-made-database.ts';
import { randomOf, seedOfThisRun } from '../support/runs.ts';
import { textOf } from '../support/sorted-model.ts';
import { writeTable } from '../support/tree-on-disk.ts';

const DIRECTORY = '/db';
const OPTIONS = {
  blockBytesMax: 100,
  level0CompactionTrigger: 100,
  tableBytesMax: 1024,
  memtableBytesMax: 65_536,
  compression: 'none',
} as const;
const never = (): number => 0;

/** Each value names its key and its version, so that a wrong one is seen. */
const KEYS = Array.from({ length: 40 }, (_, index) => `key ${String(index).padStart(2, '0')}`);
const versionOf = (key: string, version: number): string => `${key} version ${version}`;
const set = (key: string, version: number) => ({ type: 'set', key, value: versionOf(key, version) }) as const;

/** Level 1 with version 1 of all, two tables of level 0 with versions 2 and 3 of some, versions 4 and 5 in a log. */
async function database(): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem();
  const store = await open(DIRECTORY, { ...OPTIONS, fileSystem });
  await store.write(KEYS.slice(0, 20).map((key) => set(key, 1)));
  await store.flush();
  await store.write(KEYS.map((key) => set(key, 1)));
  await store.compact();
  await store.write(KEYS.slice(0, 20).map((key) => set(key, 2)));
  await store.flush();
  await store.write(KEYS.slice(10, 30).map((key) => set(key, 3)));
  await store.flush();
  for (const key of KEYS.slice(5, 8)) await store.set(key, versionOf(key, 4));
  await store.set(KEYS[5] ?? '', versionOf(KEYS[5] ?? '', 5));
  const image = fileSystem.crashImage('all', never);
  await store.close();
  return image;
}

const newestOf = (index: number): number =>
  index === 5 ? 5 : index > 5 && index < 8 ? 4 : index < 10 ? 2 : index < 30 ? 3 : 1;
const WHOLE = new Map(KEYS.map((key, index) => [key, versionOf(key, newestOf(index))]));

async function contentOf(store: Store): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for await (const { key, value } of store.scan()) content.set(textOf(key), textOf(value));
  for (const [key, value] of content) expect(textOf((await store.get(key)) ?? new Uint8Array(0))).toBe(value);
  return content;
}

/** Repairs, and checks what holds of every repair. @returns the report, and what is there now */
async function repaired(image: MemoryFileSystem, what: string) {
  const before = image.crashImage('all', never);
  const filesBefore = image
    .paths()
    .map((path) => [path, Buffer.from(image.readFileNow(path)).toString('hex')] as const);
  const dry = await repair(DIRECTORY, { fileSystem: image, dryRun: true });
  expect(image.paths(), what).toEqual(before.paths());
  const report = await repair(DIRECTORY, { fileSystem: image });
  expect({ ...report, lostDirectory: undefined }, what).toEqual({ ...dry, isDryRun: false, lostDirectory: undefined });
  // Nothing is gone: each file is where it was, or set aside; CURRENT is written anew.
  const after = new Set(image.paths().map((path) => Buffer.from(image.readFileNow(path)).toString('hex')));
  expect(
    filesBefore.filter(([, bytes]) => !after.has(bytes)).map(([path]) => path),
    what,
  ).toEqual([]);
  const verified = await verify(DIRECTORY, { fileSystem: image });
  expect(
    verified.findings.filter(({ severity }) => severity === 'error'),
    what,
  ).toEqual([]);
  const store = await open(DIRECTORY, { ...OPTIONS, fileSystem: image });
  const content = await contentOf(store);
  for (const [key, value] of content) expect(value, what).toMatch(new RegExp(`^${key} version [1-5]$`));
  await store.set('goes on', '1');
  await store.close();
  return { report, content };
}

const lossesOf = ({ losses }: RepairReport) =>
  losses.map(
    ({ file, firstKey, lastKey }) => [file, firstKey && textOf(firstKey), lastKey && textOf(lastKey)] as const,
  );

/** Changes one byte of a file. */
function damage(image: MemoryFileSystem, path: string, offset: number): void {
  const bytes = image.readFileNow(path);
  const at = offset < 0 ? bytes.length + offset : offset;
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  image.writeFileNow(path, bytes);
}

describe('repair', async () => {
  const source = await database();
  const image = (): MemoryFileSystem => source.crashImage('all', never);
  const paths = source.paths().filter((path) => source.readFileNow(path).length > 0);
  const tables = paths.filter((path) => path.endsWith('.ldb'));
  const names = (path: string): string => path.slice(DIRECTORY.length + 1);
  const log =
    paths
      .filter((path) => /^\/db\/\d+\.log$/.test(path))
      .sort((a, b) => source.readFileNow(b).length - source.readFileNow(a).length)[0] ?? '';

  it('has tables in two levels to mend', () => {
    expect(tables.length).toBeGreaterThan(3);
  });

  it('does nothing where nothing is wrong', async () => {
    const fileSystem = image();
    const { report, content } = await repaired(fileSystem, 'whole');
    expect(report.wasWhole).toBe(true);
    expect(report.setAside).toEqual([]);
    expect(content).toEqual(WHOLE);
  });

  it.each(paths.map((path) => [path.replace(/[0-9a-f]{32}/, '<id>'), path] as const))(
    'mends any changed byte of %s, or tells what is lost',
    { timeout: 120_000 },
    async (_, path) => {
      const { length } = source.readFileNow(path);
      const stride = length > 300 ? 31 : 7;
      const random = randomOf(seedOfThisRun());
      for (let offset = Math.floor(random() * stride); offset < length; offset += stride) {
        const damaged = image();
        damage(damaged, path, offset);
        const what = `byte ${offset} of ${path}`;
        const { report, content } = await repaired(damaged, what);
        if (report.lossCount === 0) {
          // The last group of a log has no mark behind it: damage there looks like a torn write.
          if (path !== log && !path.endsWith(names(log))) expect(content, what).toEqual(WHOLE);
        }
        // One block, one record, or one file that says what the others are: never more than that.
        const wrong = KEYS.filter((key) => content.get(key) !== WHOLE.get(key));
        expect(wrong.length, `${what}: ${String(wrong)}`).toBeLessThanOrEqual(8);
      }
    },
  );

  it.each(paths.map((path) => [path.replace(/[0-9a-f]{32}/, '<id>'), path] as const))(
    'brings back what is left without %s',
    async (_, path) => {
      const damaged = image();
      await damaged.remove(path);
      const { report, content } = await repaired(damaged, `without ${path}`);
      if (path.endsWith('.ldb')) expect(lossesOf(report).map(([file]) => file)).toContain(names(path));
      else if (path !== log && !/\d+\.log$/.test(path)) expect(content).toEqual(WHOLE);
      if (/CURRENT|MANIFEST/.test(path)) expect(report.levels).toBe('rebuilt');
      else expect(report.levels).toBe('kept');
    },
  );

  it('finds all of a table whose index and footer are gone', async () => {
    for (const path of tables) {
      const damaged = image();
      damage(damaged, path, -1); // the magic number
      damage(damaged, path, -60); // the index
      const { report, content } = await repaired(damaged, path);
      expect(content).toEqual(WHOLE);
      expect(report.tablesRewritten).toBeGreaterThan(0);
    }
  });

  it('goes on behind a lost block, without the index too, and tells between which keys it lay', async () => {
    const path = tables[0] ?? '';
    const damaged = image();
    damage(damaged, path, 150);
    const withIndex = await repaired(damaged, 'with index');
    const again = image();
    damage(again, path, 150);
    damage(again, path, -1);
    damage(again, path, -60);
    const without = await repaired(again, 'without');
    expect(without.content).toEqual(withIndex.content);
    const [first] = lossesOf(withIndex.report);
    const [scanned] = lossesOf(without.report);
    expect(first?.[0]).toBe(names(path));
    expect(first?.[1]).toBeDefined();
    expect(first?.[2]).toBeDefined();
    expect(scanned?.[1]).toBeDefined();
    expect(scanned?.[2]).toBeDefined();
  });

  it('puts what is newer above what is older, whatever the numbers of the files are', async () => {
    // Without the MANIFEST nothing but the sequence numbers tells: point reads must give the newest all the same.
    const damaged = image();
    for (const path of paths.filter((one) => /CURRENT|MANIFEST/.test(one))) await damaged.remove(path);
    const { report, content } = await repaired(damaged, 'tables and logs alone');
    expect(content).toEqual(WHOLE);
    expect(report.levels).toBe('rebuilt');
    expect(report.history).toBe('begunAnew');
    expect(report.notes.join(' ')).toContain('no whole MANIFEST');
  });

  it('brings back the batches behind a damaged one, and tells of it', async () => {
    const damaged = image();
    // In the second batch of the log: behind a mark and a batch, before others, and before a mark that claims it.
    damage(damaged, log, 19 + 60);
    const { report, content } = await repaired(damaged, log);
    expect(report.lossCount).toBeGreaterThan(0);
    expect(report.logBatches).toBeGreaterThan(1);
    expect(content.get('key 05')).toBe(versionOf('key 05', 5));
    expect(report.history).toBe('begunAnew');
  });

  it('keeps history and cursors where only tables were damaged, and refuses cursors where history might be wrong', async () => {
    const reading = await open(DIRECTORY, { ...OPTIONS, fileSystem: image() });
    const changes = await lastValueFrom(reading.changes({ from: 'start' }).pipe(take(10), toArray()));
    const cursor = changes.at(-1)?.cursor ?? 'al1.';
    await reading.close();
    const kept = image();
    damage(kept, tables[0] ?? '', 150);
    expect((await repaired(kept, 'a table')).report.history).toBe('kept');
    const store = await open(DIRECTORY, { ...OPTIONS, fileSystem: kept });
    const [next] = await lastValueFrom(store.changes({ from: cursor }).pipe(take(1), toArray()));
    expect(textOf(next?.key ?? new Uint8Array(0))).toBe('key 10');
    await store.close();

    const anew = image();
    damage(anew, log, 19 + 60);
    expect((await repaired(anew, 'a log')).report.history).toBe('begunAnew');
    const other = await open(DIRECTORY, { ...OPTIONS, fileSystem: anew });
    await expect(lastValueFrom(other.changes({ from: cursor }).pipe(take(1)))).rejects.toThrow(InvalidCursorError);
    await other.close();
  });

  it('heals a tree whose point reads find old versions', async () => {
    const fileSystem = await databaseOf((files) => [
      [0, writeTable(files, 5, [entry('a', 9), entry('gone', 10, KIND_DELETE)])],
      [0, writeTable(files, 6, [entry('a', 3), entry('b', 4), entry('gone', 2)])],
    ]);
    expect((await verify(DIRECTORY, { fileSystem })).isWhole).toBe(false);
    const report = await repair(DIRECTORY, { fileSystem });
    expect([report.levels, report.lossCount]).toEqual(['rebuilt', 0]);
    expect((await verify(DIRECTORY, { fileSystem })).findings).toEqual([]);
    const store = await open(DIRECTORY, { fileSystem });
    expect(await contentOf(store)).toEqual(
      new Map([
        ['a', 'value 9'],
        ['b', 'value 4'],
      ]),
    );
    await store.close();
  });

  it('merges all tables where an older one has come above a newer one, also beside damage', async () => {
    // Two files in each other's place; a third is damaged, so that tables would be mended one by one.
    const fileSystem = await databaseOf((files) => [
      [0, writeTable(files, 5, [entry('a', 3), entry('b', 4)])],
      [1, writeTable(files, 6, [entry('a', 9), entry('b', 10, KIND_DELETE)])],
      [2, writeTable(files, 7, [entry('c', 1)])],
    ]);
    damage(fileSystem, `${DIRECTORY}/000007.ldb`, -1);
    const report = await repair(DIRECTORY, { fileSystem });
    expect([report.levels, report.lossCount]).toEqual(['rebuilt', 0]);
    expect((await verify(DIRECTORY, { fileSystem })).findings).toEqual([]);
    const store = await open(DIRECTORY, { fileSystem });
    const values = [
      ['a', 'value 9'],
      ['c', 'value 1'],
    ] as const;
    expect(await contentOf(store)).toEqual(new Map(values));
    await store.close();
  });

  it('tells what is lost where a table lies in the place of another', async () => {
    const fileSystem = await databaseOf((files) => [[1, writeTable(files, 5, [entry('a', 3), entry('c', 4)])]]);
    writeTable(fileSystem, 9, [entry('b', 1)]);
    fileSystem.writeFileNow(`${DIRECTORY}/000005.ldb`, fileSystem.readFileNow(`${DIRECTORY}/000009.ldb`));
    const report = await repair(DIRECTORY, { fileSystem });
    expect(lossesOf(report)).toEqual([['000005.ldb', 'a', 'c']]);
    expect((await verify(DIRECTORY, { fileSystem })).findings).toEqual([]);
  });

  it('tells of a lost end, wherever a table is cut, also between two blocks', async () => {
    const path = tables.find((one) => source.readFileNow(one).length > 500) ?? '';
    const bytes = source.readFileNow(path);
    const found: (readonly [entries: number, losses: number])[] = [];
    for (let end = 0; end < bytes.length; end += 1) {
      if (end > 300 && end < bytes.length - 120) continue; // two ends of blocks are in what is left
      const damaged = image();
      damaged.writeFileNow(path, bytes.subarray(0, end));
      const { entriesRead, lossCount } = await repair(DIRECTORY, { fileSystem: damaged, dryRun: true });
      found.push([entriesRead, lossCount]);
    }
    const all = found.at(-1)?.[0] ?? 0;
    expect(found.filter(([entries, losses]) => entries < all && losses === 0)).toEqual([]);
    expect(found.at(-1)).toEqual([all, 0]); // nothing but the last byte of the footer
  });

  it('corrects numbers of a MANIFEST that are too low for its tables', async () => {
    const fileSystem = await databaseOf((files) => [[1, writeTable(files, 5, [entry('a', 9)])]], 1);
    const report = await repair(DIRECTORY, { fileSystem });
    expect([report.wasWhole, report.levels, report.tablesRewritten]).toEqual([false, 'kept', 0]);
    expect((await verify(DIRECTORY, { fileSystem })).findings).toEqual([]);
  });

  it('is repaired by the next try, wherever a crash comes', { timeout: 120_000 }, async () => {
    const changing = new Set([
      'create',
      'append',
      'sync',
      'syncDirectory',
      'rename',
      'link',
      'remove',
      'makeDirectory',
    ]);
    for (const isManifestLost of [false, true]) {
      const images: MemoryFileSystem[] = [];
      const watch = ({ name }: FileOperation): undefined => {
        if (!changing.has(name)) return;
        for (const mode of ['all', 'synced', 'sectors'] as const)
          images.push(damaged.crashImage(mode, randomOf(images.length)));
      };
      const start = image();
      damage(start, tables[0] ?? '', -1);
      if (isManifestLost) await start.remove(`${DIRECTORY}/CURRENT`);
      const damaged: MemoryFileSystem = start.crashImage('all', never, { onOperation: watch });
      await repair(DIRECTORY, { fileSystem: damaged });
      expect(images.length).toBeGreaterThan(30);
      for (const [index, crashed] of images.entries()) {
        await repair(DIRECTORY, { fileSystem: crashed });
        const store = await open(DIRECTORY, { ...OPTIONS, fileSystem: crashed });
        expect(await contentOf(store), `image ${index}, MANIFEST lost: ${isManifestLost}`).toEqual(WHOLE);
        await store.close();
      }
    }
  });

  it('tells how far it is, and ends with its signal wherever it is; the next try does it', async () => {
    const damagedImage = async (): Promise<MemoryFileSystem> => {
      const fileSystem = await database();
      for (const path of fileSystem.paths().filter((name) => name.endsWith('.ldb'))) {
        const bytes = fileSystem.readFileNow(path);
        bytes.fill(0xff, bytes.length - 40); // without footers, all of them are searched
        fileSystem.writeFileNow(path, bytes);
      }
      return fileSystem;
    };
    const seen: (readonly [number, number])[] = [];
    const whole = await damagedImage();
    const onProgress = ({ bytes, bytesTotal }: { readonly bytes: number; readonly bytesTotal: number }): void => {
      seen.push([bytes, bytesTotal]);
    };
    await repair(DIRECTORY, { fileSystem: whole, onProgress });
    const contentIn = async (fileSystem: MemoryFileSystem): Promise<Map<string, string>> => {
      const store = await open(DIRECTORY, { ...OPTIONS, fileSystem });
      const found = await contentOf(store);
      await store.close();
      return found;
    };
    const content = await contentIn(whole);
    expect(content.size).toBeGreaterThan(20);
    expect(seen.length).toBeGreaterThan(3);
    for (const [index, [bytes, total]] of seen.entries()) {
      expect(bytes).toBeGreaterThanOrEqual(seen[index - 1]?.[0] ?? 0);
      expect(bytes).toBeLessThanOrEqual(total);
    }
    const [last = 0, total = 0] = seen.at(-1) ?? [];
    expect(last).toBe(total);
    for (let stop = 0; stop < seen.length - 1; stop += 1) {
      const fileSystem = await damagedImage();
      const abort = new AbortController();
      let told = 0;
      const stopping = repair(DIRECTORY, {
        fileSystem,
        signal: abort.signal,
        onProgress: () => {
          if (told++ === stop) abort.abort(new Error('enough'));
        },
      });
      await expect(stopping.then()).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
      expect((await repair(DIRECTORY, { fileSystem })).wasWhole).toBe(false);
      expect(await contentIn(fileSystem)).toEqual(content);
    }
    await expect(repair(DIRECTORY, { signal: AbortSignal.abort() }).then()).rejects.toMatchObject({ code: 'ABORTED' });
  });

  // Found by T6R: values of the old log lay on top of newer ones in tables.
  it('does not put on top what stands in an old log that is in the place of the live one', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem });
    const keys = Array.from({ length: 30 }, (_, index) => `key ${index}`);
    for (const value of ['old', 'new']) {
      for (const key of keys) await store.set(key, value);
      await store.flush();
    }
    await store.compact();
    await store.set('last', 'one');
    const damaged = fileSystem.crashImage('all', () => 0);
    await store.close();
    const logs = damaged.paths().filter((path) => path.endsWith('.log') && damaged.readFileNow(path).length > 100);
    const live = logs.find((path) => !path.includes('archive')) ?? '';
    const oldest = logs.filter((path) => path.includes('archive')).sort()[0] ?? '';
    const [ofLive, ofOldest] = [damaged.readFileNow(live), damaged.readFileNow(oldest)];
    damaged.writeFileNow(live, ofOldest);
    damaged.writeFileNow(oldest, ofLive);
    expect((await repair(DIRECTORY, { fileSystem: damaged })).wasWhole).toBe(false);
    const { findings } = await verify(DIRECTORY, { fileSystem: damaged });
    expect(findings.filter(({ code }) => code === 'staleRead')).toEqual([]);
    const repaired = await open(DIRECTORY, { fileSystem: damaged });
    for (const key of keys) expect(textOf((await repaired.get(key)) ?? new Uint8Array(0))).toBe('new');
    await repaired.close();
  });

  it('refuses what is open, or no database', async () => {
    const fileSystem = image();
    const store = await open(DIRECTORY, { ...OPTIONS, fileSystem });
    await expect(repair(DIRECTORY, { fileSystem }).then()).rejects.toThrow(LockedError);
    await store.close();
    await expect(repair('/none', { fileSystem }).then()).rejects.toThrow(NotADatabaseError);
    await fileSystem.makeDirectory('/empty');
    await expect(repair('/empty', { fileSystem }).then()).rejects.toThrow(NotADatabaseError);
    expect(() => repair('')).toThrow(TypeError);
    expect(() => repair('/db', { dryRun: 1 as never })).toThrow(TypeError);
  });
});

describe('real LevelDB', () => {
  const engines = new EngineProcesses();
  let workspace = '';
  beforeAll(async () => {
    workspace = await mkdtemp(join(tmpdir(), 'alluvium-repair-'));
  });
  afterAll(async () => {
    await engines.end();
    await rm(workspace, { recursive: true, force: true });
  });

  it.each([
    ['a damaged table', async (path: string) => flip(join(path, await nameOf(path, '.ldb')), -1)],
    ['a lost CURRENT', async (path: string) => rm(join(path, 'CURRENT'))],
    ['a damaged MANIFEST', async (path: string) => flip(join(path, await nameOf(path, 'MANIFEST')), 12)],
  ] as const)('opens what was repaired after %s, and so do we', async (name, spoil) => {
    const directory = join(workspace, name);
    const store = await open(directory, OPTIONS);
    for (const version of [1, 2]) {
      await store.write(KEYS.map((key) => set(key, version)));
      await store.flush();
    }
    await store.close();
    await spoil(directory);
    const report = await repair(directory);
    expect(report.wasWhole).toBe(false);
    expect(report.lostDirectory).toMatch(/^lost\/\d{4}-\d\d-\d\dT/);
    expect((await verify(directory)).isWhole).toBe(true);
    const theirs = await engines.readAll('leveldb', directory, { createIfMissing: false }, []);
    const expected = KEYS.map((key) => [key, versionOf(key, 2)]);
    expect(theirs.forwards.map(([key, value]) => [textOf(key), textOf(value)])).toEqual(expected);
    const ours = await open(directory, OPTIONS);
    expect([...(await contentOf(ours))]).toEqual(expected);
    await ours.close();
  });

  const nameOf = async (path: string, part: string): Promise<string> => {
    const { unreferenced } = await verify(path);
    const { readdir } = await import('node:fs/promises');
    return (await readdir(path)).find((name) => name.includes(part) && !unreferenced.includes(name)) ?? '';
  };
  const flip = async (path: string, offset: number): Promise<void> => {
    const bytes = await readFile(path);
    const at = offset < 0 ? bytes.length + offset : offset;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(path, bytes);
  };
});
