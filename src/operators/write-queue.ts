import { BufferOverflowError } from '../errors.ts';
import { Fifo } from './fifo.ts';
import type { AdmissionPolicy } from './overflow-policy.ts';

/** What bounds the queue before the log, and how it asks about a write. */
export interface WriteQueueOptions<W> {
  /** Writes that may wait; at least 1. */
  readonly writesMax: number;
  /** Bytes that may wait; at least 1. A single larger write is taken when nothing else waits. */
  readonly bytesMax: number;
  /** Writes that one group may have; at least 1. */
  readonly groupWritesMax: number;
  /** Bytes that one group may have; at least 1. A single larger write makes a group of its own. */
  readonly groupBytesMax: number;
  /**
   * What becomes of a write that finds the queue full. `'wait'`: it waits at the door, in order. `'fail'` and
   * `'dropNewest'`: it is rejected itself; there is no difference here, as a queue that many callers share never errors
   * for one. `'dropOldest'`: the writes that have waited longest are rejected until it fits.
   */
  readonly onOverflow: AdmissionPolicy;
  /** Size of a write in bytes. Asked several times for one write: it has to give the same answer each time. */
  readonly sizeOf: (write: W) => number;
  /** Whether the caller has gone. Asked when a group is formed; such a write is skipped, and neither sent nor rejected. */
  readonly isCancelled: (write: W) => boolean;
  /** Told of each write that did not get in, or was pushed out. The stream itself goes on. */
  readonly onRejected: (write: W, error: BufferOverflowError) => void;
  /** Metric: what waits in the queue after a change, and how many writes wait at its door. */
  readonly onDepth?: (writes: number, bytes: number, atDoor: number) => void;
}

/**
 * The queue before the log, bounded in writes and in bytes, and the door in front of it.
 *
 * ```text
 *   callers --> door (only under 'wait') --> queue (<= writesMax, <= bytesMax) --> group (<= groupWritesMax, <= groupBytesMax)
 * ```
 *
 * At the door there is nothing but the callers' own references: each of them is held by its caller anyway, who waits for
 * it. Whoever stands first at the door does not fit into the queue; otherwise it would be in it.
 *
 * @internal
 */
export class WriteQueue<W> {
  readonly #options: WriteQueueOptions<W>;
  readonly #queue = new Fifo<W>();
  readonly #door = new Fifo<W>();
  #bytes = 0;

  constructor(options: WriteQueueOptions<W>) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#queue.size === 0; // then nobody is at the door either
  }

  /** The write that has waited longest and is not cancelled; the cancelled ones before it are let go. */
  first(): W | undefined {
    const { isCancelled } = this.#options;
    let hasChanged = false;
    while (this.#queue.size > 0 && isCancelled(this.#queue.peek() as W)) {
      this.#shift();
      this.#admit();
      hasChanged = true;
    }
    if (hasChanged) this.#report();
    return this.#queue.peek();
  }

  offer(write: W): void {
    const { sizeOf, onOverflow, onRejected, isCancelled } = this.#options;
    const bytes = sizeOf(write);
    if (this.#door.size === 0 && this.#hasRoomFor(bytes)) {
      this.#push(write, bytes);
    } else if (onOverflow === 'wait') {
      this.#door.push(write);
    } else if (onOverflow === 'dropOldest') {
      this.#pushOut(write, bytes);
    } else if (!isCancelled(write)) {
      onRejected(write, this.#overflow());
      return;
    }
    this.#report();
  }

  /** Takes the next group out, without the cancelled writes: `writes` may be empty. Room that this makes is filled. */
  takeGroup(): { readonly writes: readonly W[]; readonly bytes: number } {
    const { groupWritesMax, groupBytesMax, sizeOf, isCancelled } = this.#options;
    const writes: W[] = [];
    let bytes = 0;
    while (this.#queue.size > 0 && writes.length < groupWritesMax) {
      const write = this.#queue.peek() as W;
      if (isCancelled(write)) {
        this.#shift();
        continue;
      }
      const size = sizeOf(write);
      if (writes.length > 0 && bytes + size > groupBytesMax) break;
      this.#shift();
      writes.push(write);
      bytes += size;
    }
    this.#admit();
    this.#report();
    return { writes, bytes };
  }

  clear(): void {
    this.#queue.clear();
    this.#door.clear();
    this.#bytes = 0;
  }

  #hasRoomFor(bytes: number): boolean {
    const { writesMax, bytesMax } = this.#options;
    return this.#queue.size === 0 || (this.#queue.size < writesMax && this.#bytes + bytes <= bytesMax);
  }

  #push(write: W, bytes: number): void {
    this.#queue.push(write);
    this.#bytes += bytes;
  }

  #shift(): W {
    const write = this.#queue.shift() as W;
    this.#bytes -= this.#options.sizeOf(write);
    return write;
  }

  /** Lets in whoever fits, in order. */
  #admit(): void {
    const { sizeOf, isCancelled } = this.#options;
    while (this.#door.size > 0) {
      const write = this.#door.peek() as W;
      const isGone = isCancelled(write);
      const bytes = sizeOf(write);
      if (!isGone && !this.#hasRoomFor(bytes)) return;
      this.#door.shift();
      if (!isGone) this.#push(write, bytes);
    }
  }

  #pushOut(write: W, bytes: number): void {
    const { isCancelled, onRejected } = this.#options;
    const error = this.#overflow();
    const dropped: W[] = [];
    while (!this.#hasRoomFor(bytes)) dropped.push(this.#shift());
    this.#push(write, bytes);
    // Only now, because whoever is rejected may at once come again.
    for (const victim of dropped) if (!isCancelled(victim)) onRejected(victim, error);
  }

  #overflow(): BufferOverflowError {
    const { writesMax, bytesMax } = this.#options;
    return this.#queue.size >= writesMax
      ? new BufferOverflowError(writesMax, 'values')
      : new BufferOverflowError(bytesMax, 'bytes');
  }

  #report(): void {
    this.#options.onDepth?.(this.#queue.size, this.#bytes, this.#door.size);
  }
}
