// Goal: whatever a consumer's handlers do, however the source cuts its pages, in whatever order the store answers, and
// wherever it is dropped and begun anew: every change is handled at least once, its effects are there exactly once, the
// changes of a key are handled in their order, and no bound is exceeded.
// Method: fc.scheduler decides which answer of the store or of a handler comes next; time passes when nothing else can
// happen. A crash drops all but the store.
import fc from 'fast-check';
import { EMPTY, NEVER, Observable } from 'rxjs';
import { expect, it } from 'vitest';
import { ReadOnlyError } from '../../src/errors.ts';
import type { Change } from '../../src/model.ts';
import type {
  BatchConsumerOptions,
  ConsumerOptions,
  Delivery,
  Transaction,
} from '../../src/streams/consumer-options.ts';
import type { ConsumerStorePort } from '../../src/streams/consumer-source.ts';
import { Consumers } from '../../src/streams/consumers.ts';
import { HandClock, ModelStore, turns } from '../support/consumer-ports.ts';
import { run, world } from '../support/consumer-runs.ts';
import { PROPERTY_MS, runsOf } from '../support/runs.ts';

/** How the handler ends with one change, attempt by attempt; then it succeeds. */
type Ending = 'throw' | 'reject' | 'nack' | 'hang' | 'errorLater' | 'term';
type Success = 'sync' | 'promise' | 'observable' | 'ackEarly';

interface Plan {
  readonly endings: readonly Ending[];
  readonly success: Success;
  /** It adds to a sum that all of them share. */
  readonly isAdding: boolean;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  endings: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    fc.array(fc.constantFrom<Ending>('throw', 'reject', 'nack', 'hang', 'errorLater', 'term'), { maxLength: 3 }),
  ),
  success: fc.constantFrom<Success>('sync', 'promise', 'observable', 'ackEarly'),
  isAdding: fc.boolean(),
});

const settings = fc.record({
  inFlightMax: fc.integer({ min: 1, max: 5 }),
  aheadExtra: fc.integer({ min: 0, max: 6 }),
  attemptsMax: fc.integer({ min: 1, max: 4 }),
  batch: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined, freq: 3 }),
  pageMax: fc.integer({ min: 1, max: 7 }),
  isPullSync: fc.boolean(),
  workers: fc.integer({ min: 1, max: 2 }),
  /** Of ten commits, so many are refused for now. */
  failing: fc.integer({ min: 0, max: 4 }),
});

const KEYS = ['a', 'b', 'c'] as const;
const changes = fc.array(fc.record({ key: fc.constantFrom(...KEYS), plan }), {
  minLength: 1,
  maxLength: 14,
  size: 'max',
});
/** Steps of the scheduler, after which all but the store is dropped. */
const crashes = fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 3 });

const keyOf = (change: Change): string => Buffer.from(change.key).toString();
const isOf = (letter: string, key: string): boolean => key.startsWith(letter);

