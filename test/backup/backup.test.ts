// Goal: a backup taken while everybody writes is one moment: all that was acknowledged before the call, every batch whole;
// it is a database of its own, and one that was cut short anywhere is none.
// Method: writers move money between accounts, so that any moment has the same sum; flushes and compactions run beside; at
// every file call of a backup a crash, a full disk, an abort.
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstValueFrom, lastValueFrom, take, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FileOperationHook } from '../../src/storage/file-system/memory-faults.ts';
import { Fault } from '../../src/storage/file-system/memory-faults.ts';
import {
  AbortedError,
  AlreadyExistsError,
  ClosedError,
  CorruptionError,
  type FileSystem,
  InvalidCursorError,
  LockedError,
  MemoryFileSystem,
  NoSpaceError,
  open,
  type OpenOptions,
  restore,
  type Store,
  verify,
} from '../../src/index.ts';
import { checkWhole, restoreBackup, stampOf } from '../../src/storage/backup/restore-backup.ts';
import { readHistoryState } from '../../src/storage/history/history-state.ts';
import { linkOrCopy } from '../../src/storage/backup/place-file.ts';
import { EngineProcesses } from '../support/engine-process.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { randomOf, seedOfThisRun } from '../support/runs.ts';

const ACCOUNTS = 20;
const START = 1000;
const SMALL: OpenOptions = {
  memtableBytesMax: 8 * 1024,
  tableBytesMax: 4 * 1024,
  level1BytesMax: 16 * 1024,
  level0CompactionTrigger: 2,
  manifestBytesMax: 2048,
};
const MARK = '/copies/backup.partial/UNFINISHED';
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const account = (index: number): string => `account ${String(index).padStart(3, '0')}`;

const openAccounts = (store: Store) =>
  store.write(
    Array.from({ length: ACCOUNTS }, (_, index) => ({ type: 'set', key: account(index), value: `${START}` }) as const),
  );

/** Moves money until told to stop; each writer has accounts of its own, so that they need no conditions. */
function beginTransfers(store: Store, random: () => number, isOver: () => boolean) {
  const acknowledged = { count: 0 };
  const write = async (writer: number): Promise<void> => {
    const balances = new Map<number, number>();
    for (let index = writer; index < ACCOUNTS; index += 4) balances.set(index, START);
    const mine = [...balances.keys()];
    const pick = (): number => mine[Math.floor(random() * mine.length)] ?? 0;
    for (let count = 1; !isOver(); count += 1) {
      const [from, to, amount] = [pick(), pick(), Math.floor(random() * 100)];
      balances.set(from, (balances.get(from) ?? 0) - amount);
      balances.set(to, (balances.get(to) ?? 0) + amount);
      await store.write(
        [
          { type: 'set', key: account(from), value: `${balances.get(from) ?? 0}` },
          { type: 'set', key: account(to), value: `${balances.get(to) ?? 0}` },
          { type: 'set', key: `count ${writer}`, value: `${count}` },
        ],
        { durability: random() < 0.5 ? 'synced' : 'buffered' },
      );
      acknowledged.count += 1;
    }
  };
  return { acknowledged, done: Promise.all([0, 1, 2, 3].map(write)) };
}

/** The sum over all accounts, and the transfers, in a database. */
async function totalsOf(
  directory: string,
  fileSystem: FileSystem | undefined,
): Promise<{ sum: number; count: number }> {
  const store = await open(directory, { fileSystem, createIfMissing: false, readOnly: true });
  let [sum, count] = [0, 0];
  for await (const { key, value } of store.scan()) {
    if (text(key).startsWith('account')) sum += Number(text(value));
    else count += Number(text(value));
  }
  await store.close();
  return { sum, count };
}

const turns = async (count: number): Promise<void> => {
  for (let left = count; left > 0; left -= 1) await new Promise(setImmediate);
};

