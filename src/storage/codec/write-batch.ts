/**
 * LevelDB's write batch: the unit that is applied whole or not at all. One log record holds one batch.
 *
 *     batch  := sequence (fixed64) | count (fixed32) | { operation }     count operations, and nothing behind them
 *     operation := 0x01 | string key | string value                      set
 *                | 0x00 | string key                                     delete
 *     string := varint32 length | bytes
 *
 * Operation i of a batch has the sequence number `sequence + i`. A batch of no operations is legal, and uses up none.
 *
 * Source: LevelDB db/write_batch.cc. Unlike LevelDB, which applies the operations before a bad one, we check a batch from
 * end to end ({@link checkBatch}) before anything of it is applied.
 */
import * as E from 'fp-ts/lib/Either.js';
import { type EntryKind, KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../read/internal-iterator.ts';
import { readFixed32, readFixed64, writeFixed32, writeFixed64 } from './fixed.ts';
import { Malformed } from './malformed.ts';
import { SHORT_TEXT_LENGTH_MAX, utf8Length, writeShortAscii, writeUtf8 } from './utf8.ts';
import { type ByteCursor, readVarint32, varintLength, VARINT32_BYTES_MAX, writeVarint } from './varint.ts';

/** Sequence and count. */
export const BATCH_HEADER_BYTES = 12;

const COUNT_OFFSET = 8;
const CAPACITY_BYTES_MIN = 4096;
/** {@link BatchBuffer.reset} keeps memory up to here: one large batch must not hold its memory for ever. */
const KEPT_BYTES_MAX: number = 2 * 1024 * 1024;
/** Up to here a loop copies faster than `set` does. */
const LOOP_BYTES_MAX = 48;

/** Sets a key; strings stand for their UTF-8. */
export interface SetOperation {
  readonly type: 'set';
  readonly key: Uint8Array | string;
  readonly value: Uint8Array | string;
}

/** Deletes a key; one that is absent, too. */
export interface DeleteOperation {
  readonly type: 'delete';
  readonly key: Uint8Array | string;
}

/** A user's operation, checked: what streams hand to storage. */
export type BatchOperation = SetOperation | DeleteOperation;

/** How many bytes a key or value takes; for a string, in UTF-8. */
export function byteLength(data: Uint8Array | string): number {
  return typeof data === 'string' ? utf8Length(data) : data.length;
}

/**
 * How many bytes one operation takes in a batch, without the batch's header. Exact.
 *
 * @param valueBytes - length of the value, or -1 for a delete
 */
export function encodedOperationBytes(keyBytes: number, valueBytes: number): number {
  const keyed = 1 + varintLength(keyBytes) + keyBytes;
  return valueBytes < 0 ? keyed : keyed + varintLength(valueBytes) + valueBytes;
}

/**
 * Memory that batches are encoded into, one after the other, and that is used again for the next group of them. It grows
 * as needed; who feeds it bounds it.
 */
export class BatchBuffer {
  #bytes: Uint8Array = new Uint8Array(CAPACITY_BYTES_MIN);
  /** The same memory, for writing strings. Not what is given out: a `Buffer` has a `slice` that does not copy. */
  #memory: Buffer = Buffer.from(this.#bytes.buffer);
  #length = 0;
  /** Where the batch being encoded has got to. `#length` follows at its end, so that a failure leaves no half batch. */
  #offset = 0;

  /** The memory; batches are in `[0, length)`. The next append may replace it, and after `reset` it is overwritten. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** End of the last batch. */
  get length(): number {
    return this.#length;
  }

  /** Forgets the batches from `length` on. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** Forgets all batches. Memory is kept up to 2 MiB: a group with a value of 1 MiB is a little more than that. */
  reset(): void {
    this.#length = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#replaceMemory(new Uint8Array(CAPACITY_BYTES_MIN));
  }

  /**
   * Encodes one batch.
   *
   * @param sequence - of its first operation, in [0, 2^53 - 1]; the last one's must be in that range too
   * @returns where the batch starts; it ends at `length`
   * @throws RangeError when memory for it cannot be had; the buffer is then as it was before
   */
  append(sequence: number, operations: readonly BatchOperation[]): number {
    this.#begin(sequence, operations.length);
    for (const operation of operations) {
      if (operation.type === 'set') {
        this.#writeString(KIND_SET, operation.key);
        this.#writeString(-1, operation.value);
      } else {
        this.#writeString(KIND_DELETE, operation.key);
      }
    }
    return this.#commit();
  }

  /** {@link append} of a single set. */
  appendSet(sequence: number, key: Uint8Array | string, value: Uint8Array | string): number {
    this.#begin(sequence, 1);
    this.#writeString(KIND_SET, key);
    this.#writeString(-1, value);
    return this.#commit();
  }

  /** {@link append} of a single delete. */
  appendDelete(sequence: number, key: Uint8Array | string): number {
    this.#begin(sequence, 1);
    this.#writeString(KIND_DELETE, key);
    return this.#commit();
  }

  #begin(sequence: number, count: number): void {
    this.#offset = this.#length;
    this.#makeRoom(BATCH_HEADER_BYTES);
    writeFixed64(this.#bytes, this.#offset, sequence);
    writeFixed32(this.#bytes, this.#offset + COUNT_OFFSET, count);
    this.#offset += BATCH_HEADER_BYTES;
  }

  #commit(): number {
    const start = this.#length;
    this.#length = this.#offset;
    return start;
  }

  /** Writes an operation's tag, unless it is -1, and a string behind its length. */
  #writeString(tag: EntryKind | -1, data: Uint8Array | string): void {
    const isShortText = typeof data === 'string' && data.length <= SHORT_TEXT_LENGTH_MAX;
    const length = isShortText ? data.length : byteLength(data);
    this.#makeRoom(1 + VARINT32_BYTES_MAX + length);
    if (tag !== -1) this.#bytes[this.#offset++] = tag;
    if (isShortText) {
      this.#writeShortText(data, length);
      return;
    }
    const offset = writeVarint(this.#bytes, this.#offset, length);
    if (typeof data === 'string') writeUtf8(this.#memory, offset, data, length);
    else copyBytes(data, this.#bytes, offset);
    this.#offset = offset + length;
  }

  /** Takes the text for ASCII, whose length needs no counting, and starts over if it is not. */
  #writeShortText(text: string, length: number): void {
    if (writeShortAscii(this.#bytes, this.#offset + 1, text)) {
      this.#bytes[this.#offset] = length;
      this.#offset += 1 + length;
      return;
    }
    const utf8Bytes = utf8Length(text);
    this.#makeRoom(VARINT32_BYTES_MAX + utf8Bytes);
    const offset = writeVarint(this.#bytes, this.#offset, utf8Bytes);
    writeUtf8(this.#memory, offset, text, utf8Bytes);
    this.#offset = offset + utf8Bytes;
  }

  #makeRoom(bytesMax: number): void {
    const needed = this.#offset + bytesMax;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#offset));
    this.#replaceMemory(larger);
  }

  #replaceMemory(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#memory = Buffer.from(bytes.buffer);
  }
}

function copyBytes(from: Uint8Array, into: Uint8Array, offset: number): void {
  if (from.length > LOOP_BYTES_MAX) {
    into.set(from, offset);
    return;
  }
  for (let index = 0; index < from.length; index += 1) into[offset + index] = from[index] as number;
}

/**
 * Cursor over the operations of one batch that is known to be well-formed: ours, or one that {@link checkBatch} has
 * passed. Made once and {@link reset} for each batch; steps allocate nothing. The fields are of the current operation,
 * and meaningful only after `next()` has returned true.
 */
export class BatchReader {
  /** Sequence number of the current operation. */
  sequence = 0;
  /** Operations in the whole batch. */
  count = 0;
  kind: EntryKind = KIND_DELETE;
  keyStart = 0;
  keyEnd = 0;
  /** For a delete, an empty value right behind the key. */
  valueStart = 0;
  valueEnd = 0;

  readonly #cursor: { bytes: Uint8Array; offset: number; end: number } = {
    bytes: new Uint8Array(0),
    offset: 0,
    end: 0,
  };
  #left = 0;

  /** Goes before the first operation of the batch in `bytes[start, end)`. */
  reset(bytes: Uint8Array, start: number, end: number): void {
    this.sequence = readFixed64(bytes, start) - 1;
    this.count = readFixed32(bytes, start + COUNT_OFFSET);
    this.#left = this.count;
    this.#cursor.bytes = bytes;
    this.#cursor.offset = start + BATCH_HEADER_BYTES;
    this.#cursor.end = end;
  }

  /** Goes to the next operation; false when there is none. */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    this.sequence += 1;
    const cursor = this.#cursor;
    this.kind = cursor.bytes[cursor.offset] === KIND_SET ? KIND_SET : KIND_DELETE;
    cursor.offset += 1;
    const keyBytes = readVarint32(cursor);
    this.keyStart = cursor.offset;
    this.keyEnd = cursor.offset += keyBytes;
    const valueBytes = this.kind === KIND_SET ? readVarint32(cursor) : 0;
    this.valueStart = cursor.offset;
    this.valueEnd = cursor.offset += valueBytes;
    return true;
  }
}

/** What is wrong with a batch, and the index in `bytes` of the first byte that is. */
export interface BatchFault {
  readonly reason: string;
  readonly offset: number;
}

/** A batch's header. */
export interface BatchHeader {
  /** Sequence number of the first operation. */
  readonly sequence: number;
  readonly count: number;
}

/**
 * Checks the batch in `bytes[start, end)` from end to end: tags, lengths, count, and that no sequence number is over
 * 2^53 - 1. Nothing of a batch may be applied before this.
 */
export function checkBatch(bytes: Uint8Array, start: number, end: number): E.Either<BatchFault, BatchHeader> {
  if (end - start < BATCH_HEADER_BYTES) {
    return fault(`a write batch of ${end - start} bytes has no room for its header`, start);
  }
  try {
    const sequence = readFixed64(bytes, start);
    const count = readFixed32(bytes, start + COUNT_OFFSET);
    if (sequence + Math.max(count - 1, 0) > SEQUENCE_MAX) {
      return fault('the sequence numbers of a write batch exceed 2^53 - 1', start);
    }
    const found = countOperations({ bytes, offset: start + BATCH_HEADER_BYTES, end });
    if (found !== count) {
      return fault(`a write batch announces ${count} operations, and holds ${found}`, start + COUNT_OFFSET);
    }
    return E.right({ sequence, count });
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown; // a bug of ours, not bad bytes
    return fault(thrown.message, thrown.offset);
  }
}

function countOperations(cursor: ByteCursor): number {
  let count = 0;
  while (cursor.offset < cursor.end) {
    const tag = cursor.bytes[cursor.offset] as number;
    if (tag !== KIND_SET && tag !== KIND_DELETE) {
      throw new Malformed(`operation ${count} of a write batch is of unknown kind ${tag}`, cursor.offset);
    }
    cursor.offset += 1;
    skipString(cursor);
    if (tag === KIND_SET) skipString(cursor);
    count += 1;
  }
  return count;
}

function skipString(cursor: ByteCursor): void {
  const lengthOffset = cursor.offset;
  const length = readVarint32(cursor);
  if (length > cursor.end - cursor.offset)
    throw new Malformed('a key or value of a write batch is cut short', lengthOffset);
  cursor.offset += length;
}

function fault(reason: string, offset: number): E.Either<BatchFault, never> {
  return E.left({ reason, offset });
}
