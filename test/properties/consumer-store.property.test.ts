// Goal: on the engine itself, with all of history or with no more than consumers need, whatever handlers do and wherever the store is closed, killed, or loses its power: every event
// that the store has is handled at least once, its effects are in history exactly once (or it is a dead letter), those
// of one partition are handled in their order; what the power took of the events it took of their effects, too.
// Method: random commands on a store with absurd options, whose consumers go on at each opening; then history is read.
import fc from 'fast-check';
import { NEVER, type ObservableInput, of } from 'rxjs';
import { expect, it } from 'vitest';
import {
  type BatchConsumerOptions,
  type Change,
  type Consumer,
  type ConsumerOptions,
  type Delivery,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type SequenceNumber,
  type Store,
  type Transaction,
} from '../../src/index.ts';
import { CommittedChanges, Follower } from '../support/change-followers.ts';
import { keyOf, toArray, valueOf } from '../support/consumer-runs.ts';
import { randomOptions, TINY } from '../support/option-sets.ts';
import { PROPERTY_MS, randomOf, runsOf } from '../support/runs.ts';
import { bytesOf, type ModelChange, textOf } from '../support/sorted-model.ts';
import { modelChangeOf } from '../support/store-commands.ts';
import { until } from '../support/waiting.ts';

type Ending = 'throw' | 'reject' | 'nack' | 'hang' | 'term';
/** What a handler does with an event: fails so often, then succeeds. */
interface Plan {
  readonly endings: readonly Ending[];
  readonly success: 'sync' | 'later' | 'values' | 'ack';
}
interface Event {
  readonly key: 'a' | 'b' | 'c' | 'd';
  readonly plan: Plan;
}
type Command =
  | {
      readonly do: 'write';
      readonly events: readonly Event[];
      readonly isSynced: boolean;
    }
  | { readonly do: 'wait'; readonly turns: number }
  | { readonly do: 'flush' | 'compact' | 'reopen' | 'kill' }
  | { readonly do: 'powerCut'; readonly seed: number };
interface Settings {
  readonly kind: 'byKey' | 'byPartition' | 'manual' | 'batch';
  readonly workers: number;
  readonly inFlightMax: number;
  readonly aheadExtra: number;
  readonly attemptsMax: number;
  readonly durability: 'synced' | 'buffered';
}

const event: fc.Arbitrary<Event> = fc.record({
  key: fc.constantFrom('a', 'b', 'c', 'd'),
  plan: fc.record({
    endings: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      {
        weight: 1,
        arbitrary: fc.array(fc.constantFrom('throw', 'reject', 'nack', 'hang', 'term'), { maxLength: 3 }),
      },
    ),
    success: fc.constantFrom('sync', 'later', 'values', 'ack'),
  }),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('write'),
      events: fc.array(event, { minLength: 1, maxLength: 6 }),
      isSynced: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('wait'),
      turns: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('flush', 'compact') }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('reopen', 'kill') }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('powerCut'), seed: fc.nat() }),
  },
);
const settings: fc.Arbitrary<Settings> = fc.record({
  kind: fc.constantFrom('byKey', 'byPartition', 'manual', 'batch'),
  workers: fc.integer({ min: 1, max: 2 }),
  inFlightMax: fc.integer({ min: 1, max: 6 }),
  aheadExtra: fc.integer({ min: 0, max: 8 }),
  attemptsMax: fc.integer({ min: 1, max: 4 }),
  durability: fc.constantFrom('synced', 'buffered'),
});
const storeOptions: fc.Arbitrary<OpenOptions> = fc
  .tuple(fc.oneof(fc.constant(TINY), randomOptions), fc.constantFrom(undefined, 0))
  .map(([options, historyBytesMax]) => ({
    ...options,
    memtableBytesMax: 1024,
    syncIntervalMs: 1,
    ...(historyBytesMax === undefined ? {} : { historyBytesMax }), // what a consumer has not settled is kept
  }));

const DIRECTORY = '/data';
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** How often each of the rarer things happened, over all runs. */
const met = new Map<string, number>();
const meet = (what: string): void => void met.set(what, (met.get(what) ?? 0) + 1);

class Run {
  readonly #options: OpenOptions;
  readonly #settings: Settings;
  /** Of the event with this number, which is its value. */
  readonly #plans: Plan[] = [];
  readonly #handled = new Set<number>();
  readonly #wrongs: string[] = []; // an assertion in a handler would only be its failure
  readonly #failures: unknown[] = [];
  readonly #writes: Promise<unknown>[] = [];
  #memory = new MemoryFileSystem();
  #store: Store | undefined;
  #consumer: Consumer | undefined;
  #life = 0;

