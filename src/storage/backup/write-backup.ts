/**
 * A backup: the tables of one version under a second name, with a MANIFEST, a CURRENT and an empty log of their own.
 *
 *   <to>/NNNNNN.ldb            linked, or copied: tables never change
 *        MANIFEST, CURRENT     written anew: one edit that names the tables
 *        archive/<id>/*.log    sealed history, linked or copied;   STATE and the empty log written anew
 *
 * What is in tables is one consistent moment: memtables are changed between two write groups, and become tables in their
 * order. So the tables of any version hold all writes up to one sequence number, and none behind it.
 *
 * History goes along, and the copy is the same database for cursors, up to its moment. Behind it the two go different ways.
 * So the copy is in an epoch of its own, which no other copy has: a cursor from behind the moment is refused, and not taken
 * for a place in the copy's own changes.
 */
import { HistoryGoneError, IoError } from '../../errors.ts';
import { logName, pathOf, tableName, tableNames } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import { databaseIdPointer } from '../history/database-id.ts';
import { archivePath, indexName, segmentName } from '../history/history-names.ts';
import { type SegmentInfo, writeHistoryState } from '../history/history-state.ts';
import type { ArchiveMoment, LogArchive } from '../history/log-archive.ts';
import { LEVELS, type TableMeta } from '../manifest/table-meta.ts';
import { VersionSet } from '../manifest/version-set.ts';
import { Version } from '../manifest/version.ts';
import { encodeDurabilityMark, LogWriter } from '../wal/log-writer.ts';
import { copyTo, linkOrCopy, type PlaceCounter } from './place-file.ts';

/** What is to be backed up: held by the caller until it is done. */
export interface BackupMoment {
  readonly fileSystem: FileSystem;
  /** The store's directory. */
  readonly directory: string;
  readonly version: Version;
  /** All writes up to it are in the version's tables. */
  readonly sequence: number;
  readonly compactionPointers: readonly (Uint8Array | undefined)[];
  /** History, of the same moment; `undefined`: it is left out. */
  readonly history: { readonly archive: LogArchive; readonly moment: ArchiveMoment } | undefined;
  /** The epoch that the copy is in: no other copy, and no later time of the original, has it. */
  readonly epoch: number;
  readonly mayLink: boolean;
}

const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;

/** Bytes that will be linked or copied. */
export const backupBytes = ({ version, history }: BackupMoment): number =>
  version.levels.flat().reduce((sum, { fileBytes }) => sum + fileBytes, 0) +
  (history?.moment.segments ?? []).reduce((sum, { bytes }) => sum + bytes, 0);

/** Writes the backup into an empty directory; all of it is durable on return, but for the directory's own name. */
export async function writeBackup(moment: BackupMoment, to: string, counter: PlaceCounter): Promise<void> {
  const { fileSystem, directory, version, sequence, mayLink } = moment;
  const tables = version.levels.flatMap((run, level) => run.map((table) => ({ level, table })));
  for (const { table } of tables) await placeTable(fileSystem, directory, to, table, counter, mayLink);
  const numbers = [
    ...tables.map(({ table }) => table.fileNumber),
    ...(moment.history?.moment.segments ?? []).map(({ fileNumber }) => fileNumber),
  ];
  const floor = numbers.reduce((most, number) => Math.max(most, number), 0) + 1;
  const logNumber = moment.history === undefined ? 0 : floor;
  if (moment.history !== undefined) await writeHistory(moment, moment.history, to, logNumber, counter);

  const state = {
    version: Version.empty,
    nextFileNumber: floor + 1,
    lastSequence: sequence,
    logNumber,
    previousLogNumber: 0,
    // The deepest level's is no pointer, but the database's identity.
    compactionPointers: moment.compactionPointers.slice(0, LEVELS - 1),
  };
  const databaseId = moment.history?.moment.databaseId;
  const compactionPointers = databaseId === undefined ? [] : [databaseIdPointer(databaseId)];
  const versions = new VersionSet(fileSystem, to, state, floor + 1, MANIFEST_BYTES_MAX);
  try {
    await versions.commit({ newTables: tables, compactionPointers, logNumber, lastSequence: sequence });
  } finally {
    await versions.close();
  }
}

