/**
 * What can still be read of a damaged table: data blocks whose checksums match and whose entries ascend.
 *
 *   the index can be read    each block that it names is tried; a lost one lay between two separators
 *   it cannot                the file is gone through from block to block (find-blocks.ts), and behind a damaged one searched
 *                            for the next (search-blocks.ts); what is none of the data is told by its form, and left out
 */
import { CorruptionError } from '../../errors.ts';
import { compareInternal, readKind, TAG_BYTES } from '../codec/internal-key.ts';
import { Malformed } from '../codec/malformed.ts';
import { type NamedFile, readFully } from '../file-system/read-fully.ts';
import { KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../read/internal-iterator.ts';
import { forEachEntry } from '../table/block-entries.ts';
import { Block, BlockEntryReader, roughSequence } from '../table/block.ts';
import { readBlock } from '../table/block-read.ts';
import { FilterReader } from '../table/filter-block.ts';
import { type BlockHandle, decodeFooter, FOOTER_BYTES, readHandle, TRAILER_BYTES } from '../table/table-format.ts';
import { BlockFinder } from './find-blocks.ts';
import { BlockSearch } from './search-blocks.ts';
import type { LossList } from './repair-report.ts';

/** A table, and the blocks of it that can be read, in order. */
export interface SalvagedTable {
  readonly source: NamedFile;
  readonly blocks: readonly BlockHandle[];
  readonly entries: number;
  readonly largestSequence: number;
  /** First and last internal keys; `undefined`: nothing can be read. */
  readonly smallest: Uint8Array | undefined;
  readonly largest: Uint8Array | undefined;
  /** Whether its index could be read; so it is a table as it was written, but for damaged blocks. */
  readonly hasIndex: boolean;
}

export interface SalvagePorts {
  /** Gives others a turn; throws when the repair is called off. */
  readonly turn: () => Promise<void>;
  readonly losses: LossList;
  /** Hears how many bytes were gone over, again and again, in a table without an index: for tests. */
  readonly onSteps?: ((steps: number) => void) | undefined;
}

/** Without an index, a table is held in memory: a larger one is given up. */
const SCANNED_BYTES_MAX = 512 * 1024 * 1024;
/** The largest block that is looked for. */
const BLOCK_BYTES_MAX = 4 * 1024 * 1024;
/** Bytes that may be gone over in vain, for each byte of the file: where no block follows, and again for what only looks like one. */
const VAIN_STEPS_PER_BYTE = 4;
/** The last byte of every filter block. */
const FILTER_BASE_LOG = 11;
/** Properties and metaindex are no longer. */
const NAMES_BYTES_MAX = 1024;
/** Added to what a block that follows may have. */
const FOLLOWING_BYTES_MIN = 4096;
const STEPS_PER_TURN = 2 ** 20;

interface IndexLine {
  readonly separator: Uint8Array;
  readonly handle: BlockHandle;
}

/** @throws IoError */
export async function salvageTable(source: NamedFile, ports: SalvagePorts): Promise<SalvagedTable> {
  const fileBytes = await source.file.size();
  const salvage = new TableSalvage(source, fileBytes, ports);
  const lines = await readIndex(source, fileBytes).catch((error: unknown) => {
    if (error instanceof CorruptionError || error instanceof Malformed) return undefined;
    throw error;
  });
  if (lines === undefined) await salvage.scan();
  else await salvage.follow(lines);
  return salvage.result();
}

async function readIndex(source: NamedFile, fileBytes: number): Promise<readonly IndexLine[]> {
  if (fileBytes < FOOTER_BYTES) throw new Malformed('too short for a table', 0);
  const footer = new Uint8Array(FOOTER_BYTES);
  await readFully(source, footer, fileBytes - FOOTER_BYTES);
  const { index, metaindex } = decodeFooter(footer, fileBytes);
  const block = new Block(await readBlock(source, index), source.name, index.offset);
  return linesOf(block, metaindex.offset);
}

/** @throws Malformed or CorruptionError when it is no index */
function linesOf(block: Block, limit: number): IndexLine[] {
  const reader = new BlockEntryReader();
  const lines: IndexLine[] = [];
  let end = 0;
  for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
    reader.read(block, offset);
    const handle = readHandle({ bytes: block.bytes, offset: reader.valueStart, end: reader.valueEnd }, limit);
    if (reader.keyLength < TAG_BYTES || handle.offset < end) throw new Malformed('no index', offset);
    end = handle.offset + handle.size + TRAILER_BYTES;
    lines.push({ separator: reader.keyBytes.slice(0, reader.keyLength - TAG_BYTES), handle });
  }
  return lines;
}