  constructor(options: OpenOptions, given: Settings) {
    this.#options = options;
    this.#settings = given;
  }

  async run(list: readonly Command[]): Promise<void> {
    await this.#open();
    for (const one of list) await this.#step(one);
    await Promise.all(this.#writes);
    await this.#check();
    await this.#opened.close();
    expect(this.#failures).toEqual([]);
    expect(this.#wrongs).toEqual([]);
  }

  get #opened(): Store {
    if (this.#store === undefined) throw new Error('the store is not open');
    return this.#store;
  }

  async #open(): Promise<void> {
    this.#life += 1;
    this.#store = await open(DIRECTORY, { ...this.#options, fileSystem: this.#memory });
    for (let worker = 0; worker < this.#settings.workers; worker += 1) {
      const options = this.#consumerOptions();
      this.#consumer =
        options.batch === undefined ? this.#store.consumer('c', options) : this.#store.consumer('c', options);
      this.#consumer.run().subscribe({
        next: (one) => {
          meet(one.type);
          if (one.type === 'fault') this.#failures.push(one.error);
        },
        error: (error: unknown) => this.#failures.push(error),
      });
    }
  }

  #consumerOptions(): ConsumerOptions | BatchConsumerOptions {
    const { kind, inFlightMax, aheadExtra, attemptsMax, durability } = this.#settings;
    const life = this.#life;
    const running = new Map<string, number>();
    const order = new Map<string, number>();
    const common = {
      gte: 'a',
      lt: 'e',
      aheadMax: inFlightMax + aheadExtra,
      attemptsMax,
      durability,
      ackWaitMs: 20,
      backOff: { firstMs: 1, longestMs: 4 },
    };
    const handle = (
      changes: readonly Change[],
      tx: Transaction,
      delivery: Delivery,
    ): ObservableInput<unknown> | undefined => {
      if (life !== this.#life) return NEVER; // of a process that is no more
      for (const change of changes) {
        const partition = kind === 'batch' ? '' : partitionOf(kind, change);
        this.#handled.add(Number(valueOf(change)));
        running.set(partition, (running.get(partition) ?? 0) + 1);
        delivery.signal.addEventListener('abort', () => running.set(partition, (running.get(partition) ?? 0) - 1));
        if (kind === 'batch') continue; // one that fails at last is taken apart
        if (running.get(partition) !== 1) this.#wrongs.push(`two of ${partition} at once`);
        if (change.sequence < (order.get(partition) ?? 0)) this.#wrongs.push(`${partition} goes back`);
        order.set(partition, change.sequence);
      }
      return this.#work(changes, tx, delivery);
    };
    if (kind === 'batch') return { ...common, batch: { changesMax: inFlightMax }, handle };
    const one: ConsumerOptions = {
      ...common,
      inFlightMax,
      handle: (change, tx, delivery) => handle([change], tx, delivery),
    };
    if (kind === 'manual') return { ...one, ack: 'manual' };
    return kind === 'byKey' ? one : { ...one, partitionBy: (change) => partitionOf(kind, change) };
  }

