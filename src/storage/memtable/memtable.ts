/**
 * The memtable: a sorted, insert-only table of entries in one arena, which is one `SharedArrayBuffer`.
 *
 * Entry bytes grow from the bottom, the nodes of a B+tree over them from the top; layout.ts has the picture. All state
 * is in the buffer, its counters in the header, so a worker attaches to a frozen memtable and iterates it without a
 * copy. The buffer comes from the system as untouched zero pages: creating even a large memtable costs next to nothing,
 * and memory is taken as it is written.
 *
 * One thread writes. Another one may attach once nothing is added any more and the buffer came to it in a message,
 * which orders the writes before its reads; there are no atomics here.
 */
import { InvalidArgumentError, OutOfRangeError, ReadOnlyError } from '../../errors.ts';
import {
  KIND_DELETE,
  KIND_SET,
  SEQUENCE_MAX,
  type EntryKind,
  type InternalIterator,
} from '../read/internal-iterator.ts';
import { EntryInserter } from './entry-inserter.ts';
import { EntryTree } from './entry-tree.ts';
import {
  CAPACITY_BYTES_MAX,
  CAPACITY_BYTES_MIN,
  DATA_END_AT,
  ENTRY_COUNT_AT,
  ENTRY_HEADER_BYTES,
  ENTRY_OVERHEAD_BYTES_MAX,
  FIRST_LEAF_AT,
  HEADER_BYTES,
  LAST_LEAF_AT,
  levelCountMax,
  MAGIC,
  MAGIC_AT,
  NODE_BYTES,
  NODE_START_AT,
  nodeCountMax,
  ROOT_AT,
} from './layout.ts';
import { MemtableIterator } from './memtable-iterator.ts';

/** Up to about this a loop copies as fast as a call, which needs a new view of the source (measured). */
const COPY_LOOP_BYTES_MAX = 128;

function copyBytes(into: Uint8Array, intoStart: number, source: Uint8Array, start: number, end: number): void {
  const length = end - start;
  if (length > COPY_LOOP_BYTES_MAX) {
    into.set(source.subarray(start, end), intoStart);
    return;
  }
  for (let at = 0; at < length; at += 1) into[intoStart + at] = source[start + at] as number;
}

/** Where the nodes end: the last node boundary of the arena. */
function nodeTopOf(capacityBytes: number): number {
  return capacityBytes - (capacityBytes % NODE_BYTES);
}

export class Memtable {
  readonly buffer: SharedArrayBuffer;
  /** View over the buffer; keys and values of entries are ranges in it. */
  readonly bytes: Uint8Array;
  private readonly words: Int32Array;
  private readonly tree: EntryTree;
  /** None in an attached memtable. */
  private readonly inserter: EntryInserter | undefined;

