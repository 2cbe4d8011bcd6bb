// Goal: what a reader gives is what was committed, from any place to any other, in pieces of any size, while the log grows,
// whatever the index says; and damage is told, never skipped.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorruptionError, HistoryGoneError, MemoryFileSystem } from '../../../src/index.ts';
import { HistoryReader } from '../../../src/storage/history/history-reader.ts';
import type { SegmentInfo } from '../../../src/storage/history/history-state.ts';
import { SegmentIndexWriter } from '../../../src/storage/history/segment-index.ts';
import type { LogArchive } from '../../../src/storage/history/log-archive.ts';
import {
  ARCHIVE,
  archiveOf,
  beginLog,
  DIRECTORY,
  type MadeBatch,
  nameOf,
  nameOfBatch,
  readAll,
  writeSegment,
} from '../../support/archive-files.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { PROPERTY_MS, runsOf } from '../../support/runs.ts';

interface MadeHistory {
  readonly segments: readonly (readonly MadeBatch[])[];
}

/** Segments with holes between batches, ticks now and then, and a large batch here and there. */
const histories: fc.Arbitrary<MadeHistory> = fc
  .array(
    fc.array(
      fc.record({
        hole: fc.constantFrom(0, 0, 0, 1, 7),
        count: fc.integer({ min: 1, max: 4 }),
        ms: fc.constantFrom(0, 0, 10, 25),
        valueBytes: fc.constantFrom(0, 4, 4, 40_000),
      }),
      { minLength: 1, maxLength: 6 },
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((segments) => {
    let [sequence, timeMs] = [1, 1000];
    return {
      segments: segments.map((batches) => {
        timeMs += 100;
        return batches.map(({ hole, count, ms, valueBytes }) => {
          timeMs += ms;
          const batch = { sequence: sequence + hole, count, timeMs, valueBytes };
          sequence += hole + count;
          return batch;
        });
      }),
    };
  });

async function archiveWith(fileSystem: MemoryFileSystem, { segments }: MadeHistory): Promise<LogArchive> {
  const infos: SegmentInfo[] = [];
  for (const [index, batches] of segments.entries()) infos.push(await writeSegment(fileSystem, index + 1, batches));
  return archiveOf(fileSystem, infos, { start: 1 });
}

describe('a reader of history', () => {
  it('gives every batch once, in order, from any place, in whatever pieces it is asked for', async () => {
    await fc.assert(
      fc.asyncProperty(
        histories,
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.tuple(fc.nat(8), fc.nat(3), fc.boolean()), { maxLength: 12 }),
        async (history, from, pieces) => {
          const archive = await archiveWith(new MemoryFileSystem(), history);
          const all = history.segments.flat();
          const end = Math.max(from, all.at(-1)?.sequence ?? 0) + 10;
          const reader = new HistoryReader(archive, from);
          const given: string[] = [];
          let bound = from - 1;
          for (const [numbers, batchesMax, isReleased] of [...pieces, [100, 0, false] as const]) {
            bound = Math.min(end, bound + numbers);
            // A bound is where a group ends: never in the middle of a batch.
            for (const { sequence, count } of all) if (sequence <= bound) bound = Math.max(bound, sequence + count - 1);
            let left = batchesMax;
            await reader.read(bound, (batch) => {
              given.push(nameOfBatch(batch));
              left -= 1;
              return left !== 0; // 0 at first: as many as there are
            });
            expect(reader.position).toBeLessThanOrEqual(bound + 1);
            if (isReleased) await reader.release();
          }
          while (reader.position <= end) await reader.read(end, (batch) => given.push(nameOfBatch(batch)) > 0);
          expect(given).toEqual(all.filter(({ sequence, count }) => sequence + count > from).map((one) => nameOf(one)));
          await reader.close();
        },
      ),
      runsOf(60),
    );
  });

  it('follows a log that is written to, over its rotation', { timeout: PROPERTY_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.boolean(), async ({ segments }, hasLinks) => {
        const fileSystem = new FaultFileSystem();
        if (!hasLinks) fileSystem.plan = { code: 'EPERM', arrives: 0, isHit: ({ name }) => name === 'link' };
        const archive = await archiveOf(fileSystem, []);
        const reader = new HistoryReader(archive, 1);
        const given: string[] = [];
        for (const [index, batches] of segments.entries()) {
          const log = await beginLog(fileSystem, archive, index + 1);
          for (const batch of batches) {
            await log.add(batch);
            const last = batch.sequence + batch.count - 1;
            await reader.read(last, (one) => given.push(nameOfBatch(one)) > 0);
            expect(given.at(-1)).toBe(nameOf(batch));
            expect(reader.position).toBe(last + 1);
          }
          await log.writer.close();
          await archive.release(log.segment); // the reader has it open, or its name has moved
        }
        expect(given).toEqual(segments.flat().map((batch) => nameOf(batch)));
        await reader.close();
        expect(fileSystem.openPaths).toEqual([]);
      }),
      runsOf(30),
    );
  });

  const THREE: MadeHistory = {
    segments: [
      [1, 2, 3].map((sequence) => ({ sequence, count: 1, timeMs: 1000 + 20 * sequence })),
      [5, 6, 7].map((sequence) => ({ sequence, count: 1, timeMs: 2000 + 20 * sequence })),
    ],
  };

  it('gives the same batches with an index that is missing, cut, or of another log', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await archiveWith(fileSystem, THREE);
    const index = fileSystem.readFileNow(`${ARCHIVE}/000001.index`);
    const other = fileSystem.readFileNow(`${ARCHIVE}/000002.index`);
    const sequences = async (from: number): Promise<number[]> =>
      (await readAll(archive, from, 7)).map((name) => Number.parseInt(name, 10));
    for (const bytes of [...[...index.keys()].map((length) => index.slice(0, length)), other]) {
      fileSystem.writeFileNow(`${ARCHIVE}/000001.index`, bytes);
      expect(await sequences(1)).toEqual([1, 2, 3, 5, 6, 7]);
      expect(await sequences(3)).toEqual([3, 5, 6, 7]);
    }
    // Places that are no beginnings of records, or of another one than it says.
    const wrong = [21, 0, 54, 100_000].map((offset) => ({ sequence: 2, timeMs: 1040, offset }));
    for (const tick of wrong) {
      await fileSystem.remove(`${ARCHIVE}/000001.index`);
      const writer = new SegmentIndexWriter(await fileSystem.create(`${ARCHIVE}/000001.index`), 1);
      writer.add(tick);
      await writer.close();
      expect(await sequences(2)).toEqual([2, 3, 5, 6, 7]);
    }
    await fileSystem.remove(`${ARCHIVE}/000001.index`);
    expect(await sequences(2)).toEqual([2, 3, 5, 6, 7]);
  });

  it('tells damage in a segment, for every changed byte of a record and every length', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await archiveWith(fileSystem, THREE);
    const path = `${ARCHIVE}/000001.log`;
    const bytes = fileSystem.readFileNow(path);
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const flipped = bytes.slice();
      flipped[offset] = (bytes[offset] ?? 0) ^ 0x10;
      for (const damaged of [flipped, bytes.slice(0, offset)]) {
        fileSystem.writeFileNow(path, damaged);
        await expect(readAll(archive, 1, 7), `byte ${offset}`).rejects.toMatchObject({
          code: 'CORRUPTION',
          file: 'archive/000001.log',
        });
        expect(await readAll(archive, 5, 7)).toHaveLength(3); // whoever does not need it is not concerned
      }
    }
  });

  it('says from where on there is history, when its place has gone', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await archiveWith(fileSystem, THREE);
    const reader = new HistoryReader(archive, 1);
    await reader.read(1, () => true);
    const limits = { bytesMax: 0, timeMin: 0, hardBytesMax: Infinity, neededFrom: 4 };
    expect(await archive.prune(limits)).toBe(1);
    // It has the file open, and may read on; and then there is nothing missing.
    const given: string[] = [];
    await reader.read(7, (batch) => given.push(nameOfBatch(batch)) > 0);
    expect(given).toHaveLength(5);
    await expect(readAll(archive, 3, 7)).rejects.toMatchObject({ code: 'HISTORY_GONE', sequence: 3, oldest: 4 });
    await reader.close();
    // And a segment that is gone without a word is no hole.
    await fileSystem.remove(`${ARCHIVE}/000002.log`);
    await expect(readAll(archive, 5, 7)).rejects.toBeInstanceOf(HistoryGoneError);
  });

  it('lets go of its files when it is released, closed, or closed in the middle of a read', async () => {
    const fileSystem = new FaultFileSystem();
    await fileSystem.makeDirectory(DIRECTORY);
    const infos = await Promise.all(THREE.segments.map((one, index) => writeSegment(fileSystem, index + 1, one)));
    const archive = await archiveOf(fileSystem, infos);
    const reader = new HistoryReader(archive, 1);
    await reader.read(2, () => true);
    expect(fileSystem.openPaths).toEqual([`${ARCHIVE}/000001.log`, `${ARCHIVE}/000001.index`]);
    await reader.release();
    expect(fileSystem.openPaths).toEqual([]);
    const reading = reader.read(7, () => true);
    await reader.close();
    await reading;
    expect(fileSystem.openPaths).toEqual([]);
    expect(reader.position).toBeLessThan(8);
  });

  it('can be asked again after a read has failed', async () => {
    const fileSystem = new FaultFileSystem();
    const infos = await Promise.all(THREE.segments.map((one, index) => writeSegment(fileSystem, index + 1, one)));
    const archive = await archiveOf(fileSystem, infos);
    let failures = 0;
    for (let call = 0; ; call += 1) {
      const reader = new HistoryReader(archive, 2);
      const given: number[] = [];
      const take = (batch: Parameters<typeof nameOfBatch>[0]): boolean =>
        given.push(Number.parseInt(nameOfBatch(batch), 10)) > 0;
      let calls = 0;
      const before = fileSystem.faults;
      fileSystem.plan = { code: 'EIO', arrives: 0, isHit: () => calls++ === call };
      const isDone = await reader.read(7, take).then(
        () => true,
        () => false,
      );
      fileSystem.plan = undefined;
      if (!isDone) {
        failures += 1;
        await reader.release();
        await reader.read(7, take);
      }
      expect(given, `call ${call}`).toEqual([2, 3, 5, 6, 7]);
      await reader.close();
      expect(fileSystem.openPaths, `call ${call}`).toEqual([]);
      if (fileSystem.faults === before) break;
    }
    expect(failures).toBeGreaterThan(4);
  });

  it('tells a hole that the index would step over', async () => {
    const fileSystem = new MemoryFileSystem();
    const archive = await archiveWith(fileSystem, THREE);
    const bytes = fileSystem.readFileNow(`${ARCHIVE}/000001.log`);
    fileSystem.writeFileNow(`${ARCHIVE}/000001.log`, bytes.fill(0, 31));
    await expect(readAll(archive, 3, 7)).rejects.toBeInstanceOf(CorruptionError);
  });
});
