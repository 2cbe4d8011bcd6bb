/**
 * Produces events, and follows the changes with plain subscribers, each of which keeps what it made of them, and the
 * cursor behind them, in one file outside of the store. Run as
 *
 *     node follow.mjs <directory> <settings as JSON: { seed, retry, next, closeAfterMs?, isDraining, isHistoryShort, outside }>
 *
 *     <outside>/<subscriber>.json = { cursor, sequence, count, sum, hash }   what came, in its order
 *     <outside>/mirror.json       = { cursor, sequence, entries }            the present state: a snapshot, then changes
 */
import { open } from 'alluvium';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { amountOf, EVENTS, produce, textOf } from './events.mjs';
import { storeOptions, watchEvents } from './settings.mjs';
import { randomOf, tell, tellFailure } from './tell.mjs';

const [directory, given] = process.argv.slice(2);
const { seed, retry, next, closeAfterMs, isDraining, isHistoryShort, outside } = JSON.parse(given);
const random = randomOf(seed);
/** Changes that the slowest may be behind before the producer waits; one that is overtaken by retention may be slower. */
const BEHIND_MAX = isHistoryShort ? 2_000 : 300;

/** What a subscriber has; a file is replaced as a whole. */
const fileOf = (name) => join(outside, `${name}.json`);
const load = (name, empty) => {
  try {
    return JSON.parse(readFileSync(fileOf(name), 'utf8'));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return empty;
  }
};
const save = (name, state) => {
  writeFileSync(`${fileOf(name)}.new`, JSON.stringify(state));
  renameSync(`${fileOf(name)}.new`, fileOf(name));
};

tell('opening');
const store = await open(directory, storeOptions(random, isHistoryShort ? { historyBytesMax: 0 } : {}));
tell('open');
watchEvents(store);

let isStopped = false;
let produced = 0;
/** Sequence number that each has come to, and how many changes in this run. */
const reached = new Map();
const handled = new Map();
const isAhead = () => produced - Math.min(...handled.values()) > BEHIND_MAX;
isAhead.added = (changes) => void (produced += changes);

const advance = (name, sequence, changes) => {
  reached.set(name, sequence);
  handled.set(name, handled.get(name) + changes);
};

function addTo(name, state, change) {
  const { type, sequence, cursor } = change;
  const amount = amountOf(change);
  tell('delivered', name, sequence, type, amount);
  if (sequence <= state.sequence) tellFailure(`${name}: ${sequence} came after ${state.sequence}`);
  state.hash = (Math.imul(state.hash ^ (sequence % 2 ** 32), 0x01000193) + amount) >>> 0;
  state.count += 1;
  state.sum += amount;
  state.sequence = sequence;
  state.cursor = cursor;
}

const nothing = () => ({ cursor: 'start', sequence: 0, count: 0, sum: 0, hash: 0 });

/** Page by page: its cursor is always one between two batches. */
async function follow(name, durability) {
  const state = load(name, nothing());
  let batch = -1; // sequence number of the first operation of the last batch
  const small = { bufferChangesMax: 1 + Math.floor(random() * 50) }; // it falls back to history, too
  for await (const page of store.changes({ ...EVENTS, from: state.cursor, durability, ...small }).pages()) {
    for (const change of page) addTo(name, state, change);
    if (page[0].sequence - page[0].batchIndex === batch) tellFailure(`${name}: a page begins inside of batch ${batch}`);
    batch = page.at(-1).sequence - page.at(-1).batchIndex;
    if (random() < 0.1) await wait(Math.floor(random() * 20));
    save(name, state);
    advance(name, state.sequence, page.length);
  }
}

/** Change by change: it goes on inside of a batch. */
function take(name) {
  const state = load(name, nothing());
  return new Promise((complete, error) => {
    store.changes({ ...EVENTS, from: state.cursor }).subscribe({
      next: (change) => {
        addTo(name, state, change);
        save(name, state);
        advance(name, state.sequence, 1);
      },
      complete,
      error,
    });
  });
}

const isChange = ({ type }) => type === 'set' || type === 'delete';

/** The present state; when its place is gone, from a new snapshot. */
async function mirror(name) {
  for (;;) {
    const progress = { isInSnapshot: false };
    try {
      return await mirrorOnce(name, progress);
    } catch (error) {
      // A stream of changes completes with its store, but a snapshot that is not whole must not look as if it were.
      if (isStopped && progress.isInSnapshot && error.code === 'CLOSED') return;
      if (!isHistoryShort || error.code !== 'HISTORY_GONE') throw error;
      tell('overtaken', name);
      save(name, {});
    }
  }
}

async function mirrorOnce(name, progress) {
  const { cursor = 'snapshot', entries = [] } = load(name, {});
  progress.isInSnapshot = cursor === 'snapshot';
  const state = new Map(entries);
  let last = 0;
  for await (const page of store.changes({ ...EVENTS, from: cursor, durability: 'synced' }).pages()) {
    let place;
    for (const event of page) {
      if (event.sequence <= last && isChange(event)) tellFailure(`${name}: ${event.sequence} after ${last}`);
      if (event.type === 'delete') state.delete(textOf(event.key));
      else if (event.type !== 'snapshotEnd') state.set(textOf(event.key), textOf(event.value));
      if (event.type === 'entry') continue;
      progress.isInSnapshot = false;
      last = event.sequence;
      place = event.cursor;
    }
    if (isHistoryShort && random() < 0.3) await wait(Math.floor(random() * 40));
    if (place === undefined) continue; // a snapshot has no place before its end
    save(name, { cursor: place, sequence: last, entries: [...state] });
    advance(name, last, page.length);
  }
}

const subscribers = isHistoryShort
  ? { mirror }
  : { synced: (name) => follow(name, 'synced'), buffered: (name) => follow(name, 'buffered'), pushed: take, mirror };
for (const [name, run] of Object.entries(subscribers)) {
  handled.set(name, 0);
  run(name).then(
    () => isStopped || tellFailure(`${name} completed`),
    (error) => tellFailure(name, error),
  );
}

async function close() {
  isStopped = true;
  await store.close();
  tell('closed');
}

if (isDraining) {
  // The last event there is, and a batch that can be told apart: when everybody has it, everybody has all.
  const { sequence } = await store.set('event!0', '1 the last', { durability: 'synced' });
  tell('last', sequence);
  const isDone = (name) => (reached.get(name) ?? 0) >= sequence;
  while (!Object.keys(subscribers).every(isDone)) await wait(5);
  await close();
} else {
  const producing = produce(store, { retry, next, random, isAhead, isStopped: () => isStopped });
  producing.catch((error) => tellFailure('producer', error));
  if (closeAfterMs !== undefined) {
    await wait(closeAfterMs);
    await close();
  }
}
