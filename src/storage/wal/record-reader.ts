import { CorruptionError } from '../../errors.ts';
import { crc32c, maskCrc } from '../codec/crc32c.ts';
import { readFixed32 } from '../codec/fixed.ts';
import { readFully } from '../file-system/read-fully.ts';
import type { ReadableFile } from '../file-system/file-system.ts';
import { BLOCK_BYTES, FIRST, FULL, HEADER_BYTES, LAST, MIDDLE, RECORD_BYTES_MAX, ZERO } from './record-format.ts';

/** Bytes read at a time; whole blocks, so that no fragment crosses a chunk's end. */
const CHUNK_BYTES = 8 * BLOCK_BYTES;
const ASSEMBLED_BYTES_MIN = 4 * BLOCK_BYTES;
/** A larger buffer was made for a huge record, and is not kept. */
const ASSEMBLED_BYTES_KEPT_MAX = 1_048_576;
/** Bytes that looking for a fragment byte by byte may checksum in one block: any ordinary content, and some 20 ms. */
const SEARCH_BYTES_PER_BLOCK_MAX = 40 * 2 ** 20;
/** The same in one file; when they are used up, only the beginnings of blocks are looked at. */
const SEARCH_BYTES_MAX = 2 ** 30;

/** Checksum of each type byte alone, by type: where the checksum of a fragment begins. */
const TYPE_CHECKSUMS: readonly number[] = [ZERO, FULL, FIRST, MIDDLE, LAST].map((t) => crc32c(Uint8Array.of(t), 0, 1));

/**
 * What stands at the reader's place in the file.
 *
 * - `record`: a whole record. `bytes` may be a view, valid until the next call; `offset` is that of its first header.
 * - `end`: the file ends after a whole record, or nothing but zeros follows (space that was preallocated).
 * - `torn`: the file ends within a record that begins at `offset`, as a write that was cut short leaves it.
 * - `bad`: what begins at `offset` was not written so: wrong checksum, type or order, or a length beyond the block.
 */
export type ReadOutcome =
  | { readonly type: 'record'; readonly bytes: Uint8Array; readonly offset: number; readonly endOffset: number }
  | { readonly type: 'end'; readonly offset: number }
  | { readonly type: 'torn'; readonly offset: number; readonly reason: string }
  | { readonly type: 'bad'; readonly offset: number; readonly reason: string };

/**
 * Reads the records of a log or a manifest in order; the format is in `record-format.ts`. Memory: one chunk of at most
 * 256 KiB, and the record at hand. A length in the file is believed only as far as the bytes are there.
 *
 * A call answers at once while its chunk lasts, and with a promise when it has to read; await before the next call. The
 * promise rejects with what the file rejects with, and with `CorruptionError` if the file is shorter than its size says. A
 * file that is made shorter meanwhile ends where it ends now.
 *
 * After `end`, `torn` or `bad`, {@link next} repeats it. {@link resync} looks on behind the damage.
 */
export class RecordReader {
  readonly #file: ReadableFile;
  readonly #fileName: string;
  readonly #recordBytesMax: number;
  /** The file's size, once it is known; bytes appended later are not read. */
  #size = -1;
  #chunk: Uint8Array = new Uint8Array(0);
  #chunkStart = 0;
  #chunkEnd = 0;
  #position: number;

  /** Where the last whole record ends. */
  #goodEnd: number;
  /** Where the record begins whose fragments are being put together; -1: none. */
  #recordStart = -1;
  #assembled: Uint8Array = new Uint8Array(0);
  #assembledBytes = 0;
  /** Where a run of zeros begins that may last to the end of the file; -1: none. */
  #zerosStart = -1;
  /** The outcome that ended the reading. */
  #stopped: ReadOutcome | undefined;
  /** The fragment at which it ended: from here on `resync` looks. */
  #stoppedAt = 0;
  #searchBytesLeft = SEARCH_BYTES_MAX;

  /**
   * @param fileName - for errors: relative to the database directory
   * @param startOffset - where a record begins; default 0
   * @param recordBytesMax - what is longer is damage
   */
  constructor(file: ReadableFile, fileName: string, startOffset = 0, recordBytesMax: number = RECORD_BYTES_MAX) {
    this.#recordBytesMax = recordBytesMax;
    this.#file = file;
    this.#fileName = fileName;
    this.#position = startOffset;
    this.#goodEnd = startOffset;
  }

  next(): ReadOutcome | Promise<ReadOutcome> {
    return this.#advance() ?? this.#nextAfterRead();
  }

  /**
   * After `torn` or `bad`: goes to the next place where a whole, valid record begins, and reads it; `end` if there is
   * none. In the rest of the block it first believes the length in the broken header, if a valid fragment follows there,
   * and then tries every byte; later blocks begin with a fragment. What it finds may be part of a value that holds a copy
   * of some log: take it as a reason for doubt, not as data. Otherwise the same as {@link next}.
   */
  async resync(): Promise<ReadOutcome> {
    let stopped = this.#stopped;
    while (stopped !== undefined && stopped.type !== 'end') {
      const found = await this.#findBeginning(this.#stoppedAt);
      if (found < 0) return this.#stop({ type: 'end', offset: this.#goodEnd }, this.#size);
      this.#position = found;
      this.#stopped = undefined;
      const outcome = await this.next(); // got past `found`, which is valid: every turn makes progress
      if (outcome.type === 'record') return outcome;
      stopped = outcome;
    }
    return this.next();
  }

