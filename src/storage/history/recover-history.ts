/**
 * Opening history, beside the opening of the tree (`open-tree.ts` calls the steps):
 *
 *   1  begin    what the state and the directory say; who had the database open last
 *   2  batch    every batch that recovery takes out of a log is written again, into the archive: a log that a crash has
 *               left behind may end in what does not count, and nobody knows how much of it is on the disk
 *   3  finish   what is missing in between, if another program wrote: taken out of tables, or told as lost
 *
 * Who had it open last? The MANIFEST names the log that its last program began. If that log begins with a durability
 * mark and has an index here, we did. LevelDB always begins a log of its own.
 */
import { CorruptionError } from '../../errors.ts';
import { BATCH_HEADER_BYTES } from '../codec/write-batch.ts';
import { logName, pathOf } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import { refuseLink } from '../file-system/own-directory.ts';
import { SEQUENCE_MAX, type Step } from '../read/internal-iterator.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { findSegments, type FoundSegments } from './find-segments.ts';
import { archivePath, indexName, parseArchiveName } from './history-names.ts';
import {
  type EpochEnd,
  type HistoryLoss,
  type HistoryState,
  readHistoryState,
  type SegmentInfo,
} from './history-state.ts';
import { LogArchive } from './log-archive.ts';
import { SegmentWriter } from './segment-writer.ts';
import { openIfThere, TimesOfOldLogs } from './times-of-old-logs.ts';

/**
 * Numbers left out after a store was not closed cleanly: none that was given out, and lost, is given out again for other
 * data. More cannot be lost: what is not synced is in memtables, of which there are at most 18 of 1 GiB, with entries of
 * more than 18 bytes.
 */
export const BURNT_SEQUENCES: number = 2 ** 30;
/** Epochs that are remembered: a cursor of an older one is taken for one of a dropped epoch. */
const EPOCHS_MAX = 1024;

export interface HistoryOpenParts {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly databaseId: string;
  /** Whether the identity was made just now. */
  readonly isNew: boolean;
  /** The log that the MANIFEST names, and the names in the directory. */
  readonly logNumber: number;
  readonly names: readonly string[];
  /** The MANIFEST's last sequence number. */
  readonly tablesLast: number;
  /** Milliseconds since 1970: the commit time of what no index tells of. */
  readonly nowMs: number;
  readonly salvage: boolean;
}

/** Gives the operations in [first, last] out of tables, one batch each, if all of them are still there. */
export type RebuildFromTables = (
  firstSequence: number,
  lastSequence: number,
  newestKnownFile: number,
) => Promise<readonly Uint8Array[] | undefined>;

export class HistoryOpening {
  readonly #parts: HistoryOpenParts;
  readonly #path: string;
  readonly #state: HistoryState | undefined;
  readonly #wasOurs: boolean;
  /** Segments from before the replayed logs, and those written again. */
  #segments: readonly SegmentInfo[];
  readonly #left: ReadonlySet<number>;
  readonly #replayed: SegmentInfo[] = [];
  readonly #times: TimesOfOldLogs;
  #start: number;
  #loss: HistoryLoss | undefined;
  /** The last number that history accounts for, before the replay. */
  #accountedFor: number;
  /** The highest number that a file in the archive has; 0: there is none. */
  readonly newestFileNumber: number;
  #firstReplayed: number | undefined;
  #lastReplayed = 0;
  #writer: SegmentWriter | undefined;

  private constructor(
    parts: HistoryOpenParts,
    path: string,
    state: HistoryState | undefined,
    wasOurs: boolean,
    found: FoundSegments,
  ) {
    this.#parts = parts;
    this.#path = path;
    this.#state = state;
    this.#wasOurs = wasOurs;
    this.#segments = found.segments;
    this.#left = found.left;
    this.#start = found.start;
    this.#loss = found.loss;
    this.newestFileNumber = found.newestFileNumber;
    // An opening that was cut short before its MANIFEST has written down more than it has given out.
    const end = state !== undefined && state.end <= parts.tablesLast ? state.end : 0;
    this.#accountedFor = Math.max(end, found.segments.at(-1)?.lastSequence ?? 0, found.start - 1);
    this.#times = new TimesOfOldLogs(parts.fileSystem, path, parts.nowMs, found.segments.at(-1)?.lastTimeMs ?? 0);
  }

