/** A table, as a whole and part by part. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { CorruptionError } from '../../src/errors.ts';
import { bloomHash } from '../../src/storage/codec/bloom.ts';
import { crc32c, maskCrc } from '../../src/storage/codec/crc32c.ts';
import { writeFixed32 } from '../../src/storage/codec/fixed.ts';
import { encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import { Malformed } from '../../src/storage/codec/malformed.ts';
import { KIND_DELETE, KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { LossList } from '../../src/storage/repair/repair-report.ts';
import { salvageTable } from '../../src/storage/repair/salvage-table.ts';
import { Block } from '../../src/storage/table/block.ts';
import { BlockBuilder } from '../../src/storage/table/block-builder.ts';
import { BlockCache } from '../../src/storage/table/block-cache.ts';
import { BlockIterator } from '../../src/storage/table/block-iterator.ts';
import { unpackBlock } from '../../src/storage/table/block-read.ts';
import { EntryHolder } from '../../src/storage/table/entry-holder.ts';
import { FilterBuilder, FilterReader } from '../../src/storage/table/filter-block.ts';
import { Lookup } from '../../src/storage/table/lookup.ts';
import { Table } from '../../src/storage/table/table.ts';
import { decodeFooter, encodeFooter, FOOTER_BYTES, writeHandle } from '../../src/storage/table/table-format.ts';
import { TableIndex } from '../../src/storage/table/table-index.ts';
import { decodeProperties, encodeProperties } from '../../src/storage/table/table-properties.ts';
import { BytesFile } from '../support/log-bytes.ts';
import {
  buildTable,
  compareEntries,
  readBackwards,
  readForwards,
  settled,
  type TableEntry,
} from '../support/table-entries.ts';
import { sealTable } from './seals.ts';
import { type FuzzTarget, never, oneOf } from './target.ts';

const encoder = new TextEncoder();
const FILE_BYTES = 10_000;

const entries: readonly TableEntry[] = Array.from({ length: 14 }, (_, index) => ({
  key: encoder.encode(`key/${'x'.repeat(index % 4)}${index}`),
  sequence: 50 + index,
  kind: index % 5 === 3 ? KIND_DELETE : KIND_SET,
  value: encoder.encode(index % 5 === 3 ? '' : `value ${index} `.repeat(index % 3)),
})).toSorted(compareEntries);

const isRefusal = oneOf(CorruptionError, Malformed);

function blockOf(restartInterval: number, lines: readonly (readonly [Uint8Array, Uint8Array])[]): Uint8Array {
  const builder = new BlockBuilder(restartInterval);
  for (const [key, value] of lines) builder.add(key, key.length, value, 0, value.length);
  return builder.finish();
}

const dataBlock = (restartInterval: number): Uint8Array =>
  blockOf(
    restartInterval,
    entries.map(({ key, sequence, kind, value }) => [encodeInternalKey(key, sequence, kind), value]),
  );

function walk(block: Block, isBackwards: boolean): TableEntry[] {
  const holder = new EntryHolder();
  const cursor = new BlockIterator(holder);
  cursor.open(block);
  const walked: TableEntry[] = [];
  if (isBackwards) cursor.seekToLast();
  else cursor.seekToFirst();
  while (holder.isValid) {
    const { keyBytes, keyStart, keyEnd, sequence, kind, valueBytes, valueStart, valueEnd } = holder;
    walked.push({
      key: keyBytes.slice(keyStart, keyEnd),
      sequence,
      kind,
      value: valueBytes.slice(valueStart, valueEnd),
    });
    if (isBackwards) cursor.previous();
    else cursor.next();
  }
  return walked;
}

function decodeBlock(bytes: Uint8Array): void {
  const block = new Block(bytes, '000001.ldb', 0);
  const forwards = walk(block, false);
  // A restart may be in the middle of another entry, so that the ways there and back differ; neither may fail otherwise.
  walk(block, true);
  const holder = new EntryHolder();
  const cursor = new BlockIterator(holder);
  cursor.open(block);
  for (const { key, sequence } of entries) cursor.seek(key, 0, key.length, sequence);
  const isAscending = forwards.every((each, index) => {
    const before = forwards[index - 1];
    return before === undefined || compareEntries(before, each) < 0;
  });
  if (!isAscending) return; // a table checks the order of its own blocks, and a writer keeps it
  const again = new Block(
    blockOf(
      3,
      forwards.map(({ key, sequence, kind, value }) => [encodeInternalKey(key, sequence, kind), value]),
    ),
    '',
    0,
  );
  assert.deepEqual(walk(again, false), forwards);
  assert.deepEqual(walk(again, true).reverse(), forwards);
}

async function decodeTable(bytes: Uint8Array): Promise<void> {
  const cache = new BlockCache(100_000);
  const table = await Table.open(new BytesFile(bytes), 1, '000001.ldb', bytes.length, cache);
  const forwards = await readForwards(table.iterator({ isCacheFilled: false, readAheadBytes: 0 }));
  await readBackwards(table.iterator({ isCacheFilled: true, readAheadBytes: 300 }));
  const lookup = new Lookup();
  for (const { key } of [...entries, ...forwards.slice(0, 20)]) {
    lookup.reset(key, 0, key.length, 1000);
    await settled(table.find(lookup));
  }
  await table.close();
}

function seedIndex(): Uint8Array {
  const handle = new Uint8Array(20);
  return blockOf(
    1,
    ['b', 'cc', 'd'].map((text, index) => [
      encodeInternalKey(encoder.encode(text), 9, KIND_SET),
      handle.slice(0, writeHandle(handle, 0, { offset: 300 * index, size: 200 })),
    ]),
  );
}

function decodeIndex(bytes: Uint8Array): void {
  const index = new TableIndex(new Block(bytes, '000001.ldb', 0), FILE_BYTES);
  let end = 0;
  for (let place = 0; place < index.blockCount; place += 1) {
    assert.ok(index.offset(place) >= end, 'data blocks do not overlap');
    end = index.offset(place) + index.size(place);
    assert.ok(end <= FILE_BYTES, 'a data block lies within the file');
  }
  for (const text of ['', 'b', 'c', 'z']) {
    const key = encoder.encode(text);
    assert.ok(index.search(key, 0, key.length, 5) <= index.blockCount);
  }
}

function seedFilter(): Uint8Array {
  const builder = new FilterBuilder(10);
  for (const { key } of entries) builder.add(bloomHash(key, 0, key.length));
  builder.startBlock(5_000);
  builder.add(bloomHash(encoder.encode('far'), 0, 3));
  return builder.finish();
}

function decodeFilter(bytes: Uint8Array): void {
  const filter = new FilterReader(bytes);
  for (const offset of [0, 2_047, 2_048, 5_000, FILE_BYTES, 2 ** 40]) {
    for (const hash of [0, 1, 0xffff_ffff, 0x1234_5678])
      assert.equal(typeof filter.mayContain(offset, hash), 'boolean');
  }
}

/** A block as it is stored, behind its trailer's checksum. */
function decodeStored(bytes: Uint8Array): void {
  if (bytes.length < 5) return;
  const size = bytes.length - 5;
  assert.ok(unpackBlock(bytes, 0, size, '000001.ldb', 0).length <= 22 * size);
}

