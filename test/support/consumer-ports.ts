// A store and a change stream in a Map, a clock that is moved by hand: what a consumer stands on, without the engine. A
// "crash" of a consumer is to drop all of it but the store.
import { type Mock, vi } from 'vitest';
import { ConflictError } from '../../src/errors.ts';
import type {
  Bytes,
  Change,
  Commit,
  Cursor,
  Entry,
  KeyRange,
  VersionedValue,
  WriteOperation,
} from '../../src/model.ts';
import type { Clock } from '../../src/streams/clock.ts';
import type {
  Backlog,
  ChangeSource,
  ConsumerFrom,
  ConsumerSource,
  ConsumerStorePort,
  Place,
} from '../../src/streams/consumer-source.ts';
import { Operation } from '../../src/streams/operation.ts';
import type { PageSource } from '../../src/streams/stream.ts';
import { randomOf } from './runs.ts';

const latin1 = (key: Bytes): string => Buffer.from(key as Uint8Array).toString('latin1');
const bytes = (data: Bytes): Uint8Array => new Uint8Array(Buffer.from(data as Uint8Array));

interface HandTimer {
  readonly dueMs: number;
  readonly work: () => void;
}

/** Time that passes only by `advance`. */
export class HandClock implements Clock {
  nowMs = 0;
  readonly timers: Set<HandTimer> = new Set();
  readonly #random = randomOf(1);

  now(): number {
    return this.nowMs;
  }
  date(): Date {
    return new Date(1_700_000_000_000 + this.nowMs);
  }
  random(): number {
    return this.#random();
  }
  setTimer(work: () => void, ms: number): () => void {
    const timer = { dueMs: this.nowMs + ms, work };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }
  afterTurn(work: () => void): void {
    setImmediate(work);
  }
  afterMicrotask(work: () => void): void {
    queueMicrotask(work);
  }

  /** Fires what is due, in order, each followed by a turn. */
  async advance(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    for (;;) {
      await turns();
      const [next] = [...this.timers].sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined || next.dueMs > end) break;
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      this.timers.delete(next);
      next.work();
    }
    this.nowMs = end;
    await turns();
  }
}

/** Lets everything that needs no timer happen. */
export async function turns(count = 8): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export const cursorAt = (sequence: number): Cursor => `al1.${sequence}`;

/** How a test has a hand in what happens. */
export interface Hands {
  /** Called before each commit takes effect; what it rejects with is the commit's failure. */
  beforeCommit: (operations: readonly WriteOperation[]) => Promise<void>;
  beforeEntry: () => Promise<void>;
  beforePull: () => Promise<void>;
  /** Changes of the next page; at least 1. */
  pageSize: () => number;
  /** Whether a page that is there is given at once. */
  isPullSync: () => boolean;
}

/** Everything that survives a crash. */
export class ModelStore implements ConsumerStorePort, ConsumerSource {
  readonly entries: Map<string, VersionedValue> = new Map();
  readonly log: Change[] = [];
  readonly commits: (readonly WriteOperation[])[] = [];
  readonly retained: Map<string, Place> = new Map();
  readonly durability = 'buffered';
  readonly clock: Clock;
  sequence = 0;
  isClosed = false;
  readonly hands: Hands = {
    beforeCommit: () => Promise.resolve(),
    beforeEntry: () => Promise.resolve(),
    beforePull: () => Promise.resolve(),
    pageSize: () => 1_000,
    isPullSync: () => false,
  };
  readonly waiting: Set<() => void> = new Set();
  openSources = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A user's write. */
  put(key: string, value: string): number {
    this.#apply([{ type: 'set', key, value }]);
    return this.sequence;
  }

  close(): void {
    this.isClosed = true;
    for (const wake of [...this.waiting]) wake();
  }

  text(key: string): string | undefined {
    const entry = this.entries.get(key);
    return entry === undefined ? undefined : Buffer.from(entry.value).toString();
  }

  readonly commit: Mock<ConsumerStorePort['commit']> = vi.fn(async (operations): Promise<Commit> => {
    await this.hands.beforeCommit(operations);
    for (const operation of operations) {
      if (operation.type !== 'check') continue;
      const actual = this.entries.get(latin1(operation.key))?.sequence ?? 'absent';
      if (actual !== operation.sequence) throw new ConflictError(bytes(operation.key), operation.sequence, actual);
    }
    this.commits.push(operations);
    this.#apply(operations);
    return { sequence: this.sequence, durability: 'synced' };
  });

