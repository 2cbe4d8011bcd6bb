import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { type HistoryLoss, readHistoryState } from '../../../src/storage/history/history-state.ts';
import { HistoryReader } from '../../../src/storage/history/history-reader.ts';
import type { LogArchive, RetentionLimits } from '../../../src/storage/history/log-archive.ts';
import {
  ARCHIVE,
  archiveNames,
  archiveOf,
  beginLog,
  bytesOfBatch,
  DIRECTORY,
  type MadeBatch,
  nameOf,
  readAll,
  writeSegment,
} from '../../support/archive-files.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { randomOf } from '../../support/runs.ts';

const KEEP_ALL: RetentionLimits = { bytesMax: Infinity, timeMin: 0, hardBytesMax: Infinity, neededFrom: Infinity };
const single = (sequence: number, valueBytes = 4): MadeBatch => ({
  sequence,
  count: 1,
  timeMs: 1000 + 20 * sequence,
  valueBytes,
});
const WITHOUT_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK', 'EINVAL'];
const noLinks = (code: string): FaultFileSystem['plan'] => ({ code, arrives: 0, isHit: ({ name }) => name === 'link' });

/** Logs 1, 2, ... with one change each, sealed one after the other. */
async function sealed(fileSystem: MemoryFileSystem | FaultFileSystem, count: number): Promise<LogArchive> {
  const archive = await archiveOf(fileSystem, []);
  for (let number = 1; number <= count; number += 1) await seal(fileSystem, archive, number, [single(number)]);
  return archive;
}

async function seal(
  fileSystem: MemoryFileSystem | FaultFileSystem,
  archive: LogArchive,
  number: number,
  batches: readonly MadeBatch[],
): Promise<void> {
  const log = await beginLog(fileSystem, archive, number);
  for (const batch of batches) await log.add(batch);
  await log.writer.sync();
  await log.writer.close();
  await archive.release(log.segment);
}

describe('a log in the archive', () => {
  it('has a second name before it is used, durably, and only that one after its release', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await archiveOf(fileSystem, []);
    const log = await beginLog(fileSystem, archive, 7);
    const afterCrash = fileSystem.crashImage('synced', randomOf(1));
    expect(afterCrash.paths()).toEqual([`${DIRECTORY}/000007.log`, `${ARCHIVE}/000007.index`, `${ARCHIVE}/000007.log`]);
    await log.add(single(1));
    expect(fileSystem.readFileNow(`${ARCHIVE}/000007.log`)).toEqual(fileSystem.readFileNow(`${DIRECTORY}/000007.log`));
    await log.writer.sync();
    await log.writer.close();
    await archive.release(log.segment);
    expect(fileSystem.paths()).toEqual([`${ARCHIVE}/000007.index`, `${ARCHIVE}/000007.log`]);
    expect(archive.sealedBytes).toBe(fileSystem.readFileNow(`${ARCHIVE}/000007.log`).length);
    expect(await readAll(archive, 1, 1)).toEqual([nameOf(single(1))]);
  });

  it.each(WITHOUT_LINKS)('is read under its own name, and moves, where links fail with %s', async (code) => {
    const fileSystem = new FaultFileSystem();
    fileSystem.plan = noLinks(code);
    const archive = await archiveOf(fileSystem, []);
    const log = await beginLog(fileSystem, archive, 7);
    await log.add(single(1));
    await log.add(single(2));
    expect(await archiveNames(fileSystem)).toEqual(['000007.index']);
    const reader = new HistoryReader(archive, 1);
    await reader.read(1, () => true); // has it open while it moves
    await log.writer.sync();
    await log.writer.close();
    await archive.release(log.segment);
    expect(fileSystem.memory.paths()).toEqual([`${ARCHIVE}/000007.index`, `${ARCHIVE}/000007.log`]);
    await reader.read(2, () => true);
    expect(reader.position).toBe(3);
    await reader.close();
    expect(await readAll(archive, 1, 2)).toHaveLength(2);
  });

  it('is read where it is when it cannot be moved, and goes from there', async () => {
    const fileSystem = new FaultFileSystem();
    fileSystem.plan = { code: 'EPERM', arrives: 0, isHit: ({ name }) => name === 'link' || name === 'rename' };
    const archive = await archiveOf(fileSystem, []);
    await seal(fileSystem, archive, 7, [single(1)]);
    expect(await readAll(archive, 1, 1)).toHaveLength(1);
    fileSystem.plan = noLinks('EPERM');
    await archive.prune({ ...KEEP_ALL, bytesMax: 0 });
    expect(fileSystem.memory.paths()).toEqual([`${ARCHIVE}/STATE`]);
  });

  it('is not created when its link fails for another reason', async () => {
    const fileSystem = new FaultFileSystem();
    const archive = await archiveOf(fileSystem, []);
    fileSystem.plan = noLinks('EIO');
    await expect(beginLog(fileSystem, archive, 7)).rejects.toMatchObject({ code: 'IO', operation: 'link' });
  });

  it('goes altogether when nothing was written to it', async () => {
    for (const plan of [undefined, noLinks('EPERM')]) {
      const fileSystem = new FaultFileSystem();
      fileSystem.plan = plan;
      const archive = await archiveOf(fileSystem, []);
      await seal(fileSystem, archive, 7, []);
      expect(fileSystem.memory.paths()).toEqual([]);
      expect(archive.sealedBytes).toBe(0);
    }
  });
});