  async #nextAfterRead(): Promise<ReadOutcome> {
    for (;;) {
      await this.#load();
      const outcome = this.#advance();
      if (outcome !== undefined) return outcome;
    }
  }

  /** Goes on until there is an outcome, or, `undefined`, until the chunk at the place is needed. */
  #advance(): ReadOutcome | undefined {
    if (this.#stopped !== undefined) return this.#stopped;
    if (this.#size < 0) return undefined;
    for (;;) {
      const blockLeft = BLOCK_BYTES - (this.#position % BLOCK_BYTES);
      if (blockLeft < HEADER_BYTES && this.#zerosStart < 0) {
        this.#position += blockLeft; // the trailer: LevelDB does not look at it either
        continue;
      }
      if (this.#position >= this.#size) return this.#stopAtEnd();
      if (this.#position < this.#chunkStart || this.#position >= this.#chunkEnd) return undefined;
      const outcome = this.#zerosStart < 0 ? this.#readFragment(blockLeft) : this.#readZeros();
      if (outcome !== undefined) return outcome;
    }
  }

  /** Takes the fragment at the place, which is in the chunk with its whole block; an outcome if one is complete. */
  #readFragment(blockLeft: number): ReadOutcome | undefined {
    const chunk = this.#chunk;
    const at = this.#position - this.#chunkStart;
    const left = Math.min(blockLeft, this.#size - this.#position);
    if (left < HEADER_BYTES) {
      if (isZero(chunk, at, at + left)) return this.#beginZeros();
      return this.#stopTorn('the file ends within a record header');
    }
    const length = (chunk[at + 4] as number) | ((chunk[at + 5] as number) << 8);
    const type = chunk[at + 6] as number;
    if (type === ZERO && isZero(chunk, at, at + HEADER_BYTES)) return this.#beginZeros();
    if (length > blockLeft - HEADER_BYTES) return this.#stopBad(`a record length of ${length} goes beyond the block`);
    if (length > left - HEADER_BYTES) return this.#stopTorn('the file ends within a record');
    if (type < FULL || type > LAST) return this.#stopBad(`${type} is no record type`);
    const from = at + HEADER_BYTES;
    const to = from + length;
    if (readFixed32(chunk, at) !== maskCrc(crc32c(chunk, from, to, TYPE_CHECKSUMS[type]))) {
      return this.#stopBad('a record does not match its checksum');
    }

    if (type === FULL || type === FIRST) {
      // An empty FIRST may stand alone: some versions of LevelDB wrote it into the last 7 bytes of a block, then a FULL.
      if (this.#recordStart >= 0 && this.#assembledBytes > 0) return this.#stopBad('a record lacks its last part');
      this.#recordStart = this.#position;
      this.#assembledBytes = 0;
    } else if (this.#recordStart < 0) {
      return this.#stopBad('a record lacks its first part');
    }
    if (type === FULL) return this.#finish(chunk.subarray(from, to), HEADER_BYTES + length);
    if (this.#assembledBytes + length > this.#recordBytesMax)
      return this.#stopBad('a record is longer than any we write');
    this.#append(from, to);
    if (type === LAST) return this.#finish(this.#assembled.subarray(0, this.#assembledBytes), HEADER_BYTES + length);
    this.#position += HEADER_BYTES + length;
    return undefined;
  }

  #finish(bytes: Uint8Array, fragmentBytes: number): ReadOutcome {
    const offset = this.#recordStart;
    this.#position += fragmentBytes;
    this.#goodEnd = this.#position;
    this.#recordStart = -1;
    this.#assembledBytes = 0;
    if (this.#assembled.length > ASSEMBLED_BYTES_KEPT_MAX) this.#assembled = new Uint8Array(0);
    return { type: 'record', bytes, offset, endOffset: this.#position };
  }

  /** Adds `chunk[from, to)` to the record at hand. The buffer follows what was read, never what a header claims. */
  #append(from: number, to: number): void {
    const needed = this.#assembledBytes + to - from;
    if (needed > this.#assembled.length) {
      const grown = new Uint8Array(Math.max(needed, ASSEMBLED_BYTES_MIN, 2 * this.#assembled.length));
      grown.set(this.#assembled.subarray(0, this.#assembledBytes));
      this.#assembled = grown;
    }
    this.#assembled.set(this.#chunk.subarray(from, to), this.#assembledBytes);
    this.#assembledBytes = needed;
  }

  #beginZeros(): undefined {
    this.#zerosStart = this.#position;
  }

  /** Zeros are the end only if they last to it; LevelDB skips them anywhere, and the records they replaced with them. */
  #readZeros(): ReadOutcome | undefined {
    const end = Math.min(this.#chunkEnd, this.#size);
    if (!isZero(this.#chunk, this.#position - this.#chunkStart, end - this.#chunkStart)) {
      this.#position = this.#zerosStart;
      return this.#stopBad('zeros stand in the place of a record');
    }
    this.#position = end;
    return undefined;
  }

  #stopAtEnd(): ReadOutcome {
    if (this.#recordStart >= 0) return this.#stopTorn('the file ends before the last part of a record');
    return this.#stop({ type: 'end', offset: this.#goodEnd }, this.#size);
  }

  #stopTorn(reason: string): ReadOutcome {
    return this.#stop({ type: 'torn', offset: this.#damageStart(), reason }, this.#position);
  }

  #stopBad(reason: string): ReadOutcome {
    return this.#stop({ type: 'bad', offset: this.#damageStart(), reason }, this.#position);
  }

  #damageStart(): number {
    return this.#recordStart < 0 ? this.#position : this.#recordStart;
  }

  #stop(outcome: ReadOutcome, stoppedAt: number): ReadOutcome {
    this.#stopped = outcome;
    this.#stoppedAt = stoppedAt;
    this.#recordStart = -1;
    this.#assembledBytes = 0;
    this.#zerosStart = -1;
    return outcome;
  }

  /** Reads the chunk that holds the place; none, if that is behind the end. */
  async #load(): Promise<void> {
    if (this.#size < 0) this.#size = await this.#file.size();
    while (this.#position < this.#size) {
      const start = this.#position - (this.#position % BLOCK_BYTES);
      const length = Math.min(CHUNK_BYTES, this.#size - start);
      if (this.#chunk.length < length) this.#chunk = new Uint8Array(length);
      this.#chunkEnd = 0; // while the buffer is neither the old chunk nor the new one
      try {
        await readFully({ file: this.#file, name: this.#fileName }, this.#chunk.subarray(0, length), start);
      } catch (thrown) {
        // A log gives back the room that it had reserved while others read it. (Found by ATTACH.)
        if (!(thrown instanceof CorruptionError)) throw thrown;
        const size = await this.#file.size();
        if (size >= this.#size) throw thrown;
        this.#size = size;
        continue;
      }
      this.#chunkStart = start;
      this.#chunkEnd = start + length;
      return;
    }
  }

  /** The first place at or after `from` where a valid FULL or FIRST stands; -1: none. */
  async #findBeginning(from: number): Promise<number> {
    let place = from;
    for (;;) {
      const blockLeft = BLOCK_BYTES - (place % BLOCK_BYTES);
      if (blockLeft < HEADER_BYTES) place += blockLeft;
      if (place >= this.#size) return -1;
      this.#position = place;
      if (place < this.#chunkStart || place >= this.#chunkEnd) await this.#load();
      const blockEnd = Math.min(place - (place % BLOCK_BYTES) + BLOCK_BYTES, this.#size);
      const found = this.#findFragment(place, blockEnd);
      if (found < 0) {
        place = blockEnd;
        continue;
      }
      const type = this.#chunk[found - this.#chunkStart + HEADER_BYTES - 1];
      if (type === FULL || type === FIRST) return found;
      place = this.#claimedEnd(found); // the rest of a record whose beginning is lost
    }
  }

  /** The first valid fragment in [place, blockEnd), all of it in the chunk; -1: none. */
  #findFragment(place: number, blockEnd: number): number {
    const budget = { bytes: Math.min(SEARCH_BYTES_PER_BLOCK_MAX, this.#searchBytesLeft) };
    const bytesBefore = budget.bytes;
    let found = -1;
    if (this.#isFragment(place, blockEnd, budget)) found = place;
    else if (place + HEADER_BYTES <= blockEnd) {
      const next = this.#claimedEnd(place);
      if (this.#isFragment(next, blockEnd, budget)) found = next;
    }
    for (let guess = place + 1; found < 0 && guess + HEADER_BYTES <= blockEnd && budget.bytes > 0; guess += 1) {
      if (this.#isFragment(guess, blockEnd, budget)) found = guess;
    }
    this.#searchBytesLeft -= bytesBefore - budget.bytes;
    return found;
  }

  #isFragment(place: number, blockEnd: number, budget: { bytes: number }): boolean {
    if (place + HEADER_BYTES > blockEnd) return false;
    const at = place - this.#chunkStart;
    const type = this.#chunk[at + 6] as number;
    if (type < FULL || type > LAST) return false;
    const end = this.#claimedEnd(place);
    if (end > blockEnd) return false;
    budget.bytes -= end - place;
    const checksum = crc32c(this.#chunk, at + HEADER_BYTES, end - this.#chunkStart, TYPE_CHECKSUMS[type]);
    return readFixed32(this.#chunk, at) === maskCrc(checksum);
  }

  /** Where the fragment at `place` ends by its own header, which is in the chunk. */
  #claimedEnd(place: number): number {
    const at = place - this.#chunkStart;
    return place + HEADER_BYTES + (this.#chunk[at + 4] as number) + (this.#chunk[at + 5] as number) * 256;
  }
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let index = start; index < end; index += 1) if (bytes[index] !== 0) return false;
  return true;
}
