/**
 * What is written down about history, in `archive/<id>/STATE`: one log record (framed and checksummed like a write batch)
 * that holds JSON. It is replaced as a whole: written aside, synced, renamed.
 *
 * Written at each open and close, and now and then between. What happened since is found again at the next open, from the
 * segments themselves; so it tells where history was, never more than there is.
 */
import { CorruptionError, IoError } from '../../errors.ts';
import { pathOf } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { RecordWriter } from '../wal/record-writer.ts';
import { STATE, temporaryOf } from './history-names.ts';

/** One retained log: what it holds, as far as it counts. */
export interface SegmentInfo {
  readonly fileNumber: number;
  /** Sequence number of its first operation, and of its last. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly bytes: number;
  /** Whether numbers are missing within it, as LevelDB leaves them after a failed write. Absent: none is. */
  readonly hasGaps?: boolean | undefined;
  /** Commit times of the two: milliseconds since 1970. */
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
}

/** An epoch ends when a store was not closed cleanly: what it may have published beyond `lastSequence` is lost. */
export interface EpochEnd {
  readonly epoch: number;
  readonly lastSequence: number;
}

/** Changes that history has lost: it begins anew behind them. */
export interface HistoryLoss {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly reason: 'foreignWriter' | 'damage';
}

export interface HistoryState {
  readonly epoch: number;
  /** The epochs before, ascending. */
  readonly epochEnds: readonly EpochEnd[];
  /** History is complete from this sequence number on. */
  readonly start: number;
  /** The last sequence number that was given out or burnt, when this was written. */
  readonly end: number;
  /** Whether the store was closed since; then nothing came after `end`. */
  readonly isClean: boolean;
  /** Ascending, without those that were live. */
  readonly segments: readonly SegmentInfo[];
}

const FORMAT_VERSION = 1;
/** A state is some 150 bytes per segment; this is for a hundred thousand of them. */
const STATE_BYTES_MAX = 16 * 1024 * 1024;

export async function writeHistoryState(fileSystem: FileSystem, archive: string, state: HistoryState): Promise<void> {
  const record = new TextEncoder().encode(JSON.stringify({ version: FORMAT_VERSION, ...state }));
  const records = new RecordWriter();
  records.add(record, 0, record.length);
  const aside = pathOf(archive, temporaryOf(STATE));
  await fileSystem.remove(aside).catch(() => undefined); // of a crash
  const file = await fileSystem.create(aside);
  try {
    await file.append(records.staged());
    await file.sync();
  } finally {
    await file.close();
  }
  await fileSystem.rename(aside, pathOf(archive, STATE));
  await fileSystem.syncDirectory(archive);
}

/**
 * @returns `undefined` when there is none
 * @throws CorruptionError when what is there was not written so
 */
export async function readHistoryState(fileSystem: FileSystem, archive: string): Promise<HistoryState | undefined> {
  const path = pathOf(archive, STATE);
  const file = await fileSystem.openForRead(path).catch((error: unknown) => {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  const damaged = (reason: string): CorruptionError => new CorruptionError(`archive/${STATE}`, 0, reason);
  try {
    if ((await file.size()) > STATE_BYTES_MAX) throw damaged('it is longer than any we write');
    const outcome = await new RecordReader(file, `archive/${STATE}`).next();
    if (outcome.type !== 'record') throw damaged(outcome.type === 'end' ? 'it is empty' : outcome.reason);
    const state = parseState(new TextDecoder().decode(outcome.bytes));
    if (state === undefined) throw damaged('it does not hold a state of history');
    return state;
  } finally {
    await file.close();
  }
}

function parseState(text: string): HistoryState | undefined {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(given) || given['version'] !== FORMAT_VERSION) return undefined;
  const { epoch, epochEnds, start, end, isClean, segments } = given;
  if (!isWhole(epoch) || !isWhole(start) || !isWhole(end) || typeof isClean !== 'boolean') return undefined;
  if (!isListOf(epochEnds, isEpochEnd) || !isListOf(segments, isSegmentInfo)) return undefined;
  return { epoch, epochEnds, start, end, isClean, segments };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isListOf = <T>(value: unknown, isOne: (one: unknown) => one is T): value is T[] =>
  Array.isArray(value) && value.every(isOne);

const isEpochEnd = (value: unknown): value is EpochEnd =>
  isRecord(value) && isWhole(value['epoch']) && isWhole(value['lastSequence']);

const isSegmentInfo = (value: unknown): value is SegmentInfo =>
  isRecord(value) &&
  isWhole(value['fileNumber']) &&
  isWhole(value['firstSequence']) &&
  isWhole(value['lastSequence']) &&
  isWhole(value['bytes']) &&
  (value['hasGaps'] === undefined || typeof value['hasGaps'] === 'boolean') &&
  typeof value['firstTimeMs'] === 'number' &&
  typeof value['lastTimeMs'] === 'number';
