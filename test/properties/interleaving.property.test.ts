// Goal: in whatever order the file system answers, all writes have one order: that of their acknowledgements, of their
// sequence numbers, and of the changes published. Batches are whole for every reader, a read after an acknowledgement sees
// the write, snapshots stand still, and every operation gets an answer, also when the store is closed in the midst of it.
// Each key is linearizable.
// Method: fc.scheduler decides, one by one, which file call happens next, which turn of the event loop, which timer fires.
// Every value is told apart, so that at the end each read can be compared with the states that it may have seen, and the
// history of each key goes to the checker of linearizability (T10).
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  EngineError,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type Snapshot,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { contentOf, DIRECTORY } from '../support/crash-workload.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { recordFigures } from '../support/figures.ts';
import { linearizabilityViolation } from '../support/linearizability.ts';
import { randomOptions } from '../support/option-sets.ts';
import { CallHistory, type OpenCall } from '../support/register-clients.ts';
import { PROPERTY_MS, randomOf, runsOf } from '../support/runs.ts';
import { ScheduledClock } from '../support/scheduled-clock.ts';
import { bytesOf, type ModelChange, type TextEntry, textOf } from '../support/sorted-model.ts';
import { modelChangeOf } from '../support/store-commands.ts';

const KEYS = ['a', 'ab', 'b', 'c'] as const;
const keyIndex = fc.integer({ min: 0, max: KEYS.length - 1 });

type Step =
  | { readonly do: 'write'; readonly lines: readonly { readonly key: number; readonly isDelete: boolean }[] }
  | { readonly do: 'get'; readonly key: number }
  | { readonly do: 'getMany' | 'scan' | 'scanBack' | 'snapshot' | 'snapshotRead' | 'flush' | 'compact' | 'close' };

/** What one actor does, one step after the other; `isAwaiting`: it waits for each answer. */
interface Actor {
  readonly isAwaiting: boolean;
  readonly isAborting: boolean;
  readonly valueBytes: number;
  readonly steps: readonly Step[];
}

const line = fc.record({ key: keyIndex, isDelete: fc.boolean() });
const write: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('write'),
  lines: fc.array(line, { minLength: 1, maxLength: 4 }),
});
const read: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('get'), key: keyIndex }),
  fc.record({ do: fc.constantFrom('getMany', 'scan', 'scanBack', 'snapshot', 'snapshotRead') }),
);
const work: fc.Arbitrary<Step> = fc.record({ do: fc.constantFrom('flush', 'compact') });
const actor = (step: fc.Arbitrary<Step>, maxLength: number): fc.Arbitrary<Actor> =>
  fc.record({
    isAwaiting: fc.boolean(),
    isAborting: fc.boolean(),
    valueBytes: fc.constantFrom(3, 50, 600),
    steps: fc.array(step, { minLength: 1, maxLength, size: 'max' }),
  });
const actors: fc.Arbitrary<Actor[]> = fc
  .tuple(
    fc.array(actor(write, 8), { minLength: 1, maxLength: 4, size: 'max' }),
    fc.array(actor(fc.oneof(read, read, write), 8), { maxLength: 2, size: 'max' }),
    fc.array(actor(work, 3), { maxLength: 2, size: 'max' }),
    fc.option(actor(fc.constant<Step>({ do: 'close' }), 1), { nil: undefined, freq: 2 }),
  )
  .map(([writers, readers, workers, closer]) => [
    ...writers,
    ...readers,
    ...workers,
    ...(closer === undefined ? [] : [closer]),
  ]);

interface Write {
  readonly operations: readonly WriteOperation[];
  sequence: number | undefined;
  error: unknown;
}

/** What a read saw, and the newest write that it had to see. */
interface Reading {
  readonly what: string;
  readonly from: number;
  readonly keys: readonly string[];
  readonly values: readonly (string | undefined)[];
  /** For snapshots: the one state that it must have seen. */
  readonly at: number | undefined;
}

/** Nothing happens but by the scheduler: who has no answer when it has nothing left will never have one. */
const TURNS_WITHOUT_PROGRESS_MAX = 50;

class History {
  readonly writes: Write[] = [];
  readonly acknowledged: number[] = [];
  readonly readings: Reading[] = [];
  readonly registers = new CallHistory(KEYS);
  readonly changes: ModelChange[] = [];
  readonly errors: { readonly what: string; readonly error: unknown; readonly wasClosing: boolean }[] = [];
  readonly pending = new Set<string>();
  isClosing = false;
  #count = 0;

  get newestAcknowledged(): number {
    return this.acknowledged.at(-1) ?? 0;
  }

  /** Follows an operation to its answer. */
  async follow<T>(what: string, run: () => PromiseLike<T>): Promise<T | undefined> {
    const name = `${this.#count++} ${what}`;
    this.pending.add(name);
    try {
      return await run();
    } catch (error) {
      this.errors.push({ what, error, wasClosing: this.isClosing });
      return undefined;
    } finally {
      this.pending.delete(name);
    }
  }

