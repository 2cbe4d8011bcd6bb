/** Gets: of a few keys that memory holds, of any key of a store larger than the cache, and of keys that are absent. */
import { closedLoop } from '../support/closed-loop.mjs';
import { check, checkByte, Data, Random, VALUE_BYTES } from '../support/data.mjs';

/** Keys that are read again and again. With their blocks they fit into every cache and write buffer here. */
const HOT_KEYS = 10_000;
const CALLS_MAX = 20_000_000;

/**
 * @param {import('../support/engines.mjs').Driver} driver
 * @param {Data} data
 * @param {object} options
 * @param {number} options.inFlight
 * @param {number} options.seconds
 * @param {(random: Random) => number} options.pick
 * @returns {Promise<number>} gets per second
 */
async function getLoop(driver, data, { inFlight, seconds, pick }) {
  const random = new Random();
  let checksum = 0;
  const { perSecond, calls } = await closedLoop({
    inFlight,
    seconds,
    callsMax: CALLS_MAX,
    call: () => driver.get(data.key(pick(random))),
    onAnswer: (value) => {
      if (value?.length !== VALUE_BYTES) throw new Error('Wrong answer: no value, or not a whole one');
      checksum += checkByte(value);
    },
  });
  const again = new Random();
  let expected = 0;
  for (let call = 0; call < calls; call += 1) expected += data.checkOf(pick(again));
  check(checksum === expected, 'the sum over the values that were read');
  return perSecond;
}

/** @param {number} inFlight */
const inWords = (inFlight) => (inFlight === 1 ? 'one by one' : `${inFlight} in flight`);

/** Hot keys in a store that has never been flushed. @type {import('../support/question.mjs').Question} */
const hotInMemtable = {
  name: 'get-hot-memtable',
  store: 'new',
  group: 'Reads',
  rows: [
    {
      figure: 'perSecond',
      work: 'awaited gets, hot, in the memtable, one by one',
      unit: 'gets/s',
      better: 'higher',
      goals: [{ min: 15, to: ['classic-level'] }, { min: 1 }],
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(HOT_KEYS);
    const driver = await open('buffered');
    await driver.putBatch(data.shuffled(), data);
    const perSecond = await getLoop(driver, data, {
      inFlight: 1,
      seconds: scale.seconds,
      pick: (random) => random.below(HOT_KEYS),
    });
    await driver.close();
    return { perSecond };
  },
};

/**
 * Hot keys in tables: neighbours, all of which have been read once before, so that their blocks are in the cache.
 *
 * @param {number} inFlight
 * @param {readonly import('../support/question.mjs').Goal[]} [goals]
 * @returns {import('../support/question.mjs').Question}
 */
const hotInTables = (inFlight, goals = []) => ({
  name: `get-hot-table-${inFlight}`,
  store: 'filled',
  group: 'Reads',
  rows: [
    {
      figure: 'perSecond',
      work: `awaited gets, hot, in cached tables, ${inWords(inFlight)}`,
      unit: 'gets/s',
      better: 'higher',
      goals,
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const first = Math.floor(scale.entries / 2);
    const driver = await open('buffered');
    for (let index = first; index < first + HOT_KEYS; index += 1) await driver.get(data.key(index));
    const perSecond = await getLoop(driver, data, {
      inFlight,
      seconds: scale.seconds,
      pick: (random) => first + random.below(HOT_KEYS),
    });
    await driver.close();
    return { perSecond };
  },
});

/**
 * Any key of a store that is several times as large as the block cache. The operating system still has the files in its
 * page cache: dropping that takes the administrator's rights.
 *
 * @param {number} inFlight
 * @returns {import('../support/question.mjs').Question}
 */
const anywhere = (inFlight) => ({
  name: `get-any-${inFlight}`,
  store: 'filled',
  group: 'Reads',
  rows: [
    {
      figure: 'perSecond',
      work: `awaited gets of any key, block cache too small, page cache warm, ${inWords(inFlight)}`,
      unit: 'gets/s',
      better: 'higher',
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const driver = await open('buffered');
    const { seconds, entries } = scale;
    const perSecond = await getLoop(driver, data, { inFlight, seconds, pick: (random) => random.below(entries) });
    await driver.close();
    return { perSecond };
  },
});

/** Keys that lie between present ones, so that the ranges of tables cannot tell. @type {import('../support/question.mjs').Question} */
const missing = {
  name: 'get-missing',
  store: 'filled',
  group: 'Reads',
  rows: [
    {
      figure: 'perSecond',
      work: 'awaited gets of absent keys, one by one',
      unit: 'gets/s',
      better: 'higher',
      goals: [{ min: 2 }],
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const driver = await open('buffered');
    const random = new Random();
    data.missingKey(0); // makes them all, before the clock runs
    const { perSecond } = await closedLoop({
      inFlight: 1,
      seconds: scale.seconds,
      callsMax: CALLS_MAX,
      call: () => driver.get(data.missingKey(random.below(scale.entries))),
      onAnswer: (value) => {
        if (value !== undefined) throw new Error('Wrong answer: a value of an absent key');
      },
    });
    await driver.close();
    return { perSecond };
  },
};

/** @type {import('../support/question.mjs').Question} */
const synchronously = {
  name: 'get-sync',
  store: 'filled',
  group: 'Reads',
  rows: [
    {
      figure: 'perSecond',
      work: 'getSync, hot, in cached tables',
      unit: 'gets/s',
      better: 'higher',
      goals: [{ min: 1 }],
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const first = Math.floor(scale.entries / 2);
    const driver = await open('buffered');
    const { getSync } = driver;
    if (getSync === undefined) throw new Error('it has no synchronous get');
    for (let index = first; index < first + HOT_KEYS; index += 1) getSync(data.key(index));
    const random = new Random();
    let best = 0;
    for (let end = performance.now() + scale.seconds * 1000; performance.now() < end;) {
      const start = performance.now();
      for (let call = 0; call < HOT_KEYS; call += 1) {
        const index = first + random.below(HOT_KEYS);
        const value = getSync(data.key(index));
        check(value !== undefined && checkByte(value) === data.checkOf(index), `the value of entry ${index}`);
      }
      best = Math.max(best, (HOT_KEYS / (performance.now() - start)) * 1000);
    }
    await driver.close();
    return { perSecond: best };
  },
};

const MANY = 100;

/** @type {import('../support/question.mjs').Question} */
const many = {
  name: 'get-many',
  store: 'filled',
  group: 'Reads',
  rows: [{ figure: 'perSecond', work: `getMany of ${MANY} hot keys, one by one`, unit: 'keys/s', better: 'higher' }],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const first = Math.floor(scale.entries / 2);
    const driver = await open('buffered');
    for (let index = first; index < first + HOT_KEYS; index += 1) await driver.get(data.key(index));
    const random = new Random();
    const again = new Random();
    const { perSecond } = await closedLoop({
      inFlight: 1,
      seconds: scale.seconds,
      callsMax: CALLS_MAX,
      call: () => driver.getMany(Array.from({ length: MANY }, () => data.key(first + random.below(HOT_KEYS)))),
      onAnswer: (values) => {
        for (const value of values) {
          const index = first + again.below(HOT_KEYS);
          check(value !== undefined && checkByte(value) === data.checkOf(index), `the value of entry ${index}`);
        }
      },
    });
    await driver.close();
    return { perSecond: perSecond * MANY };
  },
};

export const getQuestions = [
  hotInMemtable,
  hotInTables(1, [{ min: 15, to: ['classic-level'] }, { min: 1 }]),
  hotInTables(64),
  synchronously,
  many,
  missing,
  anywhere(1),
  anywhere(64),
];
