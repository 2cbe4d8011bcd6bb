/**
 * A consumer at work: from one opening of its source to the end of it. Its parts and the way of a change through them:
 *
 * ```text
 *   source -> page -> progress (aheadMax) -> queue (order) -> handler (inFlightMax) -> commits (one batch) -> progress
 *                                              ^  ^                 |
 *                                              |  +---- retries <---+ failed: back-off, then a dead letter
 *                                              +------- lane <------- conflict: run again, one at a time
 * ```
 *
 * Demand is acknowledgement credit: nothing is read while `aheadMax` changes are not settled, and nothing is delivered
 * while `inFlightMax` handlers are at work. Handlers that end at once make no recursion: everything that can go on is
 * found by the one loop in `#dispatch`, which gives the event loop a turn now and then. It is built of callbacks: a chain
 * of promises per change would cost more than all else. (`boundedMergeMap` does not fit: it is pushed into, and drops or
 * fails when it is full, where this one stops reading; and what is free to go depends on partitions and on commits.)
 *
 * Longer than other files: the parts have files of their own, and here is told, in one place, how they go together.
 */
import { ClosedError, type ConflictError, ConsumerError, InvalidArgumentError } from '../errors.ts';
import type { Commit, WriteOperation } from '../model.ts';
import { type Clock, SLICE_MS } from './clock.ts';
import { type CommitHost, ConsumerCommits } from './consumer-commits.ts';
import { DeliveryDeadlines } from './consumer-deadlines.ts';
import { type DeliveryHost, HandlerRun } from './consumer-delivery.ts';
import type { ConsumerEvent } from './consumer-events.ts';
import { ConflictLane } from './consumer-lane.ts';
import type { CheckedSettings } from './consumer-options.ts';
import { ConsumerProgress } from './consumer-progress.ts';
import type { ConsumerRecord } from './consumer-record.ts';
import { BatchQueue, PartitionQueue, type WorkQueue } from './consumer-queue.ts';
import { ConsumerReader, type ReaderHost } from './consumer-reader.ts';
import { ConsumerReplays, type ReplayHost } from './consumer-replays.ts';
import { ConsumerRetries } from './consumer-retries.ts';
import type { ChangeSource, ConsumerSource, ConsumerStorePort, Place } from './consumer-source.ts';
import { DeliveryTransaction } from './consumer-transaction.ts';
import { type Slot, Work, type Worker } from './consumer-work.ts';
import { type DeadLetter, deadLetterIdOf, describeError, parkOperations, unparkOperations } from './dead-letters.ts';
import { keyText } from './key-text.ts';

export interface SessionSetup {
  readonly name: string;
  readonly settings: CheckedSettings;
  readonly store: ConsumerStorePort;
  readonly source: ConsumerSource;
  readonly changes: ChangeSource;
  /** As it is stored. */
  readonly record: ConsumerRecord;
  /** Those who do the work; may change at any time. */
  readonly workers: ReadonlySet<Worker>;
  /** Told once, when it ends by itself: the source ended (no error), or it cannot go on. */
  readonly onEnd: (failure: { readonly error: unknown } | undefined) => void;
}

/** Changes that are taken from a page at a time. */
const ADMITTED_AT_ONCE = 256;
/** Deliveries between two looks at the clock. */
const STARTS_PER_LOOK = 16;
/** How often it looks whether it is stuck, and how far the source is. */
const TICK_MS = 2_000;
/** ... and not more often than this, however short `ackWaitMs` is. */
const TICK_MS_MIN = 50;
/** A watermark that moved so far without a delivery is stored, so that less is read again after a crash. */
const UNSTORED_MAX = 1_024;
/** Conflicts in a row after which an attempt has failed. */
const CONFLICTS_MAX = 100;

