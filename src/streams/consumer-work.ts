/** The nouns of a running consumer: changes that were read, and pieces of work that are made of them. */
import type { Change, WriteOperation } from '../model.ts';
import type { ConsumerEvent } from './consumer-events.ts';
import type { Delivery, Transaction } from './consumer-options.ts';
import type { DeadLetter } from './dead-letters.ts';

/** Where a change stands: open, in a commit that is under way, or settled for good. */
export type SlotState = 'open' | 'committing' | 'settled';

/** A change that was read. */
export interface Slot {
  readonly change: Change;
  state: SlotState;
}

/** What a piece of work leaves behind when it commits. */
export interface Outcome {
  /** Conditions first. */
  readonly operations: readonly WriteOperation[];
  /** How many of them are conditions. */
  readonly checks: number;
  /** Roughly, of keys and values. */
  readonly bytes: number;
  /** Dead letters it becomes, by error; `undefined`: it is done. */
  readonly parked: { readonly error: unknown } | undefined;
}

export type Partition = string | number;

/** What is delivered as one: a change, or a batch of them. */
export class Work {
  readonly slots: readonly Slot[];
  readonly partition: Partition;
  /** The dead letter that it is made of; the change is then behind the watermark already. */
  readonly replayOf: DeadLetter | undefined;
  /** What is wrong with it before any handler sees it. */
  fault: { readonly error: unknown } | undefined;
  /** Attempts that failed. */
  attempts: number;
  /** Commits in a row that somebody else's writes were in the way of. */
  conflicts = 0;
  /** Of its failed attempts, in milliseconds since 1970. */
  firstFailureMs: number | undefined;
  /** The next of its partition, which waits for it. */
  next: Work | undefined;
  /** The one that has it, or had it last. */
  worker: Worker | undefined;
  outcome: Outcome | undefined;
  /** A commit of it and others was refused: it is committed alone. */
  isSolo = false;
  /** Its dead letter was dropped while it was replayed. */
  isDropped = false;

  constructor(slots: readonly Slot[], partition: Partition, attempts = 0, replayOf?: DeadLetter) {
    this.slots = slots;
    this.partition = partition;
    this.attempts = attempts;
    this.replayOf = replayOf;
  }

  get sequence(): number {
    return this.slots[0]?.change.sequence ?? 0;
  }
}

/** One subscription of `run`: a handler, and who is told. */
export interface Worker {
  /** Calls the handler; gives what the handler gave. */
  handle(changes: readonly Change[], transaction: Transaction, delivery: Delivery): unknown;
  partitionOf(change: Change): Partition;
  tell(event: ConsumerEvent): void;
  complete(): void;
  fail(error: unknown): void;
  /** Deliveries that it has at work. */
  running: number;
}
