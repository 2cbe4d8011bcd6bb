/** Checksums made right again, so that what a mutation changed is what a decoder gets to see. */
import { CorruptionError } from '../../src/errors.ts';
import { crc32c, maskCrc } from '../../src/storage/codec/crc32c.ts';
import { readFixed32, writeFixed32 } from '../../src/storage/codec/fixed.ts';
import { Malformed } from '../../src/storage/codec/malformed.ts';
import { Block, BlockEntryReader } from '../../src/storage/table/block.ts';
import { unpackBlock } from '../../src/storage/table/block-read.ts';
import {
  type BlockHandle,
  CHECKSUM_BYTES,
  decodeFooter,
  FOOTER_BYTES,
  readHandle,
} from '../../src/storage/table/table-format.ts';

const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7;

/** Of the fragments of a log or a manifest, as far as their lengths lead. */
export function sealRecords(bytes: Uint8Array): Uint8Array {
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const blockLeft = BLOCK_BYTES - (at % BLOCK_BYTES);
    const length = (bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8);
    const end = at + HEADER_BYTES + length;
    if (blockLeft < HEADER_BYTES) at += blockLeft;
    else if (end > bytes.length || HEADER_BYTES + length > blockLeft) break;
    else {
      writeFixed32(bytes, at, maskCrc(crc32c(bytes, at + 6, end)));
      at = end;
    }
  }
  return bytes;
}

/** Of the blocks of a table that its footer and its index lead to. */
export function sealTable(bytes: Uint8Array): Uint8Array {
  const footerStart = bytes.length - FOOTER_BYTES;
  if (footerStart < 0) return bytes;
  try {
    const { index, metaindex } = decodeFooter(bytes.subarray(footerStart), bytes.length);
    for (const { offset, size } of [index, metaindex]) {
      sealBlock(bytes, { offset, size });
      sealNamed(bytes, { offset, size }, footerStart);
      sealBlock(bytes, { offset, size });
    }
  } catch (error) {
    // Where the way is lost, nothing more can be sealed; what was changed is then for the decoder to refuse.
    if (!(error instanceof Malformed || error instanceof CorruptionError)) throw error;
  }
  return bytes;
}

function sealBlock(bytes: Uint8Array, { offset, size }: BlockHandle): void {
  const end = offset + size + 1;
  if (end + 4 <= bytes.length) writeFixed32(bytes, end, maskCrc(crc32c(bytes, offset, end)));
}

/** The blocks that a block names; and behind each name the checksum, where the engine writes one. */
function sealNamed(bytes: Uint8Array, { offset, size }: BlockHandle, limit: number): void {
  const block = new Block(unpackBlock(bytes, offset, size, '', 0), '', 0);
  const reader = new BlockEntryReader();
  for (let at = 0; at < block.entriesEnd; at = reader.valueEnd) {
    reader.read(block, at);
    const cursor = { bytes: block.bytes, offset: reader.valueStart, end: reader.valueEnd };
    const named = readHandle(cursor, limit);
    sealBlock(bytes, named);
    const checksum = named.offset + named.size + 1;
    if (reader.valueEnd - cursor.offset === CHECKSUM_BYTES) {
      block.bytes.set(bytes.subarray(checksum, checksum + CHECKSUM_BYTES), cursor.offset);
    }
  }
}

/** The length before a dead letter's header, which is all the rest but its last bytes. */
export function sealLetter(bytes: Uint8Array): Uint8Array {
  const end = bytes.lastIndexOf(0x7d); // the header's closing brace
  if (end >= 4) writeFixed32(bytes, 0, end - 3);
  return bytes;
}

/** The lengths before the frames of a message, and which of them is the last. */
export function sealFrames(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 6) return bytes;
  const first = readFixed32(bytes, 0);
  const end = 5 + first;
  if (bytes[4] === 1 && first > 0 && end + 6 <= bytes.length) {
    sealFrames(bytes.subarray(end));
    return bytes;
  }
  writeFixed32(bytes, 0, bytes.length - 5);
  bytes[4] = 0;
  return bytes;
}
