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
import * as E from 'fp-ts/lib/Either.js';
import { type Observable, Subject, Subscription } from 'rxjs';
import { ClosedError, InvalidArgumentError } from '../errors.ts';
import type { Commit, Durability, Entry, KeyRange, SequenceNumber, WriteOperation } from '../model.ts';
import type { TableJobExecutor } from '../storage/compaction/executor.ts';
import type { DirectoryLock } from '../storage/file-system/file-system.ts';
import type { LogArchive } from '../storage/history/log-archive.ts';
import type { UserKeyRange } from '../storage/manifest/table-meta.ts';
import type { OpenedTree } from '../storage/open-tree.ts';
import { CONSUMERS_END, CONSUMERS_PREFIX } from '../storage/reserved.ts';
import type { Tree } from '../storage/tree.ts';
import type { WriteAheadLog } from '../storage/wal/write-ahead-log.ts';
import { type BackupReport, Backups, type CheckedBackup } from './backup.ts';
import { ChangeHub } from './change-hub.ts';
import { ChangeConsumerSource } from './change-consumer-source.ts';
import type { Clock } from './clock.ts';
import { CompactionStream } from './compaction-stream.ts';
import { decodeRecord } from './consumer-record.ts';
import { Consumers } from './consumers.ts';
import type { EngineEvent } from './engine-events.ts';
import { FlushStream } from './flush-stream.ts';
import { Health } from './health.ts';
import { IdempotencySweeper } from './idempotency-sweeper.ts';
import { JobCounters } from './job-counters.ts';
import { LogKeeper } from './log-keeper.ts';
import { Operation } from './operation.ts';
import { Reader } from './read-stream.ts';
import { Retention } from './retention.ts';
import { boundsOf, selectEntry } from './scan-options.ts';
import { Stall } from './stall.ts';
import type { PageSource } from './stream.ts';
import { toError } from './to-error.ts';
import { checkBatchOperations, Write } from './write.ts';
import { type CommittedGroup, WriteCounters, writePipeline } from './write-stream.ts';

export class Engine {
  readonly location: string;
  readonly tree: Tree;
  readonly log: WriteAheadLog | undefined;
  readonly health: Health;
  readonly reader: Reader;
  readonly stall: Stall;
  readonly #events$: Subject<EngineEvent>;
  readonly changes: ChangeHub;
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
  #retention: Retention | undefined;
  /** Also in a store that is open for reading only: then they can be looked at. */
  readonly desks: Consumers;
  #sweeper: IdempotencySweeper | undefined;
  #backups: Backups | undefined;
  #drained: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  #isDraining = false;

  /** @param openHistory - where the store is open for reading only: reads history when it is asked for */
  constructor(
    opened: OpenedTree,
    executor: TableJobExecutor,
    clock: Clock,
    events$: Subject<EngineEvent>,
    openHistory?: () => Promise<LogArchive>,
  ) {
    this.location = opened.location;
    this.tree = opened.tree;
    this.log = opened.log;
    this.#lock = opened.lock;
    this.#executor = executor;
    this.#events$ = events$;
    this.health = new Health(opened.log === undefined);
    this.reader = new Reader(this.tree, this.health, clock);
    this.stall = new Stall(this.tree, this.health, events$, clock);
    const { tree, log, archive } = opened;
    this.changes = new ChangeHub({ tree, log, archive, openHistory, clock });
    this.desks = this.#makeConsumers(clock);
    if (log !== undefined && archive !== undefined) this.#start(log, archive, clock);
  }

