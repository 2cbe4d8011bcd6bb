/** A clock whose turns and timers come when `fc.scheduler` says so: any that is set may be the next to happen. */
import type { Scheduler } from 'fast-check';
import type { Clock } from '../../src/index.ts';

/** What each look at the clock costs: so that slices of work come to their ends. */
const LOOK_MS = 0.3;

export class ScheduledClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #random: () => number;
  #nowMs = 0;

  constructor(scheduler: Scheduler, random: () => number) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  now(): number {
    this.#nowMs += LOOK_MS;
    return this.#nowMs;
  }
  date(): Date {
    return new Date(1_700_000_000_000 + Math.floor(this.#nowMs));
  }
  random(): number {
    return this.#random();
  }
  afterTurn(work: () => void): void {
    void this.#scheduler.schedule(Promise.resolve(), 'turn').then(work);
  }
  afterMicrotask(work: () => void): void {
    queueMicrotask(work);
  }
  setTimer(work: () => void, ms: number): () => void {
    let isSet = true;
    const dueMs = this.#nowMs + ms;
    void this.#scheduler.schedule(Promise.resolve(), `timer of ${ms} ms`).then(() => {
      if (!isSet) return;
      this.#nowMs = Math.max(this.#nowMs, dueMs);
      work();
    });
    return () => void (isSet = false);
  }
}
