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

  /** The content as programs see it: a view on at most the first `end` bytes, not to be written into. */
  view(end: number = this.#size): Uint8Array {
    return this.#buffer.subarray(0, end);
  }

  read(into: Uint8Array, position: number): number {
    const count = Math.min(into.length, this.#size - position);
    if (count <= 0) return 0;
    into.set(this.#buffer.subarray(position, position + count));
    return count;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
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

  sync(): void {
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
    this.#buffer = bytes;
    this.#size = bytes.length;
    this.#durableSize = bytes.length;
    this.#lost = [];
    this.#forgetWrites();
  }

  /** The same content in the same state of durability; what is appended to one is not seen in the other. */
  copy(): Inode {
    const inode = new Inode();
    inode.#buffer = this.view(); // without room at its end, so the first append moves to a buffer of its own
    inode.#size = this.#size;
    inode.#durableSize = this.#durableSize;
    inode.#pendingStart = this.#pendingStart;
    inode.#writeEnds = this.#writeEnds.slice();
    inode.#lost = this.#lost.slice();
    return inode;
  }

  #forgetWrites(): void {
    this.#pendingStart = this.#size;
    if (this.#writeEnds.length > 0) this.#writeEnds = [];
  }
}
