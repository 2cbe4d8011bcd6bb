/**
 * Writes a sorted table (outline in `table-format.ts`): entries go in, in order; bytes come out, whenever the caller
 * takes them. It touches no file, so that the caller decides how much is written at once, and on which thread.
 *
 * A data block is cut when it has reached its size. Its line in the index waits for the first key of the next block, since
 * any key between the two serves as separator, and a short one makes the index small.
 */
import { bloomHash, FILTER_NAME } from '../codec/bloom.ts';
import { shortestSeparator, shortSuccessor } from '../codec/compare.ts';
import { crc32c } from '../codec/crc32c.ts';
import { writeFixed32 } from '../codec/fixed.ts';
import { TAG_BYTES, writeTag } from '../codec/internal-key.ts';
import { type EntryKind, KIND_DELETE } from '../read/internal-iterator.ts';
import { BlockBuilder } from './block-builder.ts';
import { FilterBuilder } from './filter-block.ts';
import {
  type BlockHandle,
  CHECKSUM_BYTES,
  encodeFooter,
  FILTER_NAME_PREFIX,
  HANDLE_BYTES_MAX,
  PROPERTIES_NAME,
  writeHandle,
} from './table-format.ts';
import { encodeProperties } from './table-properties.ts';
import { TableOutput } from './table-output.ts';

export interface TableOptions {
  /** A data block ends with the entry that brings it to so many bytes; at least 1. LevelDB: 4096. */
  readonly blockBytesMax: number;
  /** Every so many entries a whole key; at least 1. LevelDB: 16. */
  readonly restartInterval: number;
  readonly compression: 'none' | 'snappy';
  /** Bits of Bloom filter per user key; 0 for no filter. 10 lets about 1 % of absent keys through. */
  readonly filterBitsPerKey: number;
}

const NO_BYTES = new Uint8Array(0);

export class TableBuilder {
  readonly #options: TableOptions;
  readonly #output: TableOutput;
  readonly #data: BlockBuilder;
  readonly #index: BlockBuilder = new BlockBuilder(1);
  readonly #filter: FilterBuilder | undefined;
  readonly #handleBytes = new Uint8Array(HANDLE_BYTES_MAX + CHECKSUM_BYTES);
  readonly #tableNumber: number | undefined;
  /** Of the data block that waits. */
  #waitingChecksum = 0;
  /** The data block whose line in the index is not written yet. */
  #waiting: BlockHandle | undefined = undefined;
  /** Internal keys: of this entry, and of the one before. They change places at each entry. */
  #key = new Uint8Array(128);
  #lastKey = new Uint8Array(128);
  #lastKeyLength = 0;
  #lastSequence = 0;
  #lastKind: EntryKind = KIND_DELETE;
  #isFinished = false;

  #entryCount = 0;
  #tombstoneCount = 0;
  #smallestSequence = 0;
  #largestSequence = 0;
  #smallest: Uint8Array = NO_BYTES;

  /** @param tableNumber - of its file, for its properties; `undefined`: it has none */
  constructor(options: TableOptions, tableNumber?: number) {
    this.#options = options;
    this.#tableNumber = tableNumber;
    this.#output = new TableOutput(options.compression === 'snappy');
    this.#data = new BlockBuilder(options.restartInterval);
    this.#filter = options.filterBitsPerKey > 0 ? new FilterBuilder(options.filterBitsPerKey) : undefined;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  get tombstoneCount(): number {
    return this.#tombstoneCount;
  }

  /** 0 while there is no entry. */
  get smallestSequence(): number {
    return this.#smallestSequence;
  }

  /** 0 while there is no entry. */
  get largestSequence(): number {
    return this.#largestSequence;
  }

  /** The first internal key; empty while there is none. */
  get smallest(): Uint8Array {
    return this.#smallest;
  }

  /** A copy of the last internal key; empty while there is none. */
  get largest(): Uint8Array {
    return this.#lastKey.slice(0, this.#lastKeyLength);
  }

