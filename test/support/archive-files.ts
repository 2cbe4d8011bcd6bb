/** History made by hand: segments with given batches, and what a reader gets of them. */
import { logName } from '../../src/storage/file-names.ts';
import type { FileSystem } from '../../src/storage/file-system/file-system.ts';
import { type HistoryBatch, HistoryReader } from '../../src/storage/history/history-reader.ts';
import type { SegmentInfo } from '../../src/storage/history/history-state.ts';
import { type ArchiveParts, LogArchive } from '../../src/storage/history/log-archive.ts';
import type { LiveSegment } from '../../src/storage/history/segment.ts';
import { SegmentWriter } from '../../src/storage/history/segment-writer.ts';
import { encodeDurabilityMark, LogWriter } from '../../src/storage/wal/log-writer.ts';
import { checkBatch } from '../../src/storage/codec/write-batch.ts';
import { batchOf } from './log-bytes.ts';

export const DATABASE_ID = '0123456789abcdef0123456789abcdef';
export const DIRECTORY = '/db';
export const ARCHIVE: string = `${DIRECTORY}/archive/${DATABASE_ID}`;

/** A batch of sets, as {@link batchOf} makes it. */
export interface MadeBatch {
  readonly sequence: number;
  readonly count: number;
  readonly timeMs: number;
  readonly valueBytes?: number;
}

export const bytesOfBatch = ({ sequence, count, valueBytes = 4 }: MadeBatch): Uint8Array =>
  batchOf(sequence, count, valueBytes);

/** A sealed segment. */
export async function writeSegment(
  fileSystem: FileSystem,
  fileNumber: number,
  batches: readonly MadeBatch[],
  hasBoundaries = true,
): Promise<SegmentInfo> {
  await fileSystem.makeDirectory(ARCHIVE);
  const writer = await SegmentWriter.begin(fileSystem, ARCHIVE, fileNumber, hasBoundaries);
  for (const batch of batches) {
    const bytes = bytesOfBatch(batch);
    await writer.add(bytes, 0, bytes.length, batch.sequence, batch.count, batch.timeMs);
  }
  await writer.finish();
  await fileSystem.syncDirectory(ARCHIVE);
  return writer.segment.info();
}

/** A log in use: a file of the directory that is written to, and its place in the archive. */
export interface LiveLog {
  readonly writer: LogWriter;
  readonly segment: LiveSegment;
  /** Appends a batch that counts. */
  add(batch: MadeBatch): Promise<void>;
}

export async function beginLog(fileSystem: FileSystem, archive: LogArchive, fileNumber: number): Promise<LiveLog> {
  const writer = new LogWriter(await fileSystem.create(`${DIRECTORY}/${logName(fileNumber)}`), fileNumber);
  const mark = encodeDurabilityMark(1);
  writer.stage(mark, 0, mark.length);
  await writer.flushStaged();
  await writer.sync();
  await fileSystem.syncDirectory(DIRECTORY);
  const segment = await archive.create(fileNumber);
  return {
    writer,
    segment,
    add: async (batch) => {
      const bytes = bytesOfBatch(batch);
      const offset = writer.bytesWritten;
      writer.stage(bytes, 0, bytes.length);
      await writer.flushStaged();
      const { sequence, count, timeMs } = batch;
      segment.count(sequence, sequence + count - 1, offset, writer.bytesWritten, timeMs);
    },
  };
}

/** An archive of these segments, in a directory that is there. */
export async function archiveOf(
  fileSystem: FileSystem,
  segments: readonly SegmentInfo[],
  parts: Partial<ArchiveParts> = {},
): Promise<LogArchive> {
  await fileSystem.makeDirectory(ARCHIVE);
  return new LogArchive({
    fileSystem,
    directory: DIRECTORY,
    path: ARCHIVE,
    databaseId: DATABASE_ID,
    epoch: 1,
    epochEnds: [],
    start: segments[0]?.firstSequence ?? 1,
    end: segments.at(-1)?.lastSequence ?? 0,
    segments,
    ...parts,
  });
}

/** What there is in a batch, in words: `sequence+count@time`, with a `?` where nobody knows what belonged together. */
export function nameOfBatch({ bytes, start, end, timeMs, hasBoundaries }: HistoryBatch): string {
  const checked = checkBatch(bytes, start, end);
  if (checked._tag === 'Left') throw new Error(checked.left.reason);
  return nameOf({ ...checked.right, timeMs }, hasBoundaries);
}

export const nameOf = ({ sequence, count, timeMs }: MadeBatch, hasBoundaries = true): string =>
  `${sequence}+${count}@${timeMs}${hasBoundaries ? '' : '?'}`;

/** All batches from a place up to another. */
export async function readAll(archive: LogArchive, position: number, bound: number): Promise<string[]> {
  const reader = new HistoryReader(archive, position);
  const names: string[] = [];
  try {
    await reader.read(bound, (batch) => {
      names.push(nameOfBatch(batch));
      return true;
    });
  } finally {
    await reader.close();
  }
  return names;
}

/** The files of the archive. */
export async function archiveNames(fileSystem: FileSystem): Promise<string[]> {
  return fileSystem.list(ARCHIVE);
}
