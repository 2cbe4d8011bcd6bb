/**
 * Checks every byte of a table: nothing of it may be other than its writer would write it, or at least be found out.
 *
 *   bytes     each belongs to one block or to the footer; blocks by their checksums, the footer bit by bit
 *   keys      ascend strictly, within the separators around their block, and from the manifest's first to its last key
 *   restarts  stand where entries begin that share nothing
 *   filter    lets every key pass;   properties   are what was counted
 */
import { CorruptionError } from '../../errors.ts';
import { bloomHash, FILTER_NAME } from '../codec/bloom.ts';
import { crc32c } from '../codec/crc32c.ts';
import { compareInternal, readKind, TAG_BYTES } from '../codec/internal-key.ts';
import { parseFileName } from '../file-names.ts';
import type { ReadableFile } from '../file-system/file-system.ts';
import { type NamedFile, readFully } from '../file-system/read-fully.ts';
import { KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../read/internal-iterator.ts';
import { Block, BlockEntryReader, roughSequence } from '../table/block.ts';
import { forEachEntry } from '../table/block-entries.ts';
import { corruptionFrom, isChecksumRight, isExpected, readBlock, unpackBlock } from '../table/block-read.ts';
import { FilterReader } from '../table/filter-block.ts';
import {
  type BlockHandle,
  decodeFooter,
  FILTER_NAME_PREFIX,
  FOOTER_BYTES,
  type Footer,
  PROPERTIES_NAME,
  readHandle,
  TRAILER_BYTES,
} from '../table/table-format.ts';
import { TableIndex } from '../table/table-index.ts';
import { decodeProperties, type TableProperties } from '../table/table-properties.ts';
import type { VerifyContext } from './verify-context.ts';

/** What the manifest says of the table; absent where there is none to say it. */
export interface ExpectedTable {
  readonly fileBytes: number;
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
  /** The manifest's last sequence number. */
  readonly lastSequence: number;
}

export interface CheckedTable {
  /** Whether nothing in it keeps a reader from reading all of it. */
  readonly isReadable: boolean;
  readonly entries: number;
  readonly largestSequence: number;
  /** First and last internal keys; empty where none was read. */
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** Everything in a table but its data blocks. */
interface Outline {
  readonly footer: Footer;
  readonly index: TableIndex;
  readonly filter: FilterReader | undefined;
  readonly properties: TableProperties | undefined;
  /** Of all blocks but data blocks. */
  readonly handles: readonly BlockHandle[];
}

/** Read at once: many blocks. */
const CHUNK_BYTES = 256 * 1024;
const NO_KEY = new Uint8Array(0);
const UNREADABLE: CheckedTable = {
  isReadable: false,
  entries: 0,
  largestSequence: 0,
  smallest: NO_KEY,
  largest: NO_KEY,
};

/** @param name - of the file, which the manifest (or, without one, the directory) names */
export async function verifyTable(
  context: VerifyContext,
  name: string,
  expected: ExpectedTable | undefined,
): Promise<CheckedTable> {
  const opened = await context.open(name);
  if (opened === undefined) return UNREADABLE;
  const { file, size } = opened;
  try {
    if (expected !== undefined && size !== expected.fileBytes) {
      const reason = `the file has ${size} bytes, and the manifest says ${expected.fileBytes}`;
      context.add('size', name, Math.min(size, expected.fileBytes), reason);
      return UNREADABLE;
    }
    return await new TableCheck(context, file, name, size, expected).run();
  } catch (error) {
    context.failed(error, name);
    return UNREADABLE;
  } finally {
    await file.close();
  }
}

class TableCheck {
  readonly #context: VerifyContext;
  readonly #source: NamedFile;
  readonly #fileBytes: number;
  readonly #expected: ExpectedTable | undefined;
  readonly #reader = new BlockEntryReader();
  #lastKey = new Uint8Array(256);
  #lastLength = 0;
  #first: Uint8Array | undefined;
  #entries = 0;
  #tombstones = 0;
  #smallestSequence: number = SEQUENCE_MAX;
  #largestSequence = 0;
  #isReadable = true;

  constructor(
    context: VerifyContext,
    file: ReadableFile,
    name: string,
    fileBytes: number,
    expected: ExpectedTable | undefined,
  ) {
    this.#context = context;
    this.#source = { file, name };
    this.#fileBytes = fileBytes;
    this.#expected = expected;
  }

  async run(): Promise<CheckedTable> {
    const outline = await this.#readOutline();
    this.#checkExtents(outline);
    await this.#checkBlocks(outline);
    if (this.#isReadable) this.#checkWhole(outline);
    return {
      isReadable: this.#isReadable,
      entries: this.#entries,
      largestSequence: this.#largestSequence,
      smallest: this.#first ?? NO_KEY,
      largest: this.#lastKey.slice(0, this.#lastLength),
    };
  }

  async #readOutline(): Promise<Outline> {
    const { name } = this.#source;
    if (this.#fileBytes < FOOTER_BYTES) {
      throw new CorruptionError(name, 0, `${this.#fileBytes} bytes are too few for a table`);
    }
    const footerOffset = this.#fileBytes - FOOTER_BYTES;
    const bytes = new Uint8Array(FOOTER_BYTES);
    await readFully(this.#source, bytes, footerOffset);
    const footer = decoding(name, footerOffset, () => decodeFooter(bytes, this.#fileBytes));
    const dataEnd = footer.metaindex.offset;
    const metaindex = new Block(await readBlock(this.#source, footer.metaindex), name, dataEnd);
    const named = decoding(name, dataEnd, () => namesIn(metaindex, dataEnd));
    let filter: FilterReader | undefined;
    let properties: TableProperties | undefined;
    for (const [blockName, handle] of named) {
      const contents = await this.#readPart(handle);
      if (contents === undefined) continue;
      if (blockName === FILTER_NAME_PREFIX + FILTER_NAME) {
        filter = decoding(name, handle.offset, () => new FilterReader(contents));
      } else if (blockName === PROPERTIES_NAME) {
        properties = decoding(name, handle.offset, () => decodeProperties(new Block(contents, name, handle.offset)));
      }
    }
    const { offset } = footer.index;
    const indexBlock = new Block(await readBlock(this.#source, footer.index), name, offset);
    this.#checkRestarts(indexBlock);
    const checksum = properties?.indexChecksum;
    if (checksum !== undefined && checksum !== crc32c(indexBlock.bytes, 0, indexBlock.bytes.length)) {
      indexBlock.fail('another index is in the place of this one');
    }
    const index = decoding(name, offset, () => new TableIndex(indexBlock, dataEnd, checksum !== undefined));
    const handles = [...named.map(([, handle]) => handle), footer.metaindex, footer.index];
    return { footer, index, filter, properties, handles };
  }

  /** A block that the metaindex names. Without its filter or its properties the data can still be looked at. */
  async #readPart(handle: BlockHandle): Promise<Uint8Array | undefined> {
    try {
      return await readBlock(this.#source, handle);
    } catch (error) {
      this.#damaged(error);
      return undefined;
    }
  }

  #damaged(error: unknown): void {
    this.#isReadable = false;
    this.#context.failed(error, this.#source.name);
  }

  /** Each byte of the file must belong to one block, or to the footer. */
  #checkExtents({ index, handles }: Outline): void {
    let end = 0;
    const take = (start: number, next: number): void => {
      if (start > end) this.#gap(end, start);
      else if (start < end) this.#context.add('gap', this.#source.name, start, 'two blocks of the table overlap');
      end = Math.max(end, next);
    };
    for (let place = 0; place < index.blockCount; place += 1) take(index.offset(place), index.end(place));
    const others = [...handles].sort((a, b) => a.offset - b.offset);
    for (const { offset, size } of others) take(offset, offset + size + TRAILER_BYTES);
  }

  #gap(start: number, end: number): void {
    this.#context.add('gap', this.#source.name, start, `${end - start} bytes belong to no block`);
  }

  async #checkBlocks(outline: Outline): Promise<void> {
    const { index } = outline;
    let chunk = new Uint8Array(0);
    for (let first = 0; first < index.blockCount;) {
      const offset = index.offset(first);
      let last = first;
      while (last + 1 < index.blockCount && index.end(last + 1) - offset <= CHUNK_BYTES) last += 1;
      const length = index.end(last) - offset;
      if (chunk.length < length) chunk = new Uint8Array(length);
      await readFully(this.#source, chunk.subarray(0, length), offset);
      for (let place = first; place <= last; place += 1) {
        const before = this.#entries;
        try {
          this.#checkBlock(await this.#contentsOf(chunk, offset, index, place), outline, place);
        } catch (error) {
          this.#damaged(error);
        }
        const turn = this.#context.looked(this.#entries - before + 1);
        if (turn !== undefined) await turn;
      }
      await this.#context.advance(length);
      first = last + 1;
    }
    await this.#context.advance(this.#fileBytes - (index.blockCount === 0 ? 0 : index.end(index.blockCount - 1)));
  }

  async #contentsOf(chunk: Uint8Array, chunkOffset: number, index: TableIndex, place: number): Promise<Uint8Array> {
    const offset = index.offset(place);
    const size = index.size(place);
    const start = offset - chunkOffset;
    const checksum = index.checksum(place);
    const isRight = isExpected(chunk, start, size, checksum) && isChecksumRight(chunk, start, size);
    if (!isRight) return readBlock(this.#source, { offset, size }, checksum); // once more
    return unpackBlock(chunk, start, size, this.#source.name, offset);
  }

  #checkBlock(contents: Uint8Array, { index, filter }: Outline, place: number): void {
    const reader = this.#reader;
    const blockOffset = index.offset(place);
    const block = new Block(contents, this.#source.name, blockOffset);
    if (block.entriesEnd === 0) block.fail('data block holds no entry');
    this.#checkRestarts(block);
    reader.keyLength = 0;
    for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
      reader.read(block, offset);
      const { keyBytes, keyLength } = reader;
      const userEnd = keyLength - TAG_BYTES;
      if (userEnd < 0) block.fail('key is too short for its tag');
      const kind = readKind(keyBytes, keyLength);
      if (kind !== KIND_SET && kind !== KIND_DELETE) block.fail('key is of a kind that is neither set nor delete');
      const sequence = roughSequence(keyBytes, keyLength);
      if (sequence > SEQUENCE_MAX) block.fail('sequence number exceeds 2^53 - 1');
      if (this.#lastLength > 0 && compareInternal(this.#lastKey, 0, this.#lastLength, keyBytes, 0, keyLength) >= 0) {
        this.#wrong('order', blockOffset, 'keys do not ascend');
      }
      if (offset === 0 && place > 0 && index.compare(place - 1, keyBytes, 0, userEnd, sequence) >= 0) {
        this.#wrong('order', blockOffset, 'a block begins with a key that belongs into an earlier one');
      }
      if (filter !== undefined && !filter.mayContain(blockOffset, bloomHash(keyBytes, 0, userEnd))) {
        this.#wrong('filter', blockOffset, 'the filter leaves a key out, so that a read does not find it');
      }
      this.#count(sequence, kind);
      this.#keep(keyBytes, keyLength);
    }
    const last = this.#lastLength;
    if (index.compare(place, this.#lastKey, 0, last - TAG_BYTES, roughSequence(this.#lastKey, last)) < 0) {
      this.#wrong('order', blockOffset, 'a block ends with a key that belongs into a later one');
    }
  }

  /** Every restart is the beginning of an entry that shares nothing with the one before. */
  #checkRestarts(block: Block): void {
    const reader = new BlockEntryReader();
    let restart = 0;
    for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
      reader.readHeader(block, offset);
      if (restart === block.restartCount || block.restart(restart) > offset) continue;
      if (block.restart(restart) < offset) block.fail('a restart points into the middle of an entry');
      if (reader.shared !== 0) block.fail('entry at a restart has no whole key');
      restart += 1;
    }
    if (restart < block.restartCount && block.entriesEnd > 0) block.fail('a restart points to no entry');
  }

  #wrong(code: 'order' | 'filter' | 'bounds', offset: number | undefined, reason: string): void {
    this.#isReadable = false;
    this.#context.add(code, this.#source.name, offset, reason);
  }

  #count(sequence: number, kind: number): void {
    this.#entries += 1;
    if (kind === KIND_DELETE) this.#tombstones += 1;
    this.#smallestSequence = Math.min(this.#smallestSequence, sequence);
    this.#largestSequence = Math.max(this.#largestSequence, sequence);
  }

  #keep(keyBytes: Uint8Array, length: number): void {
    if (this.#lastKey.length < length) this.#lastKey = new Uint8Array(2 * length);
    this.#lastKey.set(keyBytes.subarray(0, length));
    this.#lastLength = length;
    this.#first ??= keyBytes.slice(0, length);
  }

  /** What only all entries together tell. */
  #checkWhole({ index, properties, footer }: Outline): void {
    const { name } = this.#source;
    const context = this.#context;
    if (this.#first === undefined || index.blockCount === 0) {
      context.add('bounds', name, footer.index.offset, 'the table holds no entry');
      return;
    }
    if (properties !== undefined) {
      const { entryCount, tombstoneCount, smallestSequence, largestSequence } = properties;
      const isRight =
        entryCount === this.#entries &&
        tombstoneCount === this.#tombstones &&
        smallestSequence === this.#smallestSequence &&
        largestSequence === this.#largestSequence;
      if (!isRight) context.add('properties', name, undefined, 'its properties are not what is in it');
    }
    const number = properties?.tableNumber;
    if (number !== undefined && number !== parseFileName(name)?.fileNumber) {
      this.#wrong('bounds', undefined, `it is table ${number}, in the place of another one`);
    }
    if (this.#expected === undefined) return;
    const { smallest, largest, lastSequence } = this.#expected;
    if (compareInternal(this.#first, 0, this.#first.length, smallest, 0, smallest.length) !== 0) {
      this.#wrong('bounds', 0, 'it does not begin with the key that the manifest says');
    }
    if (compareInternal(this.#lastKey, 0, this.#lastLength, largest, 0, largest.length) !== 0) {
      this.#wrong('bounds', undefined, 'it does not end with the key that the manifest says');
    }
    if (this.#largestSequence > lastSequence) {
      const reason = `it has sequence number ${this.#largestSequence}, and the manifest's last is ${lastSequence}`;
      context.add('sequence', name, undefined, reason);
    }
  }
}

function namesIn(block: Block, limit: number): (readonly [string, BlockHandle])[] {
  const named: (readonly [string, BlockHandle])[] = [];
  forEachEntry(block, (name, valueStart, valueEnd) => {
    named.push([name, readHandle({ bytes: block.bytes, offset: valueStart, end: valueEnd }, limit)]);
  });
  return named;
}

/** Runs a decoder; what it finds malformed is damage at `fileOffset`. */
function decoding<Part>(name: string, fileOffset: number, decode: () => Part): Part {
  try {
    return decode();
  } catch (thrown) {
    throw corruptionFrom(thrown, name, fileOffset);
  }
}
