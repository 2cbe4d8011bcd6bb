// Goal: `verify` says "whole" of every database that is, in whatever state a crash has left it, ours or LevelDB's; and names
// what is wrong where files are whole and do not fit each other.
// Method: golden directories, images of random workloads under crashes, and trees made by hand.
import { describe, expect, it } from 'vitest';
import type { CrashMode } from '../../src/storage/file-system/memory-crash.ts';
import {
  AbortedError,
  ComparatorMismatchError,
  MemoryFileSystem,
  NotADatabaseError,
  open,
  OutOfRangeError,
  verify,
  type VerifyCode,
  type VerifyProgress,
} from '../../src/index.ts';
import { encodeVersionEdit } from '../../src/storage/manifest/version-edit.ts';
import { KIND_DELETE } from '../../src/storage/read/internal-iterator.ts';
import { RecordWriter } from '../../src/storage/wal/record-writer.ts';
import { DIRECTORY, nameOf, Workload } from '../support/crash-workload.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { databaseOf, entry } from '../support/hand-made-database.ts';
import { randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { bytesOf } from '../support/sorted-model.ts';
import { TABLE_OPTIONS, writeTable } from '../support/tree-on-disk.ts';

const codesOf = async (fileSystem: MemoryFileSystem): Promise<readonly VerifyCode[]> =>
  (await verify(DIRECTORY, { fileSystem })).findings.map(({ code }) => code);

describe('verify, on whole databases', () => {
  it.each([
    'alluvium-0.1/clean',
    'alluvium-0.1/killed',
    'leveldb-1.20/clean',
    'leveldb-1.20/killed',
    'leveldb-1.20/snappy',
  ])('finds no fault in the golden directory %s', async (name) => {
    const report = await verify(`${import.meta.dirname}/../golden/${name}`);
    expect(report.findings).toEqual([]);
    expect(report.isWhole).toBe(true);
    expect(report.keys).toBeGreaterThan(0);
  });

  it('finds no error in what a crash leaves behind', { timeout: 120_000 }, async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const images: (readonly [what: string, mode: CrashMode, image: MemoryFileSystem])[] = [];
    const workload: Workload = new Workload(seed, (operation) => {
      if (random() > 0.1 || images.length >= runs(300)) return undefined;
      for (const mode of ['all', 'synced', 'prefix', 'sectors', 'zeros'] as const) {
        const image = workload.fileSystem.crashImage(mode, randomOf(operation.index));
        images.push([`seed ${seed}, ${nameOf(operation)}, ${mode}`, mode, image]);
      }
      return undefined;
    });
    await workload.run(40);
    let verified = 0;
    for (const [what, mode, image] of images) {
      const report = await verify(DIRECTORY, { fileSystem: image }).then(undefined, (error: unknown) => {
        if (error instanceof NotADatabaseError) return undefined; // before there was one
        throw error;
      });
      if (report === undefined || !image.paths().includes(`${DIRECTORY}/CURRENT`)) continue;
      verified += 1;
      // What is unsynced of an index or a log may be anything; nothing else may be wrong.
      const wrong = report.findings.filter(({ code }) => code !== 'tornTail' && code !== 'historyIndex');
      expect(wrong, what).toEqual([]);
      if (mode === 'all')
        expect(
          report.findings.filter(({ code }) => code === 'historyIndex'),
          what,
        ).toEqual([]);
    }
    expect(verified).toBeGreaterThan(50);
  });
});

