/**
 * What may be delivered next, and what has to wait for what.
 *
 * - `PartitionQueue`: changes of one partition one after the other, each when the one before it is settled; different
 *   partitions beside each other
 * - `BatchQueue`: batches, one at a time
 *
 * Neither has a bound of its own: what is admitted is bounded by `aheadMax`, and by what is replayed at a time.
 */
import { Fifo } from '../operators/fifo.ts';
import { type Partition, type Slot, Work } from './consumer-work.ts';

export interface WorkQueue {
  /** Whether enough waits that nothing needs to be read now. */
  readonly isFed: boolean;
  /** Takes the next change that was read. */
  admit(slot: Slot): void;
  /** Takes a dead letter that is to be tried again. */
  admitReplay(work: Work): void;
  /** What may be delivered now, if anything. */
  take(nowMs: number): Work | undefined;
  /** The work is to be delivered again, now: nothing of its partition before it. */
  again(work: Work): void;
  /** The work is settled: the next of its partition may go. */
  release(work: Work): void;
  /** Takes the work apart, so that one bad change takes no others along. @returns false if it is one already */
  split(work: Work): boolean;
  /** Milliseconds until `take` gives something that it does not give now, if time makes a difference. */
  waitMs(nowMs: number): number | undefined;
}

export class PartitionQueue implements WorkQueue {
  readonly #workOf: (slot: Slot) => Work;
  readonly #runnable = new Fifo<Work>();
  /** Partitions that have work, and the last of it; each work knows the one behind it. */
  readonly #last = new Map<Partition, Work>();

  /** @param workOf - makes a piece of work, and knows its partition */
  constructor(workOf: (slot: Slot) => Work) {
    this.#workOf = workOf;
  }

  get isFed(): boolean {
    return this.#runnable.size > 0;
  }

  admit(slot: Slot): void {
    this.admitReplay(this.#workOf(slot));
  }

  admitReplay(work: Work): void {
    const last = this.#last.get(work.partition);
    if (last === undefined) this.#runnable.push(work);
    else last.next = work;
    this.#last.set(work.partition, work);
  }

  take(): Work | undefined {
    return this.#runnable.shift();
  }

  again(work: Work): void {
    this.#runnable.push(work);
  }

  release(work: Work): void {
    const { next } = work;
    if (next === undefined) {
      this.#last.delete(work.partition);
      return;
    }
    work.next = undefined; // a settled work must not keep alive what came after it
    this.#runnable.push(next);
  }

  split(): boolean {
    return false;
  }

  waitMs(): undefined {
    return undefined;
  }
}

/** All batches are of one partition. */
const BATCHES = '';

export class BatchQueue implements WorkQueue {
  readonly #changesMax: number;
  readonly #idleMs: number;
  readonly #now: () => number;
  readonly #fresh = new Fifo<Slot>();
  /** What goes before fresh ones: parts of a batch that failed, and dead letters that are tried again. */
  readonly #first = new Fifo<Work>();
  /** The one that is at work, waits for its next attempt or for its commit. */
  #busy: Work | undefined;
  #again: Work | undefined;
  #lastAdmitMs = 0;

  constructor({ changesMax, idleMs }: { readonly changesMax: number; readonly idleMs: number }, now: () => number) {
    this.#changesMax = changesMax;
    this.#idleMs = idleMs;
    this.#now = now;
  }

  get isFed(): boolean {
    return this.#fresh.size >= this.#changesMax;
  }

  admit(slot: Slot): void {
    this.#fresh.push(slot);
    if (this.#idleMs > 0) this.#lastAdmitMs = this.#now();
  }

  admitReplay(work: Work): void {
    this.#first.push(work);
  }

  take(nowMs: number): Work | undefined {
    if (this.#again !== undefined) {
      const work = this.#again;
      this.#again = undefined;
      return work;
    }
    if (this.#busy !== undefined) return undefined;
    const wait = this.waitMs(nowMs);
    this.#busy = this.#first.shift() ?? (wait === 0 ? this.#batch() : undefined);
    return this.#busy;
  }

  again(work: Work): void {
    this.#again = work;
  }

  release(): void {
    this.#busy = undefined;
  }

  split(work: Work): boolean {
    if (work.slots.length === 1) return false;
    // Before what else is first: a batch is taken apart only while none of its changes is settled.
    const others: Work[] = [];
    while (this.#first.size > 0) others.push(this.#first.shift() as Work);
    for (const slot of work.slots) {
      const part = new Work([slot], BATCHES, work.attempts);
      part.firstFailureMs = work.firstFailureMs;
      this.#first.push(part);
    }
    for (const other of others) this.#first.push(other);
    this.#busy = undefined;
    return true;
  }

  /** 0: a batch is ready; `undefined`: nothing is there. */
  waitMs(nowMs: number): number | undefined {
    if (this.#busy !== undefined || this.#fresh.size === 0) return undefined;
    if (this.#idleMs === 0 || this.#fresh.size >= this.#changesMax) return 0;
    return Math.max(0, this.#lastAdmitMs + this.#idleMs - nowMs);
  }

  #batch(): Work {
    const slots: Slot[] = [];
    while (slots.length < this.#changesMax && this.#fresh.size > 0) slots.push(this.#fresh.shift() as Slot);
    return new Work(slots, BATCHES);
  }
}
