/**
 * Deliveries at work, and when each is too late. All have equally long, so the order in which they began, or said that they
 * are still at it, is the order of their deadlines: a set in the order of insertion, and one timer for the first of it.
 */
import type { Clock } from './clock.ts';
import type { HandlerRun } from './consumer-delivery.ts';

export class DeliveryDeadlines {
  readonly #clock: Clock;
  readonly #waitMs: number;
  readonly #onLate: (run: HandlerRun) => void;
  readonly #afterLate: () => void;
  readonly #runs = new Set<HandlerRun>();
  #cancelTimer: (() => void) | undefined;

  /**
   * @param onLate - told of each that is too late; takes it out
   * @param afterLate - told when all of them were told
   */
  constructor(clock: Clock, waitMs: number, onLate: (run: HandlerRun) => void, afterLate: () => void) {
    this.#clock = clock;
    this.#waitMs = waitMs;
    this.#onLate = onLate;
    this.#afterLate = afterLate;
  }

  get size(): number {
    return this.#runs.size;
  }

  /** Those at work; it may be changed on the way. */
  all(): Iterable<HandlerRun> {
    return this.#runs;
  }

  /** It is at work; its time begins with `extend`, in the same turn, so that what ends at once needs no clock. */
  add(run: HandlerRun): void {
    this.#runs.add(run);
  }

  /** Its time begins now. */
  extend(run: HandlerRun): void {
    run.deadline = this.#clock.now() + this.#waitMs;
    this.#runs.delete(run);
    this.#runs.add(run);
    this.#cancelTimer ??= this.#clock.setTimer(this.#onTimer, this.#waitMs);
  }

  remove(run: HandlerRun): void {
    this.#runs.delete(run);
  }

  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  readonly #onTimer = (): void => {
    this.#cancelTimer = undefined;
    const now = this.#clock.now();
    for (const run of this.#runs) {
      if (run.deadline > now) {
        this.#cancelTimer = this.#clock.setTimer(this.#onTimer, Math.ceil(run.deadline - now));
        break;
      }
      this.#onLate(run);
    }
    this.#afterLate();
  };
}
