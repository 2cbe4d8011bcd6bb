/**
 * Writes a segment anew, with exactly the batches that count: of a log that a crash or a failed sync has left behind, or of
 * changes that only tables still have. What a crash has left in a file is not relied upon (rule R3): it is written again.
 *
 * Log and index are written aside, the log is synced, then both get their names. The caller makes the names durable.
 */
import { BATCH_HEADER_BYTES } from '../codec/write-batch.ts';
import { pathOf } from '../file-names.ts';
import type { FileSystem, WritableFile } from '../file-system/file-system.ts';
import type { Step } from '../read/internal-iterator.ts';
import { LogWriter } from '../wal/log-writer.ts';
import { indexName, segmentName, temporaryOf } from './history-names.ts';
import { SegmentIndexWriter } from './segment-index.ts';
import { LiveSegment } from './segment.ts';

/** Staged bytes at which they are written; small enough to be written on the calling thread. */
const STAGED_BYTES = 128 * 1024;

export class SegmentWriter {
  readonly #fileSystem: FileSystem;
  readonly #archive: string;
  readonly #log: LogWriter;
  readonly #index: SegmentIndexWriter;
  readonly segment: LiveSegment;
  readonly #hasBoundaries: boolean;

  private constructor(
    fileSystem: FileSystem,
    archive: string,
    log: LogWriter,
    index: SegmentIndexWriter,
    segment: LiveSegment,
    hasBoundaries: boolean,
  ) {
    this.#fileSystem = fileSystem;
    this.#archive = archive;
    this.#log = log;
    this.#index = index;
    this.segment = segment;
    this.#hasBoundaries = hasBoundaries;
    if (hasBoundaries) return;
    const mark = new Uint8Array(BATCH_HEADER_BYTES); // sequence number 0, no operations
    log.stage(mark, 0, mark.length);
  }

  /** @param hasBoundaries - whether each batch is what was committed together; false: nobody knows what was */
  static async begin(
    fileSystem: FileSystem,
    archive: string,
    fileNumber: number,
    hasBoundaries = true,
  ): Promise<SegmentWriter> {
    const create = async (name: string): Promise<WritableFile> => {
      const aside = pathOf(archive, temporaryOf(name));
      await fileSystem.remove(aside).catch(() => undefined); // of a crash
      return fileSystem.create(aside);
    };
    const index = new SegmentIndexWriter(await create(indexName(fileNumber)), fileNumber);
    try {
      const log = new LogWriter(await create(segmentName(fileNumber)), fileNumber);
      return new SegmentWriter(
        fileSystem,
        archive,
        log,
        index,
        new LiveSegment(fileNumber, true, index),
        hasBoundaries,
      );
    } catch (error) {
      await index.close().catch(() => undefined); // the first error says more
      throw error;
    }
  }

  /** Adds one batch, `bytes[start, end)`. Await the step before the next call. */
  add(bytes: Uint8Array, start: number, end: number, sequence: number, count: number, timeMs: number): Step {
    const log = this.#log;
    const offset = this.#hasBoundaries ? log.stagedEnd : 0; // else it is read from the mark on
    log.stage(bytes, start, end);
    this.segment.count(sequence, sequence + count - 1, offset, log.stagedEnd, timeMs);
    return log.stagedEnd - log.bytesWritten < STAGED_BYTES ? undefined : log.flushStaged();
  }

  /** Gives log and index their names, the log's content durable. */
  async finish(): Promise<void> {
    try {
      await this.#log.flushStaged();
      await this.#log.sync();
      await this.segment.seal();
    } finally {
      await this.#index.close().catch(() => undefined); // first: the other one may fail
      await this.#log.close();
    }
    for (const name of [indexName(this.#log.fileNumber), segmentName(this.#log.fileNumber)]) {
      await this.#fileSystem.rename(pathOf(this.#archive, temporaryOf(name)), pathOf(this.#archive, name));
    }
  }

  /** Gives up; what was written is removed. */
  async abandon(): Promise<void> {
    await this.#log.close().catch(() => undefined);
    await this.#index.close().catch(() => undefined);
    for (const name of [indexName(this.#log.fileNumber), segmentName(this.#log.fileNumber)]) {
      await this.#fileSystem.remove(pathOf(this.#archive, temporaryOf(name))).catch(() => undefined);
    }
  }
}