  /** Begins a read of these keys; what it gives ends it with what it saw, or without, if it failed. */
  reading(keys: readonly string[]): (values: readonly (string | undefined)[] | undefined) => void {
    const open = keys.map((key) => this.registers.begin(key, { do: 'read', value: undefined }));
    return (values) => {
      for (const [index, one] of open.entries()) {
        if (values === undefined) this.registers.withdraw(one);
        else this.registers.end(one, { do: 'read', value: values[index] });
      }
    };
  }

  /** Begins a write; of a key that it has twice, the last line counts. */
  writing(operations: readonly WriteOperation[]): OpenCall[] {
    const values = new Map<string, string | undefined>();
    for (const one of operations) values.set(textOf(one.key), one.type === 'set' ? textOf(one.value) : undefined);
    return [...values].map(([key, value]) => this.registers.begin(key, { do: 'write', value }));
  }

  /** The state after each sequence number. */
  states(): Map<string, string>[] {
    const states: Map<string, string>[] = [new Map<string, string>()];
    const committed = this.writes.filter(({ sequence }) => sequence !== undefined);
    committed.sort((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));
    for (const { operations, sequence } of committed) {
      const next = new Map(states.at(-1));
      for (const operation of operations) {
        if (operation.type === 'set') next.set(textOf(operation.key), textOf(operation.value));
        else next.delete(textOf(operation.key));
      }
      // A reader sees all of a write or nothing of it: the numbers in between are no states.
      states[sequence ?? 0] = next;
    }
    return states;
  }
}

/** Tells the end of a reading, for better or worse. */
async function ended<T>(end: (values: T | undefined) => void, work: () => Promise<T>): Promise<T> {
  let values: T | undefined;
  try {
    values = await work();
    return values;
  } finally {
    end(values);
  }
}

/** One actor at work. */
async function act(
  store: Store,
  { steps, isAwaiting, isAborting, valueBytes }: Actor,
  id: number,
  history: History,
  pause: () => Promise<unknown>,
): Promise<void> {
  const snapshots: Snapshot[] = [];
  const running: Promise<unknown>[] = [];
  for (const [index, step] of steps.entries()) {
    const done = async (): Promise<void> => {
      const from = history.newestAcknowledged;
      const reading = (
        what: string,
        values: readonly (string | undefined)[],
        keys: readonly string[] = KEYS,
        at?: number,
      ): void => void history.readings.push({ what, from, keys, values, at });
      const scan = async (what: string, work: () => Promise<readonly TextEntry[]>): Promise<void> => {
        const values = await ended(history.reading(KEYS), async () => {
          const found = new Map(await work());
          return KEYS.map((key) => found.get(key));
        });
        reading(what, values);
      };
      switch (step.do) {
        case 'write': {
          const operations = step.lines.map(({ key, isDelete }, place): WriteOperation => {
            const name = bytesOf(KEYS[key] ?? '');
            if (isDelete) return { type: 'delete', key: name };
            return { type: 'set', key: name, value: bytesOf(`${id}.${index}.${place}`.padEnd(valueBytes, '-')) };
          });
          const one: Write = { operations, sequence: undefined, error: undefined };
          history.writes.push(one);
          const abort = new AbortController();
          const durability = (id + index) % 3 === 0 ? 'buffered' : 'synced';
          if (isAborting && index % 2 === 1) setImmediate(() => abort.abort());
          const open = history.writing(operations);
          try {
            const commit = await store.write(operations, { durability, signal: abort.signal });
            one.sequence = commit.sequence;
            history.acknowledged.push(commit.sequence);
            for (const call of open) history.registers.end(call);
          } catch (error) {
            one.error = error;
            const isTaken = (error as EngineError).code === 'ABORTED'; // perhaps: it may be on its way
            for (const call of open) history.registers[isTaken ? 'fail' : 'withdraw'](call);
            throw error;
          }
          return;
        }
        case 'get': {
          const key = KEYS[step.key] ?? '';
          const end = history.reading([key]);
          const value = await ended(end, async () => {
            const found = await store.get(key);
            return [found === undefined ? undefined : textOf(found)];
          });
          return reading('get', value, [key]);
        }
        case 'getMany': {
          const end = history.reading(KEYS);
          const values = await ended(end, async () =>
            (await store.getMany(KEYS)).map((value) => (value === undefined ? undefined : textOf(value))),
          );
          return reading('getMany', values);
        }
        case 'scan':
          return scan('scan', () => contentOf(store));
        case 'scanBack':
          return scan('scanBack', async () => {
            const entries: TextEntry[] = [];
            for await (const { key, value } of store.scan({ reverse: true }))
              entries.unshift([textOf(key), textOf(value)]);
            return entries;
          });
        case 'snapshot': // looked at while what was under way still is, and again by later steps
        case 'snapshotRead': {
          if (step.do === 'snapshot') snapshots.push(store.snapshot());
          const snapshot = snapshots.at(-1);
          if (snapshot === undefined) return;
          const values = await snapshot.getMany(KEYS);
          const texts = values.map((value) => (value === undefined ? undefined : textOf(value)));
          return reading('snapshotRead', texts, KEYS, snapshot.sequence);
        }
        case 'flush':
          return store.flush();
        case 'compact':
          return store.compact();
        case 'close':
          history.isClosing = true;
          return store.close();
      }
    };
    // Memory answers at once: without a turn of its own, each actor would be done before the first file call is.
    const followed = pause().then(() => history.follow(step.do, done));
    if (isAwaiting) await followed;
    else running.push(followed);
  }
  await Promise.all(running);
}

