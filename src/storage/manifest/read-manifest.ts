/** Replays a MANIFEST: from nothing, through its edits, to the state that the last good record left. */
import * as E from 'fp-ts/lib/Either.js';
import { ComparatorMismatchError, CorruptionError, IoError } from '../../errors.ts';
import { COMPARATOR_NAME } from '../codec/compare.ts';
import { CURRENT, manifestName, pathOf } from '../file-names.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { LEVELS } from './table-meta.ts';
import { Version } from './version.ts';
import { decodeVersionEdit, type VersionEdit } from './version-edit.ts';

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

function applyEdit(replay: Replay, edit: VersionEdit, directory: string, file: string, offset: number): void {
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
  for (const { level, key } of edit.compactionPointers ?? []) replay.compactionPointers[level] = key;
}

async function replayEdits(file: ReadableFile, name: string, directory: string): Promise<ManifestState> {
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
    if (outcome.type !== 'record') {
      await checkNothingBehind(reader, name, outcome.offset, outcome.reason);
      break;
    }
    const edit = decodeVersionEdit(outcome.bytes, name, outcome.offset);
    if (E.isLeft(edit)) throw edit.left;
    applyEdit(replay, edit.right, directory, name, outcome.offset);
  }
  const { nextFileNumber, lastSequence, logNumber } = replay;
  if (nextFileNumber === undefined || lastSequence === undefined || logNumber === undefined) {
    throw new CorruptionError(name, 0, 'it holds no complete version');
  }
  return { ...replay, nextFileNumber, lastSequence, logNumber };
}

/**
 * The power may leave anything of the one edit that was not synced yet: a part, zeros, garbage. What such an edit named was
 * not relied upon, and what it replaced is still there. But edits are synced one by one; so if another one can be read
 * behind it, it was whole once. (If the very last one was whole once, files that the edits before it name have gone.)
 */
async function checkNothingBehind(reader: RecordReader, name: string, offset: number, reason: string): Promise<void> {
  const behind = await reader.resync();
  if (behind.type === 'record') throw new CorruptionError(name, offset, `${reason}, and there are edits behind it`);
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
    return await replayEdits(file, name, directory);
  } finally {
    await file.close();
  }
}
