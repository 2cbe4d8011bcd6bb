// Goal: an opening makes history whole, or tells what is lost of it; gives no number out again; and one that is cut short
// anywhere changes nothing of that.
// Method: the steps of an opening by themselves, on directories made by hand, as another program, a crash or a clean close
// leave them; `test/crash` and `test/contract` have the whole.
import { describe, expect, it } from 'vitest';
import type { FileSystem } from '../../../src/storage/file-system/file-system.ts';
import { type HistoryState, readHistoryState, writeHistoryState } from '../../../src/storage/history/history-state.ts';
import {
  BURNT_SEQUENCES,
  type HistoryOpenParts,
  HistoryOpening,
  type OpenedHistory,
  type RebuildFromTables,
} from '../../../src/storage/history/recover-history.ts';
import { encodeDurabilityMark } from '../../../src/storage/wal/durability-mark.ts';
import { MemoryFileSystem } from '../../../src/index.ts';
import {
  ARCHIVE,
  archiveNames,
  bytesOfBatch,
  DATABASE_ID,
  DIRECTORY,
  type MadeBatch,
  nameOf,
  readAll,
  writeSegment,
} from '../../support/archive-files.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { framed } from '../../support/log-bytes.ts';

const NOW = 9999;
const single = (sequence: number): MadeBatch => ({ sequence, count: 1, timeMs: 1000 + 20 * sequence });
const singles = (first: number, last: number): MadeBatch[] =>
  Array.from({ length: last - first + 1 }, (_, index) => single(first + index));
const nothing: RebuildFromTables = () => Promise.resolve(undefined);
const everything: RebuildFromTables = (first, last) =>
  Promise.resolve(singles(first, last).map((batch) => bytesOfBatch(batch)));

interface Case {
  /** The logs that recovery replays, by number. */
  readonly replayed?: Readonly<Record<number, readonly MadeBatch[]>>;
  readonly rebuild?: RebuildFromTables;
}

async function openHistory(
  fileSystem: FileSystem,
  parts: Partial<HistoryOpenParts>,
  { replayed = {}, rebuild = nothing }: Case = {},
): Promise<OpenedHistory> {
  const opening = await HistoryOpening.begin({
    fileSystem,
    directory: DIRECTORY,
    databaseId: DATABASE_ID,
    isNew: false,
    logNumber: 10,
    names: (await fileSystem.list(DIRECTORY)).filter((name) => name !== 'archive'),
    tablesLast: 50,
    nowMs: NOW,
    salvage: false,
    ...parts,
  });
  try {
    for (const [number, batches] of Object.entries(replayed)) {
      for (const batch of batches) {
        const bytes = bytesOfBatch(batch);
        await opening.batch(bytes, 0, bytes.length, batch.sequence, batch.count, Number(number));
      }
    }
    let next = 20;
    return await opening.finish(rebuild, () => next++);
  } catch (error) {
    await opening.abandon();
    throw error;
  }
}

/** The log that the MANIFEST names, begun by us, with these batches. */
async function ourLog(fileSystem: FileSystem, number: number, batches: readonly MadeBatch[] = []): Promise<void> {
  await fileSystem.makeDirectory(ARCHIVE);
  await theirLog(fileSystem, number, [encodeDurabilityMark(1), ...batches.map(bytesOfBatch)]);
  await (await fileSystem.create(`${ARCHIVE}/0000${number}.index`)).close();
}

async function theirLog(fileSystem: FileSystem, number: number, records: readonly Uint8Array[]): Promise<void> {
  await fileSystem.makeDirectory(DIRECTORY);
  const file = await fileSystem.create(`${DIRECTORY}/0000${number}.log`);
  await file.append(framed(...records));
  await file.close();
}

async function state(fileSystem: FileSystem, given: Partial<HistoryState>): Promise<void> {
  await fileSystem.makeDirectory(ARCHIVE);
  const whole = { epoch: 1, epochEnds: [], start: 1, end: 50, isClean: false, segments: [], ...given };
  await writeHistoryState(fileSystem, ARCHIVE, whole);
}