/** What became of a block: taken, one of those behind the data, or of no use. */
type Outcome = 'behind' | { readonly reason: string } | undefined;

class TableSalvage {
  readonly #source: NamedFile;
  readonly #fileBytes: number;
  readonly #ports: SalvagePorts;
  readonly #blocks: BlockHandle[] = [];
  /** Of the block that was taken last. */
  #firstKey: Uint8Array | undefined;
  #lastKey: Uint8Array | undefined;
  #smallest: Uint8Array | undefined;
  #entries = 0;
  #largestSequence = 0;
  #hasIndex = false;

  constructor(source: NamedFile, fileBytes: number, ports: SalvagePorts) {
    this.#source = source;
    this.#fileBytes = fileBytes;
    this.#ports = ports;
  }

  result(): SalvagedTable {
    return {
      source: this.#source,
      blocks: this.#blocks,
      entries: this.#entries,
      largestSequence: this.#largestSequence,
      smallest: this.#smallest,
      largest: this.#lastKey,
      hasIndex: this.#hasIndex,
    };
  }

  /** Tries each block that the index names. */
  async follow(lines: readonly IndexLine[]): Promise<void> {
    this.#hasIndex = true;
    for (const [place, { handle, separator }] of lines.entries()) {
      let reason: string | undefined;
      try {
        reason = this.#take(handle, await readBlock(this.#source, handle));
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        reason = error.reason;
      }
      await this.#ports.turn();
      if (reason === undefined) continue;
      const endOffset = handle.offset + handle.size + TRAILER_BYTES;
      this.#lose(handle.offset, endOffset, reason, lines[place - 1]?.separator, separator);
    }
  }

  /** Goes from block to block. */
  async scan(): Promise<void> {
    if (this.#fileBytes > SCANNED_BYTES_MAX) {
      return this.#lose(
        0,
        undefined,
        'its index cannot be read, and it is too large to be searched',
        undefined,
        undefined,
      );
    }
    const bytes = new Uint8Array(this.#fileBytes);
    await readFully(this.#source, bytes, 0);
    const finder = new BlockFinder(bytes);
    const holes = new BlockSearch(bytes);
    let followSteps = bytes.length * VAIN_STEPS_PER_BYTE + BLOCK_BYTES_MAX;
    let vainSteps = followSteps;
    let largest = 0;
    let stepsAtTurn = 0;
    const step = async (): Promise<void> => {
      const steps = finder.steps + holes.steps;
      this.#ports.onSteps?.(steps);
      if (steps - stepsAtTurn < STEPS_PER_TURN) return;
      stepsAtTurn = steps;
      await this.#ports.turn();
    };
    for (let at = 0; at < bytes.length;) {
      const before = finder.steps;
      // One that is much larger than all before is found by the search, too.
      const sizeMax = largest === 0 ? BLOCK_BYTES_MAX : Math.min(BLOCK_BYTES_MAX, 2 * largest + FOLLOWING_BYTES_MIN);
      const size = followSteps > 0 ? finder.sizeAt(at, sizeMax) : -1;
      await step();
      if (size >= 0) {
        const outcome = await this.#takeFound({ offset: at, size });
        if (outcome === 'behind') return;
        if (outcome !== undefined) this.#lose(at, at + size + TRAILER_BYTES, outcome.reason, undefined, undefined);
        at += size + TRAILER_BYTES;
        largest = Math.max(largest, size);
        continue;
      }
      followSteps -= finder.steps - before;
      const keyBefore = this.#lastKey;
      holes.begin(at);
      let found: BlockHandle | undefined;
      let outcome: Outcome;
      while (found === undefined && !holes.isOver && vainSteps > 0) {
        const handles = holes.next(STEPS_PER_TURN);
        await step();
        for (const handle of handles) {
          outcome = await this.#takeFound(handle);
          if (outcome === undefined || outcome === 'behind') {
            found = handle;
            break;
          }
          vainSteps -= handle.size; // it only looks like one
        }
      }
      // Without what lies behind all data, nobody knows whether there was more.
      if (found === undefined) return this.#loseHole(at, undefined, keyBefore, undefined);
      const isBehind = outcome === 'behind';
      if (found.offset > at) this.#loseHole(at, found.offset, keyBefore, isBehind ? undefined : this.#firstKey);
      if (isBehind) return;
      at = found.offset + found.size + TRAILER_BYTES;
      largest = Math.max(largest, found.size);
    }
    this.#loseHole(bytes.length, undefined, this.#lastKey, undefined);
  }

  /** Looks at a block whose checksum matches, and takes it if it is one of the data. */
  async #takeFound(handle: BlockHandle): Promise<Outcome> {
    try {
      const contents = await readBlock(this.#source, handle); // it may be one that cannot be uncompressed
      if (isBehindData(contents, handle.offset)) return 'behind';
      const reason = this.#take(handle, contents);
      return reason === undefined ? undefined : { reason };
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      return { reason: error.reason };
    }
  }

  /** Goes through the entries of a block, and keeps it if they are in order. @returns why not, if it does not */
  #take(handle: BlockHandle, contents: Uint8Array): string | undefined {
    const block = new Block(contents, this.#source.name, handle.offset);
    const reader = new BlockEntryReader();
    let last = this.#lastKey;
    let first: Uint8Array | undefined;
    let [entries, largest] = [0, this.#largestSequence];
    for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
      reader.read(block, offset);
      const { keyBytes, keyLength } = reader;
      if (keyLength < TAG_BYTES) return 'a key is too short for its tag';
      const kind = readKind(keyBytes, keyLength);
      const sequence = roughSequence(keyBytes, keyLength);
      if ((kind !== KIND_SET && kind !== KIND_DELETE) || sequence > SEQUENCE_MAX) return 'a key has no good tag';
      if (last !== undefined && compareInternal(last, 0, last.length, keyBytes, 0, keyLength) >= 0) {
        return 'its keys are not in order';
      }
      last = keyBytes.slice(0, keyLength);
      first ??= last;
      largest = Math.max(largest, sequence);
      entries += 1;
    }
    if (entries === 0) return 'it holds no entry';
    this.#blocks.push(handle);
    this.#firstKey = first;
    this.#smallest ??= first;
    this.#lastKey = last;
    this.#entries += entries;
    this.#largestSequence = largest;
    return undefined;
  }

  #loseHole(
    start: number,
    end: number | undefined,
    keyBefore: Uint8Array | undefined,
    keyBehind: Uint8Array | undefined,
  ): void {
    const reason = 'no block can be read here, and the index is lost';
    this.#lose(start, end, reason, userKeyIn(keyBefore), userKeyIn(keyBehind));
  }

