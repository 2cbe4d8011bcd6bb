/**
 * Checks the history of changes: its state, each retained log that is sealed, and each index.
 *
 *   STATE       one record, whole, and nothing behind it; its segments ascend
 *   NNNNNN.log  sealed: every record counts, to the last byte; with the first and last change that the state says.
 *               The live ones are checked as logs: they are the same files
 *   *.index     ticks ascend; the record at a tick's place begins with the operation that the tick says;
 *               a sealed log ends where its index says
 */
import * as E from 'fp-ts/lib/Either.js';
import { checkBatch } from '../codec/write-batch.ts';
import { logName, parseFileName, pathOf } from '../file-names.ts';
import type { ReadableFile } from '../file-system/file-system.ts';
import { ARCHIVE_DIRECTORY, indexName, parseArchiveName, segmentName, STATE } from '../history/history-names.ts';
import { type HistoryState, readHistoryState, type SegmentInfo } from '../history/history-state.ts';
import { readClaims, SegmentIndexReader, type Tick } from '../history/segment-index.ts';
import type { VerifyContext } from './verify-context.ts';
import { walkRecords } from './walk-records.ts';

export interface HistoryParts {
  readonly databaseId: string;
  /** The log that the MANIFEST names, and the names in the database directory. */
  readonly logNumber: number;
  readonly names: readonly string[];
  /** Names in the archive. */
  readonly archived: readonly string[];
}

/** A segment, and what the state says of it, if it does. */
interface SegmentToCheck {
  readonly fileNumber: number;
  readonly info: SegmentInfo | undefined;
  readonly isLive: boolean;
}

/** @returns how many segments were checked */
export async function verifyHistory(context: VerifyContext, parts: HistoryParts): Promise<number> {
  const folder = pathOf(ARCHIVE_DIRECTORY, parts.databaseId);
  const state = await checkState(context, folder);
  if (state === undefined) {
    for (const name of parts.archived) if (name !== STATE) context.list.addUnreferenced(pathOf(folder, name));
    return 0;
  }
  const segments = segmentsOf(state, parts);
  for (const segment of segments) await checkSegment(context, folder, parts, segment, state.start);
  const kept = new Set(segments.map(({ fileNumber }) => fileNumber));
  for (const name of parts.archived) {
    const parsed = parseArchiveName(name);
    const isNamed =
      name === STATE || (parsed !== undefined && parsed.kind !== 'temporary' && kept.has(parsed.fileNumber));
    if (!isNamed) context.list.addUnreferenced(pathOf(folder, name));
  }
  return segments.length;
}

async function checkState(context: VerifyContext, folder: string): Promise<HistoryState | undefined> {
  const name = pathOf(folder, STATE);
  const opened = await context.open(name);
  if (opened === undefined) return undefined;
  try {
    const state = await readHistoryState(context.fileSystem, pathOf(context.location, folder));
    let records = 0;
    const end = await walkRecords(context, opened.file, name, () => (records += 1));
    if (end.type !== 'end' || records !== 1 || end.offset !== opened.size) {
      context.add('history', name, end.offset, 'there is more in it than one state');
    }
    if (state !== undefined) checkOrder(context, name, state);
    return state;
  } catch (error) {
    context.failed(error, name, 'history');
    return undefined;
  } finally {
    await opened.file.close();
  }
}

function checkOrder(context: VerifyContext, name: string, { segments, epoch, epochEnds }: HistoryState): void {
  let last = 0;
  for (const { firstSequence, lastSequence, fileNumber } of segments) {
    if (firstSequence <= last || lastSequence < firstSequence) {
      context.add('history', name, 0, `its segment ${fileNumber} is not behind the one before`);
    }
    last = lastSequence;
  }
  if (epochEnds.some((end) => end.epoch >= epoch)) context.add('history', name, 0, 'an epoch ends that has not begun');
}

