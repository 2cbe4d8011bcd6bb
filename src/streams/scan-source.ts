/**
 * A range, page by page. The view of the tree is taken when the scan is opened, and held until it is closed: what is
 * written meanwhile is not seen, what is compacted away meanwhile still is.
 *
 * A page ends when it is full, or when the next entry would have to wait for the disk: what is there is delivered first.
 */
import { AbortedError } from '../errors.ts';
import type { SequenceNumber } from '../model.ts';
import { compareBytes } from '../storage/codec/compare.ts';
import { VisibleIterator } from '../storage/read/visible-iterator.ts';
import type { Step } from '../storage/read/internal-iterator.ts';
import { isReserved, RESERVED_END, RESERVED_START } from '../storage/reserved.ts';
import type { ReadView, Tree } from '../storage/tree.ts';
import { type Clock, yieldTurn } from './clock.ts';
import type { PageSource } from './stream.ts';

export interface ScanBound {
  readonly key: Uint8Array;
  readonly isInclusive: boolean;
}

/** A scan as it is run: bounds as bytes, everything checked. */
export interface ScanQuery<T> {
  readonly lower: ScanBound | undefined;
  readonly upper: ScanBound | undefined;
  readonly isReverse: boolean;
  /** Most entries to give; `Infinity`: all. */
  readonly limit: number;
  /** Sequence number of a snapshot; `undefined`: the present, when the scan is opened. */
  readonly sequence: SequenceNumber | undefined;
  readonly signal: AbortSignal | undefined;
  /** Whether our own keys are shown, too: see `storage/reserved.ts`. Default false. */
  readonly isInternal?: boolean;
  /** Makes what the caller gets of the current entry. Must copy. */
  readonly select: (entry: VisibleIterator) => T;
}

/** Entries and bytes of one page: what a scan holds in memory, and delivers without letting go of the thread. */
const PAGE_ENTRIES_MAX = 256;
const PAGE_BYTES_MAX = 64 * 1024;
/** A scan without a small limit reads this much at once from the disk. */
const READ_AHEAD_BYTES = 128 * 1024;
/** Up to this limit a scan reads block by block, and leaves the blocks in the cache: short ranges are read again. */
const SHORT_SCAN_ENTRIES = 1000;

export class ScanSource<T> implements PageSource<T> {
  readonly #tree: Tree;
  readonly #query: ScanQuery<T>;
  readonly #onClose: () => void;
  readonly #view: ReadView;
  readonly #entries: VisibleIterator;
  /** Where the walk stands: not begun, on an entry that was delivered already, on one that was not, or on one of our own. */
  #state: 'new' | 'delivered' | 'fresh' | 'reserved' = 'new';
  #left: number;
  #isClosed = false;
  #isPulling = false;
  #failure: Error | undefined;

  constructor(tree: Tree, query: ScanQuery<T>, clock: Clock, onClose: () => void) {
    this.#tree = tree;
    this.#query = query;
    this.#onClose = onClose;
    this.#left = query.limit;
    this.#view = tree.hold(query.sequence);
    const isShort = query.limit <= SHORT_SCAN_ENTRIES;
    const source = tree.iterate(this.#view, {
      isCacheFilled: isShort,
      readAheadBytes: isShort ? 0 : READ_AHEAD_BYTES,
    });
    const { sequence } = this.#view;
    const pause = (): Promise<void> => yieldTurn(clock).then(() => this.#afterPause());
    this.#entries = new VisibleIterator(source, { sequence, isReverse: query.isReverse, pause });
  }

