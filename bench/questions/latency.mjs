/**
 * How long a put takes when puts come at a rate of their own, whether those before them are done or not: an open loop. The
 * time of a put counts from when it was due, so that a pause is felt by all that were due in it (no coordinated omission).
 * First the engine's own peak is measured in a closed loop, as long as the open one and with all that is done there around a
 * put (a peak of a few seconds is one that flushes and compactions have not met yet); then puts come at 80 % of it. One more
 * question asks all engines at the same rate: whoever has a higher peak has more to do at 80 % of it.
 */
import { closedLoop } from '../support/closed-loop.mjs';
import { Data, VALUE_BYTES } from '../support/data.mjs';
import { verifyEntries } from '../support/engines.mjs';

const IN_FLIGHT = 64;
const SHARE_OF_PEAK = 0.8;
const MS_PER_SECOND = 1000;
/** How long each of the two loops goes on, in the seconds of a question. */
const ROUNDS = 2;
/** At a rate that is given. */
const WARM_UP_SECONDS = 2;
/** Where the closed loop notes its times: the open one notes each, and a note is a part of what a put costs. */
const CLOSED_SLOTS = 65_536;
/** Puts that are issued in one turn of the event loop. What is due beyond it comes with the next, as do requests of a network. */
const TURN_MAX = 1_024;
/** Puts that may wait for their answers before the rate counts as one that the engine cannot keep: memory has an end. */
const WAITING_MAX = 1_000_000;

/**
 * @param {number} perSecond
 * @param {number} seconds
 * @param {(call: number) => unknown} call
 * @returns {Promise<Float64Array>} milliseconds from when each call was due, ascending
 */
async function openLoop(perSecond, seconds, call) {
  const count = Math.floor(perSecond * seconds);
  const latencies = new Float64Array(count);
  const start = performance.now();
  let issued = 0;
  let answered = 0;
  await new Promise((resolve, reject) => {
    const issue = async (/** @type {number} */ number) => {
      await call(number);
      latencies[number] = performance.now() - (start + (number / perSecond) * MS_PER_SECOND);
      answered += 1;
      if (answered === count) resolve(undefined);
    };
    const turn = () => {
      const due = Math.min(count, Math.floor(((performance.now() - start) / MS_PER_SECOND) * perSecond));
      for (const last = Math.min(due, issued + TURN_MAX); issued < last;) issue(issued++).catch(reject);
      if (due - answered > WAITING_MAX) reject(new Error('the rate cannot be kept'));
      else if (issued < count) setImmediate(turn);
    };
    turn();
  });
  return latencies.sort();
}

/** @param {(call: number) => unknown} put @param {number} seconds */
async function shareOfPeak(put, seconds) {
  const slots = new Float64Array(CLOSED_SLOTS);
  const { perSecond, calls } = await closedLoop({
    inFlight: IN_FLIGHT,
    seconds: ROUNDS * seconds,
    callsMax: Infinity,
    call: async (call) => {
      await put(call);
      slots[call % CLOSED_SLOTS] = performance.now();
    },
  });
  return { rate: perSecond * SHARE_OF_PEAK, calls };
}

/** @param {(call: number) => unknown} put @param {number} rate */
async function warmUp(put, rate) {
  const { length } = await openLoop(rate, WARM_UP_SECONDS, put);
  return { rate, calls: length };
}

/**
 * @param {'synced' | 'buffered'} durability
 * @param {number} valueBytes
 * @param {string} inWords
 * @param {number} [fixedRate] - puts a second; default 80 % of the peak
 * @returns {import('../support/question.mjs').Question}
 */
const latency = (durability, valueBytes, inWords, fixedRate) => ({
  name: `latency-${durability}-${valueBytes}${fixedRate === undefined ? '' : `-at-${fixedRate}`}`,
  store: 'new',
  group: 'Latency',
  rows: [
    {
      figure: 'p999',
      work: `puts of ${inWords}, ${durability}, at ${fixedRate === undefined ? "80 % of the engine's own peak" : `${fixedRate.toLocaleString('en-US')} a second`}: p99.9`,
      unit: 'ms',
      better: 'lower',
      ...(fixedRate === undefined && { goals: [{ min: 10, to: ['classic-level'] }] }),
      beside: { p50: 'p50', p99: 'p99', max: 'max', 'at puts/s': 'rate' },
    },
  ],
  async ask({ open, scale }) {
    const count = Math.ceil(scale.entries / (valueBytes / VALUE_BYTES));
    const data = new Data(count);
    const order = data.shuffled();
    const driver = await open(durability, { inFlight: IN_FLIGHT });
    const long = new Map();
    /** The entry's own value, so often as to be long enough. @param {number} index */
    const valueOf = (index) => {
      if (valueBytes === VALUE_BYTES) return data.value(index);
      let value = long.get(index % 97);
      if (value === undefined) long.set(index % 97, (value = Buffer.alloc(valueBytes, data.value(index % 97))));
      return value;
    };
    const put = (/** @type {number} */ call) => {
      const index = /** @type {number} */ (order[call % count]);
      return driver.put(data.key(index), valueOf(index));
    };
    const { rate, calls } =
      fixedRate === undefined ? await shareOfPeak(put, scale.seconds) : await warmUp(put, fixedRate);
    const latencies = await openLoop(rate, ROUNDS * scale.seconds, (call) => put(calls + call));
    const at = (/** @type {number} */ part) =>
      /** @type {number} */ (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))]);
    await driver.close();
    if (valueBytes === VALUE_BYTES) {
      const isWritten = new Uint8Array(count);
      for (const index of order.subarray(0, calls + latencies.length)) isWritten[index] = 1;
      const reopened = await open(durability);
      await verifyEntries(reopened, data, (index) => isWritten[index] === 1);
      await reopened.close();
    }
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1), rate };
  },
});

export const latencyQuestions = [
  latency('synced', VALUE_BYTES, '100 bytes'),
  latency('buffered', VALUE_BYTES, '100 bytes'),
  latency('buffered', VALUE_BYTES, '100 bytes', 20_000),
  latency('buffered', 20_000, '20 kB'),
];
