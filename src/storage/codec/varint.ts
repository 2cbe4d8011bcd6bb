/**
 * Variable-length unsigned numbers, as LevelDB writes them:
 *
 *     varint := { 1xxxxxxx } 0xxxxxxx     seven bits per byte, least significant group first
 *
 * A varint32 takes 1 to 5 bytes, a varint64 1 to 10. Encodings longer than needed are read (LevelDB reads them too), but
 * never written. A number above 2^53 - 1, which JavaScript cannot hold, is reported like any other bad byte.
 *
 * Source: LevelDB util/coding.cc.
 */
import { Malformed } from './malformed.ts';

/** Most bytes a varint32 can take: ceil(32 / 7). */
export const VARINT32_BYTES_MAX = 5;
/** Most bytes {@link writeVarint} writes: ceil(53 / 7). Readers accept up to 10, as the format allows. */
export const VARINT_BYTES_MAX = 8;

const VARINT64_BYTES_MAX = 10;
/** The eighth byte starts at bit 49, so four more bits fit below 2^53. */
const EIGHTH_BYTE_MAX = 0x0f;

/** A place in a buffer. Decoders advance `offset`, and never read at or past `end`. */
export interface ByteCursor {
  readonly bytes: Uint8Array;
  offset: number;
  /** First byte that does not belong to what is decoded; at most `bytes.length`. */
  readonly end: number;
}

/**
 * Reads one number in [0, 2^32 - 1] and advances the cursor behind it. Hot: allocates nothing.
 *
 * @throws Malformed when it is cut short by `end`, or needs more than 32 bits; the cursor then stays where it was
 */
export function readVarint32(cursor: ByteCursor): number {
  const { bytes, end } = cursor;
  let offset = cursor.offset;
  let result = 0;
  for (let shift = 0; ; shift += 7) {
    if (offset >= end) throw new Malformed('varint32 is cut short', offset);
    const byte = bytes[offset] as number;
    if (shift === 28 && byte > 0x0f) throw new Malformed('varint32 exceeds 32 bits', offset);
    offset += 1;
    result |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      cursor.offset = offset;
      return result >>> 0;
    }
  }
}

/**
 * Reads one number in [0, 2^53 - 1] and advances the cursor behind it. Hot: allocates nothing.
 *
 * @throws Malformed when it is cut short by `end`, is over 2^53 - 1, or goes on after ten bytes; the cursor then stays
 */
export function readVarint64(cursor: ByteCursor): number {
  const { bytes, end } = cursor;
  const first = cursor.offset;
  let result = 0;
  let scale = 1;
  for (let index = 0; index < VARINT64_BYTES_MAX; index += 1) {
    const offset = first + index;
    if (offset >= end) throw new Malformed('varint64 is cut short', offset);
    const byte = bytes[offset] as number;
    const group = byte & 0x7f;
    if (index >= 7 && group > (index === 7 ? EIGHTH_BYTE_MAX : 0)) {
      throw new Malformed('varint64 exceeds 2^53 - 1', offset);
    }
    result += group * scale; // multiplied, not shifted: shifts end at bit 31
    scale *= 0x80;
    if (byte < 0x80) {
      cursor.offset = offset + 1;
      return result;
    }
  }
  throw new Malformed('varint64 is longer than 10 bytes', first + VARINT64_BYTES_MAX - 1);
}

/**
 * Writes a whole number in [0, 2^53 - 1] in its shortest form; right for varint32 and varint64 fields alike.
 *
 * @returns the offset behind it; the caller has made sure of {@link varintLength} bytes of room
 */
export function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  let rest = value;
  let next = offset;
  while (rest > 0x7fff_ffff) {
    bytes[next++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    bytes[next++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[next++] = rest;
  return next;
}

/** How many bytes {@link writeVarint} takes for `value`: 1 to 8. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}
