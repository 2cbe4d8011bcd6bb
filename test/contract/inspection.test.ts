// Goal: what the contract tests rely on would see what it is there for: each invariant broken, each kind of wrong answer.
// Method: directories that are right but for one thing, and readings that are right but for one thing.
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../src/index.ts';
import { COMPARATOR_NAME } from '../../src/storage/codec/compare.ts';
import { encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import { encodeVersionEdit, type LeveledTable } from '../../src/storage/manifest/version-edit.ts';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { type Contents, contentsAfterKill, difference, type Reading, type Step } from '../support/history.ts';
import { batchOf, framed, joined } from '../support/log-bytes.ts';
import { bytesOf, textOf } from '../support/sorted-model.ts';
import { buildTable, type TableEntry } from '../support/table-entries.ts';
import { inspectTree } from '../support/tree-invariants.ts';

interface TablePlan {
  readonly level: number;
  readonly number: number;
  /** Keys and their sequence numbers. */
  readonly entries: readonly (readonly [key: string, sequence: number])[];
  readonly extraBytes?: number;
  readonly claimedBytes?: number;
  readonly smallest?: string;
  readonly largest?: string;
}

interface Plan {
  readonly tables: readonly TablePlan[];
  readonly lastSequence?: number;
  readonly nextFileNumber?: number;
  readonly log?: Uint8Array;
}

const RIGHT: readonly TablePlan[] = [
  { level: 0, number: 9, entries: [['b', 8]] },
  {
    level: 0,
    number: 7,
    entries: [
      ['a', 6],
      ['b', 7],
    ],
  },
  {
    level: 1,
    number: 5,
    entries: [
      ['a', 4],
      ['b', 5],
      ['b', 3],
    ],
  },
  { level: 1, number: 8, entries: [['c', 2]] },
];
const LOG = framed(batchOf(9));

async function directoryOf({
  tables,
  lastSequence = 8,
  nextFileNumber = 20,
  log = LOG,
}: Plan): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem();
  await fileSystem.makeDirectory('/db');
  const write = (name: string, bytes: Uint8Array): void => fileSystem.writeFileNow(`/db/${name}`, bytes);
  const newTables = tables.map((plan): LeveledTable => {
    const entries = plan.entries.map(([key, sequence]): TableEntry => {
      return { key: bytesOf(key), sequence, kind: KIND_SET, value: bytesOf('value') };
    });
    const options = { blockBytesMax: 4096, restartInterval: 16, compression: 'none', filterBitsPerKey: 10 } as const;
    const bytes = joined(buildTable(entries, options), new Uint8Array(plan.extraBytes ?? 0));
    write(`00000${plan.number}.ldb`, bytes);
    const [first, last] = [entries[0], entries.at(-1)];
    const bound = (entry: typeof first, key: string | undefined): Uint8Array =>
      encodeInternalKey(key === undefined ? (entry?.key ?? bytesOf('')) : bytesOf(key), entry?.sequence ?? 0, KIND_SET);
    const table = {
      fileNumber: plan.number,
      fileBytes: plan.claimedBytes ?? bytes.length,
      smallest: bound(first, plan.smallest),
      largest: bound(last, plan.largest),
    };
    return { level: plan.level, table };
  });
  const counters = { logNumber: 10, nextFileNumber, lastSequence };
  write('MANIFEST-000011', framed(encodeVersionEdit({ comparator: COMPARATOR_NAME, ...counters, newTables })));
  write('CURRENT', bytesOf('MANIFEST-000011\n'));
  write('000010.log', log);
  return fileSystem;
}

const inspected = async (plan: Plan) => inspectTree(await directoryOf(plan), '/db');

/** The right tables with one of them changed. */
const changed = (number: number, change: Partial<TablePlan>): Plan => ({
  tables: RIGHT.map((table) => (table.number === number ? { ...table, ...change } : table)),
});

