/** Writing at full speed, in rounds, as a load for change streams: what the rounds with subscribers take more is theirs. */
import { Data } from './data.mjs';
import { mainThreadMs } from './main-thread.mjs';
import { summarize } from './statistics.mjs';

/** @typedef {import('alluvium').Store} Store */
/** @typedef {{ readonly inFlight: number, readonly entries: number }} Load - of each call: so many entries */

/** @type {Load} */
export const SINGLES = { inFlight: 64, entries: 1 };
/** @type {Load} */
export const BATCHES = { inFlight: 4, entries: 100 };

/** Different keys that are written, over and over: few, so that compaction has little to do. */
export const KEYS = 1000;

/** @param {Store} store @param {Load} load @returns {() => PromiseLike<unknown>} one call */
function callsOf(store, { entries }) {
  const data = new Data(KEYS);
  let next = 0;
  if (entries === 1) {
    return () => {
      next = (next + 1) % KEYS;
      return store.set(data.key(next), data.value(next));
    };
  }
  return () => {
    /** @type {import('alluvium').WriteOperation[]} */
    const batch = [];
    for (let entry = 0; entry < entries; entry += 1) {
      next = (next + 1) % KEYS;
      batch.push({ type: 'set', key: data.key(next), value: data.value(next) });
    }
    return store.write(batch);
  };
}

export class ChangeWriter {
  #load;
  #call;

  /** @param {Store} store @param {Load} load */
  constructor(store, load) {
    this.#load = load;
    this.#call = callsOf(store, load);
  }

  /** @param {number} changes - to write, about @returns {Promise<number>} how many were written and acknowledged */
  async write(changes) {
    const calls = Math.ceil(changes / this.#load.entries);
    let left = calls;
    const caller = async () => {
      while (left > 0) {
        left -= 1;
        await this.#call();
      }
    };
    await Promise.all(Array.from({ length: this.#load.inFlight }, caller));
    return calls * this.#load.entries;
  }
}

/**
 * What subscribers cost: milliseconds of the main thread per change, from many short rounds with and without them, in turns
 * (A B B A), so that a machine that is busy for a while is so for both. Waiting for the disk or for a processor does not
 * count.
 *
 * @param {object} plan
 * @param {ChangeWriter} plan.writer
 * @param {number} plan.roundChanges
 * @param {number} plan.pairs - of rounds
 * @param {() => Subscribers} plan.subscribe
 * @returns {Promise<{ extraMs: number, withMs: number, withoutMs: number }>} medians
 */
export async function measureSubscribers({ writer, roundChanges, pairs, subscribe }) {
  const withoutRound = async () => {
    const start = mainThreadMs();
    const changes = await writer.write(roundChanges);
    return (mainThreadMs() - start) / changes;
  };
  const withRound = async () => {
    const subscribers = subscribe();
    const before = await writer.write(KEYS); // each of them has had something to do
    await subscribers.received(before);
    const start = mainThreadMs();
    const changes = await writer.write(roundChanges);
    await subscribers.received(before + changes);
    const ms = mainThreadMs() - start;
    subscribers.stop();
    return ms / changes;
  };
  await withRound();
  await withoutRound();
  const rounds = { with: /** @type {number[]} */ ([]), without: /** @type {number[]} */ ([]) };
  for (let pair = 0; pair < pairs; pair += 1) {
    const isFirst = pair % 2 === 0;
    if (isFirst) rounds.with.push(await withRound());
    rounds.without.push(await withoutRound());
    if (!isFirst) rounds.with.push(await withRound());
  }
  const differences = rounds.with.map((ms, pair) => ms - (rounds.without[pair] ?? 0));
  return {
    extraMs: summarize(differences).median,
    withMs: summarize(rounds.with).median,
    withoutMs: summarize(rounds.without).median,
  };
}

/**
 * @typedef {object} Subscribers
 * @property {(changes: number) => Promise<void>} received - until each that is interested has had so many
 * @property {() => void} stop
 */

/**
 * Subscribers that count, and look into each value.
 *
 * @param {readonly import('rxjs').Observable<import('alluvium').Change>[]} streams
 * @param {(received: number, changes: number) => boolean} isEnough - of what all of them received together
 * @returns {Subscribers}
 */
export function subscribeAll(streams, isEnough) {
  let received = 0;
  let bytes = 0;
  /** @type {unknown} */
  let failure;
  const subscriptions = streams.map((stream) =>
    stream.subscribe({
      next: (change) => {
        received += 1;
        if (change.type === 'set') bytes += change.value.length;
      },
      error: (error) => (failure = error),
    }),
  );
  return {
    received: async (changes) => {
      while (!isEnough(received, changes)) {
        if (failure !== undefined) throw failure;
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (bytes === 0) throw new Error('Wrong answer: changes without values');
    },
    stop: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}
