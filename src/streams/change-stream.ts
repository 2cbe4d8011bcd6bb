/**
 * The change stream: everything that was committed, in the one order of all writes, from any place that is kept.
 *
 *     from ──> place ──> [the present state] ──> handOver( history , live ) ──> pages of whole batches
 *
 * A place is a sequence number, whatever it was given as. `operators/hand-over.ts` has the step from history to live and
 * back; `change-hub.ts` who hears of what.
 */
import { AbortedError, HistoryGoneError, InvalidArgumentError, InvalidCursorError } from '../errors.ts';
import type { Change, Cursor, Durability, KeyRange, SequenceNumber } from '../model.ts';
import type { HandOverPolicy } from '../operators/hand-over.ts';
import { choice, whole } from '../storage/check-option.ts';
import { copyOut } from '../storage/read/copy-out.ts';
import type { VisibleIterator } from '../storage/read/visible-iterator.ts';
import { onAbort } from './abort.ts';
import type { ChangeHandOver, ChangeHub, SkippedChanges } from './change-hub.ts';
import { parseCursor } from './cursor.ts';
import type { ByteRange } from './interest-index.ts';
import { boundsOf } from './scan-options.ts';
import type { ScanQuery } from './scan-source.ts';
import { type PageSource, pullOrWaitAsPull, type Waited, type WaitingPageSource } from './stream.ts';

/**
 * Where a change stream begins:
 *
 * - `'now'`: with what is committed after it was subscribed to
 * - `'start'`: with the oldest change that is kept
 * - `'snapshot'`: with the present state, row by row in key order, then with every change after it
 * - a cursor: behind the change that had it
 * - a sequence number: with the first change of at least this number
 * - a date: with the first change committed then or later
 */
export type ChangesFrom = 'now' | 'start' | 'snapshot' | Cursor | SequenceNumber | Date;

/** What a subscriber gets when more waits for it than may; `'replay'`: all of it, later, from history. */
export type ChangesOverflow = HandOverPolicy;

export interface ChangesOptions extends KeyRange {
  /** Default `'now'`. */
  readonly from?: ChangesFrom | undefined;
  /**
   * Live changes that the subscriber has not pulled wait in a buffer. When it is full: `'replay'` forgets them and reads on
   * from history, page by page; `'fail'` ends the stream with a BufferOverflowError, after what waits; `'dropOldest'` and
   * `'dropNewest'` drop batches, and give a `'skipped'` in their place. Default `'replay'`.
   */
  readonly overflow?: ChangesOverflow | undefined;
  /** `'buffered'`: as soon as it is committed. `'synced'`: when it survives the power going out. Default `'buffered'`. */
  readonly durability?: Durability | undefined;
  /** Changes that may wait. 1 to 2^24; default 65,536. One larger batch may wait alone. */
  readonly bufferChangesMax?: number | undefined;
  /** Bytes of changes that may wait. 1 to 1 GiB; default 64 MiB. */
  readonly bufferBytesMax?: number | undefined;
  /**
   * Milliseconds without a change after which the stream tells its place, if it has moved: by a `'skipped'` of count 0, whose
   * cursor leads on behind everything that was none of the range's business. So whoever reads a range that is seldom written
   * to has a place that history does not leave behind. 1 to an hour; default: never.
   */
  readonly progressMs?: number | undefined;
  /** Ends the stream with an AbortedError. */
  readonly signal?: AbortSignal | undefined;
}

/** A key and its value, as of the snapshot that a stream `from: 'snapshot'` begins with. */
export interface SnapshotEntry {
  readonly type: 'entry';
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Of the set that gave it this value. */
  readonly sequence: SequenceNumber;
}

/** The snapshot is complete; what follows are changes. The first cursor from which the stream can be resumed. */
export interface SnapshotEnd {
  readonly type: 'snapshotEnd';
  readonly sequence: SequenceNumber;
  readonly cursor: Cursor;
}

