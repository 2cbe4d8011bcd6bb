/** The system's clock, but for the date, which stands still until it is set, and long timers, which fire when told to. */
import { type Clock, systemClock } from '../../src/streams/clock.ts';

/** Timers from here on are held, if nothing else is said. */
const LONG_MS = 10_000;

export class SetClock implements Clock {
  dateMs: number;
  readonly #longMs: number;
  readonly #held = new Map<() => void, number>();

  constructor(dateMs = 1_700_000_000_000, longMs: number = LONG_MS) {
    this.dateMs = dateMs;
    this.#longMs = longMs;
  }

  now(): number {
    return systemClock.now();
  }
  date(): Date {
    return new Date(this.dateMs);
  }
  random(): number {
    return systemClock.random();
  }
  afterTurn(work: () => void): void {
    systemClock.afterTurn(work);
  }
  afterMicrotask(work: () => void): void {
    systemClock.afterMicrotask(work);
  }

  setTimer(work: () => void, ms: number): () => void {
    if (ms < this.#longMs) return systemClock.setTimer(work, ms);
    const timer = (): void => work();
    this.#held.set(timer, ms);
    return () => void this.#held.delete(timer);
  }

  /** Delays of the timers that are held. */
  get held(): readonly number[] {
    return [...this.#held.values()];
  }

  /** Fires the held timers with this delay. @returns how many there were */
  fire(ms: number): number {
    const due = [...this.#held].filter(([, delay]) => delay === ms).map(([timer]) => timer);
    for (const timer of due) {
      this.#held.delete(timer);
      timer();
    }
    return due.length;
  }
}