function segmentsOf(state: HistoryState, { logNumber, names, archived }: HistoryParts): readonly SegmentToCheck[] {
  const known = new Map(state.segments.map((info) => [info.fileNumber, info]));
  const logs = new Set(names.filter((name) => parseFileName(name)?.kind === 'log'));
  const numbers = new Set(known.keys());
  for (const name of archived) {
    const parsed = parseArchiveName(name);
    if (parsed === undefined || parsed.kind === 'temporary') continue;
    // At or above the log that recovery begins with, one without its first name was never used.
    if (parsed.fileNumber < logNumber || logs.has(logName(parsed.fileNumber))) numbers.add(parsed.fileNumber);
  }
  return [...numbers]
    .sort((a, b) => a - b)
    .map((fileNumber) => ({ fileNumber, info: known.get(fileNumber), isLive: fileNumber >= logNumber }));
}

async function checkSegment(
  context: VerifyContext,
  folder: string,
  { archived, names }: HistoryParts,
  segment: SegmentToCheck,
  start: number,
): Promise<void> {
  const { fileNumber, info } = segment;
  const isHere = archived.includes(segmentName(fileNumber));
  // Where there are no hard links, a log has its own name alone until it is sealed, and a moment longer.
  const isInDirectory = !isHere && names.includes(logName(fileNumber));
  if (!isHere && !isInDirectory && info === undefined) return checkOrphan(context, folder, fileNumber, start);
  const name = isInDirectory ? logName(fileNumber) : pathOf(folder, segmentName(fileNumber));
  const opened = await context.open(name);
  if (opened === undefined) return;
  const indexFile = pathOf(folder, indexName(fileNumber));
  const index = archived.includes(indexName(fileNumber)) ? await context.open(indexFile) : undefined;
  try {
    const ticks = index === undefined ? undefined : new TickCheck(context, indexFile, index.file, fileNumber);
    await ticks?.begin(index?.size ?? 0);
    const claims = index === undefined ? undefined : await readClaims(index.file, indexFile, fileNumber);
    const sealed = segment.isLive ? 0 : Math.max(claims?.sealed ?? 0, claims?.durable ?? 0);
    await new SegmentCheck(context, name, opened.file, segment, ticks).run(opened.size, sealed);
  } catch (error) {
    context.failed(error, name, 'history');
  } finally {
    await opened.file.close();
    await index?.file.close();
  }
}

/** An index without its log: left over, if it is of changes that history has no more. */
async function checkOrphan(context: VerifyContext, folder: string, fileNumber: number, start: number): Promise<void> {
  const name = indexName(fileNumber);
  const opened = await context.open(pathOf(folder, name));
  if (opened === undefined) return;
  const index = new SegmentIndexReader(opened.file, name, fileNumber);
  try {
    const first = await index.firstAtOrAfter(0);
    if (first === undefined || first.sequence < start) return;
    const reason = `it is missing, and its index tells of changes from ${first.sequence} on`;
    context.add('history', pathOf(folder, segmentName(fileNumber)), undefined, reason);
  } finally {
    await index.close();
  }
}

/** What a segment holds, against what the state and its index say. */
class SegmentCheck {
  readonly #context: VerifyContext;
  readonly #name: string;
  readonly #file: ReadableFile;
  readonly #segment: SegmentToCheck;
  readonly #ticks: TickCheck | undefined;
  #first = 0;
  #last = 0;

  constructor(
    context: VerifyContext,
    name: string,
    file: ReadableFile,
    segment: SegmentToCheck,
    ticks: TickCheck | undefined,
  ) {
    this.#context = context;
    this.#name = name;
    this.#file = file;
    this.#segment = segment;
    this.#ticks = ticks;
  }

