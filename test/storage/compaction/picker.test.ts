// Goal: whatever is picked keeps the tree readable (I1, I2), and picking comes to an end.
// Method: random valid trees, as data; each compaction is carried out on the data, and the whole tree is checked after it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeInternalKey } from '../../../src/storage/codec/internal-key.ts';
import {
  type Compaction,
  compactionDebt,
  editOf,
  isTrivialMove,
  levelBytesMax,
  levelScore,
  pickCompaction,
  pickManual,
  type PickerOptions,
} from '../../../src/storage/compaction/picker.ts';
import { LEVELS, rangeOf, type TableMeta, totalBytes, userKeyOf } from '../../../src/storage/manifest/table-meta.ts';
import { Version } from '../../../src/storage/manifest/version.ts';
import { KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { runsOf } from '../../support/runs.ts';
import { bytesOf, textOf } from '../../support/sorted-model.ts';
import { fileNumbersOf, shortKey, tableOf } from '../../support/tables.ts';

/** User keys and sequence numbers: an entry of the model is `[key, sequence]`, and takes `ENTRY_BYTES`. */
type ModelEntry = readonly [key: string, sequence: number];
const ENTRY_BYTES = 100;
const OPTIONS: PickerOptions = { level0CompactionTrigger: 4, level1BytesMax: 1000, tableBytesMax: 300 };

const inOrder = (a: ModelEntry, b: ModelEntry): number => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : b[1] - a[1]);

function metaOf(fileNumber: number, entries: readonly ModelEntry[]): TableMeta {
  const bound = ([key, sequence]: ModelEntry = ['', 0]): Uint8Array =>
    encodeInternalKey(bytesOf(key), sequence, KIND_SET);
  const fileBytes = entries.length * ENTRY_BYTES;
  return { fileNumber, fileBytes, smallest: bound(entries[0]), largest: bound(entries.at(-1)) };
}

/** A tree as data: what each table holds, and the version that names them. */
class ModelTree {
  version: Version = Version.empty;
  readonly contents = new Map<number, readonly ModelEntry[]>();
  pointers: (Uint8Array | undefined)[] = Array.from({ length: LEVELS }, () => undefined);
  #fileNumber = 0;
  #sequence = 0;