  #work(changes: readonly Change[], tx: Transaction, delivery: Delivery): ObservableInput<unknown> | undefined {
    const plans = changes.map((change) => this.#plans[Number(valueOf(change))]);
    for (const change of changes) tx.set(`out:${valueOf(change)}`, keyOf(change));
    const ending = plans.map((plan) => plan?.endings[delivery.attempt - 1]).find((one) => one !== undefined);
    if (ending === 'throw') throw new Error('thrown');
    if (ending === 'reject') return turn().then(() => Promise.reject(new Error('rejected')));
    if (ending === 'nack') delivery.nack({ delayMs: 1 });
    if (ending === 'term') delivery.term();
    if (ending !== undefined) return NEVER;
    const { success } = plans[0] ?? {};
    // Reads what others write at the same time: one of them is run again.
    const work = async (): Promise<void> => {
      const sum = Number(textOf((await tx.get('sum')) ?? '0'));
      if (success === 'later') await turn();
      if (delivery.signal.aborted) return;
      tx.set('sum', String(sum + changes.length));
      if (this.#settings.kind === 'manual' || success === 'ack') delivery.ack();
    };
    if (success === 'sync' || this.#settings.kind === 'manual') return work();
    return success === 'values' ? work().then(() => of(1, 2, 3)) : turn().then(work);
  }

  async #step(one: Command): Promise<void> {
    switch (one.do) {
      case 'write': {
        const operations = one.events.flatMap(({ key, plan }) => {
          const number = String(this.#plans.push(plan) - 1);
          return [
            { type: 'set', key, value: number },
            { type: 'set', key: `sent:${number}`, value: '' }, // out of range: tells what the power has left
          ] as const;
        });
        const durability = one.isSynced ? 'synced' : 'buffered';
        this.#writes.push(this.#opened.write(operations, { durability }).then());
        return;
      }
      case 'wait':
        for (let index = 0; index < one.turns; index += 1) await turn();
        return;
      case 'flush':
        return this.#opened.flush();
      case 'compact':
        return this.#opened.compact();
      case 'reopen':
        await Promise.all(this.#writes.splice(0));
        await this.#opened.close();
        return this.#open();
      case 'kill':
        return this.#crash('all', () => 0.5);
      case 'powerCut': {
        const modes = ['synced', 'zeros', 'prefix', 'sectors'] as const;
        return this.#crash(modes[one.seed % modes.length] ?? 'synced', randomOf(one.seed));
      }
    }
  }

  /** In the midst of whatever is under way. */
  async #crash(mode: 'all' | 'synced' | 'zeros' | 'prefix' | 'sectors', random: () => number): Promise<void> {
    const image = this.#memory.crashImage(mode, random);
    this.#life += 1;
    await Promise.all(this.#writes.splice(0));
    await this.#opened.close();
    this.#memory = image;
    meet(mode);
    await this.#open();
  }

  async #check(): Promise<void> {
    const consumer = this.#consumer as Consumer;
    // Consumers are given what is durable: from here on that is all of it.
    const mark = await this.#opened.set(bytesOf('~'), bytesOf('end'), { durability: 'synced' });
    let behind = Infinity;
    const look = async (): Promise<void> => {
      while (behind > 0) {
        behind = (await consumer.lag()).changes;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    void look().catch((error: unknown) => this.#failures.push(error));
    await until('everything is settled', () => behind === 0 || this.#failures.length > 0);
    expect(this.#failures).toEqual([]);

    const keys = (await toArray(this.#opened.scan({ values: false }))).map(textOf);
    const numbersOf = (prefix: string): number[] =>
      keys.filter((key) => key.startsWith(prefix)).map((key) => Number(key.slice(prefix.length)));
    const outputs = numbersOf('out:');
    const letters = (await toArray(consumer.deadLetters())).map(({ change }) => Number(valueOf(change)));
    const sent = numbersOf('sent:').sort((a, b) => a - b);
    for (const number of sent) expect(this.#handled.has(number), `event ${number} is handled`).toBe(true);
    expect([...outputs, ...letters].sort((a, b) => a - b)).toEqual(sent);
    if (this.#options.historyBytesMax === undefined) {
      const written = (await this.#history(mark.sequence)).filter(({ key }) => key.startsWith('out:'));
      expect(written.map(({ key }) => key).sort()).toEqual(outputs.map((number) => `out:${number}`).sort());
    }
    const sum = Number(textOf((await this.#opened.get('sum')) ?? '0'));
    expect(sum).toBe(outputs.length);
  }

  /** All changes that there are, from the beginning. */
  async #history(last: SequenceNumber): Promise<ModelChange[]> {
    const all = new Follower(this.#opened, { from: 'start' }, 0, 'pages');
    await until('history is read', () => {
      void all.read(turn());
      return all.isOver || (all.place?.sequence ?? 0) >= last;
    });
    await all.close();
    const found = new CommittedChanges();
    found.changes = all.changes.map(modelChangeOf);
    all.check(found, false);
    return found.changes;
  }
}

const partitionOf = (kind: Settings['kind'], change: Change): string =>
  kind === 'byPartition' ? String(keyOf(change) < 'c') : keyOf(change);

it(
  'effects once, at least one attempt, order per partition, over crashes of a store',
  { timeout: PROPERTY_MS * 2 },
  async () => {
    met.clear();
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 25, size: 'max' }),
        storeOptions,
        settings,
        (list, options, given) => new Run(options, given).run(list),
      ),
      { ...runsOf(80), interruptAfterTimeLimit: PROPERTY_MS },
    );
    for (const what of ['acked', 'failedAttempt', 'parked', 'all', 'synced', 'zeros', 'prefix', 'sectors']) {
      expect(met.get(what) ?? 0, what).toBeGreaterThan(0);
    }
  },
);