  /** @param sealed - the last change that must be in it */
  async run(size: number, sealed: number): Promise<void> {
    const { info, isLive, fileNumber } = this.#segment;
    const end = await walkRecords(this.#context, this.#file, this.#name, ({ bytes, offset }) =>
      this.#take(bytes, offset),
    );
    this.#ticks?.finish();
    if (isLive) {
      // Its other name is a log, which says what is wrong with it; this one may be a file of its own.
      if (end.type !== 'end') this.#context.add('tornTail', this.#name, end.offset, end.reason);
      return;
    }
    if (end.type !== 'end') this.#context.add('history', this.#name, end.offset, end.reason);
    if (end.type === 'end' && this.#last < sealed) {
      const reason = `it ends with change ${this.#last}, and its index says that ${sealed} was in it`;
      this.#context.add('history', this.#name, end.offset, reason);
    }
    if (info === undefined) return;
    const { firstSequence, lastSequence, bytes } = info;
    if (end.type === 'end' && (firstSequence !== this.#first || lastSequence !== this.#last)) {
      const said = `changes ${firstSequence} to ${lastSequence}`;
      const reason = `segment ${fileNumber} holds changes ${this.#first} to ${this.#last}, and STATE says ${said}`;
      this.#context.add('history', this.#name, 0, reason);
    }
    if (size !== bytes)
      this.#context.add('history', this.#name, bytes, `it has ${size} bytes, and STATE says ${bytes}`);
  }

  #take(bytes: Uint8Array, offset: number): void {
    const batch = checkBatch(bytes, 0, bytes.length);
    if (E.isLeft(batch)) {
      this.#context.add('history', this.#name, offset, batch.left.reason);
      return;
    }
    const { sequence, count } = batch.right;
    this.#ticks?.meet(offset, count === 0 ? undefined : sequence);
    if (count === 0) return;
    if (sequence <= this.#last) {
      this.#context.add('history', this.#name, offset, `changes from ${sequence} on come behind ${this.#last}`);
    }
    if (this.#first === 0) this.#first = sequence;
    this.#last = sequence + count - 1;
  }
}

/** Goes through an index beside its log. Its ticks are few: one for 10 ms and more. They are all held: 24 bytes each. */
class TickCheck {
  readonly #context: VerifyContext;
  readonly #name: string;
  readonly #file: ReadableFile;
  readonly #log: number;
  readonly #ticks: Tick[] = [];
  #next = 0;
  /** The tick whose record was met, and whose first operation is still to come. */
  #awaited: Tick | undefined;

  constructor(context: VerifyContext, name: string, file: ReadableFile, log: number) {
    this.#context = context;
    this.#name = name;
    this.#file = file;
    this.#log = log;
  }

  async begin(size: number): Promise<void> {
    const end = await walkRecords(this.#context, this.#file, this.#name, () => undefined);
    if (end.type !== 'end' || end.offset !== size) {
      this.#wrong(end.offset, end.type === 'end' ? 'it ends in zeros' : end.reason);
    }
    const reader = new SegmentIndexReader(this.#file, this.#name, this.#log);
    for (let last: Tick | undefined; ;) {
      const tick = await reader.firstAtOrAfter(0);
      if (tick === undefined) break;
      const isBehind = last === undefined || (tick.sequence > last.sequence && tick.timeMs >= last.timeMs);
      if (!isBehind) this.#wrong(undefined, `its tick of ${tick.sequence} is not behind the one before`);
      this.#ticks.push(tick);
      last = tick;
    }
    if (end.type === 'end' && reader.endOffset !== end.offset) {
      this.#wrong(reader.endOffset, 'what follows is of the index of another log, or was never written by us');
    }
  }

  /** A record of the log: its place, and its first operation, if it has any. */
  meet(offset: number, sequence: number | undefined): void {
    const tick = this.#ticks[this.#next];
    if (tick !== undefined && this.#awaited === undefined && this.#isReached(tick, offset, sequence)) {
      this.#next += 1;
      this.#awaited = tick;
    }
    if (sequence === undefined || this.#awaited === undefined) return;
    if (this.#awaited.sequence !== sequence && this.#awaited.offset > 0) {
      this.#wrong(undefined, `its tick of ${this.#awaited.sequence} points to change ${sequence}`);
    }
    this.#awaited = undefined;
  }

  /** A tick with place 0 says only when: its segment is always read from the beginning. */
  #isReached(tick: Tick, offset: number, sequence: number | undefined): boolean {
    return tick.offset === 0 && this.#next > 0 ? sequence === tick.sequence : offset >= tick.offset;
  }

  finish(): void {
    const left = this.#ticks.length - this.#next;
    if (left > 0) this.#wrong(undefined, `${left} of its ticks point behind the end of the log`);
  }

  #wrong(offset: number | undefined, reason: string): void {
    this.#context.add('historyIndex', this.#name, offset, reason);
  }
}