export class ConsumerSession implements DeliveryHost, CommitHost, ReplayHost, ReaderHost {
  readonly #setup: SessionSetup;
  readonly #clock: Clock;
  readonly #progress: ConsumerProgress;
  readonly #queue: WorkQueue;
  readonly #reader: ConsumerReader;
  readonly #commits: ConsumerCommits;
  readonly #retries: ConsumerRetries;
  readonly #replays: ConsumerReplays;
  readonly #lane = new ConflictLane();
  readonly #runs: DeliveryDeadlines;
  #isPaused: boolean;
  #isDispatching = false;
  #isYielding = false;
  #isOver = false;
  #sliceStart: number;
  #lastSettledMs: number;
  #stored: ConsumerRecord;
  /** The stored place, if it is not synced yet: what may be forgotten at the next tick. */
  #unretained: Place | undefined;
  /** The one of the tick before. */
  #retainable: Place | undefined;
  #cancelIdleTimer: (() => void) | undefined;
  #cancelTick: (() => void) | undefined;

  constructor(setup: SessionSetup) {
    const { name, settings, store, record } = setup;
    this.#setup = setup;
    this.#clock = store.clock;
    this.#progress = new ConsumerProgress(record);
    this.#reader = new ConsumerReader(setup.changes, this.#clock, this);
    this.#stored = record;
    this.#isPaused = record.isPaused;
    this.#queue =
      settings.batch === undefined
        ? new PartitionQueue((slot) => this.#workOf(slot))
        : new BatchQueue(settings.batch, () => this.#clock.now());
    this.#commits = new ConsumerCommits(name, store, settings.durability ?? store.durability, this);
    this.#retries = new ConsumerRetries(
      this.#clock,
      (work) => this.#tryAgain(work),
      () => this.dispatch(),
    );
    this.#runs = new DeliveryDeadlines(
      this.#clock,
      settings.ackWaitMs,
      (run) => this.#tooLate(run),
      () => this.dispatch(),
    );
    this.#replays = new ConsumerReplays(name, store, this);
    this.#sliceStart = this.#clock.now();
    this.#lastSettledMs = this.#sliceStart;
  }

  get isManual(): boolean {
    return this.#setup.settings.isManual;
  }

  /** What is settled for good, and what the range leaves out behind it. */
  get position(): ConsumerRecord {
    const isFarther = this.#progress.size === 0 && this.#progress.watermark.sequence > this.#stored.sequence;
    return isFarther ? this.record() : { ...this.#stored, isPaused: this.#isPaused };
  }

  start(): void {
    this.#armTick();
    this.#replays.look();
    this.dispatch();
  }

  /** Ends deliveries at work without a word, commits what is done, and lets go of everything. Never rejects. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.#runs.close();
    this.#cancelIdleTimer?.();
    this.#cancelTick?.();
    this.#retries.close();
    this.#replays.close();
    for (const run of this.#runs.all()) this.#finish(run);
    this.#reader.stop();
    await this.#catchUp();
    if (this.#progress.watermark.sequence > this.#stored.sequence) this.#storeRecord();
    await this.#commits.stop();
    this.#reader.close();
  }

  /** What the worker has at work is given to others. */
  release(worker: Worker): void {
    for (const run of this.#runs.all()) {
      if (run.worker !== worker) continue;
      this.#finish(run);
      this.#queue.again(run.work);
    }
    this.dispatch();
  }

  /** Stored before it resolves. */
  async setPaused(isPaused: boolean): Promise<void> {
    this.#isPaused = isPaused;
    await this.#commits.writeRecord();
    this.dispatch();
  }

  lookForReplays(): void {
    this.#replays.look();
  }

  dropReplays(id: string | undefined): void {
    this.#replays.dropped(id);
  }

  // ---- reading and delivering

  arrived(): void {
    this.dispatch();
  }

  ended(failure: { readonly error: unknown } | undefined): void {
    this.#end(failure);
  }

  readonly dispatch = (): void => {
    if (this.#isDispatching || this.#isYielding || this.#isOver || this.#isPaused) return;
    this.#isDispatching = true;
    try {
      this.#dispatch();
    } catch (error) {
      this.#end({ error });
    } finally {
      this.#isDispatching = false;
    }
  };

  #dispatch(): void {
    for (let starts = 1; !this.#isOver; starts += 1) {
      if (starts % STARTS_PER_LOOK === 0 && this.#isSliceOver()) return;
      const hasRead = this.#fill();
      const worker = this.#freeWorker();
      if (worker === undefined) return;
      const work = this.#lane.take() ?? this.#queue.take(this.#clock.now());
      if (work !== undefined) this.#deliver(work, worker);
      else if (!hasRead) return this.#armIdleTimer();
    }
  }

  /** Also of handlers, pages and commits that are ready after a microtask: those let no timer through. */
  #isSliceOver(): boolean {
    if (this.#clock.now() - this.#sliceStart <= SLICE_MS) return false;
    this.#isYielding = true;
    this.#clock.afterTurn(() => {
      this.#isYielding = false;
      this.#sliceStart = this.#clock.now();
      this.dispatch();
    });
    return true;
  }

