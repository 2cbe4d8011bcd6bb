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
import { CorruptionError, IoError } from '../../errors.ts';
import { BATCH_HEADER_BYTES, BatchReader, checkBatch } from '../codec/write-batch.ts';
import * as E from 'fp-ts/lib/Either.js';
import { logName, parseFileName, pathOf } from '../file-names.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { SEQUENCE_MAX, type Step } from '../read/internal-iterator.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { archivePath, ARCHIVE_DIRECTORY, indexName, parseArchiveName, segmentName } from './history-names.ts';
import { type EpochEnd, type HistoryLoss, type HistoryState, readHistoryState, type SegmentInfo } from './history-state.ts';
import { LogArchive } from './log-archive.ts';
import { SegmentIndexReader, type Tick } from './segment-index.ts';
import { SegmentWriter } from './segment-writer.ts';

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
  readonly #replayed: SegmentInfo[] = [];
  readonly #times: TimesOfOldLogs;
  #start: number;
  #loss: HistoryLoss | undefined;
  /** The last number that history accounts for, before the replay. */
  #accountedFor: number;
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
    this.#start = found.start;
    this.#loss = found.loss;
    this.#accountedFor = Math.max(state?.end ?? 0, found.segments.at(-1)?.lastSequence ?? 0, found.start - 1);
    this.#times = new TimesOfOldLogs(parts.fileSystem, path, parts.nowMs);
  }

  static async begin(parts: HistoryOpenParts): Promise<HistoryOpening> {
    const { fileSystem, directory, databaseId, salvage } = parts;
    const path = archivePath(directory, databaseId);
    await fileSystem.makeDirectory(path);
    const state = await readHistoryState(fileSystem, path).catch((error: unknown) => {
      if (salvage && error instanceof CorruptionError) return undefined;
      throw error;
    });
    const wasOurs = await wasOpenedByUs(parts, path);
    const found = await findSegments(parts, path, state, wasOurs);
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
    this.#replayed.push(writer.segment);
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
    const { isNew } = this.#parts;
    const begins = this.#firstReplayed ?? tablesLast + 1;
    if (isNew) this.#start = begins;
    else if (this.#state === undefined) this.#lose(this.#accountedFor, begins, 'damage');
    else if (!this.#wasOurs) await this.#closeGap(this.#accountedFor + 1, begins - 1, rebuild, allocateFileNumber);

    const state = this.#state;
    const isClean = isNew || (state?.isClean === true && this.#wasOurs && this.#firstReplayed === undefined);
    const last = Math.max(tablesLast, this.#lastReplayed);
    const epoch = state?.epoch ?? 1;
    const end: EpochEnd = { epoch, lastSequence: last };
    const epochEnds = isClean ? (state?.epochEnds ?? []) : [...(state?.epochEnds ?? []), end].slice(-EPOCHS_MAX);
    const archive = new LogArchive({
      fileSystem,
      directory,
      path: this.#path,
      databaseId,
      epoch: isClean ? epoch : epoch + 1,
      epochEnds,
      start: this.#start,
      segments: [...this.#segments, ...this.#replayed].sort((a, b) => a.firstSequence - b.firstSequence),
    });
    const lastSequence = isClean ? last : Math.min(last + BURNT_SEQUENCES, SEQUENCE_MAX);
    await this.#removeStrays();
    await archive.persist(lastSequence, false);
    return { archive, lastSequence, loss: this.#loss };
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
    const writer = await SegmentWriter.begin(this.#parts.fileSystem, this.#path, allocateFileNumber(), false);
    for (const [index, batch] of batches.entries()) {
      await writer.add(batch, 0, batch.length, first + index, 1, this.#parts.nowMs);
    }
    await writer.finish();
    this.#replayed.push(writer.segment);
  }

  /** History begins anew at `start`. */
  #lose(first: number, start: number, reason: HistoryLoss['reason']): void {
    this.#loss = { firstSequence: Math.min(first, start), lastSequence: start - 1, reason };
    this.#start = start;
    this.#segments = [];
  }

  /** Files of the archive that no segment has: of logs in which nothing counted, or from before a gap. */
  async #removeStrays(): Promise<void> {
    const { fileSystem } = this.#parts;
    const kept = new Set([...this.#segments, ...this.#replayed].map(({ fileNumber }) => fileNumber));
    for (const name of await fileSystem.list(this.#path)) {
      const parsed = parseArchiveName(name);
      if (parsed === undefined || (parsed.kind !== 'temporary' && kept.has(parsed.fileNumber))) continue;
      await fileSystem.remove(pathOf(this.#path, name)).catch(() => undefined); // the next open tries again
    }
  }
}

export interface OpenedHistory {
  readonly archive: LogArchive;
  /** The last sequence number that was given out, or burnt now. */
  readonly lastSequence: number;
  readonly loss: HistoryLoss | undefined;
}

async function wasOpenedByUs({ fileSystem, directory, logNumber }: HistoryOpenParts, path: string): Promise<boolean> {
  const hasIndex = await fileSystem.stat(pathOf(path, indexName(logNumber))).then(
    () => true,
    () => false,
  );
  if (!hasIndex) return false;
  const log = await openIfThere(fileSystem, pathOf(directory, logName(logNumber)));
  if (log === undefined) return false;
  try {
    const first = await new RecordReader(log, logName(logNumber)).next();
    return first.type === 'record' && first.bytes.length === BATCH_HEADER_BYTES;
  } finally {
    await log.close();
  }
}

interface FoundSegments {
  readonly segments: readonly SegmentInfo[];
  readonly start: number;
  readonly loss: HistoryLoss | undefined;
}

/** The segments that are not replayed: what the state tells of and is there, and what was sealed since it was written. */
async function findSegments(
  parts: HistoryOpenParts,
  path: string,
  state: HistoryState | undefined,
  wasOurs: boolean,
): Promise<FoundSegments> {
  const { fileSystem, names, logNumber, tablesLast } = parts;
  const replayed = new Set(
    names.map(parseFileName).map((name) => (name?.kind === 'log' && name.fileNumber >= logNumber ? name.fileNumber : -1)),
  );
  const known = new Map(state?.segments.map((segment) => [segment.fileNumber, segment]));
  const numbers = (await fileSystem.list(path))
    .map(parseArchiveName)
    .filter((name) => name?.kind === 'segment')
    .map((name) => name?.fileNumber ?? 0)
    .filter((fileNumber) => !replayed.has(fileNumber))
    // A log of ours without its first name, at or above the one that recovery begins with, was never used.
    .filter((fileNumber) => !wasOurs || fileNumber < logNumber || known.has(fileNumber));
  const segments: SegmentInfo[] = [];
  let start = state?.start ?? tablesLast + 1;
  let loss: HistoryLoss | undefined;
  for (const fileNumber of numbers) {
    const info = known.get(fileNumber) ?? (await readSegment(fileSystem, path, fileNumber, parts.nowMs));
    if (info.lastSequence > 0) segments.push(info);
  }
  segments.sort((a, b) => a.firstSequence - b.firstSequence);
  // Of what the state tells of, a prefix may have been pruned since; a hole in the middle is a loss.
  const present = new Set(segments.map(({ fileNumber }) => fileNumber));
  const missing = state?.segments.filter(({ fileNumber }) => !present.has(fileNumber)).at(-1);
  if (missing !== undefined) {
    const before = segments.findIndex(({ firstSequence }) => firstSequence > missing.lastSequence);
    const dropped = segments.splice(0, before < 0 ? segments.length : before);
    if (dropped.length > 0) {
      const { firstSequence, lastSequence } = missing;
      loss = { firstSequence, lastSequence, reason: 'damage' };
    }
    start = Math.max(start, missing.lastSequence + 1);
  }
  if (state === undefined) segments.length = 0; // without it nobody knows what is missing before and between
  return { segments, start, loss };
}

/** What a segment holds, from its own bytes: up to the first record that cannot be read. */
async function readSegment(
  fileSystem: FileSystem,
  path: string,
  fileNumber: number,
  nowMs: number,
): Promise<SegmentInfo> {
  const file = await fileSystem.openForRead(pathOf(path, segmentName(fileNumber)));
  const times = new TimesOfOldLogs(fileSystem, path, nowMs);
  try {
    await times.begin(fileNumber);
    const records = new RecordReader(file, `${ARCHIVE_DIRECTORY}/${segmentName(fileNumber)}`);
    const reader = new BatchReader();
    let [firstSequence, lastSequence, firstTimeMs, lastTimeMs, bytes] = [0, 0, 0, 0, 0];
    for (;;) {
      const outcome = await records.next();
      if (outcome.type !== 'record' || E.isLeft(checkBatch(outcome.bytes, 0, outcome.bytes.length))) break;
      bytes = outcome.endOffset;
      reader.reset(outcome.bytes, 0, outcome.bytes.length);
      if (reader.count === 0) continue;
      const sequence = reader.sequence + 1;
      lastTimeMs = await times.at(sequence);
      if (firstSequence === 0) [firstSequence, firstTimeMs] = [sequence, lastTimeMs];
      lastSequence = sequence + reader.count - 1;
    }
    return { fileNumber, firstSequence, lastSequence, bytes, firstTimeMs, lastTimeMs };
  } finally {
    await times.close();
    await file.close();
  }
}

/** Commit times of logs of an earlier session, as far as their indexes tell. */
class TimesOfOldLogs {
  readonly #fileSystem: FileSystem;
  readonly #path: string;
  readonly #nowMs: number;
  #index: SegmentIndexReader | undefined;

  constructor(fileSystem: FileSystem, path: string, nowMs: number) {
    this.#fileSystem = fileSystem;
    this.#path = path;
    this.#nowMs = nowMs;
  }

  async begin(fileNumber: number): Promise<void> {
    await this.close();
    const file = await openIfThere(this.#fileSystem, pathOf(this.#path, indexName(fileNumber)));
    if (file !== undefined) this.#index = new SegmentIndexReader(file, indexName(fileNumber));
  }

  /** When the operation was committed; without a promise while memory tells. */
  at(sequence: number): number | Promise<number> {
    const tick = this.#index?.inForceAt(sequence);
    return tick instanceof Promise ? tick.then((known) => this.#timeOf(known)) : this.#timeOf(tick);
  }

  #timeOf(tick: Tick | undefined): number {
    return tick?.timeMs ?? this.#nowMs;
  }

  async close(): Promise<void> {
    await this.#index?.close();
    this.#index = undefined;
  }
}

async function openIfThere(fileSystem: FileSystem, path: string): Promise<ReadableFile | undefined> {
  try {
    return await fileSystem.openForRead(path);
  } catch (error) {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return undefined;
    throw error;
  }
}
