import type { MonoTypeOperatorFunction } from 'rxjs';
import { type Done, holdUntil } from './hold-until.ts';

/** The memtable, as far as `memtableInsert` has to know it. */
export interface MemtableInsertPort<G, E = unknown> {
  /** Inserts the writes of the group, at once or in slices, then makes them visible. */
  insert(group: G, done: Done<E>): void;
  /** Answers the writes of a group that is in the log and not in the memtable, and releases it. */
  fail(group: G, error: E): void;
}

/**
 * Applies each group to the memtable; what comes out can be read.
 *
 * `b` is large and is inserted in slices, between which the event loop is free:
 *
 * ```text
 * source    a-b----c|
 * memtable  o ---o o
 * result    a----b-c|
 * ```
 *
 * - **emits** a group when all of it is in the memtable and visible; synchronously, when the insertion was
 * - **waits** with at most one group, so that groups become visible in the order of the log
 * - **fails** a group that could not be inserted: to `fail`, which answers its writes and releases it. The stream goes on
 * - **completes** when the source has completed and no group is held
 * - **errors** on an error of the source, a throw of the port, or a second group while one is held (a mistake in the pipe)
 * - **on unsubscribe** lets go of the source; an insertion that has begun runs to its end unobserved
 *
 * About RxJS: writes are acknowledged behind this operator and never in a `subscribe`, where a throw would end nothing;
 * `asapScheduler` is microtasks and would starve timers between slices, so the port yields as it sees fit.
 */
export function memtableInsert<G, E = unknown>(port: MemtableInsertPort<G, E>): MonoTypeOperatorFunction<G> {
  return holdUntil<G, E>({
    operator: 'memtableInsert',
    work: (group, done) => port.insert(group, done),
    fail: (group, error) => port.fail(group, error),
  });
}
