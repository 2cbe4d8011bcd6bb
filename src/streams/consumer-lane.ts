/**
 * Where work waits that somebody else's writes were in the way of: it is run again one at a time. Were they all run again
 * together, all but one would conflict again, and a hot key would cost the square of its writers.
 */
import { Fifo } from '../operators/fifo.ts';
import type { Work } from './consumer-work.ts';

export class ConflictLane {
  readonly #waiting = new Fifo<Work>();
  #current: Work | undefined;
  #isTaken = false;

  add(work: Work): void {
    this.left(work);
    this.#waiting.push(work);
  }

  /** The next one to run again, if none of them is at work. */
  take(): Work | undefined {
    if (this.#current === undefined) {
      this.#current = this.#waiting.shift();
      this.#isTaken = false;
    }
    if (this.#isTaken) return undefined;
    this.#isTaken = this.#current !== undefined;
    return this.#current;
  }

  /** The work is settled, or has failed otherwise. */
  left(work: Work): void {
    if (this.#current === work) this.#current = undefined;
  }
}
