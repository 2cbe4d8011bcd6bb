import { from, Observable, type ObservableInput, type OperatorFunction } from 'rxjs';
import { subscribeWithin } from './subscribe-within.ts';

/** How compactions are found, run, and recovered from. */
export interface MergeCompactPort<S, J, R> {
  /** The most urgent job in this state, or `undefined` when there is nothing to do. Pure. */
  pick(state: S): J | undefined;
  /** Runs a job. The state without its debt comes from the source before this completes, or `pick` finds it again. */
  compact(job: J): ObservableInput<R>;
  /** Told of a failed job; `pick` is asked again when what it returns completes. So this is the place for a back-off. */
  onFailure(error: unknown, job: J): ObservableInput<unknown>;
}

/**
 * Runs compactions, one at a time, until there is nothing left to compact; wakes up whenever the state changes.
 *
 * Of the states that come while a job runs only the newest waits, as only the newest is true. With `pick` finding one
 * job in `a`, one in `c`, and jobs of five frames:
 *
 * ```text
 * source  a-b-c--------|
 * job a   -----(x|)             b waited, c pushed it out
 * job c        -----(y|)
 * result  -----x----y--|
 * ```
 *
 * - **emits** what the running job emits
 * - **drops** a state that waited when a newer one comes: states are conflated, so one is the bound
 * - **completes** when the source has completed and the running job is done; after the source nothing new is picked, and
 *   a back-off is cut short
 * - **errors** on an error of the source, a throw of `pick` or `onFailure`, or an error of what `onFailure` returned. An
 *   error of a job does not end the stream: it goes to `onFailure`
 * - **on unsubscribe** cancels the running job or the back-off, and lets go of the source
 *
 * About RxJS: `exhaustMap` would lose the state that came during a job, `concatMap` would keep them all, and `switchMap`
 * would cancel the job. `retry` has a count, after which compaction would be dead for ever; here recovery has no limit,
 * and its pace is the port's. A port whose failures and back-offs are all synchronous never gives the event loop back.
 *
 * ```ts
 * import assert from 'node:assert/strict';
 * import { BehaviorSubject, EMPTY } from 'rxjs';
 * import { mergeCompact } from 'alluvium/operators';
 *
 * const tables = new BehaviorSubject(['c', 'b', 'd', 'a']);
 * const merged: string[] = [];
 * tables
 *   .pipe(
 *     mergeCompact({
 *       pick: (state) => (state.length > 1 ? state.slice(0, 2) : undefined),
 *       compact: (job) => {
 *         const table = [...job.join('')].sort().join('');
 *         tables.next([...tables.value.slice(2), table]); // the install, before the job completes
 *         return [table];
 *       },
 *       onFailure: () => EMPTY,
 *     }),
 *   )
 *   .subscribe((table) => merged.push(table));
 *
 * assert.deepEqual(merged, ['bc', 'ad', 'abcd']);
 * ```
 */
export function mergeCompact<S, J, R>(port: MergeCompactPort<S, J, R>): OperatorFunction<S, R> {
  return (source) =>
    new Observable<R>((subscriber) => {
      let newest: S | undefined;
      let activity: 'idle' | 'compacting' | 'backingOff' = 'idle';
      let isAsking = false;
      let isAskedAgain = false;
      let isSourceComplete = false;

      // A loop, not recursion: jobs may be done, and states may come, before the call that began them is back.
      const ask = (): void => {
        isAskedAgain = true;
        if (isAsking) return;
        isAsking = true;
        while (isAskedAgain && activity === 'idle' && !isSourceComplete && !subscriber.closed) {
          isAskedAgain = false;
          const job = port.pick(newest as S);
          if (job !== undefined) run(job);
        }
        isAsking = false;
        if (isSourceComplete && activity === 'idle') subscriber.complete();
      };

      const rest = (): void => {
        activity = 'idle';
        ask();
      };

      const run = (job: J): void => {
        activity = 'compacting';
        let results: Observable<R>;
        try {
          results = from(port.compact(job));
        } catch (thrown) {
          backOff(thrown, job);
          return;
        }
        subscribeWithin(subscriber, results, {
          next: (result) => subscriber.next(result),
          error: (error) => backOff(error, job),
          complete: rest,
        });
      };

      const backOff = (error: unknown, job: J): void => {
        activity = 'backingOff';
        subscribeWithin(subscriber, from(port.onFailure(error, job)), {
          next: () => undefined,
          error: (failure) => subscriber.error(failure),
          complete: rest,
        });
        if (isSourceComplete) subscriber.complete(); // nothing is picked any more, so there is nothing to wait for
      };

      subscribeWithin(subscriber, source, {
        next: (state) => {
          newest = state;
          ask();
        },
        error: (error) => subscriber.error(error),
        complete: () => {
          isSourceComplete = true;
          if (activity !== 'compacting') subscriber.complete();
        },
      });
    });
}
