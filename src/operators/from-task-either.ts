import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { Observable } from 'rxjs';

/**
 * A task of storage as a cold Observable: the seam between `Either` and the error channel of RxJS.
 *
 * ```text
 * task    ---(Right a)        task    ---(Left e)
 * result  ---(a|)             result  ---#
 * ```
 *
 * - **emits** the value of a `Right`, once
 * - **completes** with it
 * - **errors** with the value of a `Left`; also when the task throws or its promise is rejected, which a task should not do
 * - **on unsubscribe** detaches: a promise cannot be cancelled, so the task runs to its end, and its outcome is discarded
 *
 * About RxJS: `from(promise)` begins before anybody listens, and gives every subscriber the same run. Here each
 * subscription runs the task anew, so that `retry` means what it says.
 *
 * ```ts
 * import assert from 'node:assert/strict';
 * import * as TE from 'fp-ts/lib/TaskEither.js';
 * import { firstValueFrom } from 'rxjs';
 * import { fromTaskEither } from 'alluvium/operators';
 *
 * assert.equal(await firstValueFrom(fromTaskEither(TE.right(1))), 1);
 * await assert.rejects(firstValueFrom(fromTaskEither(TE.left(new Error('no')))), /no/);
 * ```
 */
export function fromTaskEither<E, A>(task: TaskEither<E, A>): Observable<A> {
  return new Observable<A>((subscriber) => {
    task().then(
      (outcome) => {
        if (outcome._tag === 'Left') {
          subscriber.error(outcome.left);
          return;
        }
        subscriber.next(outcome.right);
        subscriber.complete();
      },
      (reason: unknown) => subscriber.error(reason),
    );
  });
}