describe('a backup under load', () => {
  const engines = new EngineProcesses();
  let workspace = '';
  beforeAll(async () => {
    workspace = await mkdtemp(join(tmpdir(), 'alluvium-backup-'));
  });
  afterAll(async () => {
    await engines.end();
    await rm(workspace, { recursive: true, force: true });
  });

  it('is one moment, while four write and tables are merged', { timeout: 60_000 }, async () => {
    const seed = seedOfThisRun();
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { ...SMALL, fileSystem });
    await openAccounts(store);
    let isOver = false;
    const transfers = beginTransfers(store, randomOf(seed), () => isOver);
    for (let index = 0; index < 5; index += 1) {
      await turns(200);
      const before = transfers.acknowledged.count;
      const report = await store.backup(`/backup ${index}`);
      const totals = await totalsOf(report.location, fileSystem);
      expect(totals.sum, `seed ${seed}, backup ${index}`).toBe(ACCOUNTS * START);
      expect(totals.count).toBeGreaterThanOrEqual(before);
      const verified = await verify(report.location, { fileSystem });
      expect(verified.findings, `seed ${seed}, backup ${index}`).toEqual([]);
      expect(verified.lastSequence).toBe(report.sequence);
      expect(report.linkedBytes).toBeGreaterThan(0);
    }
    isOver = true;
    await transfers.done;
    expect(store.stats().flushes).toBeGreaterThan(5);
    expect(store.stats().compactions).toBeGreaterThan(3);
    await store.close();
    // What was shared with the store is still there when the store has merged it away.
    expect((await totalsOf('/backup 0', fileSystem)).sum).toBe(ACCOUNTS * START);
  });

  it(
    'opens in real LevelDB, with what was acknowledged before it, and keeps its tables',
    { timeout: 60_000 },
    async () => {
      const directory = join(workspace, 'db');
      const store = await open(directory, SMALL);
      await openAccounts(store);
      let isOver = false;
      const transfers = beginTransfers(store, randomOf(seedOfThisRun()), () => isOver);
      while (transfers.acknowledged.count < 300) await turns(10);
      const [linked, copied] = [join(workspace, 'linked'), join(workspace, 'copied')];
      const before = transfers.acknowledged.count;
      const reports = [await store.backup(linked), await store.backup(copied, { hardLinks: false, history: false })];
      isOver = true;
      await transfers.done;
      await store.compact();
      await store.close();
      expect(reports[0]?.linkedBytes).toBeGreaterThan(0);
      expect(reports[1]?.linkedBytes).toBe(0);
      expect(reports[1]?.copiedBytes).toBeGreaterThan(0);
      for (const path of [linked, copied]) {
        expect((await verify(path)).findings).toEqual([]);
        const { sum, count } = await totalsOf(path, undefined);
        expect(sum).toBe(ACCOUNTS * START);
        expect(count).toBeGreaterThanOrEqual(before);
        const restored = `${path} restored`;
        await restore(path, restored);
        const theirs = await engines.readAll('leveldb', restored, { createIfMissing: false }, []);
        const balances = theirs.forwards.filter(([key]) => text(key).startsWith('account'));
        expect(balances.reduce((all, [, value]) => all + Number(text(value)), 0)).toBe(ACCOUNTS * START);
      }
      const table = (await readdir(linked)).find((name) => name.endsWith('.ldb')) ?? '';
      expect((await stat(join(linked, table))).nlink).toBeGreaterThan(1);
    },
  );
});

async function storeWith(fileSystem: FileSystem): Promise<Store> {
  const store = await open('/db', { ...SMALL, fileSystem });
  await openAccounts(store);
  await store.flush();
  for (let index = 0; index < 60; index += 1)
    await store.set(`key ${index}`, 'x'.repeat(100), { durability: 'buffered' });
  await store.compact();
  await store.set('in the log', '1');
  return store;
}