describe('what a failed log leaves', () => {
  it('is written again: what counts, and nothing else, durable, with its times', async () => {
    for (const plan of [undefined, noLinks('EPERM')]) {
      const fileSystem = new FaultFileSystem();
      fileSystem.plan = plan;
      const archive = await archiveOf(fileSystem, []);
      const log = await beginLog(fileSystem, archive, 7);
      const good = [single(1), { sequence: 2, count: 3, timeMs: 1100 }, single(10)];
      for (const batch of good) await log.add(batch);
      const failed = bytesOfBatch(single(11));
      log.writer.stage(failed, 0, failed.length);
      await log.writer.flushStaged(); // its group fails: nobody counts it
      await archive.rewrite(log.segment);
      await archive.rewrite(log.segment); // once is enough
      const image = fileSystem.memory.crashImage('synced', randomOf(1));
      expect(await archiveNames(image)).toEqual(['000007.index', '000007.log']);
      await log.writer.close();
      await archive.release(log.segment);
      expect(await readAll(archive, 1, 20)).toEqual(good.map((batch) => nameOf(batch)));
      expect(fileSystem.memory.paths()).toEqual([`${ARCHIVE}/000007.index`, `${ARCHIVE}/000007.log`]);
      expect(archive.sealedBytes).toBe(fileSystem.memory.readFileNow(`${ARCHIVE}/000007.log`).length);
      expect(fileSystem.openPaths).toEqual([]);
    }
  });

  it('is forgotten, durably, when nothing in it counts', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await archiveOf(fileSystem, []);
    const log = await beginLog(fileSystem, archive, 7);
    const failed = bytesOfBatch(single(1));
    log.writer.stage(failed, 0, failed.length);
    await log.writer.flushStaged();
    await archive.rewrite(log.segment);
    expect(await archiveNames(fileSystem.crashImage('synced', randomOf(1)))).toEqual([]);
    await log.writer.close();
    await archive.release(log.segment);
    expect(fileSystem.paths()).toEqual([]);
  });

  it('is lost to history, told and written down, when it cannot be read back', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await sealed(fileSystem, 2);
    const losses: HistoryLoss[] = [];
    archive.onLoss = (loss) => void losses.push(loss);
    const log = await beginLog(fileSystem, archive, 3);
    for (const sequence of [3, 4, 5]) await log.add(single(sequence));
    const bytes = fileSystem.readFileNow(`${ARCHIVE}/000003.log`);
    bytes[60] = (bytes[60] ?? 0) ^ 1;
    fileSystem.writeFileNow(`${ARCHIVE}/000003.log`, bytes);
    await archive.rewrite(log.segment);
    expect(losses).toEqual([{ firstSequence: 3, lastSequence: 5, reason: 'damage' }]);
    expect(archive.start).toBe(6);
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject({ start: 6, segments: [] });
    await log.writer.close();
    await archive.release(log.segment);
    expect(fileSystem.paths()).toEqual([`${ARCHIVE}/STATE`]);
    await expect(readAll(archive, 3, 5)).rejects.toMatchObject({ code: 'HISTORY_GONE', oldest: 6 });
    await seal(fileSystem, archive, 4, [single(6)]);
    expect(await readAll(archive, 6, 6)).toHaveLength(1);
  });

  it('can be tried again after every failure, and leaves nothing open', async () => {
    let failures = 0;
    for (let call = 0; ; call += 1) {
      const fileSystem = new FaultFileSystem();
      const archive = await archiveOf(fileSystem, []);
      archive.onLoss = () => expect.unreachable('an error of a call is no damage');
      const log = await beginLog(fileSystem, archive, 7);
      for (const sequence of [1, 2]) await log.add(single(sequence));
      let calls = 0;
      fileSystem.plan = { code: 'EIO', arrives: 0.5, isHit: () => calls++ === call };
      const isDone = await archive.rewrite(log.segment).then(
        () => true,
        () => false,
      );
      fileSystem.plan = undefined;
      if (!isDone) {
        failures += 1;
        await archive.rewrite(log.segment);
      }
      await log.writer.close();
      await archive.release(log.segment);
      expect(await readAll(archive, 1, 2), `call ${call}`).toHaveLength(2);
      expect(fileSystem.openPaths, `call ${call}`).toEqual([]);
      expect(await archiveNames(fileSystem), `call ${call}`).toEqual(['000007.index', '000007.log']);
      if (fileSystem.faults === 0) break;
    }
    expect(failures).toBeGreaterThan(6);
  });
});

