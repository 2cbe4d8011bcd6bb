/**
 * `Operation<T>`: one answer, later. An `Observable` that emits once and completes, cold, and awaitable.
 *
 * - cold: nothing happens before it is subscribed to or awaited, and each subscription does it once; so `retry()` means
 *   what it says, and an operation that is neither awaited nor subscribed to does nothing
 * - awaitable: `then` subscribes once. RxJS asks whether something is an Observable before it asks for a promise, so inside
 *   of `from`, `mergeMap`, `forkJoin` and the like it runs once, too
 * - unsubscribing cancels what can still be cancelled; each operation says what that is
 *
 * `then` does not go through a Subscriber: awaiting is the common case, and five times as fast this way.
 */
import { Observable } from 'rxjs';

/** Takes the outcome of an operation: one call of one of the two. */
export interface Sink<T> {
  succeed(value: T): void;
  fail(error: unknown): void;
}

/** Does the work; returns what cancels it, if anything does. */
export type Run<T> = (sink: Sink<T>) => (() => void) | undefined;

export class Operation<T> extends Observable<T> implements PromiseLike<T> {
  readonly #run: Run<T>;

  /** @internal */
  constructor(run: Run<T>) {
    super((subscriber) =>
      run({
        succeed: (value) => {
          subscriber.next(value);
          subscriber.complete();
        },
        fail: (error) => subscriber.error(error),
      }),
    );
    this.#run = run;
  }

  then<Fulfilled = T, Rejected = never>(
    onFulfilled?: ((value: T) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    const run = this.#run;
    return new Promise<T>((succeed, fail) => {
      run({ succeed, fail });
    }).then(onFulfilled, onRejected);
  }
}

/** @internal An operation made of a promise-returning function; it cannot be cancelled. */
export function operationOf<T>(work: () => Promise<T>): Operation<T> {
  return new Operation((sink) => {
    work().then(
      (value) => sink.succeed(value),
      (error: unknown) => sink.fail(error),
    );
    return undefined;
  });
}