describe('a backup that is cut short', () => {
  /** A store with some tables, history, and something in memory. */

  it('is none, at whichever file call a crash comes, or it is whole', { timeout: 120_000 }, async () => {
    let isWatching = false;
    const images: MemoryFileSystem[] = [];
    const crash = (): void => {
      for (const mode of ['all', 'synced', 'prefix', 'sectors'] as const) {
        images.push(fileSystem.crashImage(mode, randomOf(images.length)));
      }
    };
    const watch: FileOperationHook = () => {
      if (isWatching) crash();
      return undefined;
    };
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({ onOperation: watch });
    const store = await storeWith(fileSystem);
    isWatching = true;
    await store.backup('/copies/backup');
    isWatching = false;
    crash(); // what was told to be done is there, whatever the power takes
    await store.close();
    let [whole, none, refused] = [0, 0, 0];
    for (const [index, image] of images.entries()) {
      const isThere = image.paths().some((path) => path.startsWith('/copies/backup/'));
      if (!isThere) {
        none += 1;
        const isUnmarked = image.paths().includes('/copies/backup.partial/CURRENT') && !image.paths().includes(MARK);
        if (index % 10 !== 0 && !isUnmarked) continue;
        const again = await open('/db', { ...SMALL, fileSystem: image });
        if (isUnmarked) {
          // It was complete, but for its name: it is left for whoever misses it, and the next try says so.
          refused += 1;
          expect((await verify('/copies/backup.partial', { fileSystem: image })).findings).toEqual([]);
          await expect(again.backup('/copies/backup').then()).rejects.toThrow(/it may be whole. Move it away/);
          await image.rename('/copies/backup.partial', '/copies/elsewhere');
        }
        // The next try is not in the way of this one.
        await again.backup('/copies/backup');
        await again.close();
      } else whole += 1;
      const report = await verify('/copies/backup', { fileSystem: image });
      // Indexes of the original are not synced: after a power cut they may be torn.
      const wrong = report.findings.filter(({ code }) => isThere || code !== 'historyIndex');
      expect(wrong, `image ${index}`).toEqual([]);
      const copy = await open('/copies/backup', { fileSystem: image });
      expect(text(await copy.get(account(3))), `image ${index}`).toBe(`${START}`);
      expect(text(await copy.get('in the log')), `image ${index}`).toBe('1');
      await copy.close();
    }
    expect(whole).toBeGreaterThanOrEqual(4);
    expect(none).toBeGreaterThan(100);
    expect(refused).toBeLessThan(20); // between the removal of the mark and the rename
  });

  it(
    'tells of a full disk at any of its calls, takes away what it wrote, and works the next time',
    { timeout: 120_000 },
    async () => {
      let failing = -1;
      let calls = 0;
      const hook: FileOperationHook = ({ path, name }) => {
        if (!path.startsWith('/copies') || !['create', 'append', 'link', 'makeDirectory'].includes(name))
          return undefined;
        calls += 1;
        return calls - 1 === failing ? new Fault('ENOSPC') : undefined;
      };
      const fileSystem = new MemoryFileSystem({ onOperation: hook });
      const store = await storeWith(fileSystem);
      let failed = 0;
      for (let call = 0; ; call += 1) {
        [failing, calls] = [call, 0];
        const target = `/copies/backup ${call}`;
        const error: unknown = await store.backup(target).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        failing = -1;
        if (error === undefined) break;
        failed += 1;
        expect(error).toBeInstanceOf(NoSpaceError);
        expect(fileSystem.paths().filter((path) => path.startsWith(target))).toEqual([]);
        const left = await fileSystem.list('/copies').catch(() => []); // not even an empty directory
        expect(left.filter((name) => name.endsWith('.partial'))).toEqual([]);
        await store.backup(target);
        expect((await verify(target, { fileSystem })).findings).toEqual([]);
      }
      expect(failed).toBeGreaterThan(8);
      await store.set('goes on', '1');
      await store.close();
    },
  );

  it('ends with its signal, or with the store', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await storeWith(fileSystem);
    const abort = new AbortController();
    const aborted = store.backup('/aborted', { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(aborted.then()).rejects.toThrow(AbortedError);
    let closed: Promise<void> | undefined;
    const ended = store.backup('/ended', { onProgress: () => void (closed ??= store.close().then()) });
    await expect(ended.then()).rejects.toThrow(ClosedError);
    await closed;
    expect((await fileSystem.list('/')).filter((name) => /aborted|ended/.test(name))).toEqual([]);
    await expect(store.backup('/late').then()).rejects.toThrow(ClosedError);
  });

  it('goes nowhere where something is, or where another one goes', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await storeWith(fileSystem);
    await expect(store.backup('/db').then()).rejects.toThrow(AlreadyExistsError);
    await fileSystem.makeDirectory('/empty');
    await store.backup('/empty/');
    await expect(store.backup('/empty').then()).rejects.toThrow(AlreadyExistsError);
    const [first, second] = await Promise.allSettled([store.backup('/two').then(), store.backup('/two').then()]);
    expect(first.status).toBe('fulfilled');
    expect(second.status === 'rejected' && second.reason instanceof LockedError).toBe(true);
    expect(() => store.backup('')).toThrow(TypeError);
    expect(() => store.backup('/x', { history: 1 as never })).toThrow(TypeError);
    expect(() => store.backup('/x', { onProgress: 1 as never })).toThrow(TypeError);
    await store.close();
  });
});