  #lose(
    offset: number,
    endOffset: number | undefined,
    reason: string,
    firstKey: Uint8Array | undefined,
    lastKey: Uint8Array | undefined,
  ): void {
    this.#ports.losses.add({ file: this.#source.name, offset, endOffset, reason, firstKey, lastKey });
  }
}

const userKeyIn = (key: Uint8Array | undefined): Uint8Array | undefined => key?.subarray(0, key.length - TAG_BYTES);

/**
 * Whether a block is none of the data, but of those behind it: the filter and the blocks of names by their form; the index,
 * whose keys may look like those of entries, by its values, which are the places of all blocks from the first on.
 */
function isBehindData(contents: Uint8Array, ownOffset: number): boolean {
  return [isFilter, isNames, isIndex].some((isOne) => {
    try {
      return isOne(contents, ownOffset);
    } catch (error) {
      if (error instanceof Malformed || error instanceof CorruptionError) return false;
      throw error;
    }
  });
}

function isFilter(contents: Uint8Array): boolean {
  return contents.at(-1) === FILTER_BASE_LOG && new FilterReader(contents).memoryBytes > 0;
}

function isNames(contents: Uint8Array, ownOffset: number): boolean {
  let names = 0;
  let known = 0;
  forEachEntry(new Block(contents, '', ownOffset), (name) => {
    names += 1;
    if (/^(alluvium\.|filter\.|checksum\.|entries$|sequence\.|table$|tombstones$)/.test(name)) known += 1;
  });
  return names > 0 && known === names && contents.length < NAMES_BYTES_MAX;
}

function isIndex(contents: Uint8Array, ownOffset: number): boolean {
  const lines = linesOf(new Block(contents, '', ownOffset), ownOffset);
  let end = 0;
  for (const { handle } of lines) {
    if (handle.offset !== end) return false;
    end = handle.offset + handle.size + TRAILER_BYTES;
  }
  return lines.length > 0;
}