  /** Admits some changes, if there is room and need. @returns whether it has */
  #fill(): boolean {
    if (this.#queue.isFed) return false;
    let admitted = 0;
    while (admitted < ADMITTED_AT_ONCE && this.#progress.size < this.#setup.settings.aheadMax) {
      const change = this.#reader.take();
      if (change === undefined) break;
      admitted += 1;
      const slot = this.#progress.add(change);
      if (slot !== undefined) this.#queue.admit(slot);
    }
    return admitted > 0;
  }

  #freeWorker(): Worker | undefined {
    let free: Worker | undefined;
    for (const worker of this.#setup.workers) {
      if (worker.running < (free?.running ?? this.#setup.settings.inFlightMax)) free = worker;
    }
    return free;
  }

  #deliver(work: Work, worker: Worker): void {
    const run = new HandlerRun(this, work, worker, new DeliveryTransaction(this.#setup.store, this.#setup.name));
    work.worker = worker;
    worker.running += 1;
    this.#runs.add(run);
    worker.tell({ type: 'delivered', sequence: work.sequence, changes: work.slots.length, attempt: run.attempt });
    if (!run.isOver) run.start(); // the one who was told may have ended it
    if (!run.isOver) this.#runs.extend(run);
  }

  #workOf(slot: Slot, replayOf?: DeadLetter): Work {
    const { settings, workers } = this.#setup;
    const { change } = slot;
    const [worker] = workers;
    if (!settings.hasPartitions || worker === undefined) return new Work([slot], keyText(change.key), 0, replayOf);
    try {
      const partition: unknown = worker.partitionOf(change);
      if (typeof partition === 'string' || typeof partition === 'number')
        return new Work([slot], partition, 0, replayOf);
      throw new InvalidArgumentError('the result of partitionBy', 'a string or a number', partition);
    } catch (error) {
      const work = new Work([slot], keyText(change.key), 0, replayOf);
      work.fault = { error };
      return work;
    }
  }

  // ---- how deliveries end

  acked(run: HandlerRun): void {
    this.#finish(run);
    const { work } = run;
    const { checks, lines, bytes } = run.transaction;
    const isPlain = checks.length === 0 && work.replayOf === undefined;
    const operations = isPlain ? lines : [...checks, ...lines, ...this.#unpark(work)];
    work.outcome = { operations, checks: checks.length, bytes, parked: undefined };
    this.#commits.add(work);
    this.dispatch();
  }

  failed(run: HandlerRun, error: unknown, delayMs: number | undefined): void {
    this.#finish(run);
    this.#attemptFailed(run.work, error, delayMs);
    this.dispatch();
  }

  terminated(run: HandlerRun, error: Error): void {
    this.#finish(run);
    const { work } = run;
    this.#noteFailure(work);
    this.#park(work, error);
    this.dispatch();
  }

  working(run: HandlerRun): void {
    this.#runs.extend(run);
  }

  faultOf(run: HandlerRun, error: unknown): void {
    run.worker.tell({ type: 'fault', error });
  }

  fault(error: unknown): void {
    this.#tellAll({ type: 'fault', error });
  }

  #finish(run: HandlerRun): void {
    run.end();
    run.worker.running -= 1;
    this.#runs.remove(run);
  }

  #tooLate(run: HandlerRun): void {
    const { name, settings } = this.#setup;
    this.#finish(run);
    run.transaction.discard();
    const error = new ConsumerError(name, `a delivery took longer than ${settings.ackWaitMs} ms (ackWaitMs).`);
    this.#attemptFailed(run.work, error);
  }

