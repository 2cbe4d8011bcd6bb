/** One write on its way: what the caller asked for, and who waits for the answer. */
import { InvalidArgumentError, KeyTooLargeError, OutOfRangeError, ValueTooLargeError } from '../errors.ts';
import type { Bytes, Commit, Durability, SequenceNumber, WriteOperation } from '../model.ts';
import { BATCH_HEADER_BYTES, byteLength, encodedOperationBytes } from '../storage/codec/write-batch.ts';
import type { Sink } from './operation.ts';

/** Longest key that is written. Over this it is more likely a mistake than a key. */
export const KEY_BYTES_MAX: number = 64 * 1024;
/** Longest value, and longest batch: the log's records are assembled in memory. */
export const VALUE_BYTES_MAX: number = 1024 ** 3;

/** Most operations of one batch: so that every batch fits into a memtable, whose overhead is per entry. */
export const BATCH_OPERATIONS_MAX: number = 2 ** 24;

/** What goes through the write pipeline. */
export class Write {
  readonly operations: readonly WriteOperation[];
  /** Encoded bytes, or slightly more: what the bounds of the queues count. */
  readonly bytes: number;
  readonly durability: Durability;
  readonly #sink: Sink<Commit>;
  /** Where it is: `'waiting'` can be cancelled, `'taken'` is in a group, `'done'` has its answer. */
  state: 'waiting' | 'taken' | 'cancelled' | 'done' = 'waiting';
  /** Sequence number of its last operation, once it has one. */
  sequence: SequenceNumber = 0;
  /** Told when the write has its answer, or needs none any more. */
  onSettled: (() => void) | undefined;

  constructor(operations: readonly WriteOperation[], bytes: number, durability: Durability, sink: Sink<Commit>) {
    this.operations = operations;
    this.bytes = bytes;
    this.durability = durability;
    this.#sink = sink;
  }

  /** Whether it is a barrier: no write at all, but a request to begin a new memtable before what comes after it. */
  get isBarrier(): boolean {
    return this.operations.length === 0;
  }

  /** Takes the write back, if no group has it yet. Later the outcome stands, and only nobody hears of it. */
  cancel(): void {
    if (this.state !== 'waiting') return;
    this.state = 'cancelled';
    this.onSettled?.();
  }

  acknowledge(durability: Durability): void {
    if (this.state === 'done') return;
    this.state = 'done';
    this.onSettled?.();
    this.#sink.succeed({ sequence: this.sequence, durability });
  }

  fail(error: unknown): void {
    if (this.state === 'done' || this.state === 'cancelled') return;
    this.state = 'done';
    this.onSettled?.();
    this.#sink.fail(error);
  }
}

/** Refuses, at the call, what is no key. Of any length: real LevelDB writes longer keys than we do, and they can be read. */
export function checkKey(key: unknown, name = 'key'): void {
  if (!isBytes(key)) throw new InvalidArgumentError(name, 'a string or a Uint8Array', key);
}

/** Refuses, at the call, what is no key to write; gives its length in bytes. */
function checkKeyToWrite(key: unknown, name = 'key'): number {
  const bytes = lengthOf(key, name);
  if (bytes > KEY_BYTES_MAX) throw new KeyTooLargeError(bytes, KEY_BYTES_MAX);
  return bytes;
}

function checkValue(value: unknown, name = 'value'): number {
  const bytes = lengthOf(value, name);
  if (bytes > VALUE_BYTES_MAX) throw new ValueTooLargeError('value', bytes, VALUE_BYTES_MAX);
  return bytes;
}

function lengthOf(data: unknown, name: string): number {
  if (isBytes(data)) return byteLength(data);
  throw new InvalidArgumentError(name, 'a string or a Uint8Array', data);
}

const isBytes = (data: unknown): data is Bytes => typeof data === 'string' || data instanceof Uint8Array;

/** Encoded bytes of one set. */
export const checkSet = (key: Bytes, value: Bytes): number =>
  BATCH_HEADER_BYTES + encodedOperationBytes(checkKeyToWrite(key), checkValue(value));

/** Encoded bytes of one delete. */
export const checkDelete = (key: Bytes): number => BATCH_HEADER_BYTES + encodedOperationBytes(checkKeyToWrite(key), -1);

/** A batch as the caller gave it, checked whole before anything of it is taken. */
export interface CheckedBatch {
  readonly operations: readonly WriteOperation[];
  readonly bytes: number;
}

/** Refuses the whole batch, at the call, for one wrong line of it. The list is copied: later changes to it do nothing. */
export function checkBatchOperations(given: readonly WriteOperation[]): CheckedBatch {
  if (!Array.isArray(given)) throw new InvalidArgumentError('batch', 'an array of operations', given);
  if (given.length > BATCH_OPERATIONS_MAX) {
    throw new OutOfRangeError('batch.length', `at most ${BATCH_OPERATIONS_MAX}`, given.length);
  }
  let bytes = BATCH_HEADER_BYTES;
  // A copy first: `map` would pass over the holes of a sparse array.
  const operations = [...(given as readonly WriteOperation[])].map((operation, index): WriteOperation => {
    const name = `batch[${index}]`;
    const given: unknown = operation;
    if (typeof given !== 'object' || given === null) throw new InvalidArgumentError(name, 'an operation', given);
    const { key } = operation;
    const type: unknown = operation.type;
    const keyBytes = checkKeyToWrite(key, `${name}.key`);
    if (operation.type === 'delete') {
      bytes += encodedOperationBytes(keyBytes, -1);
      return { type: 'delete', key };
    }
    if (type !== 'set') throw new InvalidArgumentError(`${name}.type`, "'set' or 'delete'", type);
    const { value } = operation;
    bytes += encodedOperationBytes(keyBytes, checkValue(value, `${name}.value`));
    return { type: 'set', key, value };
  });
  if (bytes > VALUE_BYTES_MAX) throw new ValueTooLargeError('batch', bytes, VALUE_BYTES_MAX);
  return { operations, bytes };
}
