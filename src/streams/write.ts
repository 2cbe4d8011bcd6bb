/** One write on its way: what the caller asked for, and who waits for the answer. */
import { InvalidArgumentError, KeyTooLargeError, OutOfRangeError, ValueTooLargeError } from '../errors.ts';
import type { Bytes, CheckOperation, Commit, Durability, SequenceNumber, WriteOperation } from '../model.ts';
import {
  BATCH_HEADER_BYTES,
  type BatchOperation,
  byteLength,
  encodedOperationBytes,
} from '../storage/codec/write-batch.ts';
import { isReserved, RESERVED_PREFIX } from '../storage/reserved.ts';
import type { IdempotencyLines } from './idempotency.ts';
import type { Sink } from './operation.ts';

/** Longest key that is written. Over this it is more likely a mistake than a key. */
export const KEY_BYTES_MAX: number = 64 * 1024;
/**
 * Longest key that is deleted, or asked about by a check: real LevelDB may have written longer ones than we do, and they must
 * be possible to get rid of. It takes any; over this one would fill tables, and an index, by itself.
 */
export const DELETED_KEY_BYTES_MAX: number = 16 * 1024 * 1024;
/** Longest value, and longest batch: the log's records are assembled in memory. */
export const VALUE_BYTES_MAX: number = 1024 ** 3;

/** Most operations of one batch: so that every batch fits into a memtable, whose overhead is per entry. */
export const BATCH_OPERATIONS_MAX: number = 2 ** 24;

/** What a write depends on. Most writes depend on nothing, and pay nothing for it. */
export interface WriteConditions {
  readonly checks: readonly CheckOperation[];
  /** What the checks count for in the queues; they are not encoded. */
  readonly checkBytes: number;
  /** The answer that it leaves behind, or that an earlier one has left for it. */
  readonly idempotency: IdempotencyLines | undefined;
}

const NO_CHECKS: readonly CheckOperation[] = [];

/** What goes through the write pipeline. */
export class Write {
  /** What is encoded: the caller's sets and deletes, and behind them the lines that an idempotent write adds. */
  readonly operations: readonly BatchOperation[];
  /** What the bounds of the queues count: the encoded bytes, and those of the checks. */
  readonly bytes: number;
  readonly conditions: WriteConditions | undefined;
  readonly durability: Durability;
  readonly #sink: Sink<Commit>;
  /** Where it is: `'waiting'` can be cancelled, `'taken'` is in a group, `'done'` has its answer. */
  state: 'waiting' | 'taken' | 'cancelled' | 'done' = 'waiting';
  /** Sequence number of its last operation, once it has one. */
  sequence: SequenceNumber = 0;
  /** Told when the write has its answer, or needs none any more. */
  onSettled: (() => void) | undefined;

  /** @param bytes - encoded bytes of the operations */
  constructor(
    operations: readonly BatchOperation[],
    bytes: number,
    durability: Durability,
    sink: Sink<Commit>,
    conditions?: WriteConditions,
  ) {
    const lines = conditions?.idempotency;
    this.operations = lines === undefined ? operations : operations.concat(lines.operations);
    this.bytes = bytes + (lines?.bytes ?? 0) + (conditions?.checkBytes ?? 0);
    this.conditions = conditions;
    this.durability = durability;
    this.#sink = sink;
  }

  /** What must hold for it to be written. */
  get checks(): readonly CheckOperation[] {
    return this.conditions?.checks ?? NO_CHECKS;
  }

  /** Bytes of its batch, if it has one. */
  get encodedBytes(): number {
    return this.bytes - (this.conditions?.checkBytes ?? 0);
  }

