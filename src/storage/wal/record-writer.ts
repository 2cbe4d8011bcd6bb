import { crc32c, maskCrc } from '../codec/crc32c.ts';
import { writeFixed32 } from '../codec/fixed.ts';
import { BLOCK_BYTES, FIRST, FULL, HEADER_BYTES, LAST, MIDDLE } from './record-format.ts';

const STAGING_BYTES_MIN = 65_536;
/** A larger buffer was made for a huge record, and is not kept. */
const STAGING_BYTES_KEPT_MAX = 2_097_152;
/** Below this, a loop copies faster than `set`, which needs a view of the source. */
const LOOP_COPY_BYTES_MAX = 32;

/** Checksum of each type byte alone, by type: where the checksum of a fragment begins. */
const TYPE_CHECKSUMS: readonly number[] = [0, FULL, FIRST, MIDDLE, LAST].map((type) =>
  crc32c(Uint8Array.of(type), 0, 1),
);

/**
 * Frames records as `record-format.ts` says, into memory: no I/O. The same bytes as LevelDB's own writer, so that a
 * record that begins with exactly 7 bytes left in its block gets an empty FIRST there.
 */
export class RecordWriter {
  #staging: Uint8Array = new Uint8Array(STAGING_BYTES_MIN);
  #stagedBytes = 0;
  /** Place of the staging buffer's first byte in the file. */
  #base: number;

  /** @param initialOffset - bytes in the file already, for the block boundaries; default 0 */
  constructor(initialOffset = 0) {
    this.#base = initialOffset;
  }

  /** Place in the file after what is staged. */
  get offset(): number {
    return this.#base + this.#stagedBytes;
  }

  /** Frames one record, `bytes[start, end)`; it may be empty. The bytes are copied. */
  add(bytes: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start);
    let from = start;
    for (let isBegun = false; ; isBegun = true) {
      let room = BLOCK_BYTES - (this.offset % BLOCK_BYTES);
      if (room < HEADER_BYTES) {
        this.#staging.fill(0, this.#stagedBytes, this.#stagedBytes + room);
        this.#stagedBytes += room;
        room = BLOCK_BYTES;
      }
      const to = Math.min(end, from + room - HEADER_BYTES);
      const isLast = to === end;
      this.#addFragment(isBegun ? (isLast ? LAST : MIDDLE) : isLast ? FULL : FIRST, bytes, from, to);
      if (isLast) return;
      from = to;
    }
  }

  /** The framed bytes that were not taken yet: a view of the staging buffer, valid until {@link clear} or {@link add}. */
  staged(): Uint8Array {
    return this.#staging.subarray(0, this.#stagedBytes);
  }

  /** Forgets what is staged: it is in the file now. */
  clear(): void {
    this.#base += this.#stagedBytes;
    this.#stagedBytes = 0;
    if (this.#staging.length > STAGING_BYTES_KEPT_MAX) this.#staging = new Uint8Array(STAGING_BYTES_MIN);
  }

  #addFragment(type: number, bytes: Uint8Array, from: number, to: number): void {
    const staging = this.#staging;
    const length = to - from;
    let at = this.#stagedBytes;
    writeFixed32(staging, at, maskCrc(crc32c(bytes, from, to, TYPE_CHECKSUMS[type])));
    staging[at + 4] = length;
    staging[at + 5] = length >>> 8;
    staging[at + 6] = type;
    at += HEADER_BYTES;
    if (length <= LOOP_COPY_BYTES_MAX)
      for (let index = from; index < to; index += 1) staging[at++] = bytes[index] as number;
    else staging.set(bytes.subarray(from, to), at);
    this.#stagedBytes += HEADER_BYTES + length;
  }

  /** Makes room for a record: its payload, a header per block it touches, and one trailer. */
  #reserve(payloadBytes: number): void {
    const fragmentsMax = Math.ceil(payloadBytes / (BLOCK_BYTES - HEADER_BYTES)) + 2;
    const needed = this.#stagedBytes + payloadBytes + (fragmentsMax + 1) * HEADER_BYTES;
    if (needed <= this.#staging.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#staging.length));
    grown.set(this.#staging.subarray(0, this.#stagedBytes));
    this.#staging = grown;
  }
}
