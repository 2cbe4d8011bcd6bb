/**
 * What every sorted source of entries looks like: memtable, block, table, level, and their merge.
 *
 * A cursor, not an ES iterator: the current entry is read from fields that the next step overwrites, so that a scan
 * allocates nothing per entry. Steps are synchronous while what they need is in memory; only a step that must read the
 * disk returns a promise, and then no other call may be made before it has resolved.
 */

/** `undefined`: done. A promise: done when it resolves; it rejects with an `EngineError`. */
export type Step = Promise<void> | undefined;

/** A tombstone: the key is absent from this sequence number on. LevelDB's kTypeDeletion. */
export const KIND_DELETE = 0 as const;
/** A value. LevelDB's kTypeValue. */
export const KIND_SET = 1 as const;
export type EntryKind = typeof KIND_DELETE | typeof KIND_SET;

/** Sequence number that sorts before every other one of the same user key: seeks with it find the newest entry. */
export const SEQUENCE_MAX: number = Number.MAX_SAFE_INTEGER;

export interface InternalIterator {
  /** Whether the cursor stands on an entry. All other fields are meaningful only then. */
  isValid: boolean;
  /** The user key is `keyBytes[keyStart, keyEnd)`. Valid until the next step. */
  keyBytes: Uint8Array;
  keyStart: number;
  keyEnd: number;
  sequence: number;
  kind: EntryKind;
  /** The value is `valueBytes[valueStart, valueEnd)`; empty for a tombstone. Valid until the next step. */
  valueBytes: Uint8Array;
  valueStart: number;
  valueEnd: number;

  seekToFirst(): Step;
  seekToLast(): Step;
  /** To the first entry at or after (user key, sequence) in internal key order: key ascending, then sequence descending. */
  seek(userKey: Uint8Array, sequence: number): Step;
  /** Only when valid. */
  next(): Step;
  /** Only when valid. */
  previous(): Step;
  /** Lets go of blocks, tables and files. Idempotent; the iterator must not be used after it. */
  close(): void;
}
