/**
 * The index of a segment: when its changes were committed, and where they stand in the log. A log has no times in it.
 *
 *     index  := { tick | claim | seal }     records framed as in a log, each with a checksum
 *     tick   := head | sequence (fixed64) | time in milliseconds since 1970 (fixed64) | offset in the log (fixed64)
 *     claim  := head | sequence (fixed64)
 *     seal   := head | sequence (fixed64) | bytes (fixed64)
 *     head   := number of the log, its lowest 32 bits (fixed32) | ff ff ff ff
 *
 * After a power cut the blocks of a file may show what was in those of another one that was removed: whole records, with right
 * checksums. So each says which log it speaks of; and none can be read as a write batch, whose sequence number would be too
 * high. (Found by T2.)
 *
 * A tick says: the record at `offset` begins with operation `sequence`, and from there on changes were committed at `time`,
 * until the next tick. There is one at a segment's beginning, and one for the first group that comes 10 ms or more after
 * the one before; so a commit time is at most 10 ms early, and writing it costs the writer next to nothing.
 *
 * A claim says: when this was written, every operation up to `sequence` was durable. It is what the marks in the log cannot
 * say of the end of the log, since they stand in it: a log that has lost its end, or is gone, is told by its index. A seal
 * says what the log held when it was complete: up to operation `sequence`, in so many bytes.
 *
 * The index is not synced before it is sealed. What the power takes of it costs times their precision, and claims that
 * nobody can hold against a damaged log; nothing else: a torn end of the index is the end.
 */
import { readFixed32, readFixed64, writeFixed32, writeFixed64 } from '../codec/fixed.ts';
import { Malformed } from '../codec/malformed.ts';
import type { ReadableFile, WritableFile } from '../file-system/file-system.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { RecordWriter } from '../wal/record-writer.ts';

/** Least time between two ticks, in milliseconds. */
export const TICK_MS = 10;
const HEAD_BYTES = 8;
const TICK_BYTES = HEAD_BYTES + 24;
const CLAIM_BYTES = HEAD_BYTES + 8;
const SEAL_BYTES = HEAD_BYTES + 16;
const NO_SEQUENCE = 0xffff_ffff;

export interface Tick {
  readonly sequence: number;
  readonly timeMs: number;
  readonly offset: number;
}

/** What an index says of its log, beside times. */
export interface IndexClaims {
  /** The first operation in the log, if its index tells of any. */
  readonly first: number | undefined;
  /** Up to here everything was durable, in this log or before it; 0: nothing is said. */
  readonly durable: number;
  /** The last operation of a complete log; 0: nothing is said. */
  readonly sealed: number;
}

export class SegmentIndexWriter {
  readonly #file: WritableFile;
  readonly #records = new RecordWriter();
  readonly #line = new Uint8Array(TICK_BYTES);
  #isBroken = false;
  #isClosed = false;

