import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { findSegments, type FindParts, type FoundSegments } from '../../../src/storage/history/find-segments.ts';
import type { HistoryState, SegmentInfo } from '../../../src/storage/history/history-state.ts';
import type { FileSystem } from '../../../src/storage/file-system/file-system.ts';
import { ARCHIVE, archiveOf, DIRECTORY, readAll, writeSegment } from '../../support/archive-files.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { randomOf } from '../../support/runs.ts';

const batchesOf = (...sequences: readonly number[]): { sequence: number; count: number; timeMs: number }[] =>
  sequences.map((sequence) => ({ sequence, count: 1, timeMs: 1000 + 20 * sequence }));

const stateOf = (segments: readonly SegmentInfo[], end: number, start = 1): HistoryState => ({
  epoch: 1,
  epochEnds: [],
  start,
  end,
  isClean: false,
  segments,
});

async function find(fileSystem: FileSystem, parts: Partial<FindParts>): Promise<FoundSegments> {
  return findSegments({
    fileSystem,
    directory: DIRECTORY,
    path: ARCHIVE,
    state: undefined,
    wasOurs: true,
    logNumber: 100,
    names: (await fileSystem.list(DIRECTORY)).filter((name) => name !== 'archive'),
    tablesLast: 50,
    nowMs: 9999,
    ...parts,
  });
}

const placesOf = ({ segments }: FoundSegments): string[] =>
  segments.map(({ fileNumber, firstSequence, lastSequence }) => `${fileNumber}: ${firstSequence}-${lastSequence}`);

describe('the segments that an open finds', () => {
  it('are none without a state: history begins behind the tables', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 4, batchesOf(1, 2));
    expect(await find(fileSystem, {})).toEqual({
      segments: [],
      left: new Set(),
      start: 51,
      loss: undefined,
      newestFileNumber: 4,
    });
    const other = new MemoryFileSystem();
    await other.makeDirectory(DIRECTORY);
    expect(await find(other, {})).toEqual({
      segments: [],
      left: new Set(),
      start: 51,
      loss: undefined,
      newestFileNumber: 0,
    });
  });

  it('are those of the state, and what was sealed after it; not what is replayed, nor what was never used', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, batchesOf(1, 2));
    const sealed = await writeSegment(fileSystem, 6, batchesOf(5, 7));
    await writeSegment(fileSystem, 8, batchesOf(8, 9)); // the log that recovery begins with
    await writeSegment(fileSystem, 9, []);
    await fileSystem.create(`${DIRECTORY}/000008.log`);
    const found = await find(fileSystem, { state: stateOf([known], 2), logNumber: 8 });
    expect(found).toEqual({
      segments: [known, sealed],
      left: new Set(),
      start: 1,
      loss: undefined,
      newestFileNumber: 9,
    });
  });

  it('are read to the first record that cannot be read; what is behind is told to whoever reads as far', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 4, batchesOf(1, 2, 3));
    await writeSegment(fileSystem, 6, batchesOf(10, 11));
    await writeSegment(fileSystem, 8, batchesOf(12));
    const whole = fileSystem.readFileNow(`${ARCHIVE}/000004.log`);
    const lengths = [...new Array(whole.length).keys()].filter((length) => length % 27 !== 0);
    for (const length of lengths) {
      fileSystem.writeFileNow(`${ARCHIVE}/000004.log`, whole.slice(0, length));
      const found = await find(fileSystem, { state: stateOf([], 0), tablesLast: 12 });
      expect(placesOf(found).slice(1), `cut to ${length}`).toEqual(['6: 10-11', '8: 12-12']);
      expect(placesOf(found)[0], `cut to ${length}`).toBe('4: 1-9');
      const archive = await archiveOf(fileSystem, found.segments);
      await expect(readAll(archive, 1, 12)).rejects.toMatchObject({ code: 'CORRUPTION' });
      expect(await readAll(archive, 10, 12)).toHaveLength(3);
    }
    // The last one is taken to hold what the tables have.
    fileSystem.writeFileNow(`${ARCHIVE}/000004.log`, whole);
    fileSystem.writeFileNow(`${ARCHIVE}/000008.log`, new Uint8Array(9).fill(7));
    expect(placesOf(await find(fileSystem, { state: stateOf([], 0), tablesLast: 12 }))).toEqual([
      '4: 1-3',
      '6: 10-11',
      '8: 12-12',
    ]);
  });

  it('are no history where their numbers are those of an earlier session: a recovery has left them out', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 4, batchesOf(3, 4));
    const young = await writeSegment(fileSystem, 6, batchesOf(1001));
    for (const wasOurs of [true, false]) {
      const found = await find(fileSystem, { state: stateOf([], 1000), wasOurs });
      expect(placesOf(found).includes('4: 3-4')).toBe(false);
      expect(placesOf(found).at(-1)).toBe('6: 1001-1001');
      expect(found.segments).toMatchObject([{ fileNumber: young.fileNumber }]);
      expect(found.loss).toBeUndefined();
    }
  });

  it('begin behind one that is missing, and that is told', async () => {
    const fileSystem = new MemoryFileSystem();
    const segments: SegmentInfo[] = [];
    for (const number of [4, 6, 8]) {
      segments.push(await writeSegment(fileSystem, number, batchesOf(10 * number, 10 * number + 5)));
    }
    await fileSystem.remove(`${ARCHIVE}/000006.log`);
    const state = stateOf(segments, 85, 40);
    const found = await find(fileSystem, { state });
    expect(found.segments).toEqual([segments[2]]);
    expect(found).toMatchObject({ start: 66, loss: { firstSequence: 60, lastSequence: 65, reason: 'damage' } });
    await fileSystem.remove(`${ARCHIVE}/000008.log`);
    expect(await find(fileSystem, { state })).toMatchObject({ segments: [], start: 86 });
    // What lies before the beginning may be missing: it was on its way out.
    expect((await find(fileSystem, { state: stateOf(segments.slice(0, 2), 85, 66) })).loss).toBeUndefined();
  });

  it('are moved here, if a crash came before, where there are no hard links', async () => {
    const fileSystem = new MemoryFileSystem();
    const info = await writeSegment(fileSystem, 4, batchesOf(1, 2));
    await fileSystem.rename(`${ARCHIVE}/000004.log`, `${DIRECTORY}/000004.log`);
    await fileSystem.create(`${DIRECTORY}/000005.log`); // without an index: a recovery has left it out
    const found = await find(fileSystem, { state: stateOf([], 0) });
    expect(found.segments).toEqual([info]);
    // Not before the MANIFEST surely needs it no more among the logs; it can be read where it is.
    expect(fileSystem.paths()).toContain(`${DIRECTORY}/000004.log`);
    const archive = await archiveOf(fileSystem, found.segments, { left: found.left });
    expect(await readAll(archive, 1, 50)).toHaveLength(2);
    await archive.moveLeft();
    expect(fileSystem.paths().filter((path) => path.endsWith('.log'))).toEqual([
      `${DIRECTORY}/000005.log`,
      `${ARCHIVE}/000004.log`,
    ]);
    expect(await readAll(archive, 1, 50)).toHaveLength(2);
    expect((await find(fileSystem, { state: stateOf([info], 0) })).segments).toEqual([info]);
  });
});

