import { Observable, type Subscriber, type Subscription, takeUntil } from 'rxjs';

/** @internal */
export interface FullObserver<A> {
  next(value: A): void;
  error(error: unknown): void;
  complete(): void;
}

/**
 * Subscribes to `source` for as long as `subscriber` is open.
 *
 * A plain `subscribe` inside of an operator has two holes, and this closes both:
 *
 * - What `subscribe` gives can be unsubscribed only after it has returned. A source that emits synchronously would go on
 *   to its end although `take(1)` downstream has long closed: without end, if it has none. Here the tie is made before
 *   the first value.
 * - A throw in a callback of `subscribe` ends nothing: the next value comes all the same, and the error surfaces on a
 *   timer as an uncaught exception. Here it becomes the error of `subscriber`.
 *
 * `takeUntil` hands the source the very same observer, so that a value costs no more than without it.
 *
 * @internal
 */
export function subscribeWithin<A>(
  subscriber: Subscriber<never>,
  source: Observable<A>,
  observer: FullObserver<A>,
): Subscription {
  const closed$ = new Observable<void>((notifier) => {
    const onClose = (): void => notifier.next();
    subscriber.add(onClose);
    return () => subscriber.remove(onClose);
  });
  return source.pipe(takeUntil(closed$)).subscribe({
    next: (value) => {
      try {
        observer.next(value);
      } catch (thrown) {
        subscriber.error(thrown);
      }
    },
    error: (error: unknown) => {
      try {
        observer.error(error);
      } catch (thrown) {
        subscriber.error(thrown);
      }
    },
    complete: () => {
      if (subscriber.closed) return; // it is closed$ that ended it, not the source
      try {
        observer.complete();
      } catch (thrown) {
        subscriber.error(thrown);
      }
    },
  });
}