  flush(keys: readonly string[]): void {
    const entries = keys.map((key): ModelEntry => [key, (this.#sequence += 1)]).sort(inOrder);
    this.#install({ newTables: [{ level: 0, table: this.#table(entries) }] });
  }

  run(compaction: Compaction): void {
    const { inputs, overlaps } = compaction;
    if (isTrivialMove(compaction, OPTIONS)) return this.#install(editOf(compaction, inputs));
    const merged = [...inputs, ...overlaps].flatMap(({ fileNumber }) => this.contents.get(fileNumber) ?? []);
    const newest = merged.sort(inOrder).filter(([key], index) => merged[index - 1]?.[0] !== key);
    const outputs: TableMeta[] = [];
    for (let start = 0; start < newest.length; start += 3) outputs.push(this.#table(newest.slice(start, start + 3)));
    this.#install(editOf(compaction, outputs));
  }

  /** Newest entry of each key, found as a reader does: shallow levels first, in level 0 the newest table first. */
  read(): Map<string, number> {
    const found = new Map<string, number>();
    for (const tables of this.version.levels) {
      for (const { fileNumber } of tables) {
        for (const [key, sequence] of this.contents.get(fileNumber) ?? []) {
          if (!found.has(key)) found.set(key, sequence);
        }
      }
    }
    return found;
  }

  #table(entries: readonly ModelEntry[]): TableMeta {
    this.#fileNumber += 1;
    this.contents.set(this.#fileNumber, entries);
    return metaOf(this.#fileNumber, entries);
  }

  #install(edit: ReturnType<typeof editOf>): void {
    const next = this.version.apply(edit); // which refuses what breaks I1
    if (next._tag === 'Left') throw new Error(next.left);
    this.version = next.right;
    for (const { level, key } of edit.compactionPointers ?? []) this.pointers[level] = key;
  }
}

const flushes = fc.array(fc.uniqueArray(shortKey, { minLength: 1, maxLength: 8 }), { maxLength: 25, size: 'max' });
const scoreOf = (version: Version): number =>
  Math.max(...version.levels.map((_, level) => levelScore(version, level, OPTIONS)));

/** Everything that `Compaction` promises about itself. */
function check(version: Version, { level, inputs, overlaps, grandparents }: Compaction): void {
  expect(inputs.length).toBeGreaterThan(0);
  for (const table of inputs) expect(version.tables(level)).toContain(table);
  const range = rangeOf(inputs);
  expect(new Set(version.overlapping(level, range))).toEqual(new Set(inputs)); // nothing of level 0 is left behind
  expect(new Set(version.overlapping(level + 1, range))).toEqual(new Set(overlaps));
  const whole = rangeOf([...inputs, ...overlaps]);
  expect(grandparents).toEqual(level + 2 < LEVELS ? version.overlapping(level + 2, whole) : []);
}

describe('the picker', () => {
  it('keeps what readers see, whatever the tree, and comes to an end', () => {
    fc.assert(
      fc.property(flushes, fc.boolean(), (list, isEager) => {
        const tree = new ModelTree();
        const expected = new Map<string, number>();
        let sequence = 0;
        const settle = (): void => {
          for (let steps = 0; ; steps += 1) {
            const picked = pickCompaction(tree.version, tree.pointers, OPTIONS, 0);
            if (picked === undefined) break;
            check(tree.version, picked);
            tree.run(picked);
            expect(tree.read()).toEqual(expected);
            expect(steps).toBeLessThan(500);
          }
          expect(scoreOf(tree.version)).toBeLessThan(1);
          expect(compactionDebt(tree.version, OPTIONS)).toBe(0);
        };
        for (const keys of list) {
          tree.flush(keys);
          for (const key of keys) expected.set(key, (sequence += 1));
          if (isEager) settle();
        }
        settle();
      }),
      runsOf(150),
    );
  });

  it('picks nothing from an empty tree, nor from one below its limits', () => {
    expect(pickCompaction(Version.empty, [], OPTIONS, 99)).toBeUndefined();
    const tree = new ModelTree();
    for (let count = 0; count < 3; count += 1) tree.flush(['a']);
    expect(pickCompaction(tree.version, tree.pointers, OPTIONS, 99)).toBeUndefined();
    tree.flush(['a']);
    expect(pickCompaction(tree.version, tree.pointers, OPTIONS, 99)).toMatchObject({ reason: 'level0', level: 0 });
  });

  it('takes all level-0 tables that hang together, and begins with the oldest', () => {
    const tree = new ModelTree();
    for (const keys of [['a', 'c'], ['x', 'z'], ['c', 'e'], ['y'], ['e', 'f']]) tree.flush(keys);
    const picked = pickCompaction(tree.version, tree.pointers, OPTIONS, 0);
    expect(picked && fileNumbersOf(picked.inputs)).toEqual([5, 3, 1]);
  });

  it('goes round a level in turn, from where it stopped', () => {
    const letters = ['a', 'b', 'c', 'd'];
    const newTables = letters.map((key, at) => ({ level: 1, table: tableOf(at + 1, { first: key, last: `${key}z` }) }));
    const version = applied(newTables);
    const begun: number[] = [];
    let pointers: (Uint8Array | undefined)[] = [];
    for (let turn = 0; turn < 6; turn += 1) {
      const picked = pickCompaction(version, pointers, OPTIONS, 0);
      begun.push(...fileNumbersOf(picked?.inputs ?? []));
      pointers = [undefined, picked?.inputs.at(-1)?.largest];
    }
    expect(begun).toEqual([1, 2, 3, 4, 1, 2]);
  });

  it('never picks the deepest level, however full', () => {
    const huge = 100 * levelBytesMax(6, OPTIONS);
    const version = applied([{ level: 6, table: tableOf(1, { first: 'a', last: 'z', fileBytes: huge }) }]);
    expect(pickCompaction(version, [], OPTIONS, 0)).toBeUndefined();
    expect(compactionDebt(version, OPTIONS)).toBe(0);
  });

  it('begins with the level that is fullest for its size, and says why', () => {
    const level0 = [1, 2, 3, 4, 5].map((number) => ({ level: 0, table: tableOf(number, { first: 'a', last: 'b' }) }));
    const of = (fileBytes: number) => ({ level: 1, table: tableOf(9, { first: 'a', last: 'b', fileBytes }) });
    const pick = (bytes: number) => pickCompaction(applied([...level0, of(bytes)]), [], OPTIONS, 0);
    expect(pick(1_249)).toMatchObject({ reason: 'level0', level: 0 });
    expect(pick(1_250)).toMatchObject({ reason: 'level0', level: 0 }); // as full: the higher level goes first
    expect(pick(1_251)).toMatchObject({ reason: 'size', level: 1 });
  });

  it('counts as debt what is above the limits, of each level but the deepest', () => {
    const table = (level: number, fileNumber: number, fileBytes: number) => ({
      level,
      table: tableOf(fileNumber, { first: `k${fileNumber}`, last: `k${fileNumber}`, fileBytes }),
    });
    const debt = (...tables: Parameters<typeof applied>[0]): number => compactionDebt(applied(tables), OPTIONS);
    const level0 = [table(0, 1, 100), table(0, 2, 100), table(0, 3, 100)];
    expect(debt(...level0)).toBe(0);
    expect(debt(...level0, table(0, 4, 50))).toBe(350);
    expect(debt(table(1, 1, 1_000))).toBe(0);
    expect(debt(table(1, 1, 1_007))).toBe(7);
    expect(debt(table(5, 1, 10_000_003))).toBe(3);
    expect(debt(...level0, table(0, 4, 50), table(1, 5, 1_007), table(2, 6, 10_001), table(6, 7, 2 ** 50))).toBe(358);
  });

  it('takes tables together up to a size, to the byte', () => {
    const version = applied([
      { level: 1, table: tableOf(1, { first: 'a', last: 'b', fileBytes: 1_000 }) },
      { level: 1, table: tableOf(2, { first: 'c', last: 'd', fileBytes: 1_000 }) },
      { level: 2, table: tableOf(4, { first: 'a', last: 'd', fileBytes: 500 }) },
    ]);
    const inputs = (tableBytesMax: number) =>
      fileNumbersOf(pickCompaction(version, [], { ...OPTIONS, tableBytesMax }, 0)?.inputs ?? []);
    expect(inputs(100)).toEqual([1, 2]); // 25 tables of 100 bytes, and there are 2,500
    expect(inputs(99)).toEqual([1]);
  });

  it('does not grow where that would bring in another table below', () => {
    const version = applied([
      { level: 1, table: tableOf(1, { first: 'a', last: 'b' }) },
      { level: 1, table: tableOf(2, { first: 'c', last: 'e' }) },
      { level: 2, table: tableOf(4, { first: 'a', last: 'd' }) },
      { level: 2, table: tableOf(5, { first: 'e', last: 'f' }) },
    ]);
    const picked = pickCompaction(version, [], { ...OPTIONS, tableBytesMax: 10_000 }, 0);
    expect(picked && fileNumbersOf(picked.inputs)).toEqual([1]);
    expect(picked && fileNumbersOf(picked.overlaps)).toEqual([4]);
  });

  it('takes more of the level when that costs nothing below', () => {
    const version = applied([
      { level: 1, table: tableOf(1, { first: 'a', last: 'b' }) },
      { level: 1, table: tableOf(2, { first: 'c', last: 'd' }) },
      { level: 1, table: tableOf(3, { first: 'k', last: 'l' }) },
      { level: 2, table: tableOf(4, { first: 'a', last: 'd' }) },
    ]);
    const wide = { ...OPTIONS, tableBytesMax: 10_000 };
    const picked = pickCompaction(version, [], wide, 0);
    expect(picked && fileNumbersOf(picked.inputs)).toEqual([1, 2]);
    expect(picked && fileNumbersOf(picked.overlaps)).toEqual([4]);
    const narrow = pickCompaction(version, [], { ...OPTIONS, tableBytesMax: 100 }, 0);
    expect(narrow && fileNumbersOf(narrow.inputs)).toEqual([1]);
  });
});

function applied(newTables: readonly { readonly level: number; readonly table: TableMeta }[]): Version {
  const next = Version.empty.apply({ newTables });
  if (next._tag === 'Left') throw new Error(next.left);
  return next.right;
}

describe('a table of tombstones', () => {
  const table = tableOf(1, { first: 'a', last: 'b', fileBytes: 10 });
  const dense = { ...table, entryCount: 100, tombstoneCount: 60, largestSequence: 50 };
  const pick = (one: TableMeta, upTo: number, level = 3): Compaction | undefined =>
    pickCompaction(applied([{ level, table: one }]), [], OPTIONS, upTo);

  it('is rewritten although its level has room, when no snapshot needs them', () => {
    const picked = pick(dense, 50);
    expect(picked).toMatchObject({ reason: 'tombstones', level: 3 });
    expect(picked && isTrivialMove(picked, OPTIONS)).toBe(false); // moving it would keep them
  });

  it('waits for a snapshot, for more of them, and is never picked where nothing is known or at the bottom', () => {
    expect(pick(dense, 49)).toBeUndefined();
    expect(pick({ ...dense, tombstoneCount: 49 }, 50)).toBeUndefined();
    expect(pick({ ...dense, tombstoneCount: 50 }, 50)).toMatchObject({ reason: 'tombstones' });
    expect(pick({ ...dense, entryCount: 64, tombstoneCount: 31 }, 50)).toBeUndefined();
    expect(pick({ ...dense, entryCount: 64, tombstoneCount: 32 }, 50)).toMatchObject({ reason: 'tombstones' });
    expect(pick(dense, 50, 0)).toMatchObject({ reason: 'tombstones', level: 0 });
    expect(pick({ ...dense, entryCount: 20, tombstoneCount: 20 }, 50)).toBeUndefined();
    expect(pick(table, 50)).toBeUndefined();
    expect(pick(dense, 50, 6)).toBeUndefined();
  });

  it('goes down until nothing is below it, and no further', () => {
    let version = applied([
      { level: 1, table: dense },
      { level: 4, table: tableOf(2, { first: 'a', last: 'b', fileBytes: 10 }) },
    ]);
    const levels: number[] = [];
    let fileNumber = 10;
    for (let picked = pickCompaction(version, [], OPTIONS, 50); picked !== undefined;) {
      levels.push(picked.level);
      // Where something lies deeper, the rewrite keeps the tombstones.
      const isKept = picked.level < 3;
      const counts = isKept ? { entryCount: 100, tombstoneCount: 60, largestSequence: 50 } : {};
      const next = version.apply(editOf(picked, [{ ...table, ...counts, fileNumber: (fileNumber += 1) }]));
      if (next._tag === 'Left') throw new Error(next.left);
      version = next.right;
      picked = pickCompaction(version, [], OPTIONS, 50);
    }
    expect(levels).toEqual([1, 2, 3]);
  });
});

describe('a trivial move', () => {
  const table = tableOf(1, { first: 'a', last: 'b' });
  const move: Compaction = { reason: 'size', level: 1, inputs: [table], overlaps: [], grandparents: [] };

  it('is one table with nothing to merge and little below', () => {
    expect(isTrivialMove(move, OPTIONS)).toBe(true);
    const many = Array.from({ length: 4 }, (_, at) => tableOf(at + 2, { first: 'a', last: 'a', fileBytes: 1000 }));
    expect(isTrivialMove({ ...move, grandparents: many }, OPTIONS)).toBe(false); // over ten tables of 300 bytes
    expect(isTrivialMove({ ...move, grandparents: many.slice(1) }, OPTIONS)).toBe(true);
    expect(isTrivialMove({ ...move, overlaps: [tableOf(9, { first: 'a', last: 'a' })] }, OPTIONS)).toBe(false);
    expect(isTrivialMove({ ...move, inputs: [table, tableOf(9, { first: 'c', last: 'd' })] }, OPTIONS)).toBe(false);
  });

  it('that a caller asked for happens only when there is surely nothing to drop', () => {
    expect(isTrivialMove({ ...move, reason: 'manual' }, OPTIONS)).toBe(false);
    const counted = (tombstoneCount: number): Compaction => ({
      ...move,
      reason: 'manual',
      inputs: [{ ...table, tombstoneCount }],
    });
    expect(isTrivialMove(counted(0), OPTIONS)).toBe(true);
    expect(isTrivialMove(counted(1), OPTIONS)).toBe(false);
  });

  it('takes out and puts in the same table, one level down', () => {
    expect(editOf(move, [table])).toEqual({
      deletedTables: [{ level: 1, fileNumber: 1 }],
      newTables: [{ level: 2, table }],
      compactionPointers: [{ level: 1, key: table.largest }],
    });
    expect(editOf({ ...move, level: 0 }, [table]).compactionPointers).toEqual([]);
  });
});

describe('a compaction of a range', () => {
  it('is of all level-0 tables at once, and of a run in bounded pieces', () => {
    const newTables = Array.from({ length: 60 }, (_, at) => {
      const key = String(at).padStart(2, '0');
      return { level: at < 5 ? 0 : 1, table: tableOf(at + 1, { first: key, last: `${key}z`, fileBytes: 300 }) };
    });
    const version = applied(newTables);
    const all = { start: undefined, end: undefined };
    expect(pickManual(version, 0, all, OPTIONS)?.inputs).toHaveLength(5);
    const piece = pickManual(version, 1, all, OPTIONS);
    expect(piece?.inputs).toHaveLength(25);
    expect(totalBytes(piece?.inputs ?? [])).toBe(7500);
    expect(pickManual(version, 2, all, OPTIONS)).toBeUndefined();
    const range = { start: bytesOf('07y'), end: bytesOf('09') };
    const few = pickManual(version, 1, range, OPTIONS);
    expect(few?.inputs.map(({ smallest }) => textOf(userKeyOf(smallest)))).toEqual(['07', '08', '09']);
    expect(pickManual(version, 1, { start: bytesOf('99'), end: undefined }, OPTIONS)).toBeUndefined();
  });
});
