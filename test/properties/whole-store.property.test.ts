// Goal (T9): all that a store can be asked for, in any order, answers as a simple model does: writes with and without
// conditions and idempotency keys, reads, snapshots, subscriptions from any place, watchers, a consumer that acknowledges,
// refuses, parks and seeks; through flushes, compactions, closes, kills and power cuts.
// Method: random commands in simulated time. After each, everything that can happen has happened, and store and model are
// compared as a whole.
import fc from 'fast-check';
import type { Subscription } from 'rxjs';
import { expect, it } from 'vitest';
import {
  type Change,
  ConflictError,
  type Consumer,
  type ConsumerFrom,
  type Delivery,
  InvalidArgumentError,
  type OpenOptions,
  type Snapshot,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { contentOf } from '../support/crash-workload.ts';
import { recordFigures } from '../support/figures.ts';
import { randomOptions } from '../support/option-sets.ts';
import { PROPERTY_MS, runsOf } from '../support/runs.ts';
import { SimulatedMachine, SimulatedProcess } from '../support/simulated-process.ts';
import { SimulatedTime } from '../support/simulated-time.ts';
import { bytesOf, type TextEntry, textOf } from '../support/sorted-model.ts';
import { modelChangeOf } from '../support/store-commands.ts';
import { changeText, CONSUMED, WholeStoreModel } from '../support/whole-store-model.ts';

type Line = readonly [key: string, value: string | undefined];
type Command =
  | { readonly do: 'write'; readonly lines: readonly Line[] }
  | {
      readonly do: 'check';
      readonly key: string;
      readonly claim: 'right' | 'wrong' | 'absent';
      readonly lines: readonly Line[];
    }
  | { readonly do: 'once'; readonly name: string; readonly lines: readonly Line[] }
  | { readonly do: 'get'; readonly key: string }
  | { readonly do: 'range'; readonly from: string; readonly reverse: boolean; readonly limit: number }
  | { readonly do: 'subscribe'; readonly from: 'start' | 'now' | number }
  | { readonly do: 'watch'; readonly key: string }
  | { readonly do: 'settle'; readonly which: number; readonly how: 'ack' | 'nack' | 'park' }
  | { readonly do: 'seek'; readonly to: 'start' | 'now' }
  | {
      readonly do: 'snapshot' | 'readSnapshot' | 'run' | 'stop' | 'flush' | 'compact' | 'reopen' | 'kill' | 'powerCut';
    };

const key = fc.constantFrom('a', 'ab', 'b', 'c', 'd', 'e', 'z');
const line: fc.Arbitrary<Line> = fc.tuple(
  key,
  fc.option(fc.constantFrom('x', 'yy', 'v'.repeat(700)), { nil: undefined }),
);
const lines = fc.array(line, { minLength: 1, maxLength: 4 });
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 14, arbitrary: fc.record({ do: fc.constant('write'), lines }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('check'), key, claim: fc.constantFrom('right', 'wrong', 'absent'), lines }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('once'), name: fc.constantFrom('m', 'n'), lines }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('get'), key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('range'),
      from: key,
      reverse: fc.boolean(),
      limit: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('subscribe'), from: fc.oneof(fc.constantFrom('start', 'now'), fc.nat(30)) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('watch'), key }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('settle'),
      which: fc.nat(5),
      how: fc.constantFrom('ack', 'ack', 'nack', 'park'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('seek'), to: fc.constantFrom('start', 'now') }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('snapshot', 'readSnapshot', 'run', 'run', 'stop') }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('flush', 'compact', 'reopen', 'kill', 'powerCut') }) },
);

const operationsOf = (given: readonly Line[]): WriteOperation[] =>
  given.map(([name, value]) =>
    value === undefined
      ? { type: 'delete', key: bytesOf(name) }
      : { type: 'set', key: bytesOf(name), value: bytesOf(value) },
  );
/** Longer than anything takes: all that can happen after a command has happened by then. */
const SETTLED_MS = 3000;
const PATIENCE_MS = 300_000;
const DAY_MS = 86_400_000;

interface AtWork {
  readonly change: Change;
  readonly delivery: Delivery;
  readonly ack: () => void;
}

class Run {
  readonly #time: SimulatedTime;
  readonly #machine: SimulatedMachine;
  readonly #options: OpenOptions;
  readonly #model = new WholeStoreModel();
  /** Of each change, the number that the store gave it. */
  readonly #sequences: number[] = [];
  readonly #failures: unknown[] = [];
  #process: SimulatedProcess;
  #store: Store | undefined;
  #running: Subscription | undefined;
  #subscribers: { readonly from: number; readonly seen: string[] }[] = [];
  #watchers: { readonly key: string; last: string | undefined }[] = [];
  #atWork = new Set<AtWork>();
  #snapshot: { readonly snapshot: Snapshot; readonly entries: readonly TextEntry[] } | undefined;

