/**
 * The outline of a sorted table file, shared by its writer and its reader:
 *
 *     table     := { data block } [ filter block ] [ properties block ] metaindex block | index block | footer
 *     block     := contents | type (1 byte: 0 none, 1 snappy) | masked crc32c(contents, type)
 *     handle    := varint64 offset of the block | varint64 length of its contents as stored, without type and checksum
 *     metaindex := block of (name -> handle)
 *     index     := block of (separator, an internal key -> handle of a data block [ checksum (4 bytes, ours) ])
 *     footer    := handle of the metaindex | handle of the index | zeros up to 40 bytes | magic (8 bytes)
 *
 * A separator is at or after the last key of its data block, and before the first key of the next one. The index ends
 * where the footer begins, and nothing follows the footer: LevelDB's repair looks for it at the end of the file.
 *
 * Source: LevelDB table/format.h, doc/table_format.md.
 */
import { readFixed32, writeFixed32 } from '../codec/fixed.ts';
import { Malformed } from '../codec/malformed.ts';
import { type ByteCursor, readVarint64, writeVarint } from '../codec/varint.ts';

export const FOOTER_BYTES = 48;
/** Type and checksum behind the contents of each block. */
export const TRAILER_BYTES = 5;
export const TYPE_NONE = 0;
export const TYPE_SNAPPY = 1;
/** What we write behind a handle in the index: the masked checksum that stands behind the block itself. */
export const CHECKSUM_BYTES = 4;
/** Two varint64 of LevelDB, ten bytes each at most. */
export const HANDLE_BYTES_MAX = 20;
/** Metaindex name of our own hints about a table. Sorts before LevelDB's `filter.` names. */
export const PROPERTIES_NAME = 'alluvium.properties';
/** Metaindex names of filters begin so. */
export const FILTER_NAME_PREFIX = 'filter.';

/** Longest contents of one block; more could not be addressed by 32-bit signed offsets. */
const BLOCK_BYTES_MAX = 0x7fff_ffff;
const PADDING_END = 40;
const MAGIC_LOW = 0x8b80_fb57;
const MAGIC_HIGH = 0xdb47_7524;

/** Where a block is. */
export interface BlockHandle {
  /** First byte in the file. */
  readonly offset: number;
  /** Bytes of its contents as stored, without the trailer. */
  readonly size: number;
}

/** Writes a handle; `into` has room for {@link HANDLE_BYTES_MAX}. Returns the offset behind it. */
export function writeHandle(into: Uint8Array, offset: number, handle: BlockHandle): number {
  return writeVarint(into, writeVarint(into, offset, handle.offset), handle.size);
}

/**
 * Reads a handle and checks that its block lies wholly before `limit`.
 *
 * @throws Malformed
 */
export function readHandle(cursor: ByteCursor, limit: number): BlockHandle {
  const start = cursor.offset;
  const offset = readVarint64(cursor);
  const size = readVarint64(cursor);
  if (size > BLOCK_BYTES_MAX || offset + size + TRAILER_BYTES > limit) {
    throw new Malformed(`a handle names ${size} bytes at ${offset}, past its limit at ${limit}`, start);
  }
  return { offset, size };
}

/** The two blocks that a footer names. */
export interface Footer {
  readonly metaindex: BlockHandle;
  readonly index: BlockHandle;
}

export function encodeFooter(footer: Footer): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  writeHandle(bytes, writeHandle(bytes, 0, footer.metaindex), footer.index);
  writeFixed32(bytes, PADDING_END, MAGIC_LOW);
  writeFixed32(bytes, PADDING_END + 4, MAGIC_HIGH);
  return bytes;
}

/**
 * Decodes the last {@link FOOTER_BYTES} of a file of `fileBytes`. Every bit is checked, so that no flip goes unseen (it
 * has no checksum): the magic, the zeros before it, that the handles are written in the shortest way, and that the blocks
 * they name are in the order in which every known writer puts them.
 *
 * @throws Malformed with offsets into the footer
 */
export function decodeFooter(bytes: Uint8Array, fileBytes: number): Footer {
  if (readFixed32(bytes, PADDING_END) !== MAGIC_LOW || readFixed32(bytes, PADDING_END + 4) !== MAGIC_HIGH) {
    throw new Malformed('not a table: its last eight bytes are not the magic number', PADDING_END);
  }
  const blocksEnd = fileBytes - FOOTER_BYTES;
  const cursor = { bytes, offset: 0, end: PADDING_END };
  const metaindex = readHandle(cursor, blocksEnd);
  const index = readHandle(cursor, blocksEnd);
  const expected = encodeFooter({ metaindex, index });
  const odd = expected.findIndex((byte, offset) => byte !== bytes[offset]);
  if (odd !== -1) throw new Malformed('the footer is not written as its handles are', odd);
  if (index.offset + index.size + TRAILER_BYTES !== blocksEnd) {
    throw new Malformed('the index block does not end where the footer begins', 0);
  }
  if (metaindex.offset + metaindex.size + TRAILER_BYTES > index.offset) {
    throw new Malformed('the metaindex block overlaps the index block', 0);
  }
  return { metaindex, index };
}
