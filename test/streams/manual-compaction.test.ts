// Goal: a compaction that was asked for takes the whole range down, each level once, comes to an end whatever comes in
// above, and tells its caller what became of it, and nobody else.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type EngineEvent, open, type OpenOptions, type Store } from '../../src/index.ts';
import { editOf, type PickerOptions } from '../../src/storage/compaction/picker.ts';
import { isOverlapping, rangeOf, type TableMeta } from '../../src/storage/manifest/table-meta.ts';
import { Version } from '../../src/storage/manifest/version.ts';
import { ManualCompaction } from '../../src/streams/manual-compaction.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { GatedFileSystem } from '../support/gated-file-system.ts';
import { runsOf } from '../support/runs.ts';
import { bytesOf, textOf } from '../support/sorted-model.ts';
import { inspectTree, type TreeReport } from '../support/tree-invariants.ts';
import { shortKey, tableOf } from '../support/tables.ts';
import { inTime, until } from '../support/waiting.ts';

const OPTIONS: PickerOptions = { level0CompactionTrigger: 4, level1BytesMax: 1000, tableBytesMax: 100 };

function applied(version: Version, edit: Parameters<Version['apply']>[0]): Version {
  const next = version.apply(edit);
  if (next._tag === 'Left') throw new Error(next.left);
  return next.right;
}

describe('the pieces of a compaction that was asked for', () => {
  const run = fc.uniqueArray(shortKey, { maxLength: 12, size: 'max' });
  const bound = fc.option(shortKey, { nil: undefined });

  it('take the range down to the deepest level that has any of it, and end', () => {
    fc.assert(
      fc.property(
        fc.array(run, { minLength: 5, maxLength: 5 }),
        bound,
        bound,
        fc.boolean(),
        (levels, start, end, isBusy) => {
          let fileNumber = 0;
          const table = (first = '', last = ''): TableMeta =>
            tableOf((fileNumber += 1), { first, last, fileBytes: 1000 });
          let version = applied(Version.empty, {
            newTables: levels.flatMap((keys, level) => {
              if (level === 0)
                return keys.map((key, at) => ({ level, table: table(...[key, keys[at - 1] ?? key].sort()) }));
              const sorted = keys.sort();
              return sorted.flatMap((key, at) =>
                at % 2 === 0 && sorted[at + 1] !== undefined ? [{ level, table: table(key, sorted[at + 1]) }] : [],
              );
            }),
          });
          const range = {
            start: start === undefined ? undefined : bytesOf(start),
            end: end === undefined ? undefined : bytesOf(end),
          };
          const isIn = (meta: TableMeta): boolean => isOverlapping(meta, range);
          const deepest = Math.max(
            1,
            version.levels.findLastIndex((tables) => tables.some(isIn)),
          );
          const given = new Set(version.levels.flat().map((meta) => meta.fileNumber));
          const manual = new ManualCompaction(version, { range, signal: undefined, finish: () => undefined });
          const levelsSeen: number[] = [];
          for (let piece = manual.next(version, OPTIONS); piece !== undefined; piece = manual.next(version, OPTIONS)) {
            levelsSeen.push(piece.level);
            expect(levelsSeen.length).toBeLessThan(100);
            const { inputs, overlaps } = piece;
            const whole = rangeOf([...inputs, ...overlaps]);
            const output = table(textOf(whole.start), textOf(whole.end));
            version = applied(version, editOf(piece, [output]));
            // New tables come in above all the while: they are not waited for.
            if (isBusy) version = applied(version, { newTables: [{ level: 0, table: table('a', 'zz') }] });
          }
          expect(levelsSeen).toEqual([...levelsSeen].sort());
          for (const [level, tables] of version.levels.entries()) {
            if (level >= deepest) break;
            expect(tables.filter((meta) => given.has(meta.fileNumber) && isIn(meta))).toEqual([]);
          }
        },
      ),
      runsOf(200),
    );
  });

  it('of an empty tree are none, and after an abort no more', () => {
    const all = { start: undefined, end: undefined };
    const nothing = new ManualCompaction(Version.empty, { range: all, signal: undefined, finish: () => undefined });
    expect(nothing.next(Version.empty, OPTIONS)).toBeUndefined();
    const version = applied(Version.empty, { newTables: [{ level: 0, table: tableOf(1, { first: 'a', last: 'b' }) }] });
    const signal = AbortSignal.abort();
    expect(
      new ManualCompaction(version, { range: all, signal, finish: () => undefined }).next(version, OPTIONS),
    ).toBeUndefined();
  });
});

