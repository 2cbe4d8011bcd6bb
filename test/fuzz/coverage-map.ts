/**
 * Which blocks of the code ran, by V8's own counters (the profiler of `node:inspector`): the guide of the fuzzer.
 *
 * For every character of a function of ours the map remembers whether it ran. How often is not looked at: what many inputs
 * did together could not be told from what one did.
 */
import { type Profiler, Session } from 'node:inspector';

/** Scripts that count; those of the tests and of packages say nothing about a decoder. */
const isOurs = (url: string): boolean => /\/(src|adapters)\/|\/planted-/.test(url) && !url.includes('/node_modules/');

/**
 * One session for the whole process, begun when this file is imported, and never ended: V8 counts only in functions that it
 * has compiled since, which it does at their first call. So import this before what is to be watched.
 */
const session = new Session();
session.connect();
post((done) => session.post('Profiler.enable', done));
post((done) => session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true }, done));

/** A session in the own thread answers within the call. */
function post<T>(send: (done: (error: Error | null, answer?: T) => void) => void): T | undefined {
  let result: T | undefined;
  send((error, answer) => {
    if (error !== null) throw error;
    result = answer;
  });
  return result;
}

const takeCounts = (): readonly Profiler.ScriptCoverage[] =>
  post<Profiler.TakePreciseCoverageReturnType>((done) => session.post('Profiler.takePreciseCoverage', done))?.result ??
  [];

export class CoverageMap {
  readonly #seen: Map<string, Uint8Array> = new Map();
  /** Characters of our code that ran at all. */
  covered = 0;

  /** Forgets what ran since the last call. */
  clear(): void {
    takeCounts();
  }

  /** Takes what ran since the last call. @returns whether any of it is new */
  observe(isRemembered: boolean): boolean {
    let isNew = false;
    for (const { url, functions } of takeCounts()) {
      if (!isOurs(url)) continue;
      for (const { ranges, isBlockCoverage } of functions) {
        if (isBlockCoverage && this.#merge(url, ranges, isRemembered)) isNew = true;
      }
    }
    return isNew;
  }

  #merge(url: string, ranges: readonly Profiler.CoverageRange[], isRemembered: boolean): boolean {
    const [whole] = ranges;
    if (whole === undefined || whole.count === 0) return false;
    const base = whole.startOffset;
    const length = whole.endOffset - base;
    const ran = new Uint8Array(length);
    // Ranges come outer before inner, so that the inner one has the last word.
    for (const { startOffset, endOffset, count } of ranges) {
      ran.fill(count === 0 ? 0 : 1, startOffset - base, endOffset - base);
    }
    const key = `${url}:${base}`;
    const seen = this.#seen.get(key) ?? new Uint8Array(length);
    let isNew = false;
    for (let at = 0; at < length; at += 1) {
      if (ran[at] === 0 || seen[at] === 1) continue;
      isNew = true;
      if (!isRemembered) return true;
      this.covered += 1;
      seen[at] = 1;
    }
    if (isRemembered) this.#seen.set(key, seen);
    return isNew;
  }
}
