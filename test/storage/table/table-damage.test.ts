import { describe, expect, it } from 'vitest';
import { CorruptionError, EngineError, IoError } from '../../../src/errors.ts';
import { crc32c, maskCrc } from '../../../src/storage/codec/crc32c.ts';
import { writeFixed32 } from '../../../src/storage/codec/fixed.ts';
import type { ReadableFile } from '../../../src/storage/file-system/file-system.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { BlockCache } from '../../../src/storage/table/block-cache.ts';
import { Lookup } from '../../../src/storage/table/lookup.ts';
import { TableBuilder } from '../../../src/storage/table/table-builder.ts';
import { Table } from '../../../src/storage/table/table.ts';
import { encodeFooter } from '../../../src/storage/table/table-format.ts';
import { MemoryReadableFile } from '../../support/memory-files.ts';
import { buildTable, readBackwards, readForwards, settled, type TableEntry } from '../../support/table-entries.ts';

const encoder = new TextEncoder();
const options = { blockBytesMax: 120, restartInterval: 3, compression: 'snappy', filterBitsPerKey: 10 } as const;

const entries: TableEntry[] = [];
for (let index = 0; index < 24; index += 1) {
  const value = index % 7 === 3 ? '' : `value ${index} `.repeat(index % 5);
  const kind = index % 7 === 3 ? KIND_DELETE : KIND_SET;
  entries.push({ key: encoder.encode(`k${String(index)}`), sequence: 100 + index, kind, value: encoder.encode(value) });
}
entries.sort((a, b) => Buffer.compare(a.key, b.key));
const whole = buildTable(entries, options);

function open(bytes: Uint8Array, fileBytes = bytes.length): Promise<Table> {
  return Table.open(new MemoryReadableFile(bytes), 1, '000001.ldb', fileBytes, new BlockCache(10_000));
}

/** Everything a table can be asked, or the error of the first thing that fails. */
async function readEverything(bytes: Uint8Array): Promise<unknown> {
  try {
    const table = await open(bytes);
    const forwards = await readForwards(table.iterator({ isCacheFilled: false, readAheadBytes: 0 }));
    const backwards = await readBackwards(table.iterator({ isCacheFilled: false, readAheadBytes: 300 }));
    const values: unknown[] = [];
    const lookup = new Lookup();
    for (const { key } of entries) {
      lookup.reset(key, 0, key.length, 1000);
      await settled(table.find(lookup));
      values.push([lookup.state, lookup.foundSequence, lookup.valueBytes.slice(lookup.valueStart, lookup.valueEnd)]);
    }
    return { forwards, backwards, values };
  } catch (thrown) {
    return thrown;
  }
}

/** A block with its trailer. */
function stored(contents: readonly number[], type = 0): number[] {
  const bytes = Uint8Array.from([...contents, type, 0, 0, 0, 0]);
  writeFixed32(bytes, contents.length + 1, maskCrc(crc32c(bytes, 0, contents.length + 1)));
  return [...bytes];
}

/** A table of one data block with the given contents, an index that leads to it, and an empty metaindex. */
function tableAround(data: readonly number[], index?: readonly number[]): Uint8Array {
  const dataStored = stored(data);
  const metaindexStored = stored([0, 0, 0, 0, 1, 0, 0, 0]);
  // Key 0xff with the highest tag, then a handle whose size takes two bytes.
  const key = [0xff, ...new Array<number>(8).fill(0)];
  const handle = [0, (data.length & 0x7f) | 0x80, data.length >> 7];
  const indexContents = index ?? [0, key.length, handle.length, ...key, ...handle, 0, 0, 0, 0, 1, 0, 0, 0];
  const indexStored = stored(indexContents);
  const footer = encodeFooter({
    metaindex: { offset: dataStored.length, size: metaindexStored.length - 5 },
    index: { offset: dataStored.length + metaindexStored.length, size: indexStored.length - 5 },
  });
  return Uint8Array.from([...dataStored, ...metaindexStored, ...indexStored, ...footer]);
}

const tag = [1, 5, 0, 0, 0, 0, 0, 0];
const oneRestart = [0, 0, 0, 0, 1, 0, 0, 0];
const huge = [0xff, 0xff, 0xff, 0xff, 0x0f];

