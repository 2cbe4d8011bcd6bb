/**
 * Finds blocks of which neither the beginning nor the length is known: behind a damaged one, where the index is lost as well.
 * In one pass, whose steps are as many as there are bytes.
 *
 * A block ends with a type and a checksum of all before. To try each beginning with each end would take the square of the
 * bytes. But CRC is linear: the state behind byte e of a checksum that was begun at s, and the one of a checksum that was
 * begun at the very first byte, differ by what was different at s, taken e - s steps on. With every state taken back to the
 * first byte, by the inverse of the step, that says
 *
 *     a block begins at s and ends at e   exactly if   A(s) = B(e)
 *
 * where A is known when s is passed, and B when e is: so each beginning is noted under its A, and each end looks up its B.
 *
 *     step        S(x) = table[x & 255] ^ (x >>> 8)       R(i + 1) = S(R(i) ^ byte)       R from the first byte, R(0) = 0
 *     taken back  N(i) = S^-i R(i)                        N(i + 1) = N(i) ^ S^-i byte
 *     beginning   A(s) = N(s) ^ S^-s init                 end   B(e) = N(e) ^ S^-e checksum
 *
 * A match by chance (one in 2^32 pairs) is thrown out by whoever decodes the block.
 */
import { unmaskCrc } from '../codec/crc32c.ts';
import { type BlockHandle, TRAILER_BYTES, TYPE_SNAPPY } from '../table/table-format.ts';
import { CONTENTS_BYTES_MIN, CRC_STEPS } from './find-blocks.ts';

/** The longest block that is found: beginnings before it are forgotten. */
const WINDOW_BYTES_MAX = 4 * 1024 * 1024;
const WINDOW_BYTES_MIN = 1024;
const INIT = 0xffff_ffff;
/** The byte at hand, and the four of a checksum behind it. */
const SLOTS = 5;
const BITS = 8;

/** Which byte leads to a state whose highest byte is this: all of them are different. */
const FROM_HIGHEST = new Uint8Array(256);
CRC_STEPS.forEach((state, byte) => (FROM_HIGHEST[state >>> 24] = byte));

/** The inverse of a step. */
function stepBack(state: number): number {
  const byte = FROM_HIGHEST[state >>> 24] as number;
  return (((state ^ (CRC_STEPS[byte] as number)) << 8) | byte) >>> 0;
}

export class BlockSearch {
  readonly #bytes: Uint8Array;
  readonly #windowMask: number;
  /** The newest beginning under each hash of A; and under each beginning, the one before it of the same hash. */
  readonly #newest: Int32Array;
  readonly #before: Int32Array;
  readonly #keys: Uint32Array;
  /** S^-i of each bit of a byte, for i at hand and the four behind it. */
  readonly #bits = new Uint32Array(SLOTS * BITS);
  #start = 0;
  #at = 0;
  #slot = 0;
  /** N, and S^-i of the initial state. */
  #state = 0;
  #init = INIT;
  /** Bytes gone over in all. */
  steps = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    let window = WINDOW_BYTES_MIN;
    while (window < Math.min(bytes.length, WINDOW_BYTES_MAX)) window *= 2;
    this.#windowMask = window - 1;
    this.#newest = new Int32Array(window).fill(-1);
    this.#before = new Int32Array(window);
    this.#keys = new Uint32Array(window);
  }

  /** Begins anew at a place, which must lie behind all that was gone over. */
  begin(start: number): void {
    this.#start = start;
    this.#at = start;
    this.#slot = 0;
    this.#state = 0;
    this.#init = INIT;
    const bits = this.#bits;
    for (let bit = 0; bit < BITS; bit += 1) bits[bit] = 1 << bit;
    for (let index = BITS; index < bits.length; index += 1) bits[index] = stepBack(bits[index - BITS] as number);
  }

  /** Whether there is nothing left to go over. */
  get isOver(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /**
   * Goes on for up to so many bytes, and ends at the first place where blocks may end.
   *
   * @returns these; none: not yet, or {@link isOver}
   */
  next(stepsMax: number): readonly BlockHandle[] {
    const bytes = this.#bytes;
    const last = Math.min(bytes.length, this.#at + stepsMax);
    while (this.#at < last) {
      const at = this.#at;
      const byte = bytes[at] as number;
      this.#note(at, (this.#state ^ this.#init) >>> 0);
      this.#state = (this.#state ^ this.#taken(this.#slot, byte)) >>> 0;
      const isEnd = byte <= TYPE_SNAPPY && at + TRAILER_BYTES <= bytes.length;
      const wanted = isEnd ? this.#endKey(at + 1) : 0;
      this.#advance();
      if (!isEnd) continue;
      const starts = this.#find(wanted, at);
      if (starts.length > 0) return starts.map((offset) => ({ offset, size: at - offset }));
    }
    return [];
  }

  #note(at: number, key: number): void {
    const mask = this.#windowMask;
    const hash = (key ^ (key >>> 15)) & mask;
    this.#keys[at & mask] = key;
    this.#before[at & mask] = this.#newest[hash] as number;
    this.#newest[hash] = at;
  }

  /** B: with the checksum that stands at a place, taken back to the first byte. */
  #endKey(place: number): number {
    const bytes = this.#bytes;
    const byteAt = (index: number): number => bytes[place + index] as number;
    const masked = (byteAt(0) | (byteAt(1) << 8) | (byteAt(2) << 16) | (byteAt(3) << 24)) >>> 0;
    const wanted = (unmaskCrc(masked) ^ INIT) >>> 0;
    let key = this.#state;
    // A byte that stands higher is one that is taken back further.
    for (let index = 0; index < 4; index += 1) {
      key ^= this.#taken((this.#slot + 1 + index) % SLOTS, (wanted >>> (8 * index)) & 0xff);
    }
    return key >>> 0;
  }

  #find(key: number, end: number): number[] {
    const mask = this.#windowMask;
    const oldest = Math.max(this.#start, end - mask);
    const starts: number[] = [];
    let at = this.#newest[(key ^ (key >>> 15)) & mask] as number;
    for (; at >= oldest; at = this.#before[at & mask] as number) {
      if (this.#keys[at & mask] === key && end - at >= CONTENTS_BYTES_MIN) starts.push(at);
    }
    return starts;
  }

  #taken(slot: number, byte: number): number {
    const bits = this.#bits;
    let sum = 0;
    for (let bit = 0, rest = byte; rest !== 0; bit += 1, rest >>= 1) {
      if ((rest & 1) === 1) sum ^= bits[slot * BITS + bit] as number;
    }
    return sum;
  }

  #advance(): void {
    const bits = this.#bits;
    const from = ((this.#slot + SLOTS - 1) % SLOTS) * BITS;
    const to = this.#slot * BITS;
    for (let bit = 0; bit < BITS; bit += 1) bits[to + bit] = stepBack(bits[from + bit] as number);
    this.#slot = (this.#slot + 1) % SLOTS;
    this.#init = stepBack(this.#init);
    this.#at += 1;
    this.steps += 1;
  }
}