/** Runs the event loop and the scheduler until the work is done, or nothing moves any more. */
async function drive<T>(scheduler: fc.Scheduler, history: History, promise: Promise<T>): Promise<T> {
  const state = { isDone: false };
  const finished = promise.finally(() => (state.isDone = true));
  finished.catch(() => undefined);
  for (let idle = 0; !state.isDone;) {
    if (scheduler.count() > 0) {
      idle = 0;
      await scheduler.waitNext(1);
    } else {
      idle += 1;
      if (idle > TURNS_WITHOUT_PROGRESS_MAX) throw new Error(`no answer to: ${[...history.pending].join(', ')}`);
    }
    await new Promise(setImmediate);
  }
  return finished;
}

const rejections: unknown[] = [];
const note = (reason: unknown): void => void rejections.push(reason);
beforeAll(() => void process.on('unhandledRejection', note));
afterAll(() => void process.off('unhandledRejection', note));

async function check(
  scheduler: fc.Scheduler,
  options: OpenOptions,
  plans: readonly Actor[],
  seed: number,
): Promise<void> {
  const history = new History();
  const clock = new ScheduledClock(scheduler, randomOf(seed));
  const memory = new MemoryFileSystem();
  const fileSystem = new DelayedFileSystem(memory, (call) => scheduler.schedule(Promise.resolve(), call));
  const all = async (): Promise<void> => {
    const store = await open(DIRECTORY, { ...options, fileSystem, clock });
    const collecting = history.follow('changes', async () => {
      for await (const change of store.changes()) history.changes.push(modelChangeOf(change));
    });
    await Promise.all(
      plans.map((plan, id) =>
        act(store, plan, id, history, () => scheduler.schedule(Promise.resolve(), `actor ${id}`)),
      ),
    );
    await history.follow('the last close', () => store.close());
    await collecting;
  };
  await drive(scheduler, history, all());
  await new Promise(setImmediate);
  expect(rejections.splice(0)).toEqual([]);

  // One order.
  expect(history.acknowledged).toEqual([...history.acknowledged].sort((a, b) => a - b));
  const committed = history.writes.filter(({ sequence }) => sequence !== undefined);
  const aborted = history.writes.filter(({ error }) => (error as EngineError | undefined)?.code === 'ABORTED');
  const published = history.changes.filter(({ batchIndex, batchSize }) => batchIndex === batchSize - 1);
  const known = new Set(published.map(({ sequence }) => sequence));
  for (const { sequence } of committed) expect(known.has(sequence ?? 0), `change ${sequence} is published`).toBe(true);
  expect(published.length).toBeLessThanOrEqual(committed.length + aborted.length); // taken before it was aborted
  expect(history.changes.map(({ sequence }) => sequence)).toEqual(history.changes.map((_, index) => index + 1));
  // Only who was aborted, or came to a closed store, got an error.
  for (const { what, error, wasClosing } of history.errors) {
    expect(error, what).toBeInstanceOf(EngineError);
    const { code } = error as EngineError;
    if (code !== 'ABORTED') expect([code, wasClosing], what).toEqual(['CLOSED', true]);
  }
  expect(history.pending.size).toBe(0);

  // What aborted writes did is told by the changes alone.
  for (const { sequence, batchSize } of published) {
    if (committed.some((one) => one.sequence === sequence)) continue;
    const lines = history.changes.slice(sequence - batchSize, sequence);
    const operations = lines.map(({ type, key, value }): WriteOperation =>
      type === 'set' ? { type, key: bytesOf(key), value: bytesOf(value ?? '') } : { type: 'delete', key: bytesOf(key) },
    );
    history.writes.push({ operations, sequence, error: undefined });
  }
  const states = history.states();
  for (const { what, from, keys, values, at } of history.readings) {
    const candidates = at === undefined ? states.slice(from) : [states[at]];
    const isOne = candidates.some(
      (state) => state !== undefined && keys.every((key, index) => state.get(key) === values[index]),
    );
    expect(isOne, `${what} of ${keys.join()} after ${at ?? from} saw ${values.join()}`).toBe(true);
  }
  for (const [key, calls] of history.registers.calls) {
    expect(linearizabilityViolation(calls, undefined), `calls to ${key}`).toBeUndefined();
  }
  recordFigures('T10', { schedules: 1, calls: history.registers.count, violations: 0 });
  const again = await open(DIRECTORY, { ...options, fileSystem: memory });
  expect(new Map(await contentOf(again))).toEqual(states.at(-1));
  await again.close();
}

describe('many callers at once', () => {
  it('have one order, and an answer each, however the file system answers', { timeout: PROPERTY_MS }, async () => {
    await fc.assert(fc.asyncProperty(fc.scheduler(), randomOptions, actors, fc.nat(), check), runsOf(250));
  });
});
