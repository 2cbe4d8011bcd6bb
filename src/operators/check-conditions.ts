import type { MonoTypeOperatorFunction } from 'rxjs';
import type { FailPort } from './flush-at-threshold.ts';
import { type Done, holdUntil } from './hold-until.ts';

/** What the writes of a group may depend on, as far as `checkConditions` has to know it. */
export interface CheckConditionsPort<G, E = unknown> {
  /**
   * Looks up what the conditions of the group ask about, as it is before the group; at once for a group without any.
   *
   * Whether a condition holds is not decided here: that depends on the writes before it in the same group, too.
   */
  lookUp(group: G, done: Done<E>): void;
}

/**
 * Has what the conditions of a group ask about at hand, before the group gets its sequence numbers.
 *
 * `b` asks about a key that only the disk knows of:
 *
 * ```text
 * source   a-b----c|
 * look-up  o ---o o         o = known
 * result   a----b-c|
 * ```
 *
 * - **emits** a group when its look-ups are done; synchronously, when it has no conditions or memory could answer
 * - **waits** with at most one group. So all groups before it are in the memtable, none after it is, and what was looked
 *   up stays true until it is appended
 * - **fails** a group that could not be looked up at all: to `fail`, which answers its writes and releases it. A failure
 *   that concerns one key is no such thing: the port keeps it for the writes that asked about that key
 * - **completes** when the source has completed and no group is held
 * - **errors** on an error of the source, a throw of the port, or a second group while one is held (a mistake in the pipe)
 * - **on unsubscribe** lets go of the source; look-ups that have begun end unobserved
 *
 * About RxJS: a `concatMap` to the look-ups would turn every group into an inner subscription and queue without bound;
 * `withLatestFrom` would compare with a state that is older than the groups under way.
 *
 * Source of the idea: H. T. Kung and J. Robinson, "On Optimistic Methods for Concurrency Control" (1981): validation and
 * writing as one critical section. Here that section is the pipe itself, and nobody holds a lock.
 */
export function checkConditions<G, E = unknown>(
  port: CheckConditionsPort<G, E>,
  sink: FailPort<G, E>,
): MonoTypeOperatorFunction<G> {
  return holdUntil<G, E>({
    operator: 'checkConditions',
    work: (group, done) => port.lookUp(group, done),
    fail: (group, error) => sink.fail(group, error),
  });
}
