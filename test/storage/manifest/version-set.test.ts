// Goal: each step of the tree is durable before anything relies on it, and a failing disk loses and resurrects nothing.
// Method: a version set on the strict memory file system; failures and crash images at each of its calls.
import { describe, expect, it } from 'vitest';
import type { FileOperation } from '../../../src/storage/file-system/memory-faults.ts';
import { readCurrent } from '../../../src/storage/manifest/current-file.ts';
import { type ManifestState, readManifest } from '../../../src/storage/manifest/read-manifest.ts';
import type { VersionEdit } from '../../../src/storage/manifest/version-edit.ts';
import { Version } from '../../../src/storage/manifest/version.ts';
import { VersionSet } from '../../../src/storage/manifest/version-set.ts';
import type { FileSystem } from '../../../src/storage/file-system/file-system.ts';
import { MemoryFileSystem } from '../../../src/index.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { randomOf } from '../../support/runs.ts';
import { bytesOf } from '../../support/sorted-model.ts';
import { fileNumbersOf, tableOf } from '../../support/tables.ts';

const NEW: ManifestState = {
  version: Version.empty,
  nextFileNumber: 1,
  lastSequence: 0,
  logNumber: 0,
  previousLogNumber: 0,
  compactionPointers: [],
};
const MANIFEST_BYTES = 4096;

const versionSet = (fileSystem: FileSystem, bytesMax = MANIFEST_BYTES): VersionSet => {
  // An older version is released by whoever makes a new one: each test has an empty version of its own.
  const version = Version.empty.apply({});
  if (version._tag === 'Left') throw new Error(version.left);
  return new VersionSet(fileSystem, '/db', { ...NEW, version: version.right }, 1, bytesMax);
};

async function emptyDirectory(): Promise<FaultFileSystem> {
  const fileSystem = new FaultFileSystem();
  await fileSystem.makeDirectory('/db');
  return fileSystem;
}

/** What an open would find. */
async function recovered(fileSystem: FileSystem): Promise<ManifestState | undefined> {
  const fileNumber = await readCurrent(fileSystem, '/db');
  return fileNumber === undefined ? undefined : readManifest(fileSystem, '/db', fileNumber);
}

/** An edit that adds a table of level 1 whose key is its number; of some length, so that a few of them fill a MANIFEST. */
function adding(set: VersionSet, keyLength = 8): VersionEdit & { readonly fileNumber: number } {
  const fileNumber = set.allocateFileNumber();
  const key = String(fileNumber).padStart(keyLength, '0');
  return {
    fileNumber,
    newTables: [{ level: 1, table: tableOf(fileNumber, { first: key, last: key }) }],
    lastSequence: fileNumber * 10,
  };
}

const level1 = (version: Version): number[] => fileNumbersOf(version.tables(1)).sort((a, b) => a - b);
const failOn =
  (name: string, part: string, times = 1) =>
  (operation: FileOperation): boolean =>
    operation.name === name && operation.path.includes(part) && times-- > 0;
const EIO = { code: 'EIO', arrives: 0 };

