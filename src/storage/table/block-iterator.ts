/**
 * A cursor over the entries of data blocks, one block at a time. It writes what it stands on straight into the fields of
 * whoever owns it (a table's or a level's iterator), so that no layer copies them.
 *
 * Forwards, each key follows from the one before. Backwards it does not: entry i - 1 may share bytes with i - 2 that
 * entry i has overwritten. Decoding the restart interval again for each step back would be quadratic in its length, which
 * the file decides. So the first step back into an interval notes for each entry of it where it is, how much it shares,
 * and which earlier entry is the nearest that shares less: that one wrote the bytes in front of this one's own.
 *
 *     key            shared  nearest that shares less
 *     0  apple         0       none
 *     1  application   4       0
 *     2  apply         4       0
 *     3  apt           2       0        step back from 3: bytes [0, 2) stay; 'y' from 2, and 'pl' from 2's link, 0
 *
 * Following these links costs at most one hop per byte restored.
 */
import type { InternalIterator } from '../read/internal-iterator.ts';
import { KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../read/internal-iterator.ts';
import { compareBytes } from '../codec/compare.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';
import { Block, BlockEntryReader, roughSequence } from './block.ts';

/** What a cursor stands before when it has been given no block: a restart count of zero, and nothing else. */
const NO_ENTRIES = new Block(new Uint8Array(4), '', 0);

/** The fields in which an iterator shows its entry. */
export type EntryFields = Pick<
  InternalIterator,
  'isValid' | 'keyBytes' | 'keyStart' | 'keyEnd' | 'sequence' | 'kind' | 'valueBytes' | 'valueStart' | 'valueEnd'
>;

/** All moves throw `CorruptionError` when the block does not follow its format; the owner is then not valid. */
export class BlockIterator {
  readonly #entry: EntryFields;
  readonly #reader: BlockEntryReader = new BlockEntryReader();
  #block: Block = NO_ENTRIES;
  /** Where the entry begins that the cursor stands on. */
  #offset = 0;
  /** Place of the entry in the interval noted below; -1 when the notes are of another place. */
  #place = -1;
  /** Notes on the entries of one interval: where each begins, what it shares, and the nearest before that shares less. */
  #offsets = new Int32Array(16);
  #shareds = new Int32Array(16);
  #links = new Int32Array(16);

  /** @param entry - whose fields this cursor sets */
  constructor(entry: EntryFields) {
    this.#entry = entry;
  }

  /** Moves to another block, and to none of its entries. */
  open(block: Block): void {
    this.#block = block;
    this.#entry.isValid = false;
  }

  seekToFirst(): void {
    this.#entry.isValid = false;
    this.#reader.keyLength = 0;
    this.#step(0);
  }

  seekToLast(): void {
    this.#entry.isValid = false;
    const block = this.#block;
    if (block.entriesEnd > 0) this.#stepToLastBefore(block.entriesEnd, block.restartCount - 1);
  }

  /** To the first entry at or after the user key `key[start, end)` and the sequence. */
  seek(key: Uint8Array, start: number, end: number, sequence: number): void {
    this.#entry.isValid = false;
    // The key may be the one in our own buffer, which the search overwrites.
    if (key.buffer === this.#reader.keyBytes.buffer) {
      this.#seek(key.slice(start, end), 0, end - start, sequence);
    } else {
      this.#seek(key, start, end, sequence);
    }
  }

  /** Only when valid. */
  next(): void {
    this.#entry.isValid = false;
    this.#step(this.#reader.valueEnd);
  }

  /** Only when valid. */
  previous(): void {
    this.#entry.isValid = false;
    if (this.#place > 0) {
      this.#stepBackToPlace(this.#place - 1);
    } else if (this.#offset > 0) {
      this.#stepToLastBefore(this.#offset, this.#lastRestartBefore(this.#offset));
    }
  }

  #step(offset: number): void {
    if (offset >= this.#block.entriesEnd) return;
    this.#reader.read(this.#block, offset);
    this.#place = -1;
    this.#publish(offset);
  }

  #seek(key: Uint8Array, start: number, end: number, sequence: number): void {
    const block = this.#block;
    this.#place = -1;
    if (block.entriesEnd === 0) return;
    const offset = block.restart(this.#restartFor(key, start, end, sequence));
    if (!this.#scanInPlace(offset, key, start, end, sequence)) this.#scan(offset, key, start, end, sequence);
  }

  /**
   * Goes from the restart at `from` to the first entry at or after the key, without putting any key together before the one
   * it stops at. All entries before that one are below the key searched for; let `match` be how many bytes the last of them
   * shares with it, and let it differ in the byte behind. Then an entry that shares more than `match` with the last one
   * has the same lower byte there, and is below, too; any other begins with bytes of the key searched for, and what
   * follows lies in the block.
   *
   * @returns false when the last one did not differ within its user key, so that the tag might take part in what is shared
   */
  #scanInPlace(from: number, key: Uint8Array, start: number, end: number, sequence: number): boolean {
    const block = this.#block;
    const reader = this.#reader;
    const { bytes, entriesEnd } = block;
    const length = end - start;
    let match = 0;
    let isDifferent = false;
    let lastLength = 0;
    for (let offset = from; offset < entriesEnd; offset = reader.valueEnd) {
      reader.readHeader(block, offset);
      const { shared, restStart, valueStart } = reader;
      const userLength = shared + valueStart - restStart - TAG_BYTES;
      if (shared > lastLength) block.fail('entry shares more bytes than the key before it has');
      if (userLength < 0) block.fail('key is too short for its tag');
      lastLength = userLength + TAG_BYTES;
      if (shared > match && isDifferent && userLength > match) continue;
      if (shared > match || shared > userLength) return false;
      const common = userLength < length ? userLength : length;
      const shift = restStart - shared;
      let at = shared;
      while (at < common && bytes[shift + at] === key[start + at]) at += 1;
      let order = userLength - length;
      if (at < common) order = (bytes[shift + at] as number) - (key[start + at] as number);
      else if (order === 0) order = sequence - roughSequence(bytes, valueStart);
      if (order >= 0) {
        reader.copyRest(block, restStart, shared, valueStart - restStart);
        for (let index = 0; index < shared; index += 1) reader.keyBytes[index] = key[start + index] as number;
        this.#publish(offset);
        return true;
      }
      match = at;
      isDifferent = at < common;
    }
    return true;
  }

  /** The same in the plain way. */
  #scan(from: number, key: Uint8Array, start: number, end: number, sequence: number): void {
    const block = this.#block;
    const reader = this.#reader;
    reader.keyLength = 0;
    for (let offset = from; offset < block.entriesEnd; offset = reader.valueEnd) {
      reader.read(block, offset);
      const { keyBytes, keyLength } = reader;
      if (keyLength < TAG_BYTES) block.fail('key is too short for its tag');
      let order = compareBytes(keyBytes, 0, keyLength - TAG_BYTES, key, start, end);
      if (order === 0) order = sequence - roughSequence(keyBytes, keyLength);
      if (order >= 0) {
        this.#publish(offset);
        return;
      }
    }
  }

  /** Index of the last restart whose entry is before the key, or 0. */
  #restartFor(key: Uint8Array, start: number, end: number, sequence: number): number {
    let left = 0;
    let right = this.#block.restartCount - 1;
    while (left < right) {
      const middle = (left + right + 1) >>> 1;
      if (this.#isRestartBefore(middle, key, start, end, sequence)) left = middle;
      else right = middle - 1;
    }
    return left;
  }

  #isRestartBefore(index: number, key: Uint8Array, start: number, end: number, sequence: number): boolean {
    const block = this.#block;
    const reader = this.#reader;
    reader.readHeader(block, block.restart(index));
    const { bytes } = block;
    const { restStart } = reader;
    const userLength = reader.valueStart - restStart - TAG_BYTES;
    if (reader.shared !== 0 || userLength < 0) block.fail('entry at a restart has no whole key');
    const length = end - start;
    const common = userLength < length ? userLength : length;
    for (let at = 0; at < common; at += 1) {
      const difference = (bytes[restStart + at] as number) - (key[start + at] as number);
      if (difference !== 0) return difference < 0;
    }
    if (userLength !== length) return userLength < length;
    return roughSequence(bytes, reader.valueStart) > sequence;
  }

  /** Index of the last restart below `offset`, which is not 0. */
  #lastRestartBefore(offset: number): number {
    const block = this.#block;
    let left = 0;
    let right = block.restartCount - 1;
    while (left < right) {
      const middle = (left + right + 1) >>> 1;
      if (block.restart(middle) < offset) left = middle;
      else right = middle - 1;
    }
    return left;
  }

  /** Reads the interval from restart `restartIndex` on, up to the entry that ends at `end`, and notes its entries. */
  #stepToLastBefore(end: number, restartIndex: number): void {
    const block = this.#block;
    const reader = this.#reader;
    let offset = block.restart(restartIndex);
    let count = 0;
    reader.keyLength = 0;
    this.#place = -1;
    for (;;) {
      reader.read(block, offset);
      this.#note(count, offset, reader.shared);
      if (reader.valueEnd >= end) break;
      offset = reader.valueEnd;
      count += 1;
    }
    if (reader.valueEnd > end) block.fail('a restart points into the middle of an entry');
    this.#place = count;
    this.#publish(offset);
  }

  #note(place: number, offset: number, shared: number): void {
    if (place === this.#offsets.length) {
      this.#offsets = doubled(this.#offsets);
      this.#shareds = doubled(this.#shareds);
      this.#links = doubled(this.#links);
    }
    let link = place - 1;
    while (link >= 0 && (this.#shareds[link] as number) >= shared) link = this.#links[link] as number;
    this.#offsets[place] = offset;
    this.#shareds[place] = shared;
    this.#links[place] = link;
  }

  /** Makes the key at `place` out of that of the entry behind it, as the comment at the head says. */
  #stepBackToPlace(place: number): void {
    const block = this.#block;
    const reader = this.#reader;
    const kept = this.#shareds[place + 1] as number;
    const offset = this.#offsets[place] as number;
    let missingEnd = -1;
    for (let owner = place; owner >= 0 && missingEnd !== kept; owner = this.#links[owner] as number) {
      reader.readHeader(block, this.#offsets[owner] as number);
      const { shared, restStart } = reader;
      if (missingEnd < 0) missingEnd = shared + reader.valueStart - restStart;
      const from = shared > kept ? shared : kept;
      if (owner === place) reader.copyRest(block, restStart + from - shared, from, missingEnd - from);
      else this.#restore(restStart + from - shared, from, missingEnd);
      missingEnd = from;
    }
    // The walk has moved the reader to other entries.
    reader.readHeader(block, offset);
    this.#place = place;
    this.#publish(offset);
  }

  /** Copies bytes of the block from `from` on into the key's `[start, end)`. */
  #restore(from: number, start: number, end: number): void {
    const { keyBytes } = this.#reader;
    const { bytes } = this.#block;
    for (let index = start; index < end; index += 1) keyBytes[index] = bytes[from + index - start] as number;
  }

  #publish(offset: number): void {
    const reader = this.#reader;
    const entry = this.#entry;
    const { keyBytes, keyLength } = reader;
    const keyEnd = keyLength - TAG_BYTES;
    if (keyEnd < 0) this.#block.fail('key is too short for its tag');
    const kind = keyBytes[keyEnd];
    if (kind !== KIND_SET && kind !== KIND_DELETE) this.#block.fail('key is of a kind that is neither set nor delete');
    const sequence = roughSequence(keyBytes, keyLength);
    if (sequence > SEQUENCE_MAX) this.#block.fail('sequence number exceeds 2^53 - 1');
    this.#offset = offset;
    entry.keyBytes = keyBytes;
    entry.keyStart = 0;
    entry.keyEnd = keyEnd;
    entry.sequence = sequence;
    entry.kind = kind;
    entry.valueBytes = this.#block.bytes;
    entry.valueStart = reader.valueStart;
    entry.valueEnd = reader.valueEnd;
    entry.isValid = true;
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(2 * array.length);
  longer.set(array);
  return longer;
}
