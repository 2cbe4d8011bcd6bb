/** How the tour talks: chapters, a progress line, checks, and figures with their units. */
import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks';
import type { StoreStats } from 'alluvium';
import { defer, type MonoTypeOperatorFunction, type Observable, tap } from 'rxjs';
import type { Check } from './checks.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

export const note = (line: string): void => say(`   ${line}`);

let chapters = 0;
export const chapter = (title: string): void => say(`\n${++chapters}. ${title}`);

export const conclude = (title: string): void => say(`\n${title}`);

/** Says plainly whether each claim holds; gives back whether all do. */
export function tell(checks: readonly Check[]): boolean {
  for (const { claim, failure } of checks)
    note(failure === undefined ? `ok    ${claim}` : `FAIL  ${claim}: ${failure}`);
  return checks.every(({ failure }) => failure === undefined);
}

export const count = (value: number): string => Math.round(value).toLocaleString('en-US');

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

export interface Meter {
  readonly add: () => void;
  /** Ends the line with the final figures. */
  readonly end: () => void;
}

/**
 * A line that shows how many there are and how many come per second, counted from the first: rewritten on a terminal,
 * once a second elsewhere. `aside` has the last word in it.
 */
export function startMeter(what: string, total: number, aside = (): string => ''): Meter {
  const isTerminal = process.stdout.isTTY;
  const pauseMs = isTerminal ? 100 : 1000;
  let [done, start, shown] = [0, 0, 0];

  const line = (now: number): string =>
    `   ${count(done)} of ${count(total)} ${what}, ${count((done * 1000) / Math.max(1, now - start))} per second${aside()}`;

  return {
    add: () => {
      const now = performance.now();
      if (done === 0) start = shown = now;
      done += 1;
      if (now - shown < pauseMs) return;
      shown = now;
      process.stdout.write(isTerminal ? `\r${line(now)}` : `${line(now)}\n`);
    },
    end: () => say(`${isTerminal ? '\r' : ''}${line(performance.now())}`),
  };
}

/** Records how long each run takes from its subscription to its answer, in microseconds. */
export class Latency {
  readonly #histogram: RecordableHistogram = createHistogram();

  readonly measure =
    <Value>(): MonoTypeOperatorFunction<Value> =>
    (work$: Observable<Value>) =>
      defer(() => {
        const start = performance.now();
        return work$.pipe(
          tap(() => this.#histogram.record(Math.max(1, Math.round((performance.now() - start) * 1000)))),
        );
      });

  toString(): string {
    const milliseconds = (percent: number): string => (this.#histogram.percentile(percent) / 1000).toFixed(3);
    return `p50 ${milliseconds(50)} ms, p99 ${milliseconds(99)} ms (${count(this.#histogram.count)} measured)`;
  }
}

export function tellStats(stats: StoreStats): void {
  for (const { level, tables, bytes } of stats.levels) {
    if (tables > 0) note(`level ${level}: ${count(tables)} tables, ${megabytes(bytes)}`);
  }
  note(
    `write amplification ${stats.writeAmplification.toFixed(2)}: for ${megabytes(stats.userBytesWritten)} of keys and values, ` +
      `${megabytes(stats.logBytesWritten)} to the log, ${megabytes(stats.flushBytesWritten)} by flushes, ` +
      `${megabytes(stats.compactionBytesWritten)} by compactions`,
  );
}