  #start(log: WriteAheadLog, archive: LogArchive, clock: Clock): void {
    const { tree, health, stall } = this;
    const events = this.#events$;
    const executor = this.#executor;
    const retention = this.#keepHistory(archive, clock);
    const onInstalled = (): void => {
      this.#versionChanged$.next();
      stall.reconsider();
      retention.run(); // a log has become history
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
        next: (group) => this.changes.publish(group),
        error: (error: unknown) => health.logFailed(error), // a bug of ours
      }),
    );
    this.#running.add(flushes.run().subscribe({ error: () => undefined })); // it ends so only while the store closes
    this.#running.add(compactions.run(this.#versionChanged$).subscribe());
    const commit = (operations: readonly WriteOperation[], durability: Durability): Promise<Commit> =>
      this.commit(operations, durability);
    const sweeper = new IdempotencySweeper({ tree, clock, commit });
    this.#sweeper = sweeper;
    const onStoredAnswer = (): void => sweeper.wake();
    const counters = this.writeCounters;
    const pipeline = { tree, log, keeper, stall, health, committed$, counters, onStoredAnswer, clock };
    this.#drained = new Promise((resolve, reject) => {
      writePipeline(this.#writes$, pipeline).subscribe({ complete: resolve, error: reject });
    });
    this.#drained.catch((error: unknown) => health.logFailed(error)); // a bug of ours: nothing is written any more
    log.onDurable = () => this.changes.stir();
    this.#backups = new Backups({ tree, archive, clock, flush: () => this.flush() });
    keeper.prepareNext();
    retention.run();
    this.#versionChanged$.next(); // the picker may find work in what was opened
  }

  #makeConsumers(clock: Clock): Consumers {
    return new Consumers({
      source: new ChangeConsumerSource(this.changes, (name, settled) => this.#retention?.retain(name, settled)),
      store: {
        commit: (operations, durability) => this.commit(operations, durability),
        entry: (key) =>
          new Operation((sink) => {
            this.reader.entry(key, undefined, sink);
            return undefined;
          }),
        scanReserved: (range, signal) => this.scanInternal(range, signal),
        clock,
        durability: this.tree.options.durability,
      },
    });
  }

  #keepHistory(archive: LogArchive, clock: Clock): Retention {
    const { options } = this.tree;
    const events = this.#events$;
    archive.onLoss = (loss, error) => events.next({ type: 'historyLost', ...loss, error });
    const loadConsumers = (): Promise<ReadonlyMap<string, SequenceNumber>> => this.#consumersOnDisk();
    this.#retention = new Retention({ archive, options, events, clock, loadConsumers });
    return this.#retention;
  }

  /** Entries of a range in key order, our own ones too. */
  scanInternal(range: KeyRange, signal?: AbortSignal): PageSource<Entry> {
    return this.reader.scan({
      ...boundsOf(range),
      isReverse: false,
      limit: Infinity,
      sequence: undefined,
      signal,
      isInternal: true,
      select: selectEntry,
    });
  }

  /** What each consumer has settled, as far as its record can be read. */
  async #consumersOnDisk(): Promise<ReadonlyMap<string, SequenceNumber>> {
    const settled = new Map<string, SequenceNumber>();
    const records = this.scanInternal({ gte: CONSUMERS_PREFIX, lt: CONSUMERS_END });
    try {
      for (let page = await records.pull(); page.length > 0; page = await records.pull()) {
        for (const { key, value } of page) {
          const record = decodeRecord(value);
          const name = new TextDecoder().decode(key.subarray(CONSUMERS_PREFIX.length));
          if (E.isRight(record)) settled.set(name, record.right.sequence);
        }
      }
    } finally {
      records.close();
    }
    return settled;
  }

  get events(): Observable<EngineEvent> {
    return this.#events$;
  }

  /** Durable consumers; none can be run in a store that is opened for reading only. */
  get consumers(): Consumers {
    if (this.log === undefined) throw this.health.refusalOfWrite() ?? new ClosedError('store');
    return this.desks;
  }

  /** Sends a write into the pipeline, or refuses it. */
  submit(write: Write): void {
    const refusal = this.health.refusalOfWrite();
    if (refusal === undefined) this.#writes$.next(write);
    else write.fail(refusal);
  }

  /**
   * Writes a batch of the engine's own parts, in the one order of all writes: its lines may hold reserved keys. What users
   * give must have been checked before ({@link checkBatchOperations}).
   */
  commit(operations: readonly WriteOperation[], durability: Durability): Promise<Commit> {
    return new Promise((resolve, reject) => {
      const batch = checkBatchOperations(operations, { isInternal: true });
      const { checks, checkBytes } = batch;
      if (batch.operations.length === 0 && checks.length === 0) {
        throw new InvalidArgumentError('batch', 'at least one operation', operations);
      }
      const sink = { succeed: resolve, fail: (error: unknown) => reject(toError(error)) };
      const conditions = checks.length === 0 ? undefined : { checks, checkBytes, idempotency: undefined };
      const write = new Write(batch.operations, batch.bytes, durability, sink, conditions);
      // A consumer that ends with the store may still commit what it did.
      if (this.health.isClosed && !this.#isDraining) this.#writes$.next(write);
      else this.submit(write);
    });
  }

  /** Resolves when everything acknowledged before the call is in tables; rejects when a flush fails before that. */
  async flush(): Promise<void> {
    const refusal = this.health.refusalOfWrite();
    if (refusal !== undefined) throw refusal;
    await this.#barrier();
    await this.#flushes?.flushed();
  }

  async compact(range: UserKeyRange, signal: AbortSignal | undefined): Promise<void> {
    await this.flush();
    await this.#compactions?.compactRange(range, signal);
  }

  /** A copy of one moment in another directory, while everything goes on. */
  backup(directory: string, options: CheckedBackup): Promise<BackupReport> {
    const refusal = this.health.refusalOfWrite();
    if (refusal !== undefined) return Promise.reject(refusal);
    if (this.#backups === undefined) return Promise.reject(new ClosedError('store'));
    return this.#backups.run(directory, options);
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
    const backedUp = this.#backups?.close();
    await this.desks.close();
    const { log } = this;
    const [flushes, compactions, keeper] = [this.#flushes, this.#compactions, this.#keeper];
    const swept = this.#sweeper?.close();
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
    await step(() => swept); // its last write has been served or refused
    await step(() => flushes?.stop(new ClosedError('store')));
    await step(() => compactions?.stop(new ClosedError('store')));
    await step(() => backedUp);
    this.#running.unsubscribe();
    this.changes.complete();
    await step(() => this.#retention?.stop());
    await step(() => this.#executor.close());
    await step(() => log?.close());
    await step(() => this.#closeHistory(failures.length === 0));
    await step(() => this.tree.close());
    await step(() => this.#lock?.release());
    this.#events$.complete();
    if (failures.length > 0) throw toError(failures[0]);
  }

  /** @param isClean - whether everything that was acknowledged is durable */
  async #closeHistory(isClean: boolean): Promise<void> {
    const { archive } = this.changes;
    if (archive === undefined || this.log === undefined) return;
    // A log that is not sealed is found by the next open, which must not take it for one from before the last state.
    if (isClean && archive.isSealed) await archive.persist(this.tree.versions.lastSequence, true);
    await archive.close();
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