it('never gives other data for any flipped byte', async () => {
  const expected = await readEverything(whole);
  expect(expected).toHaveProperty('forwards', entries);
  let harmless = 0;
  for (let offset = 0; offset < whole.length; offset += 1) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const bytes = whole.slice();
      bytes[offset] = (bytes[offset] as number) ^ flip;
      const result = await readEverything(bytes);
      if (result instanceof CorruptionError) expect(result.file).toBe('000001.ldb');
      else expect(result).toEqual(expected);
      harmless += result instanceof CorruptionError ? 0 : 1;
    }
  }
  expect(harmless).toBe(0);
});

it('reports any table that is cut or has grown', async () => {
  for (let length = 0; length < whole.length; length += 1) {
    expect(await readEverything(whole.slice(0, length))).toBeInstanceOf(CorruptionError);
    await expect(open(whole.slice(0, length), whole.length)).rejects.toBeInstanceOf(CorruptionError);
  }
  await expect(open(Uint8Array.from([...whole, 0]))).rejects.toBeInstanceOf(CorruptionError);
  await expect(open(Uint8Array.from([...whole, 0]), whole.length)).rejects.toThrow('the manifest says');
});

it('reports a block that reads as another one of the same size', async () => {
  const same = entries.map((entry) => ({ ...entry, key: entry.key.slice(), value: new Uint8Array(30) }));
  const bytes = buildTable(
    same.map((entry) => ({ ...entry, kind: KIND_SET })),
    { ...options, compression: 'none', blockBytesMax: 1, filterBitsPerKey: 0 },
  );
  const file = new MemoryReadableFile(bytes);
  const table = await Table.open(file, 1, '000001.ldb', bytes.length, new BlockCache(0));
  const sizes = [table.index.size(10), table.index.size(14)];
  expect(sizes[0]).toBe(sizes[1]);
  const elsewhere = bytes.slice();
  elsewhere.copyWithin(table.index.offset(10), table.index.offset(14), table.index.end(14));
  file.bytes = elsewhere;
  const iterator = table.iterator({ isCacheFilled: false, readAheadBytes: 0 });
  await expect(readForwards(iterator)).rejects.toThrow('another block is in the place of this one');
  elsewhere.set(bytes);
  elsewhere.copyWithin(table.index.offset(14), table.index.offset(10), table.index.end(10));
  await expect(readBackwards(iterator)).rejects.toThrow('another block is in the place of this one');
});