describe('an opening of history', () => {
  it('begins it, in a new database and in one that LevelDB made', async () => {
    for (const replayed of [{}, { 10: singles(41, 43) }]) {
      const fileSystem = new MemoryFileSystem();
      await theirLog(fileSystem, 10, []);
      const begins = 10 in replayed ? 41 : 51;
      const opened = await openHistory(fileSystem, { isNew: true, tablesLast: begins - 1 }, { replayed });
      expect(opened).toMatchObject({ loss: undefined, strays: [], lastSequence: 10 in replayed ? 43 : 50 });
      expect(opened.archive).toMatchObject({ start: begins, epoch: 1, databaseId: DATABASE_ID });
      const read = await readAll(opened.archive, begins, 60);
      expect(read).toHaveLength(10 in replayed ? 3 : 0);
      expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject({ start: begins, isClean: false, epoch: 1 });
    }
  });

  it('goes on after a clean close: the same epoch, and no number left out', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, singles(1, 50));
    await state(fileSystem, { epoch: 7, isClean: true, segments: [known] });
    await ourLog(fileSystem, 10);
    const opened = await openHistory(fileSystem, {});
    expect(opened).toMatchObject({ lastSequence: 50, loss: undefined });
    expect(opened.archive.epoch).toBe(7);
    expect(opened.archive.epochEnds).toEqual([]);
    expect(await readAll(opened.archive, 1, 50)).toEqual(singles(1, 50).map((batch) => nameOf(batch)));
    // From here on a crash is one.
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject({ isClean: false, epoch: 7 });
  });

  it('writes again what was replayed, and leaves numbers out after a crash', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, singles(1, 50));
    await state(fileSystem, { epoch: 7, epochEnds: [{ epoch: 6, lastSequence: 9 }], segments: [known] });
    await writeSegment(fileSystem, 10, singles(51, 55)); // its last two are not recovered
    await fileSystem.rename(`${ARCHIVE}/000010.log`, `${DIRECTORY}/000010.log`);
    await fileSystem.remove(`${DIRECTORY}/000010.log`);
    await fileSystem.remove(`${ARCHIVE}/000010.index`);
    await ourLog(fileSystem, 10, singles(51, 55));
    const opened = await openHistory(fileSystem, {}, { replayed: { 10: singles(51, 53), 11: [single(54)] } });
    expect(opened).toMatchObject({ lastSequence: 54 + BURNT_SEQUENCES, loss: undefined, strays: [] });
    expect(opened.archive.epoch).toBe(8);
    expect(opened.archive.epochEnds).toEqual([
      { epoch: 6, lastSequence: 9 },
      { epoch: 7, lastSequence: 54 },
    ]);
    const read = await readAll(opened.archive, 49, 60);
    // No index tells of the times: now, then; and an index that does is believed.
    expect(read).toEqual([
      nameOf(single(49)),
      nameOf(single(50)),
      ...['51+1', '52+1', '53+1', '54+1'].map((b) => `${b}@${NOW}`),
    ]);
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject({ end: 54 + BURNT_SEQUENCES });
  });

  it('is unclean when the state says clean, and there was something to replay', async () => {
    const fileSystem = new MemoryFileSystem();
    await state(fileSystem, { isClean: true });
    await ourLog(fileSystem, 10, [single(51)]);
    const opened = await openHistory(fileSystem, {}, { replayed: { 10: [single(51)] } });
    expect(opened.lastSequence).toBe(51 + BURNT_SEQUENCES);
    expect(opened.archive.epoch).toBe(2);
  });

  it('takes no number beyond the largest', async () => {
    const fileSystem = new MemoryFileSystem();
    await state(fileSystem, {});
    await ourLog(fileSystem, 10);
    const opened = await openHistory(fileSystem, { tablesLast: 2 ** 53 - 5 });
    expect(opened.lastSequence).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('names what may go: of logs in which nothing counted, and what was on its way', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, singles(1, 5));
    await state(fileSystem, { segments: [known], end: 5 });
    await ourLog(fileSystem, 10);
    fileSystem.writeFileNow(`${ARCHIVE}/000010.log`, new Uint8Array(0));
    fileSystem.writeFileNow(`${ARCHIVE}/000012.log.tmp`, new Uint8Array(9));
    fileSystem.writeFileNow(`${ARCHIVE}/notes.txt`, new Uint8Array(9)); // nothing of ours
    const opened = await openHistory(fileSystem, { tablesLast: 5 });
    expect(opened.strays).toEqual(['000010.index', '000010.log', '000012.log.tmp'].map((name) => `${ARCHIVE}/${name}`));
  });
});

