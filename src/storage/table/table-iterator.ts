/**
 * A cursor over all entries of a table: a block cursor, and the choice of the block.
 *
 * Blocks come one by one, from the cache or the disk; or, for scans and compactions, out of a chunk that one read call has
 * brought, in the direction in which the cursor moves. Each block of a chunk is checked like any other.
 */
import type { InternalIterator, Step } from '../read/internal-iterator.ts';
import type { Block } from './block.ts';
import type { BlockOwner } from './block-cache.ts';
import { BlockIterator, type EntryFields } from './block-iterator.ts';
import type { NamedFile } from '../file-system/read-fully.ts';
import { isChecksumRight, isExpected, unpackBlock } from './block-read.ts';
import { EntryHolder } from './entry-holder.ts';
import type { TableIndex } from './table-index.ts';

export interface TableIteratorOptions {
  /** Whether blocks are kept in the cache, and cached ones count as used. */
  readonly isCacheFilled: boolean;
  /** Bytes of one read; at least one block is read. 0: block by block. */
  readonly readAheadBytes: number;
  /** Whose fields show the entry. Default: the iterator's own. A level passes itself, and saves copying. */
  readonly showIn?: EntryFields;
}

/** A table, as its iterator sees it. */
export interface DataBlocks extends BlockOwner {
  readonly source: NamedFile;
  readonly index: TableIndex;
  load(place: number, isKept: boolean): Block | Promise<Block>;
  keep(place: number, block: Block): void;
  admit(place: number, contents: Uint8Array): Block;
  readRange(into: Uint8Array, position: number): Promise<void>;
}

const NO_BYTES = new Uint8Array(0);
const NO_BLOCK = -1;
type Arrival = 'first' | 'last';

export class TableIterator extends EntryHolder implements InternalIterator {
  readonly #table: DataBlocks;
  readonly #isCacheFilled: boolean;
  readonly #readAheadBytes: number;
  readonly #entry: EntryFields;
  readonly #cursor: BlockIterator;
  /** The block the cursor is in. */
  #place = NO_BLOCK;
  /** Read ahead: bytes of the file from `#chunkOffset` on, the first `#chunkBytes` of the buffer. */
  #chunk: Uint8Array = NO_BYTES;
  #chunkOffset = 0;
  #chunkBytes = 0;

  constructor(table: DataBlocks, options: TableIteratorOptions) {
    super();
    this.#table = table;
    this.#isCacheFilled = options.isCacheFilled;
    this.#readAheadBytes = options.readAheadBytes;
    this.#entry = options.showIn ?? this;
    this.#cursor = new BlockIterator(this.#entry);
  }

  seekToFirst(): Step {
    return this.#enter(0, 'first');
  }

  seekToLast(): Step {
    return this.#enter(this.#table.index.blockCount - 1, 'last');
  }

