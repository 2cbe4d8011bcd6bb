/** What a process that is there to be killed says: one line each. A line is whole only with its semicolon. */

/** Its pipe takes the line before this returns: what was told was told, also by a process that is killed right after. */
export function tell(...words) {
  process.stdout.write(`${words.join(' ')};\n`);
}

const FAILURE_LENGTH_MAX = 1_000;

/** Something that must not happen. */
export function tellFailure(what, error) {
  const text = error instanceof Error ? `${error.stack} ${error.cause?.stack ?? ''}` : String(error ?? '');
  tell('failed', `${what} ${text}`.replaceAll(/[\n;]+/g, ' ').slice(0, FAILURE_LENGTH_MAX));
}

process.on('uncaughtException', (error) => tellFailure('uncaught', error));
process.on('unhandledRejection', (error) => tellFailure('unhandled', error));

/** A generator of numbers in [0, 1) that gives the same row for the same seed (mulberry32). */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
