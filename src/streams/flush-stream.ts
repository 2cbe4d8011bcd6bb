/**
 * From a full memtable to a table of level 0:
 *
 *   rotate ──> waiting (bounded) ──> table written and synced in the worker ──> manifest edit ──> old log removed
 *
 * One flush at a time, oldest first: level 0 is ordered by file number, and newer data must get the higher one. A flush
 * that fails is tried again until it succeeds or the store closes; its memtable stays readable all the while, and its log
 * stays on the disk.
 */
import { defer, from, type Observable, retry, Subject, throwError } from 'rxjs';
import { ReadOnlyError } from '../errors.ts';
import { boundedConcatMap } from '../operators/bounded-concat-map.ts';
import { tableOptionsFor } from '../storage/compaction/table-options.ts';
import type { TableJobExecutor } from '../storage/compaction/executor.ts';
import type { Tree, WaitingMemtable } from '../storage/tree.ts';
import type { WriteAheadLog } from '../storage/wal/write-ahead-log.ts';
import { backOffMs, type Clock, Pause } from './clock.ts';
import type { EngineEvent } from './engine-events.ts';
import type { Health } from './health.ts';
import type { JobCounters } from './job-counters.ts';
import { toError } from './to-error.ts';

export interface FlushParts {
  readonly tree: Tree;
  readonly log: WriteAheadLog;
  readonly executor: TableJobExecutor;
  readonly events: Subject<EngineEvent>;
  readonly counters: JobCounters;
  readonly clock: Clock;
  /** Told after each flush: the version has changed, and there is room. */
  readonly onInstalled: () => void;
  readonly health: Health;
  /** When it aborts, nothing is tried again: the log has what is not flushed. */
  readonly closing: AbortSignal;
}

interface Waiter {
  readonly isReady: () => boolean;
  /** What a failure of a flush is to whoever waits; `undefined`: he goes on waiting. */
  readonly refusalOf: ((error: unknown) => unknown) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class FlushStream {
  readonly #parts: FlushParts;
  readonly #full$ = new Subject<WaitingMemtable>();
  /** Those who wait for a place, or for all flushes to be done. */
  #waiters: Waiter[] = [];
  /** Settles with the flush that was begun last; never rejects. */
  #underWay: Promise<unknown> = Promise.resolve();
  /** Before the next try of a flush that has failed. */
  #pause: Pause | undefined;
  /** Why nothing is flushed any more. */
  #end: Error | undefined;

  constructor(parts: FlushParts) {
    this.#parts = parts;
  }

  /** Flushes what is added, one after the other. Subscribed to once, for the life of the store. */
  run(): Observable<void> {
    const { waitingMemtablesMax } = this.#parts.tree.options;
    return this.#full$.pipe(
      // Two more than the pipeline lets in: a mended log rotates without asking for room.
      boundedConcatMap((full) => this.#flushUntilDone(full), { capacity: waitingMemtablesMax + 2, onOverflow: 'fail' }),
    );
  }

  add(full: WaitingMemtable): void {
    this.#full$.next(full);
  }

  /** Resolves when another memtable may wait; rejects when the flush that would make room fails. */
  hasRoom(): Promise<void> {
    const { tree, health } = this.#parts;
    const isReady = (): boolean => tree.waiting.length < tree.options.waitingMemtablesMax;
    const refusal = isReady() ? undefined : health.refusalOfWrite('flush');
    if (refusal instanceof ReadOnlyError) return Promise.reject(refusal);
    return this.#when(isReady, (error) => health.refusalOfWrite('flush') ?? error);
  }

  /** Resolves when every memtable that waits now is in a table; rejects when the store closes before that. */
  idle(): Promise<void> {
    return this.#when(this.#isFlushed(), undefined);
  }

  /**
   * The same for a caller, who hears of a flush that fails. One that has failed before is tried at once. (A caller waited for
   * as long as flushes failed, and as nothing else kept the process alive, that ended in the middle of `await store.flush()`.)
   */
  flushed(): Promise<void> {
    const done = this.#when(this.#isFlushed(), (error) => error);
    this.#pause?.end();
    return done;
  }

  #isFlushed(): () => boolean {
    const { waiting } = this.#parts.tree;
    const last = waiting.at(-1);
    return () => last === undefined || !waiting.includes(last);
  }

  /** Begins no further flush; those who wait get the error. Resolves when none is under way any more. Idempotent. */
  async stop(error: Error): Promise<void> {
    this.#end ??= error;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (waiter.isReady()) waiter.resolve();
      else waiter.reject(error);
    }
    await this.#underWay;
  }

  #when(isReady: () => boolean, refusalOf: Waiter['refusalOf']): Promise<void> {
    if (isReady()) return Promise.resolve();
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => void this.#waiters.push({ isReady, refusalOf, resolve, reject }));
  }

  /** Answers those who have waited long enough, for better or worse. */
  #wake(failure?: { readonly error: unknown }): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (waiter.isReady()) waiter.resolve();
      else if (failure !== undefined && waiter.refusalOf !== undefined) waiter.reject(waiter.refusalOf(failure.error));
      else this.#waiters.push(waiter);
    }
  }

  #flushUntilDone(full: WaitingMemtable): Observable<void> {
    const { events, health, closing, clock } = this.#parts;
    return defer(() => this.#begin(full)).pipe(
      retry({
        delay: (error: unknown, attempt) => {
          const retryInMs = backOffMs(clock, attempt);
          health.backgroundFailed('flush', error);
          events.next({ type: 'backgroundError', during: 'flush', error, retryInMs });
          if (closing.aborted) {
            void this.stop(toError(error)); // the stream ends here: nobody else would answer those who wait
            return throwError(() => toError(error));
          }
          this.#wake({ error: toError(error) });
          this.#pause = new Pause(clock, retryInMs, closing);
          return from(this.#pause.over);
        },
      }),
    );
  }

  #begin(full: WaitingMemtable): Promise<void> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const done = this.#flush(full);
    this.#underWay = done.catch(() => undefined);
    return done;
  }

  async #flush(full: WaitingMemtable): Promise<void> {
    const { tree, log, executor, events, counters, clock, health, onInstalled } = this.#parts;
    const { memtable } = full;
    const jobId = counters.nextJobId();
    const started = clock.now();
    events.next({ type: 'flushBegin', jobId, entries: memtable.entryCount, bytes: memtable.bytesUsed });
    let bytesWritten = 0;
    let failure: unknown;
    try {
      const job = {
        type: 'flush' as const,
        jobId,
        directory: tree.directory,
        memtable: memtable.buffer,
        bytes: memtable.bytesUsed,
        tableOptions: tableOptionsFor(tree.options, 0, tree.versions.current.deepestLevel),
        snapshots: tree.snapshots.sequences(),
      };
      const output = await executor.run(job, () => tree.versions.allocateFileNumber());
      await log.seal(full.nextLogNumber); // history reads it from here on, and nothing else has it
      await tree.installFlush(full, output.tables);
      bytesWritten = output.bytesWritten;
      counters.flushed(bytesWritten);
      log.noteDurable(full.lastSequence);
      await log.removeBelow(full.nextLogNumber);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      events.next({ type: 'flushEnd', jobId, bytesWritten, durationMs: clock.now() - started, error: failure });
    }
    health.backgroundSucceeded('flush');
    onInstalled();
    this.#wake();
  }
}