async function placeTable(
  fileSystem: FileSystem,
  from: string,
  to: string,
  { fileNumber }: TableMeta,
  counter: PlaceCounter,
  mayLink: boolean,
): Promise<void> {
  let missing: unknown;
  for (const name of tableNames(fileNumber)) {
    try {
      return await linkOrCopy(fileSystem, pathOf(from, name), pathOf(to, tableName(fileNumber)), counter, mayLink);
    } catch (error) {
      if (!isMissing(error)) throw error;
      missing ??= error;
    }
  }
  throw missing;
}

async function writeHistory(
  { fileSystem, directory, sequence, epoch, mayLink }: BackupMoment,
  { archive, moment }: { readonly archive: LogArchive; readonly moment: ArchiveMoment },
  to: string,
  logNumber: number,
  counter: PlaceCounter,
): Promise<void> {
  const from = archivePath(directory, moment.databaseId);
  const path = archivePath(to, moment.databaseId);
  await fileSystem.makeDirectory(path);
  let { start } = moment;
  let segments: SegmentInfo[] = [];
  for (const segment of moment.segments) {
    const { fileNumber, firstSequence, lastSequence, bytes, firstTimeMs, lastTimeMs } = segment;
    if (await placeSegment(fileSystem, archive, segment, from, path, counter, mayLink)) {
      segments.push({ fileNumber, firstSequence, lastSequence, bytes, firstTimeMs, lastTimeMs });
    } else {
      // Retention has taken it meanwhile, as it has all before it: the copy's history begins behind it.
      start = lastSequence + 1;
      segments = [];
    }
  }
  await beginLog(fileSystem, to, path, logNumber, sequence);
  const epochEnds = [...moment.epochEnds, { epoch: moment.epoch, lastSequence: sequence }];
  // Not clean: so the first open of the copy leaves out numbers that the original may have given out since.
  await writeHistoryState(fileSystem, path, { epoch, epochEnds, start, end: sequence, isClean: false, segments });
  await fileSystem.syncDirectory(path);
}

/** @returns whether it is there */
async function placeSegment(
  fileSystem: FileSystem,
  archive: LogArchive,
  segment: ArchiveMoment['segments'][number],
  from: string,
  to: string,
  counter: PlaceCounter,
  mayLink: boolean,
): Promise<boolean> {
  const name = segmentName(segment.fileNumber);
  try {
    if (segment.isLinked) await linkOrCopy(fileSystem, pathOf(from, name), pathOf(to, name), counter, mayLink);
    else await copySegment(fileSystem, archive, segment, pathOf(to, name), counter);
  } catch (error) {
    if (isMissing(error) || error instanceof HistoryGoneError) return false;
    throw error;
  }
  const index = indexName(segment.fileNumber);
  try {
    // A copy, for an index is never synced, and this one is to be on the disk.
    await linkOrCopy(fileSystem, pathOf(from, index), pathOf(to, index), counter, false);
  } catch (error) {
    if (!isMissing(error)) throw error; // without it, commit times are less exact
  }
  return true;
}

/** Where there are no hard links, a log may still have its own name only. */
async function copySegment(
  fileSystem: FileSystem,
  archive: LogArchive,
  segment: ArchiveMoment['segments'][number],
  to: string,
  counter: PlaceCounter,
): Promise<void> {
  const file = await archive.openSegment(segment);
  try {
    await copyTo(fileSystem, file, to, segment.bytes, counter);
  } finally {
    await file.close();
  }
}

/** By a log that begins with a mark, and has an index, the next open knows that nobody else has written to the database. */
async function beginLog(
  fileSystem: FileSystem,
  to: string,
  archive: string,
  logNumber: number,
  sequence: number,
): Promise<void> {
  const name = pathOf(to, logName(logNumber));
  const log = new LogWriter(await fileSystem.create(name), logNumber);
  try {
    const mark = encodeDurabilityMark(sequence + 1);
    log.stage(mark, 0, mark.length);
    await log.flushStaged();
    await log.sync();
  } finally {
    await log.close();
  }
  const index = await fileSystem.create(pathOf(archive, indexName(logNumber)));
  await index.close();
}

const isMissing = (error: unknown): boolean => error instanceof IoError && error.systemCode === 'ENOENT';