  #apply(operations: readonly WriteOperation[]): void {
    for (const operation of operations) {
      if (operation.type === 'check') continue;
      this.sequence += 1;
      const name = latin1(operation.key);
      const place = {
        key: bytes(operation.key),
        sequence: this.sequence,
        batchIndex: 0,
        batchSize: 1,
        timeMs: this.clock.date().getTime(),
        cursor: cursorAt(this.sequence),
      };
      if (operation.type === 'set') {
        const value = bytes(operation.value);
        this.entries.set(name, { value, sequence: this.sequence });
        if (!name.startsWith('!_alluvium!')) this.log.push({ type: 'set', value, ...place });
      } else {
        this.entries.delete(name);
        if (!name.startsWith('!_alluvium!')) this.log.push({ type: 'delete', ...place });
      }
    }
    for (const wake of [...this.waiting]) wake();
  }

  entry(key: Bytes): Operation<VersionedValue | undefined> {
    return new Operation((sink) => {
      this.hands.beforeEntry().then(
        () => sink.succeed(this.entries.get(latin1(key))),
        (error: unknown) => sink.fail(error),
      );
      return undefined;
    });
  }

  scanReserved({ gt, gte, lt }: KeyRange): PageSource<Entry> {
    const lower = latin1(gte ?? gt ?? '');
    const rows = [...this.entries]
      .filter(
        ([key]) =>
          (gte === undefined && gt !== undefined ? key > lower : key >= lower) &&
          (lt === undefined || key < latin1(lt)),
      )
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { value }]) => ({ key: new Uint8Array(Buffer.from(key, 'latin1')), value }));
    return { pull: () => rows.splice(0, 3), close: () => undefined };
  }

  resolve(from: ConsumerFrom): Place {
    if (from === 'start') return { cursor: cursorAt(0), sequence: 0 };
    if (from === 'now') return { cursor: cursorAt(this.sequence), sequence: this.sequence };
    if (typeof from === 'number') return { cursor: cursorAt(from - 1), sequence: from - 1 };
    if (from instanceof Date) throw new Error('no dates here');
    return { cursor: from, sequence: Number(from.slice(4)) };
  }

  async lag(after: Cursor, range: KeyRange, settled: readonly number[]): Promise<Backlog> {
    await Promise.resolve();
    const isSettled = ({ sequence }: Change): boolean =>
      settled.some(
        (first, index) => index % 2 === 0 && sequence >= first && sequence < first + (settled[index + 1] ?? 0),
      );
    const behind = this.log.filter(
      (change) => change.sequence > this.resolve(after).sequence && isIn(range, change) && !isSettled(change),
    );
    const size = (sum: number, change: Change): number =>
      sum + change.key.length + (change.type === 'set' ? change.value.length : 0);
    return { changes: behind.length, bytes: behind.reduce(size, 0), oldestTimeMs: behind[0]?.timeMs };
  }

  retain(consumer: string, watermark: Place | undefined): void {
    if (watermark === undefined) this.retained.delete(consumer);
    else this.retained.set(consumer, watermark);
  }

  open(from: Cursor, range: KeyRange): ChangeSource {
    this.openSources += 1;
    return new ModelSource(this, this.resolve(from).sequence, range);
  }
}

const isIn = ({ gte, lt }: KeyRange, { key }: Change): boolean =>
  (gte === undefined || latin1(key) >= latin1(gte)) && (lt === undefined || latin1(key) < latin1(lt));

class ModelSource implements ChangeSource {
  readonly #store: ModelStore;
  readonly #range: KeyRange;
  /** Everything up to here was given or is out of range; and the log up to `#index` was looked at. */
  #sequence: number;
  #index: number;
  #isClosed = false;
  #wake: (() => void) | undefined;

  constructor(store: ModelStore, after: number, range: KeyRange) {
    this.#store = store;
    this.#range = range;
    this.#sequence = after;
    this.#index = store.log.findIndex((change) => change.sequence > after);
    if (this.#index < 0) this.#index = store.log.length;
  }

  get watermark(): Place {
    return { cursor: cursorAt(this.#sequence), sequence: this.#sequence };
  }

  pull(): readonly Change[] | Promise<readonly Change[]> {
    if (this.#store.hands.isPullSync()) {
      const page = this.#next();
      if (page.length > 0) return page;
    }
    return this.#later();
  }

  async #later(): Promise<readonly Change[]> {
    await this.#store.hands.beforePull();
    for (;;) {
      if (this.#isClosed || this.#store.isClosed) return [];
      const page = this.#next();
      if (page.length > 0) return page;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#store.waiting.add(resolve);
      });
      if (this.#wake !== undefined) this.#store.waiting.delete(this.#wake);
    }
  }

  #next(): readonly Change[] {
    const { log, hands } = this.#store;
    const page: Change[] = [];
    for (const size = hands.pageSize(); this.#index < log.length && page.length < size; this.#index += 1) {
      const change = log[this.#index] as Change;
      if (isIn(this.#range, change)) page.push(change);
      this.#sequence = change.sequence;
    }
    if (this.#index === log.length) this.#sequence = this.#store.sequence;
    return page;
  }

  close(): void {
    if (!this.#isClosed) this.#store.openSources -= 1;
    this.#isClosed = true;
    this.#wake?.();
  }
}
