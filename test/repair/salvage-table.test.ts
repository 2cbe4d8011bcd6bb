// Goal: of a damaged table every block is taken that can be read and fits, and of each other one it is told why and between
// which keys it lay. Method: tables made block by block, each wrong in one way, with their index and without.
import { describe, expect, it } from 'vitest';
import { IoError } from '../../src/errors.ts';
import { KIND_DELETE, SEQUENCE_MAX } from '../../src/storage/read/internal-iterator.ts';
import { LossList } from '../../src/storage/repair/repair-report.ts';
import { salvageTable } from '../../src/storage/repair/salvage-table.ts';
import { FilterBuilder } from '../../src/storage/table/filter-block.ts';
import { MemoryReadableFile } from '../support/memory-files.ts';
import { internal, rawBlock, type RawTable, rawTable } from '../support/raw-table.ts';
import { bytesOf, textOf } from '../support/sorted-model.ts';

const NAME = '000005.ldb';
const [A, B, C] = ['a', 'b', 'c'].map((key, index) => rawBlock([{ rest: internal(key, index + 1) }])) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const SEPARATORS = ['a', 'b', 'c'].map((key) => internal(key, 0));
const STORED_BYTES = A.length + 5;

function filterOf(hash: number): Uint8Array {
  const filter = new FilterBuilder(10);
  filter.add(hash);
  return filter.finish();
}

async function salvaged(bytes: Uint8Array, file = new MemoryReadableFile(bytes, NAME)) {
  const losses = new LossList();
  const table = await salvageTable({ file, name: NAME }, { turn: () => Promise.resolve(), losses });
  const lost = losses.losses.map(({ offset, endOffset, reason, firstKey, lastKey }) => ({
    from: offset,
    to: endOffset,
    reason,
    between: [firstKey, lastKey].map((key) => (key === undefined ? undefined : textOf(key))),
  }));
  return { ...table, lost };
}
/** What every table of ours has behind its data. */
const named = [['filter.leveldb.BuiltinBloomFilter2', filterOf(7)]] as const;
const withoutFooter = (table: RawTable): Uint8Array => rawTable({ named, ...table }).slice(0, -48);

/** Blocks that stand between A and C and are not to be taken. */
const UNFIT: readonly (readonly [reason: string, block: Uint8Array])[] = [
  ['a key is too short for its tag', rawBlock([{ rest: bytesOf('b') }])],
  ['a key has no good tag', rawBlock([{ rest: internal('b', 1).with(1, 2) }])],
  ['a key has no good tag', rawBlock([{ rest: internal('b', SEQUENCE_MAX).with(8, 0xff) }])],
  ['its keys are not in order', rawBlock([{ rest: internal('a', 2) }])],
  ['its keys are not in order', rawBlock([{ rest: internal('b', 1) }, { rest: internal('b', 2) }])],
  ['restarts of a block do not ascend from 0', rawBlock([{ rest: internal('b', 1) }], [3])],
  ['entry shares more bytes than the key before it has', rawBlock([{ shared: 1, rest: internal('b', 1) }])],
];

describe('with its index', () => {
  it('a whole table is taken with all of its blocks', async () => {
    const deleted = rawBlock([{ rest: internal('d', 9, KIND_DELETE) }]);
    const data = [A, B, C, deleted];
    expect(await salvaged(rawTable({ data, separators: [...SEPARATORS, internal('d', 0)] }))).toMatchObject({
      hasIndex: true,
      entries: 4,
      largestSequence: 9,
      smallest: internal('a', 1),
      largest: internal('d', 9, KIND_DELETE),
      lost: [],
    });
  });

  it.each([...UNFIT, ['it holds no entry', rawBlock([])] as const])(
    'a block is left out and told with its bounds: %s',
    async (reason, block) => {
      const { blocks, entries, lost } = await salvaged(rawTable({ data: [A, block, C], separators: SEPARATORS }));
      expect(lost).toEqual([{ from: STORED_BYTES, to: STORED_BYTES + block.length + 5, reason, between: ['a', 'b'] }]);
      expect([blocks.length, entries]).toEqual([2, 2]);
    },
  );

  it('the first block has no lower bound', async () => {
    const { lost, smallest } = await salvaged(rawTable({ data: [rawBlock([]), B], separators: SEPARATORS }));
    expect(lost.map(({ between }) => between)).toEqual([[undefined, 'a']]);
    expect(smallest).toEqual(internal('b', 2));
  });

  it('a table of which nothing can be read has no keys', async () => {
    const { smallest, largest, entries } = await salvaged(rawTable({ data: [rawBlock([])], separators: SEPARATORS }));
    expect([smallest, largest, entries]).toEqual([undefined, undefined, 0]);
  });

  it.each(['its index', 'a block'])(
    'the failure of a disk is no damage: a read of %s that fails is an error',
    async (what) => {
      const bytes = rawTable({ data: [A, B], separators: SEPARATORS });
      const file = new MemoryReadableFile(bytes, NAME);
      file.beforeRead = (position) => {
        if (what === 'a block' ? position === 0 : position > 2 * STORED_BYTES)
          throw new IoError('read', NAME, 'EIO', 'failed');
        return undefined;
      };
      await expect(salvaged(bytes, file)).rejects.toMatchObject({ code: 'IO', systemCode: 'EIO' });
    },
  );
});

