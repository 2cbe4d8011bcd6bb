import { BufferOverflowError } from '../errors.ts';
import { Fifo } from './fifo.ts';
import { requireWholeNumber } from './require-whole-number.ts';

/** What happens when more live values wait than may; `'replay'`: they are forgotten, and read again from history. */
export type HandOverPolicy = 'replay' | 'fail' | 'dropOldest' | 'dropNewest';

/** Values that belong together, and stay together: they cover the positions from `first` to `last`. */
export interface LiveGroup<T> {
  readonly values: readonly T[];
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
}

/** A part of history. */
export interface ReplayedPage<T> {
  readonly values: readonly T[];
  /** Everything up to here is in `values`, or is none of the subscriber's business. */
  readonly position: number;
}

export interface HandOverPort<T> {
  /** Everything up to this position was published, live, and can be replayed. */
  published(): number;
  /** Everything up to this position may be given; never more than {@link published}. */
  ready(): number;
  /** Begins, at once, to call {@link HandOver.push} with every group that is published from now on; or ends it. */
  listen(isListening: boolean): void;
  /** Reads on behind `position`, and not beyond `bound`. A page without values says that there are none up to its position. */
  replay(position: number, bound: number): Promise<ReplayedPage<T>>;
  /** Stands for values that were dropped. */
  skipped(count: number, last: number): T;
  /** Something is there that is not ready: {@link HandOver.stir} is to be called when more has become ready. */
  whenReady(): void;
  /** Calls `work` soon, when what happens now is done: so that no subscriber runs inside of the publication. */
  soon(work: () => void): void;
}

export interface HandOverOptions {
  /** Where to begin: behind this position. */
  readonly position: number;
  readonly onOverflow: HandOverPolicy;
  /** Live values that may wait; at least 1. One larger group may wait alone. */
  readonly valuesMax: number;
  /** Bytes of live values that may wait; at least 1. */
  readonly bytesMax: number;
}

/** Values that were dropped, of groups from `first` to `last`. */
interface Skipped {
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

/** Values given in one page, at the least, when so many wait. */
const PAGE_VALUES = 1024;
const NOTHING: readonly never[] = [];

/**
 * From history to live, without a gap and without a repeat, and back to history when the subscriber is too slow.
 *
 * ```text
 *   published    1   2   3   4   5   6   7   8   9
 *   history      1   2   3   4                          read in pages, as fast as the subscriber pulls
 *   live                         5   6                  hand-over: position = published, and nothing can come between
 *   pulled too slowly                    (7   8)        more waits than may: forgotten, to be read from history
 *   history                              7   8   9
 *   given        1   2   3   4   5   6   7   8   9
 * ```
 *
 * - **gives** groups whole, in order, each position once, when {@link HandOver.pull} asks; a page is what waits
 * - **waits** with at most `valuesMax` values and `bytesMax` bytes; history is read only as far as it is pulled
 * - **on overflow** as the policy says: reads on from history; fails when what waits was given; or drops groups, and says
 *   how many values went in their place
 * - **completes** after {@link HandOver.complete}, when what waits live was given
 * - **fails** with the error of a replay, and after {@link HandOver.fail}
 *
 * Why it is correct under every interleaving: the step that compares position and published, and begins to listen, is
 * synchronous, and so is publication. Before it everything comes from history, which has all that was published; after it
 * everything comes live.
 *
 * About RxJS: not an operator function, because it needs a demand, which Observables do not have: `concat(history$, live$)`
 * misses what is published meanwhile, and with a `ReplaySubject` between the two it holds everything in memory.
 */
export class HandOver<T> {
  readonly #port: HandOverPort<T>;
  readonly #options: HandOverOptions;
  readonly #waiting = new Fifo<LiveGroup<T>>();
  #waitingValues = 0;
  #waitingBytes = 0;
  /** Dropped before all that waits, and behind it. */
  #skippedBefore: Skipped | undefined;
  #skippedBehind: Skipped | undefined;
  /** Everything up to here was given, or is none of the subscriber's business. */
  #position: number;
  #isLive = false;
  #isComplete = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #isWaking = false;
  /** Told once, when it is closed. */
  onClose: (() => void) | undefined;

  constructor(port: HandOverPort<T>, options: HandOverOptions) {
    requireWholeNumber('valuesMax', options.valuesMax);
    requireWholeNumber('bytesMax', options.bytesMax);
    this.#port = port;
    this.#options = options;
    this.#position = options.position;
    this.#tryToGoLive();
  }