  seek(userKey: Uint8Array, sequence: number): Step {
    const place = this.#table.index.search(userKey, 0, userKey.length, sequence);
    if (place !== this.#place) {
      const step = this.#open(place, true);
      if (step !== undefined) return step.then(() => this.#seekInBlock(userKey, sequence));
    }
    return this.#seekInBlock(userKey, sequence);
  }

  next(): Step {
    this.#cursor.next();
    return this.#entry.isValid ? undefined : this.#enter(this.#place + 1, 'first');
  }

  previous(): Step {
    this.#cursor.previous();
    return this.#entry.isValid ? undefined : this.#enter(this.#place - 1, 'last');
  }

  close(): void {
    this.#leave();
    this.#chunk = NO_BYTES;
    this.#chunkBytes = 0;
  }

  #seekInBlock(userKey: Uint8Array, sequence: number): Step {
    if (this.#place === NO_BLOCK) return undefined;
    this.#cursor.seek(userKey, 0, userKey.length, sequence);
    // A key between the last of this block and its separator: what follows it begins the next block.
    return this.#entry.isValid ? undefined : this.#enter(this.#place + 1, 'first');
  }

  #enter(place: number, arrival: Arrival): Step {
    const step = this.#open(place, arrival === 'first');
    if (step !== undefined) return step.then(() => this.#arrive(arrival));
    this.#arrive(arrival);
    return undefined;
  }

  #arrive(arrival: Arrival): void {
    if (this.#place === NO_BLOCK) return;
    // No block is without entries: a table does not admit such.
    if (arrival === 'first') this.#cursor.seekToFirst();
    else this.#cursor.seekToLast();
  }

  /** Puts the cursor before block `place`, or nowhere if there is no such block. */
  #open(place: number, isForward: boolean): Step {
    this.#leave();
    if (place < 0 || place >= this.#table.index.blockCount) return undefined;
    const block =
      this.#readAheadBytes === 0 ? this.#table.load(place, this.#isCacheFilled) : this.#ahead(place, isForward);
    if (block instanceof Promise) return block.then((loaded) => this.#use(place, loaded));
    this.#use(place, block);
    return undefined;
  }

  #leave(): void {
    this.#entry.isValid = false;
    this.#place = NO_BLOCK;
  }

  #use(place: number, block: Block): void {
    this.#cursor.open(block);
    this.#place = place;
  }

  #ahead(place: number, isForward: boolean): Block | Promise<Block> {
    const table = this.#table;
    const { index } = table;
    if (table.slots[place] !== undefined) return table.load(place, this.#isCacheFilled);
    const start = index.offset(place) - this.#chunkOffset;
    if (start >= 0 && index.end(place) - this.#chunkOffset <= this.#chunkBytes) return this.#fromChunk(place);
    return this.#readChunk(place, isForward).then(() => this.#fromChunk(place));
  }

  #fromChunk(place: number): Block | Promise<Block> {
    const table = this.#table;
    const { index } = table;
    const offset = index.offset(place);
    const start = offset - this.#chunkOffset;
    const size = index.size(place);
    // One that does not match is read again on its own.
    const isRight =
      isExpected(this.#chunk, start, size, index.checksum(place)) && isChecksumRight(this.#chunk, start, size);
    if (!isRight) return table.load(place, this.#isCacheFilled);
    const contents = unpackBlock(this.#chunk, start, size, table.source.name, offset);
    if (!this.#isCacheFilled) return table.admit(place, contents);
    // The next chunk will overwrite this one, and what the cache keeps must not hold all of it.
    const isInChunk = contents.buffer === this.#chunk.buffer;
    const block = table.admit(place, isInChunk ? contents.slice() : contents);
    table.keep(place, block);
    return block;
  }

  /** Reads block `place` and as many behind (or before) it as fit, whole blocks only. */
  async #readChunk(place: number, isForward: boolean): Promise<void> {
    const { index } = this.#table;
    let first = place;
    let last = place;
    if (isForward) {
      const offset = index.offset(place);
      while (last + 1 < index.blockCount && index.end(last + 1) - offset <= this.#readAheadBytes) last += 1;
    } else {
      const end = index.end(place);
      while (first > 0 && end - index.offset(first - 1) <= this.#readAheadBytes) first -= 1;
    }
    const offset = index.offset(first);
    const bytes = index.end(last) - offset;
    this.#chunkBytes = 0;
    if (bytes > this.#chunk.length) this.#chunk = new Uint8Array(Math.max(bytes, this.#chunkBytesMax()));
    await this.#table.readRange(this.#chunk.subarray(0, bytes), offset);
    this.#chunkOffset = offset;
    this.#chunkBytes = bytes;
  }

  /** What most chunks need; a larger one for each that is a little larger would leave the others behind. */
  #chunkBytesMax(): number {
    const { index } = this.#table;
    return Math.min(this.#readAheadBytes, index.end(index.blockCount - 1));
  }
}
