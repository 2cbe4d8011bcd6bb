/** Subscribers of a change stream, what they were given, and what they should have been given. */
import { expect } from 'vitest';
import {
  type Change,
  type ChangeEvent,
  type ChangesOptions,
  type Cursor,
  EngineError,
  HistoryGoneError,
  type SequenceNumber,
  type Store,
} from '../../src/index.ts';
import { type ModelChange, scanned, type TextEntry, textOf } from './sorted-model.ts';
import { modelChangeOf } from './store-commands.ts';
import { inTime } from './waiting.ts';

/** Everything that was committed, in order, and when. */
export class CommittedChanges {
  changes: ModelChange[] = [];

  get last(): SequenceNumber {
    return this.changes.at(-1)?.sequence ?? 0;
  }

  /** The entries, and the sequence number of the set behind each, as of a sequence number. */
  entriesAt(sequence: SequenceNumber): { readonly entries: TextEntry[]; readonly sequences: Map<string, number> } {
    const values = new Map<string, string>();
    const sequences = new Map<string, number>();
    for (const change of this.changes) {
      if (change.sequence > sequence) break;
      if (change.value === undefined) values.delete(change.key);
      else values.set(change.key, change.value);
      sequences.set(change.key, change.sequence);
    }
    return { entries: [...values].sort(([a], [b]) => (a < b ? -1 : 1)), sequences };
  }

  after(position: SequenceNumber, options: ChangesOptions): ModelChange[] {
    return this.changes.filter(({ key, sequence }) => sequence > position && isIn(key, options));
  }

  /** Whether nothing that was committed with it, and is asked for, comes behind it. */
  isEndOfBatch({ sequence, batchIndex, batchSize }: ModelChange, options: ChangesOptions): boolean {
    const end = sequence - batchIndex + batchSize - 1;
    return this.after(sequence, options).every((change) => change.sequence > end);
  }
}

const isIn = (key: string, options: ChangesOptions): boolean => scanned([[key, '']], options).length > 0;

type Way = 'values' | 'pages' | 'push';

/** One subscriber, over the life of one store. */
export class Follower {
  readonly options: ChangesOptions;
  readonly way: Way;
  /** Behind which sequence number it begins; `undefined`: its first change, or its snapshot, tells. */
  position: SequenceNumber | undefined;
  readonly rows: ChangeEvent[] = [];
  readonly changes: Change[] = [];
  /** How many changes there were after each page. */
  readonly pageEnds: number[] = [];
  snapshotSequence: SequenceNumber | undefined;
  cursor: Cursor | undefined;
  error: unknown;
  isOver = false;
  readonly #pages: AsyncIterator<readonly ChangeEvent[]>;
  readonly #close: () => void;
  #reading: Promise<void> | undefined;

  constructor(store: Store, options: ChangesOptions, position: SequenceNumber | undefined, way: Way) {
    this.options = options;
    this.position = position;
    this.way = way;
    const stream = store.changes(options);
    if (way === 'push') {
      this.#pages = { next: () => Promise.reject(new Error('it is not pulled')) };
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

  #end(error: unknown): void {
    this.isOver = true;
    this.error = error;
  }

  #take(page: readonly ChangeEvent[]): void {
    for (const event of page) {
      if (event.type === 'entry') {
        expect(this.snapshotSequence).toBeUndefined();
        this.rows.push(event);
      } else if (event.type === 'snapshotEnd') {
        expect(this.snapshotSequence).toBeUndefined();
        this.snapshotSequence = event.sequence;
        this.position = event.sequence;
        this.cursor = event.cursor;
      } else if (event.type !== 'skipped') {
        this.position ??= event.sequence - 1;
        this.changes.push(event);
        this.cursor = event.cursor;
      } else throw new Error('a policy that drops nothing has dropped something');
    }
    if (this.way === 'pages') this.pageEnds.push(this.changes.length);
  }

  /** Reads a page, or goes on waiting for the one that it waits for, so long as something can come. */
  async read(turn: Promise<unknown>): Promise<void> {
    if (this.isOver || this.way === 'push') return;
    this.#reading ??= this.#pages
      .next()
      .then(
        ({ done, value }) => (done === true ? this.#end(undefined) : this.#take(value)),
        (error: unknown) => this.#end(error),
      )
      .finally(() => (this.#reading = undefined));
    await Promise.race([this.#reading, turn]);
  }

  /** Stops; nothing is given any more. */
  async close(): Promise<void> {
    this.#close();
    await this.#reading;
  }

  /** Everything that it was given is what it should have been given, up to somewhere. */
  check(committed: CommittedChanges): void {
    const position = this.position ?? Infinity;
    const given = this.changes.map(modelChangeOf);
    const due = committed.after(position, this.options);
    expect(given).toEqual(due.slice(0, given.length));
    for (const end of this.pageEnds) {
      const change = given[end - 1];
      if (change !== undefined) expect(committed.isEndOfBatch(change, this.options)).toBe(true);
    }
    const times = this.changes.map(({ timeMs }) => timeMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    if (this.options.from === 'snapshot') this.#checkRows(committed);
  }

  #checkRows(committed: CommittedChanges): void {
    if (this.snapshotSequence === undefined) return expect(this.changes).toEqual([]);
    const { entries, sequences } = committed.entriesAt(this.snapshotSequence);
    const rows = this.rows.flatMap((row): (string | number)[][] =>
      row.type === 'entry' ? [[textOf(row.key), textOf(row.value), row.sequence]] : [],
    );
    const due = scanned(entries, this.options).filter((entry) => typeof entry !== 'string');
    expect(rows).toEqual(due.map(([key, value]) => [key, value, sequences.get(key)]));
  }

  /** Whether it has everything that there is for it. */
  isUpToDate(committed: CommittedChanges): boolean {
    if (this.options.from === 'snapshot' && this.snapshotSequence === undefined) return false;
    if (this.position === undefined) return committed.after(0, this.options).length === 0;
    return this.changes.length >= committed.after(this.position, this.options).length;
  }

  /** Reads on until it has everything; a place that is gone is an answer, where history is short. */
  async drain(committed: CommittedChanges, isHistoryShort: boolean): Promise<void> {
    const state = { isLate: false };
    const work = async (): Promise<void> => {
      while (!this.isOver && !this.isUpToDate(committed) && !state.isLate) {
        const turn = new Promise<void>((resolve) => void setImmediate(resolve));
        await this.read(turn);
        if (this.way === 'push') await turn;
      }
    };
    const what = `${this.way} from ${String(this.options.from)} behind ${this.position}: ${this.changes.length} changes`;
    await inTime(what, work()).finally(() => (state.isLate = true));
    this.check(committed);
    if (this.error === undefined) return;
    if (!isHistoryShort || !(this.error instanceof HistoryGoneError)) throw this.error as EngineError;
    expect(this.error.sequence).toBeLessThan(this.error.oldest);
  }
}

/** An iterator of values as one of pages with one value. */
function inSingles(values: AsyncIterator<ChangeEvent>): AsyncIterator<readonly ChangeEvent[]> {
  return {
    next: async () => {
      const { done, value } = await values.next();
      return done === true ? { done, value: undefined } : { done: false, value: [value as ChangeEvent] };
    },
    return: async () => {
      await values.return?.();
      return { done: true, value: undefined };
    },
  };
}
