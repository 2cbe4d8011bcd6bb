// Goal: what the log calls durable survives the power going out, over every rotation, failure and replacement.
// Method: the log on the strict memory file system; recovery of crash images tells what is there.
import { describe, expect, it } from 'vitest';
import { LogArchive } from '../../../src/storage/history/log-archive.ts';
import { BatchBuffer } from '../../../src/storage/codec/write-batch.ts';
import type { FileSystem, WritableFile } from '../../../src/storage/file-system/file-system.ts';
import { parseFileName } from '../../../src/storage/file-names.ts';
import { claimsOfIndex } from '../../../src/storage/history/log-claims.ts';
import { recoverLogs } from '../../../src/storage/wal/log-recovery.ts';
import { EMPTY_LOG_BYTES_MAX, type EncodedGroup, WriteAheadLog } from '../../../src/storage/wal/write-ahead-log.ts';
import type { MemoryFileSystem } from '../../../src/index.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { randomOf } from '../../support/runs.ts';

async function begin(fileSystem: FileSystem, durableSequence = 0, reserveBytes = 0): Promise<WriteAheadLog> {
  await fileSystem.makeDirectory('/db');
  const path = '/db/archive/00000000000000000000000000000000';
  await fileSystem.makeDirectory(path);
  const archive = new LogArchive({
    fileSystem,
    directory: '/db',
    path,
    databaseId: '0'.repeat(32),
    epoch: 1,
    epochEnds: [],
    start: 1,
    end: 0,
    segments: [],
  });
  let fileNumber = 1;
  return WriteAheadLog.begin(fileSystem, '/db', () => fileNumber++, durableSequence, archive, reserveBytes);
}

const buffer = new BatchBuffer();

/** A group of single writes with these sequence numbers. */
function group(first: number, last: number, isSynced: boolean, valueBytes = 5): EncodedGroup {
  buffer.reset();
  const bounds = [0];
  for (let sequence = first; sequence <= last; sequence += 1) {
    buffer.appendSet(sequence, `key ${sequence}`, new Uint8Array(valueBytes));
    bounds.push(buffer.length);
  }
  const bytes = buffer.bytes.slice(0, buffer.length);
  return { bytes, bounds, firstSequence: first, lastSequence: last, isSynced, timeMs: 0 };
}

/** Sequence numbers that the logs of the directory hold, from a number on; throws for damage. */
async function recovered(fileSystem: MemoryFileSystem, tableSequence = 0, logNumber = 0): Promise<number[]> {
  const names = (await fileSystem.list('/db')).filter((name) => {
    const parsed = parseFileName(name);
    return parsed?.kind === 'log' && parsed.fileNumber >= logNumber;
  });
  const logs = await Promise.all(
    names.map(async (name) => ({
      number: parseFileName(name)?.fileNumber ?? 0,
      name,
      file: await fileSystem.openForRead(`/db/${name}`),
    })),
  );
  const sequences: number[] = [];
  const sink = {
    batch: (_bytes: Uint8Array, _start: number, _end: number, sequence: number): undefined =>
      void sequences.push(sequence),
  };
  const report = await recoverLogs(logs, tableSequence, sink, { salvage: false })();
  if (report._tag === 'Left') throw report.left;
  return sequences;
}

const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, at) => first + at);
const logs = async (fileSystem: FileSystem): Promise<string[]> =>
  (await fileSystem.list('/db')).filter((name) => name.endsWith('.log'));