  constructor(seed: number, options: OpenOptions) {
    this.#time = new SimulatedTime(seed);
    this.#machine = new SimulatedMachine(this.#time);
    this.#options = { ...options, durability: 'synced' };
    this.#process = new SimulatedProcess(this.#machine);
  }

  async run(list: readonly Command[]): Promise<void> {
    await this.#await(this.#open());
    for (const one of list) {
      await this.#await(this.#step(one));
      await this.#await(this.#process.sleep(SETTLED_MS));
      await this.#await(this.#compare());
    }
    await this.#await(this.#opened.close());
  }

  #await<T>(work: PromiseLike<T>): Promise<T> {
    return this.#time.until('a command', Promise.resolve(work), PATIENCE_MS);
  }

  get #opened(): Store {
    if (this.#store === undefined) throw new Error('the store is not open');
    return this.#store;
  }

  /** What belongs to a process has gone with the one before. */
  async #open(): Promise<void> {
    this.#subscribers = [];
    this.#watchers = [];
    this.#atWork = new Set();
    this.#snapshot = undefined;
    this.#running = undefined;
    this.#model.isRunning = false;
    this.#process = new SimulatedProcess(this.#machine);
    this.#store = await this.#process.open(this.#options);
    this.#follow({ from: 0, seen: [] }, 'start', (change) => {
      const place = this.#sequences.findIndex((sequence) => sequence >= change.sequence);
      if (place < 0) this.#sequences.push(change.sequence);
      else expect(this.#sequences[place], 'the number that it had').toBe(change.sequence);
    });
  }

  #consumer(): Consumer {
    return this.#opened.consumer('c', {
      ...CONSUMED,
      from: 'start',
      ackWaitMs: DAY_MS,
      attemptsMax: Infinity,
      handle: (change, _tx, delivery) =>
        new Promise<void>((ack) => {
          const work = { change, delivery, ack };
          this.#atWork.add(work);
          delivery.signal.addEventListener('abort', () => this.#atWork.delete(work));
        }),
    });
  }

  async #step(one: Command): Promise<void> {
    const store = this.#opened;
    const model = this.#model;
    switch (one.do) {
      case 'write':
        await store.write(operationsOf(one.lines));
        return model.write(operationsOf(one.lines));
      case 'check':
        return this.#check(one);
      case 'once': {
        const operations = operationsOf(one.lines);
        const outcome = model.writeOnce(one.name, operations);
        const written = store.write(operations, { idempotencyKey: one.name, windowMs: DAY_MS });
        if (outcome === 'refused') await expect(written.then()).rejects.toBeInstanceOf(InvalidArgumentError);
        else await written;
        return;
      }
      case 'get': {
        const found = await store.get(one.key);
        expect(found && textOf(found)).toBe(model.values.get(one.key));
        return;
      }
      case 'range': {
        const seen: string[] = [];
        for await (const entry of store.scan({ gte: one.from, reverse: one.reverse, limit: one.limit }))
          seen.push(textOf(entry.key));
        const all = model
          .entries()
          .map(([name]) => name)
          .filter((name) => name >= one.from);
        expect(seen).toEqual((one.reverse ? all.reverse() : all).slice(0, one.limit));
        return;
      }
      case 'snapshot':
        this.#snapshot?.snapshot.close();
        this.#snapshot = { snapshot: store.snapshot(), entries: model.entries() };
        return;
      case 'readSnapshot': {
        if (this.#snapshot === undefined) return;
        const entries: TextEntry[] = [];
        for await (const entry of this.#snapshot.snapshot.scan())
          entries.push([textOf(entry.key), textOf(entry.value)]);
        expect(entries).toEqual(this.#snapshot.entries);
        return;
      }
      case 'subscribe': {
        const place =
          one.from === 'start'
            ? 0
            : one.from === 'now'
              ? model.changes.length
              : Math.min(one.from, model.changes.length);
        const from = typeof one.from === 'number' ? (this.#sequences[place] ?? 'now') : one.from;
        this.#follow({ from: place, seen: [] }, from);
        return;
      }
      case 'watch':
        return this.#watch(one.key);
      case 'run':
        if (this.#running !== undefined) return;
        model.run();
        this.#running = this.#consumer()
          .run()
          .subscribe({
            next: (event) => {
              if (event.type === 'fault') this.#failures.push(event.error);
            },
            error: (error: unknown) => this.#failures.push(error),
          });
        return;
      case 'stop':
        this.#running?.unsubscribe();
        this.#running = undefined;
        model.isRunning = false;
        return;
      case 'settle':
        return this.#settle(one.which, one.how);
      case 'seek': {
        if (!model.isMade) return;
        model.seek(one.to);
        return this.#consumer()
          .seek(one.to satisfies ConsumerFrom)
          .then();
      }
      case 'flush':
        return store.flush().then();
      case 'compact':
        return store.compact().then();
      case 'reopen':
        await store.close();
        return this.#open();
      case 'kill':
      case 'powerCut': {
        const modes = ['synced', 'zeros', 'prefix', 'sectors'] as const;
        this.#machine.crash(this.#process, one.do === 'kill' ? 'all' : (modes[this.#time.below(4)] ?? 'synced'));
        return this.#open();
      }
    }
  }

  async #check({ key: name, claim, lines: given }: Extract<Command, { do: 'check' }>): Promise<void> {
    const store = this.#opened;
    const entry = await store.entry(name);
    expect(entry && textOf(entry.value)).toBe(this.#model.values.get(name));
    const actual = entry?.sequence ?? 'absent';
    const sequence = claim === 'right' ? actual : claim === 'absent' ? 'absent' : (entry?.sequence ?? 0) + 1;
    const operations = operationsOf(given);
    const written = store.write([{ type: 'check', key: name, sequence }, ...operations]);
    if (sequence === actual) {
      await written;
      this.#model.write(operations);
    } else {
      await expect(written.then()).rejects.toBeInstanceOf(ConflictError);
    }
  }

  #follow(
    subscriber: { readonly from: number; readonly seen: string[] },
    from: 'start' | 'now' | number,
    also: (change: Change) => void = () => undefined,
  ): void {
    this.#subscribers.push(subscriber);
    this.#opened.changes({ from }).subscribe({
      next: (change) => {
        subscriber.seen.push(changeText({ ...modelChangeOf(change), sequence: 0 }));
        also(change);
      },
      error: (error: unknown) => this.#failures.push(error),
    });
  }

  #watch(name: string): void {
    const watcher: { readonly key: string; last: string | undefined } = { key: name, last: 'nothing yet' };
    this.#watchers.push(watcher);
    this.#opened.watch(name).subscribe({
      next: ({ value }) => (watcher.last = value && textOf(value)),
      error: (error: unknown) => this.#failures.push(error),
    });
  }

  #settle(which: number, how: 'ack' | 'nack' | 'park'): Promise<void> {
    const all = [...this.#atWork];
    const work = all[which % Math.max(1, all.length)];
    if (work === undefined) return Promise.resolve();
    const place = this.#sequences.indexOf(work.change.sequence);
    if (how === 'ack') work.ack();
    else if (how === 'nack') work.delivery.nack({ delayMs: 1 });
    else work.delivery.term('parked');
    if (how !== 'nack') this.#model.settle(place, how === 'park');
    this.#atWork.delete(work);
    return Promise.resolve();
  }

  async #compare(): Promise<void> {
    const model = this.#model;
    expect(this.#failures).toEqual([]);
    expect(await contentOf(this.#opened)).toEqual(model.entries());
    const changes = model.changes.map(changeText);
    for (const { from, seen } of this.#subscribers) expect(seen, `changes from ${from}`).toEqual(changes.slice(from));
    for (const { key: name, last } of this.#watchers) expect(last, `watched ${name}`).toBe(model.values.get(name));
    const places = [...this.#atWork].map(({ change }) => this.#sequences.indexOf(change.sequence));
    expect(
      places.sort((a, b) => a - b),
      'at work',
    ).toEqual(model.inFlight());
    if (!model.isMade) return;
    expect((await this.#consumer().lag()).changes, 'lag').toBe(model.lag);
    const letters: number[] = [];
    for await (const { change } of this.#consumer().deadLetters())
      letters.push(this.#sequences.indexOf(change.sequence));
    expect(letters, 'dead letters').toEqual([...model.parked].sort((a, b) => a - b));
  }

  get figures(): { readonly virtualMinutes: number; readonly fileCalls: number } {
    return { virtualMinutes: Math.round(this.#time.nowMs / 60_000), fileCalls: this.#machine.fileCalls };
  }
}

it('a store answers, tells and delivers as its model does', { timeout: 2 * PROPERTY_MS }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(command, { maxLength: 30, size: 'max' }),
      randomOptions,
      fc.nat(),
      async (list, options, seed) => {
        const run = new Run(seed, options);
        await run.run(list);
        recordFigures('T9', { runs: 1, commands: list.length, ...run.figures, violations: 0 });
      },
    ),
    runsOf(60),
  );
});