describe('after another program has written', () => {
  it('takes out of tables what it has flushed, without saying what belonged together', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, singles(1, 40));
    await state(fileSystem, { segments: [known], end: 40, isClean: true });
    await theirLog(fileSystem, 10, [bytesOfBatch(single(51))]);
    const asked: unknown[] = [];
    const rebuild: RebuildFromTables = (...given) => {
      asked.push(given);
      return everything(...given);
    };
    const opened = await openHistory(fileSystem, {}, { replayed: { 10: [single(51)] }, rebuild });
    expect(asked).toEqual([[41, 50, 4]]);
    expect(opened).toMatchObject({ loss: undefined, lastSequence: 51 + BURNT_SEQUENCES });
    expect(await readAll(opened.archive, 40, 60)).toEqual([
      nameOf(single(40)),
      ...singles(41, 50).map((batch) => nameOf({ ...batch, timeMs: NOW }, false)),
      nameOf({ ...single(51), timeMs: NOW }),
    ]);
    // A cursor of ours leads as far as we have got; what is behind may be of the other.
    expect(opened.archive.epochEnds).toEqual([{ epoch: 1, lastSequence: 40 }]);
  });

  it('tells what it has merged away, and begins anew behind it', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, singles(1, 40));
    await state(fileSystem, { segments: [known], end: 40, isClean: true });
    await theirLog(fileSystem, 10, []);
    const opened = await openHistory(fileSystem, {});
    expect(opened.loss).toEqual({ firstSequence: 41, lastSequence: 50, reason: 'foreignWriter' });
    expect(opened.archive.start).toBe(51);
    expect(opened.strays).toEqual([`${ARCHIVE}/000004.index`, `${ARCHIVE}/000004.log`]);
    await expect(readAll(opened.archive, 40, 60)).rejects.toMatchObject({ code: 'HISTORY_GONE', oldest: 51 });
  });

  it('knows that it has written nothing', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, singles(1, 50));
    await state(fileSystem, { segments: [known], isClean: true });
    await theirLog(fileSystem, 10, []);
    const opened = await openHistory(fileSystem, {}, { rebuild: () => expect.unreachable('there is no gap') });
    expect(opened.loss).toBeUndefined();
    expect(await readAll(opened.archive, 1, 60)).toHaveLength(50);
  });

  it('tells when what we have published is not in the database any more', async () => {
    const fileSystem = new MemoryFileSystem();
    const known = await writeSegment(fileSystem, 4, singles(1, 60));
    await state(fileSystem, { segments: [known], end: 50, epoch: 3, epochEnds: [{ epoch: 2, lastSequence: 55 }] });
    await theirLog(fileSystem, 10, [bytesOfBatch(single(51))]);
    const opened = await openHistory(fileSystem, {}, { replayed: { 10: [single(51)] }, rebuild: everything });
    expect(opened.loss).toMatchObject({ reason: 'foreignWriter' });
    expect(opened.archive.start).toBe(51);
    expect(await readAll(opened.archive, 51, 60)).toEqual([nameOf({ ...single(51), timeMs: NOW })]);
    // The other's 51 is not the one that a cursor of ours stands behind.
    expect(opened.archive.epochEnds).toEqual([2, 3].map((epoch) => ({ epoch, lastSequence: 50 })));
  });

  it('is known by its log, which has no mark of ours, or by an index that is not there', async () => {
    for (const isMarked of [true, false]) {
      const fileSystem = new MemoryFileSystem();
      await state(fileSystem, { isClean: true, end: 40 });
      await theirLog(fileSystem, 10, [isMarked ? encodeDurabilityMark(1) : bytesOfBatch(single(51))]);
      if (!isMarked) await (await fileSystem.create(`${ARCHIVE}/000010.index`)).close();
      expect((await openHistory(fileSystem, {})).loss).toMatchObject({ reason: 'foreignWriter' });
    }
  });
});

