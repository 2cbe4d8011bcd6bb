/**
 * Writes the contents of one block after the other (grammar in `block.ts`), entry by entry.
 *
 * The caller brings keys in ascending order; the builder only looks for what a key shares with the one before.
 */
import { writeFixed32 } from '../codec/fixed.ts';
import { VARINT32_BYTES_MAX, writeVarint } from '../codec/varint.ts';

const LENGTHS_BYTES_MAX = 3 * VARINT32_BYTES_MAX;

export class BlockBuilder {
  readonly #restartInterval: number;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1024);
  #length = 0;
  #restarts: number[] = [0];
  #entriesSinceRestart = 0;
  #lastKey: Uint8Array<ArrayBuffer> = new Uint8Array(64);
  #lastKeyLength = 0;

  /** @param restartInterval - every so many entries, one with its whole key; at least 1 */
  constructor(restartInterval: number) {
    this.#restartInterval = restartInterval;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Bytes of the contents if they were finished now. */
  get sizeEstimate(): number {
    return this.#length + 4 * this.#restarts.length + 4;
  }

  /** Adds the key `keyBytes[0, keyLength)` and the value `valueBytes[valueStart, valueEnd)`. */
  add(keyBytes: Uint8Array, keyLength: number, valueBytes: Uint8Array, valueStart: number, valueEnd: number): void {
    let shared = 0;
    if (this.#entriesSinceRestart < this.#restartInterval) {
      shared = this.#sharedWithLast(keyBytes, keyLength);
    } else {
      this.#restarts.push(this.#length);
      this.#entriesSinceRestart = 0;
    }
    this.#entriesSinceRestart += 1;
    const valueLength = valueEnd - valueStart;
    const bytes = this.#reserve(LENGTHS_BYTES_MAX + keyLength - shared + valueLength);
    let offset = writeVarint(bytes, this.#length, shared);
    offset = writeVarint(bytes, offset, keyLength - shared);
    offset = writeVarint(bytes, offset, valueLength);
    offset = copy(keyBytes, shared, keyLength, bytes, offset);
    this.#length = copy(valueBytes, valueStart, valueEnd, bytes, offset);
    this.#keepLast(keyBytes, shared, keyLength);
  }

  /** Ends the block. The contents are a view that stays valid until the next `add` or `reset`. */
  finish(): Uint8Array {
    const bytes = this.#reserve(4 * this.#restarts.length + 4);
    for (const restart of this.#restarts) {
      writeFixed32(bytes, this.#length, restart);
      this.#length += 4;
    }
    writeFixed32(bytes, this.#length, this.#restarts.length);
    this.#length += 4;
    return bytes.subarray(0, this.#length);
  }

  /** Begins the next block. */
  reset(): void {
    this.#length = 0;
    this.#restarts = [0];
    this.#entriesSinceRestart = 0;
    this.#lastKeyLength = 0;
  }

  #sharedWithLast(keyBytes: Uint8Array, keyLength: number): number {
    const lastKey = this.#lastKey;
    const common = Math.min(keyLength, this.#lastKeyLength);
    let shared = 0;
    while (shared < common && lastKey[shared] === keyBytes[shared]) shared += 1;
    return shared;
  }

  #keepLast(keyBytes: Uint8Array, shared: number, keyLength: number): void {
    if (keyLength > this.#lastKey.length) {
      this.#lastKey = new Uint8Array(2 * keyLength);
      copy(keyBytes, 0, shared, this.#lastKey, 0);
    }
    copy(keyBytes, shared, keyLength, this.#lastKey, shared);
    this.#lastKeyLength = keyLength;
  }

  /** The buffer, with room for `more` bytes. */
  #reserve(more: number): Uint8Array<ArrayBuffer> {
    const needed = this.#length + more;
    if (needed > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      longer.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = longer;
    }
    return this.#bytes;
  }
}

/** Copies `from[start, end)` to `into` at `offset`; returns the offset behind. A loop is faster for short pieces. */
function copy(from: Uint8Array, start: number, end: number, into: Uint8Array, offset: number): number {
  const length = end - start;
  if (length <= 128) {
    for (let index = 0; index < length; index += 1) into[offset + index] = from[start + index] as number;
  } else {
    into.set(from.subarray(start, end), offset);
  }
  return offset + length;
}
