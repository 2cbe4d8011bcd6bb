/** Replays a MANIFEST: from nothing, through its edits, to the state that the last good record left. */
import * as E from 'fp-ts/lib/Either.js';
import { ComparatorMismatchError, CorruptionError, IoError } from '../../errors.ts';
import { COMPARATOR_NAME } from '../codec/compare.ts';
import { CURRENT, manifestName, pathOf } from '../file-names.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { HEADER_BYTES } from '../wal/record-format.ts';
import { type ReadOutcome, RecordReader } from '../wal/record-reader.ts';
import { LEVELS } from './table-meta.ts';
import { Version } from './version.ts';
import { type DecodedEdit, decodeVersionEdit, type VersionEdit } from './version-edit.ts';

/** What a disk writes at once, at least. */
const SECTOR_BYTES = 512;

export interface ManifestState {
  readonly version: Version;
  readonly nextFileNumber: number;
  readonly lastSequence: number;
  /** Logs with a lower number are in tables already. */
  readonly logNumber: number;
  /** A second log that still counts; only old LevelDBs write one. 0: none. */
  readonly previousLogNumber: number;
  readonly compactionPointers: readonly (Uint8Array | undefined)[];
}

interface Replay {
  version: Version;
  nextFileNumber: number | undefined;
  lastSequence: number | undefined;
  logNumber: number | undefined;
  previousLogNumber: number;
  readonly compactionPointers: (Uint8Array | undefined)[];
}

function applyEdit(replay: Replay, edit: DecodedEdit, directory: string, file: string, offset: number): void {
  if (edit.comparator !== undefined && edit.comparator !== COMPARATOR_NAME) {
    throw new ComparatorMismatchError(directory, COMPARATOR_NAME, edit.comparator);
  }
  const next = replay.version.apply(edit);
  if (E.isLeft(next)) throw new CorruptionError(file, offset, next.left);
  replay.version = next.right;
  replay.nextFileNumber = edit.nextFileNumber ?? replay.nextFileNumber;
  replay.lastSequence = edit.lastSequence ?? replay.lastSequence;
  replay.logNumber = edit.logNumber ?? replay.logNumber;
  replay.previousLogNumber = edit.previousLogNumber ?? replay.previousLogNumber;
  for (const { level, key } of edit.compactionPointers) replay.compactionPointers[level] = key;
}

async function replayEdits(
  file: ReadableFile,
  name: string,
  directory: string,
  fileNumber: number,
): Promise<ManifestState> {
  const reader = new RecordReader(file, name);
  const replay: Replay = {
    version: Version.empty,
    nextFileNumber: undefined,
    lastSequence: undefined,
    logNumber: undefined,
    previousLogNumber: 0,
    compactionPointers: Array.from({ length: LEVELS }, () => undefined),
  };
  for (let outcome = await reader.next(); ; outcome = await reader.next()) {
    if (outcome.type === 'end') break;
    const { offset } = outcome;
    if (outcome.type !== 'record') {
      await checkNothingBehind(reader, name, fileNumber, offset, outcome.reason);
      break;
    }
    const edit = decodeVersionEdit(outcome.bytes, name, offset);
    const isOfAnother = offset > 0 && (E.isLeft(edit) ? mayBeLeftOver(outcome) : !isOf(edit.right, fileNumber));
    if (isOfAnother) {
      await checkNothingBehind(reader, name, fileNumber, offset, 'an edit stands here that is of another file');
      break;
    }
    if (E.isLeft(edit)) throw edit.left;
    applyEdit(replay, edit.right, directory, name, offset);
  }
  const { nextFileNumber, lastSequence, logNumber } = replay;
  if (nextFileNumber === undefined || lastSequence === undefined || logNumber === undefined) {
    throw new CorruptionError(name, 0, 'it holds no complete version');
  }
  return { ...replay, nextFileNumber, lastSequence, logNumber };
}

/**
 * Whether an edit behind the first one can be of the MANIFEST with this number, and not of an older one whose blocks a power
 * cut has left here: only the first has a comparator, and numbers are given out upwards, so that all edits know of a higher one.
 */
function isOf({ comparator, nextFileNumber }: VersionEdit, fileNumber: number): boolean {
  return comparator !== COMPARATOR_NAME && (nextFileNumber === undefined || nextFileNumber > fileNumber);
}

/** Whether a record that is no edit may be of a file that was removed: it begins with a sector, or one begins in it. */
function mayBeLeftOver({ bytes, offset, endOffset }: Extract<ReadOutcome, { type: 'record' }>): boolean {
  return offset % SECTOR_BYTES === 0 || endOffset - offset > HEADER_BYTES + bytes.length;
}

/**
 * The power may leave anything of the one edit that was not synced yet: a part, zeros, garbage, what a file that was removed
 * had in the same blocks. What such an edit named was not relied upon, and what it replaced is still there. But edits are
 * synced one by one; so if another one can be read behind it, it was whole once. (If the very last one was whole once, files
 * that the edits before it name have gone.)
 */
async function checkNothingBehind(
  reader: RecordReader,
  name: string,
  fileNumber: number,
  offset: number,
  reason: string,
): Promise<void> {
  let behind = await reader.next();
  if (behind.type !== 'record') behind = await reader.resync();
  for (; behind.type !== 'end'; behind = behind.type === 'record' ? await reader.next() : await reader.resync()) {
    if (behind.type !== 'record') continue;
    const edit = decodeVersionEdit(behind.bytes, name, behind.offset);
    if (E.isRight(edit) && isOf(edit.right, fileNumber)) {
      throw new CorruptionError(name, offset, `${reason}, and there are edits behind it`);
    }
  }
}

export async function readManifest(
  fileSystem: FileSystem,
  directory: string,
  fileNumber: number,
): Promise<ManifestState> {
  const name = manifestName(fileNumber);
  let file: ReadableFile;
  try {
    file = await fileSystem.openForRead(pathOf(directory, name));
  } catch (error) {
    if (!(error instanceof IoError) || error.systemCode !== 'ENOENT') throw error;
    throw new CorruptionError(CURRENT, 0, `it names ${name}, which is missing`, { cause: error });
  }
  try {
    return await replayEdits(file, name, directory, fileNumber);
  } finally {
    await file.close();
  }
}
