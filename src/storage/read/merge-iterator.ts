/**
 * Many sorted sources as one, in internal key order, both ways.
 *
 * The sources stand in a binary heap, the next one on top. A step moves the top source and lets it sink to its place:
 * two comparisons when it stays on top, which is the common case in an LSM tree whose runs hold neighbouring keys.
 *
 *   sources    [a d] [b] [c e]        heap   a        next: a moves on to d and sinks   b
 *                                           b c                                        d c
 *
 * When the direction changes, every other source is placed on the far side of the current entry first.
 */
import { compareBytes } from '../codec/compare.ts';
import { type EntryKind, type InternalIterator, KIND_SET, type Step } from './internal-iterator.ts';

const NO_BYTES = new Uint8Array(0);

/** Internal key order: user key ascending, then sequence number descending. */
function compareEntries(a: InternalIterator, b: InternalIterator): number {
  const order = compareBytes(a.keyBytes, a.keyStart, a.keyEnd, b.keyBytes, b.keyStart, b.keyEnd);
  return order === 0 ? b.sequence - a.sequence : order;
}

export class MergeIterator implements InternalIterator {
  isValid = false;
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  sequence = 0;
  kind: EntryKind = KIND_SET;
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;

  readonly #sources: readonly InternalIterator[];
  /** The valid sources; a heap by {@link compareEntries}, turned round when walking backwards. */
  readonly #heap: InternalIterator[] = [];
  #isForward = true;
  #isClosed = false;

  constructor(sources: readonly InternalIterator[]) {
    this.#sources = sources;
  }

  seekToFirst(): Step {
    return this.#placeAll(true, (source) => source.seekToFirst());
  }

  seekToLast(): Step {
    return this.#placeAll(false, (source) => source.seekToLast());
  }

  seek(userKey: Uint8Array, sequence: number): Step {
    return this.#placeAll(true, (source) => source.seek(userKey, sequence));
  }

  next(): Step {
    if (!this.#isForward) return this.#turn(true);
    return this.#step((this.#heap[0] as InternalIterator).next());
  }

  previous(): Step {
    if (this.#isForward) return this.#turn(false);
    return this.#step((this.#heap[0] as InternalIterator).previous());
  }

  close(): void {
    this.#isClosed = true;
    for (const source of this.#sources) source.close();
    this.#heap.length = 0;
    this.isValid = false;
  }

  /** After the top source has moved (or will have): sink it, show the new top. */
  #step(moved: Step): Step {
    if (moved !== undefined) return moved.then(() => this.#sinkTop());
    this.#sinkTop();
    return undefined;
  }

  #sinkTop(): void {
    if (this.#isClosed) return; // while the source was waited for
    const heap = this.#heap;
    if (!(heap[0] as InternalIterator).isValid) {
      const last = heap.pop() as InternalIterator;
      if (heap.length > 0) heap[0] = last;
    }
    this.#sink(0);
    this.#show();
  }

  /** Moves every source, at once where they must wait for the disk, and builds the heap anew. */
  #placeAll(isForward: boolean, place: (source: InternalIterator) => Step): Step {
    const waits: Promise<void>[] = [];
    for (const source of this.#sources) {
      try {
        const step = place(source);
        if (step !== undefined) waits.push(step);
      } catch (thrown) {
        // Nobody waits for those before it now: what they fail with, too, must not be an unhandled rejection.
        for (const wait of waits) wait.catch(() => undefined);
        throw thrown;
      }
    }
    if (waits.length > 0) return Promise.all(waits).then(() => this.#rebuild(isForward));
    this.#rebuild(isForward);
    return undefined;
  }

  #rebuild(isForward: boolean): void {
    if (this.#isClosed) return; // while a source was waited for, which may still show what came
    const heap = this.#heap;
    heap.length = 0;
    this.#isForward = isForward;
    for (const source of this.#sources) if (source.isValid) heap.push(source);
    for (let index = (heap.length >>> 1) - 1; index >= 0; index -= 1) this.#sink(index);
    this.#show();
  }

  /** Puts every other source on the far side of the current entry, then moves the current source one on. */
  #turn(isForward: boolean): Step {
    const current = this.#heap[0] as InternalIterator;
    // The seeks move other sources, but a source may share its key buffer with none: a copy is safe whatever they do.
    const userKey = this.keyBytes.slice(this.keyStart, this.keyEnd);
    const { sequence } = this;
    return this.#placeAll(isForward, (source) => {
      if (source === current) return isForward ? source.next() : source.previous();
      const placed = source.seek(userKey, sequence);
      if (isForward) return placed;
      const stepBack = (): Step => {
        if (this.#isClosed) return undefined;
        return source.isValid ? source.previous() : source.seekToLast();
      };
      return placed === undefined ? stepBack() : placed.then(stepBack);
    });
  }

  #sink(start: number): void {
    const heap = this.#heap;
    const { length } = heap;
    const sign = this.#isForward ? 1 : -1;
    const sinking = heap[start];
    if (sinking === undefined) return;
    let index = start;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      let smaller = heap[child] as InternalIterator;
      const right = heap[child + 1];
      if (right !== undefined && sign * compareEntries(right, smaller) < 0) {
        smaller = right;
        child += 1;
      }
      if (sign * compareEntries(sinking, smaller) <= 0) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = sinking;
  }

  #show(): void {
    const top = this.#heap[0];
    if (top === undefined) {
      this.isValid = false;
      return;
    }
    this.isValid = true;
    this.keyBytes = top.keyBytes;
    this.keyStart = top.keyStart;
    this.keyEnd = top.keyEnd;
    this.sequence = top.sequence;
    this.kind = top.kind;
    this.valueBytes = top.valueBytes;
    this.valueStart = top.valueStart;
    this.valueEnd = top.valueEnd;
  }
}
