/**
 * Change streams: what delivering costs with one, a hundred and a thousand subscribers, what it costs the writer, and how
 * quickly history is read again. (Consumers: `consumers.mjs`. Beside other engines: `bench/events.mjs`.)
 */
import { timed } from '../support/closed-loop.mjs';
import { BATCHES, ChangeWriter, KEYS, measureSubscribers, SINGLES, subscribeAll } from '../support/change-writer.mjs';
import { check, checkByte, Data } from '../support/data.mjs';
import { mainThreadMs } from '../support/main-thread.mjs';
import { summarize } from '../support/statistics.mjs';
import { openStore, writeAll } from '../support/stores.mjs';

/** @typedef {import('../support/question.mjs').Question} Question */
/** @typedef {import('alluvium').Store} Store */

const MS_PER_SECOND = 1000;
const US_PER_MS = 1000;
const HUNDRED = 100;
const ROUND_CHANGES = 20_000;
/** Replays in one process; the best counts, as the first ones warm up the compiler and the page cache. */
const REPLAYS = 3;
/** The writer's rounds are short, so that both kinds meet the same machine. */
const COST_ROUND_MS = 120;

/** @param {import('../support/question.mjs').Scale} scale */
const pairsOf = ({ seconds }) => Math.max(4, Math.round(seconds * 5));

/** @type {Question} */
const oneSubscriber = {
  name: 'changes-one',
  store: 'new',
  group: 'Change streams',
  peers: [],
  rows: [
    {
      figure: 'deliveredPerSecond',
      work: 'one subscriber, batches of 100, buffered: delivery alone (main thread with it, less without it)',
      unit: 'changes/s',
      better: 'higher',
      valueMin: 1_000_000,
    },
    {
      figure: 'perSecond',
      work: 'the same: written and delivered, on the main thread together',
      unit: 'changes/s',
      better: 'higher',
      beside: { 'without subscriber': 'withoutPerSecond' },
    },
  ],
  async ask(bench) {
    const store = await openStore(bench, 'buffered');
    const { extraMs, withMs, withoutMs } = await measureSubscribers({
      writer: new ChangeWriter(store, BATCHES),
      roundChanges: 2 * ROUND_CHANGES,
      pairs: pairsOf(bench.scale),
      subscribe: () => subscribeAll([store.changes()], (received, changes) => received >= changes),
    });
    await store.close();
    // A difference that is lost in the noise is no figure, and surely not a good one.
    check(extraMs > 0, 'the rounds with a subscriber took less work than those without: the machine is too busy');
    return {
      deliveredPerSecond: MS_PER_SECOND / extraMs,
      perSecond: MS_PER_SECOND / withMs,
      withoutPerSecond: MS_PER_SECOND / withoutMs,
    };
  },
};

/**
 * @param {object} kind
 * @param {string} kind.name
 * @param {string} kind.work
 * @param {number} [kind.valueMax]
 * @param {(store: Store) => import('rxjs').Observable<import('alluvium').Change>[]} kind.streams
 * @param {number} kind.interested - subscribers in each change
 * @returns {Question}
 */
const manySubscribers = ({ name, work, valueMax, streams, interested }) => ({
  name,
  store: 'new',
  group: 'Change streams',
  peers: [],
  rows: [
    ['batchesUs', 'batches of 100, buffered'],
    ['singlesUs', 'single sets, 64 in flight, buffered'],
    ['syncedUs', 'single sets, 64 in flight, synced'],
  ].map(([figure = '', load]) => ({
    figure,
    work: `${work}: cost per change for all of them together, ${load}`,
    unit: 'us',
    better: /** @type {const} */ ('lower'),
    ...(valueMax === undefined ? {} : { valueMax }),
  })),
  async ask(bench) {
    /** @param {'synced' | 'buffered'} durability @param {import('../support/change-writer.mjs').Load} load */
    const microseconds = async (durability, load) => {
      const store = await openStore(bench, durability);
      const { extraMs } = await measureSubscribers({
        writer: new ChangeWriter(store, load),
        roundChanges: ROUND_CHANGES,
        pairs: pairsOf(bench.scale),
        subscribe: () => subscribeAll(streams(store), (received, changes) => received >= interested * changes),
      });
      await store.close();
      return extraMs * US_PER_MS;
    };
    return {
      batchesUs: await microseconds('buffered', BATCHES),
      singlesUs: await microseconds('buffered', SINGLES),
      syncedUs: await microseconds('synced', SINGLES),
    };
  },
});

const hundredSubscribers = manySubscribers({
  name: 'changes-hundred',
  work: '100 subscribers, all interested',
  valueMax: 10,
  streams: (store) => Array.from({ length: HUNDRED }, () => store.changes()),
  interested: HUNDRED,
});

const thousandSubscribers = manySubscribers({
  name: 'changes-thousand',
  work: '1,000 subscribers to different keys, one interested',
  streams: (store) => {
    const data = new Data(KEYS);
    return Array.from({ length: KEYS }, (_, index) => {
      const key = data.key(index);
      return store.changes({ gte: key, lte: key });
    });
  },
  interested: 1,
});

