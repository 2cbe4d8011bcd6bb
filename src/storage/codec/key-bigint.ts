/**
 * Whole numbers of up to 1,016 bits, in the order of their values.
 *
 *     bigint    := head magnitude
 *     head      := 0x80 + bytes of the magnitude, for a number from 0 | 0x80 - bytes of the magnitude, below 0
 *     magnitude := 0 to 127 bytes, big-endian, the first one not 0; for a number below 0 with all bits flipped
 *
 * More bytes are a larger magnitude, and the head comes first: so numbers of different length are ordered by it, and
 * numbers of one length by their bytes. The idea is that of SQLite 4's and FoundationDB's key encodings; the form is our own.
 */
import type { KeyCodec } from './key-codec.ts';
import { Malformed } from './malformed.ts';

const ZERO_HEAD = 0x80;
const MAGNITUDE_BYTES_MAX = 0x7f;
/** The first magnitude that is too large. */
const MAGNITUDE_END: bigint = 1n << BigInt(8 * MAGNITUDE_BYTES_MAX);

export const bigintCodec: KeyCodec<bigint> = {
  encode(value) {
    if (typeof value !== 'bigint') throw new TypeError(`a bigint is needed, not ${typeof value}`);
    const magnitude = value < 0n ? -value : value;
    if (magnitude >= MAGNITUDE_END) throw new RangeError('the number has more than 1,016 bits');
    const digits = magnitude === 0n ? '' : magnitude.toString(16);
    const length = (digits.length + 1) >> 1;
    const bytes = new Uint8Array(1 + length);
    bytes[0] = value < 0n ? ZERO_HEAD - length : ZERO_HEAD + length;
    const flipped = value < 0n ? 0xff : 0;
    for (let index = length, end = digits.length; index > 0; index -= 1, end -= 2) {
      bytes[index] = parseInt(digits.slice(Math.max(0, end - 2), end), 16) ^ flipped;
    }
    return bytes;
  },

  decode(bytes) {
    const length = encodedLength(bytes, 0);
    if (bytes.length !== length) throw new Malformed(`a bigint ends at byte ${length} of ${bytes.length}`, length);
    if (length === 1) return 0n;
    const isNegative = (bytes[0] as number) < ZERO_HEAD;
    const flipped = isNegative ? 0xff : 0;
    // Each number has one form, so that each key has one.
    if (((bytes[1] as number) ^ flipped) === 0) throw new Malformed('a bigint begins with a byte that says nothing', 1);
    let digits = '0x';
    for (let index = 1; index < length; index += 1) {
      digits += ((bytes[index] as number) ^ flipped).toString(16).padStart(2, '0');
    }
    return isNegative ? -BigInt(digits) : BigInt(digits);
  },

  encodedLength,
};

/** Of the number that begins at `start`; checked against the bytes that there are. */
function encodedLength(bytes: Uint8Array, start: number): number {
  const head = bytes[start];
  if (head === undefined) throw new Malformed('there is no bigint', start);
  if (head === 0) throw new Malformed('no bigint begins with 0', start);
  return 1 + Math.abs(head - ZERO_HEAD);
}