describe('in a table that does not name the checksums of its blocks, as LevelDB writes it,', () => {
  const keys = [0x62, 0x64, 0x66];
  const blocks = keys.map((key) => stored([0, 9, 1, key, ...tag, 0x76, ...oneRestart]));
  const size = blocks[0]?.length ?? 0;

  /** Three blocks with a key each, in the order given; separated behind `separators`. */
  function tableOf(order: readonly number[], separators: readonly number[] = [0x63, 0x65, 0x67]): Uint8Array {
    const data = order.flatMap((index) => blocks[index] ?? []);
    const metaindex = stored(oneRestart);
    const lines = separators.flatMap((separator, index) => [0, 9, 2, separator, ...tag, index * size, size - 5]);
    const index = stored([...lines, ...oneRestart]);
    const footer = encodeFooter({
      metaindex: { offset: data.length, size: metaindex.length - 5 },
      index: { offset: data.length + metaindex.length, size: index.length - 5 },
    });
    return Uint8Array.from([...data, ...metaindex, ...index, ...footer]);
  }

  const reasonOf = async (bytes: Uint8Array, key: number, isNow = false): Promise<unknown> => {
    const table = isNow
      ? Table.openNow(nowFile(bytes), 1, '000001.ldb', bytes.length, new BlockCache(0))
      : await open(bytes);
    const lookup = new Lookup();
    lookup.reset(Uint8Array.of(key), 0, 1, 1000);
    try {
      if (isNow) table.findNow(lookup);
      else await settled(table.find(lookup));
      return lookup.state;
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      return `${error.offset}: ${error.reason}`;
    }
  };
  const nowFile = (bytes: Uint8Array): ReadableFile => {
    const file = new MemoryReadableFile(bytes);
    return {
      path: file.path,
      size: () => file.size(),
      read: (into, position) => file.read(into, position),
      close: () => file.close(),
      sizeNow: () => bytes.length,
      readNow: (into, position) => {
        into.set(bytes.subarray(position, position + into.length));
        return Math.min(into.length, bytes.length - position);
      },
    };
  };

  it.each([false, true])('a block of another place is told by its keys (on the calling thread: %s)', async (isNow) => {
    const later = `${size}: data block ends with a key that belongs into a later block`;
    const earlier = `${size}: data block begins with a key that belongs into an earlier block`;
    for (const key of keys) expect(await reasonOf(tableOf([0, 1, 2]), key, isNow)).toBe('found');
    expect(await reasonOf(tableOf([0, 2, 2]), 0x64, isNow)).toBe(later);
    expect(await reasonOf(tableOf([0, 0, 2]), 0x64, isNow)).toBe(earlier);
    expect(await reasonOf(tableOf([0, 0, 2]), 0x62, isNow)).toBe('found');
    // The first has none before it, the last none behind.
    expect(await reasonOf(tableOf([1, 1, 2]), 0x62, isNow)).toContain('0: data block ends');
    expect(await reasonOf(tableOf([0, 1, 1]), 0x66, isNow)).toContain(`${2 * size}: data block begins`);
  });

  it('a scan is told the same, whichever way it goes', async () => {
    for (const order of [
      [0, 2, 2],
      [0, 0, 2],
      [0, 1, 1],
      [1, 1, 2],
    ]) {
      for (const readAheadBytes of [0, 10_000]) {
        const options_ = { isCacheFilled: false, readAheadBytes };
        const table = await open(tableOf(order));
        await expect(readForwards(table.iterator(options_))).rejects.toThrow('data block');
        await expect(readBackwards(table.iterator(options_))).rejects.toThrow('data block');
      }
    }
  });

  it('a key may be the separator behind its block, and not the one before it', async () => {
    expect(await reasonOf(tableOf([0, 1, 2], keys), 0x64)).toBe('found');
    expect(await reasonOf(tableOf([0, 1, 2], [0x64, 0x65, 0x67]), 0x65)).toBe(
      `${size}: data block begins with a key that belongs into an earlier block`,
    );
  });
});

