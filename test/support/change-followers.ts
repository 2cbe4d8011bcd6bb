/** Subscribers of a change stream, what they were given, and what they should have been given. */
import { expect } from 'vitest';
import {
  BufferOverflowError,
  type Change,
  type ChangeEvent,
  type ChangesOptions,
  ClosedError,
  type Cursor,
  HistoryGoneError,
  type SequenceNumber,
  type Store,
} from '../../src/index.ts';
import { toError } from '../../src/streams/to-error.ts';
import { type ModelChange, scanned, type TextEntry, textOf } from './sorted-model.ts';
import { modelChangeOf } from './store-commands.ts';

/** Everything that was committed, in order, and when. */
export class CommittedChanges {
  changes: ModelChange[] = [];

  get last(): SequenceNumber {
    return this.changes.at(-1)?.sequence ?? 0;
  }

  /** The entries, and the sequence number of the set behind each, as of a sequence number. */
  entriesAt(sequence: SequenceNumber): {
    readonly entries: TextEntry[];
    readonly sequences: Map<string, number>;
  } {
    const values = new Map<string, string>();
    const sequences = new Map<string, number>();
    for (const change of this.changes) {
      if (change.sequence > sequence) break;
      if (change.value === undefined) values.delete(change.key);
      else values.set(change.key, change.value);
      sequences.set(change.key, change.sequence);
    }
    return {
      entries: [...values].sort(([a], [b]) => (a < b ? -1 : 1)),
      sequences,
    };
  }

  after(position: SequenceNumber, options: ChangesOptions, end: SequenceNumber = Infinity): ModelChange[] {
    return this.changes.filter(({ key, sequence }) => sequence > position && sequence <= end && isIn(key, options));
  }

  /** Whether nothing that was committed with it, and is asked for, comes behind it. */
  isEndOfBatch(
    { sequence, batchIndex, batchSize }: ModelChange,
    options: ChangesOptions,
    end: SequenceNumber = Infinity,
  ): boolean {
    const endOfBatch = sequence - batchIndex + batchSize - 1;
    return this.after(sequence, options, end).every((change) => change.sequence > endOfBatch);
  }
}

const isIn = (key: string, options: ChangesOptions): boolean => scanned([[key, '']], options).length > 0;

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** The oldest sequence number that is kept: whoever asks for an older one is told at once, or after a turn on a busy machine. */
export async function startOf(store: Store): Promise<SequenceNumber> {
  const pages = store.changes({ from: 1 }).pages()[Symbol.asyncIterator]();
  const start = pages.next().then(
    () => 1,
    (error: unknown) => {
      if (error instanceof HistoryGoneError) return error.oldest;
      throw error;
    },
  );
  const tooLate = turn().then(turn).then(turn);
  const answer = await Promise.race([start, tooLate.then(() => 1)]);
  await pages.return?.();
  return answer;
}

/** A cursor, and the sequence number that it stands behind. */
export interface Place {
  readonly cursor: Cursor;
  readonly sequence: SequenceNumber;
}

export type Way = 'values' | 'pages' | 'push';

/** Where it begins at the earliest and, `Infinity` if only a later look tells, at the latest. */
export interface StartBounds {
  readonly lowest: SequenceNumber;
  readonly highest: SequenceNumber;
}

/** Milliseconds without anything new, after which nothing comes any more; generous, for busy machines. */
const PATIENCE_MS = 5_000;

/** One subscriber, over the life of one store. */
export class Follower {
  readonly options: ChangesOptions;
  readonly way: Way;
  /** Behind which sequence number it begins; `undefined`: its first change, or its snapshot, tells. */
  position: SequenceNumber | undefined;
  /** The sequence number that `until` stands for. */
  end: SequenceNumber = Infinity;
  readonly rows: ChangeEvent[] = [];
  /** Changes, and in the place of others that they were dropped. */
  readonly events: Exclude<ChangeEvent, { readonly type: 'entry' | 'snapshotEnd' }>[] = [];
  /** How many events there were after each page. */
  readonly pageEnds: number[] = [];
  snapshotSequence: SequenceNumber | undefined;
  /** Where another one would go on. */
  place: Place | undefined;
  error: unknown;
  isOver = false;
  /** Whether it came to its end by itself. */
  hasCompleted = false;
  #isStopped = false;
  readonly #store: Store;
  #start: StartBounds | undefined;
  readonly #pages: AsyncIterator<readonly ChangeEvent[]>;
  readonly #close: () => void;
  #reading: Promise<void> | undefined;

