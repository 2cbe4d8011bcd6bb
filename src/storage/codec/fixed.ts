/**
 * Numbers of fixed width, least significant byte first (LevelDB util/coding.h). The readers check the buffer's own end;
 * where a field ends earlier, the caller checks.
 */
import { Malformed } from './malformed.ts';

const TWO_POW_32 = 0x1_0000_0000;
/** Upper half of 2^53 - 1, the largest whole number JavaScript counts exactly. */
const HIGH_WORD_MAX = 0x001f_ffff;

/**
 * Reads a number in [0, 2^32 - 1].
 *
 * @throws Malformed when the buffer ends before it
 */
export function readFixed32(bytes: Uint8Array, offset: number): number {
  if (offset + 4 > bytes.length) throw new Malformed('fixed32 is cut short', offset);
  return (
    ((bytes[offset] as number) |
      ((bytes[offset + 1] as number) << 8) |
      ((bytes[offset + 2] as number) << 16) |
      ((bytes[offset + 3] as number) << 24)) >>>
    0
  );
}

/** Writes a number in [0, 2^32 - 1] (a negative 32-bit number as its two's complement) into four bytes. */
export function writeFixed32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

/**
 * Reads a number in [0, 2^53 - 1] from eight bytes.
 *
 * @throws Malformed when the buffer ends before it, or the number is larger than JavaScript counts exactly
 */
export function readFixed64(bytes: Uint8Array, offset: number): number {
  if (offset + 8 > bytes.length) throw new Malformed('fixed64 is cut short', offset);
  const high = readFixed32(bytes, offset + 4);
  if (high > HIGH_WORD_MAX) throw new Malformed('fixed64 exceeds 2^53 - 1', offset);
  return high * TWO_POW_32 + readFixed32(bytes, offset);
}

/** Writes a number in [0, 2^53 - 1] into eight bytes. */
export function writeFixed64(bytes: Uint8Array, offset: number, value: number): void {
  writeFixed32(bytes, offset, value % TWO_POW_32);
  writeFixed32(bytes, offset + 4, Math.floor(value / TWO_POW_32));
}
