/**
 * A closed loop: so many callers, each of which waits for its answer before it asks again. What one at a time, 64 at a time
 * or 1,024 at a time get done in a second is measured after a warm-up, up to a time limit or until there is no work left.
 */

/** Calls between two looks at the clock: a look costs as much as a tenth of a fast call. */
const CALLS_PER_LOOK = 64;
const MS_PER_SECOND = 1000;
/** Part of the time that is warm-up, and does not count. */
const WARM_UP_SHARE = 0.15;

/**
 * @typedef {object} LoopResult
 * @property {number} perSecond - answers in the measured part
 * @property {number} calls - all that were made, warm-up included; each has been answered
 */

/**
 * @template Answer
 * @param {object} options
 * @param {number} options.inFlight
 * @param {number} options.seconds
 * @param {number} options.callsMax
 * @param {(call: number) => Answer | PromiseLike<Answer>} options.call - told its number, from 0 in order
 * @param {(answer: Answer) => void} [options.onAnswer]
 * @returns {Promise<LoopResult>}
 */
export async function closedLoop({ inFlight, seconds, callsMax, call, onAnswer = () => undefined }) {
  const start = performance.now();
  const warmUntil = start + seconds * WARM_UP_SHARE * MS_PER_SECOND;
  const until = start + seconds * MS_PER_SECOND;
  const callsWarmMax = callsMax * WARM_UP_SHARE;
  let calls = 0;
  let answers = 0;
  let isOver = false;
  let measuredFrom = -1;
  let answersBefore = 0;

  const look = () => {
    const now = performance.now();
    if (measuredFrom < 0 && (now >= warmUntil || answers >= callsWarmMax)) {
      measuredFrom = now;
      answersBefore = answers;
    }
    if (now >= until) isOver = true;
  };
  const caller = async () => {
    while (!isOver && calls < callsMax) {
      onAnswer(await call(calls++));
      answers += 1;
      if (answers % CALLS_PER_LOOK === 0) look();
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  if (measuredFrom < 0) throw new Error('The warm-up was never over: too few calls to measure');
  const measuredMs = performance.now() - measuredFrom;
  return { perSecond: ((answers - answersBefore) / measuredMs) * MS_PER_SECOND, calls };
}

/** @param {() => Promise<void>} work @returns {Promise<number>} its seconds */
export async function timed(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / MS_PER_SECOND;
}