describe('a backup of files that the disk does not give', () => {
  /** A store, and a hook that fails what a test picks. */
  async function failing() {
    let pick: FileOperationHook = () => undefined;
    const fileSystem = new MemoryFileSystem({ onOperation: (operation) => pick(operation) });
    const store = await storeWith(fileSystem);
    return { fileSystem, store, set: (next: FileOperationHook) => void (pick = next) };
  }
  const filesOf = (fileSystem: MemoryFileSystem, directory: string): string[] =>
    fileSystem.paths().filter((path) => path.startsWith(directory));

  it.each([
    ['a table that cannot be linked', 'link', /copies.*\.ldb$/, 'EIO'],
    ['a table that cannot be read', 'read', /db\/\d+\.ldb$/, 'EIO'],
    ['a segment of history that cannot be linked', 'link', /copies.*archive.*\.log$/, 'EIO'],
    ['an index of history that cannot be read', 'open', /db\/archive.*\.index$/, 'EIO'],
    ['a target that cannot be looked at', 'stat', /copies\/backup$/, 'EACCES'],
    ['a table that is missing', 'link', /copies.*\.ldb$/, 'ENOENT'],
  ])('fails with what the disk said, and leaves nothing: %s', async (_, call, pattern, code) => {
    const { fileSystem, store, set } = await failing();
    const mayLink = call !== 'read';
    set(({ name, path }) => (name === call && pattern.test(path) ? new Fault(code) : undefined));
    const backup = store.backup('/copies/backup', { hardLinks: mayLink }).then();
    await expect(backup).rejects.toMatchObject({ code: 'IO', systemCode: code, operation: call });
    set(() => undefined);
    expect(filesOf(fileSystem, '/copies')).toEqual([]);
    await store.backup('/copies/backup');
    expect((await verify('/copies/backup', { fileSystem })).findings).toEqual([]);
    await store.close();
  });

  it('begins its history behind a segment that retention has taken meanwhile', async () => {
    const { fileSystem, store, set } = await failing();
    await store.close();
    const again = await open('/db', { ...SMALL, fileSystem });
    const segments = filesOf(fileSystem, '/db/archive').filter((path) => path.endsWith('.log'));
    const placed: string[] = [];
    set(({ name, path }) => {
      if (name !== 'link' || !/copies.*archive.*\.log$/.test(path)) return undefined;
      placed.push(path.slice(-10));
      return placed.length === 2 ? new Fault('ENOENT') : undefined;
    });
    await again.backup('/copies/backup');
    set(() => undefined);
    expect(placed.length).toBeGreaterThan(2);
    expect(segments.map((path) => path.slice(-10))).toEqual(expect.arrayContaining(placed));
    const [state = ''] = filesOf(fileSystem, '/copies/backup/archive').filter((path) => path.endsWith('STATE'));
    const history = await readHistoryState(fileSystem, state.slice(0, -'/STATE'.length));
    expect(history?.segments[0]?.firstSequence).toBe(history?.start); // none of before is named
    expect((await verify('/copies/backup', { fileSystem })).findings).toEqual([]);
    const copy = await open('/copies/backup', { fileSystem });
    await copy.set('new', '1');
    const first = async (store: Store): Promise<number> =>
      (await firstValueFrom(store.changes({ from: 'start' }))).sequence;
    expect(await first(copy)).toBeGreaterThan(await first(again));
    await copy.close();
    await again.close();
  });

  it('does without an index that is gone, and takes a table by its old name', async () => {
    const { fileSystem, store, set } = await failing();
    await store.close();
    const [table = ''] = filesOf(fileSystem, '/db/').filter((path) => path.endsWith('.ldb'));
    await fileSystem.rename(table, table.replace('.ldb', '.sst'));
    const again = await open('/db', { ...SMALL, fileSystem });
    set(({ name, path }) => (name === 'open' && /db\/archive.*\.index$/.test(path) ? new Fault('ENOENT') : undefined));
    await again.backup('/copies/backup');
    set(() => undefined);
    expect(filesOf(fileSystem, '/copies')).toContain(table.replace('/db', '/copies/backup'));
    expect((await verify('/copies/backup', { fileSystem })).findings).toEqual([]);
    await again.close();
    await restore('/db', '/copies/restored', { fileSystem });
    expect(filesOf(fileSystem, '/copies')).toContain(table.replace('/db', '/copies/restored'));
  });

  it('copies no file that has become shorter under it', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await storeWith(fileSystem);
    await store.close();
    const [table = ''] = filesOf(fileSystem.memory, '/db/').filter((path) => path.endsWith('.ldb'));
    await fileSystem.makeDirectory('/copies');
    const counter = { linkedBytes: 0, copiedBytes: 0, files: 0, onBytes: () => undefined };
    fileSystem.plan = { code: 'short', arrives: 0, isHit: ({ path }) => path === table };
    const copy = linkOrCopy(fileSystem, table, '/copies/1', counter, false);
    await expect(copy).rejects.toMatchObject({ code: 'IO', operation: 'read', systemCode: 'EIO' });
    expect(counter.files).toBe(0);
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('is refused where somebody puts something into its directory while it takes the lock', async () => {
    const { fileSystem, store, set } = await failing();
    set(({ name, path }) => {
      if (name === 'lock') fileSystem.writeFileNow(`${path}/letter`, new Uint8Array(3));
      return undefined;
    });
    await expect(store.backup('/mine').then()).rejects.toThrow(/holds letter, which no backup wrote/);
    set(() => undefined);
    expect(filesOf(fileSystem, '/mine')).toContain('/mine.partial/letter');
    await fileSystem.remove('/mine.partial/letter');
    await store.backup('/mine'); // the lock was given back
    await store.close();
  });

  it('is refused where it cannot be known what lies in its directory', async () => {
    const { fileSystem, store, set } = await failing();
    await fileSystem.makeDirectory('/mine.partial');
    fileSystem.writeFileNow('/mine.partial/archive', new Uint8Array(3));
    set(({ name, path }) => (name === 'stat' && path.endsWith('archive') ? new Fault('EACCES') : undefined));
    await expect(store.backup('/mine').then()).rejects.toMatchObject({ code: 'IO', systemCode: 'EACCES' });
    expect(filesOf(fileSystem, '/mine')).toEqual(['/mine.partial/archive']);
    // What is gone between the list and the look is no directory, and nobody's file of ours.
    set(({ name, path }) => (name === 'stat' && path.endsWith('archive') ? new Fault('ENOENT') : undefined));
    await expect(store.backup('/mine').then()).rejects.toThrow(/holds archive, which no backup wrote/);
    await store.close();
  });
});

describe('a directory with the name under which a backup is made', () => {
  it('is left as it is, if no earlier try has left it there', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { ...SMALL, fileSystem });
    await openAccounts(store);
    await fileSystem.makeDirectory('/mine.partial/archive');
    for (const name of ['letter', 'CURRENT', 'archive/000001.log']) {
      fileSystem.writeFileNow(`/mine.partial/${name}`, new Uint8Array(3));
    }
    const before = fileSystem.paths();
    await expect(store.backup('/mine').then()).rejects.toThrow(AlreadyExistsError);
    expect(fileSystem.paths().filter((path) => before.includes(path))).toEqual(before);
    expect(await fileSystem.list('/mine.partial')).toEqual(['CURRENT', 'archive', 'letter']);
    await store.close();
    await expect(restore('/db', '/mine', { fileSystem }).then()).rejects.toThrow(AlreadyExistsError);
    expect(await fileSystem.list('/mine.partial')).toEqual(['CURRENT', 'archive', 'letter']);
    await restore('/db', '/other', { fileSystem });
    expect((await fileSystem.list('/other')).filter((name) => name.includes('partial'))).toEqual([]);
  });
});

