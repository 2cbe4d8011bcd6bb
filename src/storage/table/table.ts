/**
 * A sorted table, open for reading. What is always needed (index and filter) is in memory, checked once at opening; data
 * blocks are read when asked for, each checked on its way in: length, checksum, type, restarts, whether the checksum is the
 * one that the index names, and whether its keys are between the separators around it. The last two catch a read that went
 * to the wrong place, the first of them only in tables of our own.
 */
import { IoError } from '../../errors.ts';
import { compareBytes } from '../codec/compare.ts';
import { KIND_SET, SEQUENCE_MAX, type Step } from '../read/internal-iterator.ts';
import type { InternalIterator } from '../read/internal-iterator.ts';
import type { ReadableFile } from '../file-system/file-system.ts';
import { Block } from './block.ts';
import type { BlockCache, CachedBlock } from './block-cache.ts';
import { BlockIterator } from './block-iterator.ts';
import { EntryHolder } from './entry-holder.ts';
import { type NamedFile, readFully, runReading, runReadingNow } from '../file-system/read-fully.ts';
import { readBlock, readBlockNow } from './block-read.ts';
import type { FilterReader } from './filter-block.ts';
import type { Lookup } from './lookup.ts';
import type { TableIndex } from './table-index.ts';
import { type DataBlocks, TableIterator, type TableIteratorOptions } from './table-iterator.ts';
import { readTableParts, type TableBounds, type TableParts } from './table-open.ts';
import type { TableProperties } from './table-properties.ts';

/**
 * For look-ups and checks, which end within one call and call nobody back. One for all tables: each would keep buffers, and
 * the block it saw last.
 */
const found = new EntryHolder();
const cursor = new BlockIterator(found);

export class Table implements DataBlocks {
  readonly fileNumber: number;
  readonly fileBytes: number;
  readonly source: NamedFile;
  readonly index: TableIndex;
  /** Hints written by this engine; `undefined` in tables of LevelDB. */
  readonly properties: TableProperties | undefined;
  readonly slots: (CachedBlock | undefined)[];
  readonly ghosts: Uint32Array;
  readonly #filter: FilterReader | undefined;
  readonly #cache: BlockCache;
  readonly #dataEnd: number;
  /** Blocks being read, so that callers who want the same block share one read. No longer than the callers waiting. */
  readonly #reading: Map<number, Promise<Block>> = new Map();
  /** Reads of several blocks by iterators. */
  readonly #readingRanges: Set<Promise<void>> = new Set();
  #isClosed = false;

  private constructor(fileNumber: number, fileBytes: number, source: NamedFile, parts: TableParts, cache: BlockCache) {
    this.fileNumber = fileNumber;
    this.fileBytes = fileBytes;
    this.source = source;
    this.index = parts.index;
    this.properties = parts.properties;
    this.#filter = parts.filter;
    this.#dataEnd = parts.dataEnd;
    this.#cache = cache;
    this.slots = new Array<CachedBlock | undefined>(parts.index.blockCount).fill(undefined);
    this.ghosts = new Uint32Array(parts.index.blockCount);
  }

  /**
   * Opens the table in `file`, which it closes with `close`; if it rejects, the file stays open.
   *
   * @param fileName - relative to the database directory, for errors
   * @param fileBytes - size of the file according to the manifest; any other size is damage
   * @param bounds - first and last internal key according to the manifest, to know tables by that do not carry their number
   * @returns rejects with CorruptionError when anything does not fit, with IoError when the file cannot be read
   */
  static async open(
    file: ReadableFile,
    fileNumber: number,
    fileName: string,
    fileBytes: number,
    cache: BlockCache,
    bounds?: TableBounds,
  ): Promise<Table> {
    const source: NamedFile = { file, name: fileName };
    const expected = { fileNumber, fileBytes, bounds };
    const parts = await runReading(source, readTableParts(fileName, expected, await file.size()));
    return new Table(fileNumber, fileBytes, source, parts, cache);
  }

  /** As {@link open}, on the calling thread. @throws also IoError (ENOSYS) where the file system cannot do that */
  static openNow(
    file: ReadableFile,
    fileNumber: number,
    fileName: string,
    fileBytes: number,
    cache: BlockCache,
    bounds?: TableBounds,
  ): Table {
    if (file.sizeNow === undefined) throw new IoError('size', file.path, 'ENOSYS', 'failed');
    const source: NamedFile = { file, name: fileName };
    const expected = { fileNumber, fileBytes, bounds };
    const parts = runReadingNow(source, readTableParts(fileName, expected, file.sizeNow()));
    return new Table(fileNumber, fileBytes, source, parts, cache);
  }