  /** The size of the file: exact once finished; before, what would be there without the index. */
  get fileBytes(): number {
    if (this.#isFinished) return this.#output.offset;
    const filterBytes = this.#filter === undefined ? 0 : this.#filter.sizeEstimate;
    return this.#output.offset + (this.#data.isEmpty ? 0 : this.#data.sizeEstimate) + filterBytes;
  }

  /** Finished bytes that wait to be taken. */
  get pendingBytes(): number {
    return this.#output.pendingBytes;
  }

  /** The finished bytes, the next ones of the file; they are there until the next call of `add` or `finish`. */
  take(): Uint8Array {
    return this.#output.take();
  }

  /**
   * Adds the user key `keyBytes[keyStart, keyEnd)` and the value `valueBytes[valueStart, valueEnd)`.
   *
   * @throws Error (a bug of the caller) when the internal key is not above the one before
   */
  add(
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    sequence: number,
    kind: EntryKind,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const userLength = keyEnd - keyStart;
    this.#takeKey(keyBytes, keyStart, userLength, sequence, kind);
    const isSameUserKey = this.#checkOrder(userLength, sequence, kind);
    const keyLength = userLength + TAG_BYTES;
    if (this.#waiting !== undefined) this.#endWaiting(this.#waiting, this.#key.subarray(0, userLength));
    if (this.#entryCount === 0) this.#smallest = this.#key.slice(0, keyLength);
    // A second version of a key in the same filter would only make the filter larger.
    const filter = this.#filter;
    if (filter !== undefined && (filter.isEmpty || !isSameUserKey)) filter.add(bloomHash(keyBytes, keyStart, keyEnd));
    this.#data.add(this.#key, keyLength, valueBytes, valueStart, valueEnd);
    this.#count(sequence, kind);
    const spare = this.#lastKey;
    this.#lastKey = this.#key;
    this.#key = spare;
    this.#lastKeyLength = keyLength;
    if (this.#data.sizeEstimate >= this.#options.blockBytesMax) this.#endDataBlock();
  }

  /** Writes what follows the data: filter, properties, metaindex, index, footer. Nothing can be added then. */
  finish(): void {
    if (this.#isFinished) throw new Error('a table can be finished only once');
    if (!this.#data.isEmpty) this.#endDataBlock();
    if (this.#waiting !== undefined) this.#endWaiting(this.#waiting, undefined);
    const filterBytes = this.#filter?.finish();
    const filter = filterBytes === undefined ? undefined : this.#output.writeBlock(filterBytes, false);
    const indexBytes = this.#index.finish();
    const properties = this.#output.writeBlock(
      encodeProperties({
        entryCount: this.#entryCount,
        tombstoneCount: this.#tombstoneCount,
        smallestSequence: this.#smallestSequence,
        largestSequence: this.#largestSequence,
        tableNumber: this.#tableNumber,
        filterChecksum: filterBytes === undefined ? undefined : crc32c(filterBytes, 0, filterBytes.length),
        indexChecksum: crc32c(indexBytes, 0, indexBytes.length),
      }),
      false,
    );
    const metaindexBlock = new BlockBuilder(1);
    this.#addName(metaindexBlock, PROPERTIES_NAME, properties); // sorts before `filter.`
    if (filter !== undefined) this.#addName(metaindexBlock, FILTER_NAME_PREFIX + FILTER_NAME, filter);
    const metaindex = this.#output.writeBlock(metaindexBlock.finish(), true);
    const index = this.#output.writeBlock(indexBytes, true);
    this.#output.append(encodeFooter({ metaindex, index }));
    this.#isFinished = true;
  }

  /** Writes the internal key into `#key`. */
  #takeKey(keyBytes: Uint8Array, keyStart: number, userLength: number, sequence: number, kind: EntryKind): void {
    if (this.#isFinished) throw new Error('a finished table takes no entries');
    if (userLength + TAG_BYTES > this.#key.length) this.#key = new Uint8Array(2 * (userLength + TAG_BYTES));
    const key = this.#key;
    for (let index = 0; index < userLength; index += 1) key[index] = keyBytes[keyStart + index] as number;
    writeTag(key, userLength, sequence, kind);
  }

  /** Throws unless `#key` is above the key before. Returns whether only their tags differ. */
  #checkOrder(userLength: number, sequence: number, kind: EntryKind): boolean {
    if (this.#entryCount === 0) return false;
    const key = this.#key;
    const lastKey = this.#lastKey;
    const lastUserLength = this.#lastKeyLength - TAG_BYTES;
    const common = Math.min(userLength, lastUserLength);
    let index = 0;
    while (index < common && key[index] === lastKey[index]) index += 1;
    if (index < common) {
      if ((key[index] as number) > (lastKey[index] as number)) return false;
    } else if (userLength !== lastUserLength) {
      if (userLength > lastUserLength) return false;
    } else if (sequence < this.#lastSequence || (sequence === this.#lastSequence && kind < this.#lastKind)) {
      return true;
    }
    throw new Error('entries of a table must come in ascending order of internal keys');
  }

  #count(sequence: number, kind: EntryKind): void {
    this.#smallestSequence = this.#entryCount === 0 ? sequence : Math.min(this.#smallestSequence, sequence);
    this.#largestSequence = Math.max(this.#largestSequence, sequence);
    this.#entryCount += 1;
    if (kind === KIND_DELETE) this.#tombstoneCount += 1;
    this.#lastSequence = sequence;
    this.#lastKind = kind;
  }

  #endDataBlock(): void {
    this.#waiting = this.#output.writeBlock(this.#data.finish(), true);
    this.#waitingChecksum = this.#output.lastChecksum;
    this.#data.reset();
    this.#filter?.startBlock(this.#output.offset);
  }

  /** Writes the index line of the last data block. `nextUserKey` is the first of the next one, if there is one. */
  #endWaiting(handle: BlockHandle, nextUserKey: Uint8Array | undefined): void {
    this.#waiting = undefined;
    const lastUserKey = this.#lastKey.subarray(0, this.#lastKeyLength - TAG_BYTES);
    const shortUserKey =
      nextUserKey === undefined ? shortSuccessor(lastUserKey) : shortestSeparator(lastUserKey, nextUserKey);
    let separator = this.#lastKey.subarray(0, this.#lastKeyLength);
    // As in LevelDB, only a shorter one is worth it. Shorter ones are also above, for they end in a raised byte.
    if (shortUserKey.length < lastUserKey.length) separator = firstInternalKey(shortUserKey);
    const end = writeHandle(this.#handleBytes, 0, handle);
    writeFixed32(this.#handleBytes, end, this.#waitingChecksum);
    this.#index.add(separator, separator.length, this.#handleBytes, 0, end + CHECKSUM_BYTES);
  }

  #addName(builder: BlockBuilder, name: string, handle: BlockHandle): void {
    const key = new TextEncoder().encode(name);
    builder.add(key, key.length, this.#handleBytes, 0, writeHandle(this.#handleBytes, 0, handle));
  }
}

/** The internal key before all others of its user key, as LevelDB writes it: sequence 2^56 - 1, kind 1. */
function firstInternalKey(userKey: Uint8Array): Uint8Array<ArrayBuffer> {
  const key = new Uint8Array(userKey.length + TAG_BYTES).fill(0xff);
  key.set(userKey);
  key[userKey.length] = 1;
  return key;
}
