// Goal: history under a whole store keeps its word where single parts cannot show it: files that are missing, limits with
// readers in the way, and opens that may write nothing.
import { describe, expect, it } from 'vitest';
import { HistoryGoneError, MemoryFileSystem, open, type OpenOptions, type Store } from '../../src/index.ts';
import { Fault, type FileOperation } from '../../src/storage/file-system/memory-faults.ts';
import { changesUpTo } from '../support/change-log.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { randomOf } from '../support/runs.ts';
import { until } from '../support/waiting.ts';

const DIRECTORY = '/db';
const SMALL: OpenOptions = { memtableBytesMax: 2048, level0CompactionTrigger: 2, durability: 'buffered' };
const never = (): number => 0;

/** Sets `key <index>`, one at a time; some 20 fill a log. @returns the last sequence number */
async function fill(store: Store, first: number, count: number): Promise<number> {
  let last = 0;
  for (let index = first; index < first + count; index += 1) {
    last = (await store.set(`key ${index}`, 'x'.repeat(60))).sequence;
  }
  return last;
}

const archived = (fileSystem: MemoryFileSystem): string[] =>
  fileSystem.paths().filter((path) => /archive\/.*\.log$/.test(path));

/** Those that have no other name: of logs whose content is in tables. */
const sealed = (fileSystem: MemoryFileSystem): string[] =>
  archived(fileSystem).filter((path) => !fileSystem.paths().includes(`${DIRECTORY}/${path.split('/').at(-1) ?? ''}`));

/** A store with several segments, closed. */
async function closedWithHistory(): Promise<{ readonly fileSystem: MemoryFileSystem; readonly last: number }> {
  const fileSystem = new MemoryFileSystem();
  const store = await open(DIRECTORY, { ...SMALL, fileSystem });
  const last = await fill(store, 0, 100);
  await store.close();
  expect(sealed(fileSystem).length).toBeGreaterThan(3);
  return { fileSystem, last };
}

async function openWithEvents(
  fileSystem: MemoryFileSystem,
): Promise<{ readonly store: Store; readonly lost: unknown[] }> {
  const lost: unknown[] = [];
  const onEvent = (event: { readonly type: string }): void => {
    if (event.type === 'historyLost') lost.push(event);
  };
  return { store: await open(DIRECTORY, { ...SMALL, fileSystem, onEvent }), lost };
}

describe('history with a file missing', () => {
  it('begins behind the segment, and says so, whichever it is', async () => {
    const { fileSystem: source, last } = await closedWithHistory();
    for (const path of sealed(source)) {
      const fileSystem = source.crashImage('all', never);
      await fileSystem.remove(path);
      const { store, lost } = await openWithEvents(fileSystem);
      expect(lost, path).toMatchObject([{ reason: 'damage' }]);
      await expect(changesUpTo(store, 1, last), path).rejects.toBeInstanceOf(HistoryGoneError);
      const { sequence } = await store.set('after', '');
      const changes = await changesUpTo(store, 'start', sequence);
      const start = changes[0]?.sequence ?? 0;
      // All behind it is there, and one by one: each write had one operation.
      expect(changes.map((change) => change.sequence)).toEqual(
        Array.from({ length: sequence - start + 1 }, (_, index) => start + index),
      );
      expect(await store.get('key 0')).toBeDefined();
      await store.close();
      const again = await openWithEvents(fileSystem);
      expect(again.lost, path).toEqual([]); // told once
      await again.store.close();
    }
  });

  it('begins anew without its state, and says so', async () => {
    const { fileSystem, last } = await closedWithHistory();
    const state = fileSystem.paths().find((path) => path.endsWith('/STATE')) ?? '';
    await fileSystem.remove(state);
    const { store, lost } = await openWithEvents(fileSystem);
    expect(lost).toMatchObject([{ lastSequence: last, reason: 'damage' }]);
    await expect(changesUpTo(store, last, last)).rejects.toMatchObject({ code: 'HISTORY_GONE', oldest: last + 1 });
    expect(sealed(fileSystem)).toEqual([]);
    await store.close();
  });

  it('is the same without any index, but for its times', async () => {
    const { fileSystem, last } = await closedWithHistory();
    for (const path of fileSystem.paths()) if (path.endsWith('.index')) await fileSystem.remove(path);
    const { store, lost } = await openWithEvents(fileSystem);
    expect(await changesUpTo(store, 'start', last)).toHaveLength(100);
    expect(await changesUpTo(store, last - 9, last)).toHaveLength(10);
    expect(lost).toEqual([]);
    await store.close();
  });
});

describe('history of a store whose last flush did not get into the MANIFEST', () => {
  // Found by fault points (EIO at the sync of the MANIFEST, in a close): the state said that all was sealed, and the next
  // open took the log for one from before it.
  it.each(['append', 'sync'])('has what was in its log: %s fails', async (name) => {
    const fileSystem = new FaultFileSystem();
    const store = await open(DIRECTORY, { ...SMALL, fileSystem });
    const last = await fill(store, 0, 30);
    fileSystem.plan = {
      code: 'EIO',
      arrives: 1,
      isHit: (call) => call.name === name && call.path.includes('MANIFEST'),
    };
    await store.close();
    expect(fileSystem.faults).toBeGreaterThan(0);
    fileSystem.plan = undefined;
    const { store: again, lost } = await openWithEvents(fileSystem.memory);
    expect(lost).toEqual([]);
    expect((await changesUpTo(again, 'start', last)).map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: last }, (_, index) => index + 1),
    );
    await again.close();
  });
});

