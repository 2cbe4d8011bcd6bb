import { from, Observable, type ObservableInput, type OperatorFunction } from 'rxjs';
import { BufferOverflowError } from '../errors.ts';
import { Fifo } from './fifo.ts';
import type { OverflowPolicy } from './overflow-policy.ts';
import { requireWholeNumber } from './require-whole-number.ts';
import { subscribeWithin } from './subscribe-within.ts';

export interface BoundedMergeMapOptions {
  /** Inner Observables that may run at the same time; at least 1. */
  readonly concurrency: number;
  /** Values that may wait while as many are in progress; at least 1. */
  readonly capacity: number;
  readonly onOverflow: OverflowPolicy;
}

/**
 * `mergeMap` with bounds: up to `concurrency` inner Observables at a time, and at most `capacity` values waiting.
 *
 * With `concurrency: 2, capacity: 1, onOverflow: 'dropOldest'` and work that takes four frames:
 *
 * ```text
 * source  abcd-------|
 * work a  ----(a|)
 * work b   ----(b|)
 * work d      ----(d|)       c waited, d pushed it out
 * result  ----ab--d--|
 * ```
 *
 * - **emits** when an inner Observable emits; values are begun in order, and their results come as they come
 * - **drops or fails** when `capacity` values wait and another arrives, as `onOverflow` says
 * - **completes** when the source has completed, the last waiting value is begun, and all inner Observables are done
 * - **errors** on an error of the source, of `project` or of an inner Observable; waiting values are discarded
 * - **on unsubscribe** stops the inner Observables and the source, and forgets waiting values
 *
 * About RxJS: its own `mergeMap` keeps waiting values in an unbounded array.
 *
 * @throws OutOfRangeError when a bound is not a whole number of at least 1 (a mistake in the calling code)
 */
export function boundedMergeMap<A, B>(
  project: (value: A) => ObservableInput<B>,
  { concurrency, capacity, onOverflow }: BoundedMergeMapOptions,
): OperatorFunction<A, B> {
  requireWholeNumber('concurrency', concurrency);
  requireWholeNumber('capacity', capacity);

  return (source) =>
    new Observable<B>((subscriber) => {
      const waiting = new Fifo<A>();
      let running = 0;
      let isDraining = false;
      let isSourceComplete = false;

      // A loop, not recursion: synchronous inner Observables must not grow the stack.
      const drain = (): void => {
        if (isDraining) return;
        isDraining = true;
        while (running < concurrency && waiting.size > 0 && !subscriber.closed) start(waiting.shift() as A);
        isDraining = false;
        if (isSourceComplete && running === 0) subscriber.complete();
      };

      const start = (value: A): void => {
        running += 1; // before project, which may send another value
        let inner: Observable<B>;
        try {
          inner = from(project(value));
        } catch (thrown) {
          subscriber.error(thrown);
          return;
        }
        subscribeWithin(subscriber, inner, {
          next: (result) => subscriber.next(result),
          error: (error) => subscriber.error(error),
          complete: () => {
            running -= 1;
            drain();
          },
        });
      };

      const offer = (value: A): void => {
        if (waiting.size === capacity) {
          if (onOverflow === 'fail') return subscriber.error(new BufferOverflowError(capacity));
          if (onOverflow === 'dropNewest') return;
          waiting.shift();
        }
        waiting.push(value);
        drain();
      };

      subscriber.add(() => waiting.clear());
      subscribeWithin(subscriber, source, {
        next: offer,
        error: (error) => subscriber.error(error),
        complete: () => {
          isSourceComplete = true;
          drain();
        },
      });
    });
}
