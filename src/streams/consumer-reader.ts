/** Reads the source for a session, change by change on demand, and knows how far the source is beyond what it gave. */
import type { Change } from '../model.ts';
import { type Clock, yieldTurn } from './clock.ts';
import type { ChangeSource, Place } from './consumer-source.ts';

export interface ReaderHost {
  /** There is something to take again. */
  arrived(): void;
  /** The source ended, or failed. */
  ended(failure: { readonly error: unknown } | undefined): void;
}

export class ConsumerReader {
  readonly #changes: ChangeSource;
  readonly #clock: Clock;
  readonly #host: ReaderHost;
  #page: readonly Change[] = [];
  #index = 0;
  #pulls = 0;
  #isPulling = false;
  #isOver = false;

  constructor(changes: ChangeSource, clock: Clock, host: ReaderHost) {
    this.#changes = changes;
    this.#clock = clock;
    this.#host = host;
  }

  /** Whether everything that was pulled is taken. */
  get isDrained(): boolean {
    return this.#index === this.#page.length;
  }

  /** The next change that is there; `undefined`: the host will hear when there is one. */
  take(): Change | undefined {
    if (this.isDrained && !this.#pull()) return undefined;
    const change = this.#page[this.#index];
    this.#index += 1;
    return change;
  }

  /** Nothing that comes is taken any more; the place of the source can still be asked for. */
  stop(): void {
    this.#isOver = true;
  }

  close(): void {
    this.#isOver = true;
    this.#changes.close();
  }

  /** Everything before it was taken or is of no interest; `undefined`: not known, something is there to be taken. */
  async watermark(): Promise<Place | undefined> {
    if (!this.isDrained) return undefined;
    const pulls = this.#pulls;
    const place = this.#changes.watermark;
    if (!this.#isPulling) return place;
    // A page that is on its way with what is before the place has arrived after a turn.
    await yieldTurn(this.#clock);
    return this.#isWaitingFor(pulls) ? place : undefined;
  }

  #isWaitingFor(pull: number): boolean {
    return this.#pulls === pull && this.#isPulling;
  }

  #pull(): boolean {
    if (this.#isPulling || this.#isOver) return false;
    this.#pulls += 1;
    const page = this.#changes.pull();
    if (!(page instanceof Promise)) return this.#takePage(page);
    this.#isPulling = true;
    page.then(
      (changes) => {
        this.#isPulling = false;
        if (this.#takePage(changes)) this.#host.arrived();
      },
      (error: unknown) => {
        if (!this.#isOver) this.#host.ended({ error });
      },
    );
    return false;
  }

  #takePage(page: readonly Change[]): boolean {
    if (page.length === 0) {
      if (!this.#isOver) this.#host.ended(undefined);
      this.#isOver = true;
      return false;
    }
    this.#page = page;
    this.#index = 0;
    return true;
  }
}