describe('a commit', () => {
  it('is what the next open finds, with its counters and pointers', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem);
    const first = adding(set);
    const pointer = tableOf(1, { first: 'a', last: 'p' }).largest;
    await set.commit({ ...first, logNumber: 2, compactionPointers: [{ level: 1, key: pointer }] });
    const second = adding(set);
    await set.commit({ newTables: second.newTables ?? [], deletedTables: [{ level: 1, fileNumber: 1 }] });
    const state = await recovered(fileSystem);
    expect(level1(set.current)).toEqual([second.fileNumber]);
    expect(state && level1(state.version)).toEqual([second.fileNumber]);
    expect(state).toMatchObject({ logNumber: 2, previousLogNumber: 0, lastSequence: 10 });
    expect(state?.nextFileNumber).toBe(set.allocateFileNumber());
    expect(state?.compactionPointers[1]).toEqual(pointer);
    expect(set.compactionPointers[1]).toEqual(pointer);
    await set.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('syncs the directory before the MANIFEST names a new table', async () => {
    const calls: string[] = [];
    const fileSystem = new MemoryFileSystem({
      onOperation: ({ name, path }) => {
        calls.push(`${name} ${path}`);
        return undefined;
      },
    });
    await fileSystem.makeDirectory('/db');
    const set = versionSet(fileSystem);
    await set.commit(adding(set));
    calls.length = 0;
    await set.commit(adding(set));
    expect(calls).toEqual(['syncDirectory /db', 'append /db/MANIFEST-000002', 'sync /db/MANIFEST-000002']);
    calls.length = 0;
    await set.commit({ logNumber: 9 });
    expect(calls).toEqual(['append /db/MANIFEST-000002', 'sync /db/MANIFEST-000002']);
  });

  it('runs alone, in the order of the calls, and sees the one before', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem);
    const edits = Array.from({ length: 20 }, () => adding(set));
    const done: number[] = [];
    await Promise.all(
      edits.map(async (edit, index) => {
        const before = edits[index - 1]?.fileNumber;
        const deletedTables = before === undefined ? [] : [{ level: 1, fileNumber: before }];
        await set.commit({ ...edit, deletedTables });
        done.push(index);
      }),
    );
    expect(done).toEqual(edits.map((_, index) => index));
    expect(level1(set.current)).toEqual([edits.at(-1)?.fileNumber]);
    const state = await recovered(fileSystem);
    expect(state && level1(state.version)).toEqual([edits.at(-1)?.fileNumber]);
  });

  it('that does not apply changes nothing, and the next one goes on', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem);
    await set.commit(adding(set));
    const { calls } = fileSystem;
    await expect(set.commit({ deletedTables: [{ level: 1, fileNumber: 99 }] })).rejects.toThrow('does not apply');
    expect(fileSystem.calls).toBe(calls);
    await set.commit(adding(set));
    expect(level1((await recovered(fileSystem))?.version ?? Version.empty)).toHaveLength(2);
  });

  it('leaves the old version or the new one after a crash at any of its calls, and the new one when it is done', async () => {
    for (const bytesMax of [MANIFEST_BYTES, 1]) {
      const images: { readonly image: MemoryFileSystem; readonly count: number }[] = [];
      let committed = 0;
      let isArmed = false;
      const fileSystem: MemoryFileSystem = new MemoryFileSystem({
        onOperation: () => {
          if (!isArmed) return undefined;
          for (const mode of ['all', 'synced', 'zeros', 'prefix', 'prefix', 'sectors', 'sectors'] as const) {
            const image = fileSystem.crashImage(mode, randomOf(images.length));
            images.push({ image, count: committed });
          }
          return undefined;
        },
      });
      await fileSystem.makeDirectory('/db');
      const set = versionSet(fileSystem, bytesMax);
      const tables: number[] = [];
      for (; committed < 4; committed += 1) {
        const edit = adding(set, 300);
        tables.push(edit.fileNumber);
        isArmed = committed > 0;
        await set.commit(edit);
      }
      isArmed = false;
      for (const { image, count } of images) {
        const found = level1((await recovered(image))?.version ?? Version.empty);
        expect([tables.slice(0, count), tables.slice(0, count + 1)]).toContainEqual(found);
      }
      for (const mode of ['synced', 'zeros', 'prefix', 'sectors'] as const) {
        const state = await recovered(fileSystem.crashImage(mode, randomOf(7)));
        expect(state && level1(state.version)).toEqual(tables);
      }
      expect(images.length).toBeGreaterThan(3 * 2 * 7);
    }
  });
});