  static async begin(parts: HistoryOpenParts): Promise<HistoryOpening> {
    const { fileSystem, directory, databaseId, salvage } = parts;
    const path = archivePath(directory, databaseId);
    await refuseLink(fileSystem, path);
    const state = await readHistoryState(fileSystem, path).catch((error: unknown) => {
      if (salvage && error instanceof CorruptionError) return undefined;
      throw error;
    });
    const wasOurs = await wasOpenedByUs(parts, path);
    const found = await findSegments({ ...parts, path, state, wasOurs });
    return new HistoryOpening(parts, path, state, wasOurs, found);
  }

  /** Takes a batch of a log that is replayed; as `RecoverySink.batch`. */
  batch(bytes: Uint8Array, start: number, end: number, sequence: number, count: number, logNumber: number): Step {
    this.#firstReplayed ??= sequence;
    this.#lastReplayed = sequence + count - 1;
    const writer = this.#writer;
    if (writer?.segment.fileNumber !== logNumber) return this.#addToNext(bytes, start, end, sequence, count, logNumber);
    const timeMs = this.#times.at(sequence);
    if (typeof timeMs === 'number') return writer.add(bytes, start, end, sequence, count, timeMs);
    return timeMs.then((known) => writer.add(bytes, start, end, sequence, count, known));
  }

