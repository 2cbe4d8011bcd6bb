/**
 * Makes the files of logs. What makes a file a log is its first mark: recovery knows our logs by it, and could not tell an
 * unsynced first batch with a hole in it from a damaged log of real LevelDB.
 *
 *   file ──> mark ──> synced ──> names synced, the second one in history too ──> may be written to
 */
import { IoError } from '../../errors.ts';
import { logName, pathOf } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import type { LiveSegment } from '../history/segment.ts';
import { encodeDurabilityMark, LogWriter } from './log-writer.ts';

/** Where logs go when recovery needs them no more, and what they need before: `history/log-archive.ts`. */
export interface LogArchivePort {
  readonly newestTimeMs: number;
  create(fileNumber: number): Promise<LiveSegment>;
  rewrite(segment: LiveSegment): Promise<void>;
  release(segment: LiveSegment): Promise<void>;
}

/** A log, and what of it counts. */
export interface LiveLog {
  readonly writer: LogWriter;
  readonly segment: LiveSegment;
}

export class LogMaker {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #allocateFileNumber: () => number;
  readonly #archive: LogArchivePort;
  readonly #reserveBytes: number;
  /** Path of a file that could not be made a log, and has yet to go. */
  #halfMade: string | undefined;

  constructor(
    fileSystem: FileSystem,
    directory: string,
    allocateFileNumber: () => number,
    archive: LogArchivePort,
    reserveBytes: number,
  ) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#allocateFileNumber = allocateFileNumber;
    this.#archive = archive;
    this.#reserveBytes = reserveBytes;
  }

  /**
   * A log with nothing in it but its mark, both durable. One call at a time.
   *
   * @param durableSequence - what the mark claims
   */
  async create(durableSequence: number): Promise<LiveLog> {
    await this.#removeHalfMade();
    const fileNumber = this.#allocateFileNumber();
    const path = pathOf(this.#directory, logName(fileNumber));
    const file = await this.#fileSystem.create(path);
    this.#halfMade = path; // not before: a file that was there is not ours to remove
    const writer = new LogWriter(file, fileNumber, this.#reserveBytes);
    try {
      const mark = encodeDurabilityMark(durableSequence + 1);
      writer.stage(mark, 0, mark.length);
      await writer.flushStaged();
      await writer.sync();
      this.#halfMade = undefined;
      await this.#fileSystem.syncDirectory(this.#directory);
      return { writer, segment: await this.#archive.create(fileNumber) };
    } catch (error) {
      await writer.close().catch(() => undefined); // the first error says more
      throw error;
    }
  }

  /**
   * A file that could not be made a log goes before another one comes, with whose name its absence becomes durable. Recovery
   * could not know that nothing was ever in it, and would end there, before the log that took its place. (Found by T14.)
   */
  async #removeHalfMade(): Promise<void> {
    if (this.#halfMade === undefined) return;
    await this.#fileSystem.remove(this.#halfMade).catch((error: unknown) => {
      if (!(error instanceof IoError && error.systemCode === 'ENOENT')) throw error;
    });
    this.#halfMade = undefined;
  }
}
