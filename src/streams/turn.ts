/**
 * Turns of the event loop. Long work on the main thread is done in slices, and between two slices everything else has its
 * turn: timers, sockets, other work. `setImmediate`, because microtasks (and RxJS's asapScheduler) let no timer through.
 */

/** Longest time, in milliseconds, that one piece of work keeps the event loop. */
export const SLICE_MS = 4;

/** Resolves when the event loop has had a turn. */
export const yieldTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Milliseconds, never going back. */
export const now = (): number => performance.now();