describe('a failed commit', () => {
  it.each(['append', 'sync'])('of a failing %s keeps the old version, and begins a new MANIFEST', async (name) => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem);
    const kept = adding(set);
    await set.commit(kept);
    const old = set.manifestNumber;
    fileSystem.plan = { ...EIO, isHit: failOn(name, 'MANIFEST') };
    await expect(set.commit(adding(set))).rejects.toMatchObject({ code: 'IO' });
    expect(level1(set.current)).toEqual([kept.fileNumber]);
    expect(set.manifestNumber).toBeUndefined();
    expect(fileSystem.openPaths).toEqual([]);
    expect(await fileSystem.list('/db')).toContain('MANIFEST-000002');

    const later = adding(set);
    await set.commit(later);
    expect(set.manifestNumber).toBeGreaterThan(old ?? Infinity);
    const state = await recovered(fileSystem);
    expect(state && level1(state.version)).toEqual([kept.fileNumber, later.fileNumber]);
    // Not relied upon any more, and not taken away either: nobody knows what is in it.
    expect(await fileSystem.list('/db')).toContain('MANIFEST-000002');
    await set.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('leaves a directory that opens, whichever call fails, and after a crash at once', async () => {
    for (const bytesMax of [MANIFEST_BYTES, 1]) {
      let hits = 1;
      for (let failing = 0; hits > 0; failing += 1) {
        const fileSystem = await emptyDirectory();
        const set = versionSet(fileSystem, bytesMax);
        const kept = adding(set, 300);
        await set.commit(kept);
        let left = failing;
        hits = 0;
        fileSystem.plan = {
          code: 'EIO',
          arrives: failing % 2,
          isHit: () => {
            left -= 1;
            if (left !== -1) return false;
            hits += 1;
            return true;
          },
        };
        const edit = adding(set);
        const isDone = await set.commit(edit).then(
          () => true,
          () => false,
        );
        fileSystem.plan = undefined;
        const here = isDone ? [kept.fileNumber, edit.fileNumber] : [kept.fileNumber];
        expect(level1(set.current)).toEqual(here);
        for (const mode of ['all', 'synced', 'zeros', 'prefix', 'sectors'] as const) {
          const image = fileSystem.memory.crashImage(mode, randomOf(failing));
          const found = level1((await recovered(image))?.version ?? Version.empty);
          if (isDone) expect(found).toEqual(here);
          else expect([here, [kept.fileNumber, edit.fileNumber]]).toContainEqual(found);
        }
        // What goes on is based on what this set believes, and the disk must agree from here on.
        const deletedTables = here.map((fileNumber) => ({ level: 1, fileNumber }));
        const last = adding(set);
        await set.commit({ ...last, deletedTables });
        const state = await recovered(fileSystem.memory.crashImage('synced', randomOf(1)));
        expect(state && level1(state.version), `call ${failing} of a commit failed`).toEqual([last.fileNumber]);
        await set.close();
        expect(fileSystem.openPaths, `call ${failing} of a commit failed`).toEqual([]);
      }
    }
  });

  it('does not let the MANIFEST claim sequence numbers of a table that it does not name', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem);
    await set.commit({ ...adding(set), lastSequence: 10 });
    fileSystem.plan = { ...EIO, isHit: failOn('sync', 'MANIFEST') };
    await expect(set.commit({ ...adding(set), lastSequence: 500 })).rejects.toMatchObject({ code: 'IO' });
    await set.commit({ logNumber: 1 });
    expect((await recovered(fileSystem))?.lastSequence).toBe(10);
  });
});