export type ChangeEvent = Change | SkippedChanges | SnapshotEntry | SnapshotEnd;

/** The options, checked. */
export interface ChangesQuery {
  readonly from: ChangesFrom;
  readonly range: ByteRange;
  readonly overflow: ChangesOverflow;
  readonly durability: Durability;
  readonly bufferChangesMax: number;
  readonly bufferBytesMax: number;
  readonly progressMs: number | undefined;
  readonly signal: AbortSignal | undefined;
}

const BUFFER_CHANGES_MAX = 65_536;
const BUFFER_BYTES_MAX = 64 * 1024 * 1024;
const PROGRESS_MS_MAX = 60 * 60 * 1000;

/** @throws InvalidArgumentError, OutOfRangeError */
export function changesQueryOf(options: ChangesOptions): ChangesQuery {
  const { from = 'now' } = options;
  const isPlace =
    typeof from === 'string' ||
    (typeof from === 'number' && Number.isSafeInteger(from) && from >= 0) ||
    (from instanceof Date && !Number.isNaN(from.getTime()));
  if (!isPlace) {
    throw new InvalidArgumentError('from', "'now', 'start', 'snapshot', a cursor, a sequence number or a date", from);
  }
  return {
    from,
    range: boundsOf(options),
    overflow: choice('overflow', options.overflow, ['replay', 'fail', 'dropOldest', 'dropNewest'], 'replay'),
    durability: choice('durability', options.durability, ['buffered', 'synced'], 'buffered'),
    bufferChangesMax: whole('bufferChangesMax', options.bufferChangesMax, 1, 2 ** 24, BUFFER_CHANGES_MAX),
    bufferBytesMax: whole('bufferBytesMax', options.bufferBytesMax, 1, 2 ** 30, BUFFER_BYTES_MAX),
    progressMs:
      options.progressMs === undefined ? undefined : whole('progressMs', options.progressMs, 1, PROGRESS_MS_MAX, 1),
    signal: options.signal,
  };
}

/** @throws InvalidCursorError, HistoryGoneError */
export async function positionOf(hub: ChangeHub, from: Exclude<ChangesFrom, 'snapshot'>): Promise<SequenceNumber> {
  const position = positionAtOnce(hub, from);
  return position ?? (await positionAtTime(hub, from as Date));
}

/** Behind which sequence number to begin; `undefined` where the history must be asked for it. */
function positionAtOnce(hub: ChangeHub, from: Exclude<ChangesFrom, 'snapshot'>): SequenceNumber | undefined {
  if (from === 'now') return hub.visibleSequence;
  const start = hub.archive?.start ?? hub.visibleSequence + 1;
  if (from === 'start') return start - 1;
  if (from instanceof Date) return undefined;
  if (typeof from === 'number') {
    if (from > hub.visibleSequence + 1) {
      throw new InvalidCursorError(String(from), 'future', `the newest sequence number is ${hub.visibleSequence}.`);
    }
    return checkKept(Math.max(from, 1) - 1, start);
  }
  return checkKept(positionOfCursor(hub, from), start);
}

function checkKept(position: SequenceNumber, start: SequenceNumber): SequenceNumber {
  if (position + 1 < start) throw new HistoryGoneError(position + 1, start);
  return position;
}

function positionOfCursor(hub: ChangeHub, cursor: Cursor): SequenceNumber {
  const { databaseId, epoch, sequence } = parseCursor(cursor);
  const { archive, visibleSequence } = hub;
  if (archive !== undefined && databaseId !== archive.databaseId) {
    throw new InvalidCursorError(cursor, 'otherDatabase', 'it is of another database, or of one that was here before.');
  }
  const epochNow = archive?.epoch ?? epoch;
  if (epoch > epochNow || (epoch === epochNow && sequence > visibleSequence)) {
    throw new InvalidCursorError(cursor, 'future', `the database has not got there: it is at ${visibleSequence}.`);
  }
  if (archive === undefined || epoch === epochNow) return sequence;
  const end = archive.epochEnd(epoch);
  if (end === undefined || sequence > end) {
    throw new InvalidCursorError(
      cursor,
      'droppedEpoch',
      `what it stands behind was lost in a crash${end === undefined ? '' : `: of that time, ${end} is the last that is there`}. ` +
        `Start from 'snapshot', or from a cursor of a change that was synced.`,
    );
  }
  return sequence;
}

