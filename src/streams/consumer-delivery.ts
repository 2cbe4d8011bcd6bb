/**
 * One attempt: the handler is called, and ends in one of four ways, once. What comes later is ignored.
 *
 * ```text
 *   handle() ---- gives nothing, or what it gave completes ----> acked      (unless acknowledged by hand)
 *            ---- throws, rejects, errors, nack()           ----> failed
 *            ---- term()                                    ----> terminated
 *            ---- ended from outside: late, closed          ----> (nobody is told)
 * ```
 *
 * Values are not looked at: a million of them cost no memory. Nothing, and promises, have ways of their own, because an
 * Observable for each would cost more than all the rest.
 */
import { from, type ObservableInput, type Subscription } from 'rxjs';
import { OutOfRangeError } from '../errors.ts';
import type { Change } from '../model.ts';
import { checkSettings } from './check-settings.ts';
import type { Delivery } from './consumer-options.ts';
import { DeliveryTransaction } from './consumer-transaction.ts';
import type { Work, Worker } from './consumer-work.ts';

/** Hears how a delivery ends. */
export interface DeliveryHost {
  readonly isManual: boolean;
  acked(delivery: HandlerRun): void;
  failed(delivery: HandlerRun, error: unknown, delayMs: number | undefined): void;
  terminated(delivery: HandlerRun, error: Error): void;
  working(delivery: HandlerRun): void;
  /** Something beside the delivery went wrong. */
  faultOf(delivery: HandlerRun, error: unknown): void;
}

/** Longest that a nack may put a delivery off: a day. */
const DELAY_MS_MAX = 86_400_000;

export class HandlerRun implements Delivery {
  readonly attempt: number;
  readonly work: Work;
  readonly worker: Worker;
  readonly transaction: DeliveryTransaction;
  readonly #host: DeliveryHost;
  #subscription: Subscription | undefined;
  /** Only made when it is asked for: it costs more than a delivery. */
  #controller: AbortController | undefined;
  #isOver = false;
  /** When it is too late, in the clock's milliseconds. */
  deadline = 0;

  constructor(host: DeliveryHost, work: Work, worker: Worker, transaction: DeliveryTransaction) {
    this.#host = host;
    this.work = work;
    this.worker = worker;
    this.transaction = transaction;
    this.attempt = work.attempts + 1;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get changes(): readonly Change[] {
    return this.work.slots.map((slot) => slot.change);
  }

  get signal(): AbortSignal {
    const controller = (this.#controller ??= new AbortController());
    if (this.#isOver) controller.abort();
    return controller.signal;
  }

  /** Calls the handler. It may be over when this returns. */
  start(): void {
    const { work } = this;
    if (work.fault !== undefined) return this.#fail(work.fault.error);
    let given: unknown;
    try {
      given = this.worker.handle(this.changes, this.transaction, this);
    } catch (error) {
      return this.#fail(error);
    }
    if (given === undefined || given === null) return this.#complete();
    if (given instanceof Promise) {
      given.then(
        () => this.#complete(),
        (error: unknown) => this.#fail(error),
      );
      return;
    }
    this.#subscribe(given as ObservableInput<unknown>);
  }

  #subscribe(given: ObservableInput<unknown>): void {
    try {
      // `from` throws when it is given something else; that is a failed attempt, too.
      const subscription = from(given).subscribe({
        next: () => undefined,
        error: (error: unknown) => this.#fail(error),
        complete: () => this.#complete(),
      });
      if (this.#isOver) subscription.unsubscribe();
      else this.#subscription = subscription;
    } catch (error) {
      if (this.#isOver) this.#host.faultOf(this, error);
      else this.#fail(error);
    }
  }

  ack(): void {
    if (!this.end()) return;
    this.#host.acked(this);
  }

  nack(options: { readonly delayMs?: number | undefined } = {}): void {
    checkSettings('options', options);
    const { delayMs } = options;
    const isDelay = delayMs === undefined || (delayMs >= 0 && delayMs <= DELAY_MS_MAX);
    if (!isDelay) throw new OutOfRangeError('delayMs', `from 0 to ${DELAY_MS_MAX}`, delayMs);
    this.#fail(new Error('the handler gave it back (nack)'), delayMs);
  }

  term(reason = 'the handler gave it up (term)'): void {
    if (!this.end()) return;
    this.transaction.discard();
    this.#host.terminated(this, new Error(reason));
  }

  working(): void {
    if (!this.#isOver) this.#host.working(this);
  }

  /** Ends it without a word. @returns false if it was over */
  end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.transaction.end();
    try {
      this.#subscription?.unsubscribe();
    } catch (error) {
      this.#host.faultOf(this, error); // a teardown of the handler's threw; the delivery ends all the same
    }
    this.#controller?.abort();
    return true;
  }

  #complete(): void {
    if (this.#host.isManual || !this.end()) return;
    this.#host.acked(this);
  }

  #fail(error: unknown, delayMs?: number): void {
    if (!this.end()) return;
    this.transaction.discard();
    this.#host.failed(this, error, delayMs);
  }
}