  /** Whether it is a barrier: no write at all, but a request to begin a new memtable before what comes after it. */
  get isBarrier(): boolean {
    return this.operations.length === 0 && this.conditions === undefined;
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

/**
 * Refuses, at the call, what is no key to write; gives its length in bytes.
 *
 * @param isInternal - for the engine's own parts, whose keys are the reserved ones
 */
function checkKeyToWrite(key: unknown, name = 'key', bytesMax = KEY_BYTES_MAX, isInternal = false): number {
  const bytes = lengthOf(key, name);
  if (bytes > bytesMax) throw new KeyTooLargeError(bytes, bytesMax);
  if (!isInternal && isReservedKey(key as Bytes)) {
    throw new InvalidArgumentError(
      name,
      `outside of "${RESERVED_PREFIX}", which is the store's own`,
      key,
      'one of its',
    );
  }
  return bytes;
}

/** The prefix is ASCII, so a string has it when its UTF-8 has. */
const isReservedKey = (key: Bytes): boolean =>
  typeof key === 'string' ? key.startsWith(RESERVED_PREFIX) : isReserved(key, 0, key.length);

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
export const checkDelete = (key: Bytes): number =>
  BATCH_HEADER_BYTES + encodedOperationBytes(checkKeyToWrite(key, 'key', DELETED_KEY_BYTES_MAX), -1);

/** A batch as the caller gave it, checked whole before anything of it is taken. */
export interface CheckedBatch {
  readonly operations: readonly BatchOperation[];
  /** Encoded bytes of the operations. */
  readonly bytes: number;
  readonly checks: readonly CheckOperation[];
  readonly checkBytes: number;
}

/** Who gives a batch. */
export interface BatchOrigin {
  /** One of the engine's own parts: it may write reserved keys, which users may not. Default false. */
  readonly isInternal?: boolean;
}

/** Refuses the whole batch, at the call, for one wrong line of it. The list is copied: later changes to it do nothing. */
export function checkBatchOperations(
  given: readonly WriteOperation[],
  { isInternal = false }: BatchOrigin = {},
): CheckedBatch {
  if (!Array.isArray(given)) throw new InvalidArgumentError('batch', 'an array of operations', given);
  if (given.length > BATCH_OPERATIONS_MAX) {
    throw new OutOfRangeError('batch.length', `at most ${BATCH_OPERATIONS_MAX}`, given.length);
  }
  const operations: BatchOperation[] = [];
  const checks: CheckOperation[] = [];
  const lines = given as readonly WriteOperation[];
  let bytes = BATCH_HEADER_BYTES;
  let checkBytes = 0;
  // By index, to meet the holes of a sparse array.
  for (let index = 0; index < lines.length; index += 1) {
    const name = `batch[${index}]`;
    const operation = lineOf(lines[index], name);
    const { type, key } = operation;
    const keyBytesMax = type === 'set' ? KEY_BYTES_MAX : DELETED_KEY_BYTES_MAX;
    const keyBytes = checkKeyToWrite(key, `${name}.key`, keyBytesMax, isInternal);
    if (type === 'delete') {
      bytes += encodedOperationBytes(keyBytes, -1);
      operations.push({ type, key });
    } else if (type === 'set') {
      const { value } = operation;
      bytes += encodedOperationBytes(keyBytes, checkValue(value, `${name}.value`));
      operations.push({ type, key, value });
    } else {
      const { sequence } = operation;
      checkExpected(sequence, `${name}.sequence`);
      checkBytes += encodedOperationBytes(keyBytes, -1);
      // A copy: what a check asks about is looked up long before it is judged.
      checks.push({ type, key: typeof key === 'string' ? key : Uint8Array.from(key), sequence });
    }
  }
  if (bytes + checkBytes > VALUE_BYTES_MAX) throw new ValueTooLargeError('batch', bytes + checkBytes, VALUE_BYTES_MAX);
  return { operations, bytes, checks, checkBytes };
}

function lineOf(given: WriteOperation | undefined, name: string): WriteOperation {
  const line: unknown = given; // the compiler knows; a plain-JavaScript caller may not
  if (typeof line !== 'object' || line === null) throw new InvalidArgumentError(name, 'an operation', line);
  const type: unknown = given?.type;
  if (type !== 'set' && type !== 'delete' && type !== 'check') {
    throw new InvalidArgumentError(`${name}.type`, "'set', 'delete' or 'check'", type);
  }
  return given as WriteOperation;
}

/** Refuses what no key can ever have as its sequence number. */
function checkExpected(sequence: unknown, name: string): void {
  if (sequence === 'absent') return;
  if (typeof sequence !== 'number') throw new InvalidArgumentError(name, "a sequence number or 'absent'", sequence);
  if (!Number.isSafeInteger(sequence) || sequence < 0) {
    throw new OutOfRangeError(name, "a whole number from 0, or 'absent'", sequence);
  }
}