  /** Held for as long as the table is open, without cached blocks. */
  get memoryBytes(): number {
    return this.index.memoryBytes + (this.#filter?.memoryBytes ?? 0) + this.slots.length * 12;
  }

  /**
   * Answers `lookup` with the newest entry of its key up to its sequence, or leaves it as it is if there is none. Throws or
   * rejects with CorruptionError or IoError. Returns a promise only when a block must be read.
   */
  find(lookup: Lookup): Step {
    const place = this.#placeOf(lookup);
    if (place === undefined) return undefined;
    const block = this.load(place, true);
    if (block instanceof Promise) return block.then((loaded) => this.#findIn(loaded, lookup));
    this.#findIn(block, lookup);
    return undefined;
  }

  /** As {@link find}, and reads on the calling thread if a block must be read. */
  findNow(lookup: Lookup): void {
    const place = this.#placeOf(lookup);
    if (place !== undefined) this.#findIn(this.#loadNow(place), lookup);
  }

  /** The data block that has the key if any has; `undefined`: none has. */
  #placeOf(lookup: Lookup): number | undefined {
    const { index } = this;
    const place = index.search(lookup.key, lookup.keyStart, lookup.keyEnd, lookup.sequence);
    if (place === index.blockCount) return undefined;
    const filter = this.#filter;
    if (filter !== undefined && !filter.mayContain(index.offset(place), lookup.hash)) return undefined;
    return place;
  }

  /** A new cursor over all entries. */
  iterator(options: TableIteratorOptions): InternalIterator {
    return new TableIterator(this, options);
  }

  /** How many bytes of the file lie before a user key, about: to the beginning of its block. */
  approximateOffset(userKey: Uint8Array): number {
    const place = this.index.search(userKey, 0, userKey.length, SEQUENCE_MAX);
    return place === this.index.blockCount ? this.#dataEnd : this.index.offset(place);
  }

  /** Closes the file, after the reads that are under way, and lets go of cached blocks. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cache.removeAll(this);
    // A descriptor that is closed under a read may already be another file's when the read runs.
    await Promise.allSettled([...this.#reading.values(), ...this.#readingRanges]);
    await this.source.file.close();
  }

  /**
   * Data block `place`: at once if it is cached, else read and checked.
   *
   * @param isKept - whether the cache counts the use, and keeps a block that was read
   */
  load(place: number, isKept: boolean): Block | Promise<Block> {
    const cached = this.slots[place];
    if (cached !== undefined) {
      if (isKept) this.#cache.hit(cached);
      return cached.block;
    }
    if (isKept) this.#cache.miss();
    const block = this.#reading.get(place) ?? this.#read(place);
    if (!isKept) return block;
    if (block instanceof Promise) return block.then((loaded) => this.#kept(place, loaded));
    return this.#kept(place, block);
  }

  /**
   * Gives a block to the cache.
   */
  keep(place: number, block: Block): void {
    if (!this.#isClosed) this.#cache.insert(this, place, block);
  }

  /**
   * Makes a block of the contents of data block `place`, and checks that its keys belong there.
   *
   * @throws CorruptionError
   */
  admit(place: number, contents: Uint8Array): Block {
    const { index } = this;
    const block = new Block(contents, this.source.name, index.offset(place));
    cursor.open(block);
    cursor.seekToFirst();
    if (!found.isValid) block.fail('data block holds no entry');
    if (place > 0 && index.compare(place - 1, found.keyBytes, 0, found.keyEnd, found.sequence) >= 0) {
      block.fail('data block begins with a key that belongs into an earlier block');
    }
    cursor.seekToLast();
    if (index.compare(place, found.keyBytes, 0, found.keyEnd, found.sequence) < 0) {
      block.fail('data block ends with a key that belongs into a later block');
    }
    return block;
  }

  /**
   * Fills `into` with the file's bytes from `position` on, unchecked.
   */
  async readRange(into: Uint8Array, position: number): Promise<void> {
    const reading = readFully(this.source, into, position);
    this.#readingRanges.add(reading);
    try {
      await reading;
    } finally {
      this.#readingRanges.delete(reading);
    }
  }

  #kept(place: number, block: Block): Block {
    this.keep(place, block);
    return block;
  }

  /** At once where that is quick. */
  #read(place: number): Block | Promise<Block> {
    const isQuick = this.source.file.isQuick?.(this.index.size(place)) ?? false;
    if (isQuick === true) return this.#readQuick(place);
    const reading = (isQuick === false ? this.#readLater(place) : this.#readInTurn(place, isQuick)).finally(() => {
      this.#reading.delete(place);
    });
    this.#reading.set(place, reading);
    return reading;
  }

  /** Fails as a read in the background does: whoever reads several blocks at once leaves none of the others behind. */
  #readQuick(place: number): Block | Promise<Block> {
    try {
      return this.#readNow(place);
    } catch (thrown) {
      return Promise.reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }

  /** Others have their turn first. So many may wait for it that there has to be another one. */
  async #readInTurn(place: number, turn: Promise<void>): Promise<Block> {
    for (let isQuick: boolean | Promise<void> = turn; ;) {
      if (isQuick === true) return this.#readNow(place);
      if (isQuick === false) return this.#readLater(place);
      await isQuick;
      isQuick = this.source.file.isQuick?.(this.index.size(place)) ?? false;
    }
  }

  async #readLater(place: number): Promise<Block> {
    const { index, source } = this;
    const handle = { offset: index.offset(place), size: index.size(place) };
    return this.admit(place, await readBlock(source, handle, index.checksum(place)));
  }

  #readNow(place: number): Block {
    const { index, source } = this;
    const handle = { offset: index.offset(place), size: index.size(place) };
    return this.admit(place, readBlockNow(source, handle, index.checksum(place)));
  }

  #loadNow(place: number): Block {
    const cached = this.slots[place];
    if (cached !== undefined) {
      this.#cache.hit(cached);
      return cached.block;
    }
    this.#cache.miss();
    return this.#kept(place, this.#readNow(place));
  }

  #findIn(block: Block, lookup: Lookup): void {
    const { key, keyStart, keyEnd } = lookup;
    cursor.open(block);
    cursor.seek(key, keyStart, keyEnd, lookup.sequence);
    if (!found.isValid || compareBytes(found.keyBytes, 0, found.keyEnd, key, keyStart, keyEnd) !== 0) return;
    lookup.foundSequence = found.sequence;
    if (found.kind !== KIND_SET) {
      lookup.state = 'deleted';
      return;
    }
    lookup.state = 'found';
    lookup.valueBytes = found.valueBytes;
    lookup.valueStart = found.valueStart;
    lookup.valueEnd = found.valueEnd;
  }
}
