/**
 * Finds blocks in a table whose index is lost. A block does not say how long it is; but it ends with a checksum of all before:
 *
 *   from a place on, the checksum is carried from byte to byte; where the bytes behind are a type and that checksum, a
 *   block ends
 *
 * Most blocks follow the one before, and are found in one go. For those behind a damaged one, see `search-blocks.ts`. A match
 * by chance (one in 2^32 places) is thrown out by whoever decodes the block.
 */
import { maskCrc } from '../codec/crc32c.ts';
import { TRAILER_BYTES, TYPE_SNAPPY } from '../table/table-format.ts';

/** CRC-32C of each byte. */
export const CRC_STEPS: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  return crc >>> 0;
});
/** The shortest block: no entry, one restart and their count. */
export const CONTENTS_BYTES_MIN = 8;

export class BlockFinder {
  readonly #bytes: Uint8Array;
  /** Bytes gone over in all. */
  steps = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Size of the contents of the block that begins at `start` and has at most `sizeMax` of them; -1: there is none. */
  sizeAt(start: number, sizeMax: number): number {
    const bytes = this.#bytes;
    const last = Math.min(start + sizeMax, bytes.length - TRAILER_BYTES);
    let crc = 0xffff_ffff;
    let at = start;
    for (; at <= last; at += 1) {
      const byte = bytes[at] as number;
      crc = (CRC_STEPS[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
      // The byte just taken would be the type, which the checksum covers, too.
      if (byte > TYPE_SNAPPY || at - start < CONTENTS_BYTES_MIN) continue;
      const word =
        (bytes[at + 1] as number) |
        ((bytes[at + 2] as number) << 8) |
        ((bytes[at + 3] as number) << 16) |
        ((bytes[at + 4] as number) << 24);
      if (word >>> 0 === maskCrc((crc ^ 0xffff_ffff) >>> 0)) {
        this.steps += at - start;
        return at - start;
      }
    }
    this.steps += at - start;
    return -1;
  }
}
