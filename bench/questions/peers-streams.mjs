/**
 * The work of an event log: append durably, consume with acknowledgements, replay. The same for Alluvium and for its peers,
 * which are servers in processes of their own; asked by `bench/events.mjs`.
 */
import { closedLoop, timed } from '../support/closed-loop.mjs';
import { check, Data, VALUE_BYTES } from '../support/data.mjs';
import { BATCH_EVENTS, IN_FLIGHT } from '../support/event-engines.mjs';

/** @typedef {import('../support/peer-servers.mjs').Durability} Durability */

/** After appending and between two works: engines that sync or tidy up by a timer shall be done with what was before. */
const SETTLE_MS = 500;

/** @param {string} figure @param {string} work @returns {import('../support/question.mjs').Row} */
const row = (figure, work) => ({ figure, work, unit: 'events/s', better: 'higher' });

/** @param {Durability} durability @returns {import('../support/question.mjs').Row[]} */
const rowsOf = (durability) => {
  const promise = durability === 'synced' ? 'synced: survives a power cut' : 'buffered: survives a kill';
  return [
    row('append', `append, ${IN_FLIGHT} in flight; ${promise}`),
    row('batches', `consume in batches of ${BATCH_EVENTS}, acknowledged; position ${promise}`),
    row('oneByOne', `consume one by one, ${IN_FLIGHT} in flight, each acknowledged; position ${promise}`),
    ...(durability === 'buffered' ? [row('replay', 'replay from the beginning, without acknowledgements')] : []),
  ];
};

/** One for each promise: figures under different promises are not put into one row. */
export const eventQuestions = /** @type {const} */ (['synced', 'buffered']).map((durability) => ({
  name: `events-${durability}`,
  /** @type {Durability} */
  durability,
  rows: rowsOf(durability),
}));

/**
 * @param {import('../support/event-engines.mjs').EventDriver} driver
 * @param {number} count - of events
 * @param {Durability} durability
 * @returns {Promise<Record<string, number>>} events per second by figure
 */
export async function askEvents(driver, count, durability) {
  const events = makeEvents(count);
  const eventOf = (/** @type {number} */ index) => events.subarray(index * VALUE_BYTES, (index + 1) * VALUE_BYTES);
  const append = await closedLoop({
    inFlight: IN_FLIGHT,
    seconds: Infinity,
    callsMax: count,
    call: (index) => driver.append(index, eventOf(index)),
  });

  /** @param {(seen: Seen) => Promise<void>} work */
  const consumed = async (work) => {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const seen = new Seen(events, count);
    const seconds = await timed(() => work(seen));
    seen.checkComplete();
    return count / seconds;
  };
  const batches = await consumed((seen) =>
    driver.consumeBatches(count, (batch) => {
      for (const event of batch) seen.add(event);
    }),
  );
  const oneByOne = await consumed((seen) => driver.consumeOneByOne(count, async (event) => seen.add(event)));
  const figures = { append: append.perSecond, batches, oneByOne };
  if (durability === 'synced') return figures;
  return { ...figures, replay: await consumed((seen) => driver.replay(count, (event) => seen.add(event))) };
}

/** Each begins with its number. @param {number} count */
function makeEvents(count) {
  const data = new Data(0);
  const events = Buffer.alloc(count * VALUE_BYTES);
  for (let index = 0; index < count; index += 1) {
    events.set(data.value(index), index * VALUE_BYTES);
    events.writeUInt32LE(index, index * VALUE_BYTES);
  }
  return events;
}

/** Which events came: each has to, once, as it was. */
class Seen {
  #events;
  #isSeen;
  #count = 0;

  /** @param {Buffer} events @param {number} count */
  constructor(events, count) {
    this.#events = events;
    this.#isSeen = new Uint8Array(count);
  }

  /** @param {Uint8Array} event */
  add(event) {
    const [b0 = 0, b1 = 0, b2 = 0, b3 = 0] = [event[0], event[1], event[2], event[3]];
    const index = b0 + b1 * 2 ** 8 + b2 * 2 ** 16 + b3 * 2 ** 24;
    check(this.#isSeen[index] === 0, `event ${index} twice, or never appended`);
    const last = VALUE_BYTES - 1;
    check(event.length === VALUE_BYTES && event[last] === this.#events[index * VALUE_BYTES + last], `event ${index}`);
    this.#isSeen[index] = 1;
    this.#count += 1;
  }

  checkComplete() {
    check(this.#count === this.#isSeen.length, `${this.#count} of ${this.#isSeen.length} events`);
  }
}