async function positionAtTime({ archive, visibleSequence, nowMs }: ChangeHub, date: Date): Promise<SequenceNumber> {
  if (archive === undefined) return visibleSequence;
  const timeMs = date.getTime();
  // What is gone may have been committed in the same millisecond as the oldest that is there.
  if (archive.start > 1 && timeMs <= (archive.oldestTimeMs ?? nowMs)) {
    throw new HistoryGoneError(archive.start - 1, archive.start);
  }
  const segment = archive.segmentAtTime(timeMs);
  if (segment === undefined) return visibleSequence;
  if (timeMs <= segment.firstTimeMs) return segment.firstSequence - 1;
  const index = await archive.openIndex(segment);
  try {
    const tick = await index?.firstAtOrAfter(timeMs);
    return (tick?.sequence ?? segment.firstSequence) - 1;
  } finally {
    await index?.close();
  }
}

const SNAPSHOT_ENTRY = (at: VisibleIterator): SnapshotEntry => ({
  type: 'entry',
  key: copyOut(at.keyBytes, at.keyStart, at.keyEnd),
  value: copyOut(at.valueBytes, at.valueStart, at.valueEnd),
  sequence: at.entrySequence,
});

/** One subscriber: the state first, if it was asked for, then changes. Completes when the store closes. */
export class ChangeEvents implements WaitingPageSource<ChangeEvent> {
  readonly #hub: ChangeHub;
  readonly #query: ChangesQuery;
  readonly #scan: (query: ScanQuery<SnapshotEntry>) => PageSource<SnapshotEntry>;
  readonly #stopListening: () => void;
  #rows: PageSource<SnapshotEntry> | undefined;
  #snapshotSequence = 0;
  #handOver: ChangeHandOver | undefined;
  #failure: Error | undefined;
  #isClosed = false;
  /** Whether it is to begin with the oldest change there is, and has given none yet. */
  #isStartMovable: boolean;
  /** Whether nothing came for `progressMs`; and what calls the timer off. */
  #isProgressDue = false;
  #stopTimer: (() => void) | undefined;
  /** The place that was told last. */
  #toldPlace = -1;
  #stopWaiting: (() => void) | undefined;

  constructor(
    hub: ChangeHub,
    query: ChangesQuery,
    scan: (query: ScanQuery<SnapshotEntry>) => PageSource<SnapshotEntry>,
  ) {
    this.#hub = hub;
    this.#query = query;
    this.#scan = scan;
    this.#isStartMovable = query.from === 'start';
    this.#stopListening = onAbort(query.signal, this.#abort);
    // What comes after 'now' is what comes after this line.
    if (query.from === 'now') this.#listen(hub.visibleSequence);
    if (query.signal?.aborted === true) this.#abort();
  }