describe('verify, on files that do not fit each other', () => {
  it('tells of a stale read, which only a comparison with the merge can find', async () => {
    // The older value lies in the level-0 table with the higher number: a point read asks that one first.
    const fileSystem = await databaseOf((files) => [
      [0, writeTable(files, 5, [entry('a', 9), entry('gone', 10, KIND_DELETE)])],
      [0, writeTable(files, 6, [entry('a', 3), entry('b', 4), entry('gone', 2)])],
    ]);
    const report = await verify(DIRECTORY, { fileSystem });
    expect(report.findings.map(({ code }) => code)).toEqual(['staleRead', 'staleRead']);
    expect(report.findings[0]?.reason).toContain('finds the entry at 3, and its newest entry is at 9');
    expect(report.isWhole).toBe(false);
    expect(report.keys).toBe(3);
  });

  it('tells of tables that are not as the MANIFEST says', async () => {
    const [a, z] = [entry('a', 1), entry('z', 2)];
    const whole = await databaseOf((files) => [[1, writeTable(files, 5, [a, z])]]);
    expect(await codesOf(whole)).toEqual([]);
    const early = await databaseOf((files) => [
      [1, { ...writeTable(files, 5, [a, z]), smallest: writeTable(files, 6, [entry('0', 1)]).smallest }],
    ]);
    expect(await codesOf(early)).toEqual(['bounds', 'notCompared']);
    const late = await databaseOf((files) => [
      [1, { ...writeTable(files, 5, [a, z]), largest: writeTable(files, 6, [entry('zz', 1)]).largest }],
    ]);
    expect(await codesOf(late)).toEqual(['bounds', 'notCompared']);
    const tooNew = await databaseOf((files) => [[1, writeTable(files, 5, [a, z])]], 1);
    expect(await codesOf(tooNew)).toEqual(['sequence']);
    const tooHigh = await databaseOf((files) => [[1, writeTable(files, 2000, [a, z])]]);
    expect(await codesOf(tooHigh)).toEqual(['fileNumber']);
    const grown = await databaseOf((files) => [[1, { ...writeTable(files, 5, [a, z]), fileBytes: 7 }]]);
    expect(await codesOf(grown)).toEqual(['size', 'notCompared']);
    const missing = await databaseOf((files) => [[1, writeTable(files, 5, [a, z])]]);
    await missing.remove(`${DIRECTORY}/000005.ldb`);
    expect(await codesOf(missing)).toEqual(['missing', 'notCompared']);
  });

  it('tells of a user key that is split over two tables, as LevelDB writes them, without calling it an error', async () => {
    const fileSystem = await databaseOf((files) => [
      [1, writeTable(files, 5, [entry('a', 1), entry('k', 9)])],
      [1, writeTable(files, 6, [entry('k', 4), entry('z', 2)])],
    ]);
    const report = await verify(DIRECTORY, { fileSystem });
    expect(report.findings.map(({ code }) => code)).toEqual(['splitKey']);
    expect(report.isWhole).toBe(true);
  });

  it('tells of an index that is of another log', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem });
    await store.set('a', '1');
    await store.flush();
    await store.set('b', '2');
    await store.close();
    const indexes = fileSystem.paths().filter((path) => path.endsWith('.index'));
    const [first = '', second = ''] = indexes.filter((path) => fileSystem.readFileNow(path).length > 0);
    expect(await codesOf(fileSystem)).toEqual([]);
    fileSystem.writeFileNow(first, fileSystem.readFileNow(second));
    const { findings } = await verify(DIRECTORY, { fileSystem });
    expect(findings).toMatchObject([{ code: 'historyIndex', offset: 0 }]);
    expect(findings[0]?.reason).toContain('another log');
  });

  it('tells what is left to check without a MANIFEST', async () => {
    const fileSystem = await databaseOf((files) => [[1, writeTable(files, 5, [entry('a', 1)])]]);
    await fileSystem.remove(`${DIRECTORY}/CURRENT`);
    const report = await verify(DIRECTORY, { fileSystem });
    expect(report.findings.map(({ code, file }) => [code, file])).toEqual([['missing', 'CURRENT']]);
    expect(report.entries).toBe(1);
  });

  it('lists no more findings than it may, and counts all', async () => {
    const fileSystem = await databaseOf((files) => [
      [0, writeTable(files, 5, [entry('a', 9), entry('b', 10), entry('c', 11)])],
      [0, writeTable(files, 6, [entry('a', 1), entry('b', 2), entry('c', 3)])],
    ]);
    const report = await verify(DIRECTORY, { fileSystem, findingsMax: 2 });
    expect(report.findings).toHaveLength(2);
    expect(report.errorCount).toBe(3);
  });
});

