import { Observable, type OperatorFunction } from 'rxjs';
import { requireWholeNumber } from './require-whole-number.ts';
import { subscribeWithin } from './subscribe-within.ts';
import { ReleasableGroup, type WriteGroup } from './write-group.ts';
import { WriteQueue, type WriteQueueOptions } from './write-queue.ts';

export interface GroupCommitOptions<W> extends WriteQueueOptions<W> {
  /**
   * Called when the next group could be formed: when the first write comes into the empty queue and no group is out, or
   * when a group is released while writes wait. It must call `open` once, at once or later; the group is formed then.
   * Waiting for the end of the turn (`queueMicrotask`, `setImmediate`) lets the other writes of this turn join.
   * `first` is the write that has waited longest.
   */
  readonly gather: (open: () => void, first: W) => void;
}

/**
 * Gathers writes into groups, one of which is on its way at any time: the only queue before the log.
 *
 * One sync serves a whole group. While it runs the next group gathers, so that groups grow with the load by themselves:
 * with one writer a group is one write, with a thousand it is what came during one sync. This is how LevelDB's
 * `BuildBatchGroup` and every group commit since have done it; the time to wait for company is never guessed.
 *
 * With `gather: (open) => open()`, `r` being the release of the group that is out:
 *
 * ```text
 * source    a-b-c-----d|
 * releases  -----r--r----r
 * result    x----y----z--|       x = [a], y = [b c], z = [d]
 * ```
 *
 * - **emits** a group when writes wait, the group before has been released, and `gather` has opened
 * - **waits, drops or fails** when `writesMax` writes or `bytesMax` bytes wait, as `onOverflow` says; a write that is
 *   dropped goes to `onRejected`, and the stream goes on. A write that was cancelled is skipped when its group is formed;
 *   its place is free at the latest then
 * - **completes** when the source has completed, nothing waits, and the last group has been released
 * - **errors** on an error of the source or a throw of an option; the waiting writes are forgotten, and it is for their
 *   owner to answer them
 * - **on unsubscribe** lets go of the source and forgets the waiting writes; releases that still come do nothing
 *
 * About RxJS: `bufferTime` and `concatMap` would wait in unbounded arrays and `bufferCount` would wait for a full group
 * that may never be. Here everything that waits is counted, and credit (`release`) takes the place of the demand signal
 * that RxJS does not have. There is no promise and no timer inside; a group that is released while it is being emitted
 * makes a loop go round once more, and no deeper stack.
 *
 * ```ts
 * import assert from 'node:assert/strict';
 * import { from } from 'rxjs';
 * import { groupCommit } from 'alluvium/operators';
 *
 * const groups: string[] = [];
 * from(['a', 'b', 'c', 'd', 'e'])
 *   .pipe(
 *     groupCommit({
 *       writesMax: 100,
 *       bytesMax: 1_000,
 *       groupWritesMax: 3,
 *       groupBytesMax: 1_000,
 *       onOverflow: 'wait',
 *       sizeOf: (write) => write.length,
 *       isCancelled: () => false,
 *       onRejected: (write, error) => console.warn(write, error),
 *       gather: (open) => queueMicrotask(open),
 *     }),
 *   )
 *   .subscribe((group) => {
 *     groups.push(group.writes.join(''));
 *     group.release();
 *   });
 * await new Promise(setImmediate);
 *
 * assert.deepEqual(groups, ['abc', 'de']);
 * ```
 *
 * @throws OutOfRangeError when a bound is not a whole number of at least 1 (a mistake in the calling code)
 */
export function groupCommit<W>(options: GroupCommitOptions<W>): OperatorFunction<W, WriteGroup<W>> {
  requireWholeNumber('writesMax', options.writesMax);
  requireWholeNumber('bytesMax', options.bytesMax);
  requireWholeNumber('groupWritesMax', options.groupWritesMax);
  requireWholeNumber('groupBytesMax', options.groupBytesMax);

  return (source) =>
    new Observable<WriteGroup<W>>((subscriber) => {
      const queue = new WriteQueue(options);
      let gate: 'shut' | 'asked' | 'open' = 'shut';
      let isOut = false;
      let isPumping = false;
      let isSourceComplete = false;

      const ask = (first: W): void => {
        gate = 'asked';
        let isMine = true; // a second call must not open the gate of a later group
        options.gather(() => {
          if (!isMine) return;
          isMine = false;
          gate = 'open';
          pump();
        }, first);
      };

      const release = (): void => {
        isOut = false;
        pump();
      };

      const emit = (): void => {
        gate = 'shut';
        const { writes, bytes } = queue.takeGroup();
        if (writes.length === 0) return; // all of them were cancelled
        isOut = true;
        subscriber.next(new ReleasableGroup(writes, bytes, release));
      };

      // A loop, not recursion: a group may be released, and the gate may open, before the call that sent them is back.
      const pump = (): void => {
        if (isPumping) return;
        isPumping = true;
        try {
          while (!isOut && !subscriber.closed) {
            if (gate === 'open') {
              emit();
              continue;
            }
            if (gate === 'asked') break;
            const first = queue.first();
            if (queue.isEmpty) break;
            ask(first as W);
          }
        } catch (thrown) {
          subscriber.error(thrown);
        }
        isPumping = false;
        if (isSourceComplete && !isOut && queue.isEmpty) subscriber.complete();
      };

      subscriber.add(() => queue.clear());
      subscribeWithin(subscriber, source, {
        next: (write) => {
          queue.offer(write);
          pump();
        },
        error: (error) => subscriber.error(error),
        complete: () => {
          isSourceComplete = true;
          pump();
        },
      });
    });
}
