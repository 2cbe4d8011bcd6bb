// Goal: no buffer of a store exceeds its bound, whoever writes how much; under 'wait' nothing is lost or reordered, and
// under the other policies each write is answered once: done, or refused and not done.
// Method: bursts of writes into a store with tiny bounds, its figures read at every file call and every event; slow readers
// of changes beside a fast one.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BufferOverflowError,
  type Change,
  type Commit,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { contentOf, DIRECTORY } from '../support/crash-workload.ts';
import { Remembered } from '../support/garbage.ts';
import { PROPERTY_MS, runsOf } from '../support/runs.ts';

interface Bounds {
  readonly waitingWritesMax: number;
  readonly waitingWriteBytesMax: number;
  readonly groupBytesMax: number;
  readonly waitingMemtablesMax: number;
}

const bounds: fc.Arbitrary<Bounds> = fc.record({
  waitingWritesMax: fc.integer({ min: 1, max: 8 }),
  waitingWriteBytesMax: fc.integer({ min: 1, max: 2000 }),
  groupBytesMax: fc.constantFrom(1, 200, 100_000),
  waitingMemtablesMax: fc.integer({ min: 1, max: 2 }),
});

interface Burst {
  /** Bytes of the value of each write of the burst. */
  readonly values: readonly number[];
  readonly isSynced: boolean;
  /** Whether the next burst waits for the answers to this one, or only for a turn of the event loop, or for nothing. */
  readonly then: 'answers' | 'turn' | 'nothing';
  readonly isFlushing: boolean;
}

const bursts: fc.Arbitrary<Burst[]> = fc.array(
  fc.record({
    values: fc.array(fc.constantFrom(0, 10, 100, 900, 3000), { minLength: 1, maxLength: 30, size: 'max' }),
    isSynced: fc.boolean(),
    then: fc.constantFrom('answers', 'turn', 'nothing'),
    isFlushing: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6, size: 'max' },
);

interface Answers {
  readonly index: number;
  readonly bytes: number;
  readonly commits: Commit[];
  readonly errors: unknown[];
}

/** Reads the figures of a store over and over, and keeps the highest. */
class Gauge {
  readonly #bounds: Bounds;
  store: Store | undefined;
  reads = 0;
  violation: string | undefined;

  constructor(limits: Bounds) {
    this.#bounds = limits;
  }

  read(): void {
    if (this.store === undefined) return;
    const { waitingWritesMax, waitingWriteBytesMax, waitingMemtablesMax } = this.#bounds;
    const { waitingWrites, waitingWriteBytes, waitingMemtables } = this.store.stats();
    this.reads += 1;
    // A write larger than the bound may wait alone; a barrier has no bytes.
    const isOver =
      waitingWrites > waitingWritesMax ||
      (waitingWriteBytes > waitingWriteBytesMax && waitingWrites > 1) ||
      waitingMemtables > waitingMemtablesMax;
    if (isOver) this.violation ??= `${waitingWrites} writes, ${waitingWriteBytes} bytes, ${waitingMemtables} memtables`;
  }
}

interface Outcome {
  readonly answers: readonly Answers[];
  /** Indexes of the writes in the order of their acknowledgements. */
  readonly order: readonly number[];
  readonly entries: readonly string[];
  readonly changes: readonly string[];
}

const keyOf = (index: number): string => `k${String(index).padStart(5, '0')}`;

/** Runs the bursts against a store, closes it with whatever still waits, and looks at it again. */
async function flood(limits: Bounds, plan: readonly Burst[], onOverflow: OpenOptions['onOverflow']): Promise<Outcome> {
  const gauge = new Gauge(limits);
  const fileSystem = new MemoryFileSystem({
    onOperation: () => {
      gauge.read();
      return undefined;
    },
  });
  const options = { ...limits, onOverflow, memtableBytesMax: 2048, level0CompactionTrigger: 2, syncIntervalMs: 1 };
  const store = await open(DIRECTORY, { ...options, fileSystem });
  gauge.store = store;
  store.events.subscribe(() => gauge.read());
  const changes: string[] = [];
  const collecting = (async () => {
    for await (const { key } of store.changes()) changes.push(Buffer.from(key).toString());
  })();

  const answers: Answers[] = [];
  const order: number[] = [];
  for (const { values, isSynced, then, isFlushing } of plan) {
    const waiting = values.map((bytes) => {
      const one: Answers = { index: answers.length, bytes, commits: [], errors: [] };
      answers.push(one);
      return new Promise<void>((resolve) => {
        const durability = isSynced ? 'synced' : 'buffered';
        store.set(keyOf(one.index), new Uint8Array(bytes), { durability }).subscribe({
          next: (commit) => {
            gauge.read();
            one.commits.push(commit);
            order.push(one.index);
          },
          error: (error: unknown) => {
            one.errors.push(error);
            resolve();
          },
          complete: resolve,
        });
        gauge.read();
      });
    });
    if (isFlushing)
      void store.flush().then(undefined, (error: unknown) => expect(error).toBeInstanceOf(BufferOverflowError));
    if (then === 'answers') await Promise.all(waiting);
    if (then === 'turn') await new Promise(setImmediate);
  }
  await store.close();
  gauge.read();
  await collecting;
  expect(gauge.violation).toBeUndefined();
  expect(gauge.reads).toBeGreaterThan(answers.length);
  const again = await open(DIRECTORY, { ...options, fileSystem });
  const entries = (await contentOf(again)).map(([key]) => key);
  await again.close();
  return { answers, order, entries, changes };
}

describe('writes that come faster than the disk takes them', () => {
  it("are all done, in order, under 'wait'", { timeout: PROPERTY_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(bounds, bursts, async (limits, plan) => {
        const { answers, order, entries, changes } = await flood(limits, plan, 'wait');
        const all = answers.map(({ index }) => index);
        for (const { commits, errors } of answers) expect([commits.length, errors]).toEqual([1, []]);
        expect(answers.map(({ commits }) => commits[0]?.sequence)).toEqual(all.map((index) => index + 1));
        expect(order).toEqual(all);
        expect(entries).toEqual(all.map(keyOf));
        expect(changes).toEqual(entries);
      }),
      runsOf(100),
    );
  });

  it('are each answered once, done or refused, under the other policies', { timeout: PROPERTY_MS }, async () => {
    let refusedInAll = 0;
    const policy = fc.constantFrom<OpenOptions['onOverflow']>('fail', 'dropNewest', 'dropOldest');
    await fc.assert(
      fc.asyncProperty(bounds, bursts, policy, async (limits, plan, onOverflow) => {
        const { answers, order, entries, changes } = await flood(limits, plan, onOverflow);
        for (const { commits, errors } of answers) {
          expect(commits.length + errors.length).toBe(1);
          for (const error of errors) {
            expect(error).toBeInstanceOf(BufferOverflowError);
            const { capacity, unit } = error as BufferOverflowError;
            expect(capacity).toBe(unit === 'values' ? limits.waitingWritesMax : limits.waitingWriteBytesMax);
          }
        }
        const done = answers.filter(({ commits }) => commits.length === 1).map(({ index }) => index);
        refusedInAll += answers.length - done.length;
        expect(order).toEqual(done);
        expect(entries).toEqual(done.map(keyOf));
        expect(changes).toEqual(entries);
      }),
      runsOf(100),
    );
    expect(refusedInAll).toBeGreaterThan(0);
  });
});

