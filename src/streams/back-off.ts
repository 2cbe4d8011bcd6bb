/** How long to wait before trying again: doubling, bounded, with jitter so that many stores do not try in step. */

const FIRST_MS = 50;
const LONGEST_MS = 30_000;

/** @param random - in [0, 1) */
export function backOffMs(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 20));
  return full / 2 + (full / 2) * random();
}

/** A timer that does not keep the process alive, and ends early when the signal aborts. */
export const waitMs = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    timer.unref();
    signal.addEventListener('abort', end);
  });
