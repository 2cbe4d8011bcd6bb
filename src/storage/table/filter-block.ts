/**
 * The filter block: one Bloom filter for all data blocks that begin in the same 2 KiB of the file.
 *
 *     filter block := { filter } | { start: fixed32 } | fixed32 offset of the first start | base (1 byte: 11)
 *
 * Filter i is about the data blocks with offsets in [i * 2^base, (i + 1) * 2^base), and lies from start i to start i + 1;
 * the offset behind the starts serves as the end of the last one. Where no block begins, the filter is empty.
 *
 * Source: LevelDB table/filter_block.cc.
 */
import { bloomFilterBytes, bloomMayContain } from '../codec/bloom.ts';
import { readFixed32, writeFixed32 } from '../codec/fixed.ts';
import { Malformed } from '../codec/malformed.ts';

const BASE_LOG = 11;
const BASE_BYTES = 2 ** BASE_LOG;
/** The offset of the starts, and the base. */
const TAIL_BYTES = 5;

export class FilterBuilder {
  readonly #bitsPerKey: number;
  readonly #filters: Uint8Array[] = [];
  readonly #starts: number[] = [];
  #filterBytes = 0;
  #hashes = new Uint32Array(256);
  #hashCount = 0;

  /** @param bitsPerKey - at least 1 */
  constructor(bitsPerKey: number) {
    this.#bitsPerKey = bitsPerKey;
  }

  /** Whether no key has been added to the filter being made. */
  get isEmpty(): boolean {
    return this.#hashCount === 0;
  }

  /** Bytes of the finished block, but for the filter being made. */
  get sizeEstimate(): number {
    return this.#filterBytes + 4 * this.#starts.length + TAIL_BYTES;
  }

  /** Adds the Bloom hash of a user key. */
  add(hash: number): void {
    if (this.#hashCount === this.#hashes.length) {
      const longer = new Uint32Array(2 * this.#hashes.length);
      longer.set(this.#hashes);
      this.#hashes = longer;
    }
    this.#hashes[this.#hashCount] = hash;
    this.#hashCount += 1;
  }

  /** The next data block begins at `blockOffset`. */
  startBlock(blockOffset: number): void {
    const index = Math.floor(blockOffset / BASE_BYTES);
    while (this.#starts.length < index) this.#endFilter();
  }

  finish(): Uint8Array {
    if (this.#hashCount > 0) this.#endFilter();
    const bytes = new Uint8Array(this.sizeEstimate);
    let offset = 0;
    for (const filter of this.#filters) {
      bytes.set(filter, offset);
      offset += filter.length;
    }
    for (const start of this.#starts) {
      writeFixed32(bytes, offset, start);
      offset += 4;
    }
    writeFixed32(bytes, offset, this.#filterBytes);
    bytes[offset + 4] = BASE_LOG;
    return bytes;
  }

  #endFilter(): void {
    this.#starts.push(this.#filterBytes);
    if (this.#hashCount === 0) return;
    const filter = bloomFilterBytes(this.#hashes, this.#hashCount, this.#bitsPerKey);
    this.#filters.push(filter);
    this.#filterBytes += filter.length;
    this.#hashCount = 0;
  }
}

export class FilterReader {
  readonly #bytes: Uint8Array;
  readonly #startsOffset: number;
  readonly #filterCount: number;
  /** Times this, a block's offset is the index of its filter: exact, since it is a power of two. */
  readonly #perBase: number;

  /** @throws Malformed when the starts do not ascend within the block */
  constructor(bytes: Uint8Array) {
    if (bytes.length < TAIL_BYTES) throw new Malformed('filter block is too short', 0);
    const tail = bytes.length - TAIL_BYTES;
    const startsOffset = readFixed32(bytes, tail);
    if (startsOffset > tail || (tail - startsOffset) % 4 !== 0) {
      throw new Malformed('filter block says its starts are where they cannot be', tail);
    }
    let least = 0;
    // The word behind the last start is `startsOffset` itself, the end of the last filter.
    for (let offset = startsOffset; offset <= tail; offset += 4) {
      const start = readFixed32(bytes, offset);
      if (start < least || start > startsOffset) throw new Malformed('starts of a filter block do not ascend', offset);
      least = start;
    }
    this.#bytes = bytes;
    this.#startsOffset = startsOffset;
    this.#filterCount = (tail - startsOffset) / 4;
    this.#perBase = 2 ** -(bytes[tail + 4] as number);
  }

  get memoryBytes(): number {
    return this.#bytes.length;
  }

  /** False only if no key with this hash was added for the data block at `blockOffset`. */
  mayContain(blockOffset: number, hash: number): boolean {
    const index = Math.floor(blockOffset * this.#perBase);
    if (index >= this.#filterCount) return true;
    const at = this.#startsOffset + 4 * index;
    const start = readFixed32(this.#bytes, at);
    const end = readFixed32(this.#bytes, at + 4);
    return start < end && bloomMayContain(this.#bytes, start, end, hash);
  }
}