describe('verify, on a disk that fails', () => {
  /** A killed database with tables, history and a log; its calls fail where a test wants it. */
  async function failing(): Promise<FaultFileSystem> {
    const memory = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem: memory });
    await store.set('a', '1');
    await store.flush();
    await store.set('b', '2');
    const image = memory.crashImage('all', () => 0);
    await store.close();
    return new FaultFileSystem(image);
  }
  const found = async (fileSystem: FaultFileSystem): Promise<readonly string[]> => {
    const { findings } = await verify(DIRECTORY, { fileSystem });
    expect(fileSystem.openPaths).toEqual([]);
    return findings.map(({ code, file, reason }) => `${code} ${file.replace(/[0-9a-f]{32}/, '<id>')}: ${reason}`);
  };

  it.each([
    ['open', /CURRENT$/, ['unreadable CURRENT: open failed with EIO']],
    ['read', /MANIFEST/, [/^unreadable MANIFEST-\d+: read failed/]],
    ['read', /\.ldb$/, [/^unreadable \d+\.ldb: read failed/, /^notCompared/]],
    ['read', /db\/\d+\.log$/, [/^unreadable \d+\.log: read failed/]],
    ['size', /db\/\d+\.log$/, [/^unreadable \d+\.log: size failed/]],
    ['open', /STATE$/, [/^unreadable archive\/<id>\/STATE: open failed/]],
    ['read', /STATE$/, [/^unreadable archive\/<id>\/STATE: read failed/]],
    ['open', /archive.*\.log$/, [/^unreadable archive\/<id>\/\d+\.log: open failed/]],
    ['list', /archive\/[0-9a-f]+$/, [/^unreadable archive: list failed/]],
    ['read', /\.index$/, [/^unreadable archive: read failed/, /^unreadable archive\/<id>\/\d+\.log: read failed/]],
  ] as const)('what it cannot %s (%s) is told, and it goes on', async (call, pattern, expected) => {
    const fileSystem = await failing();
    expect(await found(fileSystem)).toEqual([]);
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name, path }) => name === call && pattern.test(path) };
    const told = await found(fileSystem);
    for (const one of expected) expect(told).toContainEqual(expect.stringMatching(one));
  });

  it('a table that can be read, and then no more, is told beside what was found', async () => {
    for (const [code, isBad] of [
      ['EIO', false],
      ['short', true],
    ] as const) {
      const fileSystem = await failing();
      let opens = 0;
      fileSystem.plan = {
        code,
        arrives: 0,
        isHit: ({ name, path }) => {
          if (path.endsWith('.ldb') && name === 'open') opens += 1;
          return opens > 1 && path.endsWith('.ldb') && name === 'read';
        },
      };
      const told = await found(fileSystem);
      expect(told).toHaveLength(1);
      expect(told[0]).toMatch(isBad ? /^damaged \d+\.ldb/ : /^unreadable MANIFEST-\d+: read failed with EIO/);
    }
  });

  it('a directory that cannot be looked at is an error, and one below a file is none', async () => {
    const fileSystem = await failing();
    await expect(verify(`${DIRECTORY}/CURRENT/deeper`, { fileSystem }).then()).rejects.toThrow(NotADatabaseError);
    await expect(verify(`${DIRECTORY}/CURRENT`, { fileSystem }).then()).rejects.toThrow(NotADatabaseError);
    fileSystem.plan = { code: 'EACCES', arrives: 0, isHit: ({ name }) => name === 'stat' };
    await expect(verify(DIRECTORY, { fileSystem }).then()).rejects.toMatchObject({ code: 'IO', systemCode: 'EACCES' });
  });

  it('a log that the MANIFEST names, and that is missing, is told', async () => {
    const fileSystem = await failing();
    const logs = fileSystem.memory.paths().filter((path) => /db\/\d+\.log$/.test(path));
    for (const log of logs) await fileSystem.remove(log);
    expect(await found(fileSystem)).toContainEqual(expect.stringMatching(/^missing \d+\.log: .*it is missing$/));
  });
});

