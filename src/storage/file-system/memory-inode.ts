/**
 * A file's content, and what of it a power cut would leave.
 *
 * Files here only grow at their end, so that the unsynced writes are always a tail:
 *
 * ```text
 * bytes   [ synced ........ | lost | synced .... | write | write | write ]
 *                                   durableSize ^         writeEnds ^   ^ size
 * ```
 *
 * Behind them may be zeros that were reserved, for later appends to take the place of:
 *
 * ```text
 * bytes   [ synced ........ | write | write | zeros ......... ]
 *                                           ^ size            ^ reservedEnd
 * ```
 *
 * A lost range was unsynced when a sync failed. It can still be read, but never gets to the disk: after a power cut it
 * reads as zeros if something durable follows it, and is missing otherwise.
 */
const EMPTY = new Uint8Array(0);
/** The smallest buffer; most small files (CURRENT, LOCK) fit. */
const CAPACITY_MIN = 64;

/** Bytes [start, end) of a file. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export class Inode {
  readonly kind = 'file';
  /** May be longer than the file. Bytes below `size` never change in place, so that copies may share the buffer. */
  #buffer: Uint8Array = EMPTY;
  #size = 0;
  #durableSize = 0;
  /** Where the first unsynced write begins. */
  #pendingStart = 0;
  /** Ends of the unsynced writes, ascending. Empty after each sync. */
  #writeEnds: number[] = [];
  #lost: ByteRange[] = [];
  /** Where the reserved zeros end, as programs see it, and as a power cut leaves it. Of no meaning up to `size`. */
  #reservedEnd = 0;
  #durableReservedEnd = 0;
  /** Counts what was done to the content. */
  version = 0;
  /** Names that lead here. */
  linkCount = 0;
  /** Open files that lead here. */
  openCount = 0;

  /** A file whose content is `bytes` and durable. The buffer is shared, not copied: nobody may write into it any more. */
  static durable(bytes: Uint8Array): Inode {
    const inode = new Inode();
    inode.replace(bytes);
    return inode;
  }

  get size(): number {
    return this.#size;
  }

  /** The size as programs see it: with what is reserved. */
  get visibleSize(): number {
    return Math.max(this.#size, this.#reservedEnd);
  }

  /** Where the reserved zeros end; may be below the size. */
  get reservedEnd(): number {
    return this.#reservedEnd;
  }

  /** Where the reserved zeros end that a power cut is sure to leave; may be below the size. */
  get durableReservedEnd(): number {
    return this.#durableReservedEnd;
  }

  /** The size that a power cut is sure to leave. */
  get durableSize(): number {
    return this.#durableSize;
  }

  get pendingStart(): number {
    return this.#pendingStart;
  }

  /** Ends of the unsynced writes in the order of the calls; the first begins at `pendingStart`. */
  get writeEnds(): readonly number[] {
    return this.#writeEnds;
  }

  get lost(): readonly ByteRange[] {
    return this.#lost;
  }

  /** The content without what is reserved: a view on at most the first `end` bytes, not to be written into. */
  view(end: number = this.#size): Uint8Array {
    return this.#buffer.subarray(0, end);
  }

  /** A copy of the content as programs see it, with what is reserved. */
  content(): Uint8Array {
    const bytes = new Uint8Array(this.visibleSize);
    bytes.set(this.view());
    return bytes;
  }

  read(into: Uint8Array, position: number): number {
    const count = Math.min(into.length, this.visibleSize - position);
    if (count <= 0) return 0;
    const written = Math.min(count, Math.max(0, this.#size - position));
    into.set(this.#buffer.subarray(position, position + written));
    into.fill(0, written, count);
    return count;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.version += 1;
    const end = this.#size + bytes.length;
    if (end > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(CAPACITY_MIN, this.#buffer.length * 2, end)); // doubling: O(n) in sum
      grown.set(this.view());
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#size);
    this.#size = end;
    this.#writeEnds.push(end);
  }

  reserve(bytes: number): void {
    this.version += 1;
    this.#reservedEnd = Math.max(this.#reservedEnd, this.#size + bytes);
  }

  /** Lets go of what is reserved and not used. */
  trimReserve(): void {
    this.#reservedEnd = 0;
  }

  sync(): void {
    this.#durableReservedEnd = this.#reservedEnd;
    if (this.#writeEnds.length === 0) return;
    this.#durableSize = this.#size;
    this.#forgetWrites();
  }

  /** A sync that failed: the kernel marks the pages clean though they never got to the disk. */
  loseUnsynced(): void {
    if (this.#writeEnds.length === 0) return;
    this.#lost.push({ start: this.#pendingStart, end: this.#size });
    this.#forgetWrites();
  }

  /** Gives back what the doubling took too much. */
  trim(): void {
    if (this.#buffer.length > this.#size + CAPACITY_MIN) this.#buffer = this.#buffer.slice(0, this.#size);
  }

  /** Another content, durable at once. For tests that damage files. */
  replace(bytes: Uint8Array): void {
    this.version += 1;
    this.#buffer = bytes;
    this.#size = bytes.length;
    this.#durableSize = bytes.length;
    this.#lost = [];
    this.#reservedEnd = 0;
    this.#durableReservedEnd = 0;
    this.#forgetWrites();
  }

  /** The same content in the same state of durability; what is appended to one is not seen in the other. */
  copy(): Inode {
    const inode = new Inode();
    inode.#buffer = this.view(); // without room at its end, so the first append moves to a buffer of its own
    inode.version = this.version;
    inode.#size = this.#size;
    inode.#durableSize = this.#durableSize;
    inode.#pendingStart = this.#pendingStart;
    inode.#writeEnds = this.#writeEnds.slice();
    inode.#lost = this.#lost.slice();
    inode.#reservedEnd = this.#reservedEnd;
    inode.#durableReservedEnd = this.#durableReservedEnd;
    return inode;
  }

  #forgetWrites(): void {
    this.#pendingStart = this.#size;
    if (this.#writeEnds.length > 0) this.#writeEnds = [];
  }
}
