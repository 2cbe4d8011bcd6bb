/**
 * The group commit of a consumer: one commit at a time, and while it is under way the next one gathers all that is done.
 *
 * ```text
 *   batch := conditions and lines of delivery 1 ... of delivery n, then the consumer's position behind them
 * ```
 *
 * - A delivery that read what an earlier one of the same batch writes would not see that write, and its condition, which
 *   asks for the state before the batch, would hold all the same: an update would be lost. So it is left out, and run
 *   again when the batch is in.
 * - **Conflict**: the deliveries whose condition did not hold are run again; the others commit without them.
 * - **Refused for good** (a line too large): each of the batch commits alone, and so the one at fault is found.
 * - **Refused for now** (the log is being mended, the disk is full): tried again with back-off. No handler runs again.
 */
import { BufferOverflowError, ClosedError, ConflictError, IoError, NoSpaceError, ReadOnlyError } from '../errors.ts';
import type { CheckOperation, Commit, Durability, WriteOperation } from '../model.ts';
import { compareBytes } from '../storage/codec/compare.ts';
import { backOffMs, type Clock } from './clock.ts';
import { type ConsumerRecord, encodeRecord, recordKeyOf } from './consumer-record.ts';
import type { ConsumerStorePort } from './consumer-source.ts';
import type { Outcome, SlotState, Work } from './consumer-work.ts';
import { toBytes } from './key-buffer.ts';
import { keyText } from './key-text.ts';

/** Hears what became of what was done. */
export interface CommitHost {
  /** The record that is true once the slots that are `'committing'` are settled. */
  record(): ConsumerRecord;
  settled(works: readonly Work[], record: ConsumerRecord, commit: Commit): void;
  /** To be run again: somebody wrote what it read. */
  conflicted(work: Work, error: ConflictError): void;
  /** The store never takes it. */
  refused(work: Work, error: unknown): void;
  delayed(error: unknown, retryInMs: number): void;
  /** No commit succeeds any more. */
  broken(error: unknown): void;
}

/** Lines after which a batch is closed; a delivery that has more is committed alone. */
const BATCH_LINES_MAX = 65_536;
/** ... and bytes of keys and values. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024;

/** Somebody who waits for the record to be written. */
interface RecordWaiter {
  readonly succeed: () => void;
  readonly fail: (error: unknown) => void;
}

export class ConsumerCommits {
  readonly #store: ConsumerStorePort;
  readonly #clock: Clock;
  readonly #host: CommitHost;
  readonly #recordKey: string;
  readonly #durability: Durability;
  #ready: Work[] = [];
  #waiters: RecordWaiter[] = [];
  /** A commit is under way, or waits for its microtask or its next try. */
  #isBusy = false;
  #isStopping = false;
  #failure: { readonly error: unknown } | undefined;
  #tries = 0;
  #cancelTimer: (() => void) | undefined;
  #onIdle: (() => void) | undefined;

  constructor(consumer: string, store: ConsumerStorePort, durability: Durability, host: CommitHost) {
    this.#store = store;
    this.#clock = store.clock;
    this.#recordKey = recordKeyOf(consumer);
    this.#durability = durability;
    this.#host = host;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Takes work that has its outcome. */
  add(work: Work): void {
    this.#ready.push(work);
    this.#soon();
  }

  /** Writes the record, with whatever is done. */
  async writeRecord(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    await new Promise<void>((succeed, fail) => {
      this.#waiters.push({ succeed, fail });
      this.#soon();
    });
  }

  /** Commits what is done, once, and resolves when nothing is under way. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#cancelTimer !== undefined) {
      this.#cancelTimer();
      this.#cancelTimer = undefined;
      this.#commit();
    }
    if (!this.#isBusy) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #soon(): void {
    if (this.#isBusy || this.#failure !== undefined) return;
    if (this.#ready.length === 0 && this.#waiters.length === 0) return;
    this.#isBusy = true;
    // After a microtask: what completes in the same turn comes along.
    this.#clock.afterMicrotask(() => this.#commit());
  }

  #commit(): void {
    const { group, held } = this.#gather();
    const waiters = this.#waiters;
    this.#waiters = [];
    const operations: WriteOperation[] = [];
    for (const work of group) for (const operation of outcomeOf(work).operations) operations.push(operation);
    setState(group, 'committing');
    const record = this.#host.record();
    operations.push({ type: 'set', key: this.#recordKey, value: encodeRecord(record) });
    this.#submit(operations).then(
      (commit) => this.#onCommitted(group, held, waiters, record, commit),
      (error: unknown) => this.#onRefused(group, held, waiters, error),
    );
  }

  /** What the store refuses at the call is a refusal like others. */
  async #submit(operations: readonly WriteOperation[]): Promise<Commit> {
    return await this.#store.commit(operations, this.#durability);
  }

