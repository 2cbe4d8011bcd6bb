/**
 * Time and chance, in one place, so that a test can put its own in their stead: nothing else in `src` reads a clock, sets a
 * timer or draws a random number. (But for the nonces of encrypted values, which nobody must be able to choose.)
 *
 * Turns of the event loop: long work on the main thread is done in slices, and between two slices everything else has its
 * turn. `setImmediate`, because microtasks (and RxJS's asapScheduler) let no timer and no socket through.
 */

export interface Clock {
  /** Milliseconds from any fixed point, never going back. */
  now(): number;
  /** The date on the wall; may jump. Used in notes for people, never to order anything. */
  date(): Date;
  /** In [0, 1). */
  random(): number;
  /**
   * Calls `work` once, after so many milliseconds; gives what calls it off. Keeps the process alive only if `isAwaited`:
   * somebody waits for what comes of it.
   */
  setTimer(work: () => void, ms: number, isAwaited?: boolean): () => void;
  /** Calls `work` once, when the event loop has had a turn. */
  afterTurn(work: () => void): void;
  /** Calls `work` once, when the present microtasks are done. */
  afterMicrotask(work: () => void): void;
}

/* eslint-disable no-restricted-globals, no-restricted-properties, no-restricted-syntax -- this is the one place that may use them */
export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  random: () => Math.random(),
  setTimer: (work, ms, isAwaited = false) => {
    const timer = setTimeout(work, ms);
    if (!isAwaited) timer.unref();
    return () => clearTimeout(timer);
  },
  afterTurn: (work) => void setImmediate(work),
  afterMicrotask: (work) => queueMicrotask(work),
};
/* eslint-enable no-restricted-globals, no-restricted-properties, no-restricted-syntax */

/** Longest time, in milliseconds, that one piece of work keeps the event loop. */
export const SLICE_MS = 4;

/** Resolves when the event loop has had a turn. */
export const yieldTurn = (clock: Clock): Promise<void> => new Promise((resolve) => clock.afterTurn(resolve));

/**
 * A pause before the next try. It keeps no process alive: whoever waits for that try ends the pause, and need not wait at all.
 */
export class Pause {
  /** Resolves when the time is over, when the signal aborts, or at {@link end}. */
  readonly over: Promise<void>;
  readonly #cancelTimer: () => void;
  #resolve: () => void = () => undefined;

  constructor(clock: Clock, ms: number, signal: AbortSignal) {
    this.over = new Promise((resolve) => (this.#resolve = resolve));
    this.#cancelTimer = clock.setTimer(this.end, ms);
    if (signal.aborted) this.end();
    else signal.addEventListener('abort', this.end);
    void this.over.then(() => signal.removeEventListener('abort', this.end));
  }

  readonly end = (): void => {
    this.#cancelTimer();
    this.#resolve();
  };
}

const BACK_OFF_FIRST_MS = 50;
const BACK_OFF_LONGEST_MS = 30_000;

/** How long to wait before trying again: doubling, bounded, with jitter so that many stores do not try in step. */
export function backOffMs(clock: Clock, attempt: number): number {
  const full = Math.min(BACK_OFF_LONGEST_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(attempt, 20));
  return full / 2 + (full / 2) * clock.random();
}
