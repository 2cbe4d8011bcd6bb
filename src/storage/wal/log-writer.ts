import { ClosedError } from '../../errors.ts';
import type { WritableFile } from '../file-system/file-system.ts';
import type { Step } from '../read/internal-iterator.ts';
import { RecordWriter } from './record-writer.ts';

export { encodeDurabilityMark } from './durability-mark.ts';

/** Up to here a write on this thread is cheaper than a round trip through the thread pool, and too short to be felt. */
const WRITE_NOW_BYTES_MAX = 262_144;

/** The room that is reserved first; each time it is used up, twice as much is. So a short log stays one. */
const RESERVE_BYTES_MIN = 1024;
/** Up to this part of the most that is reserved, a group is worth it: larger ones are content for the most part. */
const RESERVE_SHARE = 4;

/**
 * The live log: batches and marks are staged in memory, then written together, then synced, each at the caller's word.
 *
 * After a failed write a part of a record may be in the file, and after a failed sync nobody knows what is; so the first
 * failure breaks the writer for good. Every later call but {@link close} fails with the same error, and the file is sealed
 * by never being written to again.
 *
 * {@link reserve} keeps room for the next writes ready, as zeros behind the end: a sync then has no new size to write down.
 * Recovery, LevelDB's too, takes zeros up to the end of a log for its end.
 *
 * Writes must not overlap: while {@link flushStaged} is under way, neither it nor {@link stage} may be called. A sync may
 * run beside writes; it covers what was written before it was called.
 */
export class LogWriter {
  readonly fileNumber: number;
  readonly #file: WritableFile;
  readonly #records: RecordWriter = new RecordWriter();
  #bytesWritten = 0;
  #bytesSynced = 0;
  #reservedEnd = 0;
  /** Whether room was given back, and no sync has made that durable. */
  #isTrimmed = false;
  #reserveBytes: number;
  readonly #reserveBytesMax: number;
  #isWriting = false;
  #isClosed = false;
  /** What broke the writer, boxed: a file could fail with anything. */
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param file - new and empty
   * @param reserveBytesMax - how much room {@link reserve} makes at a time at most; 0: none
   */
  constructor(file: WritableFile, fileNumber: number, reserveBytesMax = 0) {
    this.#file = file;
    this.fileNumber = fileNumber;
    this.#reserveBytes = Math.min(RESERVE_BYTES_MIN, reserveBytesMax);
    this.#reserveBytesMax = reserveBytesMax;
  }

  /** Bytes in the file, as far as writes have succeeded. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Place in the file after what is staged. */
  get stagedEnd(): number {
    return this.#records.offset;
  }

  /** Whether bytes were written that no sync has covered. */
  get isDirty(): boolean {
    return this.#bytesWritten > this.#bytesSynced;
  }

  /** The error that broke the writer; `undefined` while it is sound. */
  get failure(): unknown {
    return this.#failure?.error;
  }

  /** Frames one batch or mark, `bytes[start, end)`, behind what is staged. It is copied; nothing reaches the file yet. */
  stage(bytes: Uint8Array, start: number, end: number): void {
    this.#assertWritable();
    this.#records.add(bytes, start, end);
  }

  /**
   * Writes what is staged: up to 256 KiB on this thread, done when it returns `undefined`; more, in the background.
   *
   * @throws (or rejects with) the file's IoError or NoSpaceError
   */
  flushStaged(): Step {
    this.#assertWritable();
    const bytes = this.#records.staged();
    if (bytes.length === 0) return undefined;
    if (bytes.length > WRITE_NOW_BYTES_MAX) return this.#writeInBackground(bytes);
    try {
      this.#file.appendNow(bytes);
    } catch (error) {
      throw this.#break(error);
    }
    this.#written();
    return undefined;
  }

  /**
   * After a write that is synced next: makes room for the writes to come, if there is none left, and if they are as small as
   * this one. Durable with that sync. Where it fails the log does without.
   *
   * @param writtenBytes - of the write
   */
  reserve(writtenBytes: number): void {
    if (this.#bytesWritten < this.#reservedEnd || this.#reserveBytes === 0) return;
    if (writtenBytes * RESERVE_SHARE > this.#reserveBytesMax) return;
    const bytes = Math.min(Math.max(this.#reserveBytes, RESERVE_SHARE * writtenBytes), this.#reserveBytesMax);
    this.#reservedEnd = this.#bytesWritten + bytes; // also if it fails: a part of it may be there, to be given back
    try {
      this.#file.reserveNow(bytes);
      this.#reserveBytes = Math.min(2 * bytes, this.#reserveBytesMax);
    } catch {
      this.#reserveBytes = 0; // a full disk, perhaps: what needs the room will tell
    }
  }

  /**
   * Gives back the room that was not used. A log that cannot be trimmed ends in zeros, and recovers as well.
   *
   * @returns whether there is none left; it may be tried again
   */
  async trim(): Promise<boolean> {
    if (this.#bytesWritten >= this.#reservedEnd || this.#failure !== undefined) return true;
    try {
      await this.#file.trim();
    } catch {
      return false;
    }
    this.#reservedEnd = 0;
    this.#isTrimmed = true;
    return true;
  }

  /**
   * Makes durable what was written before the call; what is only staged is not.
   *
   * @throws (rejects with) the file's IoError
   */
  async sync(): Promise<void> {
    this.#assertOpen();
    const bytes = this.#bytesWritten;
    if (bytes <= this.#bytesSynced && !this.#isTrimmed) return;
    this.#isTrimmed = false;
    try {
      await this.#file.sync();
    } catch (error) {
      throw this.#break(error);
    }
    this.#assertSound(); // another sync has failed meanwhile, and the kernel may have dropped what it could not write
    this.#bytesSynced = Math.max(this.#bytesSynced, bytes);
  }

  /** Closes the file, broken or not, without a sync; what is staged is lost. Idempotent. */
  async close(): Promise<void> {
    if (!this.#isClosed) await this.trim();
    this.#isClosed = true;
    await this.#file.close();
  }

  async #writeInBackground(bytes: Uint8Array): Promise<void> {
    this.#isWriting = true;
    try {
      await this.#file.append(bytes);
    } catch (error) {
      throw this.#break(error);
    } finally {
      this.#isWriting = false;
    }
    this.#written();
  }

  #written(): void {
    this.#records.clear();
    this.#bytesWritten = this.#records.offset;
  }

  #break(error: unknown): unknown {
    this.#failure ??= { error };
    return this.#failure.error;
  }

  #assertSound(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #assertOpen(): void {
    this.#assertSound();
    if (this.#isClosed) throw new ClosedError('log');
  }

  #assertWritable(): void {
    this.#assertOpen();
    if (this.#isWriting) throw new Error('the log is being written to: wait for flushStaged'); // a bug of the caller
  }
}