async function decodeSalvage(bytes: Uint8Array): Promise<void> {
  const source = { file: new BytesFile(bytes), name: '000001.ldb' };
  const { blocks } = await salvageTable(source, { turn: () => Promise.resolve(), losses: new LossList() });
  for (const { offset, size } of blocks) assert.ok(offset >= 0 && offset + size <= bytes.length);
}

const tables = (): Uint8Array[] => [
  buildTable(entries, { blockBytesMax: 100, restartInterval: 3, compression: 'none', filterBitsPerKey: 10 }),
  buildTable(entries, { blockBytesMax: 4096, restartInterval: 16, compression: 'snappy', filterBitsPerKey: 0 }),
];

/** One that LevelDB has written: no checksums of its own parts are in it, so that more of what is changed gets read. */
const levelDbTable = (): Uint8Array =>
  new Uint8Array(readFileSync(new URL('../golden/leveldb-1.20/killed/000009.ldb', import.meta.url)));

const counts = { entryCount: 14, tombstoneCount: 3, smallestSequence: 50, largestSequence: 63 };
const checksums = { tableNumber: 7, filterChecksum: 1, indexChecksum: 0xffff_ffff };

export const tableTargets: readonly FuzzTarget[] = [
  { name: 'block', seeds: () => [dataBlock(1), dataBlock(4), blockOf(1, [])], decode: decodeBlock, isRefusal },
  {
    name: 'block as stored',
    seeds: () => [
      Uint8Array.from([...dataBlock(16), 0, 0, 0, 0, 0]),
      Uint8Array.of(8, 0, 0x61, 0x0d, 1, 1, 0, 0, 0, 0),
    ],
    seal: (bytes) => {
      const end = bytes.length - 4;
      if (end > 0) writeFixed32(bytes, end, maskCrc(crc32c(bytes, 0, end)));
      return bytes;
    },
    decode: decodeStored,
    isRefusal,
  },
  {
    name: 'footer',
    seeds: () => [
      encodeFooter({ metaindex: { offset: 9_000, size: 95 }, index: { offset: 9_100, size: FILE_BYTES - 9_153 } }),
    ],
    bytesMax: FOOTER_BYTES,
    decode: (bytes) => {
      if (bytes.length === FOOTER_BYTES) assert.deepEqual(encodeFooter(decodeFooter(bytes, FILE_BYTES)), bytes);
    },
    isRefusal,
  },
  { name: 'table index', seeds: () => [seedIndex(), blockOf(1, [])], decode: decodeIndex, isRefusal },
  { name: 'filter block', seeds: () => [seedFilter()], decode: decodeFilter, isRefusal },
  {
    name: 'table properties',
    seeds: () => [encodeProperties(counts), encodeProperties({ ...counts, ...checksums })],
    decode: (bytes) => {
      const decoded = decodeProperties(new Block(bytes, '', 0));
      if (decoded !== undefined) {
        assert.deepEqual(decodeProperties(new Block(encodeProperties(decoded), '', 0)), decoded);
      }
    },
    isRefusal,
  },
  {
    name: 'table',
    seeds: () => [...tables(), levelDbTable()],
    seal: sealTable,
    decode: decodeTable,
    isRefusal: oneOf(CorruptionError),
  },
  {
    name: 'salvage of a table',
    seeds: () => tables().map((bytes) => bytes.subarray(0, 700)),
    bytesMax: 900,
    seal: sealTable,
    decode: decodeSalvage,
    isRefusal: never,
  },
];