  async #addToNext(
    bytes: Uint8Array,
    start: number,
    end: number,
    sequence: number,
    count: number,
    logNumber: number,
  ): Promise<void> {
    await this.#finishSegment();
    await this.#parts.fileSystem.makeDirectory(this.#path);
    const writer = await SegmentWriter.begin(this.#parts.fileSystem, this.#path, logNumber);
    this.#writer = writer;
    await this.#times.begin(logNumber);
    await writer.add(bytes, start, end, sequence, count, await this.#times.at(sequence));
  }

  async #finishSegment(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    this.#writer = undefined;
    await this.#times.close();
    await writer.finish();
    this.#replayed.push(writer.segment.info());
  }

  /** After a failure: lets go of files. What was written aside is found, and removed, by the next open. */
  async abandon(): Promise<void> {
    await this.#times.close();
    await this.#writer?.abandon();
  }

  /**
   * Everything was replayed: history is whole, or what is lost of it is known. Durable on return.
   *
   * @param allocateFileNumber - for segments that are made of what is in tables
   */
  async finish(rebuild: RebuildFromTables, allocateFileNumber: () => number): Promise<OpenedHistory> {
    const { fileSystem, directory, databaseId, tablesLast } = this.#parts;
    await this.#finishSegment();
    await fileSystem.makeDirectory(this.#path);
    const { isNew } = this.#parts;
    const begins = this.#firstReplayed ?? tablesLast + 1;
    if (isNew) this.#start = begins;
    else if (this.#state === undefined) this.#lose(this.#accountedFor, begins, 'damage');
    else if (!this.#wasOurs) await this.#closeGap(this.#accountedFor + 1, begins - 1, rebuild, allocateFileNumber);

    const state = this.#state;
    const isClean = isNew || (state?.isClean === true && this.#wasOurs && this.#firstReplayed === undefined);
    const last = Math.max(tablesLast, this.#lastReplayed);
    // Of what we have published, no more is left than this; another program may have given the numbers behind it to others.
    const survived = this.#wasOurs || isNew ? last : Math.min(begins - 1, this.#accountedFor);
    const epoch = state?.epoch ?? 1;
    const epochEnds = (state?.epochEnds ?? []).map((end): EpochEnd => ({
      ...end,
      lastSequence: Math.min(end.lastSequence, survived),
    }));
    if (!isClean) epochEnds.push({ epoch, lastSequence: survived });
    const lastSequence = isClean ? last : Math.min(last + BURNT_SEQUENCES, SEQUENCE_MAX);
    const archive = new LogArchive({
      fileSystem,
      directory,
      path: this.#path,
      databaseId,
      epoch: isClean ? epoch : epoch + 1,
      epochEnds: epochEnds.slice(-EPOCHS_MAX),
      start: this.#start,
      end: lastSequence,
      segments: [...this.#segments, ...this.#replayed].sort((a, b) => a.firstSequence - b.firstSequence),
      left: this.#left,
    });
    await archive.persist(lastSequence, false);
    const strays = await this.#strays();
    return { archive, lastSequence, loss: this.#loss, strays };
  }

  /** Another program has written what is between: operations `first` to `last`. */
  async #closeGap(
    first: number,
    last: number,
    rebuild: RebuildFromTables,
    allocateFileNumber: () => number,
  ): Promise<void> {
    if (first === last + 1) return; // nothing is missing
    // first > last + 1: what we have published is not in the database any more, and its numbers may be others' now.
    const newestKnown = this.#segments.reduce((most, { fileNumber }) => Math.max(most, fileNumber), 0);
    const batches = first > last ? undefined : await rebuild(first, last, newestKnown);
    if (batches === undefined) return this.#lose(first, last + 1, 'foreignWriter');
    const timeMs = Math.max(this.#parts.nowMs, this.#segments.at(-1)?.lastTimeMs ?? 0);
    const writer = await SegmentWriter.begin(this.#parts.fileSystem, this.#path, allocateFileNumber(), false);
    try {
      for (const [index, batch] of batches.entries()) {
        await writer.add(batch, 0, batch.length, first + index, 1, timeMs);
      }
      await writer.finish();
    } catch (error) {
      await writer.abandon();
      throw error;
    }
    await this.#parts.fileSystem.syncDirectory(this.#path); // before the state tells of it
    this.#replayed.push(writer.segment.info());
  }

  /** History begins anew at `start`. */
  #lose(first: number, start: number, reason: HistoryLoss['reason']): void {
    this.#loss = { firstSequence: Math.min(first, start), lastSequence: start - 1, reason };
    this.#start = start;
    this.#segments = [];
  }

  /** Files of the archive that no segment has: of logs in which nothing counted, or from before a gap. */
  async #strays(): Promise<string[]> {
    const kept = new Set([...this.#segments, ...this.#replayed].map(({ fileNumber }) => fileNumber));
    return (await this.#parts.fileSystem.list(this.#path))
      .filter((name) => {
        const parsed = parseArchiveName(name);
        return parsed !== undefined && (parsed.kind === 'temporary' || !kept.has(parsed.fileNumber));
      })
      .map((name) => pathOf(this.#path, name));
  }
}

export interface OpenedHistory {
  readonly archive: LogArchive;
  /** The last sequence number that was given out, or burnt now. */
  readonly lastSequence: number;
  readonly loss: HistoryLoss | undefined;
  /** Files that may go once the MANIFEST names a new log: until then they tell whose the old one was. */
  readonly strays: readonly string[];
}

async function wasOpenedByUs({ fileSystem, directory, logNumber }: HistoryOpenParts, path: string): Promise<boolean> {
  const index = await openIfThere(fileSystem, pathOf(path, indexName(logNumber)));
  if (index === undefined) return false;
  await index.close();
  const log = await openIfThere(fileSystem, pathOf(directory, logName(logNumber)));
  if (log === undefined) return false;
  try {
    const first = await new RecordReader(log, logName(logNumber)).next();
    return first.type === 'record' && first.bytes.length === BATCH_HEADER_BYTES;
  } finally {
    await log.close();
  }
}
