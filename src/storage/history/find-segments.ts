/**
 * Which logs in the archive are history when a database is opened, besides those that recovery replays and writes again.
 *
 *   known     the state tells of it: it was sealed when the state was written
 *   sealed    of the session after that: numbered below the log that recovery begins with, so a flush has sealed it
 *   left over another program has replayed it: nobody has synced it, and it may end in what does not count
 *
 * What their indexes claim to have been in them must be there: else it is lost, and history begins anew behind it.
 *
 * The numbers of a session's changes are above those at its opening (`end` of the state); a log with lower ones was left out
 * by a recovery, and is no history, whatever is in it.
 */
import * as E from 'fp-ts/lib/Either.js';
import { IoError } from '../../errors.ts';
import { BatchReader, checkBatch } from '../codec/write-batch.ts';
import { logName, parseFileName, pathOf } from '../file-names.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { RecordReader } from '../wal/record-reader.ts';
import { ARCHIVE_DIRECTORY, parseArchiveName, segmentName } from './history-names.ts';
import { claimsOfIndex } from './log-claims.ts';
import type { HistoryLoss, HistoryState, SegmentInfo } from './history-state.ts';
import { SegmentWriter } from './segment-writer.ts';
import { TimesOfOldLogs } from './times-of-old-logs.ts';

export interface FindParts {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  /** The archive's. */
  readonly path: string;
  readonly state: HistoryState | undefined;
  /** Whether the last program that had the database open was ours. */
  readonly wasOurs: boolean;
  /** The log that the MANIFEST names, and the names in the database directory. */
  readonly logNumber: number;
  readonly names: readonly string[];
  /** The MANIFEST's last sequence number. */
  readonly tablesLast: number;
  readonly nowMs: number;
}

export interface FoundSegments {
  /** In the order of their changes. */
  readonly segments: readonly SegmentInfo[];
  /** Logs of those that are not in the archive yet, and have to be moved there. */
  readonly left: ReadonlySet<number>;
  /** History is complete from here on. */
  readonly start: number;
  readonly loss: HistoryLoss | undefined;
  /** The highest number that a file in the archive has; 0: there is none. */
  readonly newestFileNumber: number;
}

/** A segment that no state tells of. */
interface ReadSegment extends SegmentInfo {
  /** Whether there is more in it than could be read. */
  readonly isBroken: boolean;
}

export async function findSegments(parts: FindParts): Promise<FoundSegments> {
  const { state, wasOurs, logNumber, names, tablesLast } = parts;
  const listed = await listArchive(parts);
  const newestFileNumber = Math.max(0, ...listed.keys());
  const start = state?.start ?? tablesLast + 1;
  // Without a state nobody knows what is missing before and between.
  if (state === undefined) return { segments: [], left: new Set(), start, loss: undefined, newestFileNumber };

  const logs = names.map(parseFileName).filter((name) => name?.kind === 'log');
  const isReplayed = new Set(logs.map((log) => log?.fileNumber ?? 0).filter((number) => number >= logNumber));
  const knownNumbers = new Set(state.segments.map(({ fileNumber }) => fileNumber));
  const left = leftLogs(parts, listed, knownNumbers);
  const present = new Set(left);
  for (const [fileNumber, kinds] of listed) if (kinds.has('segment')) present.add(fileNumber);

  const known = state.segments.filter(
    (segment) => !isReplayed.has(segment.fileNumber) && segment.lastSequence >= start,
  );
  const numbers = [...present]
    .filter((fileNumber) => !isReplayed.has(fileNumber) && !knownNumbers.has(fileNumber))
    // At or above the log that recovery begins with, and not to be replayed: of an opening that was cut short.
    .filter((fileNumber) => fileNumber < logNumber)
    .sort((a, b) => a - b);
  const claimed = new Map<number, Claimed>();
  // Of what another program has replayed, the ends are looked for among its tables: see `finish`.
  for (const [fileNumber, kinds] of wasOurs ? listed : []) {
    if (!kinds.has('index') || fileNumber >= logNumber || isReplayed.has(fileNumber)) continue;
    if (knownNumbers.has(fileNumber)) continue;
    const { first, durable, sealed } = await claimsOfIndex(parts.fileSystem, parts.path, fileNumber);
    const lastSequence = Math.max(durable, sealed);
    // Without a first change of this session it is left over.
    if (first === undefined || first <= state.end || first < start || lastSequence < first) continue;
    claimed.set(fileNumber, { firstSequence: first, lastSequence });
  }
  const younger: ReadSegment[] = [];
  for (const fileNumber of numbers) {
    const before = younger.at(-1) ?? known.at(-1);
    const file = await openLog(parts, fileNumber, left);
    const read = await readSegment(parts, file, fileNumber, before?.lastTimeMs ?? 0);
    const isShort = read.lastSequence < (claimed.get(fileNumber)?.lastSequence ?? 0);
    younger.push(isShort ? { ...read, isBroken: true } : read);
  }
  const segments = [
    ...known,
    ...(wasOurs ? closeBreaks(younger, state.end, tablesLast) : await writeAgain(parts, younger, left)),
  ];

  const missing: Claimed[] = known.filter(({ fileNumber }) => !present.has(fileNumber));
  missing.push(...[...claimed.values()].filter((range) => !isCovered(range, segments)).sort(byFirst));
  const gap = lastOf(missing) ?? (wasOurs ? undefined : gapBefore(segments, known.length, state.end));
  if (gap === undefined) return { segments, left, start, loss: undefined, newestFileNumber };
  const first = missing[0]?.firstSequence ?? gap.firstSequence;
  return {
    segments: segments.filter(({ firstSequence }) => firstSequence > gap.lastSequence),
    left,
    start: Math.max(start, gap.lastSequence + 1),
    loss: { firstSequence: first, lastSequence: gap.lastSequence, reason: wasOurs ? 'damage' : 'foreignWriter' },
    newestFileNumber,
  };
}

