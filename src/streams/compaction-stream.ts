/**
 * Keeps the tree in shape:
 *
 *   version changed ──> picker (pure) ──> move down as it is, or merge in the worker ──> manifest edit ──> ask again
 *
 * One compaction at a time. It is asked for after each change of the version, and by `store.compact`. One that fails is
 * not installed, and tried again after a back-off; the tree stays as it was.
 */
import { EMPTY, from, merge, type Observable, type ObservableInput, Subject } from 'rxjs';
import { ClosedError } from '../errors.ts';
import { mergeCompact } from '../operators/merge-compact.ts';
import {
  type Compaction,
  editOf,
  GRANDPARENT_TABLES_MAX,
  isTrivialMove,
  pickCompaction,
} from '../storage/compaction/picker.ts';
import type { TableJobExecutor } from '../storage/compaction/executor.ts';
import type { CompactionJob } from '../storage/compaction/table-job.ts';
import { tableOptionsFor } from '../storage/compaction/table-options.ts';
import { LEVELS, rangeOf, type TableMeta, totalBytes, type UserKeyRange } from '../storage/manifest/table-meta.ts';
import type { Version } from '../storage/manifest/version.ts';
import type { Tree } from '../storage/tree.ts';
import { backOffMs, type Clock, Pause } from './clock.ts';
import type { EngineEvent } from './engine-events.ts';
import type { Health } from './health.ts';
import type { JobCounters } from './job-counters.ts';
import { ManualCompaction } from './manual-compaction.ts';
import { toError } from './to-error.ts';

export interface CompactionParts {
  readonly tree: Tree;
  readonly executor: TableJobExecutor;
  readonly health: Health;
  readonly events: Subject<EngineEvent>;
  readonly counters: JobCounters;
  readonly clock: Clock;
  readonly closing: AbortSignal;
  /** Told after each compaction: the version has changed. */
  readonly onInstalled: () => void;
}

/** What a running compaction is called by, and what it does. */
interface Job {
  readonly jobId: number;
  readonly compaction: Compaction;
}

