import { Observable, type OperatorFunction, type Subscription } from 'rxjs';
import { subscribeWithin } from './subscribe-within.ts';

/**
 * How a port says that it is done: with `undefined` when it succeeded, with the failure otherwise.
 *
 * It may be called before the call that was given it has returned; that is the fast path, with no promise and no turn of
 * the event loop. A second call is ignored.
 */
export type Done<E> = (failure: E | undefined) => void;

/** @internal */
export interface HoldUntilOptions<G, E> {
  /** The operator, for the message of a programming mistake. */
  readonly operator: string;
  /** What has to be done before the value may go on. `lifetime` ends when nobody listens any more. */
  readonly work: (value: G, done: Done<E>, lifetime: Subscription) => void;
  /** Takes the value that did not make it. */
  readonly fail: (value: G, failure: E) => void;
}

/**
 * Holds each value until some work for it is done, then lets it go on; the shape that the operators of the write pipe
 * share.
 *
 * ```text
 * source  a-----b-----c|        b fails: it goes to `fail`, and the stream goes on
 * work    ---o  ---x  o         o = done(undefined), x = done(failure)
 * result  ---a--------c|
 * ```
 *
 * One value at a time. The credit of a write group sees to that, so there is nothing to queue, and a second value while
 * one is held is a mistake in the pipe: an error, rather than a queue that grows unseen.
 *
 * The four states go round in one loop. What comes while the loop runs, in the stack below it, only moves the state: so
 * neither a `done` called at once nor a value that comes while the one before is being emitted makes the stack deeper.
 *
 * ```text
 *    idle --value--> arrived --work()--> working --done()--> settled --emit or fail--> idle
 * ```
 *
 * @internal
 */
export function holdUntil<G, E>({ operator, work, fail }: HoldUntilOptions<G, E>): OperatorFunction<G, G> {
  return (source) =>
    new Observable<G>((subscriber) => {
      let state: 'idle' | 'arrived' | 'working' | 'settled' = 'idle';
      let held: G | undefined;
      let failure: E | undefined;
      let isLooping = false;
      let isSourceComplete = false;

      const begin = (value: G): void => {
        state = 'working';
        let isMine = true;
        const done: Done<E> = (outcome) => {
          if (!isMine) return;
          isMine = false;
          state = 'settled';
          failure = outcome;
          loop();
        };
        work(value, done, subscriber);
      };

      const finish = (value: G): void => {
        const outcome = failure;
        state = 'idle';
        held = undefined;
        failure = undefined;
        if (outcome === undefined) subscriber.next(value);
        else fail(value, outcome);
      };

      const loop = (): void => {
        if (isLooping) return;
        isLooping = true;
        try {
          while (!subscriber.closed) {
            if (state === 'arrived') begin(held as G);
            else if (state === 'settled') finish(held as G);
            else break;
          }
        } catch (thrown) {
          subscriber.error(thrown);
        }
        isLooping = false;
        if (isSourceComplete && state === 'idle') subscriber.complete();
      };

      subscribeWithin(subscriber, source, {
        next: (value) => {
          if (state !== 'idle') {
            subscriber.error(new Error(`${operator}: a value came while one is held; the pipe gave no credit for it`));
            return;
          }
          state = 'arrived';
          held = value;
          loop();
        },
        error: (error) => subscriber.error(error),
        complete: () => {
          isSourceComplete = true;
          loop();
        },
      });
    });
}
