/**
 * Reads history forward from a place, batch by batch, across segments; at the end of what may be seen it can be asked
 * again. Memory: one chunk of a log (256 KiB), and the record at hand.
 */
import * as E from 'fp-ts/lib/Either.js';
import { CorruptionError, HistoryGoneError } from '../../errors.ts';
import { checkBatch } from '../codec/write-batch.ts';
import type { ReadableFile } from '../file-system/file-system.ts';
import { type ReadOutcome, RecordReader } from '../wal/record-reader.ts';
import { ARCHIVE_DIRECTORY, segmentName } from './history-names.ts';
import type { LogArchive } from './log-archive.ts';
import type { SegmentIndexReader } from './segment-index.ts';
import type { Segment } from './segment.ts';

/** One batch, `bytes[start, end)`, valid only during the call. */
export interface HistoryBatch {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** Commit time, milliseconds since 1970. */
  readonly timeMs: number;
  /** Whether it is known what was committed together; not of changes that were taken from tables. */
  readonly hasBoundaries: boolean;
}

/** An empty batch with sequence number 0 begins a segment that was made from tables; marks have 1 or more. */
export const NO_BOUNDARIES_MARK = 0;

interface OpenSegment {
  readonly segment: Segment;
  readonly file: ReadableFile;
  readonly index: SegmentIndexReader | undefined;
  records: RecordReader;
  /** Where to go on, when more has been appended. */
  offset: number;
  hasBoundaries: boolean;
  /** What the index says begins at the place where reading began, until that was found to be so. */
  hint: number | undefined;
  /** What the next batch begins with, unless numbers are missing within the segment. */
  next: number;
  /** Whether it has been looked at again, at its end, without finding anything. */
  isExhausted: boolean;
}

export class HistoryReader {
  readonly #archive: LogArchive;
  #position: number;
  #open: OpenSegment | undefined;
  #isClosed = false;
  #isReading = false;

  /** @param position - the first sequence number that is wanted */
  constructor(archive: LogArchive, position: number) {
    this.#archive = archive;
    this.#position = position;
  }

  /** The next sequence number that is wanted: everything below was given, or does not exist. */
  get position(): number {
    return this.#position;
  }