  /** Why it has been aborted, if it has. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  pull(): readonly ChangeEvent[] | Promise<readonly ChangeEvent[]> {
    return pullOrWaitAsPull(this);
  }

  pullOrWait(wake: () => void): Waited<ChangeEvent> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isClosed) return [];
    if (this.#handOver !== undefined) return this.#next(this.#handOver, wake);
    if (this.#rows !== undefined) return this.#nextRows(this.#rows);
    return this.#begin();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopListening();
    this.#letGo();
  }

  #letGo(): void {
    this.#stopTimer?.();
    this.#stopWaiting?.();
    this.#rows?.close();
    this.#handOver?.close();
  }

  #next(handOver: ChangeHandOver, wake: () => void): Waited<ChangeEvent> {
    const { progressMs } = this.#query;
    if (progressMs === undefined) return this.#checked(handOver.pull(wake));
    this.#stopTimer?.();
    // Whoever is told the place does not wait any more: what comes later finds the next one who does.
    let isWaiting = true;
    const page = this.#checked(handOver.pull(() => isWaiting && wake()));
    const isProgress = this.#isProgressDue && page === undefined;
    this.#isProgressDue = false;
    if (page !== undefined) return page;
    const sequence = handOver.position;
    if (isProgress && sequence > this.#toldPlace) {
      isWaiting = false;
      this.#toldPlace = sequence;
      return [{ type: 'skipped', count: 0, sequence, cursor: this.#hub.cursorAt(sequence) }];
    }
    this.#stopTimer = this.#hub.setTimer(() => {
      this.#isProgressDue = true;
      handOver.stir();
    }, progressMs);
    return undefined;
  }

  /** A page that had to be waited for may come after an abort. */
  #checked(page: Waited<ChangeEvent>): Waited<ChangeEvent> {
    if (!(page instanceof Promise)) {
      if (page !== undefined) this.#isStartMovable = false;
      return page;
    }
    return page.then(
      (values) => {
        if (this.#failure !== undefined) throw this.#failure;
        if (values !== undefined && values.length > 0) this.#isStartMovable = false;
        return values;
      },
      (error: unknown) => this.#beginAgain(error),
    );
  }

  /** What was the oldest a moment ago has been removed: whoever wants the oldest there is, and has nothing yet, gets that. */
  #beginAgain(error: unknown): undefined {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#isStartMovable || !(error instanceof HistoryGoneError) || this.#isClosed) throw error;
    this.#handOver?.close();
    this.#listen(error.oldest - 1);
    return undefined;
  }

  async #begin(): Promise<undefined> {
    const { from, range } = this.#query;
    if (from === 'snapshot') {
      const bounds = { lower: range.lower, upper: range.upper };
      this.#snapshotSequence = this.#hub.visibleSequence;
      this.#rows = this.#scan({
        ...bounds,
        isReverse: false,
        limit: Infinity,
        sequence: undefined,
        signal: undefined, // an abort closes it
        select: SNAPSHOT_ENTRY,
      });
      // A snapshot for somebody who wants only what is durable must be so itself. Its moment is held meanwhile: later
      // there would be newer writes in it, which are not.
      if (this.#query.durability === 'synced') await this.#untilDurable();
    } else {
      const position = await positionOf(this.#hub, from);
      if (!this.#hasEnded()) this.#listen(position);
    }
    return undefined; // now it is known where
  }

  #hasEnded(): boolean {
    return this.#isClosed || this.#failure !== undefined;
  }

  /** Resolves also when nobody wants to know any more. */
  #untilDurable(): Promise<void> {
    return new Promise((resolve) => {
      const forget = this.#hub.whenDurable(resolve);
      this.#stopWaiting = () => {
        forget();
        resolve();
      };
    });
  }

  async #nextRows(rows: PageSource<SnapshotEntry>): Promise<readonly ChangeEvent[]> {
    const page = await rows.pull();
    if (this.#failure !== undefined) throw this.#failure;
    if (page.length > 0 || this.#isClosed) return page;
    this.#rows = undefined;
    const sequence = this.#snapshotSequence;
    this.#listen(sequence);
    return [{ type: 'snapshotEnd', sequence, cursor: this.#hub.cursorAt(sequence) }];
  }

  #listen(position: SequenceNumber): void {
    const { range, durability, overflow, bufferChangesMax, bufferBytesMax } = this.#query;
    const options = { range, position, durability, onOverflow: overflow, bufferChangesMax, bufferBytesMax };
    this.#handOver = this.#hub.listen(options);
  }

  readonly #abort = (): void => {
    this.#failure ??= new AbortedError('the change stream', { cause: this.#query.signal?.reason });
    this.#letGo();
  };
}
