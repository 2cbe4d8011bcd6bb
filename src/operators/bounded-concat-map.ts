import type { ObservableInput, OperatorFunction } from 'rxjs';
import { boundedMergeMap } from './bounded-merge-map.ts';
import type { OverflowPolicy } from './overflow-policy.ts';

export interface BoundedConcatMapOptions {
  /** Values that may wait while one is in progress; at least 1. */
  readonly capacity: number;
  readonly onOverflow: OverflowPolicy;
}

/**
 * `concatMap` with a bound: one inner Observable at a time, in order, and at most `capacity` values waiting.
 *
 * With `capacity: 1, onOverflow: 'dropOldest'` and work that takes four frames:
 *
 * ```text
 * source  a-b-c-----|
 * work a  ----(a|)
 * work c      ----(c|)
 * result  ----a---c-|        b waited, c pushed it out
 * ```
 *
 * - **emits** when the inner Observable emits
 * - **drops or fails** when `capacity` values wait and another arrives, as `onOverflow` says
 * - **completes** when the source has completed and the last waiting value is done
 * - **errors** on an error of the source, of `project` or of an inner Observable; waiting values are discarded
 * - **on unsubscribe** stops the inner Observable and the source, and forgets waiting values
 *
 * About RxJS: its own `concatMap` keeps waiting values in an unbounded array.
 *
 * ```ts
 * import assert from 'node:assert/strict';
 * import { lastValueFrom, map, range, timer, toArray } from 'rxjs';
 * import { boundedConcatMap } from 'alluvium/operators';
 *
 * const slowly = (value: number) => timer(1).pipe(map(() => value));
 * const done = range(1, 5).pipe(boundedConcatMap(slowly, { capacity: 2, onOverflow: 'dropOldest' }), toArray());
 *
 * assert.deepEqual(await lastValueFrom(done), [1, 4, 5]);
 * ```
 *
 * @throws OutOfRangeError when `capacity` is not a whole number of at least 1 (a mistake in the calling code)
 */
export function boundedConcatMap<A, B>(
  project: (value: A) => ObservableInput<B>,
  { capacity, onOverflow }: BoundedConcatMapOptions,
): OperatorFunction<A, B> {
  return boundedMergeMap(project, { concurrency: 1, capacity, onOverflow });
}
