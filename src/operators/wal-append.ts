import type { MonoTypeOperatorFunction } from 'rxjs';
import { type Done, holdUntil } from './hold-until.ts';

/** The write-ahead log, as far as `walAppend` has to know it. */
export interface WalAppendPort<G, E = unknown> {
  /** Gives the group its sequence numbers, appends it, and syncs if one of its writes asked for that. */
  append(group: G, done: Done<E>): void;
  /** Answers the writes of a group that is not in the log, and releases it. */
  fail(group: G, error: E): void;
}

/**
 * Writes each group to the log; what comes out is durable, as far as it asked to be.
 *
 * ```text
 * source  a-----b-----c---|
 * log     ---o  ---x  ---o        o = written (and synced), x = failed
 * result  ---a-----------c|
 * ```
 *
 * - **emits** a group when the log has it: appended, and synced if it asked for that. When `append` is done before it
 *   returns, so is the emission
 * - **waits** with at most one group, so that the order of the log is the order of everything after it
 * - **fails** a group that the log refused: to `fail`, which answers its writes and releases it. The stream goes on;
 *   whether the log can take the next group is for the port to know
 * - **completes** when the source has completed and no group is held
 * - **errors** on an error of the source, a throw of the port, or a second group while one is held (a mistake in the pipe)
 * - **on unsubscribe** lets go of the source; an append that has begun runs to its end unobserved, and stands
 *
 * About RxJS: `concatMap` would keep waiting groups in an unbounded array, and a failed sync that became an error would
 * end the stream for all the writes after it.
 */
export function walAppend<G, E = unknown>(port: WalAppendPort<G, E>): MonoTypeOperatorFunction<G> {
  return holdUntil<G, E>({
    operator: 'walAppend',
    work: (group, done) => port.append(group, done),
    fail: (group, error) => port.fail(group, error),
  });
}