  #onCommitted(
    group: Work[],
    held: readonly Held[],
    waiters: readonly RecordWaiter[],
    record: ConsumerRecord,
    commit: Commit,
  ): void {
    this.#tries = 0;
    setState(group, 'settled');
    this.#host.settled(group, record, commit);
    for (const { work, error } of held) this.#host.conflicted(work, error);
    for (const waiter of waiters) waiter.succeed();
    this.#next();
  }

  #onRefused(group: Work[], held: readonly Held[], waiters: RecordWaiter[], error: unknown): void {
    setState(group, 'open');
    this.#waiters = waiters.concat(this.#waiters);
    const before = group.concat(held.map(({ work }) => work));
    if (error instanceof ConflictError) {
      const conflicting = new Set(group.filter((work) => hasFailedCheck(work, error)));
      if (conflicting.size === 0) return this.#fail(error); // nobody asked for that key
      this.#ready = before.filter((work) => !conflicting.has(work)).concat(this.#ready);
      for (const work of conflicting) this.#host.conflicted(work, error);
      return this.#next();
    }
    const isForNow = isPassing(error);
    if (error instanceof ClosedError || (isForNow && this.#isStopping)) return this.#fail(error);
    const [first] = group;
    if (!isForNow && group.length === 1 && first !== undefined) {
      this.#ready = before.slice(1).concat(this.#ready);
      this.#host.refused(first, error);
      return this.#next();
    }
    this.#ready = before.concat(this.#ready);
    if (isForNow) return this.#retry(error);
    if (first === undefined) return this.#fail(error); // nothing but the record, and that is refused
    for (const work of group) work.isSolo = true;
    this.#next();
  }

  #retry(error: unknown): void {
    const retryInMs = backOffMs(this.#clock, this.#tries);
    this.#tries += 1;
    this.#host.delayed(error, retryInMs);
    this.#cancelTimer = this.#clock.setTimer(() => {
      this.#cancelTimer = undefined;
      this.#commit();
    }, retryInMs);
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#ready = [];
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.fail(error);
    if (!this.#isStopping) this.#host.broken(error);
    this.#next();
  }

  #next(): void {
    this.#isBusy = false;
    this.#soon();
    if (!this.isBusy) this.#onIdle?.();
  }

  /** What the next batch is made of, in the order in which it was done. */
  #gather(): { readonly group: Work[]; readonly held: readonly Held[] } {
    const ready = this.#ready;
    const group: Work[] = [];
    const held: Held[] = [];
    let lines = 0;
    let bytes = 0;
    // Only where something reads need anybody know what is written.
    const written = ready.some((work) => outcomeOf(work).checks > 0) ? new Set<string>() : undefined;
    let index = 0;
    for (; index < ready.length; index += 1) {
      const work = ready[index] as Work;
      const outcome = outcomeOf(work);
      if (index > 0 && (work.isSolo || ready[0]?.isSolo === true)) break;
      if (index > 0 && (lines + outcome.operations.length > BATCH_LINES_MAX || bytes + outcome.bytes > BATCH_BYTES_MAX))
        break;
      const conflict = written === undefined ? undefined : conflictWith(written, outcome);
      if (conflict !== undefined) {
        held.push({ work, error: conflict });
        continue;
      }
      group.push(work);
      lines += outcome.operations.length;
      bytes += outcome.bytes;
      if (written !== undefined) addWritten(written, outcome);
    }
    this.#ready = index === ready.length ? [] : ready.slice(index);
    return { group, held };
  }
}

/** Work that read what an earlier one of the batch writes. */
interface Held {
  readonly work: Work;
  readonly error: ConflictError;
}

const outcomeOf = (work: Work): Outcome => {
  if (work.outcome === undefined) throw new Error('work without an outcome was to be committed');
  return work.outcome;
};

function setState(works: readonly Work[], state: SlotState): void {
  for (const work of works) for (const slot of work.slots) slot.state = state;
}

function conflictWith(written: ReadonlySet<string>, { operations, checks }: Outcome): ConflictError | undefined {
  for (let index = 0; index < checks; index += 1) {
    const check = operations[index] as CheckOperation;
    const key = toBytes(check.key);
    if (written.has(keyText(key))) return new ConflictError(key, check.sequence, 'absent');
  }
  return undefined;
}

function addWritten(written: Set<string>, { operations, checks }: Outcome): void {
  for (let index = checks; index < operations.length; index += 1) {
    written.add(keyText(toBytes((operations[index] as WriteOperation).key)));
  }
}

function hasFailedCheck(work: Work, { key, actual }: ConflictError): boolean {
  const { operations, checks } = outcomeOf(work);
  for (let index = 0; index < checks; index += 1) {
    const check = operations[index] as CheckOperation;
    if (check.sequence === actual) continue;
    const checked = toBytes(check.key);
    if (compareBytes(checked, 0, checked.length, key, 0, key.length) === 0) return true;
  }
  return false;
}

const isPassing = (error: unknown): boolean =>
  error instanceof IoError ||
  error instanceof NoSpaceError ||
  error instanceof ReadOnlyError ||
  error instanceof BufferOverflowError;
