/** The nouns every room shares. Types only: no logic, no I/O, no RxJS. */

/** Position of an operation in the total order of all writes; 1 is the first. At most 2^53 - 1 (285 years at 1 M writes/s). */
export type SequenceNumber = number;

/** A key or value on its way in: bytes, or a string that is stored as UTF-8. */
export type Bytes = Uint8Array | string;

/**
 * What an acknowledgement promises. `'synced'`: the write survives the power going out. `'buffered'`: it survives the
 * process being killed, and reaches the disk within `syncIntervalMs`.
 */
export type Durability = 'synced' | 'buffered';

/** Gives `key` the value `value`. */
export interface SetOperation {
  readonly type: 'set';
  readonly key: Bytes;
  readonly value: Bytes;
}

/** Makes `key` absent; no error if it is so already. */
export interface DeleteOperation {
  readonly type: 'delete';
  readonly key: Bytes;
}

/**
 * A condition of a batch: if it does not hold when the batch's turn has come, nothing of the batch is written, and the
 * write fails with a `ConflictError`. All writes before it in the one order count, and no line of its own batch.
 */
export interface CheckOperation {
  readonly type: 'check';
  readonly key: Bytes;
  /** Sequence number of the set that gave the key its present value (`store.entry` has it); `'absent'`: it has none. */
  readonly sequence: SequenceNumber | 'absent';
}

/** One line of a batch. */
export type WriteOperation = SetOperation | DeleteOperation | CheckOperation;

/** The answer to a write. */
export interface Commit {
  /** Sequence number of the last operation of the write. */
  readonly sequence: SequenceNumber;
  /** What the write now is: at least what was asked for. */
  readonly durability: Durability;
}

/** A key and its value. The arrays are the caller's own; small ones share larger buffers, as Node's `Buffer` does. */
export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A value, and the sequence number of the set that gave it: what a `check` asks for. */
export interface VersionedValue {
  readonly value: Uint8Array;
  readonly sequence: SequenceNumber;
}

/**
 * A place in the change stream of one database: behind one change. Plain text, safe in a header or a URL; opaque but for
 * its beginning. Compare places by the changes' `sequence`.
 */
export type Cursor = `al1.${string}`;

interface ChangePlace {
  readonly key: Uint8Array;
  readonly sequence: SequenceNumber;
  /** Position in its batch, from 0. */
  readonly batchIndex: number;
  /** Operations in its batch, whether the stream asks for them or not; 0 where only the tables tell of the change. */
  readonly batchSize: number;
  /** When it was committed: milliseconds since 1970, at most 10 ms early, never going back. */
  readonly timeMs: number;
  /** The place behind it: a stream from here goes on with the next change. */
  readonly cursor: Cursor;
}

/** A key has a new value. */
export interface SetChange extends ChangePlace {
  readonly type: 'set';
  readonly value: Uint8Array;
}

/** A key was deleted. */
export interface DeleteChange extends ChangePlace {
  readonly type: 'delete';
}

/** An operation that was committed. Subscribers share it: its arrays must not be changed. */
export type Change = SetChange | DeleteChange;

/** Bounds of a range of keys. Absent: without bound. `gte` wins over `gt`, `lte` over `lt`, as in abstract-level. */
export interface KeyRange {
  readonly gt?: Bytes | undefined;
  readonly gte?: Bytes | undefined;
  readonly lt?: Bytes | undefined;
  readonly lte?: Bytes | undefined;
}

/** What a bounded buffer does with what comes when it is full; see `docs/architecture.md`, Back-pressure. */
export type OverflowPolicy = 'wait' | 'fail' | 'dropOldest' | 'dropNewest';

/** How table blocks are stored. LevelDB reads both. */
export type Compression = 'none' | 'snappy';
