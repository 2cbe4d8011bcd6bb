/**
 * Reads the parts of a table that stay in memory: footer, metaindex, filter, properties and index.
 *
 * They lie together at the end of the file, so one read of the tail usually brings them all.
 */
import { CorruptionError } from '../../errors.ts';
import { FILTER_NAME } from '../codec/bloom.ts';
import { Malformed } from '../codec/malformed.ts';
import { Block } from './block.ts';
import { forEachEntry } from './block-entries.ts';
import { corruptionFrom, isChecksumRight, type NamedFile, readBlock, readFully, unpackBlock } from './block-read.ts';
import { FilterReader } from './filter-block.ts';
import {
  type BlockHandle,
  decodeFooter,
  FILTER_NAME_PREFIX,
  FOOTER_BYTES,
  PROPERTIES_NAME,
  readHandle,
  TRAILER_BYTES,
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

/** @returns rejects with CorruptionError or IoError */
export async function readTableParts(source: NamedFile, fileBytes: number): Promise<TableParts> {
  const { name } = source;
  const actualBytes = await source.file.size();
  if (actualBytes !== fileBytes) {
    const reason = `the file has ${actualBytes} bytes, and the manifest says ${fileBytes}`;
    throw new CorruptionError(name, Math.min(actualBytes, fileBytes), reason);
  }
  if (fileBytes < FOOTER_BYTES) throw new CorruptionError(name, 0, `${fileBytes} bytes are too few for a table`);
  const tail = await readTail(source, fileBytes);
  const footerOffset = fileBytes - FOOTER_BYTES;
  const footer = decoding(name, footerOffset, () =>
    decodeFooter(tail.bytes.subarray(footerOffset - tail.offset), fileBytes),
  );
  const dataEnd = footer.metaindex.offset;
  const metaindex = await readContents(source, footer.metaindex, tail);
  const handles = decoding(name, dataEnd, () => readMetaindex(new Block(metaindex, name, dataEnd)));
  const filter = await readFilter(source, handles.filter, tail);
  const properties = await readProperties(source, handles.properties, tail);
  const indexContents = await readContents(source, footer.index, tail);
  const index = decoding(
    name,
    footer.index.offset,
    () => new TableIndex(new Block(indexContents, name, footer.index.offset), dataEnd),
  );
  return { index, filter, properties, dataEnd };

  function readMetaindex(block: Block): MetaindexHandles {
    return decodeMetaindex(block, dataEnd);
  }
}

interface MetaindexHandles {
  readonly filter: BlockHandle | undefined;
  readonly properties: BlockHandle | undefined;
}

/** Finds the two names we know; any other is passed over, even if its handle makes no sense to us. */
function decodeMetaindex(block: Block, dataEnd: number): MetaindexHandles {
  let filter: BlockHandle | undefined;
  let properties: BlockHandle | undefined;
  forEachEntry(block, (entryName, valueStart, valueEnd) => {
    const cursor = { bytes: block.bytes, offset: valueStart, end: valueEnd };
    if (entryName === FILTER_NAME_PREFIX + FILTER_NAME) filter = readHandle(cursor, dataEnd);
    if (entryName === PROPERTIES_NAME) properties = readHandle(cursor, dataEnd);
  });
  return { filter, properties };
}
