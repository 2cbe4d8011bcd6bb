/**
 * The index of a segment: when its changes were committed, and where they stand in the log. A log has no times in it.
 *
 *     index := { tick }                     records framed as in a log, each with a checksum
 *     tick  := sequence (fixed64) | time in milliseconds since 1970 (fixed64) | offset in the log (fixed64)
 *
 * A tick says: the record at `offset` begins with operation `sequence`, and from there on changes were committed at `time`,
 * until the next tick. There is one at a segment's beginning, and one for the first group that comes 10 ms or more after
 * the one before; so a commit time is at most 10 ms early, and writing it costs the writer next to nothing.
 *
 * The index is not synced. What the power takes of it costs times their precision, and nothing else: a torn end of the
 * index is the end.
 */
import { readFixed64, writeFixed64 } from '../codec/fixed.ts';
import { Malformed } from '../codec/malformed.ts';
import type { ReadableFile, WritableFile } from '../file-system/file-system.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { RecordWriter } from '../wal/record-writer.ts';

/** Least time between two ticks, in milliseconds. */
export const TICK_MS = 10;
const TICK_BYTES = 24;

export interface Tick {
  readonly sequence: number;
  readonly timeMs: number;
  readonly offset: number;
}

export class SegmentIndexWriter {
  readonly #file: WritableFile;
  readonly #records = new RecordWriter();
  readonly #tick = new Uint8Array(TICK_BYTES);
  #isBroken = false;

  constructor(file: WritableFile) {
    this.#file = file;
  }

  /** Writes on the calling thread: 31 bytes. A failure is not told: the index may end anywhere. */
  add({ sequence, timeMs, offset }: Tick): void {
    if (this.#isBroken) return;
    writeFixed64(this.#tick, 0, sequence);
    writeFixed64(this.#tick, 8, timeMs);
    writeFixed64(this.#tick, 16, offset);
    this.#records.add(this.#tick, 0, TICK_BYTES);
    try {
      this.#file.appendNow(this.#records.staged());
      this.#records.clear();
    } catch {
      this.#isBroken = true; // what is behind half a tick cannot be read
    }
  }

  async close(): Promise<void> {
    this.#isBroken = true;
    await this.#file.close();
  }
}

/** Reads ticks in order. At the end of what there is it stays, until it is told to look again. */
export class SegmentIndexReader {
  readonly #file: ReadableFile;
  readonly #name: string;
  #records: RecordReader;
  #end = 0;
  #isAtEnd = false;
  /** The tick in force, and the one after it, which was read already. */
  #current: Tick | undefined;
  #next: Tick | undefined;

  constructor(file: ReadableFile, name: string) {
    this.#file = file;
    this.#name = name;
    this.#records = new RecordReader(file, name);
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
    if (this.#isAtEnd) return undefined;
    const outcome = await this.#records.next();
    const tick = outcome.type === 'record' ? decodeTick(outcome.bytes) : undefined;
    if (outcome.type !== 'record' || tick === undefined) this.#isAtEnd = true;
    else this.#end = outcome.endOffset;
    return tick;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function decodeTick(bytes: Uint8Array): Tick | undefined {
  if (bytes.length !== TICK_BYTES) return undefined;
  try {
    return { sequence: readFixed64(bytes, 0), timeMs: readFixed64(bytes, 8), offset: readFixed64(bytes, 16) };
  } catch (error) {
    if (error instanceof Malformed) return undefined; // a number that we never write
    throw error;
  }
}