describe('a whole database with the name under which a backup is made', () => {
  it('is refused and left as it is; with the mark of a backup that was cut short, it is one', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await storeWith(fileSystem);
    await store.backup('/mine.partial');
    const before = fileSystem.paths().filter((path) => path.startsWith('/mine'));
    expect(before.length).toBeGreaterThan(5);
    await expect(store.backup('/mine').then()).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await store.close();
    await expect(restore('/db', '/mine', { fileSystem }).then()).rejects.toThrow(/it may be whole. Move it away/);
    expect(fileSystem.paths().filter((path) => path.startsWith('/mine'))).toEqual(before);
    expect((await verify('/mine.partial', { fileSystem })).findings).toEqual([]);
    // A mark that is torn is none.
    fileSystem.writeFileNow('/mine.partial/UNFINISHED', new Uint8Array(3));
    await expect(restore('/db', '/mine', { fileSystem }).then()).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    for (const path of fileSystem.paths().filter((one) => one.startsWith('/mine.partial/'))) {
      if (!path.endsWith('UNFINISHED')) await fileSystem.remove(path);
    }
    fileSystem.writeFileNow('/mine.partial/UNFINISHED', new Uint8Array(3000)); // nor is one that is too long
    await restore('/db', '/mine', { fileSystem }); // alone it is in nobody's way
    expect((await fileSystem.list('/mine')).filter((name) => name === 'UNFINISHED')).toEqual([]);
  });
});