describe('what may be kept', () => {
  it('is bounded by bytes: the oldest go first, and no more than need be', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await sealed(fileSystem, 5);
    const each = archive.sealedBytes / 5;
    expect(await archive.prune({ ...KEEP_ALL, bytesMax: 5 * each })).toBe(0);
    expect(await archive.prune({ ...KEEP_ALL, bytesMax: 5 * each - 1 })).toBe(1);
    expect(await archive.prune({ ...KEEP_ALL, bytesMax: 2 * each })).toBe(2);
    expect(archive).toMatchObject({ start: 4, sealedBytes: 2 * each });
    expect(await archiveNames(fileSystem)).toEqual([
      '000004.index',
      '000004.log',
      '000005.index',
      '000005.log',
      'STATE',
    ]);
    await expect(readAll(archive, 3, 5)).rejects.toMatchObject({ code: 'HISTORY_GONE', sequence: 3, oldest: 4 });
    expect(await readAll(archive, 4, 5)).toHaveLength(2);
  });

  it('is bounded by age, of the newest change of a segment', async () => {
    const archive = await sealed(new MemoryFileSystem(), 3); // at 1020, 1040, 1060
    expect(await archive.prune({ ...KEEP_ALL, timeMin: 1040 })).toBe(1);
    expect(archive.start).toBe(2);
    expect(archive.oldestTimeMs).toBe(1040);
  });

  it('is what a consumer needs, up to the hard limit', async () => {
    const archive = await sealed(new MemoryFileSystem(), 5);
    const each = archive.sealedBytes / 5;
    expect(await archive.prune({ ...KEEP_ALL, bytesMax: 0, timeMin: Infinity, neededFrom: 3 })).toBe(2);
    expect(archive.start).toBe(3);
    const hard = { ...KEEP_ALL, bytesMax: 0, neededFrom: 3 };
    expect(await archive.prune({ ...hard, hardBytesMax: 3 * each })).toBe(0);
    expect(await archive.prune({ ...hard, hardBytesMax: 3 * each - 1 })).toBe(1);
    expect(archive.start).toBe(4);
  });

  it('never takes what is live', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await sealed(fileSystem, 2);
    const log = await beginLog(fileSystem, archive, 3);
    await log.add(single(3));
    expect(await archive.prune({ ...KEEP_ALL, hardBytesMax: 0 })).toBe(2);
    expect(archive.start).toBe(3);
    expect(await readAll(archive, 3, 3)).toHaveLength(1);
  });

  it('goes only when the state says so: nothing that a state names is ever missing', async () => {
    let removals = 0;
    const images: MemoryFileSystem[] = [];
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({
      onOperation: ({ name, index }) => {
        if (name === 'remove') removals += 1;
        for (const mode of ['all', 'prefix', 'sectors'] as const)
          images.push(fileSystem.crashImage(mode, randomOf(index)));
        return undefined;
      },
    });
    const archive = await sealed(fileSystem, 4);
    await archive.persist(4, false);
    images.length = 0;
    removals = 0;
    await archive.prune({ ...KEEP_ALL, bytesMax: 0 });
    expect(removals).toBeGreaterThan(7);
    for (const image of images) {
      const state = await readHistoryState(image, ARCHIVE);
      const names = await archiveNames(image);
      for (const { fileNumber } of state?.segments ?? []) expect(names).toContain(`00000${fileNumber}.log`);
    }
  });

  it('that could not be removed, as the state could not be written, goes with the next call', async () => {
    const fileSystem = new FaultFileSystem();
    const archive = await sealed(fileSystem, 3);
    fileSystem.plan = { code: 'ENOSPC', arrives: 0, isHit: ({ name }) => name === 'create' };
    await expect(archive.prune({ ...KEEP_ALL, bytesMax: 0 })).rejects.toMatchObject({ code: 'NO_SPACE' });
    expect(archive).toMatchObject({ start: 4, sealedBytes: 0 });
    expect(await archiveNames(fileSystem)).toHaveLength(6);
    fileSystem.plan = undefined;
    expect(await archive.prune({ ...KEEP_ALL, bytesMax: 0 })).toBe(0);
    expect(await archiveNames(fileSystem)).toEqual(['STATE']);
  });
});