describe('a change stream that nobody reads', () => {
  const BATCH = 8_192;
  const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

  /** Writes whole batches; the sequence numbers go on behind `from` of them. */
  async function writeBatches(store: Store, from: number, to: number): Promise<void> {
    const lines = upTo(BATCH).map((index): WriteOperation => ({ type: 'set', key: String(index), value: '' }));
    for (let batch = from; batch < to; batch += 1) {
      expect((await store.write(lines, { durability: 'buffered' })).sequence).toBe((batch + 1) * BATCH);
    }
  }

  /** Sequence numbers up to `last`, or to the end; the error that ended them. */
  async function read(
    changes: AsyncIterator<Change>,
    last = Infinity,
    each: (change: Change) => void = () => undefined,
  ): Promise<{ readonly sequences: readonly number[]; readonly error: unknown }> {
    const sequences: number[] = [];
    try {
      for (;;) {
        const { done, value } = (await changes.next()) as IteratorResult<Change, undefined>;
        if (done === true) break;
        sequences.push(value.sequence);
        each(value);
        if (value.sequence >= last) break;
      }
      return { sequences, error: undefined };
    } catch (error) {
      return { sequences, error };
    }
  }

  it("ends in an error at its bound under 'fail', and holds up neither writers nor other readers", async () => {
    const WAITING_CHANGES_MAX = 65_536;
    const store = await open(DIRECTORY, { fileSystem: new MemoryFileSystem() });
    const slow = store.changes({ overflow: 'fail' })[Symbol.asyncIterator]();
    const first = slow.next(); // opened, and not read from here on
    const fast = read(store.changes({ overflow: 'fail' })[Symbol.asyncIterator]());
    const batches = WAITING_CHANGES_MAX / BATCH + 3;
    await writeBatches(store, 0, batches);
    expect(await first).toMatchObject({ done: false, value: { sequence: 1 } });
    const { sequences, error } = await read(slow);
    expect(error).toBeInstanceOf(BufferOverflowError);
    expect(error).toMatchObject({ capacity: WAITING_CHANGES_MAX, unit: 'values' });
    // What may wait, and the page that was pulled before: whole batches, and nothing left out before the end.
    expect([1, ...sequences]).toEqual(upTo(WAITING_CHANGES_MAX + BATCH));
    await store.close();
    expect(await fast).toEqual({ sequences: upTo(batches * BATCH), error: undefined });
  });

  it("never ends under 'replay': it holds no more than may wait, and is given everything later", async () => {
    const batches = 20;
    const store = await open(DIRECTORY, { fileSystem: new MemoryFileSystem() });
    const slow = store.changes({ bufferChangesMax: 2 * BATCH + 1 })[Symbol.asyncIterator]();
    const first = slow.next();
    // Subscribers share the changes: one that the fast reader has let go of is held by the slow one, or by nobody.
    const changes = new Remembered<Change>();
    const fast = read(store.changes()[Symbol.asyncIterator](), batches * BATCH, (change) => changes.add(change));
    await writeBatches(store, 0, 3);
    // The page that was pulled, and what waits: so the count counts.
    expect(await changes.held()).toBeGreaterThanOrEqual(3 * BATCH);
    for (let batch = 3; batch < batches; batch += 1) {
      await writeBatches(store, batch, batch + 1);
      // The page that was pulled, the one that the fast reader is at, and what the engine's registers may hold.
      expect(await changes.held()).toBeLessThanOrEqual(2 * BATCH + 2);
    }
    expect(await first).toMatchObject({ done: false, value: { sequence: 1 } });
    const { sequences, error } = await read(slow, batches * BATCH);
    expect([1, ...sequences]).toEqual(upTo(batches * BATCH));
    expect(error).toBeUndefined();
    expect((await fast).sequences).toEqual(upTo(batches * BATCH));
    await store.close();
  });
});
