/** Work that waits for its next attempt: a binary heap by time, and one timer for all of it. */
import type { Clock } from './clock.ts';
import type { Work } from './consumer-work.ts';

interface Waiting {
  readonly work: Work;
  readonly dueMs: number;
}

export class ConsumerRetries {
  readonly #clock: Clock;
  readonly #due: (work: Work) => void;
  readonly #afterDue: () => void;
  /** The children of `i` are `2i + 1` and `2i + 2`, and are due no earlier. */
  readonly #heap: Waiting[] = [];
  #timerMs = Infinity;
  #cancelTimer: (() => void) | undefined;

  /**
   * @param due - takes the work whose time has come
   * @param afterDue - called when all that is due was given
   */
  constructor(clock: Clock, due: (work: Work) => void, afterDue: () => void) {
    this.#clock = clock;
    this.#due = due;
    this.#afterDue = afterDue;
  }

  add(work: Work, delayMs: number): void {
    const heap = this.#heap;
    const waiting = { work, dueMs: this.#clock.now() + delayMs };
    let index = heap.push(waiting) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((heap[parent] as Waiting).dueMs <= waiting.dueMs) break;
      heap[index] = heap[parent] as Waiting;
      index = parent;
    }
    heap[index] = waiting;
    this.#arm();
  }

  close(): void {
    this.#heap.length = 0;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || first.dueMs >= this.#timerMs) return;
    this.#cancelTimer?.();
    this.#timerMs = first.dueMs;
    this.#cancelTimer = this.#clock.setTimer(this.#onTimer, Math.max(0, Math.ceil(first.dueMs - this.#clock.now())));
  }

  readonly #onTimer = (): void => {
    this.#timerMs = Infinity;
    this.#cancelTimer = undefined;
    const now = this.#clock.now();
    for (let first = this.#heap[0]; first !== undefined && first.dueMs <= now; first = this.#heap[0]) {
      this.#removeFirst();
      this.#due(first.work);
    }
    this.#arm();
    this.#afterDue();
  };

  #removeFirst(): void {
    const heap = this.#heap;
    const moved = heap.pop() as Waiting;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Waiting).dueMs < (heap[child] as Waiting).dueMs) child += 1;
      if ((heap[child] as Waiting).dueMs >= moved.dueMs) break;
      heap[index] = heap[child] as Waiting;
      index = child;
    }
    heap[index] = moved;
  }
}
