// Goal: `verify` says of a table whose checksums are right what in it is other than a writer would write it.
// Method: tables made block by block, each wrong in one way; whole ones beside them show nothing.
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../src/index.ts';
import { bloomHash } from '../../src/storage/codec/bloom.ts';
import { crc32c } from '../../src/storage/codec/crc32c.ts';
import { KIND_DELETE, SEQUENCE_MAX } from '../../src/storage/read/internal-iterator.ts';
import { FilterBuilder } from '../../src/storage/table/filter-block.ts';
import { encodeProperties } from '../../src/storage/table/table-properties.ts';
import { VerifyContext } from '../../src/storage/verify/verify-context.ts';
import { type CheckedTable, type ExpectedTable, verifyTable } from '../../src/storage/verify/verify-table.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { internal, rawBlock, type RawTable, rawTable } from '../support/raw-table.ts';
import { bytesOf } from '../support/sorted-model.ts';

const NAME = '000005.ldb';
const PROPERTIES = 'alluvium.properties';
const FILTER = 'filter.leveldb.BuiltinBloomFilter2';
const AB = rawBlock([{ rest: internal('a', 2) }, { rest: internal('b', 1) }]);
const WHOLE: RawTable = { data: [AB], separators: [internal('b', 1)] };
const PROPERTIES_OF_AB = { entryCount: 2, tombstoneCount: 0, smallestSequence: 1, largestSequence: 2 };

interface Checked extends CheckedTable {
  readonly findings: readonly string[];
}

async function check(
  table: RawTable | Uint8Array,
  expected?: ExpectedTable,
  change: (fileSystem: FaultFileSystem) => void = () => undefined,
): Promise<Checked> {
  const memory = new MemoryFileSystem();
  await memory.makeDirectory('/db');
  memory.writeFileNow(`/db/${NAME}`, table instanceof Uint8Array ? table : rawTable(table));
  const fileSystem = new FaultFileSystem(memory);
  change(fileSystem);
  const context = new VerifyContext('/db', {
    fileSystem,
    yieldTurn: () => Promise.resolve(),
    onProgress: undefined,
    signal: undefined,
    findingsMax: 100,
  });
  const checked = await verifyTable(context, NAME, expected);
  expect(fileSystem.openPaths).toEqual([]);
  return { ...checked, findings: context.list.findings.map(({ code, reason }) => `${code}: ${reason}`) };
}

function filterOf(...keys: string[]): Uint8Array {
  const filter = new FilterBuilder(10);
  for (const key of keys) filter.add(bloomHash(bytesOf(key), 0, key.length));
  return filter.finish();
}

/** One data block; its separator is behind all keys. */
const around = (block: Uint8Array): RawTable => ({ data: [block], separators: [internal('zz', 1)] });

describe('a table that is whole', () => {
  it('shows nothing, and is told with its first and last key', async () => {
    expect(await check(WHOLE)).toEqual({
      findings: [],
      isReadable: true,
      entries: 2,
      largestSequence: 2,
      smallest: internal('a', 2),
      largest: internal('b', 1),
    });
  });

  it('may have keys of any length, a filter, properties, and blocks that we do not know', async () => {
    const keys = ['a', 'k'.repeat(300), 'l'.repeat(900)];
    const { findings } = await check({
      ...around(rawBlock(keys.map((key) => ({ rest: internal(key, 1) })))),
      named: [
        [PROPERTIES, encodeProperties({ ...PROPERTIES_OF_AB, entryCount: 3, largestSequence: 1 })],
        [FILTER, filterOf(...keys)],
        ['from.the.future', bytesOf('whatever')],
      ],
    });
    expect(findings).toEqual([]);
  });
});