describe('history in a backup', () => {
  const cursors = async (store: Store, from: 'start' | `al1.${string}`, count: number) =>
    lastValueFrom(store.changes({ from }).pipe(take(count), toArray()));

  it('leads cursors of before on, and refuses those of behind its moment', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { ...SMALL, fileSystem });
    for (let index = 0; index < 10; index += 1) await store.set(`key ${index}`, 'original');
    const before = await cursors(store, 'start', 5);
    await store.backup('/backup');
    await store.set('only in the original', '1');
    const behind = (await cursors(store, 'start', 11)).at(-1);
    await store.close();
    const place = before.at(-1)?.cursor ?? 'al1.';

    const copies: Store[] = [];
    for (const path of ['/one', '/two']) {
      await restore('/backup', path, { fileSystem });
      const copy = await open(path, { ...SMALL, fileSystem });
      await copy.set(`only in ${path}`, '1');
      const rest = await cursors(copy, place, 6);
      expect(rest.map(({ key }) => text(key))).toEqual(
        [5, 6, 7, 8, 9].map((index) => `key ${index}`).concat(`only in ${path}`),
      );
      await expect(firstValueFrom(copy.changes({ from: behind?.cursor ?? 'al1.' }))).rejects.toThrow(
        InvalidCursorError,
      );
      copies.push(copy);
    }
    // Each copy goes its own way: what one gave is no place in the other.
    const [one, two] = copies as [Store, Store];
    const ofOne = (await cursors(one, 'start', 11)).at(-1);
    await two.write(Array.from({ length: 50 }, (_, index) => ({ type: 'set', key: `${index}`, value: '' }) as const));
    await expect(firstValueFrom(two.changes({ from: ofOne?.cursor ?? 'al1.' }))).rejects.toThrow(InvalidCursorError);
    await one.close();
    await two.close();
    const again = await open('/db', { ...SMALL, fileSystem });
    await expect(firstValueFrom(again.changes({ from: ofOne?.cursor ?? 'al1.' }))).rejects.toThrow(InvalidCursorError);
    await again.close();
  });

  it('stays out if it is to', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { ...SMALL, fileSystem });
    await store.set('a', '1');
    const [change] = await cursors(store, 'start', 1);
    await store.backup('/backup', { history: false });
    await store.close();
    expect(fileSystem.paths().filter((path) => path.startsWith('/backup/archive'))).toEqual([]);
    const copy = await open('/backup', { ...SMALL, fileSystem });
    expect(text(await copy.get('a'))).toBe('1');
    await expect(firstValueFrom(copy.changes({ from: change?.cursor ?? 'al1.' }))).rejects.toThrow(InvalidCursorError);
    await copy.close();
  });

  it('goes along where there are no hard links', async () => {
    const fileSystem = new MemoryFileSystem({
      onOperation: ({ name }) => (name === 'link' ? new Fault('ENOTSUP') : undefined),
    });
    const store = await open('/db', { ...SMALL, fileSystem });
    for (let index = 0; index < 10; index += 1) await store.set(`key ${index}`, 'original');
    const report = await store.backup('/backup');
    await store.close();
    expect(report.linkedBytes).toBe(0);
    expect((await verify('/backup', { fileSystem })).findings).toEqual([]);
    const copy = await open('/backup', { ...SMALL, fileSystem });
    expect(await cursors(copy, 'start', 10)).toHaveLength(10);
    await copy.close();
  });
});

