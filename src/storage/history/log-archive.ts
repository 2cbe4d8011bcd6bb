/**
 * History: the logs that are kept, in the order of the changes in them.
 *
 *      sealed   sealed   sealed | live  live  live
 *      ^ start                  | (retired, active, prepared)
 *
 * A log gets its second name here, by a hard link, before it is used; so what is written to it is history without another
 * write, and LevelDB, which removes the first name after its flush, leaves the second one alone. Where there are no hard
 * links, a log moves here when LevelDB's format needs it no more.
 *
 * What is sealed is synced, and every record in it counts: `recover-history.ts` and {@link LogArchive.rewrite} see to it.
 */
import { CorruptionError, HistoryGoneError, IoError } from '../../errors.ts';
import { BatchReader } from '../codec/write-batch.ts';
import { logName, pathOf } from '../file-names.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { NO_LINKS } from '../file-system/no-links.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { indexName, segmentName } from './history-names.ts';
import { type EpochEnd, type HistoryLoss, type SegmentInfo, writeHistoryState } from './history-state.ts';
import { SegmentIndexReader, SegmentIndexWriter } from './segment-index.ts';
import { SegmentWriter } from './segment-writer.ts';
import { LiveSegment, type Segment, segmentInfo } from './segment.ts';

/** Segments sealed before the state is written again: what the next open may have to read at most. */
const SEGMENTS_PER_STATE = 64;

/** What may be kept. */
export interface RetentionLimits {
  /** Bytes of sealed segments beyond which the oldest go that no consumer needs. */
  readonly bytesMax: number;
  /** What was committed before this time goes, if no consumer needs it: milliseconds since 1970. */
  readonly timeMin: number;
  /** Bytes beyond which the oldest go, whoever needs them. */
  readonly hardBytesMax: number;
  /** The first sequence number that a consumer has not settled; `Infinity`: there is none. */
  readonly neededFrom: number;
}

/** History as it was at one moment. */
export interface ArchiveMoment {
  readonly databaseId: string;
  readonly epoch: number;
  readonly epochEnds: readonly EpochEnd[];
  readonly start: number;
  /** Complete and synced, ascending. Retention may take the files away at any time, the oldest first. */
  readonly segments: readonly Segment[];
}

/** What is known of history when it is opened. */
export interface ArchiveParts {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  /** `archive/<id>` in the directory. */
  readonly path: string;
  readonly databaseId: string;
  readonly epoch: number;
  readonly epochEnds: readonly EpochEnd[];
  readonly start: number;
  /** The last sequence number that was given out or burnt before this opening. */
  readonly end: number;
  readonly segments: readonly SegmentInfo[];
  /** Logs of segments that are not here yet: {@link LogArchive.moveLeft}. */
  readonly left?: ReadonlySet<number> | undefined;
}