  pull(): readonly T[] | Promise<readonly T[]> {
    this.#check();
    if (this.#left <= 0 || this.#isClosed) return [];
    const page: T[] = [];
    const step = this.#fill(page);
    if (step === undefined || page.length > 0) return page;
    this.#isPulling = true;
    return this.#pullLater(step, page);
  }

  async #pullLater(first: Promise<void>, page: T[]): Promise<readonly T[]> {
    try {
      for (let step: Step = first; step !== undefined && page.length === 0;) {
        await step;
        this.#waiting = undefined;
        this.#check();
        step = this.#fill(page);
      }
      return page;
    } finally {
      this.#isPulling = false;
      if (this.#isClosed) this.#release();
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClose();
    if (!this.#isPulling) this.#release(); // else when the disk has answered
  }

  /** The next pull, or the one under way, ends with this error. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** In the middle of a step over many entries: ends it, if nobody wants its result any more. */
  #afterPause(): void {
    this.#check();
    if (this.#isClosed) this.#entries.close();
  }

  #release(): void {
    this.#waiting?.catch(() => undefined);
    this.#entries.close();
    this.#tree.release(this.#view);
  }

  /** A step that a page did not wait for. */
  #waiting: Promise<void> | undefined;

  #check(): void {
    const { signal } = this.#query;
    const error = signal?.aborted === true ? new AbortedError('the scan', { cause: signal.reason }) : this.#failure;
    if (error === undefined) return;
    this.close();
    throw error;
  }

  /** Adds entries until the page is full or the range is done (`undefined`), or the next one must be waited for. */
  #fill(page: T[]): Step {
    if (this.#waiting !== undefined) return this.#waiting;
    const entries = this.#entries;
    const { select } = this.#query;
    let bytes = 0;
    while (page.length < PAGE_ENTRIES_MAX && bytes < PAGE_BYTES_MAX && this.#left > 0) {
      if (this.#state !== 'fresh') {
        const step = this.#step();
        this.#state = 'fresh';
        if (step !== undefined) return this.#wait(step);
      }
      if (!entries.isValid || this.#isBehindEnd()) {
        this.#left = 0;
        return undefined;
      }
      this.#state = 'delivered';
      if (this.#isHidden()) continue;
      if (this.#isBeforeStart()) continue;
      page.push(select(entries));
      bytes += entries.keyEnd - entries.keyStart + (entries.valueEnd - entries.valueStart);
      this.#left -= 1;
    }
    return undefined;
  }

  #wait(step: Promise<void>): Promise<void> {
    this.#waiting = step;
    step.catch(() => undefined); // it is awaited by the next pull, which may come later than its rejection
    return step;
  }

  #step(): Step {
    if (this.#state === 'new') return this.#entries.start(this.#start());
    if (this.#state !== 'reserved') return this.#entries.advance();
    return this.#entries.start(this.#query.isReverse ? RESERVED_START : RESERVED_END); // over all of them at once
  }

  #isHidden(): boolean {
    const { keyBytes, keyStart, keyEnd } = this.#entries;
    if (this.#query.isInternal === true || !isReserved(keyBytes, keyStart, keyEnd)) return false;
    if (keyEnd - keyStart > RESERVED_START.length) this.#state = 'reserved'; // else a step gets behind it
    return true;
  }

  #start(): Uint8Array | undefined {
    return this.#query.isReverse ? this.#query.upper?.key : this.#query.lower?.key;
  }

  /** Only the first entry can be: an exclusive bound was sought as if it were inclusive. */
  #isBeforeStart(): boolean {
    const bound = this.#query.isReverse ? this.#query.upper : this.#query.lower;
    return bound !== undefined && !bound.isInclusive && this.#compareTo(bound) === 0;
  }

  #isBehindEnd(): boolean {
    const { isReverse, lower, upper } = this.#query;
    const bound = isReverse ? lower : upper;
    if (bound === undefined) return false;
    const order = isReverse ? -this.#compareTo(bound) : this.#compareTo(bound);
    return order > 0 || (order === 0 && !bound.isInclusive);
  }

  #compareTo({ key }: ScanBound): number {
    const { keyBytes, keyStart, keyEnd } = this.#entries;
    return compareBytes(keyBytes, keyStart, keyEnd, key, 0, key.length);
  }
}