describe('store.compact', () => {
  let store: Store | undefined;
  afterEach(async () => {
    await store?.close();
    store = undefined;
  });
  /** What is on the disk when nothing is under way any more. */
  const inspectClosed = async (fileSystem: FaultFileSystem): Promise<TreeReport> => {
    await store?.close();
    return inspectTree(fileSystem, '/db');
  };
  const openStore = async (options: OpenOptions): Promise<Store> => {
    store = await open('/db', options);
    return store;
  };
  const fill = async (opened: Store, from: number, to: number): Promise<void> => {
    for (let index = from; index < to; index += 1)
      await opened.set(`key ${String(index).padStart(4, '0')}`, 'x'.repeat(90));
  };
  const TINY: OpenOptions = {
    memtableBytesMax: 2048,
    tableBytesMax: 1024,
    level1BytesMax: 4096,
    durability: 'buffered',
  };

  it('leaves nothing on the disk of what was deleted or overwritten', async () => {
    const fileSystem = new FaultFileSystem();
    const opened = await openStore({ ...TINY, fileSystem });
    await fill(opened, 0, 100);
    await fill(opened, 0, 100);
    for (let index = 0; index < 100; index += 2) await opened.delete(`key ${String(index).padStart(4, '0')}`);
    await opened.compact();
    expect(await inspectClosed(fileSystem)).toMatchObject({ violations: [], entryCount: 50, tombstoneCount: 0 });
  });

  it('keeps what a snapshot sees', async () => {
    const opened = await openStore({ ...TINY, fileSystem: new FaultFileSystem() });
    await opened.set('overwritten', 'before');
    await opened.set('deleted', 'before');
    const snapshot = opened.snapshot();
    await opened.set('overwritten', 'after');
    await opened.delete('deleted');
    await opened.compact();
    for (const key of ['overwritten', 'deleted'])
      expect(Buffer.from((await snapshot.get(key)) ?? '')).toEqual(Buffer.from('before'));
    snapshot.close();
  });

  it('of a range leaves the rest where it is', async () => {
    const fileSystem = new FaultFileSystem();
    const opened = await openStore({ ...TINY, fileSystem, level0CompactionTrigger: 1000, level1BytesMax: 2 ** 30 });
    await fill(opened, 0, 60);
    await opened.compact();
    await fill(opened, 0, 10);
    await opened.flush();
    await fill(opened, 50, 60);
    await opened.flush();
    const before = opened.stats().levels[0]?.tables ?? 0;
    expect(before).toBeGreaterThan(1);
    await opened.compact({ start: 'key 0050', end: 'key 0059' });
    const report = await inspectTree(fileSystem, '/db');
    expect(report.violations).toEqual([]);
    expect(report.tablesOfLevels[0]).toBeGreaterThan(0);
    expect(report.tablesOfLevels[0]).toBeLessThan(before);
    await opened.compact({ start: 'x', end: 'a' }); // nothing
    await opened.compact();
    expect((await inspectClosed(fileSystem)).entryCount).toBe(60);
  });

  it('tells its caller of a failure, and works again afterwards', { timeout: 30_000 }, async () => {
    const fileSystem = new FaultFileSystem();
    const opened = await openStore({ ...TINY, fileSystem });
    await fill(opened, 0, 30);
    await fill(opened, 0, 30);
    await opened.flush();
    let isBroken = true;
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ name, path }) => isBroken && name === 'open' && path.endsWith('.ldb'),
    };
    await expect(Promise.resolve(opened.compact())).rejects.toMatchObject({ code: 'IO' });
    isBroken = false;
    await inTime('the compaction', opened.compact());
    expect((await inspectClosed(fileSystem)).entryCount).toBe(30);
  });

  it('does not pay for the failure of another: it runs after it', { timeout: 30_000 }, async () => {
    const fileSystem = new GatedFileSystem();
    const events: EngineEvent[] = [];
    const opened = await openStore({
      ...TINY,
      fileSystem,
      level0CompactionTrigger: 2,
      onEvent: (event) => events.push(event),
    });
    fileSystem.holdCompactions();
    let left = 1;
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ name, path }) => name === 'open' && path.endsWith('.ldb') && left-- > 0,
    };
    await fill(opened, 0, 30);
    await fill(opened, 0, 30);
    const isMerging = (event: EngineEvent): boolean => event.type === 'compactionBegin' && !event.isTrivialMove;
    await until('a compaction of its own accord', () => events.some(isMerging));
    const asked = Promise.resolve(opened.compact());
    await until('the flush', () => opened.stats().waitingMemtables === 0);
    await new Promise((resolve) => setTimeout(resolve, 5));
    fileSystem.letCompactionsGo();
    await inTime('the compaction', asked);
    expect(events.some((event) => event.type === 'backgroundError')).toBe(true);
    expect((await inspectClosed(fileSystem)).entryCount).toBe(30);
  });

  it('runs for several callers one after the other, and for each to its end', { timeout: 30_000 }, async () => {
    const fileSystem = new FaultFileSystem();
    const opened = await openStore({ ...TINY, fileSystem });
    await fill(opened, 0, 100);
    await inTime(
      'them',
      Promise.all([opened.compact(), opened.compact({ start: 'key 0050' }), fill(opened, 0, 50), opened.compact()]),
    );
    expect((await inspectClosed(fileSystem)).violations).toEqual([]);
  });
});