describe('a state that is not as it should be', () => {
  it('is told as a loss where it is missing', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 4, singles(1, 50));
    await ourLog(fileSystem, 10, [single(51)]);
    const opened = await openHistory(fileSystem, {}, { replayed: { 10: [single(51)] } });
    expect(opened.loss).toMatchObject({ lastSequence: 50, reason: 'damage' });
    expect(opened.archive).toMatchObject({ start: 51, epoch: 2 });
    expect(await readAll(opened.archive, 51, 60)).toHaveLength(1);
  });

  it('is an error where it is damaged, and nothing is changed; salvage goes on, and tells', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 4, singles(1, 50));
    await ourLog(fileSystem, 10);
    fileSystem.writeFileNow(`${ARCHIVE}/STATE`, new Uint8Array(30).fill(1));
    const before = fileSystem.paths();
    await expect(openHistory(fileSystem, {})).rejects.toMatchObject({ code: 'CORRUPTION', file: 'archive/STATE' });
    expect(fileSystem.paths()).toEqual(before);
    expect((await openHistory(fileSystem, { salvage: true })).loss).toMatchObject({ reason: 'damage' });
  });
});

/** A crash has left a log; another program has flushed something before it. */
async function foreignThenOurs(fileSystem: FileSystem): Promise<void> {
  const known = await writeSegment(fileSystem, 4, singles(1, 40));
  await state(fileSystem, { segments: [known], end: 40, epoch: 3 });
  await theirLog(fileSystem, 10, singles(46, 48).map(bytesOfBatch));
}

it('an opening that is cut short by any failure leaves nothing open, and the next one finds the same', async () => {
  let failures = 0;
  for (let call = 0; ; call += 1) {
    const fileSystem = new FaultFileSystem();
    await foreignThenOurs(fileSystem);
    const what = { replayed: { 10: singles(46, 48) }, rebuild: everything };
    let calls = 0;
    fileSystem.plan = { code: 'EIO', arrives: 0.5, isHit: () => calls++ === call };
    const isDone = await openHistory(fileSystem, { tablesLast: 45 }, what).then(
      () => true,
      () => false,
    );
    fileSystem.plan = undefined;
    expect(fileSystem.openPaths, `call ${call}`).toEqual([]);
    if (!isDone) failures += 1;
    const again = await openHistory(fileSystem, { tablesLast: 45 }, what);
    expect(again.loss, `call ${call}`).toBeUndefined();
    expect(again.lastSequence, `call ${call}`).toBe(48 + BURNT_SEQUENCES);
    expect(again.archive.epochEnd(3), `call ${call}`).toBe(40);
    const read = await readAll(again.archive, 1, 60);
    expect(
      read.map((name) => Number.parseInt(name, 10)),
      `call ${call}`,
    ).toEqual(singles(1, 48).map((b) => b.sequence));
    for (const path of again.strays) await fileSystem.remove(path);
    expect(
      (await archiveNames(fileSystem)).filter((name) => name.endsWith('.log')),
      `call ${call}`,
    ).toHaveLength(3);
    if (fileSystem.faults === 0) break;
  }
  expect(failures).toBeGreaterThan(15);
});

it('an opening that is killed at any call, and opened again, finds the same', async () => {
  const what = { replayed: { 10: singles(46, 48) }, rebuild: everything };
  const images: MemoryFileSystem[] = [];
  const fileSystem: MemoryFileSystem = new MemoryFileSystem({
    onOperation: () => {
      images.push(fileSystem.crashImage('all', () => 0));
      return undefined;
    },
  });
  await foreignThenOurs(fileSystem);
  images.length = 0;
  await openHistory(fileSystem, { tablesLast: 45 }, what);
  expect(images.length).toBeGreaterThan(30);
  for (const [index, image] of images.entries()) {
    const again = await openHistory(image, { tablesLast: 45 }, what);
    expect(again.loss, `call ${index}`).toBeUndefined();
    const read = await readAll(again.archive, 1, 60);
    expect(
      read.map((name) => Number.parseInt(name, 10)),
      `call ${index}`,
    ).toEqual(singles(1, 48).map((b) => b.sequence));
  }
});
