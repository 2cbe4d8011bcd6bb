/**
 * The index of a table, taken apart once when the table is opened: separators back to back in one array, places and
 * sequences in typed arrays beside it, so that the binary search touches no objects.
 */
import { compareBytes } from '../codec/compare.ts';
import { readFixed32 } from '../codec/fixed.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';
import { type Block, BlockEntryReader, roughSequence } from './block.ts';
import { type BlockHandle, CHECKSUM_BYTES, readHandle, TRAILER_BYTES } from './table-format.ts';

/**
 * Keys may be this many times as long as all of the file. Snappy shortens at most 22-fold, and each separator is no longer
 * than a key in its block; only a crafted index that shares without end goes beyond.
 */
const KEYS_PER_FILE_BYTES_MAX = 32;

export class TableIndex {
  readonly blockCount: number;
  /** Separators' user keys; number i is `#keys[#keyStarts[i], #keyStarts[i + 1])`. */
  readonly #keys: Uint8Array;
  readonly #keyStarts: Float64Array;
  /** Separators' sequences. Above 2^53 - 1 rounded, which still sorts before all others. */
  readonly #sequences: Float64Array;
  readonly #offsets: Float64Array;
  readonly #sizes: Uint32Array;
  /** What stands behind each block; `undefined`: the index does not say. */
  readonly #checksums: Uint32Array | undefined;

  /**
   * @param dataEnd - where the data blocks end at the latest
   * @param hasChecksums - whether behind each handle stands the checksum of its block, as this engine writes it
   * @throws Malformed or CorruptionError
   */
  constructor(block: Block, dataEnd: number, hasChecksums = false) {
    const { entryCount, keyBytes } = measure(block, KEYS_PER_FILE_BYTES_MAX * dataEnd);
    this.blockCount = entryCount;
    this.#keys = new Uint8Array(keyBytes);
    this.#keyStarts = new Float64Array(entryCount + 1);
    this.#sequences = new Float64Array(entryCount);
    this.#offsets = new Float64Array(entryCount);
    this.#sizes = new Uint32Array(entryCount);
    this.#checksums = hasChecksums ? new Uint32Array(entryCount) : undefined;
    this.#fill(block, dataEnd);
  }

  get memoryBytes(): number {
    return this.#keys.length + this.blockCount * (this.#checksums === undefined ? 28 : 32);
  }

  offset(index: number): number {
    return this.#offsets[index] as number;
  }

  size(index: number): number {
    return this.#sizes[index] as number;
  }

  /** The checksum that must stand behind the block; `undefined`: any that matches. */
  checksum(index: number): number | undefined {
    return this.#checksums?.[index];
  }

  /** Behind the block and its trailer. */
  end(index: number): number {
    return (this.#offsets[index] as number) + (this.#sizes[index] as number) + TRAILER_BYTES;
  }

  /**
   * Index of the first block whose separator is at or after the key: the only one that may hold it. `blockCount` if none.
   *
   * The separators between two others begin with whatever those both share with the key, so no byte of that is compared
   * again.
   */
  search(key: Uint8Array, start: number, end: number, sequence: number): number {
    const keys = this.#keys;
    const starts = this.#keyStarts;
    const length = end - start;
    let left = 0;
    let right = this.blockCount;
    let leftMatch = 0;
    let rightMatch = 0;
    while (left < right) {
      const middle = (left + right) >>> 1;
      const from = starts[middle] as number;
      const separatorLength = (starts[middle + 1] as number) - from;
      const common = separatorLength < length ? separatorLength : length;
      let at = leftMatch < rightMatch ? leftMatch : rightMatch;
      while (at < common && keys[from + at] === key[start + at]) at += 1;
      let order = separatorLength - length;
      if (at < common) order = (keys[from + at] as number) - (key[start + at] as number);
      else if (order === 0) order = sequence - (this.#sequences[middle] as number);
      if (order < 0) {
        left = middle + 1;
        leftMatch = at;
      } else {
        right = middle;
        rightMatch = at;
      }
    }
    return left;
  }

  /** Compares separator `index` with the key: below 0 if it is before. */
  compare(index: number, key: Uint8Array, start: number, end: number, sequence: number): number {
    const starts = this.#keyStarts;
    const from = starts[index] as number;
    const order = compareBytes(this.#keys, from, starts[index + 1] as number, key, start, end);
    return order !== 0 ? order : sequence - (this.#sequences[index] as number);
  }

  #fill(block: Block, dataEnd: number): void {
    const reader = new BlockEntryReader();
    let index = 0;
    let blockStart = 0;
    let keyStart = 0;
    for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
      reader.read(block, offset);
      const userEnd = reader.keyLength - TAG_BYTES;
      const cursor = { bytes: block.bytes, offset: reader.valueStart, end: reader.valueEnd };
      const handle: BlockHandle = readHandle(cursor, dataEnd); // bytes may follow it: LevelDB ignores them
      if (handle.offset < blockStart) block.fail('data blocks in the index overlap or do not ascend');
      if (this.#checksums !== undefined) {
        if (reader.valueEnd - cursor.offset < CHECKSUM_BYTES) block.fail('a line of the index lacks its checksum');
        this.#checksums[index] = readFixed32(block.bytes, cursor.offset);
      }
      blockStart = handle.offset + handle.size + TRAILER_BYTES;
      const sequence = roughSequence(reader.keyBytes, reader.keyLength);
      if (index > 0 && this.compare(index - 1, reader.keyBytes, 0, userEnd, sequence) >= 0) {
        block.fail('separators in the index do not ascend');
      }
      this.#keys.set(reader.keyBytes.subarray(0, userEnd), keyStart);
      keyStart += userEnd;
      this.#keyStarts[index + 1] = keyStart;
      this.#sequences[index] = sequence;
      this.#offsets[index] = handle.offset;
      this.#sizes[index] = handle.size;
      index += 1;
    }
  }
}

/** Counts entries and bytes of user keys before anything is allocated for them. */
function measure(block: Block, keyBytesMax: number): { entryCount: number; keyBytes: number } {
  const reader = new BlockEntryReader();
  let entryCount = 0;
  let keyBytes = 0;
  for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
    reader.readHeader(block, offset);
    const userLength = reader.shared + reader.valueStart - reader.restStart - TAG_BYTES;
    if (userLength < 0) block.fail('key in the index is too short for its tag');
    entryCount += 1;
    keyBytes += userLength;
    if (keyBytes > keyBytesMax) block.fail('keys of the index are far longer than the whole table');
  }
  return { entryCount, keyBytes };
}