  /**
   * Gives the batches from the position up to `bound` to `take`, until that says it has enough (`false`), or there are no
   * more: then the position is `bound + 1`. A batch that begins before the position is given whole.
   *
   * @param bound - a sequence number that has been published: all up to it is in the files, or was burnt
   * @throws HistoryGoneError, CorruptionError, IoError
   */
  async read(bound: number, take: (batch: HistoryBatch) => boolean): Promise<void> {
    this.#isReading = true;
    try {
      this.#open?.index?.refresh();
      while (this.#position <= bound && !this.#isClosed) {
        const open = await this.#segment();
        if (open === undefined) {
          this.#position = bound + 1; // numbers that nobody has
          return;
        }
        const answer = open.records.next();
        const outcome = answer instanceof Promise ? await answer : answer;
        if (outcome.type !== 'record') {
          if (open.hint === undefined) this.#lookAgain(open, outcome);
          else this.#ignoreIndex(open);
          continue;
        }
        const batch = checkBatch(outcome.bytes, 0, outcome.bytes.length);
        if (E.isLeft(batch)) throw damaged(open.segment, outcome.offset, batch.left.reason);
        const { sequence, count } = batch.right;
        if (open.hint !== undefined && count > 0) {
          if (sequence !== open.hint) {
            this.#ignoreIndex(open);
            continue;
          }
          open.hint = undefined;
          open.next = sequence;
        }
        if (count > 0 && !mayFollow(open, sequence)) {
          throw damaged(
            open.segment,
            outcome.offset,
            `change ${open.next} is missing, ${sequence} stands in its place`,
          );
        }
        if (sequence > bound && count > 0) {
          this.#position = bound + 1; // for the next time: the record is read again
          this.#rewind(open, outcome.offset);
          return;
        }
        open.offset = outcome.endOffset;
        open.isExhausted = false;
        if (count === 0 && sequence === NO_BOUNDARIES_MARK) open.hasBoundaries = false;
        const last = sequence + count - 1;
        if (count > 0) open.next = last + 1;
        if (count === 0 || last < this.#position) continue;
        const tick = open.index?.inForceAt(sequence);
        // Where the index of an earlier segment was lost, this one's may tell of times that went back.
        const tickMs = (tick instanceof Promise ? await tick : tick)?.timeMs ?? 0;
        const timeMs = Math.max(tickMs, open.segment.firstTimeMs);
        this.#position = last + 1;
        const { hasBoundaries } = open;
        if (!take({ bytes: outcome.bytes, start: 0, end: outcome.bytes.length, timeMs, hasBoundaries })) return;
      }
    } finally {
      this.#isReading = false;
      if (this.#isClosed) await this.#closeSegment();
    }
  }

  /** Lets go of the files; {@link read} opens them again. Idempotent. */
  async release(): Promise<void> {
    if (!this.#isReading) await this.#closeSegment();
  }

  /** A read under way ends soon. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.release();
  }

  /** The segment that holds the position, open; `undefined`: there is none, yet. */
  async #segment(): Promise<OpenSegment | undefined> {
    const open = this.#open;
    if (open !== undefined && this.#position <= open.segment.lastSequence) return open;
    const archive = this.#archive;
    if (this.#position < archive.start) throw new HistoryGoneError(this.#position, archive.start);
    const segment = archive.segmentAt(this.#position);
    if (segment === undefined || segment === open?.segment) return segment && open;
    await this.#closeSegment();
    this.#open = await this.#openAt(segment, this.#position);
    return this.#open;
  }

  async #openAt(segment: Segment, position: number): Promise<OpenSegment> {
    const file = await this.#archive.openSegment(segment);
    let index: SegmentIndexReader | undefined;
    try {
      index = await this.#archive.openIndex(segment);
      const tick = position > segment.firstSequence ? await index?.inForceAt(position) : undefined;
      const offset = tick?.offset ?? 0;
      return {
        segment,
        file,
        index,
        records: new RecordReader(file, segmentName(segment.fileNumber), offset),
        offset,
        hasBoundaries: true,
        hint: offset === 0 ? undefined : tick?.sequence,
        next: segment.firstSequence,
        isExhausted: false,
      };
    } catch (error) {
      await Promise.allSettled([file.close(), index?.close()]); // the first error says more
      throw error;
    }
  }

  /** The file ended, as it was when it was looked at, before what is known to be in it: it has grown since, or is damaged. */
  #lookAgain(open: OpenSegment, outcome: Exclude<ReadOutcome, { type: 'record' }>): void {
    if (open.isExhausted) {
      const reason = outcome.type === 'end' ? 'it ends before its last change' : outcome.reason;
      throw damaged(open.segment, outcome.offset, reason);
    }
    this.#rewind(open, open.offset);
    open.isExhausted = true;
  }

  /** The index does not fit the log (a crash came between the two): reads from the beginning. */
  #ignoreIndex(open: OpenSegment): void {
    open.hint = undefined;
    open.next = open.segment.firstSequence;
    this.#rewind(open, 0);
  }

  #rewind(open: OpenSegment, offset: number): void {
    open.records = new RecordReader(open.file, segmentName(open.segment.fileNumber), offset);
    open.offset = offset;
  }

  async #closeSegment(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await Promise.allSettled([open?.file.close(), open?.index?.close()]); // nothing was written, so nothing is lost
  }
}

/** Whether a batch is of this segment, and behind what was read of it: its bytes may be those of another one. */
function mayFollow({ segment, next }: OpenSegment, sequence: number): boolean {
  if (sequence === next) return true;
  const isBehind = sequence > next && next !== segment.firstSequence && sequence <= segment.lastSequence;
  return isBehind && segment.hasGaps === true;
}

const damaged = (segment: Segment, offset: number, reason: string): CorruptionError =>
  new CorruptionError(`${ARCHIVE_DIRECTORY}/${segmentName(segment.fileNumber)}`, offset, reason);