describe('the write-ahead log', () => {
  it('writes synced groups into room that it has reserved, and recovers them from any power cut', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem, 0, 4096);
    const sizeOf = async (): Promise<number> => (await fileSystem.stat('/db/000001.log')).size;
    await log.append(group(1, 2, true));
    const size = await sizeOf();
    expect(size).toBeGreaterThan(1024);
    await log.append(group(3, 4, true));
    void log.append(group(5, 6, false));
    expect(await sizeOf()).toBe(size);
    for (const mode of ['synced', 'zeros', 'prefix', 'sectors', 'stale'] as const) {
      for (let seed = 0; seed < 20; seed += 1) {
        const image = fileSystem.memory.crashImage(mode, randomOf(seed));
        const sequences = await recovered(image);
        expect([4, 5, 6].includes(sequences.length), `${mode} ${seed}: ${sequences.join()}`).toBe(true);
        expect(sequences).toEqual(upTo(sequences.length));
      }
    }
    await log.close();
    expect(await sizeOf()).toBeLessThan(1024);
  });

  it('cuts off what a log has reserved before it becomes history', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem, 0, 4096);
    await log.append(group(1, 2, true));
    await log.prepareNext();
    log.rotate();
    await log.seal(log.activeNumber);
    expect((await fileSystem.stat('/db/000001.log')).size).toBeLessThan(1024);
    expect(await recovered(fileSystem.memory.crashImage('synced', randomOf(1)))).toEqual([1, 2]);
  });

  it('has nothing in it at first but its mark, and that is durable with its name', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    const image = fileSystem.memory.crashImage('synced', randomOf(1));
    expect((await image.stat('/db/000001.log')).size).toBeLessThanOrEqual(EMPTY_LOG_BYTES_MAX);
    expect(await recovered(image)).toEqual([]);
    await log.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('appends small buffered groups at once, and makes synced ones durable with all before them', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    expect(log.append(group(1, 3, false))).toBeUndefined();
    expect(log).toMatchObject({ isDirty: true, durableSequence: 0, syncs: 0 });
    expect(await recovered(fileSystem.memory.crashImage('all', randomOf(1)))).toEqual([1, 2, 3]);
    await log.append(group(4, 4, true));
    expect(log).toMatchObject({ isDirty: false, durableSequence: 4, syncs: 1 });
    expect(await recovered(fileSystem.memory.crashImage('synced', randomOf(1)))).toEqual([1, 2, 3, 4]);
  });

  it('appends a large group in the background, and counts it only when it is there', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    const step = log.append(group(1, 20, false, 100_000));
    expect(step).toBeInstanceOf(Promise);
    expect(log.isDirty).toBe(false);
    await step;
    expect(log.isDirty).toBe(true);
    expect(await recovered(fileSystem.memory.crashImage('all', randomOf(1)))).toEqual(upTo(20));
  });

  it('syncs the older logs, too, before it calls anything durable', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    await log.append(group(1, 2, false));
    await log.prepareNext();
    log.rotate();
    await log.append(group(3, 4, false));
    await log.prepareNext();
    log.rotate();
    await log.append(group(5, 5, true));
    for (const mode of ['synced', 'zeros', 'prefix', 'sectors'] as const) {
      expect(await recovered(fileSystem.memory.crashImage(mode, randomOf(3)))).toEqual(upTo(5));
    }
  });

  it('recovers a beginning of what was written, with all that was durable, after a crash at any call', async () => {
    for (let seed = 0; seed < 12; seed += 1) {
      const random = randomOf(seed);
      const images: { readonly image: MemoryFileSystem; readonly durable: number }[] = [];
      let log = undefined as WriteAheadLog | undefined; // the hook asks before it is there
      const fileSystem = new FaultFileSystem();
      fileSystem.plan = {
        code: 'EIO',
        arrives: 0,
        isHit: () => {
          for (const mode of ['all', 'synced', 'zeros', 'prefix', 'sectors', 'sectors'] as const) {
            images.push({ image: fileSystem.memory.crashImage(mode, random), durable: log?.durableSequence ?? 0 });
          }
          return false;
        },
      };
      log = await begin(fileSystem);
      let last = 0;
      for (let step = 0; step < 25; step += 1) {
        const choice = random();
        if (choice < 0.7) {
          const count = 1 + Math.floor(random() * 3);
          await log.append(group(last + 1, last + count, random() < 0.4, Math.floor(random() * 900)));
          last += count;
        } else if (choice < 0.85) {
          await log.prepareNext();
          log.rotate();
        } else {
          await log.sync();
        }
      }
      for (const { image, durable } of images) {
        if (!image.paths().some((path) => path.endsWith('.log'))) continue;
        const found = await recovered(image);
        expect(found).toEqual(upTo(found.length));
        expect(found.length).toBeGreaterThanOrEqual(durable);
      }
      expect(images.length).toBeGreaterThan(100);
    }
  });

  it('removes the logs below a number, and never the one it appends to', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    for (let count = 0; count < 3; count += 1) {
      await log.append(group(count + 1, count + 1, false));
      await log.prepareNext();
      log.rotate();
    }
    expect(await logs(fileSystem)).toHaveLength(4);
    await log.removeBelow(3);
    expect(await logs(fileSystem)).toEqual(['000003.log', '000004.log']);
    await log.removeBelow(99);
    expect(await logs(fileSystem)).toEqual(['000004.log']);
    expect(fileSystem.openPaths.filter((path) => path.endsWith('.log'))).toHaveLength(1);
    await log.append(group(4, 4, true));
    expect(await recovered(fileSystem.memory.crashImage('synced', randomOf(1)), 3)).toEqual([4]);
  });

  it('does not close a log that is being synced, and removes it afterwards', async () => {
    const held = { close: [] as (() => void)[], sync: [] as (() => void)[] };
    let isHolding = false;
    const hold = (call: keyof typeof held): Promise<void> =>
      isHolding ? new Promise((resolve) => held[call].push(resolve)) : Promise.resolve();
    class Slow extends FaultFileSystem {
      override async create(path: string): Promise<WritableFile> {
        const file = await super.create(path);
        return {
          ...file,
          sync: () => hold('sync').then(() => file.sync()),
          close: () => hold('close').then(() => file.close()),
        };
      }
    }
    const fileSystem = new Slow();
    const log = await begin(fileSystem);
    for (const sequence of [1, 2, 3]) {
      await log.append(group(sequence, sequence, false));
      await log.prepareNext();
      log.rotate();
    }
    isHolding = true;
    const removed = log.removeBelow(4); // stands at the close of the first log
    const synced = log.sync(); // stands at the sync of the second, and wants the third
    isHolding = false;
    for (const go of held.close) go();
    await removed;
    for (const go of held.sync) go();
    await synced;
    expect(log.failure).toBeUndefined();
    expect(await logs(fileSystem)).toEqual(['000004.log']);
    await log.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('makes the next file once, however many ask, and again after a failure', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    expect(() => log.rotate()).toThrow('without a prepared log');
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => name === 'sync' };
    await expect(Promise.all([log.prepareNext(), log.prepareNext()])).rejects.toMatchObject({ code: 'IO' });
    expect(log.hasNext).toBe(false);
    expect(fileSystem.openPaths.filter((path) => path.endsWith('.log'))).toHaveLength(1);
    fileSystem.plan = undefined;
    await Promise.all([log.prepareNext(), log.prepareNext()]);
    await log.prepareNext();
    expect(log.hasNext).toBe(true);
    expect(await logs(fileSystem)).toHaveLength(2); // that of the failure has gone
    expect(log.rotate()).toBe(log.activeNumber);
    expect(log.hasNext).toBe(false);
  });

  it.each([
    ['create', 0],
    ['append', 'one byte'],
    ['append', 1],
    ['sync', 0],
  ] as const)('is not cut short by a file that could not be made a log: %s', async (name, arrives) => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    await log.append(group(1, 2, true));
    fileSystem.plan = {
      code: 'EIO',
      arrives,
      isHit: ({ path, ...one }) => one.name === name && path === '/db/000002.log',
    };
    await expect(log.prepareNext()).rejects.toMatchObject({ code: 'IO' });
    const isThere = name !== 'create';
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: (one) => one.name === 'remove' };
    if (isThere) await expect(log.prepareNext()).rejects.toMatchObject({ code: 'IO' }); // no other one beside it
    fileSystem.plan = undefined;
    await log.prepareNext();
    log.rotate();
    void log.append(group(3, 4, false));
    expect(await recovered(fileSystem.memory.crashImage('all', randomOf(1)))).toEqual([1, 2, 3, 4]);
    await log.append(group(5, 5, true));
    for (const mode of ['synced', 'zeros', 'prefix', 'sectors', 'stale'] as const) {
      expect(await recovered(fileSystem.memory.crashImage(mode, randomOf(2))), mode).toEqual([1, 2, 3, 4, 5]);
    }
    await log.close();
  });

  it('does not miss a file that could not be made a log and that somebody has removed', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ path, name }) => name === 'sync' && path === '/db/000002.log',
    };
    await expect(log.prepareNext()).rejects.toMatchObject({ code: 'IO' });
    fileSystem.plan = undefined;
    await fileSystem.remove('/db/000002.log');
    await log.prepareNext();
    expect(log.hasNext).toBe(true);
    expect(await logs(fileSystem)).toEqual(['000001.log', '000003.log']);
    await log.close();
  });
});

