// Goal: no edit, however wrong, makes a version that a reader could read wrongly; and no table that may matter is left out.
import * as E from 'fp-ts/lib/Either.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareUserKeys,
  isOverlapping,
  rangeOf,
  type TableMeta,
  userKeyOf,
} from '../../../src/storage/manifest/table-meta.ts';
import { Version } from '../../../src/storage/manifest/version.ts';
import type { VersionEdit } from '../../../src/storage/manifest/version-edit.ts';
import { runsOf } from '../../support/runs.ts';
import { bytesOf } from '../../support/sorted-model.ts';
import { fileNumbersOf, shortKey, tableOf } from '../../support/tables.ts';

function applied(edit: VersionEdit, version: Version = Version.empty): Version {
  const next = version.apply(edit);
  if (E.isLeft(next)) throw new Error(next.left);
  return next.right;
}

const refusal = (edit: VersionEdit, version: Version = Version.empty): string =>
  E.match(
    (reason: string) => reason,
    () => 'it was applied',
  )(version.apply(edit));

const adds = (level: number, ...tables: readonly TableMeta[]): VersionEdit => ({
  newTables: tables.map((table) => ({ level, table })),
});

describe('an edit', () => {
  it('sorts level 0 by age and the others by key, and leaves the old version as it was', () => {
    const old = applied(adds(0, tableOf(5, { first: 'a', last: 'z' })));
    const edit = {
      newTables: [
        { level: 0, table: tableOf(9, { first: 'm', last: 'n', fileBytes: 10 }) },
        { level: 0, table: tableOf(7, { first: 'b', last: 'y' }) },
        { level: 2, table: tableOf(6, { first: 'x', last: 'y' }) },
        { level: 2, table: tableOf(8, { first: 'a', last: 'c' }) },
      ],
    };
    const version = applied(edit, old);
    expect(version.levels.map(fileNumbersOf)).toEqual([[9, 7, 5], [], [8, 6], [], [], [], []]);
    expect(version.levels.map((_, level) => version.levelBytes(level))).toEqual([2010, 0, 2000, 0, 0, 0, 0]);
    expect(version.deepestLevel).toBe(2);
    expect(old.levels.map(fileNumbersOf)).toEqual([[5], [], [], [], [], [], []]);
    expect(Version.empty.deepestLevel).toBe(0);
  });

  it('moves a table from one level to the next', () => {
    const table = tableOf(5, { first: 'a', last: 'b' });
    const version = applied(adds(1, table));
    const moved = applied({ deletedTables: [{ level: 1, fileNumber: 5 }], ...adds(2, table) }, version);
    expect(moved.levels.map(fileNumbersOf)).toEqual([[], [], [5], [], [], [], []]);
  });

  const version = applied({
    newTables: [
      { level: 0, table: tableOf(4, { first: 'a', last: 'z' }) },
      { level: 1, table: tableOf(5, { first: 'd', last: 'f' }) },
    ],
  });

  it.each<[string, VersionEdit, RegExp]>([
    ['deletes what is not there', { deletedTables: [{ level: 1, fileNumber: 6 }] }, /6 is not in level 1/],
    ['deletes from the wrong level', { deletedTables: [{ level: 2, fileNumber: 5 }] }, /5 is not in level 2/],
    ['deletes twice', { deletedTables: [5, 5].map((fileNumber) => ({ level: 1, fileNumber })) }, /not in level/],
    ['adds a number that its level has', adds(0, tableOf(4, { first: 'x', last: 'y' })), /4 is there twice/],
    ['adds a number that another level has', adds(3, tableOf(5, { first: 'x', last: 'y' })), /5 is there twice/],
    [
      'adds one number twice',
      adds(3, tableOf(6, { first: 'a', last: 'b' }), tableOf(6, { first: 'c', last: 'd' })),
      /6 is there twice/,
    ],
    ['adds a table that begins behind its end', adds(0, tableOf(6, { first: 'b', last: 'a' })), /begins behind/],
    [
      'adds a table whose versions are in the wrong order',
      adds(0, tableOf(6, { first: 'a', last: 'a', firstSequence: 1, lastSequence: 2 })),
      /begins behind/,
    ],
    ['overlaps at the left', adds(1, tableOf(6, { first: 'a', last: 'dd' })), /5 and 6|6 and 5/],
    ['overlaps at the right', adds(1, tableOf(6, { first: 'e', last: 'z' })), /5 and 6|6 and 5/],
    ['lies within', adds(1, tableOf(6, { first: 'e', last: 'e' })), /5 and 6|6 and 5/],
    ['contains', adds(1, tableOf(6, { first: 'a', last: 'z' })), /5 and 6|6 and 5/],
    [
      'shares its first key with the last one of another, in the wrong order',
      adds(1, tableOf(6, { first: 'f', last: 'g', firstSequence: 9, lastSequence: 1 })),
      /5 and 6|6 and 5/,
    ],
    [
      'shares a key at the same sequence number',
      adds(1, tableOf(6, { first: 'f', last: 'g', firstSequence: 1 })),
      /overlap/,
    ],
  ])('that %s is refused', (_what, edit, reason) => {
    expect(refusal(edit, version)).toMatch(reason);
  });

  it('may split a user key over two tables, newer part first, as real LevelDB does', () => {
    const left = tableOf(6, { first: 'a', last: 'k', lastSequence: 7 });
    const right = tableOf(7, { first: 'k', last: 'p', firstSequence: 6 });
    const split = applied(adds(2, right, left));
    expect(fileNumbersOf(split.tables(2))).toEqual([6, 7]);
    const find = (sequence: number) => split.tableFor(2, bytesOf('k'), 0, 1, sequence)?.fileNumber;
    expect([9, 7, 6, 1].map(find)).toEqual([6, 6, 7, 7]);
  });
});

