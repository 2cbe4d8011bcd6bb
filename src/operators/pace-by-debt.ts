import { asyncScheduler, type MonoTypeOperatorFunction, type Observable, Subscription } from 'rxjs';
import { type Done, holdUntil } from './hold-until.ts';

/** Why a group is held: to let flush and compaction catch up, or because they must. */
export type StallKind = 'slowdown' | 'stop';

/** What `paceByDebt` asks and tells. Its questions have no side effects: they may be asked again for the same group. */
export interface PaceByDebtPort<G> {
  /** How long this group should wait, in milliseconds; 0 when flush and compaction keep up. */
  delayMs(group: G): number;
  /** Whether nothing may pass at all. */
  isStopped(): boolean;
  /** Emits whenever the answers may have changed. Listened to only while a group is held. */
  readonly changed$: Observable<unknown>;
  /** A group begins to wait, or waits for another reason than before. */
  onWait?(kind: StallKind, group: G): void;
  /** The group that waited goes on. Not called when the stream ends while it waits. */
  onResume?(): void;
}

/** What `paceByDebt` needs of a scheduler: any of RxJS's will do, and so will a clock. */
export interface DelayScheduler {
  /** Milliseconds from any fixed point. */
  now(): number;
  /** Does the work once, after so many milliseconds, unless it is unsubscribed from before. */
  schedule(work: () => void, delayMs: number): Subscription;
}

/**
 * Slows the groups down by the debt of flush and compaction, and stops them as a last resort.
 *
 * With `delayMs` 3 for `b`, and the store stopped between `S` and `s`:
 *
 * ```text
 * source    a--b------c-----|
 * changed$  --------S------s
 * result    a-----b--------c|
 * ```
 *
 * - **emits** at once, synchronously, when nothing is stopped and `delayMs` is 0; else after the delay, or when
 *   `changed$` emits and nothing is stopped any more. `changed$` may shorten a delay that is running, but not lengthen
 *   it, so that a group is never put off again and again
 * - **waits** with at most one group; what comes after it waits where it is counted, in the queue of `groupCommit`,
 *   which gets no credit meanwhile
 * - **completes** when the source has completed and no group is held
 * - **errors** on an error of the source or of `changed$`, on a throw of the port, on a second group while one is held (a
 *   mistake in the pipe), and when `changed$` completes while it is stopped, because nothing could start it again
 * - **on unsubscribe** cancels the timer, and lets go of `changed$` and of the source
 *
 * About RxJS: `delay` and `delayWhen` would hold any number of groups. The timer is the scheduler's, so that a
 * TestScheduler makes it virtual, and only a group that has to wait costs one. No thread ever sleeps.
 */
export function paceByDebt<G>(
  port: PaceByDebtPort<G>,
  scheduler: DelayScheduler = asyncScheduler,
): MonoTypeOperatorFunction<G> {
  return holdUntil<G, unknown>({
    operator: 'paceByDebt',
    work: (group, done, lifetime) => {
      const isStopped = port.isStopped();
      const delayMs = isStopped ? 0 : port.delayMs(group);
      if (!isStopped && !(delayMs > 0)) done(undefined);
      else stall({ group, port, scheduler, done, lifetime }, isStopped, delayMs);
    },
    fail: (_group, failure) => {
      throw failure; // which makes it the error of the stream: here a failure is one of the port
    },
  });
}

interface Stall<G> {
  readonly group: G;
  readonly port: PaceByDebtPort<G>;
  readonly scheduler: DelayScheduler;
  readonly done: Done<unknown>;
  readonly lifetime: Subscription;
}

/** The slow path: one group, one timer at a time, and an ear on `changed$`. */
function stall<G>({ group, port, scheduler, done, lifetime }: Stall<G>, isStopped: boolean, delayMs: number): void {
  const waiting = new Subscription();
  let timer: Subscription | undefined;
  let dueAt = Number.POSITIVE_INFINITY;
  let kind: StallKind | undefined;
  let isChangedComplete = false;

  const pass = (): void => {
    waiting.unsubscribe(); // first, because onResume may make changed$ emit
    port.onResume?.();
    done(undefined);
  };

  // What fails may fail after the end, in onResume: `done` takes only the first call.
  const abort = (reason: unknown): void => {
    waiting.unsubscribe();
    done(reason ?? new Error('paceByDebt: the port failed without a reason'));
  };

  const tell = (next: StallKind): void => {
    if (kind === next) return;
    kind = next;
    port.onWait?.(next, group);
  };

  const wake = (): void => {
    attempt(() => {
      if (port.isStopped()) stop();
      else pass(); // it has waited its time; asking for the delay again could hold it for ever
    });
  };

  const stop = (): void => {
    tell('stop');
    timer?.unsubscribe();
    dueAt = Number.POSITIVE_INFINITY;
    if (isChangedComplete) throw new Error('paceByDebt: changed$ completed while stopped; nothing can start it again');
  };

  const slowDown = (ms: number): void => {
    tell('slowdown');
    const delay = Math.min(ms, DELAY_MS_MAX);
    if (scheduler.now() + delay >= dueAt) return;
    timer?.unsubscribe();
    dueAt = scheduler.now() + delay;
    timer = scheduler.schedule(wake, delay);
    waiting.add(timer);
  };

  const reconsider = (): void => {
    attempt(() => {
      if (port.isStopped()) return stop();
      const ms = port.delayMs(group);
      if (ms > 0) slowDown(ms);
      else pass();
    });
  };

  const attempt = (action: () => void): void => {
    if (waiting.closed) return;
    try {
      action();
    } catch (thrown) {
      abort(thrown);
    }
  };

  lifetime.add(waiting);
  if (isStopped) stop();
  else slowDown(delayMs);
  waiting.add(
    port.changed$.subscribe({
      next: reconsider,
      error: abort,
      complete: () => {
        isChangedComplete = true;
        if (kind === 'stop') attempt(stop);
      },
    }),
  );
}

/** The longest delay that a timer of Node takes; beyond it, it would fire at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;