describe('a data block', () => {
  it.each<[string, Uint8Array]>([
    ['damaged: data block holds no entry', rawBlock([])],
    ['damaged: key is too short for its tag', rawBlock([{ rest: bytesOf('a') }])],
    ['damaged: key is of a kind that is neither set nor delete', rawBlock([{ rest: internal('a', 1).with(1, 2) }])],
    ['damaged: sequence number exceeds 2^53 - 1', rawBlock([{ rest: internal('a', SEQUENCE_MAX).with(8, 0xff) }])],
    ['order: keys do not ascend', rawBlock([{ rest: internal('b', 1) }, { rest: internal('a', 2) }])],
    ['order: keys do not ascend', rawBlock([{ rest: internal('a', 1) }, { rest: internal('a', 2) }])],
    [
      'damaged: a restart points into the middle of an entry',
      rawBlock([{ rest: internal('a', 1) }, { rest: internal('b', 1) }, { rest: internal('c', 1) }], [0, 5]),
    ],
    [
      'damaged: entry at a restart has no whole key',
      rawBlock([{ rest: internal('aa', 1) }, { shared: 1, rest: internal('b', 1) }], [0, 13]),
    ],
    ['damaged: a restart points to no entry', rawBlock([{ rest: internal('a', 1) }], [0, 5])],
  ])('is told: %s', async (finding, block) => {
    const { findings, isReadable } = await check(around(block));
    expect(findings).toEqual([finding]);
    expect(isReadable).toBe(false);
  });

  it('is told if it has a key of the block before, or of the block behind', async () => {
    const blocks = { data: [AB, rawBlock([{ rest: internal('c', 1) }])] };
    expect((await check({ ...blocks, separators: [internal('b', 1), internal('c', 1)] })).findings).toEqual([]);
    expect((await check({ ...blocks, separators: [internal('c', 1), internal('d', 1)] })).findings).toEqual([
      'order: a block begins with a key that belongs into an earlier one',
    ]);
    expect((await check({ ...blocks, separators: [internal('a', 1), internal('c', 1)] })).findings).toEqual([
      'order: a block ends with a key that belongs into a later one',
    ]);
  });
});

describe('what lies behind the data', () => {
  it('is told if the filter leaves out a key', async () => {
    const { findings, isReadable } = await check({ ...WHOLE, named: [[FILTER, filterOf('a')]] });
    expect(findings).toEqual(['filter: the filter leaves a key out, so that a read does not find it']);
    expect(isReadable).toBe(false);
  });

  it('is told if its filter or its properties cannot be read; what is behind a bad checksum hides no data', async () => {
    expect((await check({ ...WHOLE, named: [[FILTER, bytesOf('none')]] })).findings).toEqual([
      'damaged: filter block is too short',
    ]);
    expect((await check({ ...WHOLE, named: [[PROPERTIES, bytesOf('none')]] })).findings[0]).toMatch(/^damaged/);
    const bytes = rawTable({ ...WHOLE, named: [[FILTER, filterOf('a', 'b')]] });
    const filterAt = AB.length + 5;
    bytes[filterAt] = (bytes[filterAt] ?? 0) ^ 1;
    const { findings, isReadable, entries } = await check(bytes);
    expect(findings).toEqual(['damaged: checksum of a block does not match, also when read again']);
    expect(isReadable).toBe(false);
    expect(entries).toBe(2);
  });

  it.each([{ entryCount: 3 }, { tombstoneCount: 1 }, { smallestSequence: 0 }, { largestSequence: 9 }])(
    'is told if its properties are not what is in it: %j',
    async (wrong) => {
      const named = (properties: typeof PROPERTIES_OF_AB) => [[PROPERTIES, encodeProperties(properties)] as const];
      expect((await check({ ...WHOLE, named: named(PROPERTIES_OF_AB) })).findings).toEqual([]);
      const { findings, isReadable } = await check({ ...WHOLE, named: named({ ...PROPERTIES_OF_AB, ...wrong }) });
      expect(findings).toEqual(['properties: its properties are not what is in it']);
      expect(isReadable).toBe(true); // they are hints
    },
  );

  it('is counted with its tombstones, and needs no properties that are complete', async () => {
    const block = rawBlock([{ rest: internal('a', 2, KIND_DELETE) }, { rest: internal('b', 1) }]);
    const named = [[PROPERTIES, encodeProperties({ ...PROPERTIES_OF_AB, tombstoneCount: 1 })]] as const;
    expect((await check({ ...WHOLE, data: [block], named })).findings).toEqual([]);
    const partly = rawBlock([{ rest: bytesOf('entries'), value: Uint8Array.of(77) }]);
    expect((await check({ ...WHOLE, named: [[PROPERTIES, partly]] })).findings).toEqual([]);
    const without = rawBlock([
      { rest: bytesOf('entries'), value: Uint8Array.of(77) },
      { rest: bytesOf('tombstones'), value: Uint8Array.of(77) },
    ]);
    expect((await check({ ...WHOLE, named: [[PROPERTIES, without]] })).findings).toEqual([]);
  });

  it('is told if it is another table, or has the index of another one', async () => {
    const named = (more: { tableNumber?: number; indexChecksum?: number }) =>
      [[PROPERTIES, encodeProperties({ ...PROPERTIES_OF_AB, ...more })]] as const;
    expect((await check({ ...WHOLE, named: named({ tableNumber: 5 }) })).findings).toEqual([]);
    expect((await check({ ...WHOLE, named: named({ tableNumber: 6 }) })).findings).toEqual([
      'bounds: it is table 6, in the place of another one',
    ]);
    const other = await check({ ...WHOLE, named: named({ indexChecksum: crc32c(AB, 0, AB.length) }) });
    expect(other.findings).toEqual(['damaged: another index is in the place of this one']);
    expect(other.isReadable).toBe(false);
  });

  it('is told if bytes of the file belong to no block, or to two', async () => {
    expect((await check({ ...WHOLE, between: new Uint8Array(3) })).findings).toEqual([
      'gap: 3 bytes belong to no block',
    ]);
    const twice = await check({
      ...WHOLE,
      named: [
        [FILTER, filterOf('a', 'b')],
        ['filter.other', 'same'],
      ],
    });
    expect(twice.findings).toEqual(['gap: two blocks of the table overlap']);
  });

  it('is told if it holds nothing at all', async () => {
    const { findings, largest } = await check({ data: [], separators: [] });
    expect(findings).toEqual(['bounds: the table holds no entry']);
    expect(largest).toEqual(new Uint8Array(0));
  });

  it('is told if its index is of keys that are none', async () => {
    const { findings, isReadable } = await check({ data: [AB], separators: [bytesOf('b')] });
    expect(findings).toEqual(['damaged: key in the index is too short for its tag']);
    expect(isReadable).toBe(false);
  });
});

