/**
 * The engine: which stream feeds which. Everything is made here and ends here; the public `Store` is a face on it.
 *
 *      writes$ ──> writePipeline ──> committed$ ──> change streams
 *                     │ rotate
 *                     v
 *                  FlushStream ──> versionChanged$ ──> CompactionStream ──┐
 *                                        ^                                │
 *                                        └────────────────────────────────┘
 */
import { type Observable, Subject, Subscription } from 'rxjs';
import { ClosedError } from '../errors.ts';
import type { TableJobExecutor } from '../storage/compaction/executor.ts';
import type { DirectoryLock } from '../storage/file-system/file-system.ts';
import type { UserKeyRange } from '../storage/manifest/table-meta.ts';
import type { OpenedTree } from '../storage/open-tree.ts';
import type { Tree } from '../storage/tree.ts';
import type { WriteAheadLog } from '../storage/wal/write-ahead-log.ts';
import { type ChangeGroup, changesOf } from './change-stream.ts';
import type { Clock } from './clock.ts';
import { CompactionStream } from './compaction-stream.ts';
import type { EngineEvent } from './engine-events.ts';
import { FlushStream } from './flush-stream.ts';
import { Health } from './health.ts';
import { JobCounters } from './job-counters.ts';
import { LogKeeper } from './log-keeper.ts';
import { Reader } from './read-stream.ts';
import { Stall } from './stall.ts';
import { toError } from './to-error.ts';
import { Write } from './write.ts';
import { type CommittedGroup, WriteCounters, writePipeline } from './write-stream.ts';

export class Engine {
  readonly location: string;
  readonly tree: Tree;
  readonly log: WriteAheadLog | undefined;
  readonly health: Health;
  readonly reader: Reader;
  readonly stall: Stall;
  readonly #events$: Subject<EngineEvent>;
  readonly #changes$ = new Subject<ChangeGroup>();
  readonly writeCounters: WriteCounters = new WriteCounters();
  readonly jobCounters: JobCounters = new JobCounters();
  readonly #executor: TableJobExecutor;
  readonly #lock: DirectoryLock | undefined;
  readonly #writes$ = new Subject<Write>();
  readonly #closing = new AbortController();
  readonly #running = new Subscription();
  readonly #versionChanged$ = new Subject<void>();
  #flushes: FlushStream | undefined;
  #compactions: CompactionStream | undefined;
  #keeper: LogKeeper | undefined;
  #drained: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  #isDraining = false;

  constructor(opened: OpenedTree, executor: TableJobExecutor, clock: Clock, events$: Subject<EngineEvent>) {
    this.location = opened.location;
    this.tree = opened.tree;
    this.log = opened.log;
    this.#lock = opened.lock;
    this.#executor = executor;
    this.#events$ = events$;
    this.health = new Health(opened.log === undefined);
    this.reader = new Reader(this.tree, this.health, clock);
    this.stall = new Stall(this.tree, this.health, events$, clock);
    if (opened.log !== undefined) this.#start(opened.log, clock);
  }

  #start(log: WriteAheadLog, clock: Clock): void {
    const { tree, health, stall } = this;
    const events = this.#events$;
    const executor = this.#executor;
    const onInstalled = (): void => {
      this.#versionChanged$.next();
      stall.reconsider();
    };
    const { signal: closing } = this.#closing;
    const work = { tree, executor, health, events, counters: this.jobCounters, clock, closing, onInstalled };
    const flushes = new FlushStream({ ...work, log });
    const compactions = new CompactionStream(work);
    const keeper = new LogKeeper({
      tree,
      log,
      health,
      stall,
      flushes,
      events,
      barrier: () => this.#barrier(),
      closing,
      clock,
    });
    this.#flushes = flushes;
    this.#compactions = compactions;
    this.#keeper = keeper;