  /**
   * @param position - behind which sequence number the first change comes, where that is known
   * @param start - what else is known of where it begins
   */
  constructor(
    store: Store,
    options: ChangesOptions,
    position: SequenceNumber | undefined,
    way: Way,
    start?: StartBounds,
  ) {
    this.#store = store;
    this.options = options;
    this.position = position;
    this.way = way;
    this.#start = start;
    const stream = store.changes(options);
    if (way === 'push') {
      this.#pages = {
        next: () => Promise.reject(new Error('it is not pulled')),
      };
      const subscription = stream.subscribe({
        next: (event) => this.#take([event]),
        error: (error: unknown) => this.#end(error),
        complete: () => this.#end(undefined),
      });
      this.#close = () => subscription.unsubscribe();
    } else {
      const pages =
        way === 'pages' ? stream.pages()[Symbol.asyncIterator]() : inSingles(stream[Symbol.asyncIterator]());
      this.#pages = pages;
      this.#close = () => void pages.return?.();
    }
  }

  get changes(): readonly Change[] {
    return this.events.filter((event) => event.type !== 'skipped');
  }

  #end(error: unknown): void {
    this.isOver = true;
    this.error = error;
    this.hasCompleted = error === undefined && !this.#isStopped;
  }

  #take(page: readonly ChangeEvent[]): void {
    if (this.isOver) this.error = new Error('something came after the end');
    for (const event of page) {
      if (event.type === 'entry') {
        if (this.snapshotSequence !== undefined) this.error = new Error('a row after the end of the snapshot');
        this.rows.push(event);
        continue;
      }
      const { cursor, sequence } = event;
      this.place = { cursor, sequence };
      if (event.type === 'snapshotEnd') {
        if (this.snapshotSequence !== undefined) this.error = new Error('a second snapshot');
        this.snapshotSequence = sequence;
        this.position = sequence;
      } else {
        if (event.type !== 'skipped') this.position ??= sequence - 1;
        this.events.push(event);
      }
    }
    if (this.way === 'pages') this.pageEnds.push(this.events.length);
  }

  /** Reads a page, or goes on waiting for the one that it waits for, so long as something can come. */
  async read(end: Promise<unknown>): Promise<void> {
    if (this.isOver || this.way === 'push') return;
    this.#reading ??= this.#pages
      .next()
      .then(
        ({ done, value }) => (done === true ? this.#end(undefined) : this.#take(value)),
        (error: unknown) => this.#end(error),
      )
      .finally(() => (this.#reading = undefined));
    await Promise.race([this.#reading, end]);
  }

  /** Stops; nothing is given any more. */
  async close(): Promise<void> {
    this.#isStopped = true;
    this.#close();
    await this.#reading;
  }

  /** Everything that it was given is what it should have been given, up to somewhere; its end had a good reason. */
  check(committed: CommittedChanges, isHistoryShort: boolean): void {
    this.#checkEnd(isHistoryShort);
    const due = committed.after(this.position ?? Infinity, this.options, this.end);
    let given = 0;
    const counts = this.events.map((event) => {
      if (event.type === 'skipped') {
        given += event.count;
        expect(due[given - 1]?.sequence).toBeLessThanOrEqual(event.sequence);
        expect(due[given]?.sequence ?? Infinity).toBeGreaterThan(event.sequence);
      } else {
        expect(modelChangeOf(event)).toEqual(due[given]);
        given += 1;
      }
      return given;
    });
    for (const end of this.pageEnds) {
      const change = due[(counts[end - 1] ?? 0) - 1];
      if (change !== undefined) expect(committed.isEndOfBatch(change, this.options, this.end)).toBe(true);
    }
    // Its end says that this was all.
    if (this.hasCompleted && this.end !== Infinity && this.position !== undefined) expect(given).toBe(due.length);
    const times = this.changes.map(({ timeMs }) => timeMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    if (this.options.from === 'snapshot') this.#checkRows(committed);
    if (this.#start !== undefined) this.#checkStart(this.#start, committed);
  }

  #checkEnd(isHistoryShort: boolean): void {
    const { error } = this;
    if (error === undefined) return;
    if (error instanceof ClosedError && this.end !== Infinity) return; // the store was closed before its end
    if (error instanceof HistoryGoneError && isHistoryShort) {
      expect(error.sequence).toBeLessThan(error.oldest);
    } else if (!(error instanceof BufferOverflowError && this.options.overflow === 'fail')) {
      throw toError(error);
    }
  }

  #checkRows(committed: CommittedChanges): void {
    if (this.snapshotSequence === undefined) return expect(this.events).toEqual([]);
    const { entries, sequences } = committed.entriesAt(this.snapshotSequence);
    const rows = this.rows.flatMap((row): (string | number)[][] =>
      row.type === 'entry' ? [[textOf(row.key), textOf(row.value), row.sequence]] : [],
    );
    const due = scanned(entries, this.options).filter((entry) => typeof entry !== 'string');
    expect(rows).toEqual(due.map(([key, value]) => [key, value, sequences.get(key)]));
  }

  #checkStart({ lowest, highest }: StartBounds, committed: CommittedChanges): void {
    const [first] = this.changes;
    if (first === undefined) return;
    expect(first.sequence).toBeGreaterThanOrEqual(lowest);
    const [latest] = committed.after(highest - 1, this.options);
    if (latest !== undefined) expect(first.sequence).toBeLessThanOrEqual(latest.sequence);
  }

  /** Whether it has everything that there is for it. */
  #isUpToDate(committed: CommittedChanges): boolean {
    if (this.options.from === 'snapshot' && this.snapshotSequence === undefined) return false;
    if (this.end <= committed.last) return false; // then it comes to its end
    const position = this.position ?? (this.#start?.highest ?? 1) - 1;
    if (position === Infinity) return false; // nobody has looked where it may have begun
    const given = this.events.reduce((sum, event) => sum + (event.type === 'skipped' ? event.count : 1), 0);
    return given >= committed.after(position, this.options, this.end).length;
  }

  /** Where history begins now is the latest that it can have begun: until it has something, it begins with the oldest there is. */
  async #lookForStart(): Promise<void> {
    if (this.options.from !== 'start' || this.#start === undefined) return;
    this.#start = { lowest: this.#start.lowest, highest: await startOf(this.#store) };
  }

  /** Reads on until it has everything, or comes to an end. */
  async drain(committed: CommittedChanges): Promise<void> {
    let [given, since] = [-1, performance.now()];
    for (let turns = 0; ; turns += 1) {
      const next = turn();
      await this.read(next);
      await next;
      // When it has begun for certain; then now and then: each question reads from the disk.
      if (this.position === undefined && turns % 50 === 5) await this.#lookForStart();
      if (this.isOver || this.#isUpToDate(committed)) return this.#lookForStart();
      const now = this.events.length + this.rows.length;
      if (now > given) [given, since] = [now, performance.now()];
      if (performance.now() < since + PATIENCE_MS) continue;
      this.check(committed, true); // a change that is missing says more
      const from = `${String(this.options.from)}, behind ${this.position}`;
      throw new Error(`${this.way} from ${from}: no more came after ${now}`);
    }
  }
}

/** An iterator of values as one of pages with one value. */
function inSingles(values: AsyncIterator<ChangeEvent, unknown>): AsyncIterator<readonly ChangeEvent[]> {
  return {
    next: async () => {
      const result = await values.next();
      return result.done === true ? { done: true, value: undefined } : { done: false, value: [result.value] };
    },
    return: async () => {
      await values.return?.();
      return { done: true, value: undefined };
    },
  };
}
