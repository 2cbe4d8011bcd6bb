/**
 * One uncompressed block in memory, and the reader of single entries in it.
 *
 *     contents := { entry } { restart } count
 *     entry    := varint32 shared | varint32 rest | varint32 value length | last `rest` bytes of the key | value
 *     restart  := fixed32 offset of an entry with shared = 0
 *     count    := fixed32 number of restarts
 *
 * `shared` counts the bytes that the key has in common with the one before. Lengths are checked against the bytes left
 * at every entry, even though the checksum has matched: a writer may have been wrong, or malicious.
 *
 * Source: LevelDB table/block.cc, table/block_builder.cc.
 */
import { CorruptionError } from '../../errors.ts';
import { readFixed32 } from '../codec/fixed.ts';

/** Copying this many bytes by a loop costs about as much as making the view that `set` needs. */
const LOOP_COPY_BYTES_MAX = 192;

/** The contents of a block, its restarts checked. */
export class Block {
  readonly bytes: Uint8Array;
  /** Behind the last entry; the restarts begin here. */
  readonly entriesEnd: number;
  readonly restartCount: number;
  /** For errors. */
  readonly fileName: string;
  /** Where the stored block begins in its file, for errors. */
  readonly fileOffset: number;

  /** @throws CorruptionError */
  constructor(bytes: Uint8Array, fileName: string, fileOffset: number) {
    this.bytes = bytes;
    this.fileName = fileName;
    this.fileOffset = fileOffset;
    if (bytes.length < 4) this.fail('block is too short for its restart count');
    const restartCount = readFixed32(bytes, bytes.length - 4);
    if (restartCount > (bytes.length - 4) / 4) this.fail('block is too short for its restarts');
    this.restartCount = restartCount;
    this.entriesEnd = bytes.length - 4 - 4 * restartCount;
    this.#checkRestarts();
  }

  /** Offset of the first entry behind restart `index`, which is below `restartCount`. */
  restart(index: number): number {
    return readFixed32(this.bytes, this.entriesEnd + 4 * index);
  }

  /** @throws CorruptionError always */
  fail(reason: string): never {
    throw new CorruptionError(this.fileName, this.fileOffset, reason);
  }

  #checkRestarts(): void {
    if (this.restartCount === 0 && this.entriesEnd > 0) this.fail('block has entries but no restart');
    let least = 0;
    for (let index = 0; index < this.restartCount; index += 1) {
      const offset = this.restart(index);
      if (offset < least || (index === 0 && offset !== 0)) this.fail('restarts of a block do not ascend from 0');
      least = offset + 1;
    }
    const isEmpty = this.entriesEnd === 0 && least <= 1; // one without entries still has the restart 0
    if (least > this.entriesEnd && !isEmpty) this.fail('a restart of a block is behind its entries');
  }
}

/**
 * Reads one entry after the other. Its fields are those of the entry read last; the key is put together in a buffer that
 * is used again and again, since each key needs the one before.
 */
export class BlockEntryReader {
  /** The key is `keyBytes[0, keyLength)`. Replaced by a longer array when a key needs it. */
  keyBytes: Uint8Array = new Uint8Array(64);
  keyLength = 0;
  shared = 0;
  /** The rest of the key is `block.bytes[restStart, valueStart)`. */
  restStart = 0;
  valueStart = 0;
  /** Also where the next entry begins. */
  valueEnd = 0;

  /**
   * Reads lengths and places of the entry at `offset`, below `entriesEnd`; not yet the key.
   *
   * @throws CorruptionError
   */
  readHeader(block: Block, offset: number): void {
    const { bytes, entriesEnd } = block;
    if (entriesEnd - offset < 3) block.fail('entry is cut short');
    let shared = bytes[offset] as number;
    let restLength = bytes[offset + 1] as number;
    let valueLength = bytes[offset + 2] as number;
    if ((shared | restLength | valueLength) < 0x80) {
      this.restStart = offset + 3;
    } else {
      this.restStart = offset;
      shared = this.#readLength(block);
      restLength = this.#readLength(block);
      valueLength = this.#readLength(block);
    }
    if (restLength > entriesEnd - this.restStart) block.fail('key of an entry runs past its block');
    const valueStart = this.restStart + restLength;
    if (valueLength > entriesEnd - valueStart) block.fail('value of an entry runs past its block');
    this.shared = shared;
    this.valueStart = valueStart;
    this.valueEnd = valueStart + valueLength;
  }

  /**
   * Reads the entry at `offset`, below `entriesEnd`, given that `keyBytes` holds the key before it, or that
   * `keyLength` is 0 for an entry at a restart.
   *
   * @throws CorruptionError
   */
  read(block: Block, offset: number): void {
    this.readHeader(block, offset);
    if (this.shared > this.keyLength) block.fail('entry shares more bytes than the key before it has');
    this.copyRest(block, this.restStart, this.shared, this.valueStart - this.restStart);
  }

  /** Puts `length` bytes of the block from `from` into the key at `to`, and ends the key there. */
  copyRest(block: Block, from: number, to: number, length: number): void {
    const keyLength = to + length;
    if (keyLength > this.keyBytes.length) this.#grow(block, keyLength);
    const { keyBytes } = this;
    const { bytes } = block;
    if (length <= LOOP_COPY_BYTES_MAX) {
      for (let index = 0; index < length; index += 1) keyBytes[to + index] = bytes[from + index] as number;
    } else {
      keyBytes.set(bytes.subarray(from, from + length), to);
    }
    this.keyLength = keyLength;
  }

  /**
   * A varint32 at `restStart`, which it moves. The codec's reader wants a cursor object, and that would be garbage for each
   * value of 128 bytes or more.
   */
  #readLength(block: Block): number {
    const { bytes, entriesEnd } = block;
    let offset = this.restStart;
    let result = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (offset >= entriesEnd) block.fail('length in an entry is cut short');
      const byte = bytes[offset] as number;
      offset += 1;
      if (shift === 28 && byte > 0x0f) break;
      result |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.restStart = offset;
        return result >>> 0;
      }
    }
    return block.fail('length in an entry exceeds 32 bits');
  }

  #grow(block: Block, keyLength: number): void {
    // Our own limit is for writing: LevelDB has none. Each byte of a key is in its block, at this entry or one before.
    if (keyLength > block.entriesEnd) block.fail(`key of ${keyLength} bytes is longer than its block`);
    const longer = new Uint8Array(Math.min(block.entriesEnd, Math.max(keyLength, 2 * this.keyBytes.length)));
    longer.set(this.keyBytes);
    this.keyBytes = longer;
  }
}

/**
 * The sequence in the tag that ends at `end`, good enough to compare: sequences above 2^53 - 1, which LevelDB puts into
 * separators, come out rounded, and above all others.
 */
export function roughSequence(bytes: Uint8Array, end: number): number {
  const low =
    (bytes[end - 7] as number) |
    ((bytes[end - 6] as number) << 8) |
    ((bytes[end - 5] as number) << 16) |
    ((bytes[end - 4] as number) << 24);
  const high = (bytes[end - 3] as number) | ((bytes[end - 2] as number) << 8) | ((bytes[end - 1] as number) << 16);
  return high * 0x1_0000_0000 + (low >>> 0);
}