  /** Everything up to here was given, or is none of the subscriber's business: where another one would go on. */
  get position(): number {
    if (!this.#isLive) return this.#position;
    const next = this.#skippedBefore ?? this.#waiting.peek() ?? this.#skippedBehind;
    return Math.max(this.#position, Math.min(this.#port.ready(), (next?.first ?? Infinity) - 1));
  }

  /** Whether what is given comes live, and not out of history. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** Takes a group that is being published; only while listening. */
  push(group: LiveGroup<T>): void {
    if (!this.#isLive || this.#isComplete || group.values.length === 0) return;
    if (this.#waiting.size > 0 && !this.#hasRoomFor(group)) this.#overflow(group);
    else this.#add(group);
    this.stir();
  }

  /** There may be something to give now: wakes a pull that waits. */
  stir(): void {
    if (this.#wake === undefined || this.#isWaking) return;
    this.#isWaking = true;
    this.#port.soon(() => {
      this.#isWaking = false;
      const wake = this.#wake;
      this.#wake = undefined;
      wake?.();
    });
  }

  /** No more will come, and no more becomes ready: what waits and is ready is still given. History is not read on. */
  complete(): void {
    this.#isComplete = true;
    this.stir();
  }

  /** What waits is still given, then this error. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stopListening();
    this.stir();
  }

  /** Forgets what waits, and ends: a pull that waits gets an empty page. */
  close(): void {
    this.#isComplete = true;
    this.#failure = undefined;
    this.#forget();
    this.#stopListening();
    this.stir();
    this.onClose?.();
    this.onClose = undefined;
  }

  /**
   * The next values; a promise when history must be read; `undefined` when there is nothing yet: then `wake` is called
   * once, when there may be. A promise of `undefined`: ask again. An empty page is the end. One call at a time.
   *
   * @throws what it failed with
   */
  pull(wake: () => void): readonly T[] | Promise<readonly T[] | undefined> | undefined {
    const page = this.#take();
    if (page !== undefined) return page;
    // What waits, and is not ready yet, comes before the failure; after the end nothing becomes ready.
    const isDone = this.#waiting.size === 0 || this.#isComplete;
    if (this.#failure !== undefined && isDone) throw this.#failure.error;
    if (this.#isComplete) return NOTHING;
    const isHistoryDue = this.#failure === undefined && !this.#tryToGoLive();
    if (isHistoryDue && this.#port.ready() > this.#position) return this.#replay();
    this.#wake = wake;
    if (isHistoryDue || this.#waiting.size > 0 || this.#skippedBehind !== undefined) this.#port.whenReady();
    return undefined;
  }

  /** The hand-over itself. */
  #tryToGoLive(): boolean {
    if (this.#isLive) return true;
    if (this.#position < this.#port.published()) return false;
    this.#isLive = true;
    this.#port.listen(true);
    return true;
  }

  /** One page of history; `undefined`: none of the subscriber's business came, and it may ask again. */
  async #replay(): Promise<readonly T[] | undefined> {
    const { values, position } = await this.#port.replay(this.#position, this.#port.ready());
    if (this.#isComplete || this.#failure !== undefined) return undefined;
    this.#position = position;
    return values.length > 0 ? values : undefined;
  }

  /** Groups that wait and are ready. */
  #take(): readonly T[] | undefined {
    const ready = this.#port.ready();
    const first = this.#waiting.peek();
    const before = this.#skippedBefore;
    if (first === undefined || first.last > ready) return this.#takeSkipped();
    this.#shift();
    if (before === undefined && (this.#waiting.size === 0 || first.values.length >= PAGE_VALUES)) return first.values;
    const page: T[] = before === undefined ? [] : [this.#port.skipped(before.count, before.last)];
    this.#skippedBefore = undefined;
    for (const value of first.values) page.push(value);
    while (page.length < PAGE_VALUES) {
      const next = this.#waiting.peek();
      if (next === undefined || next.last > ready) break;
      this.#shift();
      for (const value of next.values) page.push(value);
    }
    return page;
  }

  /** What waited was given, and behind it some were dropped. */
  #takeSkipped(): readonly T[] | undefined {
    const behind = this.#skippedBehind;
    if (behind === undefined || this.#waiting.size > 0 || behind.last > this.#port.ready()) return undefined;
    this.#skippedBehind = undefined;
    this.#position = Math.max(this.#position, behind.last);
    return [this.#port.skipped(behind.count, behind.last)];
  }

  #hasRoomFor({ values, bytes }: LiveGroup<T>): boolean {
    const { valuesMax, bytesMax } = this.#options;
    const count = values.length + (this.#skippedBehind === undefined ? 0 : 1);
    return this.#waitingValues + count <= valuesMax && this.#waitingBytes + bytes <= bytesMax;
  }

  #overflow(group: LiveGroup<T>): void {
    const { onOverflow, valuesMax, bytesMax } = this.#options;
    if (onOverflow === 'replay') {
      // What was none of the subscriber's business before the first group that waits need not be read again.
      this.#position = this.position;
      this.#forget();
      this.#stopListening();
    } else if (onOverflow === 'fail') {
      const isTooMany = this.#waitingValues + group.values.length > valuesMax;
      this.fail(isTooMany ? new BufferOverflowError(valuesMax) : new BufferOverflowError(bytesMax, 'bytes'));
    } else if (onOverflow === 'dropNewest') {
      this.#skippedBehind = skip(this.#skippedBehind, group);
    } else {
      while (this.#waiting.size > 0 && !this.#hasRoomFor(group)) {
        this.#skippedBefore = skip(this.#skippedBefore, this.#remove());
      }
      this.#add(group);
    }
  }

  #add(group: LiveGroup<T>): void {
    const behind = this.#skippedBehind;
    if (behind !== undefined) {
      // There is room again: what was dropped is told of at its place.
      this.#skippedBehind = undefined;
      const { count, first, last } = behind;
      this.#waiting.push({ values: [this.#port.skipped(count, last)], first, last, bytes: 0 });
      this.#waitingValues += 1;
    }
    this.#waiting.push(group);
    this.#waitingValues += group.values.length;
    this.#waitingBytes += group.bytes;
  }

  /** The oldest that waits is given. */
  #shift(): void {
    this.#position = this.#remove().last;
  }

  #remove(): LiveGroup<T> {
    const group = this.#waiting.shift() as LiveGroup<T>;
    this.#waitingValues -= group.values.length;
    this.#waitingBytes -= group.bytes;
    return group;
  }

  #forget(): void {
    this.#waiting.clear();
    this.#waitingValues = 0;
    this.#waitingBytes = 0;
    this.#skippedBefore = undefined;
    this.#skippedBehind = undefined;
  }

  #stopListening(): void {
    if (!this.#isLive) return;
    this.#isLive = false;
    this.#port.listen(false);
  }
}

function skip<T>(before: Skipped | undefined, { values, first, last }: LiveGroup<T>): Skipped {
  return { count: (before?.count ?? 0) + values.length, first: before?.first ?? first, last };
}