describe('restore', () => {
  it('brings nothing back that is damaged, and never writes over anything', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { ...SMALL, fileSystem });
    await openAccounts(store);
    await store.backup('/backup');
    await store.close();
    await restore('/db', '/of a closed one', { fileSystem }); // any closed database will do
    expect((await totalsOf('/of a closed one', fileSystem)).sum).toBe(ACCOUNTS * START);
    await expect(restore('/backup', '/db', { fileSystem }).then()).rejects.toThrow(AlreadyExistsError);
    const table = fileSystem.paths().find((path) => path.startsWith('/backup/') && path.endsWith('.ldb')) ?? '';
    const bytes = fileSystem.readFileNow(table);
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    await fileSystem.remove(table);
    fileSystem.writeFileNow(table, bytes);
    await expect(restore('/backup', '/new', { fileSystem }).then()).rejects.toThrow(CorruptionError);
    expect(fileSystem.paths().filter((path) => path.startsWith('/new'))).toEqual([]);
  });

  it('makes nothing at all of what is no database', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/empty');
    for (const from of ['/nowhere', '/empty']) {
      await expect(restore(from, '/new', { fileSystem }).then()).rejects.toThrow();
    }
    expect(await fileSystem.list('/')).toEqual(['empty']);
  });

  it('gives nothing when somebody writes to the database meanwhile', async () => {
    let isOpen = false;
    const hook: FileOperationHook = ({ path, name }) => {
      // As a store does that writes its log on.
      if (isOpen && name === 'create' && path.startsWith('/new.partial/MANIFEST')) {
        isOpen = false;
        fileSystem.writeFileNow('/db/000999.log', new Uint8Array(7));
      }
      return undefined;
    };
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({ onOperation: hook });
    const store = await open('/db', { ...SMALL, fileSystem });
    await openAccounts(store);
    await store.close();
    isOpen = true;
    await expect(restore('/db', '/new', { fileSystem }).then()).rejects.toThrow(LockedError);
    expect(isOpen).toBe(false);
    expect(fileSystem.paths().filter((path) => path.startsWith('/new'))).toEqual([]);
  });

  it('tells what the disk said of a log that it copied, and of a check that could not begin', async () => {
    let pick: FileOperationHook = () => undefined;
    const source = new MemoryFileSystem();
    const store = await open('/db', { ...SMALL, fileSystem: source });
    await openAccounts(store);
    const fileSystem = source.crashImage('all', () => 0, { onOperation: (operation) => pick(operation) });
    await store.close();
    const cases = [
      ['stat', /new\.partial\/\d+\.log$/],
      ['stat', /^\/db$/],
      ['list', /^\/db$/], // was "somebody has the database open"
      ['stat', /^\/db\/MANIFEST/],
      ['link', /new\.partial.*\.log$/],
    ] as const;
    for (const [call, pattern] of cases) {
      let isOver = false;
      pick = ({ name, path }) => {
        if (isOver || name !== call || !pattern.test(path)) return undefined;
        isOver = true; // or what was written could not be taken away either
        return new Fault('EIO');
      };
      await expect(restore('/db', '/new', { fileSystem }).then(), call).rejects.toMatchObject({ systemCode: 'EIO' });
      pick = () => undefined;
      expect(fileSystem.paths().filter((path) => path.startsWith('/new'))).toEqual([]);
    }
    await restore('/db', '/new', { fileSystem });
  });

  /** A killed database, with an archive and a log that is live, and copies of it without asking what is wrong with it. */
  async function copying() {
    const source = new MemoryFileSystem();
    const store = await storeWith(source);
    const fileSystem = source.crashImage('all', () => 0);
    await store.close();
    await fileSystem.makeDirectory('/new');
    const counter = { linkedBytes: 0, copiedBytes: 0, files: 0, onBytes: () => undefined };
    const settings = { mayLink: true, lastSequence: 100, nextEpoch: (epoch: number) => epoch + 1 };
    const names = (pattern: RegExp): string[] => fileSystem.paths().filter((path) => pattern.test(path));
    return { fileSystem, names, copy: () => restoreBackup(fileSystem, '/db', '/new', settings, counter) };
  }

  it('ends where what it was to copy has gone since it was checked', async () => {
    const withoutTable = await copying();
    await withoutTable.fileSystem.remove(withoutTable.names(/^\/db.*\.ldb$/)[0] ?? '');
    await expect(withoutTable.copy()).rejects.toMatchObject({ code: 'IO', systemCode: 'ENOENT' });
    const withoutCurrent = await copying();
    await withoutCurrent.fileSystem.remove('/db/CURRENT');
    await expect(withoutCurrent.copy()).rejects.toMatchObject({ code: 'CORRUPTION', file: 'CURRENT' });
    expect(withoutCurrent.names(/^\/new/)).toEqual([]);
  });

  it('copies no log that nobody needs, and no history that has no state', async () => {
    const { fileSystem, names, copy } = await copying();
    fileSystem.writeFileNow('/db/000001.log', new Uint8Array(9));
    await fileSystem.remove(names(/^\/db.*STATE$/)[0] ?? '');
    await copy();
    expect(names(/^\/new\/.*log$/)).toHaveLength(names(/^\/db\/\d+\.log$/).length - 1);
    expect(names(/^\/new\/(000001|archive)/)).toEqual([]);
    expect((await verify('/new', { fileSystem })).findings.map(({ file }) => file.slice(-5))).toEqual(['STATE']);
  });

  it('copies a segment of history whose log has gone, by itself', async () => {
    const { fileSystem, names, copy } = await copying();
    const live = names(/^\/db\/\d+\.log$/).at(-1) ?? '';
    await fileSystem.remove(live);
    await copy();
    expect(names(/^\/new\/archive.*log$/).map((path) => path.slice(-10))).toContain(live.slice(-10));
    expect(names(/^\/new\/\d+\.log$/).map((path) => path.slice(-10))).not.toContain(live.slice(-10));
  });

  it('takes nothing for whole of which a check says otherwise, even without saying why', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await storeWith(fileSystem);
    await store.close();
    const report = await verify('/db', { fileSystem });
    const changed = {
      severity: 'warning',
      code: 'changed',
      file: '000009.log',
      offset: 7,
      reason: 'why',
      remedy: '',
    } as const;
    expect(() => checkWhole(report)).not.toThrow();
    expect(() => checkWhole({ ...report, isWhole: false })).toThrow(/^\/db is damaged at byte 0: it is not whole/);
    expect(() => checkWhole({ ...report, findings: [changed] })).toThrow(/^\/db is open in another process/);
    const error = { ...changed, severity: 'error', code: 'damaged', file: '000005.ldb', offset: undefined } as const;
    expect(() => checkWhole({ ...report, isWhole: false, findings: [changed, error] })).toThrow(
      /^000005.ldb is damaged at byte 0: why/,
    );
  });

  it('knows by the names and sizes of its files that a database was written to', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await storeWith(fileSystem);
    await store.close();
    const stamp = await stampOf(fileSystem, '/db');
    fileSystem.memory.writeFileNow('/db/letter', new Uint8Array(3)); // none of a database's
    expect(await stampOf(fileSystem, '/db')).toBe(stamp);
    fileSystem.plan = {
      code: 'ENOENT',
      arrives: 0,
      isHit: ({ path, name }) => name === 'stat' && path.includes('MANIFEST'),
    };
    expect(await stampOf(fileSystem, '/db')).not.toBe(stamp); // it has just gone
  });

  it('brings a database back that was killed, with its log', async () => {
    const source = new MemoryFileSystem();
    const store = await open('/db', { ...SMALL, fileSystem: source });
    await openAccounts(store);
    await store.flush();
    await store.set('in the log', '1');
    const fileSystem = source.crashImage('all', () => 0);
    await store.close();
    await restore('/db', '/new', { fileSystem });
    expect((await verify('/new', { fileSystem })).findings).toEqual([]);
    const copy = await open('/new', { ...SMALL, fileSystem });
    expect(text(await copy.get('in the log'))).toBe('1');
    expect(await cursors(copy)).toBe(ACCOUNTS + 1);
    await copy.close();
  });

  const cursors = async (store: Store): Promise<number> =>
    (await lastValueFrom(store.changes({ from: 'start' }).pipe(take(ACCOUNTS + 1), toArray()))).length;
});