describe('the table of a run for a key, as of a moment', () => {
  it('is found by the key, whatever younger entries of other keys it holds', () => {
    const version = applied(
      adds(
        2,
        tableOf(6, { first: 'a', last: 'k', firstSequence: 90, lastSequence: 80 }),
        tableOf(7, { first: 'm', last: 'p', firstSequence: 95, lastSequence: 85 }),
      ),
    );
    const found = ['a', 'i', 'k', 'm', 'p'].map((key) => version.tableFor(2, bytesOf(key), 0, 1, 10)?.fileNumber);
    // Only of 'k' and 'p' themselves all entries in the table are known to be younger.
    expect(found).toEqual([6, 6, 7, 7, undefined]);
  });
});

describe('the tables that overlap a range', () => {
  it('of level 0 are all those that are connected by others', () => {
    const tables = [
      tableOf(1, { first: 'a', last: 'c' }),
      tableOf(2, { first: 'c', last: 'e' }),
      tableOf(3, { first: 'e', last: 'g' }),
      tableOf(4, { first: 'h', last: 'k' }),
      tableOf(5, { first: 'j', last: 'z' }),
    ];
    const version = applied(adds(0, ...tables));
    const found = (start: string | undefined, end: string | undefined): number[] =>
      fileNumbersOf(
        version.overlapping(0, {
          start: start === undefined ? undefined : bytesOf(start),
          end: end === undefined ? undefined : bytesOf(end),
        }),
      );
    expect(found('a', 'a')).toEqual([3, 2, 1]);
    expect(found('g', 'gz')).toEqual([3, 2, 1]);
    expect(found('ga', 'gz')).toEqual([]);
    expect(found('k', 'z')).toEqual([5, 4]);
    expect(found(undefined, 'A')).toEqual([]);
    expect(found('zz', undefined)).toEqual([]);
    expect(found(undefined, undefined)).toEqual([5, 4, 3, 2, 1]);
  });

  it('of a run are both parts of a user key that is split', () => {
    const version = applied(
      adds(
        1,
        tableOf(6, { first: 'a', last: 'k', lastSequence: 7 }),
        tableOf(7, { first: 'k', last: 'k', firstSequence: 6, lastSequence: 4 }),
        tableOf(8, { first: 'k', last: 'p', firstSequence: 3 }),
        tableOf(9, { first: 'q', last: 'r' }),
      ),
    );
    const range = { start: bytesOf('a'), end: bytesOf('b') };
    expect(fileNumbersOf(version.overlapping(1, range))).toEqual([6, 7, 8]);
  });

  it('are closed: none that is left out touches the range or one that is in', () => {
    const bounds = fc.tuple(shortKey, shortKey).map((keys) => keys.sort());
    fc.assert(
      fc.property(fc.array(bounds, { maxLength: 12 }), bounds, (ranges, [start, end]) => {
        const tables = ranges.map(([first, last], index) => tableOf(index + 1, { first, last }));
        const version = applied(adds(0, ...tables));
        const range = { start: bytesOf(start), end: bytesOf(end) };
        const found = version.overlapping(0, range);
        const isTouching = (table: TableMeta, other: TableMeta): boolean =>
          isOverlapping(table, { start: userKeyOf(other.smallest), end: userKeyOf(other.largest) });
        for (const table of version.tables(0)) {
          if (found.includes(table)) continue;
          expect(isOverlapping(table, range)).toBe(false);
          expect(found.some((other) => isTouching(table, other))).toBe(false);
        }
        // And no more than that: each one in hangs on the range.
        let reached = found.filter((table) => isOverlapping(table, range));
        for (let before = -1; before !== reached.length;) {
          before = reached.length;
          reached = found.filter((table) => reached.some((other) => isTouching(table, other)));
        }
        expect(reached).toHaveLength(found.length);
      }),
      runsOf(200),
    );
  });
});

describe('the table of a run for a key', () => {
  it('is the one whose bounds hold it', () => {
    fc.assert(
      fc.property(fc.uniqueArray(shortKey, { maxLength: 12 }), shortKey, (keys, wanted) => {
        keys.sort();
        const tables: TableMeta[] = [];
        for (let index = 0; index + 1 < keys.length; index += 2) {
          tables.push(tableOf(index + 1, { first: keys[index] ?? '', last: keys[index + 1] ?? '' }));
        }
        const key = bytesOf(wanted);
        const found = applied(adds(3, ...tables)).tableFor(3, key, 0, key.length, 100);
        const expected = tables.find(
          ({ smallest, largest }) =>
            compareUserKeys(userKeyOf(smallest), key) <= 0 && compareUserKeys(userKeyOf(largest), key) >= 0,
        );
        if (expected !== undefined) expect(found).toBe(expected);
        // Else it is one that cannot have it, or none.
        else if (found !== undefined) expect(compareUserKeys(userKeyOf(found.smallest), key)).toBeGreaterThan(0);
      }),
      runsOf(200),
    );
  });
});

it('a level that there is not has no tables, and no tables have no range', () => {
  for (const level of [-1, 7]) {
    expect(Version.empty.tables(level)).toEqual([]);
    expect(Version.empty.levelBytes(level)).toBe(0);
  }
  expect(() => rangeOf([])).toThrow('no table');
});