describe('the inspection of a directory', () => {
  it('finds nothing where nothing is wrong, and counts', async () => {
    const fileSystem = await directoryOf({ tables: RIGHT });
    for (const name of ['000003.ldb', '000004.log', 'MANIFEST-000002', '000012.dbtmp', 'other']) {
      fileSystem.writeFileNow(`/db/${name}`, new Uint8Array(0));
    }
    expect(await inspectTree(fileSystem, '/db')).toEqual({
      violations: [],
      tablesOfLevels: [2, 2, 0, 0, 0, 0, 0],
      entryCount: 7,
      tombstoneCount: 0,
      strays: ['000003.ldb', '000004.log', '000012.dbtmp', 'MANIFEST-000002'],
    });
  });

  it.each<[string, RegExp, Plan]>([
    ['a user key split over two tables', /^I1: table 8 of level 1/, changed(8, { entries: [['b', 2]] })],
    ['bounds that overlap', /^I1: table 8 of level 1/, changed(8, { smallest: 'aa' })],
    ['older data above newer', /^I2: level 1/, { ...changed(8, { entries: [['a', 9]] }), lastSequence: 9 }],
    ['level-0 numbers in the wrong order', /^I2: table 7 of level 0/, changed(9, { entries: [['b', 5]] })],
    ['a last sequence that is too low', /^I3: table 9 of level 0/, { tables: RIGHT, lastSequence: 7 }],
    ['a table with a number to come', /^I4: table 9 of level 0/, { tables: RIGHT, nextFileNumber: 9 }],
    ['a MANIFEST with a number to come', /^I4: file 11/, { tables: RIGHT, nextFileNumber: 11 }],
    ['another size', /^I5: table 8 of level 1 has/, changed(8, { claimedBytes: 7 })],
    ['another smallest key', /^I5: table 9 of level 0 begins/, changed(9, { smallest: 'a' })],
    ['another largest key', /^I5: table 9 of level 0 ends/, changed(9, { largest: 'bb' })],
    ['a log fragment of type 5', /^I6: 000010.log/, { tables: RIGHT, log: LOG.with(6, 5) }],
    ['bytes behind the footer', /^I7: table 8 of level 1/, changed(8, { extraBytes: 3 })],
  ])('finds %s', async (_what, expected, plan) => {
    const { violations } = await inspected(plan);
    expect(violations).toContainEqual(expect.stringMatching(expected));
  });
});

const contents: Contents = new Map(['a', 'b', '\xff'].map((key) => [key, bytesOf(`value of ${key}`)]));
const probes = ['a', 'b', '\xff', 'absent'].map(bytesOf);
const entries = [...contents].map(([key, value]) => [bytesOf(key), value] as const);
const RIGHT_READING: Reading = {
  forwards: entries,
  backwards: entries.toReversed(),
  gets: probes.map((key) => contents.get(textOf(key))),
};

describe('the comparison of what was read', () => {
  it('finds nothing where nothing is wrong', () => {
    expect(difference(contents, RIGHT_READING, probes)).toBeUndefined();
  });

  it.each<[string, Partial<Reading>]>([
    ['an entry that is missing at the end', { forwards: entries.slice(0, 2) }],
    ['an entry that is missing at the beginning', { backwards: entries.slice(1).toReversed() }],
    ['an entry too many', { forwards: [...entries, [bytesOf('\xff\xff'), bytesOf('')]] }],
    ['an entry twice', { backwards: [...entries, ...entries.slice(0, 1)].toReversed() }],
    ['another value', { forwards: entries.map(([key], index) => [key, bytesOf(String(index))]) }],
    ['an order upside down', { backwards: entries }],
    ['a get that finds nothing', { gets: probes.map(() => undefined) }],
    ['a get of what is not there', { gets: probes.map((key) => contents.get(textOf(key)) ?? bytesOf('')) }],
    ['an answer too few', { gets: RIGHT_READING.gets.slice(1) }],
  ])('finds %s', (_what, wrong) => {
    expect(difference(contents, { ...RIGHT_READING, ...wrong }, probes)).toBeTypeOf('string');
  });
});

describe('what a killed engine left', () => {
  const set = (key: string, value: string) => ({ type: 'set', key: bytesOf(key), value: bytesOf(value) }) as const;
  const write = (...operations: ReturnType<typeof set>[]): Step => ({ type: 'write', operations, isSynced: false });
  const steps = [write(set('a', '1')), write(set('a', '2'), set('b', '2')), write(set('c', '3')), write(set('a', '4'))];
  const after = (acknowledged: number, found: Record<string, string>): number => {
    const forwards = Object.entries(found).map(([key, value]) => [bytesOf(key), bytesOf(value)] as const);
    return contentsAfterKill(new Map(), steps, acknowledged, { forwards, backwards: [], gets: [] }).stepCount;
  };

  it('is the contents after some step from the acknowledged one on', () => {
    expect(after(-1, {})).toBe(0);
    expect(after(0, { a: '1' })).toBe(1);
    expect(after(0, { a: '2', b: '2', c: '3' })).toBe(3);
    expect(after(3, { a: '4', b: '2', c: '3' })).toBe(4);
  });

  it.each<[string, number, Record<string, string>]>([
    ['an acknowledged step lost', 1, { a: '1' }],
    ['half of a batch', 0, { a: '2' }],
    ['a step left out', 0, { a: '1', c: '3' }],
    ['a key from nowhere', 3, { a: '4', b: '2', c: '3', d: '' }],
  ])('is not %s', (_what, acknowledged, found) => {
    expect(() => after(acknowledged, found)).toThrow('acknowledged steps');
  });
});
