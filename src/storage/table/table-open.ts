/**
 * Reads the parts of a table that stay in memory: footer, metaindex, filter, properties and index.
 *
 * They lie together at the end of the file, so one read of the tail usually brings them all.
 */
import { CorruptionError } from '../../errors.ts';
import { FILTER_NAME } from '../codec/bloom.ts';
import { Block } from './block.ts';
import { forEachEntry } from './block-entries.ts';
import type { Reading } from '../file-system/read-fully.ts';
import { blockReading, corruptionFrom, isChecksumRight, unpackBlock } from './block-read.ts';
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
 * @param fileBytes - its size according to the manifest
 * @param actualBytes - its size
 * @throws CorruptionError
 */
export function* readTableParts(name: string, fileBytes: number, actualBytes: number): Reading<TableParts> {
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
  const filter =
    metaindex.filter && (yield* readInto(name, metaindex.filter, tail, (bytes) => new FilterReader(bytes.slice())));
  const { properties: handle } = metaindex;
  const properties =
    handle &&
    (yield* readInto(name, handle, tail, (contents) => decodeProperties(new Block(contents, name, handle.offset))));
  const index = yield* readInto(
    name,
    footer.index,
    tail,
    (contents) => new TableIndex(new Block(contents, name, footer.index.offset), dataEnd),
  );
  return { index, filter, properties, dataEnd };
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