describe('a MANIFEST', () => {
  it('is begun anew when it has grown to its size, and the old one goes', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem, 2000);
    const numbers = new Set<number | undefined>();
    const tables: number[] = [];
    for (let count = 0; count < 120; count += 1) {
      const edit = adding(set);
      // One in, one out: the version stays small.
      const gone = tables.shift();
      const deletedTables = gone === undefined ? [] : [{ level: 1, fileNumber: gone }];
      tables.push(edit.fileNumber);
      await set.commit({ ...edit, deletedTables });
      numbers.add(set.manifestNumber);
      const { size } = await fileSystem.stat(`/db/MANIFEST-${String(set.manifestNumber).padStart(6, '0')}`);
      expect(size).toBeLessThan(2100);
    }
    expect(numbers.size).toBeGreaterThan(2);
    expect(numbers.size).toBeLessThan(12);
    expect((await fileSystem.list('/db')).filter((name) => name.startsWith('MANIFEST'))).toHaveLength(1);
    expect(fileSystem.openPaths).toHaveLength(1);
  });

  it('of a large tree may grow to ten times what it began with', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem, 1000);
    const numbers = new Set<number | undefined>();
    for (let count = 0; count < 300; count += 1) {
      await set.commit(adding(set));
      numbers.add(set.manifestNumber);
    }
    expect(numbers.size).toBeLessThan(6);
    const state = await recovered(fileSystem);
    expect(state && level1(state.version)).toEqual(level1(set.current));
  });

  it('carries on what the one before it said: pointers, logs, sequence numbers', async () => {
    const fileSystem = await emptyDirectory();
    const pointer = tableOf(1, { first: 'a', last: 'p' }).largest;
    const state = { ...NEW, logNumber: 3, lastSequence: 40, compactionPointers: [undefined, pointer] };
    const set = new VersionSet(fileSystem, '/db', state, 1, MANIFEST_BYTES);
    expect([set.logNumber, set.tableSequence, set.compactionPointers[1]]).toEqual([3, 40, pointer]);
    await set.commit({});
    expect(await recovered(fileSystem)).toMatchObject({ logNumber: 3, lastSequence: 40 });
    expect((await recovered(fileSystem))?.compactionPointers.slice(0, 3)).toEqual([undefined, pointer, undefined]);
    expect([set.logNumber, set.tableSequence]).toEqual([3, 40]);
    await set.close();
  });

  it('that replaced another counts also when the old one cannot be closed or removed', async () => {
    for (const name of ['close', 'remove']) {
      const fileSystem = await emptyDirectory();
      const set = versionSet(fileSystem, 1);
      const first = adding(set, 300);
      await set.commit(first);
      fileSystem.plan = { ...EIO, isHit: failOn(name, 'MANIFEST-000002') };
      const second = adding(set, 300);
      await set.commit({ ...second, deletedTables: [{ level: 1, fileNumber: first.fileNumber }] });
      expect(fileSystem.faults).toBe(1);
      expect(level1(set.current)).toEqual([second.fileNumber]);
      await set.close();
      expect(fileSystem.openPaths).toEqual([]);
    }
  });
});

describe('the live tables', () => {
  it('are those of the current version and of every held one', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem);
    const [first, second, third] = [adding(set), adding(set), adding(set)];
    await set.commit(first);
    const held = set.hold(set.current);
    set.hold(held);
    await set.commit({ ...second, deletedTables: [{ level: 1, fileNumber: first.fileNumber }] });
    await set.commit({ ...third, deletedTables: [{ level: 1, fileNumber: second.fileNumber }] });
    expect([...set.liveTables()].sort()).toEqual([first.fileNumber, third.fileNumber]);
    set.release(held);
    expect(set.liveTables().size).toBe(2);
    set.release(held);
    expect([...set.liveTables()]).toEqual([third.fileNumber]);
  });

  it('of the version that was opened with stay while somebody holds it, and go with the last one', async () => {
    const fileSystem = await emptyDirectory();
    const before = Version.empty.apply({ newTables: [{ level: 1, table: tableOf(1, { first: 'a', last: 'b' }) }] });
    if (before._tag === 'Left') throw new Error(before.left);
    const set = new VersionSet(fileSystem, '/db', { ...NEW, version: before.right }, 5, MANIFEST_BYTES);
    const held = set.hold(set.current);
    await set.commit({ deletedTables: [{ level: 1, fileNumber: 1 }] });
    expect([...set.liveTables()]).toEqual([1]);
    set.release(held);
    expect(set.liveTables().size).toBe(0);
    await set.close();
  });

  it('get numbers that no file has', () => {
    const state = { ...NEW, nextFileNumber: 5 };
    expect(new VersionSet(new MemoryFileSystem(), '/db', state, 12, 1).allocateFileNumber()).toBe(12);
    const ahead = new VersionSet(new MemoryFileSystem(), '/db', { ...state, nextFileNumber: 20 }, 12, 1);
    expect([ahead.allocateFileNumber(), ahead.allocateFileNumber()]).toEqual([20, 21]);
  });

  it('of a name with any bytes are kept', async () => {
    const fileSystem = await emptyDirectory();
    const set = versionSet(fileSystem);
    const table = tableOf(set.allocateFileNumber(), { first: '\0', last: '\xff'.repeat(40_000) });
    await set.commit({ newTables: [{ level: 6, table }] });
    const state = await recovered(fileSystem);
    expect(state?.version.tables(6)[0]?.largest.subarray(0, 40_000)).toEqual(bytesOf('\xff'.repeat(40_000)));
  });
});
