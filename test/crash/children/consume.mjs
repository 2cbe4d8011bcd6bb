/**
 * Produces events, and adds them up in six consumers, each in its own way; in one store. Run as
 *
 *     node consume.mjs <directory> <settings as JSON: { seed, retry, next, closeAfterMs?, isDraining }>
 *
 * Each consumer keeps in the transaction of its deliveries, and so commits together with its position:
 *
 *     out!<consumer>!count!<sequence>   how often the event was counted
 *     out!<consumer>!sum!<partition>    the sum of its amounts
 *     out!<consumer>!total              the sum of all amounts, where one transaction at a time reads it
 */
import { open } from 'alluvium';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { amountOf, EVENTS, partitionOf, produce, textOf } from './events.mjs';
import { storeOptions, watchEvents } from './settings.mjs';
import { randomOf, tell, tellFailure } from './tell.mjs';

const [directory, given] = process.argv.slice(2);
const { seed, retry, next, closeAfterMs, isDraining } = JSON.parse(given);
const random = randomOf(seed);
/** Changes that the slowest consumer may be behind before the producer waits for it. */
const BEHIND_MAX = 300;
/** Part of the deliveries that fail at their first attempt, after they wrote. */
const FAILING = 0.02;

/** History goes when it is settled, so that what is read after a kill is what was kept for the consumers. */
const HISTORY = { historyBytesMax: 32 * 1024 };

const deltaOf = (changes, consumer, hasTotal) => {
  const delta = new Map();
  const add = (key, amount) => delta.set(key, (delta.get(key) ?? 0) + amount);
  for (const change of changes) {
    add(`out!${consumer}!count!${change.sequence}`, 1);
    add(`out!${consumer}!sum!${partitionOf(change)}`, amountOf(change));
    if (hasTotal) add(`out!${consumer}!total`, amountOf(change));
  }
  return delta;
};

const pause = async () => {
  const kind = random();
  if (kind < 0.2) await turn();
  else if (kind < 0.3) await wait(Math.floor(random() * 4));
};

const tellDelivered = (consumer, changes) => {
  for (const change of changes) tell('delivered', consumer, change.sequence, change.type, amountOf(change));
};

/** Reads, adds, writes: the reads are conditions of the commit if they go through the transaction. */
const adding =
  (consumer, { hasTotal, readerOf, end = () => undefined }) =>
  async (oneOrMore, tx, delivery) => {
    const changes = Array.isArray(oneOrMore) ? oneOrMore : [oneOrMore];
    tellDelivered(consumer, changes);
    const reader = readerOf(tx);
    await pause();
    for (const [key, amount] of deltaOf(changes, consumer, hasTotal)) {
      const before = await reader.get(key);
      tx.set(key, String((before === undefined ? 0 : Number(textOf(before))) + amount));
    }
    await pause();
    if (delivery.attempt === 1 && random() < FAILING) throw new Error('planned');
    end(delivery);
  };

/** Waits for nothing; that the event was not counted before is a condition that must hold the first time. */
const marking = (consumer) => (change, tx) => {
  tellDelivered(consumer, [change]);
  const key = `out!${consumer}!count!${change.sequence}`;
  tx.write([
    { type: 'check', key, sequence: 'absent' },
    { type: 'set', key, value: '1' },
    { type: 'set', key: `out!${consumer}!amount!${change.sequence}`, value: String(amountOf(change)) },
  ]);
};

const always = { ...EVENTS, backOff: { firstMs: 1, longestMs: 5 }, attemptsMax: Infinity };

/** By name: the options, and how many workers share the work. */
function consumersOf(store) {
  const checked = (tx) => tx;
  const unchecked = () => store; // sound where nothing else that adds to the same sums is at work
  const durability = random() < 0.5 ? 'buffered' : undefined;
  const of = (name, options, settings, workers = 1) => {
    const handle = settings === undefined ? marking(name) : adding(name, settings);
    return { name, workers, options: { ...always, durability, ...options, handle } };
  };
  return [
    of('one-checked', { inFlightMax: 4 }, { hasTotal: true, readerOf: checked }),
    of(
      'one-unchecked',
      { inFlightMax: 32, partitionBy: partitionOf, ack: 'manual' },
      { hasTotal: false, readerOf: unchecked, end: (delivery) => delivery.ack() },
    ),
    of('one-marking', {}, undefined),
    of('shared', { inFlightMax: 4 }, { hasTotal: false, readerOf: checked }, 2),
    of('batch-checked', { batch: { changesMax: 20 } }, { hasTotal: true, readerOf: checked }),
    of('batch-unchecked', { batch: { changesMax: 100, idleMs: 1 } }, { hasTotal: true, readerOf: unchecked }),
  ];
}

tell('opening');
const store = await open(directory, storeOptions(random, HISTORY));
tell('open');

let isStopped = false;
watchEvents(store);

/** How many events each consumer is known to be behind; of one whose workers leave, nobody is told all. */
const behind = new Map();
const isAhead = () => Math.max(...behind.values()) > BEHIND_MAX;
isAhead.added = (changes) => {
  for (const name of behind.keys()) addBehind(name, changes);
};

function addBehind(name, changes) {
  if (behind.has(name)) behind.set(name, behind.get(name) + changes);
}

/** What a worker tells: progress, and what must not be. */
const listen = (name) => ({
  next: (event) => {
    const { type, error } = event;
    if (type === 'acked') addBehind(name, -event.changes);
    const isPlanned = type === 'failedAttempt' && error.message === 'planned';
    const isConflict = type === 'conflict' && name !== 'one-marking';
    if (!isPlanned && !isConflict && !['acked', 'delivered'].includes(type)) {
      tellFailure(`${name} ${type} ${event.sequence ?? ''}`, error);
    }
  },
  error: (error) => tellFailure(`${name} run`, error),
});

const consumers = [];
for (const { name, workers, options } of consumersOf(store)) {
  const consumer = store.consumer(name, options);
  consumers.push(consumer);
  if (workers === 1) behind.set(name, 0);
  const runs = Array.from({ length: workers }, () => consumer.run().subscribe(listen(name)));
  if (workers > 1 && !isDraining) void comeAndGo(name, consumer, runs);
  // The lag is read from history, beside everything else.
  consumer.lag().subscribe({
    next: ({ changes }) => addBehind(name, changes),
    error: (error) => {
      if (!isStopped) tellFailure(`${name} lag`, error);
    },
  });
}

/** One of the workers leaves now and then, or both, and they come again. */
async function comeAndGo(name, consumer, runs) {
  while (!isStopped) {
    await wait(Math.floor(random() * 60));
    if (isStopped) return;
    const index = Math.floor(random() * runs.length);
    if (runs[index].closed) runs[index] = consumer.run().subscribe(listen(name));
    else runs[index].unsubscribe();
  }
}

async function close() {
  isStopped = true;
  await store.close();
  tell('closed');
}

if (isDraining) {
  for (const consumer of consumers) while ((await consumer.lag()).changes > 0) await wait(5);
  await close();
} else {
  const produced = produce(store, { retry, next, random, isAhead, isStopped: () => isStopped });
  produced.catch((error) => tellFailure('producer', error));
  if (closeAfterMs !== undefined) {
    await wait(closeAfterMs);
    await close();
  }
}
