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
  const WAITING_CHANGES_MAX = 65_536;
  const BATCH = 8_192;

  it(
    'ends in BufferOverflowError at its bound, and holds up neither writers nor other readers',
    { timeout: 30_000 },
    async () => {
      const store = await open(DIRECTORY, { fileSystem: new MemoryFileSystem() });
      const slow = store.changes()[Symbol.asyncIterator]();
      const first = slow.next(); // opened, and not read from here on
      let seen = 0;
      const fast = (async () => {
        for await (const change of store.changes()) {
          seen += 1;
          expect(change.sequence).toBe(seen);
        }
      })();
      const batches = WAITING_CHANGES_MAX / BATCH + 3;
      for (let batch = 0; batch < batches; batch += 1) {
        const lines = Array.from({ length: BATCH }, (_, index): WriteOperation => ({
          type: 'set',
          key: String(index),
          value: '',
        }));
        expect((await store.write(lines, { durability: 'buffered' })).sequence).toBe((batch + 1) * BATCH);
      }
      expect(await first).toMatchObject({ done: false, value: { sequence: 1 } });
      let last = 1;
      const drain = async (): Promise<void> => {
        for (
          let step: IteratorResult<Change, unknown> = await slow.next();
          step.done !== true;
          step = await slow.next()
        ) {
          expect(step.value.sequence).toBe(last + 1); // without a hole up to its end
          last += 1;
        }
      };
      await expect(drain()).rejects.toBeInstanceOf(BufferOverflowError);
      expect(last).toBeLessThanOrEqual(WAITING_CHANGES_MAX + BATCH); // what waited, and the page that was pulled already
      expect(last % BATCH).toBe(0); // whole batches
      await store.close();
      await fast;
      expect(seen).toBe(batches * BATCH);
    },
  );
});