export class LogArchive {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #path: string;
  readonly databaseId: string;
  readonly epoch: number;
  readonly #epochEnds: EpochEnd[];
  readonly #sealed: Segment[];
  readonly #live: LiveSegment[] = [];
  /** What history has no more, and the disk still has. */
  #gone: Segment[] = [];
  readonly #end: number;
  #start: number;
  #sealedBytes: number;
  #sinceState = 0;
  /** Told when changes are lost that should have been kept. */
  onLoss: ((loss: HistoryLoss, cause: CorruptionError) => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(parts: ArchiveParts) {
    this.#fileSystem = parts.fileSystem;
    this.#directory = parts.directory;
    this.#path = parts.path;
    this.databaseId = parts.databaseId;
    this.epoch = parts.epoch;
    this.#epochEnds = [...parts.epochEnds];
    this.#sealed = parts.segments.map((segment) => ({
      ...segment,
      isLinked: parts.left?.has(segment.fileNumber) !== true,
    }));
    this.#start = parts.start;
    this.#end = parts.end;
    this.#sealedBytes = this.#sealed.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** History is complete from this sequence number on. */
  get start(): number {
    return this.#start;
  }

  /** Whether all that was counted is in sealed segments. */
  get isSealed(): boolean {
    return this.#live.every((segment) => segment.isEmpty);
  }

  /** Bytes of the segments whose logs are in tables. */
  get sealedBytes(): number {
    return this.#sealedBytes;
  }

  /** Commit time of the newest change in what is sealed; 0: there is none. */
  get newestTimeMs(): number {
    return this.#sealed.at(-1)?.lastTimeMs ?? 0;
  }

  /** Commit time of the oldest change there is, if there is one. */
  get oldestTimeMs(): number | undefined {
    return this.#all().find((segment) => segment.lastSequence > 0)?.firstTimeMs;
  }

  /** The last sequence number of an earlier epoch that survived it; `undefined` when that epoch is not known any more. */
  epochEnd(epoch: number): number | undefined {
    return this.#epochEnds.find((end) => end.epoch === epoch)?.lastSequence;
  }

  /** Numbers between the end of one epoch and the first change of the next were burnt, and are nobody's. */
  get epochEnds(): readonly EpochEnd[] {
    return this.#epochEnds;
  }

  /** A log was created: gives it its second name, durably, and an index. */
  async create(fileNumber: number): Promise<LiveSegment> {
    const isLinked = await this.#link(fileNumber);
    const index = await this.#fileSystem.create(pathOf(this.#path, indexName(fileNumber)));
    try {
      await this.#fileSystem.syncDirectory(this.#path);
    } catch (error) {
      await index.close().catch(() => undefined); // the first error says more
      throw error;
    }
    const segment = new LiveSegment(fileNumber, isLinked, new SegmentIndexWriter(index, fileNumber));
    this.#live.push(segment);
    return segment;
  }

  /**
   * Moves here what an earlier session has left among the logs; once the MANIFEST surely does not need them there.
   *
   * @throws IoError
   */
  async moveLeft(): Promise<void> {
    let isMoved = false;
    for (const [index, segment] of this.#sealed.entries()) {
      if (segment.isLinked) continue;
      const name = logName(segment.fileNumber);
      await this.#fileSystem.rename(pathOf(this.#directory, name), pathOf(this.#path, segmentName(segment.fileNumber)));
      this.#sealed[index] = { ...segment, isLinked: true };
      isMoved = true;
    }
    if (isMoved) await this.#fileSystem.syncDirectory(this.#path);
  }

  async #link(fileNumber: number): Promise<boolean> {
    try {
      await this.#fileSystem.link(
        pathOf(this.#directory, logName(fileNumber)),
        pathOf(this.#path, segmentName(fileNumber)),
      );
      return true;
    } catch (error) {
      if (error instanceof IoError && NO_LINKS.has(error.systemCode)) return false;
      throw error;
    }
  }

  /**
   * The log is of no use to recovery any more: its first name goes. It was sealed before: synced, or rewritten. What was
   * never written to goes altogether. One call at a time, the oldest first.
   */
  async release(segment: LiveSegment): Promise<void> {
    const isKept = !segment.isEmpty && segment.lastSequence >= this.#start;
    // At once: a reader that looks for it must find it in one place or the other.
    this.#live.splice(this.#live.indexOf(segment), 1);
    if (isKept) {
      this.#sealed.push(segment);
      this.#sealedBytes += segment.bytes;
      this.#sinceState += 1;
    }
    await segment.closeIndex();
    const name = pathOf(this.#directory, logName(segment.fileNumber));
    // What fails here, the next open does.
    if (segment.isLinked || !isKept) await this.#fileSystem.remove(name).catch(() => undefined);
    else await this.#moveHere(segment, name);
    if (segment.isEmpty) await this.#remove(segment);
    // It is gone, from before or since a moment ago: as in `#removeGone`, first the state says so.
    else if (segment.lastSequence < this.#start) {
      await this.#persist().then(
        () => this.#remove(segment),
        () => undefined,
      );
    }
    if (this.#sinceState >= SEGMENTS_PER_STATE) await this.#persist().catch(() => undefined);
  }

  async #moveHere(segment: LiveSegment, name: string): Promise<void> {
    const move = this.#fileSystem.rename(name, pathOf(this.#path, segmentName(segment.fileNumber)));
    segment.isLinked = await move.then(
      () => true,
      () => false,
    );
  }

  /**
   * A write or sync of the log has failed: writes again what counts of it, so that what does not count is gone, and what
   * does is on the disk.
   *
   * @throws IoError or NoSpaceError
   */
  async rewrite(segment: LiveSegment): Promise<void> {
    if (segment.isRewritten) return;
    if (segment.isEmpty) return this.#forget(segment);
    try {
      await this.#writeAgain(segment);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      await this.#lose(segment, error);
    }
  }

  /** Nothing in it counts, and the next open must not find it here. */
  async #forget(segment: LiveSegment): Promise<void> {
    await segment.closeIndex();
    for (const name of [segmentName(segment.fileNumber), indexName(segment.fileNumber)]) {
      await this.#fileSystem.remove(pathOf(this.#path, name)).catch(throwUnlessMissing);
    }
    await this.#fileSystem.syncDirectory(this.#path);
    segment.isRewritten = true;
  }

  async #writeAgain(segment: LiveSegment): Promise<void> {
    const writer = await SegmentWriter.begin(this.#fileSystem, this.#path, segment.fileNumber);
    let log: ReadableFile | undefined;
    let index: SegmentIndexReader | undefined;
    try {
      log = await this.openSegment(segment);
      index = await this.openIndex(segment);
      const name = logName(segment.fileNumber);
      const records = new RecordReader(log, name);
      const batch = new BatchReader();
      for (let last = 0; last < segment.lastSequence;) {
        const outcome = await records.next();
        if (outcome.type !== 'record') throw new CorruptionError(name, outcome.offset, 'what was written is not there');
        batch.reset(outcome.bytes, 0, outcome.bytes.length);
        if (batch.count === 0) continue;
        const sequence = batch.sequence + 1;
        last = sequence + batch.count - 1;
        const tick = await index?.inForceAt(sequence);
        const timeMs = tick?.timeMs ?? segment.firstTimeMs;
        await writer.add(outcome.bytes, 0, outcome.bytes.length, sequence, batch.count, timeMs);
      }
      await segment.closeIndex();
      await writer.finish();
      await this.#fileSystem.syncDirectory(this.#path);
      segment.rewritten(writer.segment.bytes);
    } catch (error) {
      await writer.abandon();
      throw error;
    } finally {
      await Promise.allSettled([log?.close(), index?.close()]); // nothing was written to them
    }
  }

  /**
   * What cannot be read back of a failed log is lost to history, which begins anew behind it: written down before the log
   * goes.
   */
  async #lose(segment: Segment, cause: CorruptionError): Promise<void> {
    const { firstSequence, lastSequence } = segment;
    if (this.#start <= lastSequence) {
      this.#start = lastSequence + 1;
      this.#gone.push(...this.#sealed.splice(0));
      this.#sealedBytes = 0;
      this.onLoss?.({ firstSequence, lastSequence, reason: 'damage' }, cause);
    }
    await this.#removeGone();
  }

  /** What is sealed, and what only waits to be: the logs below the MANIFEST's log number. */
  moment(logNumber: number): ArchiveMoment {
    const { databaseId, epoch } = this;
    const segments = this.#all()
      .filter(({ fileNumber, lastSequence }) => lastSequence > 0 && this.#isSealed(fileNumber, logNumber))
      .map((segment): Segment => ({ ...segmentInfo(segment), isLinked: segment.isLinked }));
    return { databaseId, epoch, epochEnds: [...this.#epochEnds], start: this.#start, segments };
  }

  #isSealed(fileNumber: number, logNumber: number): boolean {
    return fileNumber < logNumber || this.#sealed.some((segment) => segment.fileNumber === fileNumber);
  }

  /** The first segment that holds `sequence` or something behind it; `undefined`: nothing was counted behind it. */
  segmentAt(sequence: number): Segment | undefined {
    let low = 0;
    let high = this.#sealed.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sealed[middle] as Segment).lastSequence < sequence) low = middle + 1;
      else high = middle;
    }
    return this.#sealed[low] ?? this.#live.find((segment) => segment.lastSequence >= sequence);
  }

  /** The first segment with a change at or behind the time. */
  segmentAtTime(timeMs: number): Segment | undefined {
    return this.#all().find((segment) => segment.lastSequence > 0 && segment.lastTimeMs >= timeMs);
  }

  /** @throws HistoryGoneError when it has been removed */
  async openSegment(segment: Segment): Promise<ReadableFile> {
    const archived = pathOf(this.#path, segmentName(segment.fileNumber));
    if (!segment.isLinked) {
      const file = await this.#openIfThere(pathOf(this.#directory, logName(segment.fileNumber)));
      if (file !== undefined) return file; // else it has just been sealed, and moved
    }
    const file = await this.#openIfThere(archived);
    if (file !== undefined) return file;
    throw new HistoryGoneError(segment.firstSequence, Math.max(this.#start, segment.lastSequence + 1));
  }

  async openIndex(segment: Segment): Promise<SegmentIndexReader | undefined> {
    const name = indexName(segment.fileNumber);
    const file = await this.#openIfThere(pathOf(this.#path, name));
    return file === undefined ? undefined : new SegmentIndexReader(file, name, segment.fileNumber);
  }

  async #openIfThere(path: string): Promise<ReadableFile | undefined> {
    try {
      return await this.#fileSystem.openForRead(path);
    } catch (error) {
      if (error instanceof IoError && error.systemCode === 'ENOENT') return undefined;
      throw error;
    }
  }

  /**
   * Removes the oldest sealed segments, as the limits say.
   *
   * @returns how many went; the last sequence number that is gone is below {@link start}
   * @throws IoError or NoSpaceError; the next call tries again
   */
  async prune(limits: RetentionLimits): Promise<number> {
    let removed = 0;
    for (let oldest = this.#sealed[0]; oldest !== undefined; oldest = this.#sealed[0]) {
      const isUnneeded = oldest.lastSequence < limits.neededFrom;
      const isOver = this.#sealedBytes > limits.bytesMax || oldest.lastTimeMs < limits.timeMin;
      if (!(isUnneeded && isOver) && this.#sealedBytes <= limits.hardBytesMax) break;
      this.#sealed.shift();
      this.#gone.push(oldest);
      this.#sealedBytes -= oldest.bytes;
      this.#start = Math.max(this.#start, oldest.lastSequence + 1);
      removed += 1;
    }
    if (this.#gone.length > 0) await this.#removeGone();
    return removed;
  }

  /** First the state says that they are gone: a segment that is missing otherwise is damage. */
  async #removeGone(): Promise<void> {
    const gone = [...this.#gone];
    await this.#persist();
    this.#gone = this.#gone.filter((segment) => !gone.includes(segment));
    for (const segment of gone) await this.#remove(segment);
  }

  async #remove({ fileNumber, isLinked }: Segment): Promise<void> {
    const paths = [segmentName(fileNumber), indexName(fileNumber)].map((name) => pathOf(this.#path, name));
    if (!isLinked) paths.push(pathOf(this.#directory, logName(fileNumber)));
    for (const path of paths) await this.#fileSystem.remove(path).catch(() => undefined); // the next open does it
  }

  /** While changes are written, the state tells of what is sealed; the next open finds the others. */
  #persist(): Promise<void> {
    return this.persist(this.#end, false);
  }

  /** @param end - the last sequence number that was given out or burnt */
  persist(end: number, isClean: boolean): Promise<void> {
    this.#sinceState = 0;
    const { epoch, start } = this;
    const epochEnds = [...this.#epochEnds];
    const segments = this.#sealed.map(segmentInfo);
    const state = { epoch, epochEnds, start, end, isClean, segments };
    const written = this.#writing.then(() => writeHistoryState(this.#fileSystem, this.#path, state));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Waits for what is being written. The log closes what is live. */
  async close(): Promise<void> {
    await this.#writing;
  }

  #all(): Segment[] {
    return [...this.#sealed, ...this.#live];
  }
}

function throwUnlessMissing(error: unknown): void {
  if (!(error instanceof IoError && error.systemCode === 'ENOENT')) throw error;
}
