/**
 * The change stream: everything that was committed, in the one order of all writes, from any place that is kept.
 *
 *     from ──> place ──> [the present state] ──> handOver( history , live ) ──> pages of whole batches ──> until
 *
 * A place is a sequence number, whatever it was given as. `operators/hand-over.ts` has the step from history to live and
 * back; `change-hub.ts` who hears of what.
 */
import { AbortedError, ClosedError, HistoryGoneError, InvalidArgumentError } from '../errors.ts';
import type { Change, Cursor, Durability, KeyRange, SequenceNumber } from '../model.ts';
import type { HandOverPolicy } from '../operators/hand-over.ts';
import { choice, whole } from '../storage/check-option.ts';
import { copyOut } from '../storage/read/copy-out.ts';
import type { VisibleIterator } from '../storage/read/visible-iterator.ts';
import { onAbort } from './abort.ts';
import type { ChangeHandOver, ChangeHub, SkippedChanges } from './change-hub.ts';
import { type ChangesFrom, type ChangesUntil, endOf, positionOf } from './change-place.ts';
import type { ByteRange } from './interest-index.ts';
import { boundsOf } from './scan-options.ts';
import type { ScanQuery } from './scan-source.ts';
import { type PageSource, pullOrWaitAsPull, type Waited, type WaitingPageSource } from './stream.ts';
import { toError } from './to-error.ts';

/** What a subscriber gets when more waits for it than may; `'replay'`: all of it, later, from history. */
export type ChangesOverflow = HandOverPolicy;

export interface ChangesOptions extends KeyRange {
  /** Default `'now'`. */
  readonly from?: ChangesFrom | undefined;
  /**
   * The stream completes when it has given every change of its range up to and with this place; at once, if it begins
   * behind it. A batch that the place is in the midst of is cut there. With durability `'synced'` it waits until that is
   * durable; a sequence number that the store has not reached is waited for. With `from: 'snapshot'` the state comes in any
   * case, as it is when it is read, and `'snapshotEnd'`. A store that closes before ends it with a ClosedError. Default: none.
   */
  readonly until?: ChangesUntil | undefined;
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

/** A text may be a cursor: whether it is one, and leads anywhere, is told by the stream. */
const isPlace = (place: unknown): boolean =>
  typeof place === 'string' || (typeof place === 'number' && Number.isSafeInteger(place) && place >= 0);

/** The options, checked. */
export interface ChangesQuery {
  readonly from: ChangesFrom;
  readonly until: ChangesUntil | undefined;
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
  const { from = 'now', until } = options;
  if (!isPlace(from) && !(from instanceof Date && !Number.isNaN(from.getTime()))) {
    throw new InvalidArgumentError('from', "'now', 'start', 'snapshot', a cursor, a sequence number or a date", from);
  }
  if (until !== undefined && !isPlace(until)) {
    throw new InvalidArgumentError('until', "'now', a cursor or a sequence number", until);
  }
  return {
    from,
    until,
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

const SNAPSHOT_ENTRY = (at: VisibleIterator): SnapshotEntry => ({
  type: 'entry',
  key: copyOut(at.keyBytes, at.keyStart, at.keyEnd),
  value: copyOut(at.valueBytes, at.valueStart, at.valueEnd),
  sequence: at.entrySequence,
});

/** One subscriber: the state first, if it was asked for, then changes. Completes at its end, or when the store closes. */
export class ChangeEvents implements WaitingPageSource<ChangeEvent> {
  readonly #hub: ChangeHub;
  readonly #query: ChangesQuery;
  readonly #scan: (query: ScanQuery<SnapshotEntry>) => PageSource<SnapshotEntry>;
  readonly #stopListening: () => void;
  /** The last sequence number that is wanted. */
  #end = Infinity;
  #rows: PageSource<SnapshotEntry> | undefined;
  #snapshotSequence = 0;
  #handOver: ChangeHandOver | undefined;
  #failure: Error | undefined;
  #isClosed = false;
  /** Whether its end, and what now is, are known. */
  #hasBegun = false;
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
    // Where nothing is written, now is the same at any time; who wants nothing else needs no history.
    const isOnlyNow =
      query.from === 'now' &&
      (typeof query.until !== 'string' || query.until === 'now') &&
      query.progressMs === undefined;
    if (hub.isHistoryOpen || isOnlyNow) this.#beginNow();
    if (query.signal?.aborted === true) this.#abort();
  }

  /** What comes after 'now' is what comes after this call. */
  #beginNow(): void {
    this.#hasBegun = true;
    try {
      this.#end = endOf(this.#hub, this.#query.until);
    } catch (error) {
      this.#failure = toError(error);
      return;
    }
    if (this.#query.from === 'now') this.#listen(this.#hub.visibleSequence);
  }

  /** Why it has been aborted, if it has; or why its end is none. */
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
    if (handOver.position >= this.#end) {
      this.close();
      return [];
    }
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
      // The store closes; whoever wants all up to a place must not take that for the place.
      if (page?.length === 0 && !this.#isClosed && this.#end !== Infinity) throw new ClosedError('store');
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
    if (!this.#hasBegun) {
      await this.#hub.openHistory();
      if (this.#hasEnded()) return;
      this.#beginNow();
      if (this.#hasEnded() || from === 'now') return;
    }
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
    const policy = { onOverflow: overflow, bufferChangesMax, bufferBytesMax };
    const options = { range, position, until: this.#end, durability, ...policy };
    this.#handOver = this.#hub.listen(options);
  }

  readonly #abort = (): void => {
    this.#failure ??= new AbortedError('the change stream', { cause: this.#query.signal?.reason });
    this.#letGo();
  };
}