/** Changes that were durable in one log. */
type Claimed = Pick<SegmentInfo, 'firstSequence' | 'lastSequence'>;

const lastOf = (ranges: readonly Claimed[]): Claimed | undefined => ranges.at(-1);
const byFirst = (one: Claimed, other: Claimed): number => one.firstSequence - other.firstSequence;

/** Numbers are not missing within a log: whoever has the first and the last of them has all. */
const isCovered = ({ firstSequence, lastSequence }: Claimed, segments: readonly SegmentInfo[]): boolean =>
  segments.some((one) => one.firstSequence <= firstSequence && one.lastSequence >= lastSequence);

/** File numbers in the archive, and what there is under each. */
async function listArchive({ fileSystem, path }: FindParts): Promise<Map<number, Set<string>>> {
  const names = await fileSystem.list(path).catch((error: unknown) => {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return [];
    throw error;
  });
  const listed = new Map<number, Set<string>>();
  for (const name of names) {
    const parsed = parseArchiveName(name);
    if (parsed === undefined) continue;
    const kinds = listed.get(parsed.fileNumber) ?? new Set();
    listed.set(parsed.fileNumber, kinds.add(parsed.kind));
  }
  return listed;
}

/**
 * Where there are no hard links, a crash may come between the flush that made a log superfluous and its move to here. It is
 * moved when the open has written its own MANIFEST: the one that says so now may lose its end when the power goes out.
 *
 * @returns the file numbers of such logs
 */
function leftLogs(
  { logNumber, names }: FindParts,
  listed: ReadonlyMap<number, ReadonlySet<string>>,
  known: ReadonlySet<number>,
): Set<number> {
  const left = new Set<number>();
  for (const name of names) {
    const parsed = parseFileName(name);
    if (parsed?.kind !== 'log' || parsed.fileNumber >= logNumber) continue;
    const kinds = listed.get(parsed.fileNumber);
    // A log that recovery has left out has no index any more.
    const isHistory = known.has(parsed.fileNumber) || kinds?.has('index') === true;
    if (isHistory && kinds?.has('segment') !== true) left.add(parsed.fileNumber);
  }
  return left;
}

function openLog(
  { fileSystem, directory, path }: FindParts,
  fileNumber: number,
  left: ReadonlySet<number>,
): Promise<ReadableFile> {
  const isLeft = left.has(fileNumber);
  return fileSystem.openForRead(
    isLeft ? pathOf(directory, logName(fileNumber)) : pathOf(path, segmentName(fileNumber)),
  );
}

/**
 * What a segment holds, from its own bytes: up to the first record that cannot be read.
 *
 * @param file - closed at the end
 * @param leastMs - commit time of the newest change before
 */