describe('without its index', () => {
  it.each<[string, readonly Uint8Array[]]>([
    ['whose separators are none', [bytesOf('a'), bytesOf('b'), bytesOf('c')]],
    ['that is none', [internal('a', 0)]],
  ])('a table with an index %s is gone through block by block', async (_, separators) => {
    const { hasIndex, entries, lost } = await salvaged(rawTable({ data: [A, B, C], separators, named }));
    expect([hasIndex, entries, lost]).toEqual([false, 3, []]);
  });

  it.each(UNFIT)('a block is left out and told by its place: %s', async (reason, block) => {
    const bytes = withoutFooter({ data: [A, block, C], separators: SEPARATORS });
    const { blocks, entries, hasIndex, lost } = await salvaged(bytes);
    expect(lost[0]).toMatchObject({ from: STORED_BYTES, to: STORED_BYTES + block.length + 5, reason });
    expect([blocks.length, entries, hasIndex]).toEqual([2, 2, false]);
  });

  it('what lies behind the data is known by its form, and ends the search', async () => {
    const properties = rawBlock([{ rest: bytesOf('entries'), value: Uint8Array.of(3) }]);
    // Without a name that is known, the block of names is told as one that is of no use.
    const cases = [
      [[], ['it holds no entry']],
      [named, []],
      [[['alluvium.properties', properties]], []],
      [[['unknown', C]], ['its keys are not in order', 'a key is too short for its tag']],
    ] as const;
    for (const [names, told] of cases) {
      const { entries, lost } = await salvaged(
        withoutFooter({ data: [A, B, C], separators: SEPARATORS, named: names }),
      );
      expect([entries, lost.map(({ reason }) => reason)]).toEqual([3, told]);
    }
  });

  it('entries that only look like places of blocks are data', async () => {
    const places = rawBlock([
      { rest: internal('b', 1), value: Uint8Array.of(0, 3) },
      { rest: internal('bb', 1), value: Uint8Array.of(9, 3) },
    ]);
    const { entries, lost } = await salvaged(withoutFooter({ data: [A, places, C], separators: SEPARATORS }));
    expect([entries, lost]).toEqual([4, []]);
  });

  it('a table that ends behind its data has lost nobody knows what', async () => {
    const bytes = rawTable({ data: [A, B], separators: SEPARATORS }).slice(0, 2 * STORED_BYTES);
    const { entries, lost } = await salvaged(bytes);
    expect(entries).toBe(2);
    expect(lost).toEqual([
      {
        from: bytes.length,
        to: undefined,
        reason: 'no block can be read here, and the index is lost',
        between: ['b', undefined],
      },
    ]);
  });

  it('the failure of a disk is no damage, either', async () => {
    const bytes = withoutFooter({ data: [A, B, C], separators: SEPARATORS });
    const file = new MemoryReadableFile(bytes, NAME);
    file.beforeRead = (position, length) => {
      if (position === STORED_BYTES && length === STORED_BYTES) throw new IoError('read', NAME, 'EIO', 'failed');
      return undefined;
    };
    await expect(salvaged(bytes, file)).rejects.toMatchObject({ code: 'IO', systemCode: 'EIO' });
  });

  it('a hole lies between the keys around it', async () => {
    const bytes = withoutFooter({ data: [A, B, C], separators: SEPARATORS });
    bytes[STORED_BYTES + 4] = (bytes[STORED_BYTES + 4] ?? 0) ^ 1;
    const { entries, lost } = await salvaged(bytes);
    expect(entries).toBe(2);
    expect(lost).toMatchObject([{ from: STORED_BYTES, to: 2 * STORED_BYTES, between: ['a', 'c'] }]);
  });

  it('a file too short for a table, or too large to be searched, is lost', async () => {
    expect((await salvaged(new Uint8Array(20))).lost).toMatchObject([{ from: 0, to: undefined }]);
    const large = new MemoryReadableFile(new Uint8Array(0), NAME);
    large.size = () => Promise.resolve(512 * 1024 * 1024 + 1);
    large.read = (into) => Promise.resolve(into.length);
    const { lost, hasIndex, blocks } = await salvaged(large.bytes, large);
    expect(lost).toMatchObject([{ from: 0, reason: 'its index cannot be read, and it is too large to be searched' }]);
    expect([hasIndex, blocks]).toEqual([false, []]);
  });
});

describe('a list of losses', () => {
  it('counts them all, and holds the first 10,000', () => {
    const list = new LossList();
    const loss = { file: NAME, endOffset: undefined, reason: '', firstKey: undefined, lastKey: undefined };
    for (let offset = 0; offset < 10_005; offset += 1) list.add({ ...loss, offset });
    expect([list.count, list.losses.length, list.losses.at(-1)?.offset]).toEqual([10_005, 10_000, 9_999]);
  });
});
