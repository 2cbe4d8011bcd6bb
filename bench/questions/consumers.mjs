/**
 * Durable consumers whose effects commit with their position: in batches, and one by one with 64 in flight. All events lie
 * there when the consumer begins; it ends when each is acknowledged, so that its last commit counts.
 */
import { timed } from '../support/closed-loop.mjs';
import { check, Data } from '../support/data.mjs';
import { openStore, writeAll } from '../support/stores.mjs';

/** @typedef {import('../support/question.mjs').Question} Question */
/** @typedef {import('alluvium').Store} Store */

const EVENTS_MAX = 200_000;
const CONSUMER_BATCH = 1000;
const IN_FLIGHT = 64;
/** The events' keys are decimal digits: the effects' keys begin with a letter, behind them all. */
const EVENTS = { gte: '0', lt: ':' };
const EFFECT = 'effect:';

/**
 * Runs a consumer until it has acknowledged so many changes.
 *
 * @param {Store} store
 * @param {number} count
 * @param {any} options - without range
 */
function consume(store, count, options) {
  return new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    let left = count;
    const running = store
      .consumer('bench', { ...EVENTS, ...options })
      .run()
      .subscribe({
        next: (event) => {
          if (event.type === 'parked') reject(event.error);
          if (event.type !== 'acked') return;
          left -= event.changes;
          if (left > 0) return;
          running.unsubscribe();
          resolve();
        },
        error: reject,
        complete: () => reject(new Error('The consumer ended before its work')),
      });
  });
}

/** @typedef {import('alluvium').Change & { readonly type: 'set' }} Event */
/** @typedef {{ set: (key: Uint8Array | string, value: Uint8Array | string) => void }} Transaction */

const PREFIX = Buffer.from(EFFECT);
/** @param {Uint8Array} key */
const effectKey = (key) => Buffer.concat([PREFIX, key]);

/** @param {Event} event @param {Transaction} tx */
const copy = ({ key, value }, tx) => tx.set(effectKey(key), value);

/** Each event has exactly one effect. @param {Store} store @param {number} count */
async function checkCopies(store, count) {
  let effects = 0;
  for await (const page of store.scan({ gte: EFFECT, lt: 'effect;' }).pages()) effects += page.length;
  check(effects === count, `${effects} effects of ${count} events`);
}

/** @param {Store} store @param {number} count */
async function checkCount(store, count) {
  const value = await store.get(EFFECT);
  check(value !== undefined && Number(Buffer.from(value).toString()) === count, 'the counted events');
}

/**
 * @param {object} kind
 * @param {string} kind.name
 * @param {string} kind.work
 * @param {number} [kind.valueMin]
 * @param {() => object} kind.options
 * @param {(store: Store, count: number) => Promise<void>} kind.verify
 * @returns {Question}
 */
const consumer = ({ name, work, valueMin, options, verify }) => ({
  name: `changes-consumer-${name}`,
  store: 'new',
  group: 'Durable consumers',
  peers: [],
  rows: [
    {
      figure: 'perSecond',
      work: `durable consumer, synced, ${work}`,
      unit: 'events/s',
      better: 'higher',
      ...(valueMin === undefined ? {} : { valueMin }),
    },
  ],
  async ask(bench) {
    const count = Math.min(bench.scale.entries, EVENTS_MAX);
    const store = await openStore(bench, 'synced');
    await writeAll(store, new Data(count));
    const seconds = await timed(() => consume(store, count, options()));
    await store.close();
    const reopened = await openStore(bench, 'synced');
    await verify(reopened, count);
    await reopened.close();
    return { perSecond: count / seconds };
  },
});

export const consumerQuestions = [
  consumer({
    name: 'batch-each',
    work: 'batches of 1,000, an effect for each event in the same commit',
    valueMin: 100_000,
    options: () => ({
      batch: { changesMax: CONSUMER_BATCH },
      handle: (/** @type {Event[]} */ events, /** @type {Transaction} */ tx) => {
        for (const event of events) copy(event, tx);
      },
    }),
    verify: checkCopies,
  }),
  consumer({
    name: 'batch-sum',
    work: 'batches of 1,000, an effect for each batch in the same commit',
    valueMin: 100_000,
    options: () => {
      let sum = 0;
      return {
        batch: { changesMax: CONSUMER_BATCH },
        handle: (/** @type {Event[]} */ events, /** @type {Transaction} */ tx) => {
          sum += events.length;
          tx.set(EFFECT, String(sum));
        },
      };
    },
    verify: checkCount,
  }),
  consumer({
    name: 'single',
    work: 'one by one with 64 in flight, asynchronous, an effect for each in the same commit',
    valueMin: 20_000,
    options: () => ({
      inFlightMax: IN_FLIGHT,
      handle: async (/** @type {Event} */ event, /** @type {Transaction} */ tx) => copy(event, tx),
    }),
    verify: checkCopies,
  }),
];
