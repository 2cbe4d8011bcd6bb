/**
 * What we say about a table, in a block that LevelDB does not look at and drops when it compacts:
 *
 *     properties := block of (name -> varint64)
 *
 * The table's number and the checksums of the contents of its filter and index are what it is told by: a file in another's
 * place, and a read that came from another file, have right checksums of their own.
 *
 * Unknown names are left alone, so that later versions can add some.
 */
import { type ByteCursor, readVarint64, VARINT_BYTES_MAX, writeVarint } from '../codec/varint.ts';
import type { Block } from './block.ts';
import { BlockBuilder } from './block-builder.ts';
import { forEachEntry } from './block-entries.ts';

export interface TableProperties {
  readonly entryCount: number;
  readonly tombstoneCount: number;
  /** 0 in an empty table. */
  readonly smallestSequence: number;
  readonly largestSequence: number;
  /** `undefined` in tables of LevelDB, and of this engine before it wrote them. */
  readonly tableNumber?: number | undefined;
  readonly filterChecksum?: number | undefined;
  readonly indexChecksum?: number | undefined;
}

const ENTRY_COUNT = 'entries';
const LARGEST_SEQUENCE = 'sequence.largest';
const SMALLEST_SEQUENCE = 'sequence.smallest';
const TOMBSTONE_COUNT = 'tombstones';
const TABLE_NUMBER = 'table';
const FILTER_CHECKSUM = 'checksum.filter';
const INDEX_CHECKSUM = 'checksum.index';

export function encodeProperties(properties: TableProperties): Uint8Array {
  const builder = new BlockBuilder(1);
  const value = new Uint8Array(VARINT_BYTES_MAX);
  const encoder = new TextEncoder();
  // In ascending order of names, like the keys of every block.
  const lines: readonly (readonly [string, number | undefined])[] = [
    [FILTER_CHECKSUM, properties.filterChecksum],
    [INDEX_CHECKSUM, properties.indexChecksum],
    [ENTRY_COUNT, properties.entryCount],
    [LARGEST_SEQUENCE, properties.largestSequence],
    [SMALLEST_SEQUENCE, properties.smallestSequence],
    [TABLE_NUMBER, properties.tableNumber],
    [TOMBSTONE_COUNT, properties.tombstoneCount],
  ];
  for (const [name, number] of lines) {
    if (number === undefined) continue;
    const key = encoder.encode(name);
    builder.add(key, key.length, value, 0, writeVarint(value, 0, number));
  }
  return builder.finish();
}

/**
 * @returns the properties, or `undefined` if one of them is missing
 * @throws Malformed or CorruptionError
 */
export function decodeProperties(block: Block): TableProperties | undefined {
  const values = new Map<string, number>();
  forEachEntry(block, (name, valueStart, valueEnd) => {
    const cursor: ByteCursor = { bytes: block.bytes, offset: valueStart, end: valueEnd };
    values.set(name, readVarint64(cursor));
  });
  const entryCount = values.get(ENTRY_COUNT);
  const tombstoneCount = values.get(TOMBSTONE_COUNT);
  const smallestSequence = values.get(SMALLEST_SEQUENCE);
  const largestSequence = values.get(LARGEST_SEQUENCE);
  if (entryCount === undefined || tombstoneCount === undefined) return undefined;
  if (smallestSequence === undefined || largestSequence === undefined) return undefined;
  return {
    entryCount,
    tombstoneCount,
    smallestSequence,
    largestSequence,
    tableNumber: values.get(TABLE_NUMBER),
    filterChecksum: values.get(FILTER_CHECKSUM),
    indexChecksum: values.get(INDEX_CHECKSUM),
  };
}