    const committed$ = new Subject<CommittedGroup>();
    this.#running.add(
      committed$.subscribe({
        next: (group) => {
          if (this.#changes$.observed) this.#changes$.next(changesOf(group));
        },
        error: (error: unknown) => health.logFailed(error), // a bug of ours
      }),
    );
    this.#running.add(flushes.run().subscribe({ error: () => undefined })); // it ends so only while the store closes
    this.#running.add(compactions.run(this.#versionChanged$).subscribe());
    const pipeline = { tree, log, keeper, stall, health, committed$, counters: this.writeCounters, clock };
    this.#drained = new Promise((resolve, reject) => {
      writePipeline(this.#writes$, pipeline).subscribe({ complete: resolve, error: reject });
    });
    this.#drained.catch((error: unknown) => health.logFailed(error)); // a bug of ours: nothing is written any more
    keeper.prepareNext();
    this.#versionChanged$.next(); // the picker may find work in what was opened
  }

  get events(): Observable<EngineEvent> {
    return this.#events$;
  }

  /** Each committed group's changes, before its acknowledgements. */
  get changes(): Observable<ChangeGroup> {
    return this.#changes$;
  }

  /** Sends a write into the pipeline, or refuses it. */
  submit(write: Write): void {
    const refusal = this.health.refusalOfWrite();
    if (refusal === undefined) this.#writes$.next(write);
    else write.fail(refusal);
  }

  /** Resolves when everything acknowledged before the call is in tables. */
  async flush(): Promise<void> {
    const refusal = this.health.refusalOfWrite();
    if (refusal !== undefined) throw refusal;
    await this.#barrier();
    await this.#flushes?.idle();
  }

  async compact(range: UserKeyRange, signal: AbortSignal | undefined): Promise<void> {
    await this.flush();
    await this.#compactions?.compactRange(range, signal);
  }

  /** Through the pipeline, like a write, so that the memtable is changed between two groups and never within one. */
  #barrier(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isDraining) return reject(new ClosedError('store'));
      const sink = { succeed: () => resolve(), fail: (error: unknown) => reject(toError(error)) };
      this.#writes$.next(new Write([], 0, 'buffered', sink));
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /**
   * New calls are refused at once. What was accepted is served; then what is in memory becomes a table, so that the next
   * open has nothing to replay. If that fails, the log has it all.
   */
  async #close(): Promise<void> {
    this.health.close();
    this.reader.close();
    this.stall.reconsider();
    const { log } = this;
    const [flushes, compactions, keeper] = [this.#flushes, this.#compactions, this.#keeper];
    const failures: unknown[] = [];
    // Each step is taken whatever became of those before it: a file or a lock that is kept would outlive the store.
    const step = async (work: () => Promise<void> | undefined): Promise<void> => {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    };
    if (log !== undefined && flushes !== undefined && keeper !== undefined) {
      await step(() => this.#shutDown(log, flushes, keeper));
    }
    await step(() => flushes?.stop(new ClosedError('store')));
    await step(() => compactions?.stop(new ClosedError('store')));
    this.#running.unsubscribe();
    this.#changes$.complete();
    await step(() => this.#executor.close());
    await step(() => log?.close());
    await step(() => this.tree.close());
    await step(() => this.#lock?.release());
    this.#events$.complete();
    if (failures.length > 0) throw toError(failures[0]);
  }

  async #shutDown(log: WriteAheadLog, flushes: FlushStream, keeper: LogKeeper): Promise<void> {
    const { tree } = this;
    // From here on nothing waits for a failure to pass: there is one more try, and then the log has it.
    const compactionsEnd = this.#compactions?.stop(new ClosedError('store'));
    this.#closing.abort();
    this.#isDraining = true;
    this.#writes$.complete();
    await this.#drained;
    await keeper.close();
    // The pipeline has ended, so nobody else changes the memtable. Also what a broken log held gets into a table so.
    if (tree.active.entryCount > 0) await keeper.rotate(0).catch(() => undefined);
    await flushes.idle().catch(() => undefined);
    await compactionsEnd;
    const isAllInTables = tree.active.entryCount === 0 && tree.waiting.length === 0;
    if (log.failure === undefined && log.isDirty) await log.sync();
    else if (log.failure !== undefined && !isAllInTables) throw log.failure;
  }
}