describe('a log that has failed', () => {
  it.each([
    ['append', false],
    ['append', true],
    ['sync', true],
  ] as const)('in a %s (synced: %s) takes nothing more until it is replaced and mended', async (name, isSynced) => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    await log.append(group(1, 2, true));
    fileSystem.plan = { code: 'EIO', arrives: 0.5, isHit: (operation) => operation.name === name };
    await expect((async () => log.append(group(3, 4, isSynced)))()).rejects.toMatchObject({ code: 'IO' });
    fileSystem.plan = undefined;
    const { calls } = fileSystem;
    const failure = log.failure;
    expect(failure).toMatchObject({ code: 'IO' });
    expect(() => log.append(group(5, 5, false))).toThrow(failure);
    await expect(log.sync()).rejects.toBe(failure);
    expect(fileSystem.calls).toBe(calls); // not one more byte
    expect(log.durableSequence).toBe(2);

    const fresh = await log.replace();
    expect(fresh).toBe(log.activeNumber);
    expect(() => log.append(group(5, 5, false))).toThrow(failure); // not before the memtables are in tables
    await log.removeBelow(fresh);
    log.mend(4);
    expect(log.failure).toBeUndefined();
    expect(log.isDirty).toBe(false);
    await log.append(group(5, 6, true));
    expect(await recovered(fileSystem.memory.crashImage('synced', randomOf(1)), 4, fresh)).toEqual([5, 6]);
    await log.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('is not followed by a file with a lower number, which recovery would take for older', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    await log.prepareNext(); // number 2
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => name === 'append' };
    expect(() => log.append(group(1, 1, false))).toThrow();
    fileSystem.plan = undefined;
    expect(await log.replace()).toBe(3);
    expect(log.hasNext).toBe(false);
    log.mend(1);
    await log.removeBelow(3);
    await log.prepareNext();
    expect(log.rotate()).toBe(4);
    expect(await logs(fileSystem)).toEqual(['000003.log', '000004.log']);
  });

  it('lets a replacement fail as often as it does, and keeps what it has', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    await log.append(group(1, 3, true));
    fileSystem.plan = { code: 'ENOSPC', arrives: 0, isHit: () => true };
    expect(() => log.append(group(4, 4, false))).toThrow();
    for (let count = 0; count < 3; count += 1) await expect(log.replace()).rejects.toMatchObject({ code: 'NO_SPACE' });
    expect(log.activeNumber).toBe(1);
    fileSystem.plan = undefined;
    expect(await recovered(fileSystem.memory.crashImage('synced', randomOf(1)))).toEqual([1, 2, 3]);
    await log.replace();
    log.mend(4);
    await log.append(group(5, 5, true));
    await log.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('calls durable only what it had synced before: a sync that runs beside the failure proves nothing', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    await log.append(group(1, 1, false));
    let left = 1;
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => name === 'sync' && left-- > 0 };
    const outcomes = await Promise.allSettled([log.sync(), log.sync()]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(log.durableSequence).toBe(0);
    expect(log.syncs).toBe(0);
  });

  describe('before the MANIFEST lets go of older logs', () => {
    const ARCHIVE = '/db/archive/00000000000000000000000000000000';
    const isOf =
      (wanted: string, number: number) =>
      ({ name, path }: { readonly name: string; readonly path: string }): boolean =>
        name === wanted && path === `/db/00000${number}.log`;

    it('says in their indexes what was in them, durably; of an empty one, nothing', async () => {
      const fileSystem = new FaultFileSystem();
      const log = await begin(fileSystem);
      for (const last of [3, 3, 5]) {
        if (last > log.durableSequence) await log.append(group(log.durableSequence + 1, last, last === 3));
        await log.prepareNext();
        log.rotate();
      }
      await log.seal(3);
      const image = fileSystem.memory.crashImage('synced', randomOf(1));
      expect(await claimsOfIndex(image, ARCHIVE, 1)).toEqual({ first: 1, durable: 3, sealed: 3 });
      expect(await claimsOfIndex(image, ARCHIVE, 2)).toEqual({ first: undefined, durable: 0, sealed: 0 });
      expect((await claimsOfIndex(image, ARCHIVE, 3)).sealed).toBe(0); // not asked for
      await log.seal(4);
      const after = fileSystem.memory.crashImage('synced', randomOf(1));
      expect(await claimsOfIndex(after, ARCHIVE, 3)).toMatchObject({ first: 4, sealed: 5 });
      await log.close();
    });

    it('writes those again that cannot be synced, and those in which something failed', async () => {
      const fileSystem = new FaultFileSystem();
      const log = await begin(fileSystem);
      await log.append(group(1, 3, false));
      await log.prepareNext();
      log.rotate();
      await log.append(group(4, 5, false));
      fileSystem.plan = { code: 'EIO', arrives: 0, isHit: isOf('sync', 1) };
      await expect(log.append(group(6, 7, true))).rejects.toMatchObject({ code: 'IO' }); // it is in log 2, and does not count
      fileSystem.plan = undefined;
      const fresh = await log.replace();
      await log.seal(fresh);
      const image = fileSystem.memory.crashImage('synced', randomOf(1));
      const held = async (number: number): Promise<number[]> => {
        const name = `00000${number}.log`;
        const file = await image.openForRead(`${ARCHIVE}/${name}`);
        const sequences: number[] = [];
        const sink = {
          batch: (...[, , , sequence]: [unknown, unknown, unknown, number]): undefined => void sequences.push(sequence),
        };
        await recoverLogs([{ number, name, file }], 0, sink, { salvage: true })();
        return sequences;
      };
      expect(await held(1)).toEqual([1, 2, 3]);
      expect(await held(2)).toEqual([4, 5]);
      await log.close();
      expect(fileSystem.openPaths).toEqual([]);
    });
  });

  it('tells of a file that cannot be closed, when all others are', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    await log.append(group(1, 1, true));
    await log.prepareNext();
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ name, path }) => name === 'close' && path.endsWith('1.log'),
    };
    await expect(log.close()).rejects.toMatchObject({ code: 'IO' });
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('is not broken by a bug of its caller', async () => {
    const fileSystem = new FaultFileSystem();
    const log = await begin(fileSystem);
    const large = log.append(group(1, 1, true, 300_000));
    expect(() => log.append(group(2, 2, false))).toThrow('being written to');
    expect(log.failure).toBe(undefined);
    await large;
    expect(log.durableSequence).toBe(1);
    await log.close();
  });
});
