/** Small changes to bytes, as they happen and as somebody would make them on purpose. */
import type { FuzzTarget } from './target.ts';

const EDGES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 129, 254, 255];
const EDGES_32 = [
  0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
];
const VARINTS: readonly (readonly number[])[] = [
  [0x80, 0x00],
  [0x80, 0x01],
  [0xff, 0x7f],
  [0x80, 0x80, 0x80, 0x04],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0x1f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];
const BYTES_MAX = 2_048;
const encoder = new TextEncoder();

export class Mutator {
  readonly #random: () => number;
  readonly #bytesMax: number;
  readonly #words: readonly Uint8Array[];

  constructor({ bytesMax = BYTES_MAX, words = [] }: Pick<FuzzTarget, 'bytesMax' | 'words'>, random: () => number) {
    this.#random = random;
    this.#bytesMax = bytesMax;
    this.#words = words.map((word) => (typeof word === 'string' ? encoder.encode(word) : word));
  }

  /** A whole number in [0, end). */
  below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  /** A changed copy; `other` is one that pieces may be taken of. */
  mutate(bytes: Uint8Array, other: Uint8Array): Uint8Array {
    let changed: Uint8Array = bytes.slice();
    for (let left = 2 ** this.below(4); left > 0; left -= 1) changed = this.#change(changed, other);
    return changed.subarray(0, this.#bytesMax);
  }

  #change(bytes: Uint8Array, other: Uint8Array): Uint8Array {
    const at = this.below(bytes.length);
    switch (this.below(12)) {
      case 0:
        return this.#set(bytes, at, (bytes[at] ?? 0) ^ (1 << this.below(8)));
      case 1:
        return this.#set(bytes, at, this.below(256));
      case 2:
        return this.#set(bytes, at, this.#pick(EDGES));
      case 3:
        return this.#set(bytes, at, (bytes[at] ?? 0) + this.below(35) - 17);
      case 4:
        return this.#write(bytes, at, this.#word32());
      case 5:
        return this.#write(bytes, at, this.#pick(VARINTS));
      case 6:
        return this.#splice(bytes, at, this.#length(bytes), []);
      case 7:
        return this.#splice(bytes, this.below(bytes.length + 1), 0, this.#piece(bytes));
      case 8:
        return this.#splice(
          bytes,
          at,
          0,
          Array.from({ length: this.below(9) }, () => this.below(256)),
        );
      case 9:
        return this.#splice(bytes, at, this.#length(bytes), this.#piece(other));
      case 10:
        return this.#word(bytes, at);
      default:
        return this.below(4) === 0 ? bytes.subarray(0, at) : this.#write(bytes, at, this.#piece(other));
    }
  }

  #word(bytes: Uint8Array, at: number): Uint8Array {
    if (this.#words.length === 0) return this.#set(bytes, at, this.below(256));
    const word = this.#pick(this.#words);
    return this.below(2) === 0 ? this.#splice(bytes, at, 0, word) : this.#write(bytes, at, word);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  #word32(): readonly number[] {
    const value = this.#pick(EDGES_32);
    return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
  }

  /** Of a piece to be taken out: short ones mostly. */
  #length(bytes: Uint8Array): number {
    return 1 + this.below(this.below(3) === 0 ? bytes.length + 1 : Math.min(8, bytes.length + 1));
  }

  #piece(bytes: Uint8Array): Uint8Array {
    const start = this.below(bytes.length);
    return bytes.subarray(start, start + this.#length(bytes));
  }

  #set(bytes: Uint8Array, at: number, value: number): Uint8Array {
    if (at < bytes.length) bytes[at] = value;
    return bytes;
  }

  #write(bytes: Uint8Array, at: number, added: ArrayLike<number>): Uint8Array {
    for (let index = 0; index < added.length && at + index < bytes.length; index += 1) {
      bytes[at + index] = added[index] as number;
    }
    return bytes;
  }

  #splice(bytes: Uint8Array, at: number, removed: number, added: ArrayLike<number>): Uint8Array {
    const rest = bytes.subarray(Math.min(bytes.length, at + removed));
    const spliced = new Uint8Array(at + added.length + rest.length);
    spliced.set(bytes.subarray(0, at));
    spliced.set(added, at);
    spliced.set(rest, at + added.length);
    return spliced.length > 2 * this.#bytesMax ? spliced.subarray(0, this.#bytesMax) : spliced;
  }
}
