/**
 * Our own hints about a table, in a block that LevelDB does not look at and drops when it compacts:
 *
 *     properties := block of (name -> varint64)
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
}

const ENTRY_COUNT = 'entries';
const LARGEST_SEQUENCE = 'sequence.largest';
const SMALLEST_SEQUENCE = 'sequence.smallest';
const TOMBSTONE_COUNT = 'tombstones';

export function encodeProperties(properties: TableProperties): Uint8Array {
  const builder = new BlockBuilder(1);
  const value = new Uint8Array(VARINT_BYTES_MAX);
  const encoder = new TextEncoder();
  // In ascending order of names, like the keys of every block.
  const lines: readonly (readonly [string, number])[] = [
    [ENTRY_COUNT, properties.entryCount],
    [LARGEST_SEQUENCE, properties.largestSequence],
    [SMALLEST_SEQUENCE, properties.smallestSequence],
    [TOMBSTONE_COUNT, properties.tombstoneCount],
  ];
  for (const [name, number] of lines) {
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
  return { entryCount, tombstoneCount, smallestSequence, largestSequence };
}