  #attemptFailed(work: Work, error: unknown, delayMs?: number): void {
    this.#noteFailure(work);
    const { attempts, sequence } = work;
    const { attemptsMax, backOffFirstMs, backOffLongestMs } = this.#setup.settings;
    const isLast = attempts >= attemptsMax;
    const full = Math.min(backOffLongestMs, backOffFirstMs * 2 ** Math.min(attempts - 1, 30));
    const retryInMs = isLast ? undefined : (delayMs ?? full / 2 + (full / 2) * this.#clock.random());
    if (retryInMs === undefined) this.#park(work, error);
    else this.#retries.add(work, retryInMs);
    work.worker?.tell({
      type: 'failedAttempt',
      sequence,
      changes: work.slots.length,
      attempt: attempts,
      error,
      retryInMs,
    });
  }

  #noteFailure(work: Work): void {
    work.attempts += 1;
    work.conflicts = 0;
    work.firstFailureMs ??= this.#clock.date().getTime();
    this.#lane.left(work);
  }

  /** The time for the next attempt has come. The last one is made change by change. */
  #tryAgain(work: Work): void {
    const isLast = work.attempts + 1 >= this.#setup.settings.attemptsMax;
    if (!isLast || !this.#queue.split(work)) this.#queue.again(work);
  }

  #park(work: Work, error: unknown): void {
    const { name } = this.#setup;
    const lastAtMs = this.#clock.date().getTime();
    const { replayOf, firstFailureMs = lastAtMs } = work;
    const attempts = work.attempts + (replayOf?.attempts ?? 0);
    const firstAtMs = replayOf?.firstAtMs ?? firstFailureMs;
    const description = describeError(error);
    let bytes = 0;
    const operations = work.slots.flatMap(({ change }) => {
      bytes += change.key.length + (change.type === 'set' ? change.value.length : 0);
      const id = deadLetterIdOf(change.sequence);
      return parkOperations(name, { id, change, error: description, attempts, firstAtMs, lastAtMs });
    });
    work.outcome = { operations, checks: 0, bytes, parked: { error } };
    if (work.isDropped) this.dropped(work);
    this.#commits.add(work);
  }

  #cannotPark(work: Work, cause: unknown): ConsumerError {
    const reason = `the dead letter of change ${work.sequence} cannot be stored. Seek behind it, to go on without it.`;
    return new ConsumerError(this.#setup.name, reason, { cause });
  }

  #unpark({ replayOf }: Work): WriteOperation[] {
    return replayOf === undefined ? [] : unparkOperations(this.#setup.name, replayOf.id);
  }

  // ---- dead letters that are tried again

  admitReplay(letter: DeadLetter): Work {
    const work = this.#workOf({ change: letter.change, state: 'open' }, letter);
    this.#queue.admitReplay(work);
    this.dispatch();
    return work;
  }

  /** It may be about to become a letter again. */
  dropped(work: Work): void {
    work.isDropped = true;
    if (work.outcome?.parked !== undefined) work.outcome = { ...work.outcome, operations: this.#unpark(work) };
  }

  // ---- what becomes of commits

  record(): ConsumerRecord {
    return { ...this.#progress.record(this.#isPaused), range: this.#setup.settings.range };
  }

  settled(works: readonly Work[], record: ConsumerRecord, commit: Commit): void {
    const { cursor, sequence } = record;
    const place = { cursor, sequence };
    this.#stored = record;
    if (commit.durability === 'synced') this.#setup.source.retain(this.#setup.name, place);
    else this.#unretained = place;
    if (works.length === 0) return;
    this.#progress.advance();
    this.#lastSettledMs = this.#clock.now();
    const done = new Map<Worker, number>();
    for (const work of works) {
      this.#queue.release(work);
      this.#lane.left(work);
      this.#replays.settled(work);
      const { worker, outcome } = work;
      if (worker === undefined) continue;
      if (outcome?.parked === undefined) done.set(worker, (done.get(worker) ?? 0) + work.slots.length);
      else if (!work.isDropped) this.#tellParked(work, worker, outcome.parked.error);
    }
    for (const [worker, changes] of done) worker.tell({ type: 'acked', changes, sequence, cursor });
    this.dispatch();
  }

  #tellParked(work: Work, worker: Worker, error: unknown): void {
    const attempts = work.attempts + (work.replayOf?.attempts ?? 0);
    for (const { change } of work.slots) {
      const { sequence } = change;
      worker.tell({ type: 'parked', id: deadLetterIdOf(sequence), sequence, attempts, error });
    }
  }

  conflicted(work: Work, error: ConflictError): void {
    work.outcome = undefined;
    work.conflicts += 1;
    work.worker?.tell({ type: 'conflict', sequence: work.sequence, key: error.key });
    if (work.conflicts > CONFLICTS_MAX) this.#attemptFailed(work, error);
    else this.#lane.add(work);
    this.dispatch();
  }

  refused(work: Work, error: unknown): void {
    if (work.outcome?.parked !== undefined) return this.#end({ error: this.#cannotPark(work, error) });
    work.outcome = undefined;
    work.isSolo = false;
    this.#attemptFailed(work, error);
    this.dispatch();
  }

  delayed(error: unknown, retryInMs: number): void {
    this.#tellAll({ type: 'commitDelayed', error, retryInMs });
  }

  broken(error: unknown): void {
    this.#end({ error });
  }

  // ---- from time to time

  #armTick(): void {
    const ms = Math.max(TICK_MS_MIN, Math.min(TICK_MS, this.#setup.settings.ackWaitMs));
    this.#cancelTick = this.#clock.setTimer(() => {
      if (this.#isOver) return;
      this.#tellIfStuck();
      this.#retainLater();
      void this.#catchUp().then(() => {
        const isFar = this.#progress.watermark.sequence - this.#stored.sequence >= UNSTORED_MAX;
        if (isFar && !this.#isOver) this.#storeRecord();
      });
      this.#armTick();
    }, ms);
  }

  #tellIfStuck(): void {
    const now = this.#clock.now();
    const forMs = now - this.#lastSettledMs;
    const inFlight = this.#runs.size;
    const ahead = this.#progress.size;
    const isFull = this.#freeWorker() === undefined || ahead >= this.#setup.settings.aheadMax;
    if (this.#isPaused || (inFlight === 0 && ahead === 0)) {
      this.#lastSettledMs = now; // idle is not stuck
    } else if (isFull && forMs >= this.#setup.settings.ackWaitMs) {
      this.#lastSettledMs = now;
      this.#tellAll({ type: 'windowStuck', inFlight, ahead, forMs });
    }
  }

  /** A record that is only buffered may be gone after a power cut, and the place before it is wanted again. */
  #retainLater(): void {
    if (this.#retainable !== undefined) this.#setup.source.retain(this.#setup.name, this.#retainable);
    this.#retainable = this.#unretained;
    this.#unretained = undefined;
  }

  /** Moves the watermark over what the range leaves out, while nothing else is known to be before it. */
  async #catchUp(): Promise<void> {
    if (this.#progress.size > 0) return;
    const place = await this.#reader.watermark();
    if (place !== undefined) this.#progress.adopt(place);
  }

  #storeRecord(): void {
    // Whoever waits for nothing hears of failures by events.
    this.#commits.writeRecord().catch(() => undefined);
  }

  #armIdleTimer(): void {
    const waitMs = this.#queue.waitMs(this.#clock.now());
    if (waitMs === undefined || this.#cancelIdleTimer !== undefined) return;
    this.#cancelIdleTimer = this.#clock.setTimer(() => {
      this.#cancelIdleTimer = undefined;
      this.dispatch();
    }, Math.ceil(waitMs));
  }

  #tellAll(event: ConsumerEvent): void {
    for (const worker of this.#setup.workers) worker.tell(event);
  }

  #end(failure: { readonly error: unknown } | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#setup.onEnd(failure?.error instanceof ClosedError ? undefined : failure);
  }
}