describe('verify, on more than it looks at between two turns', () => {
  it('compares every key, and tells of a key that a point read does not find', async () => {
    const entries = Array.from({ length: 20_000 }, (_, index) =>
      entry(`key ${String(index).padStart(6, '0')}`, index + 1),
    );
    const options = { ...TABLE_OPTIONS, blockBytesMax: 4096 };
    const whole = await databaseOf((files) => [[1, writeTable(files, 5, entries, options)]], 30_000);
    const told: number[] = [];
    const report = await verify(DIRECTORY, { fileSystem: whole, onProgress: ({ bytes }) => told.push(bytes) });
    expect([report.findings, report.keys, report.entries]).toEqual([[], 20_000, 20_000]);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
  });
});

describe('verify, as it is called', () => {
  it('refuses what is no database, or another order of keys', async () => {
    const fileSystem = new MemoryFileSystem();
    await expect(verify('/none', { fileSystem }).then()).rejects.toThrow(NotADatabaseError);
    await fileSystem.makeDirectory('/empty');
    await expect(verify('/empty', { fileSystem }).then()).rejects.toThrow(NotADatabaseError);
    const records = new RecordWriter();
    const edit = encodeVersionEdit({ comparator: 'other', logNumber: 0, nextFileNumber: 9, lastSequence: 0 });
    records.add(edit, 0, edit.length);
    fileSystem.writeFileNow('/empty/MANIFEST-000001', records.staged());
    fileSystem.writeFileNow('/empty/CURRENT', bytesOf('MANIFEST-000001\n'));
    await expect(verify('/empty', { fileSystem }).then()).rejects.toThrow(ComparatorMismatchError);
    expect(() => verify('/empty', { fileSystem, findingsMax: 0 })).toThrow(OutOfRangeError);
    expect(() => verify('')).toThrow(TypeError);
    expect(() => verify('/empty', { fileSystem, onProgress: 1 as never })).toThrow(TypeError);
  });

  it('tells its progress up to the end, changes nothing, and can be aborted', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem, compression: 'none' });
    for (let index = 0; index < 500; index += 1)
      await store.set(`key ${index}`, 'x'.repeat(1000), { durability: 'buffered' });
    await store.flush();
    await store.set('more', 'in the log');
    await store.close();
    let changes = 0;
    const changing = ['create', 'append', 'sync', 'rename', 'link', 'remove', 'makeDirectory', 'lock', 'syncDirectory'];
    const image = fileSystem.crashImage('all', () => 0, {
      onOperation: ({ name }) => {
        if (changing.includes(name)) changes += 1;
        return undefined;
      },
    });
    const told: VerifyProgress[] = [];
    const report = await verify(DIRECTORY, { fileSystem: image, onProgress: (progress) => told.push(progress) });
    expect(report.isWhole).toBe(true);
    expect(changes).toBe(0);
    expect(told.length).toBeGreaterThan(3);
    expect(told.map(({ bytes }) => bytes)).toEqual(told.map(({ bytes }) => bytes).sort((a, b) => a - b));
    const last = told.at(-1);
    expect((last?.bytes ?? 0) / (last?.bytesTotal ?? 1)).toBeGreaterThan(0.99);

    const abort = new AbortController();
    const calls: number[] = [];
    const aborted = verify(DIRECTORY, {
      fileSystem: image,
      signal: abort.signal,
      onProgress: ({ bytes }) => {
        calls.push(bytes);
        abort.abort();
      },
    });
    await expect(aborted.then()).rejects.toThrow(AbortedError);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toHaveLength(1); // the work has ended, too
  });

  it('says that a store that writes has changed what it looked at', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem });
    await store.set('a', '1');
    let isWritten = false;
    const report = await verify(DIRECTORY, {
      fileSystem,
      onProgress: () => {
        if (!isWritten) void store.set('b', '2').then();
        isWritten = true;
      },
    });
    expect(report.findings.map(({ code }) => code)).toContain('changed');
    await store.close();
  });
});