describe('the state', () => {
  it('is written now and then, so that an open has few segments to read, and tells of what is sealed', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await archiveOf(fileSystem, [], { epoch: 4, epochEnds: [{ epoch: 3, lastSequence: 0 }] });
    for (let number = 1; number <= 64; number += 1) await seal(fileSystem, archive, number, [single(number)]);
    const state = await readHistoryState(fileSystem, ARCHIVE);
    expect(state).toMatchObject({ epoch: 4, epochEnds: [{ epoch: 3, lastSequence: 0 }], start: 1, end: 0 });
    expect(state?.isClean).toBe(false);
    expect(state?.segments.map(({ fileNumber }) => fileNumber)).toEqual([...new Array(64).keys()].map((at) => at + 1));
    await archive.persist(64, true);
    await archive.close();
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject({ end: 64, isClean: true });
  });

  it('is written by one at a time: the last one asked for is what stays', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await sealed(fileSystem, 1);
    const all = [1, 2, 3, 4].map((end) => archive.persist(end, end === 4));
    await archive.close();
    await Promise.all(all);
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject({ end: 4, isClean: true });
  });
});

describe('places in the archive', () => {
  it('are found by number and by time, in what is sealed and what is live', async () => {
    const fileSystem = new MemoryFileSystem();
    const first = await writeSegment(fileSystem, 1, [single(5), single(6)]);
    const second = await writeSegment(fileSystem, 2, [single(9)]);
    const archive = await archiveOf(fileSystem, [first, second], { epochEnds: [{ epoch: 1, lastSequence: 8 }] });
    const log = await beginLog(fileSystem, archive, 3);
    expect(archive.segmentAt(10)).toBeUndefined();
    await log.add(single(12));
    const fileAt = (sequence: number): number | undefined => archive.segmentAt(sequence)?.fileNumber;
    expect([1, 5, 6, 7, 9, 10, 12, 13].map(fileAt)).toEqual([1, 1, 1, 2, 2, 3, 3, undefined]);
    const atTime = (timeMs: number): number | undefined => archive.segmentAtTime(timeMs)?.fileNumber;
    expect([0, 1120, 1121, 1180, 1240, 1241].map(atTime)).toEqual([1, 1, 2, 2, 3, undefined]);
    expect(archive.newestTimeMs).toBe(1180);
    expect(archive.epochEnd(1)).toBe(8);
    expect(archive.epochEnd(2)).toBeUndefined();
  });
});