describe('a database without hard links', () => {
  // Found by crash points (a kill, and a power cut in the opening after it): logs were moved into the archive by what an
  // unsynced MANIFEST said; it lost its end, and the one before it wanted them back.
  it('opens after a kill before a sync of the MANIFEST, and a power cut in the opening after that', async () => {
    const noLinks = ({ name }: FileOperation): Fault | undefined => (name === 'link' ? new Fault('EPERM') : undefined);
    const killed: MemoryFileSystem[] = [];
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({
      onOperation: (call) => {
        const isCommit = call.name === 'sync' && call.path.includes('MANIFEST');
        if (isCommit) killed.push(fileSystem.crashImage('all', never, { onOperation: noLinks }));
        return noLinks(call);
      },
    });
    const store = await open(DIRECTORY, { ...SMALL, fileSystem });
    const last = await fill(store, 0, 60);
    await store.close();
    let cuts = 0;
    for (const image of killed.slice(1)) {
      const during: MemoryFileSystem[] = [];
      const second: MemoryFileSystem = image.crashImage('all', never, {
        onOperation: (call) => {
          if (['rename', 'create', 'remove'].includes(call.name))
            during.push(second.crashImage('sectors', randomOf(call.index), { onOperation: noLinks }));
          return noLinks(call);
        },
      });
      await (await open(DIRECTORY, { ...SMALL, fileSystem: second })).close();
      for (const cut of during) {
        cuts += 1;
        const again = await open(DIRECTORY, { ...SMALL, fileSystem: cut });
        const { sequence } = await again.set('after', '');
        const changes = await changesUpTo(again, 'start', sequence);
        expect(changes.filter((change) => change.sequence <= last).map((change) => change.sequence)).toEqual(
          Array.from({ length: changes.length - 1 }, (_, index) => index + 1),
        );
        await again.close();
      }
    }
    expect(cuts).toBeGreaterThan(20);
  });
});

describe('a limit of history', () => {
  it('bounds the disk, and overtakes readers with a word: what they got is whole up to there', async () => {
    const historyBytesMax = 8192;
    const fileSystem = new FaultFileSystem();
    const store = await open(DIRECTORY, { ...SMALL, fileSystem, historyBytesMax });
    await fill(store, 0, 50);
    const reader = store.changes({ from: 'start' }).pages()[Symbol.asyncIterator]();
    const got: number[] = [];
    const pull = async (): Promise<void> => {
      const page = await reader.next();
      if (page.done !== true) for (const { sequence } of page.value) got.push(sequence);
    };
    await pull();
    let bytesMax = 0;
    for (let round = 0; round < 12; round += 1) {
      await fill(store, 50 + 50 * round, 50);
      await store.flush();
      const sizes = archived(fileSystem.memory).map((path) => fileSystem.memory.readFileNow(path).length);
      bytesMax = Math.max(
        bytesMax,
        sizes.reduce((sum, size) => sum + size, 0),
      );
    }
    const bounded = (): boolean => archived(fileSystem.memory).length <= 8;
    await until('the last prune', bounded);
    expect(bytesMax).toBeLessThan(4 * historyBytesMax); // a prune may be under way
    const overtaken = async (): Promise<void> => {
      for (;;) await pull();
    };
    const error: unknown = await overtaken().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HistoryGoneError);
    const { sequence, oldest } = error as HistoryGoneError;
    expect(got).toEqual(Array.from({ length: got.length }, (_, index) => index + 1));
    expect(sequence).toBeGreaterThan(got.length);
    expect(oldest).toBeGreaterThan(sequence);
    const end = await fill(store, 1000, 1);
    expect((await changesUpTo(store, oldest, end)).length).toBe(end - oldest + 1);
    await store.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('of nothing keeps no more than what is in no table', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { ...SMALL, fileSystem, historyBytesMax: 0 });
    const last = await fill(store, 0, 100);
    await store.flush();
    await until('all of it gone', () => sealed(fileSystem).length === 0);
    await expect(changesUpTo(store, last, last)).rejects.toMatchObject({ code: 'HISTORY_GONE', oldest: last + 1 });
    const next = await fill(store, 100, 1);
    expect(await changesUpTo(store, 'start', next)).toHaveLength(1);
    await store.close();
  });
});

describe('a store that may write nothing', () => {
  it('changes no file of history, after a close and after a crash', async () => {
    const { fileSystem: closed } = await closedWithHistory();
    const source = closed.crashImage('all', never);
    const store = await open(DIRECTORY, { ...SMALL, fileSystem: source });
    await fill(store, 100, 30);
    const killed = source.crashImage('prefix', randomOf(7));
    await store.close();
    for (const image of [closed, killed]) {
      const changing: string[] = [];
      const fileSystem: MemoryFileSystem = image.crashImage('all', never, {
        onOperation: ({ name, path }) => {
          if (!['open', 'read', 'size', 'list', 'stat', 'close', 'realPath'].includes(name))
            changing.push(`${name} ${path}`);
          return undefined;
        },
      });
      const reader = await open(DIRECTORY, { fileSystem, readOnly: true });
      expect(await reader.get('key 7')).toBeDefined();
      await reader.close();
      expect(changing).toEqual([]);
      expect(fileSystem.paths().map((path) => [path, fileSystem.readFileNow(path)])).toEqual(
        image.paths().map((path) => [path, image.readFileNow(path)]),
      );
    }
  });
});