export class CompactionStream {
  readonly #parts: CompactionParts;
  readonly #asked$ = new Subject<void>();
  /** Callers' compactions, worked off one after the other, before the picker's own. */
  readonly #manual: ManualCompaction[] = [];
  #running: number | undefined;
  #failures = 0;
  /** Before the next try of a compaction that has failed. */
  #pause: Pause | undefined;
  /** Settles with the job that was begun last; never rejects. */
  #underWay: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(parts: CompactionParts) {
    this.#parts = parts;
  }

  /** Subscribed to once, for the life of the store. */
  run(versionChanged$: Observable<unknown>): Observable<unknown> {
    return merge(versionChanged$, this.#asked$).pipe(
      mergeCompact<unknown, Job, unknown>({
        pick: () => this.#pick(),
        compact: (job) => {
          const done = this.#compact(job);
          this.#underWay = done.catch(() => undefined);
          return from(done);
        },
        onFailure: (error, { compaction }) => this.#backOff(error, compaction),
      }),
    );
  }

  /** Compacts a range of user keys down to the deepest level that has any of it. */
  compactRange(range: UserKeyRange, signal: AbortSignal | undefined): Promise<void> {
    if (this.#isStopped) return Promise.reject(new ClosedError('store')); // nobody would ever pick it up
    return new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#manual.push(new ManualCompaction(this.#parts.tree.versions.current, { range, signal, finish }));
      this.#asked$.next();
      this.#pause?.end(); // another one has failed: who asks need not wait for its next try
    });
  }

  /**
   * Stops the running job at its next pause; callers who wait for a compaction get the error. Resolves when nothing is
   * under way any more, neither a write nor the removal of what was half written. Idempotent.
   */
  async stop(error: Error): Promise<void> {
    this.#isStopped = true;
    if (this.#running !== undefined) this.#parts.executor.callOff(this.#running);
    for (const manual of this.#manual.splice(0)) manual.finish(error);
    await this.#underWay;
  }

  #pick(): Job | undefined {
    if (this.#isStopped) return undefined;
    const { tree, counters } = this.#parts;
    const version = tree.versions.current;
    for (let manual = this.#manual[0]; manual !== undefined; manual = this.#manual[0]) {
      const piece = manual.next(version, tree.options);
      if (piece !== undefined) return { jobId: counters.nextJobId(), compaction: piece };
      this.#manual.shift();
      manual.finish();
    }
    const tombstonesUpTo = tree.snapshots.oldest ?? tree.visibleSequence;
    const compaction = pickCompaction(version, tree.versions.compactionPointers, tree.options, tombstonesUpTo);
    return compaction === undefined ? undefined : { jobId: counters.nextJobId(), compaction };
  }

  async #compact({ jobId, compaction }: Job): Promise<void> {
    const { tree, events, counters, clock, health, onInstalled } = this.#parts;
    const { reason, level, inputs, overlaps } = compaction;
    const started = clock.now();
    const isMove = isTrivialMove(compaction, tree.options);
    const inputBytes = totalBytes(inputs) + totalBytes(overlaps);
    const inputTables = inputs.length + overlaps.length;
    events.next({ type: 'compactionBegin', jobId, reason, level, inputTables, inputBytes, isTrivialMove: isMove });
    const result = { outputTables: 0, bytesWritten: 0, entriesDropped: 0 };
    let failure: unknown;
    this.#running = jobId;
    try {
      let outputs: readonly TableMeta[] = inputs;
      if (isMove) {
        counters.trivialMoves += 1;
      } else {
        const version = tree.versions.current;
        const output = await this.#parts.executor.run(compactionJob(jobId, compaction, version, tree), () =>
          tree.versions.allocateFileNumber(),
        );
        outputs = output.tables;
        counters.compacted(inputBytes, output.bytesWritten);
        result.bytesWritten = output.bytesWritten;
        result.entriesDropped = output.entriesDropped;
      }
      await tree.install(editOf(compaction, outputs));
      result.outputTables = outputs.length;
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      this.#running = undefined;
      events.next({ type: 'compactionEnd', jobId, ...result, durationMs: clock.now() - started, error: failure });
    }
    this.#failures = 0;
    health.backgroundSucceeded('compaction');
    onInstalled();
  }

  #backOff(error: unknown, { reason }: Compaction): ObservableInput<unknown> {
    if (this.#isStopped) return EMPTY; // called off by the close, not failed
    const { health, events, clock, closing, onInstalled } = this.#parts;
    const retryInMs = backOffMs(clock, this.#failures);
    this.#failures += 1;
    health.backgroundFailed('compaction', error);
    events.next({ type: 'backgroundError', during: 'compaction', error, retryInMs });
    // Whoever asked for it hears of it; the picker's own compactions are tried again.
    if (reason === 'manual') this.#manual.shift()?.finish(toError(error));
    onInstalled(); // whoever is stalled behind it is refused now
    this.#pause = new Pause(clock, retryInMs, closing);
    return from(this.#pause.over);
  }
}

function compactionJob(jobId: number, compaction: Compaction, version: Version, tree: Tree): CompactionJob {
  const { level, inputs, overlaps, grandparents } = compaction;
  const outputLevel = level + 1;
  const { tableBytesMax } = tree.options;
  const range = rangeOf([...inputs, ...overlaps]);
  const runs = level === 0 ? inputs.map((table) => [table]) : [inputs];
  const deeper = Array.from({ length: LEVELS - 1 - outputLevel }, (_, index) =>
    version.overlapping(outputLevel + 1 + index, range).map(({ smallest, largest }) => ({ smallest, largest })),
  );
  return {
    type: 'compaction',
    jobId,
    directory: tree.directory,
    tableOptions: tableOptionsFor(tree.options, outputLevel, Math.max(outputLevel, version.deepestLevel)),
    snapshots: tree.snapshots.sequences(),
    runs: overlaps.length > 0 ? [...runs, overlaps] : runs,
    grandparents,
    deeper: deeper.filter((tables) => tables.length > 0),
    tableBytesMax,
    grandparentBytesMax: GRANDPARENT_TABLES_MAX * tableBytesMax,
  };
}
