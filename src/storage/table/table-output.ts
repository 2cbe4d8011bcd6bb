/** The bytes of a table as they come into being: blocks with their trailers, compressed where it pays, one after another. */
import { crc32c, maskCrc } from '../codec/crc32c.ts';
import { writeFixed32 } from '../codec/fixed.ts';
import { SNAPPY_UNCOMPRESSED_BYTES_MAX, snappyCompress, snappyMaxCompressedLength } from '../codec/snappy.ts';
import { type BlockHandle, TRAILER_BYTES, TYPE_NONE, TYPE_SNAPPY } from './table-format.ts';

/** Whoever writes tables takes a little more than 256 KiB at a time. A buffer that has to grow leaves the smaller ones behind. */
const BUFFER_BYTES_MIN = 0x60000;

export class TableOutput {
  readonly #isCompressing: boolean;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #length = 0;
  #takenBytes = 0;
  /** Of the block written last, as it stands behind it. */
  lastChecksum = 0;

  constructor(isCompressing: boolean) {
    this.#isCompressing = isCompressing;
  }

  /** Where in the file the next byte goes. */
  get offset(): number {
    return this.#takenBytes + this.#length;
  }

  get pendingBytes(): number {
    return this.#length;
  }

  /**
   * All bytes since the last call, until something is written again: what is written then goes into the same buffer. (One
   * for each piece was 2 GiB a minute under load, and all that V8 had not collected yet stood in RSS. Found by T15.)
   */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#takenBytes += this.#length;
    this.#length = 0;
    return taken;
  }

  /** @param mayCompress - the filter block never is, so that LevelDB can map it */
  writeBlock(contents: Uint8Array, mayCompress: boolean): BlockHandle {
    const { offset } = this;
    const start = this.#length;
    const isCompressed = mayCompress && this.#isCompressing && this.#compress(contents);
    if (!isCompressed) this.append(contents);
    const size = this.#length - start;
    const bytes = this.#reserve(TRAILER_BYTES);
    bytes[this.#length] = isCompressed ? TYPE_SNAPPY : TYPE_NONE;
    this.lastChecksum = maskCrc(crc32c(bytes, start, this.#length + 1));
    writeFixed32(bytes, this.#length + 1, this.lastChecksum);
    this.#length += TRAILER_BYTES;
    return { offset, size };
  }

  append(more: Uint8Array): void {
    this.#reserve(more.length).set(more, this.#length);
    this.#length += more.length;
  }

  /** Appends the compressed contents if that saves an eighth, as in LevelDB; else nothing. */
  #compress(contents: Uint8Array): boolean {
    const rawBytes = contents.length;
    if (rawBytes > SNAPPY_UNCOMPRESSED_BYTES_MAX) return false; // no reader of ours would take it
    const bytes = this.#reserve(snappyMaxCompressedLength(rawBytes));
    const end = snappyCompress(contents, 0, rawBytes, bytes, this.#length);
    if (end - this.#length >= rawBytes - Math.floor(rawBytes / 8)) return false;
    this.#length = end;
    return true;
  }

  /** The buffer, with room for `more` bytes. */
  #reserve(more: number): Uint8Array<ArrayBuffer> {
    const needed = this.#length + more;
    if (needed > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(needed, 2 * this.#bytes.length, BUFFER_BYTES_MIN));
      longer.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = longer;
    }
    return this.#bytes;
  }
}