it(
  'every change at least once, effects exactly once, in order per key, within bounds',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        changes,
        settings,
        crashes,
        fc.infiniteStream(fc.nat(9)),
        async (s, given, set, crashed, draw) => {
          const clock = new HandClock();
          const store = new ModelStore(clock);
          store.hands.isPullSync = () => set.isPullSync;
          store.hands.pageSize = () => 1 + ((draw.next().value ?? 0) % set.pageMax);
          store.hands.beforePull = () => s.schedule(Promise.resolve(), 'pull');
          store.hands.beforeEntry = () => s.schedule(Promise.resolve(), 'entry');
          let life = 0;
          let refusals = 0;
          const plans = given.map((one) => one.plan);
          const wrongs: string[] = []; // an assertion in a handler would only be its failure
          const handled = new Map<number, number>(); // sequence: times the handler was called
          const running = new Map<string, number>(); // key: deliveries at work, of this life
          let atWork = 0;
          let mostAtWork = 0;
          const orders: number[][] = []; // of each key, in this life: sequences as they were first begun
          const effectsOf = (change: Change, tx: Transaction): void => tx.set(`out:${change.sequence}`, String(life));

          const handle = (
            mine: number,
            all: readonly Change[],
            tx: Transaction,
            delivery: Delivery,
          ): Observable<unknown> | Promise<unknown> | undefined => {
            if (mine !== life) return NEVER; // of a process that is no more
            atWork += 1;
            mostAtWork = Math.max(mostAtWork, atWork);
            for (const change of all) {
              handled.set(change.sequence, (handled.get(change.sequence) ?? 0) + 1);
              const key = keyOf(change);
              running.set(key, (running.get(key) ?? 0) + 1);
              if (set.batch === undefined && running.get(key) !== 1) wrongs.push(`two of ${key} at once`);
              const order = orders[KEYS.indexOf(key as 'a')] ?? [];
              if (order.includes(change.sequence)) {
                // Again: the last one, or, of a batch that is taken apart, one of the last.
                if (set.batch === undefined && order.at(-1) !== change.sequence) wrongs.push(`${key} goes back`);
                continue;
              }
              if (change.sequence < (order.at(-1) ?? 0)) wrongs.push(`${key} out of order`);
              order.push(change.sequence);
            }
            const over = (): void => {
              if (mine !== life) return;
              atWork -= 1;
              for (const change of all) running.set(keyOf(change), (running.get(keyOf(change)) ?? 0) - 1);
            };
            delivery.signal.addEventListener('abort', over, { once: true });
            return work(all, tx, delivery);
          };

          const work = (
            all: readonly Change[],
            tx: Transaction,
            delivery: Delivery,
          ): Observable<unknown> | Promise<unknown> | undefined => {
            for (const change of all) effectsOf(change, tx);
            const planned = all.map((change) => plans[change.sequence - 1]).filter((one) => one !== undefined);
            const ending = planned.map(({ endings }) => endings[delivery.attempt - 1]).find((one) => one !== undefined);
            if (ending === 'throw') throw new Error('thrown');
            if (ending === 'reject')
              return s.schedule(Promise.resolve()).then(() => Promise.reject(new Error('rejected')));
            if (ending === 'nack') delivery.nack({ delayMs: 5 });
            if (ending === 'term') delivery.term();
            if (ending === 'nack' || ending === 'term' || ending === 'hang') return NEVER;
            if (ending === 'errorLater') {
              return new Observable((subscriber) => {
                void s.schedule(Promise.resolve()).then(() => subscriber.error(new Error('later')));
              });
            }
            const adding = planned.filter(({ isAdding }) => isAdding).length;
            const success = planned[0]?.success ?? 'sync';
            const finish = (): Observable<unknown> | undefined => {
              if (success === 'ackEarly') delivery.ack();
              return success === 'observable' ? EMPTY : undefined;
            };
            if (adding > 0) {
              return (async () => {
                const sum = Number(Buffer.from((await tx.get('sum')) ?? []).toString() || '0');
                await s.schedule(Promise.resolve(), 'adding');
                if (!delivery.signal.aborted) tx.set('sum', String(sum + adding));
                void finish();
              })();
            }
            if (success === 'promise') return s.schedule(Promise.resolve(), 'handler');
            return finish();
          };

          const common = {
            lt: 'o', // outputs begin with o or s
            attemptsMax: set.attemptsMax,
            ackWaitMs: 100,
            backOff: { firstMs: 10, longestMs: 40 },
          };
          const aheadMax = Math.max(set.inFlightMax, set.batch ?? 1) + set.aheadExtra;
          const optionsOf = (mine: number): ConsumerOptions | BatchConsumerOptions =>
            set.batch === undefined
              ? {
                  ...common,
                  aheadMax,
                  inFlightMax: set.inFlightMax,
                  handle: (change, tx, delivery) => handle(mine, [change], tx, delivery),
                }
              : {
                  ...common,
                  aheadMax,
                  batch: { changesMax: set.batch },
                  handle: (all: readonly Change[], tx: Transaction, delivery: Delivery) =>
                    handle(mine, all, tx, delivery),
                };

          /** A commit is under way for a while; what is under way when its process dies takes no effect. */
          const submitOf =
            (mine: number): ConsumerStorePort['commit'] =>
            async (operations, durability) => {
              await s.schedule(Promise.resolve(), 'commit');
              if (mine !== life) return new Promise(() => undefined);
              const isRefused = refusals < 3 && operations.length > 1 && (draw.next().value ?? 0) < set.failing;
              refusals = isRefused ? refusals + 1 : 0; // in a row: the back-off doubles
              if (isRefused) throw new ReadOnlyError('for now');
              return store.commit(operations, durability);
            };

          const failures: unknown[] = [];
          const begin = (): void => {
            life += 1;
            atWork = 0;
            running.clear();
            orders.splice(0, orders.length, ...KEYS.map(() => []));
            const consumers = new Consumers({ store: portOf(store, submitOf(life)), source: store });
            for (let worker = 0; worker < set.workers; worker += 1) {
              consumers
                .consumer('c', optionsOf(life), (change) => change)
                .run()
                .subscribe({
                  next: (event) => {
                    if (event.type === 'fault') failures.push(event.error);
                  },
                  error: (error: unknown) => failures.push(error),
                });
            }
          };

          /** Everything is settled: behind the watermark, or beyond it as an earlier life left it. */
          const isDone = (): boolean => {
            const text = store.text('!_alluvium!!consumers!c');
            if (text === undefined) return false;
            const { sequence, settled } = JSON.parse(text) as { sequence: number; settled: number[] };
            let behind = sequence;
            settled.forEach((first, index) => {
              if (index % 2 === 0 && first <= behind + 1) behind = first + (settled[index + 1] ?? 0) - 1;
            });
            return behind >= given.length;
          };
          given.forEach(({ key }, index) => store.put(key, String(index)));
          begin();
          const ends = [...crashed];
          for (let steps = 0, idle = 0; !isDone() && idle < 400; steps += 1) {
            if (steps === ends[0]) {
              ends.shift();
              steps = 0;
              clock.timers.clear();
              begin();
            }
            await turns(1);
            if (s.count() > 0) await s.waitNext(1);
            else {
              await clock.advance(20);
              idle += 1;
            }
          }
          expect(failures).toEqual([]);
          expect(wrongs).toEqual([]);
          expect(isDone(), 'comes to an end').toBe(true);
          expect(mostAtWork).toBeLessThanOrEqual((set.batch === undefined ? set.inFlightMax : 1) * set.workers);

          // Each change: handled at least once; and either its effects are there, once, or its dead letter is.
          const isLetter = (sequence: number): boolean =>
            store.entries.has(`!_alluvium!!dead!c!${sequence.toString(16).padStart(14, '0')}`);
          const written = store.log.filter((change) => isOf('out:', keyOf(change))).map(keyOf);
          let sum = 0;
          for (const [index, { plan: planned }] of given.entries()) {
            const sequence = index + 1;
            expect(handled.get(sequence), 'handled').toBeGreaterThanOrEqual(1);
            const times = written.filter((key) => key === `out:${sequence}`).length;
            expect(times, `effects of ${sequence}`).toBe(isLetter(sequence) ? 0 : 1);
            if (planned.isAdding && !isLetter(sequence)) sum += 1;
          }
          expect(store.text('sum') ?? '0').toBe(String(sum));
        },
      ),
      runsOf(150),
    );
  },
  PROPERTY_MS,
);

/** The store, with commits of its own. */
const portOf = (store: ModelStore, commit: ConsumerStorePort['commit']): ConsumerStorePort => ({
  commit,
  entry: (key) => store.entry(key),
  scanReserved: (range) => store.scanReserved(range),
  clock: store.clock,
  durability: store.durability,
});

it('a new consumer holds its place in history before its record is written', async () => {
  const it = world();
  it.store.put('a', '1');
  const held: boolean[] = [];
  it.store.hands.beforeCommit = () => {
    held.push(it.store.retained.has('c'));
    return Promise.resolve();
  };
  const { subscription } = run(it, { handle: () => EMPTY });
  await turns();
  subscription.unsubscribe();
  expect(held[0]).toBe(true);
});

it('a new consumer whose record cannot be written holds nothing', async () => {
  const it = world();
  it.store.put('a', '1');
  it.store.hands.beforeCommit = () => Promise.reject(new ReadOnlyError('for now'));
  const result = run(it, { handle: () => EMPTY });
  await turns();
  expect(result.error).toBeInstanceOf(ReadOnlyError);
  expect(it.store.retained.has('c')).toBe(false);
});
