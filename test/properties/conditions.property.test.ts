// Goal: whatever is written beside it, and in whatever groups, a batch with checks or with an idempotency key becomes what
// a model makes of the same writes one after the other; also across flushes, compactions, reopens and kills.
// Method: random bursts of writes; the writes of a burst are one group. Each burst is compared with the model.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ConflictError,
  type Durability,
  InvalidArgumentError,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { ConditionalModel, type ModelOutcome, type ModelWrite } from '../support/conditional-model.ts';
import { PROPERTY_MS, runsOf } from '../support/runs.ts';
import { SetClock } from '../support/set-clock.ts';

const KEYS = ['a', 'b', 'c', 'd'];
const SWEEP_MS = 60_000;

type Line =
  | { readonly do: 'set' | 'delete'; readonly key: string; readonly value: string }
  /** By how much the check misses: 0 not at all. */
  | { readonly do: 'check'; readonly key: string; readonly miss: 0 | 1 | 'absent' };
interface WritePlan {
  readonly lines: readonly Line[];
  readonly idempotencyKey: string | undefined;
  readonly windowMs: number;
  readonly durability: Durability;
  /** Instead of all this: the keyed write that was issued so many before, once more. */
  readonly repeats: number | undefined;
}
type Step =
  | { readonly do: 'burst'; readonly writes: readonly WritePlan[] }
  | { readonly do: 'flush' | 'compact' | 'reopen' | 'kill' | 'sweep' }
  | { readonly do: 'wait'; readonly ms: number };

const key = fc.constantFrom(...KEYS);
const value = fc.constantFrom('', '1', 'x'.repeat(300));
const line: fc.Arbitrary<Line> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('set'), key, value }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete'), key, value: fc.constant('') }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('check'),
      key,
      miss: fc.constantFrom<0 | 1 | 'absent'>(0, 0, 0, 0, 1, 'absent'),
    }),
  },
);
const write: fc.Arbitrary<WritePlan> = fc.record({
  lines: fc.array(line, { minLength: 1, maxLength: 4 }),
  idempotencyKey: fc.option(fc.constantFrom('k', 'l'), { nil: undefined, freq: 3 }),
  windowMs: fc.constantFrom(1, 50, 1000),
  durability: fc.constantFrom<Durability>('synced', 'buffered'),
  // Else two writes with one key would hardly ever have the same content.
  repeats: fc.option(fc.nat({ max: 3 }), { nil: undefined, freq: 2 }),
});
const burst: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('burst'),
  writes: fc.array(write, { minLength: 1, maxLength: 6 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: burst },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('flush', 'compact', 'reopen', 'kill', 'sweep') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(1, 49, 50, 2000) }) },
);
const options: fc.Arbitrary<OpenOptions> = fc.record({
  memtableBytesMax: fc.constantFrom(1024, 4096, 1024 * 1024),
  blockCacheBytesMax: fc.constantFrom(0, 1024 * 1024),
  level0CompactionTrigger: fc.constantFrom(1, 4),
  durability: fc.constantFrom('synced', 'buffered'),
});

/** A check is resolved when it is issued, by what the model is at then: so that most of them hold. */
function resolve(lines: readonly Line[], model: ConditionalModel): WriteOperation[] {
  return lines.map((one): WriteOperation => {
    if (one.do !== 'check') {
      return one.do === 'set'
        ? { type: 'set', key: one.key, value: one.value }
        : { type: 'delete', key: Buffer.from(one.key) };
    }
    const present = model.values.get(one.key)?.sequence;
    if (one.miss === 'absent' || present === undefined) return { type: 'check', key: one.key, sequence: 'absent' };
    return { type: 'check', key: one.key, sequence: present - one.miss };
  });
}

async function outcomeOf(store: Store, { operations, idempotencyKey, windowMs }: ModelWrite, durability: Durability) {
  try {
    const idempotency = idempotencyKey === undefined ? {} : { idempotencyKey, windowMs };
    const commit = await store.write(operations, { ...idempotency, durability }).then();
    if (durability === 'synced') expect(commit.durability).toBe('synced');
    return commit.sequence;
  } catch (error) {
    if (error instanceof InvalidArgumentError) return 'other batch';
    if (!(error instanceof ConflictError)) throw error;
    return { key: Buffer.from(error.key).toString(), expected: error.expected, actual: error.actual };
  }
}

class Run {
  readonly #options: OpenOptions;
  readonly #model = new ConditionalModel();
  readonly #clock = new SetClock();
  #fileSystem = new MemoryFileSystem();
  #store: Store | undefined;
  /** Writes that were issued with a key, to be issued again as they were. */
  readonly #issued: ModelWrite[] = [];

  constructor(given: OpenOptions) {
    this.#options = given;
  }

  async open(): Promise<void> {
    this.#store = await open('/db', { ...this.#options, fileSystem: this.#fileSystem, clock: this.#clock });
    this.#model.sequence = this.#store.stats().sequence; // numbers may be skipped, and what is swept takes some
  }

  get #opened(): Store {
    if (this.#store === undefined) throw new Error('not open');
    return this.#store;
  }

  async step(one: Step): Promise<void> {
    const store = this.#opened;
    switch (one.do) {
      case 'burst':
        return this.#burst(one.writes);
      case 'flush':
        await store.flush();
        return;
      case 'compact':
        await store.compact();
        return;
      case 'wait':
        this.#clock.dateMs += one.ms;
        return;
      case 'sweep':
        this.#clock.fire(SWEEP_MS);
        for (let turns = 0; turns < 50; turns += 1) await new Promise(setImmediate); // more than it takes
        await store.write([{ type: 'check', key: 'nobody', sequence: 'absent' }]); // behind what it wrote
        this.#model.sequence = store.stats().sequence;
        return;
      case 'reopen':
        await this.close();
        return this.open();
      case 'kill': {
        const image = this.#fileSystem.crashImage('all', () => 0.5);
        await this.close();
        this.#fileSystem = image;
        return this.open();
      }
    }
  }

  async #burst(plans: readonly WritePlan[]): Promise<void> {
    const expected: ModelOutcome[] = [];
    this.#model.beginGroup();
    const outcomes = plans.map((plan) => {
      const { idempotencyKey, windowMs, durability } = plan;
      const earlier = plan.repeats === undefined ? undefined : this.#issued.at(-1 - plan.repeats);
      const one = earlier ?? { operations: resolve(plan.lines, this.#model), idempotencyKey, windowMs };
      if (idempotencyKey !== undefined && earlier === undefined) this.#issued.push(one);
      expected.push(this.#model.write(one, this.#clock.dateMs));
      return outcomeOf(this.#opened, one, durability);
    });
    expect(await Promise.all(outcomes)).toEqual(expected);
  }

  async check(): Promise<void> {
    const entries = await Promise.all(KEYS.map((one) => this.#opened.entry(one).then()));
    const found = entries.map(
      (entry) => entry && { sequence: entry.sequence, value: Buffer.from(entry.value).toString() },
    );
    expect(found).toEqual(KEYS.map((one) => this.#model.values.get(one)));
  }

  async close(): Promise<void> {
    await this.#store?.close();
    this.#store = undefined;
  }
}

describe('writes with conditions', () => {
  it('become what the model makes of them', { timeout: PROPERTY_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(options, fc.array(step, { maxLength: 25, size: 'max' }), async (given, steps) => {
        const run = new Run(given);
        await run.open();
        try {
          for (const one of steps) await run.step(one);
          await run.check();
          await run.step({ do: 'reopen' });
          await run.check();
        } finally {
          await run.close();
        }
      }),
      runsOf(150),
    );
  });
});