it.each([
  ['a good block', [0, 9, 1, 0x61, ...tag, 0x76, ...oneRestart], undefined],
  ['an empty block', oneRestart, 'no entry'],
  ['no room for a count', [1, 0, 0], 'too short for its restart count'],
  ['more restarts than bytes', [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 'too short for its restarts'],
  ['no restart', [0, 9, 0, 0x61, ...tag, 0, 0, 0, 0], 'no restart'],
  ['a restart that is not 0', [0, 9, 0, 0x61, ...tag, 1, 0, 0, 0, 1, 0, 0, 0], 'ascend from 0'],
  ['a restart twice', [0, 9, 0, 0x61, ...tag, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], 'ascend from 0'],
  ['a restart behind the entries', [0, 9, 0, 0x61, ...tag, 0, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0], 'behind its entries'],
  ['a restart inside an entry', [0, 9, 0, 0x61, ...tag, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0], /./],
  ['a huge shared length', [...huge, 9, 0, 0x61, ...tag, ...oneRestart], 'shares more'],
  ['a huge rest of a key', [0, ...huge, 0, 0x61, ...tag, ...oneRestart], 'key of an entry runs past'],
  ['a huge value', [0, 9, ...huge, 0x61, ...tag, ...oneRestart], 'value of an entry runs past'],
  ['a length over 32 bits', [0, 9, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x61, ...tag, ...oneRestart], '32 bits'],
  ['a length cut short', [0, 9, 0xff, 0xff, ...oneRestart], 'cut short'],
  ['an entry cut short', [0, 9, ...oneRestart], 'cut short'],
  ['a key without a tag', [0, 7, 0, 0, 0, 0, 0, 0, 0, 0, ...oneRestart], 'too short for its tag'],
  ['an unknown kind', [0, 9, 0, 0x61, 2, 5, 0, 0, 0, 0, 0, 0, ...oneRestart], 'neither set nor delete'],
  ['a sequence over 2^53 - 1', [0, 9, 0, 0x61, 1, 0, 0, 0, 0, 0, 0, 0x20, ...oneRestart], '2^53 - 1'],
])('reads %s as it should', async (_what, data, message) => {
  const result = await readEverything(tableAround(data));
  if (message === undefined) {
    expect(result).toHaveProperty('forwards.0', {
      key: Uint8Array.of(0x61),
      sequence: 5,
      kind: 1,
      value: Uint8Array.of(0x76),
    });
  } else {
    expect(result).toBeInstanceOf(CorruptionError);
    expect((result as CorruptionError).offset).toBe(0);
    expect((result as CorruptionError).reason).toMatch(message);
  }
});

it.each([
  ['is of an unknown type', 2, [1, 2, 3, 4], 'unknown type 2'],
  ['says that it holds 4 GiB', 1, [...huge, 1, 1], /./],
  ['says more than snappy can hold', 1, [0x80, 0x20, 1, 1], /./],
  ['is not snappy', 1, [8, 0xff, 0xff, 0xff], /./],
])('reports an index block that %s', async (_what, type, contents, message) => {
  const metaindex = stored(oneRestart);
  const index = stored(contents, type);
  const footer = encodeFooter({
    metaindex: { offset: 0, size: metaindex.length - 5 },
    index: { offset: metaindex.length, size: index.length - 5 },
  });
  const result = await readEverything(Uint8Array.from([...metaindex, ...index, ...footer]));
  expect(result).toBeInstanceOf(CorruptionError);
  expect((result as CorruptionError).reason).toMatch(message);
});

it.each([
  [
    'a handle past the data',
    [0, 9, 3, 0xff, ...new Array<number>(8).fill(0), 0, 0xff, 0x7f, ...oneRestart],
    'past its limit',
  ],
  [
    'a handle of 2^63',
    [0, 9, 11, 0xff, ...new Array<number>(8).fill(0), ...new Array<number>(9).fill(0xff), 1, 1, ...oneRestart],
    /./,
  ],
  ['a handle cut short', [0, 9, 1, 0xff, ...new Array<number>(8).fill(0), 0, ...oneRestart], /./],
  ['a key without a tag', [0, 7, 2, ...new Array<number>(7).fill(0), 0, 8, ...oneRestart], 'too short for its tag'],
  [
    'two handles of one block',
    [0, 9, 2, 1, ...tag, 0, 8, 0, 9, 2, 2, ...tag, 0, 8, ...oneRestart],
    'overlap or do not ascend',
  ],
])('reports an index with %s', async (_what, index, message) => {
  const result = await readEverything(tableAround([0, 9, 1, 0x61, ...tag, 0x76, ...oneRestart], index));
  expect(result).toBeInstanceOf(CorruptionError);
  expect((result as CorruptionError).reason).toMatch(message);
});

it('allocates nothing large for an index that shares without end', async () => {
  // One long key, then thousands of short entries that each share all of it.
  const key = new Array<number>(30_000).fill(0x61);
  const index = [0, 0xb8, 0xea, 1, 2, ...key, ...tag, 0, 0];
  for (let count = 0; count < 20_000; count += 1) index.push(0xb8, 0xea, 1, 0, 2, 0, 0);
  const before = process.memoryUsage().arrayBuffers;
  const result = await readEverything(
    tableAround([0, 9, 1, 0x61, ...tag, 0x76, ...oneRestart], [...index, ...oneRestart]),
  );
  expect(result).toBeInstanceOf(CorruptionError);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
});

/** Read on the calling thread. */
class QuickFile extends MemoryReadableFile {
  isQuick(): boolean {
    return true;
  }

  sizeNow(): number {
    return this.bytes.length;
  }

  readNow(into: Uint8Array, position: number): number {
    this.reads += 1;
    const part = this.bytes.subarray(position, position + into.length);
    into.set(part);
    return part.length;
  }
}

it.each([
  ['stored as they are', 'none', 20],
  ['stored as they are, and large', 'none', 70_000],
  ['compressed', 'snappy', 70_000],
] as const)('blocks that are read at once, %s, have bytes of their own', (_how, compression, valueBytes) => {
  const three = ['a', 'b', 'c'].map((letter, index) => {
    return {
      key: encoder.encode(letter),
      sequence: index + 1,
      kind: KIND_SET,
      value: Buffer.alloc(valueBytes, letter),
    };
  });
  const bytes = buildTable(three, { ...options, compression, blockBytesMax: 1 });
  const tables = [new BlockCache(0), new BlockCache(1e6)].map((cache) => {
    return Table.openNow(new QuickFile(bytes), 1, '000001.ldb', bytes.length, cache);
  });
  for (const table of tables) {
    const found = three.map(({ key }) => {
      const lookup = new Lookup();
      lookup.reset(key, 0, key.length, 1000);
      table.findNow(lookup);
      return lookup;
    });
    for (const [index, { valueBytes: from, valueStart, valueEnd }] of found.entries()) {
      expect(Buffer.compare(from.subarray(valueStart, valueEnd), three[index]?.value ?? Buffer.of())).toBe(0);
      expect(from.buffer.byteLength).toBeLessThan(valueBytes + 100); // nothing else is held
    }
  }
});

it('fails as a promise where a block is read at once, too', async () => {
  const file = new QuickFile(whole.slice());
  const table = await Table.open(file, 1, '000001.ldb', whole.length, new BlockCache(0));
  const iterator = table.iterator({ isCacheFilled: false, readAheadBytes: 0 });
  expect(iterator.seekToFirst()).toBe(undefined);
  expect(iterator.isValid).toBe(true);
  file.bytes[3] = (file.bytes[3] ?? 0) ^ 1;
  let step: unknown;
  expect(() => (step = iterator.seekToFirst())).not.toThrow();
  await expect(step).rejects.toBeInstanceOf(CorruptionError);
  await table.close();
});

it('tries a read that fails with EIO again, and no other', async () => {
  const file = new MemoryReadableFile(whole);
  const table = await Table.open(file, 1, '000001.ldb', whole.length, new BlockCache(0));
  let failures = 2;
  let code = 'EIO';
  file.beforeRead = (position) => {
    failures -= 1;
    if (failures >= 0) throw new IoError('read', 'memory', code, 'failed');
    expect(position).toBe(0);
    return undefined;
  };
  const iterator = table.iterator({ isCacheFilled: false, readAheadBytes: 0 });
  await settled(iterator.seekToFirst());
  expect(iterator.isValid).toBe(true);
  failures = 3;
  await expect(settled(iterator.seekToFirst())).rejects.toBeInstanceOf(IoError);
  expect(iterator.isValid).toBe(false);
  failures = 1;
  code = 'EACCES';
  await expect(settled(iterator.seekToFirst())).rejects.toBeInstanceOf(EngineError);
  await settled(iterator.seekToFirst());
  expect(iterator.isValid).toBe(true);
});

describe('a table in the place of another one', () => {
  const openAs = (bytes: Uint8Array, number: number, bounds?: { smallest: Uint8Array; largest: Uint8Array }) =>
    Table.open(new MemoryReadableFile(bytes), number, '000001.ldb', bytes.length, new BlockCache(0), bounds);

  function built(tableNumber: number | undefined): { bytes: Uint8Array; smallest: Uint8Array; largest: Uint8Array } {
    const builder = new TableBuilder(options, tableNumber);
    for (const letter of [0x61, 0x62]) builder.add(Uint8Array.of(letter), 0, 1, 7, KIND_SET, Uint8Array.of(1), 0, 1);
    builder.finish();
    return { bytes: builder.take(), smallest: builder.smallest, largest: builder.largest };
  }

  it('is told by its number', async () => {
    const { bytes } = built(5);
    expect((await openAs(bytes, 5)).properties?.tableNumber).toBe(5);
    await expect(openAs(bytes, 1)).rejects.toThrow('it is table 5, in the place of another one');
  });

  it('is told by its first and last key, where it has no number', async () => {
    const { bytes, smallest, largest } = built(undefined);
    await openAs(bytes, 1, { smallest, largest });
    const otherSequence = smallest.slice();
    otherSequence[2] = 9;
    await expect(openAs(bytes, 1, { smallest: otherSequence, largest })).rejects.toThrow('it is another table');
    await expect(openAs(bytes, 1, { smallest, largest: smallest })).rejects.toThrow('it is another table');
  });
});