describe('a file', () => {
  it('is read once more where the first answer was wrong, and found whole', async () => {
    let isSpoilt = false;
    const spoil = (fileSystem: FaultFileSystem): void => {
      const openForRead = fileSystem.openForRead.bind(fileSystem);
      fileSystem.openForRead = async (path) => {
        const file = await openForRead(path);
        return {
          path: file.path,
          size: () => file.size(),
          read: async (into, position) => {
            const count = await file.read(into, position);
            if (position === 0 && !isSpoilt) {
              into[0] = (into[0] ?? 0) ^ 1;
              isSpoilt = true;
            }
            return count;
          },
          close: () => file.close(),
        };
      };
    };
    const { findings, isReadable, entries } = await check(WHOLE, undefined, spoil);
    expect([findings, isReadable, entries, isSpoilt]).toEqual([[], true, 2, true]);
  });

  it('is told if it is too short, cannot be read, or is not as long as the manifest says', async () => {
    expect((await check(new Uint8Array(7))).findings).toEqual(['damaged: 7 bytes are too few for a table']);
    expect((await check(new Uint8Array(100))).findings[0]).toMatch(/^damaged: not a table/);
    const bounds = { smallest: internal('a', 2), largest: internal('b', 1), lastSequence: 2 };
    const fileBytes = rawTable(WHOLE).length;
    expect((await check(WHOLE, { ...bounds, fileBytes })).findings).toEqual([]);
    expect((await check(WHOLE, { ...bounds, fileBytes: 900 })).findings).toEqual([
      `size: the file has ${fileBytes} bytes, and the manifest says 900`,
    ]);
    const early = { ...bounds, fileBytes, smallest: internal('A', 2) };
    expect((await check(WHOLE, early)).findings).toEqual([
      'bounds: it does not begin with the key that the manifest says',
    ]);
    const late = { ...bounds, fileBytes, largest: internal('b', 0) };
    expect((await check(WHOLE, late)).findings).toEqual([
      'bounds: it does not end with the key that the manifest says',
    ]);
    const tooNew = await check(WHOLE, { ...bounds, fileBytes, lastSequence: 1 });
    expect(tooNew.findings).toEqual(["sequence: it has sequence number 2, and the manifest's last is 1"]);
    expect(tooNew.isReadable).toBe(true);
    for (const call of ['read', 'size'] as const) {
      const { findings, isReadable } = await check(WHOLE, undefined, (fileSystem) => {
        fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => name === call };
      });
      expect(findings).toEqual([`unreadable: ${call} failed with EIO`]);
      expect(isReadable).toBe(false);
    }
  });
});
