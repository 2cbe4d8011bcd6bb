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
import { AbortedError } from '../errors.ts';
import { onAbort } from './abort.ts';

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

/**
 * @internal An operation made of a promise-returning function. An abort ends the operation, not the work: what the work
 * gives later goes to `discard`, if there is one, as it does after an unsubscription.
 */
export function operationOf<T>(
  work: () => Promise<T>,
  { name = 'the operation', signal, discard }: OperationSettings<T> = {},
): Operation<T> {
  return new Operation((sink) => {
    let isOver = false;
    let stopListening = (): void => undefined;
    const end = (): boolean => {
      if (isOver) return false;
      isOver = true;
      stopListening();
      return true;
    };
    const abort = (): void => {
      if (end()) sink.fail(new AbortedError(name, { cause: signal?.reason }));
    };
    if (signal?.aborted === true) {
      abort();
      return undefined;
    }
    stopListening = onAbort(signal, abort);
    work().then(
      (value) => {
        if (end()) sink.succeed(value);
        else discard?.(value);
      },
      (error: unknown) => {
        if (end()) sink.fail(error);
      },
    );
    return () => void end();
  });
}

/** @internal */
export interface OperationSettings<T> {
  /** For the error of an abort. */
  readonly name?: string;
  readonly signal?: AbortSignal | undefined;
  /** Takes what comes when nobody waits for it any more. */
  readonly discard?: (value: T) => void;
}