describe('the segments that another program has replayed', () => {
  it('are written again, durably, up to what can be read; with their times', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 4, batchesOf(1, 2, 3));
    const whole = fileSystem.readFileNow(`${ARCHIVE}/000004.log`);
    await fileSystem.remove(`${ARCHIVE}/000004.log`);
    const torn = await fileSystem.create(`${ARCHIVE}/000004.log`);
    await torn.append(whole.subarray(0, whole.length - 3));
    await torn.close();
    const found = await find(fileSystem, { state: stateOf([], 0), wasOurs: false });
    expect(placesOf(found)).toEqual(['4: 1-2']);
    expect(found.loss).toBeUndefined(); // what is behind is for `finish` to look for
    expect(await readAll(await archiveOf(fileSystem, found.segments), 1, 50)).toEqual(['1+1@1020', '2+1@1040']);
    const after = fileSystem.crashImage('synced', randomOf(1)); // with its index, which was sealed
    expect(await readAll(await archiveOf(after, found.segments), 1, 50)).toEqual(['1+1@1020', '2+1@1040']);
  });

  it('have a gap between them where the power took the end of one: history begins behind it', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 4, batchesOf(1, 2));
    await writeSegment(fileSystem, 6, batchesOf(5, 6));
    const found = await find(fileSystem, { state: stateOf([], 0), wasOurs: false });
    expect(placesOf(found)).toEqual(['6: 5-6']);
    expect(found).toMatchObject({ start: 5, loss: { firstSequence: 3, lastSequence: 4, reason: 'foreignWriter' } });
  });
});

it('a look for segments leaves nothing open, whatever fails, and can be had again', async () => {
  for (const wasOurs of [true, false]) {
    let failures = 0;
    for (let call = 0; ; call += 1) {
      const fileSystem = new FaultFileSystem();
      const known = await writeSegment(fileSystem, 4, batchesOf(1, 2));
      await writeSegment(fileSystem, 6, batchesOf(3, 4));
      await fileSystem.rename(`${ARCHIVE}/000006.log`, `${DIRECTORY}/000006.log`);
      const state = stateOf([known], 2);
      let calls = 0;
      const names = ['000006.log'];
      fileSystem.plan = { code: 'EIO', arrives: 0, isHit: () => calls++ === call };
      const isDone = await find(fileSystem, { state, wasOurs, names }).then(
        () => true,
        () => false,
      );
      fileSystem.plan = undefined;
      expect(fileSystem.openPaths, `call ${call}`).toEqual([]);
      if (!isDone) failures += 1;
      expect(placesOf(await find(fileSystem, { state, wasOurs })), `call ${call}`).toEqual(['4: 1-2', '6: 3-4']);
      if (fileSystem.faults === 0) break;
    }
    expect(failures).toBeGreaterThan(5);
  }
});