/** @type {Question} */
const replay = {
  name: 'changes-replay',
  store: 'new',
  group: 'Change streams',
  peers: [],
  rows: [
    { figure: 'pages', work: 'replay of history, pages()', unit: 'changes/s', better: 'higher', valueMin: 500_000 },
    { figure: 'forAwait', work: 'replay of history, for await, one by one', unit: 'changes/s', better: 'higher' },
    { figure: 'push', work: 'replay of history, subscribe', unit: 'changes/s', better: 'higher' },
  ],
  async ask(bench) {
    const { entries } = bench.scale;
    const data = new Data(entries);
    const writing = await openStore(bench, 'buffered');
    await writeAll(writing, data);
    await writing.close();
    const store = await openStore(bench, 'buffered');
    let count = 0;
    let checksum = 0;
    const take = (/** @type {import('alluvium').Change} */ change) => {
      count += 1;
      if (change.type === 'set') checksum += checkByte(change.value);
      return count === entries;
    };
    /** @param {() => Promise<void>} work */
    const perSecond = async (work) => {
      count = 0;
      checksum = 0;
      const seconds = await timed(work);
      check(count === entries, `${count} changes of ${entries}`);
      let expected = 0;
      for (let index = 0; index < entries; index += 1) expected += data.checkOf(index);
      check(checksum === expected, 'the sum over the values of all changes');
      return entries / seconds;
    };
    const stream = store.changes({ from: 'start' });
    const pages = async () => {
      for await (const page of stream.pages()) {
        for (const change of page) take(change);
        if (count >= entries) return;
      }
    };
    const forAwait = async () => {
      for await (const change of stream) if (take(change)) return;
    };
    const push = async () => {
      /** @type {import('rxjs').Subscription | undefined} */
      let subscription;
      await new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
        subscription = stream.subscribe({
          next: (change) => {
            if (take(change)) resolve();
          },
          error: reject,
        });
      });
      subscription?.unsubscribe();
    };
    const figures = { pages: 0, forAwait: 0, push: 0 };
    for (let round = 0; round < REPLAYS; round += 1) {
      figures.pages = Math.max(figures.pages, await perSecond(pages));
      figures.forAwait = Math.max(figures.forAwait, await perSecond(forAwait));
      figures.push = Math.max(figures.push, await perSecond(push));
    }
    await store.close();
    return figures;
  },
};

/**
 * What one live subscriber costs the writer, in per cent: of its acknowledgements per second, and of the main thread's work for
 * each. Rounds with and without, in turns; what the subscriber has left to do when the writer is done counts too.
 *
 * @param {Store} store
 * @param {import('../support/change-writer.mjs').Load} load
 * @param {number} pairs
 * @returns {Promise<{ rate: number, work: number }>}
 */
async function costOfSubscriber(store, load, pairs) {
  const writer = new ChangeWriter(store, load);
  /** @param {boolean} hasSubscriber */
  const round = async (hasSubscriber) => {
    const subscribers = hasSubscriber
      ? subscribeAll([store.changes()], (received, changes) => received >= changes)
      : undefined;
    const startMs = performance.now();
    const startWork = mainThreadMs();
    let written = 0;
    while (performance.now() - startMs < COST_ROUND_MS) written += await writer.write(load.inFlight * load.entries * 8);
    await subscribers?.received(written);
    const ms = performance.now() - startMs;
    const work = mainThreadMs() - startWork;
    subscribers?.stop();
    return { rate: written / ms, work: work / written };
  };
  await round(true);
  await round(false);
  const rates = [];
  const works = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    const isFirst = pair % 2 === 0;
    const first = await round(isFirst);
    const second = await round(!isFirst);
    const [withOne, without] = isFirst ? [first, second] : [second, first];
    rates.push(1 - withOne.rate / without.rate);
    works.push(withOne.work / without.work - 1);
  }
  return { rate: 100 * summarize(rates).median, work: 100 * summarize(works).median };
}

/** @param {'synced' | 'buffered'} durability @returns {Question} */
const writerCost = (durability) => ({
  name: `changes-cost-${durability}`,
  store: 'new',
  group: 'Change streams',
  peers: [],
  rows: [
    ['singles', 'single sets, 64 in flight'],
    ['batches', 'batches of 100, 4 in flight'],
  ].map(([figure = '', load]) => ({
    figure,
    work: `what one live subscriber costs the writer: ${load}, ${durability}`,
    unit: '%',
    better: /** @type {const} */ ('lower'),
    valueMax: 5,
    beside: { 'main thread, %': `${figure}Work` },
  })),
  async ask(bench) {
    const store = await openStore(bench, durability);
    const pairs = 3 * pairsOf(bench.scale);
    const singles = await costOfSubscriber(store, SINGLES, pairs);
    const batches = await costOfSubscriber(store, BATCHES, pairs);
    await store.close();
    return { singles: singles.rate, singlesWork: singles.work, batches: batches.rate, batchesWork: batches.work };
  },
});

export const changesQuestions = [
  oneSubscriber,
  hundredSubscribers,
  thousandSubscribers,
  replay,
  writerCost('synced'),
  writerCost('buffered'),
];
