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

/** One line of a batch. */
export type WriteOperation = SetOperation | DeleteOperation;

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

/** Bounds of a range of keys. Absent: without bound. `gt` wins over `gte`, `lt` over `lte`, as in abstract-level. */
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
