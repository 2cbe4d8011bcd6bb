/**
 * How long the event loop is kept while the store is written to at full speed, compaction included.
 *
 * Measured twice, one after the other. First by Node's own histogram (`monitorEventLoopDelay`): how much too late a timer
 * comes that is due every 5 ms. Then from the gaps between one `setImmediate` and the next: how long an event would wait
 * that comes at a random moment, which is in a long gap more often than in a short one. The second keeps the loop spinning,
 * and so sees every turn.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { closedLoop } from '../support/closed-loop.mjs';
import { Data } from '../support/data.mjs';
import { verifyEntries } from '../support/engines.mjs';
import { BATCH_ENTRIES } from './batches.mjs';

const RESOLUTION_MS = 5;
const NS_PER_MS = 1e6;
const TARGET_MS = 10;

/**
 * @typedef {object} Delays - milliseconds
 * @property {number} p50
 * @property {number} p99
 * @property {number} max
 */

/** @param {() => Promise<unknown>} work @returns {Promise<Delays>} */
async function delaysOfTimer(work) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  await work();
  histogram.disable();
  // The histogram holds whole intervals from one timer to the next: what is above the resolution is delay.
  const delay = (/** @type {number} */ ns) => Math.max(0, ns / NS_PER_MS - RESOLUTION_MS);
  return { p50: delay(histogram.percentile(50)), p99: delay(histogram.percentile(99)), max: delay(histogram.max) };
}

/** @param {() => Promise<unknown>} work @returns {Promise<Delays>} */
async function delaysOfTurns(work) {
  /** @type {number[]} */
  const gaps = [];
  let isRunning = true;
  let last = performance.now();
  const turn = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    if (isRunning) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  isRunning = false;
  gaps.push(performance.now() - last);
  return waitsAtRandom(gaps);
}

/**
 * An event that comes at a random moment waits until the gap that it comes in is over. So the part of all events that wait
 * longer than x is the part of the time that lies more than x before the end of its gap: sum(gap - x) / sum(gap), over the
 * gaps longer than x. Here x is looked for, which gives that part.
 *
 * @param {number[]} gaps
 * @returns {Delays}
 */
function waitsAtRandom(gaps) {
  const longestFirst = Float64Array.from(gaps).sort().reverse();
  const total = longestFirst.reduce((sum, gap) => sum + gap, 0);
  const waitOf = (/** @type {number} */ part) => {
    let sum = 0;
    for (const [index, gap] of longestFirst.entries()) {
      sum += gap;
      const wait = (sum - part * total) / (index + 1);
      if (wait >= (longestFirst[index + 1] ?? 0)) return wait;
    }
    return 0;
  };
  return { p50: waitOf(0.5), p99: waitOf(0.01), max: longestFirst[0] ?? 0 };
}

/** @param {string} load @returns {import('../support/question.mjs').Row[]} */
const rowsOf = (load) => [
  rowOf(`event-loop delay, p99, under ${load}: lateness of a timer`, 'timer'),
  rowOf(`event-loop delay, p99, under ${load}: wait of an event at a random moment`, 'turns'),
];

/** @param {string} work @param {'timer' | 'turns'} way @returns {import('../support/question.mjs').Row} */
const rowOf = (work, way) => ({
  figure: `${way}P99`,
  work,
  unit: 'ms',
  better: 'lower',
  valueMax: TARGET_MS,
  beside: { p50: `${way}P50`, max: `${way}Max` },
});

/**
 * @param {object} load
 * @param {string} load.name
 * @param {string} load.work
 * @param {'synced' | 'buffered'} load.durability
 * @param {number} load.inFlight
 * @param {number} load.entries - of one call
 * @returns {import('../support/question.mjs').Question}
 */
const eventLoop = ({ name, work, durability, inFlight, entries }) => ({
  name,
  store: 'new',
  group: 'The event loop under load',
  rows: rowsOf(work),
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const order = data.shuffled();
    const slots = Math.floor(scale.entries / entries);
    const driver = await open(durability);
    let written = 0;
    const load = async () => {
      const first = written;
      const { calls } = await closedLoop({
        inFlight,
        seconds: scale.seconds,
        callsMax: Infinity,
        call: (call) => {
          const start = ((first + call) % slots) * entries;
          if (entries > 1) return driver.putBatch(order.subarray(start, start + entries), data);
          const index = /** @type {number} */ (order[start]);
          return driver.put(data.key(index), data.value(index));
        },
      });
      written += calls;
    };
    const timer = await delaysOfTimer(load);
    const turns = await delaysOfTurns(load);
    await driver.close();

    const isWritten = new Uint8Array(scale.entries);
    for (const index of order.subarray(0, Math.min(written, slots) * entries)) isWritten[index] = 1;
    const reopened = await open(durability);
    await verifyEntries(reopened, data, (index) => isWritten[index] === 1);
    await reopened.close();
    return {
      timerP50: timer.p50,
      timerP99: timer.p99,
      timerMax: timer.max,
      turnsP50: turns.p50,
      turnsP99: turns.p99,
      turnsMax: turns.max,
    };
  },
});

export const eventLoopQuestions = [
  eventLoop({
    name: 'event-loop-batches',
    work: 'batches of 1,000 at random, buffered, 2 in flight',
    durability: 'buffered',
    inFlight: 2,
    entries: BATCH_ENTRIES,
  }),
  eventLoop({
    name: 'event-loop-puts',
    work: 'single puts, synced, 256 in flight',
    durability: 'synced',
    inFlight: 256,
    entries: 1,
  }),
];
