/** What a running consumer tells; each worker hears of its own deliveries, and all of what concerns them all. */
import type { Cursor, SequenceNumber } from '../model.ts';

/** The handler is being called. */
export interface DeliveredEvent {
  readonly type: 'delivered';
  /** Of the first change. */
  readonly sequence: SequenceNumber;
  readonly changes: number;
  /** 1 for the first. */
  readonly attempt: number;
}

/** Deliveries are done: effects and position are committed, together. */
export interface AckedEvent {
  readonly type: 'acked';
  /** How many of this worker. */
  readonly changes: number;
  /** Progress of the whole consumer: everything up to here is settled ... */
  readonly sequence: SequenceNumber;
  /** ... and the place behind it. */
  readonly cursor: Cursor;
}

/** An attempt failed: the handler's error, its nack, or no end within `ackWaitMs`. */
export interface FailedAttemptEvent {
  readonly type: 'failedAttempt';
  readonly sequence: SequenceNumber;
  readonly changes: number;
  readonly attempt: number;
  readonly error: unknown;
  /** `undefined`: not at all, it is parked. */
  readonly retryInMs: number | undefined;
}

/** A change is a dead letter now; the others go on. */
export interface ParkedEvent {
  readonly type: 'parked';
  /** Of the dead letter. */
  readonly id: string;
  readonly sequence: SequenceNumber;
  readonly attempts: number;
  readonly error: unknown;
}

/** Somebody wrote what the handler had read: its effects are forgotten, and it is run again. Counts as no attempt. */
export interface ConflictEvent {
  readonly type: 'conflict';
  readonly sequence: SequenceNumber;
  readonly key: Uint8Array;
}

/** A commit failed for a reason that passes; it is tried again, and no handler is run again for it. */
export interface CommitDelayedEvent {
  readonly type: 'commitDelayed';
  readonly error: unknown;
  readonly retryInMs: number;
}

/** The in-flight window, or what may be read ahead, is full, and nothing was settled for `ackWaitMs`. */
export interface WindowStuckEvent {
  readonly type: 'windowStuck';
  /** Deliveries at work. */
  readonly inFlight: number;
  /** Changes that were read and are not settled. */
  readonly ahead: number;
  readonly forMs: number;
}

/** Something went wrong beside the deliveries: a teardown that threw, a dead letter that cannot be read. */
export interface FaultEvent {
  readonly type: 'fault';
  readonly error: unknown;
}

export type ConsumerEvent =
  | DeliveredEvent
  | AckedEvent
  | FailedAttemptEvent
  | ParkedEvent
  | ConflictEvent
  | CommitDelayedEvent
  | WindowStuckEvent
  | FaultEvent;