  private constructor(buffer: SharedArrayBuffer, isWritable: boolean) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
    this.tree = new EntryTree(this.words, this.bytes);
    this.inserter = isWritable ? new EntryInserter(this.tree) : undefined;
  }

  /**
   * An empty memtable.
   *
   * @param capacityBytes - size of its arena, all overhead included, in [1 KiB, 2 GiB - 512]; see {@link capacityFor}
   * @throws OutOfRangeError (a `RangeError`) if the capacity is not a whole number in that range
   * @throws RangeError if the system has not that much address space left
   */
  static create(capacityBytes: number): Memtable {
    const isCapacity =
      Number.isInteger(capacityBytes) && capacityBytes >= CAPACITY_BYTES_MIN && capacityBytes <= CAPACITY_BYTES_MAX;
    if (!isCapacity) {
      const expected = `a whole number of bytes from ${CAPACITY_BYTES_MIN} to ${CAPACITY_BYTES_MAX}`;
      throw new OutOfRangeError('capacityBytes', expected, capacityBytes);
    }
    return Memtable.createIn(new SharedArrayBuffer(capacityBytes));
  }

  /** An empty memtable in this memory, which must be all zeros and of a size that {@link create} takes. */
  static createIn(arena: SharedArrayBuffer): Memtable {
    const capacityBytes = arena.byteLength;
    const table = new Memtable(arena, true);
    const { words } = table;
    const root = nodeTopOf(capacityBytes) - NODE_BYTES;
    words[MAGIC_AT] = MAGIC;
    words[DATA_END_AT] = HEADER_BYTES;
    words[NODE_START_AT] = root;
    words[ROOT_AT] = words[FIRST_LEAF_AT] = words[LAST_LEAF_AT] = root >> 2;
    return table;
  }

  /**
   * A read-only memtable over the buffer of another one, for use in a worker.
   *
   * @throws InvalidArgumentError (a `TypeError`) if the buffer is not that of a memtable
   */
  static attach(buffer: SharedArrayBuffer): Memtable {
    if (buffer.byteLength < CAPACITY_BYTES_MIN || new Int32Array(buffer, 0, 1)[MAGIC_AT] !== MAGIC) {
      throw new InvalidArgumentError('buffer', 'the buffer of a memtable', buffer);
    }
    return new Memtable(buffer, false);
  }

  /**
   * Capacity in bytes that surely takes this payload, for an arena made for one huge batch. It may be over what
   * {@link create} takes.
   *
   * @param payloadBytes - bytes of all keys and values together
   */
  static capacityFor(entryCount: number, payloadBytes: number): number {
    const data = HEADER_BYTES + payloadBytes + entryCount * ENTRY_OVERHEAD_BYTES_MAX;
    return Math.ceil((data + nodeCountMax(entryCount) * NODE_BYTES) / NODE_BYTES) * NODE_BYTES;
  }

  get entryCount(): number {
    return this.words[ENTRY_COUNT_AT] as number;
  }

  get capacityBytes(): number {
    return this.buffer.byteLength;
  }

  /** Bytes taken by the header, the entries and the nodes. */
  get bytesUsed(): number {
    return (this.words[DATA_END_AT] as number) + this.nodeBytes;
  }

  private get nodeBytes(): number {
    return nodeTopOf(this.buffer.byteLength) - (this.words[NODE_START_AT] as number);
  }

  /**
   * Whether that many entries, with that many bytes of keys and values in total, surely fit. Conservative: after
   * `false` they may fit all the same; after `true` no {@link add} of them throws.
   */
  hasRoomFor(entryCount: number, payloadBytes: number): boolean {
    const total = this.entryCount + entryCount;
    // Two bounds hold: that of all nodes together, and that no insert splits more than one node of each level.
    const newNodes = Math.min(
      nodeCountMax(total) - this.nodeBytes / NODE_BYTES,
      entryCount * (levelCountMax(total) + 1),
    );
    const data = (this.words[DATA_END_AT] as number) + payloadBytes + entryCount * ENTRY_OVERHEAD_BYTES_MAX;
    return data + newNodes * NODE_BYTES <= (this.words[NODE_START_AT] as number);
  }

  /**
   * Inserts a copy of an entry. Hot path: no check of its arguments; no allocation but one view for a key or value that
   * is longer than 128 bytes.
   *
   * @param sequence - in [0, 2^53 - 1], greater than that of every entry with the same key
   * @param valueStart - the value is `source[valueStart, valueEnd)`; empty for a tombstone
   * @throws RangeError if there is no room; nothing has changed then
   * @throws ReadOnlyError on an attached memtable
   */
  add(
    sequence: number,
    kind: EntryKind,
    source: Uint8Array,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    const { bytes, words, inserter } = this;
    if (inserter === undefined) throw new ReadOnlyError('it is the attached view of a frozen memtable');
    const entry = words[DATA_END_AT] as number;
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    const size = ENTRY_HEADER_BYTES + keyLength + valueLength;
    // A sum of lengths may be above 2^31, so it is compared before it is rounded by integer operators.
    if (size > (words[NODE_START_AT] as number) - entry) throw this.full(size);
    const entryEnd = entry + ((size + 3) & ~3);
    // The room behind is not yet part of the table: if the nodes do not fit, what is written here means nothing.
    const at = entry >> 2;
    words[at] = sequence | 0;
    words[at + 1] = (((sequence / 0x1_0000_0000) | 0) << 8) | kind;
    words[at + 2] = keyLength;
    words[at + 3] = valueLength;
    const arenaKey = entry + ENTRY_HEADER_BYTES;
    const arenaValue = arenaKey + keyLength;
    copyBytes(bytes, arenaKey, source, keyStart, keyEnd);
    copyBytes(bytes, arenaValue, source, valueStart, valueEnd);
    if (!inserter.insert(entry, entryEnd, arenaValue, sequence)) throw this.full(size);
  }

  private full(bytes: number): RangeError {
    return new RangeError(
      `the memtable has no room for an entry of ${bytes} bytes: ${this.bytesUsed} of ${this.capacityBytes} are ` +
        'in use. Ask hasRoomFor before, and rotate when it says no.',
    );
  }

  /**
   * Newest entry of the key with a sequence number of at most `sequence`: an entry reference for the methods below, or
   * -1. It is good for as long as the memtable. No allocation.
   */
  find(key: Uint8Array, keyStart: number, keyEnd: number, sequence: number): number {
    const { bytes, words } = this;
    const slot = this.tree.seek(key, keyStart, keyEnd, sequence);
    if (slot === 0) return -1;
    const entry = words[slot] as number;
    const length = keyEnd - keyStart;
    if (words[(entry >> 2) + 2] !== length) return -1;
    const arenaKey = entry + ENTRY_HEADER_BYTES;
    for (let at = 0; at < length; at += 1) if (bytes[arenaKey + at] !== key[keyStart + at]) return -1;
    return entry;
  }

  kindOf(entry: number): EntryKind {
    return ((this.words[(entry >> 2) + 1] as number) & 0xff) === KIND_SET ? KIND_SET : KIND_DELETE;
  }

  sequenceOf(entry: number): number {
    return this.tree.sequenceOf(entry);
  }

  keyStartOf(entry: number): number {
    return entry + ENTRY_HEADER_BYTES;
  }

  keyEndOf(entry: number): number {
    return this.tree.keyEndOf(entry);
  }

  valueStartOf(entry: number): number {
    return this.tree.keyEndOf(entry);
  }

  valueEndOf(entry: number): number {
    return this.tree.keyEndOf(entry) + (this.words[(entry >> 2) + 3] as number);
  }

  /** A cursor over the entries; those added after its creation may or may not show. All steps are synchronous. */
  iterator(): InternalIterator {
    return new MemtableIterator(this.tree);
  }

  /**
   * About how many bytes the entries with start <= key < end take in the arena: their number times the mean size.
   * Looks at each leaf between, so it costs microseconds per ten thousand entries.
   *
   * @param end - `undefined`: to the last entry
   */
  approximateBytes(start: Uint8Array, end: Uint8Array | undefined): number {
    if (this.entryCount === 0) return 0;
    const { tree } = this;
    const first = tree.seek(start, 0, start.length, SEQUENCE_MAX);
    const stop = end === undefined ? 0 : tree.seek(end, 0, end.length, SEQUENCE_MAX);
    const dataBytes = (this.words[DATA_END_AT] as number) - HEADER_BYTES;
    return Math.round((tree.countBetween(first, stop) / this.entryCount) * dataBytes);
  }
}
