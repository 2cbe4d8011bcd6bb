import type { MonoTypeOperatorFunction } from 'rxjs';
import { type Done, holdUntil } from './hold-until.ts';

/** The active memtable, as far as `flushAtThreshold` has to know it. */
export interface FlushAtThresholdPort<G, E = unknown> {
  /** Whether the active memtable takes this group. */
  hasRoomFor(group: G): boolean;
  /** Makes the active memtable immutable, and begins a new log and a new memtable; this also asks for the flush. */
  rotate(group: G, done: Done<E>): void;
}

/** Where a group goes that could not be served. `fail` answers its writes and releases it. */
export interface FailPort<G, E = unknown> {
  fail(group: G, error: E): void;
}

/**
 * Sees to it that the active memtable has room for each group: rotates before a group that does not fit.
 *
 * `R` begins a rotation and `r` is the end of it:
 *
 * ```text
 * source    a-b----c|
 * rotation  --R--r
 * result    a----b-c|         b did not fit, and goes into the new memtable
 * ```
 *
 * - **emits** at once, synchronously, when the memtable has room; else when the rotation is done. It rotates once and
 *   does not ask again: a group larger than a memtable has one of its own
 * - **waits** with at most one group; the flush itself runs elsewhere, and only its debt comes back, in `paceByDebt`
 * - **fails** a group whose rotation failed: to `fail`, which answers its writes and releases it. The stream goes on, and
 *   the next group tries again
 * - **completes** when the source has completed and no group is held
 * - **errors** on an error of the source, a throw of the port, or a second group while one is held (a mistake in the pipe)
 * - **on unsubscribe** lets go of the source; a rotation that has begun ends unobserved
 *
 * About RxJS: the threshold is asked before each group and not by `bufferCount` or a timer, so there is nothing that
 * could fail to fire; a failure is the group's, because an error would end the stream for all that come after.
 */
export function flushAtThreshold<G, E = unknown>(
  port: FlushAtThresholdPort<G, E>,
  sink: FailPort<G, E>,
): MonoTypeOperatorFunction<G> {
  return holdUntil<G, E>({
    operator: 'flushAtThreshold',
    work: (group, done) => {
      if (port.hasRoomFor(group)) done(undefined);
      else port.rotate(group, done);
    },
    fail: (group, error) => sink.fail(group, error),
  });
}