  /** @param log - number of the log that it is of */
  constructor(file: WritableFile, log: number) {
    this.#file = file;
    writeFixed32(this.#line, 0, log);
    writeFixed32(this.#line, 4, NO_SEQUENCE);
  }

  /** Writes on the calling thread: 39 bytes. A failure is not told: the index may end anywhere. */
  add({ sequence, timeMs, offset }: Tick): void {
    this.#write(TICK_BYTES, sequence, timeMs, offset);
  }

  /** Everything up to `sequence` is durable. The same: what cannot be said is not said. */
  claim(sequence: number): void {
    this.#write(CLAIM_BYTES, sequence, 0, 0);
  }

  /** The log is complete, and durable; and so is the index on return, if it could be written. */
  async seal(sequence: number, bytes: number): Promise<void> {
    if (this.#isClosed) return;
    this.#write(SEAL_BYTES, sequence, bytes, 0);
    await this.#file.sync().catch(() => undefined);
  }

  #write(length: number, first: number, second: number, third: number): void {
    if (this.#isBroken) return;
    writeFixed64(this.#line, HEAD_BYTES, first);
    writeFixed64(this.#line, HEAD_BYTES + 8, second);
    writeFixed64(this.#line, HEAD_BYTES + 16, third);
    this.#records.add(this.#line, 0, length);
    try {
      this.#file.appendNow(this.#records.staged());
      this.#records.clear();
    } catch {
      this.#isBroken = true; // what is behind half a tick cannot be read
    }
  }

  async close(): Promise<void> {
    this.#isBroken = true;
    this.#isClosed = true;
    await this.#file.close();
  }
}

/** Reads ticks in order. At the end of what there is it stays, until it is told to look again. */
export class SegmentIndexReader {
  readonly #file: ReadableFile;
  readonly #name: string;
  readonly #log: number;
  #records: RecordReader;
  #end = 0;
  #isAtEnd = false;
  /** The tick in force, and the one after it, which was read already. */
  #current: Tick | undefined;
  #next: Tick | undefined;

  /** @param log - number of the log that it is of */
  constructor(file: ReadableFile, name: string, log: number) {
    this.#file = file;
    this.#name = name;
    this.#log = log;
    this.#records = new RecordReader(file, name);
  }

  /** Where what was read ends: all before it is of this index. */
  get endOffset(): number {
    return this.#end;
  }

  /** More may have been appended since the end was reached. */
  refresh(): void {
    if (!this.#isAtEnd) return;
    this.#isAtEnd = false;
    this.#records = new RecordReader(this.#file, this.#name, this.#end);
  }

  /** The tick in force at `sequence`; without a promise while memory tells. `undefined`: there is none so early. */
  inForceAt(sequence: number): Tick | undefined | Promise<Tick | undefined> {
    const next = this.#next;
    if (next === undefined ? this.#isAtEnd : next.sequence > sequence) return this.#current;
    return this.#advanceTo(sequence);
  }

  /** The next tick at or behind a time; `undefined`: there is none. */
  async firstAtOrAfter(timeMs: number): Promise<Tick | undefined> {
    for (;;) {
      const tick = await this.#read();
      if (tick === undefined || tick.timeMs >= timeMs) return tick;
    }
  }

  async #advanceTo(sequence: number): Promise<Tick | undefined> {
    for (;;) {
      this.#next ??= await this.#read();
      if (this.#next === undefined || this.#next.sequence > sequence) return this.#current;
      this.#current = this.#next;
      this.#next = undefined;
    }
  }

  async #read(): Promise<Tick | undefined> {
    while (!this.#isAtEnd) {
      const outcome = await this.#records.next();
      const numbers = outcome.type === 'record' ? decodeNumbers(outcome.bytes, this.#log) : undefined;
      if (outcome.type !== 'record' || numbers === undefined) break;
      this.#end = outcome.endOffset;
      const [sequence, timeMs, offset] = numbers;
      if (sequence !== undefined && timeMs !== undefined && offset !== undefined) return { sequence, timeMs, offset };
    }
    this.#isAtEnd = true;
    return undefined;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Reads all of it; the caller closes the file. */
export async function readClaims(file: ReadableFile, name: string, log: number): Promise<IndexClaims> {
  const records = new RecordReader(file, name);
  let first: number | undefined;
  let [durable, sealed] = [0, 0];
  for (;;) {
    const outcome = await records.next();
    const numbers = outcome.type === 'record' ? decodeNumbers(outcome.bytes, log) : undefined;
    if (outcome.type !== 'record' || numbers === undefined) return { first, durable, sealed };
    const [sequence = 0] = numbers;
    if (outcome.bytes.length === TICK_BYTES) first ??= sequence;
    if (outcome.bytes.length === CLAIM_BYTES) durable = Math.max(durable, sequence);
    if (outcome.bytes.length === SEAL_BYTES) sealed = sequence;
  }
}

/** One to three numbers; `undefined` for what we never write into the index of this log. */
function decodeNumbers(bytes: Uint8Array, log: number): readonly number[] | undefined {
  if (bytes.length !== TICK_BYTES && bytes.length !== CLAIM_BYTES && bytes.length !== SEAL_BYTES) return undefined;
  if (readFixed32(bytes, 0) !== log % 2 ** 32 || readFixed32(bytes, 4) !== NO_SEQUENCE) return undefined;
  try {
    const numbers: number[] = [];
    for (let offset = HEAD_BYTES; offset < bytes.length; offset += 8) numbers.push(readFixed64(bytes, offset));
    return numbers;
  } catch (error) {
    if (error instanceof Malformed) return undefined; // a number that we never write
    throw error;
  }
}
