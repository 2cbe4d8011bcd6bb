/**
 * CRC-32C (Castagnoli), as every record and block carries it; and LevelDB's mask.
 *
 * Slicing by 16: sixteen tables say what each of the next sixteen bytes adds to the checksum, so that one step takes
 * sixteen bytes with look-ups that do not wait for each other. Table k maps a byte to the checksum of that byte with k
 * zero bytes behind it. Node 20's zlib offers only the other polynomial (CRC-32).
 *
 * Sources: M. Kounavis and F. Berry, "Novel table lookup-based algorithms for high-performance CRC generation" (2008);
 * RFC 3720 appendix B.4 for the test vectors; LevelDB util/crc32c.h for the mask.
 */

/** The polynomial 0x1edc6f41 with its bits reversed, since the lowest bit goes first. */
const POLYNOMIAL_REVERSED = 0x82f6_3b78;
const MASK_DELTA = 0xa282_ead8;
/** From here on a `DataView` is worth the 60 ns it takes to make one. */
const VIEW_BYTES_MIN = 1024;

// Sixteen constants, not an array of tables: V8 then keeps each table's address in the code.
const T0 = tableOfBytes();
const T1 = tableBehind(T0);
const T2 = tableBehind(T1);
const T3 = tableBehind(T2);
const T4 = tableBehind(T3);
const T5 = tableBehind(T4);
const T6 = tableBehind(T5);
const T7 = tableBehind(T6);
const T8 = tableBehind(T7);
const T9 = tableBehind(T8);
const T10 = tableBehind(T9);
const T11 = tableBehind(T10);
const T12 = tableBehind(T11);
const T13 = tableBehind(T12);
const T14 = tableBehind(T13);
const T15 = tableBehind(T14);

function tableOfBytes(): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL_REVERSED : crc >>> 1;
    table[byte] = crc;
  }
  return table;
}

/** The table for one more zero byte behind. */
function tableBehind(table: Int32Array): Int32Array {
  const next = new Int32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    const crc = table[byte] as number;
    next[byte] = (crc >>> 8) ^ (T0[crc & 0xff] as number);
  }
  return next;
}

/**
 * The checksum of `bytes[start, end)`, in [0, 2^32 - 1]; of no bytes it is `initial`. About 2.5 GB/s.
 *
 * @param initial - checksum of the bytes before, to extend it; 0 (the default) at the beginning
 */
export function crc32c(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let crc = ~initial;
  let offset = start;
  if (end - start >= VIEW_BYTES_MIN) {
    offset = end - ((end - start) % 16);
    crc = extendByWords(new DataView(bytes.buffer, bytes.byteOffset + start, offset - start), offset - start, crc);
  }
  for (const last = end - 16; offset <= last; offset += 16) {
    crc =
      (T15[(bytes[offset] as number) ^ (crc & 0xff)] as number) ^
      (T14[(bytes[offset + 1] as number) ^ ((crc >>> 8) & 0xff)] as number) ^
      (T13[(bytes[offset + 2] as number) ^ ((crc >>> 16) & 0xff)] as number) ^
      (T12[(bytes[offset + 3] as number) ^ (crc >>> 24)] as number) ^
      (T11[bytes[offset + 4] as number] as number) ^
      (T10[bytes[offset + 5] as number] as number) ^
      (T9[bytes[offset + 6] as number] as number) ^
      (T8[bytes[offset + 7] as number] as number) ^
      (T7[bytes[offset + 8] as number] as number) ^
      (T6[bytes[offset + 9] as number] as number) ^
      (T5[bytes[offset + 10] as number] as number) ^
      (T4[bytes[offset + 11] as number] as number) ^
      (T3[bytes[offset + 12] as number] as number) ^
      (T2[bytes[offset + 13] as number] as number) ^
      (T1[bytes[offset + 14] as number] as number) ^
      (T0[bytes[offset + 15] as number] as number);
  }
  for (const last = end - 4; offset <= last; offset += 4) {
    crc =
      (T3[(bytes[offset] as number) ^ (crc & 0xff)] as number) ^
      (T2[(bytes[offset + 1] as number) ^ ((crc >>> 8) & 0xff)] as number) ^
      (T1[(bytes[offset + 2] as number) ^ ((crc >>> 16) & 0xff)] as number) ^
      (T0[(bytes[offset + 3] as number) ^ (crc >>> 24)] as number);
  }
  for (; offset < end; offset += 1) {
    crc = (crc >>> 8) ^ (T0[((bytes[offset] as number) ^ crc) & 0xff] as number);
  }
  return ~crc >>> 0;
}

/** The same steps of sixteen, with four loads of a word instead of sixteen of a byte. `length` is a multiple of 16. */
function extendByWords(view: DataView, length: number, initial: number): number {
  let crc = initial;
  for (let offset = 0; offset < length; offset += 16) {
    const first = view.getInt32(offset, true) ^ crc;
    const second = view.getInt32(offset + 4, true);
    const third = view.getInt32(offset + 8, true);
    const fourth = view.getInt32(offset + 12, true);
    // What depends on the step before comes last, so that the rest need not wait for it.
    crc =
      (T0[fourth >>> 24] as number) ^
      (T1[(fourth >>> 16) & 0xff] as number) ^
      (T2[(fourth >>> 8) & 0xff] as number) ^
      (T3[fourth & 0xff] as number) ^
      (T4[third >>> 24] as number) ^
      (T5[(third >>> 16) & 0xff] as number) ^
      (T6[(third >>> 8) & 0xff] as number) ^
      (T7[third & 0xff] as number) ^
      (T8[second >>> 24] as number) ^
      (T9[(second >>> 16) & 0xff] as number) ^
      (T10[(second >>> 8) & 0xff] as number) ^
      (T11[second & 0xff] as number) ^
      ((T12[first >>> 24] as number) ^ (T13[(first >>> 16) & 0xff] as number)) ^
      ((T14[(first >>> 8) & 0xff] as number) ^ (T15[first & 0xff] as number));
  }
  return crc;
}

/** What is stored instead of a checksum: checksums of bytes that hold checksums would be weak. */
export function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

/** Undoes {@link maskCrc}. */
export function unmaskCrc(masked: number): number {
  const rotated = (masked - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}