async function readSegment(
  { fileSystem, path, nowMs }: FindParts,
  file: ReadableFile,
  fileNumber: number,
  leastMs: number,
): Promise<ReadSegment> {
  const times = new TimesOfOldLogs(fileSystem, path, nowMs, leastMs);
  try {
    await times.begin(fileNumber);
    const records = new RecordReader(file, `${ARCHIVE_DIRECTORY}/${segmentName(fileNumber)}`);
    const reader = new BatchReader();
    let [firstSequence, lastSequence, firstTimeMs, lastTimeMs, bytes] = [0, 0, leastMs, leastMs, 0];
    let hasGaps: boolean | undefined;
    for (;;) {
      const outcome = await records.next();
      const isGood = outcome.type === 'record' && E.isRight(checkBatch(outcome.bytes, 0, outcome.bytes.length));
      if (!isGood) {
        const isBroken = outcome.type !== 'end';
        return { fileNumber, firstSequence, lastSequence, bytes, hasGaps, firstTimeMs, lastTimeMs, isBroken };
      }
      bytes = outcome.endOffset;
      reader.reset(outcome.bytes, 0, outcome.bytes.length);
      if (reader.count === 0) continue;
      const sequence = reader.sequence + 1; // of its first operation: the reader stands before it
      lastTimeMs = await times.at(sequence);
      if (firstSequence === 0) [firstSequence, firstTimeMs] = [sequence, lastTimeMs];
      else if (sequence !== lastSequence + 1) hasGaps = true;
      lastSequence = sequence + reader.count - 1;
    }
  } finally {
    await times.close();
    await file.close();
  }
}

/**
 * A sealed segment was whole. One that cannot be read to its end is taken to hold what the others do not: so whoever reads
 * as far as the damage is told of it, and everybody else goes on.
 */
function closeBreaks(younger: readonly ReadSegment[], end: number, tablesLast: number): SegmentInfo[] {
  const found: SegmentInfo[] = [];
  let last = end;
  for (const [index, { isBroken, ...segment }] of younger.entries()) {
    const firstSequence = segment.firstSequence === 0 && isBroken ? last + 1 : segment.firstSequence;
    const next = younger.slice(index + 1).find((other) => other.firstSequence > 0);
    const lastSequence = isBroken ? (next?.firstSequence ?? tablesLast + 1) - 1 : segment.lastSequence;
    if (firstSequence <= last || lastSequence < firstSequence) continue; // nothing of that session
    found.push({ ...segment, firstSequence, lastSequence });
    last = lastSequence;
  }
  return found;
}

/** What another program has replayed: written again, with what can be read of it, so that it is on the disk. */
async function writeAgain(
  parts: FindParts,
  younger: readonly ReadSegment[],
  left: Set<number>,
): Promise<SegmentInfo[]> {
  const { fileSystem, path, nowMs } = parts;
  const end = parts.state?.end ?? 0;
  const written: SegmentInfo[] = [];
  for (const { fileNumber, firstSequence, lastSequence, firstTimeMs } of younger) {
    if (firstSequence <= end) continue;
    const writer = await SegmentWriter.begin(fileSystem, path, fileNumber);
    const times = new TimesOfOldLogs(fileSystem, path, nowMs, firstTimeMs);
    let file: ReadableFile | undefined;
    try {
      file = await openLog(parts, fileNumber, left);
      await times.begin(fileNumber);
      const records = new RecordReader(file, `${ARCHIVE_DIRECTORY}/${segmentName(fileNumber)}`);
      const reader = new BatchReader();
      for (let last = 0; last < lastSequence;) {
        const outcome = await records.next();
        if (outcome.type !== 'record') break; // read a moment ago: the file is being changed under us, and ends here
        reader.reset(outcome.bytes, 0, outcome.bytes.length);
        if (reader.count === 0) continue;
        const sequence = reader.sequence + 1;
        last = sequence + reader.count - 1;
        await writer.add(outcome.bytes, 0, outcome.bytes.length, sequence, reader.count, await times.at(sequence));
      }
      await writer.finish();
      written.push(writer.segment.info());
      left.delete(fileNumber); // it is here now
    } catch (error) {
      await writer.abandon();
      throw error;
    } finally {
      await times.close();
      await file?.close();
    }
  }
  if (written.length > 0) await fileSystem.syncDirectory(path);
  return written;
}

/**
 * Numbers that are missing before a left-over segment: the power has taken the end of one of them, and the program that
 * had replayed it had it in tables. Also told where the numbers were those of a failed write: nobody knows any more.
 */
function gapBefore(
  segments: readonly SegmentInfo[],
  knownCount: number,
  end: number,
): { readonly firstSequence: number; readonly lastSequence: number } | undefined {
  for (let index = segments.length - 1; index >= knownCount; index -= 1) {
    const before = index === knownCount ? end : (segments[index - 1] as SegmentInfo).lastSequence;
    const lastSequence = (segments[index] as SegmentInfo).firstSequence - 1;
    if (lastSequence > before) return { firstSequence: before + 1, lastSequence };
  }
  return undefined;
}
