/**
 * Reads the parts of a table that stay in memory: footer, metaindex, filter, properties and index.
 *
 * They lie together at the end of the file, so one read of the tail usually brings them all.
 */
import { CorruptionError } from '../../errors.ts';
import { FILTER_NAME } from '../codec/bloom.ts';
import { compareBytes } from '../codec/compare.ts';
import { crc32c } from '../codec/crc32c.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';
import { Malformed } from '../codec/malformed.ts';
import { Block, roughSequence } from './block.ts';
import { forEachEntry } from './block-entries.ts';
import type { Reading } from '../file-system/read-fully.ts';
import { blockReading, corruptionFrom, isChecksumRight, unpackBlock } from './block-read.ts';
import { BlockIterator } from './block-iterator.ts';
import { EntryHolder } from './entry-holder.ts';
import { FilterReader } from './filter-block.ts';
import {
  type BlockHandle,
  decodeFooter,
  FILTER_NAME_PREFIX,
  FOOTER_BYTES,
  PROPERTIES_NAME,
  readHandle,
} from './table-format.ts';
import { TableIndex } from './table-index.ts';
import { decodeProperties, type TableProperties } from './table-properties.ts';

/** Enough for index and filter of a table of 2 MiB. */
const TAIL_BYTES = 0x8000;

export interface TableParts {
  readonly index: TableIndex;
  readonly filter: FilterReader | undefined;
  readonly properties: TableProperties | undefined;
  /** Where data blocks end at the latest. */
  readonly dataEnd: number;
}

/** First and last internal key. */
export interface TableBounds {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** What the manifest says of a table. */
export interface ExpectedParts {
  readonly fileNumber: number;
  readonly fileBytes: number;
  readonly bounds: TableBounds | undefined;
}

/** The last bytes of a file. */
interface Tail {
  readonly bytes: Uint8Array;
  /** Where in the file they begin. */
  readonly offset: number;
}

interface MetaindexHandles {
  readonly filter: BlockHandle | undefined;
  readonly properties: BlockHandle | undefined;
}

/**
 * @param name - of the file, for errors
 * @param expected - what the manifest says of it
 * @param actualBytes - its size
 * @throws CorruptionError
 */
export function* readTableParts(name: string, expected: ExpectedParts, actualBytes: number): Reading<TableParts> {
  const { fileBytes } = expected;
  if (actualBytes !== fileBytes) {
    const reason = `the file has ${actualBytes} bytes, and the manifest says ${fileBytes}`;
    throw new CorruptionError(name, Math.min(actualBytes, fileBytes), reason);
  }
  if (fileBytes < FOOTER_BYTES) throw new CorruptionError(name, 0, `${fileBytes} bytes are too few for a table`);

  const tail = yield* readTail(fileBytes);
  const footerOffset = fileBytes - FOOTER_BYTES;
  const footerBytes = tail.bytes.subarray(footerOffset - tail.offset);
  const footer = decoding(name, footerOffset, () => decodeFooter(footerBytes, fileBytes));
  const dataEnd = footer.metaindex.offset;

  const metaindex = yield* readInto(name, footer.metaindex, tail, (contents) =>
    decodeMetaindex(new Block(contents, name, dataEnd), dataEnd),
  );
  const { properties: handle } = metaindex;
  const properties =
    handle &&
    (yield* readInto(name, handle, tail, (contents) => decodeProperties(new Block(contents, name, handle.offset))));
  const number = properties?.tableNumber;
  if (number !== undefined && number !== expected.fileNumber) {
    throw new CorruptionError(name, handle?.offset ?? 0, `it is table ${number}, in the place of another one`);
  }
  const filter =
    metaindex.filter &&
    (yield* readInto(name, metaindex.filter, tail, (bytes) => {
      requireChecksum(bytes, properties?.filterChecksum);
      return new FilterReader(bytes.slice());
    }));
  const indexChecksum = properties?.indexChecksum;
  const index = yield* readInto(name, footer.index, tail, (contents) => {
    requireChecksum(contents, indexChecksum);
    return new TableIndex(new Block(contents, name, footer.index.offset), dataEnd, indexChecksum !== undefined);
  });
  if (number === undefined) yield* checkBounds(name, index, expected.bounds);
  return { index, filter, properties, dataEnd };
}

/** Its own checksum was right; but it may be that of another table. */
function requireChecksum(contents: Uint8Array, checksum: number | undefined): void {
  if (checksum === undefined || crc32c(contents, 0, contents.length) === checksum) return;
  throw new Malformed("another table's block is in the place of this one", 0);
}

/** A table that does not carry its number is known by its first and last key: no two tables have the same. */
function* checkBounds(name: string, index: TableIndex, bounds: TableBounds | undefined): Reading<void> {
  if (bounds === undefined || index.blockCount === 0) return;
  const found = new EntryHolder();
  const cursor = new BlockIterator(found);
  const last = index.blockCount - 1;
  for (const isFirst of [true, false]) {
    const place = isFirst ? 0 : last;
    const key = isFirst ? bounds.smallest : bounds.largest;
    const offset = index.offset(place);
    const contents = yield* blockReading(name, { offset, size: index.size(place) }, index.checksum(place));
    cursor.open(new Block(contents, name, offset));
    if (isFirst) cursor.seekToFirst();
    else cursor.seekToLast();
    const userEnd = key.length - TAG_BYTES;
    const isRight =
      found.isValid &&
      compareBytes(found.keyBytes, 0, found.keyEnd, key, 0, userEnd) === 0 &&
      found.sequence === roughSequence(key, key.length);
    if (!isRight) throw new CorruptionError(name, offset, 'it is another table than the MANIFEST says');
  }
}

/** Finds the two names we know; any other is passed over, even if its handle makes no sense to us. */
function decodeMetaindex(block: Block, dataEnd: number): MetaindexHandles {
  const handles: { filter: BlockHandle | undefined; properties: BlockHandle | undefined } = {
    filter: undefined,
    properties: undefined,
  };
  forEachEntry(block, (entryName, valueStart, valueEnd) => {
    const cursor = { bytes: block.bytes, offset: valueStart, end: valueEnd };
    if (entryName === FILTER_NAME_PREFIX + FILTER_NAME) handles.filter = readHandle(cursor, dataEnd);
    if (entryName === PROPERTIES_NAME) handles.properties = readHandle(cursor, dataEnd);
  });
  return handles;
}

function* readTail(fileBytes: number): Reading<Tail> {
  const bytes = new Uint8Array(Math.min(TAIL_BYTES, fileBytes));
  const offset = fileBytes - bytes.length;
  yield { into: bytes, position: offset };
  return { bytes, offset };
}

/** Decodes the contents of a block: out of the tail if it is all there and whole, else out of the file. */
function* readInto<Part>(
  name: string,
  handle: BlockHandle,
  tail: Tail,
  decode: (contents: Uint8Array) => Part,
): Reading<Part> {
  const start = handle.offset - tail.offset;
  if (start < 0 || !isChecksumRight(tail.bytes, start, handle.size)) {
    const contents = yield* blockReading(name, handle);
    return decoding(name, handle.offset, () => decode(contents));
  }
  const contents = unpackBlock(tail.bytes, start, handle.size, name, handle.offset);
  return decoding(name, handle.offset, () => decode(contents));
}

/** Runs a decoder; what it finds malformed is damage at `fileOffset`. */
function decoding<Part>(name: string, fileOffset: number, decode: () => Part): Part {
  try {
    return decode();
  } catch (thrown) {
    throw corruptionFrom(thrown, name, fileOffset);
  }
}
