/** Scans: everything, and short ranges from random starts; entry by entry, and in bulk. */
import { closedLoop, timed } from '../support/closed-loop.mjs';
import { check, Data, KEY_BYTES, Random, Tally, VALUE_BYTES } from '../support/data.mjs';

const RANGE_ENTRIES = 100;
const RANGES_MAX = 5_000_000;
/** Full scans in one process; the best counts, as the first ones warm up the compiler and the page cache. */
const FULL_SCANS = 3;

/** @typedef {'scanOneByOne' | 'scanInBulk'} Way */

/** @type {Record<Way, string>} */
const inWords = {
  scanOneByOne: 'for await, entry by entry',
  scanInBulk: 'in bulk: pages() beside nextv(1000)',
};

/**
 * @param {Way} way
 * @param {readonly import('../support/question.mjs').Goal[]} [goals]
 * @returns {import('../support/question.mjs').Question}
 */
const fullScan = (way, goals = []) => ({
  name: way === 'scanInBulk' ? 'scan-bulk' : 'scan-for-await',
  store: 'filled',
  group: 'Scans',
  rows: [
    {
      figure: 'perSecond',
      work: `full scan, ${inWords[way]}`,
      unit: 'entries/s',
      better: 'higher',
      goals,
    },
  ],
  async ask({ open, scale }) {
    const { entries } = scale;
    const data = new Data(entries);
    let checksum = 0;
    for (let index = 0; index < entries; index += 1) checksum += data.checkOf(index);
    const driver = await open('buffered');
    let best = Infinity;
    for (let round = 0; round < FULL_SCANS; round += 1) {
      const tally = new Tally();
      best = Math.min(best, await timed(() => driver[way]({}, tally)));
      check(tally.count === entries, `${tally.count} entries in a scan of ${entries}`);
      check(tally.bytes === entries * (KEY_BYTES + VALUE_BYTES), 'the bytes of a full scan');
      check(tally.checksum === checksum, 'the sum over the values of a full scan');
    }
    await driver.close();
    return { perSecond: entries / best };
  },
});

/**
 * @param {Way} way
 * @returns {import('../support/question.mjs').Question}
 */
const ranges = (way) => ({
  name: way === 'scanInBulk' ? 'range-bulk' : 'range-for-await',
  store: 'filled',
  group: 'Scans',
  rows: [
    {
      figure: 'perSecond',
      work: `ranges of ${RANGE_ENTRIES} entries from random starts, ${
        way === 'scanInBulk' ? 'in bulk: pages() beside nextv(100)' : inWords[way]
      }, one by one`,
      unit: 'ranges/s',
      better: 'higher',
      goals: way === 'scanInBulk' ? [{ min: 1.5 }] : [],
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const starts = scale.entries - RANGE_ENTRIES;
    const driver = await open('buffered');
    const random = new Random();
    const tally = new Tally();
    const { perSecond, calls } = await closedLoop({
      inFlight: 1,
      seconds: scale.seconds,
      callsMax: RANGES_MAX,
      call: () => driver[way]({ gte: data.key(random.below(starts)), limit: RANGE_ENTRIES }, tally),
    });
    await driver.close();
    check(tally.count === calls * RANGE_ENTRIES, 'the entries of all ranges');
    const again = new Random();
    let checksum = 0;
    for (let call = 0; call < calls; call += 1) {
      const start = again.below(starts);
      for (let index = start; index < start + RANGE_ENTRIES; index += 1) checksum += data.checkOf(index);
    }
    check(tally.checksum === checksum, 'the sum over the values of all ranges');
    return { perSecond };
  },
});

/** @param {string} name @param {string} inWords @param {import('../engines/engine.mjs').Range} range @returns {import('../support/question.mjs').Question} */
const otherScan = (name, inWords, range) => ({
  name: `scan-${name}`,
  store: 'filled',
  group: 'Scans',
  rows: [{ figure: 'perSecond', work: `full scan, in bulk, ${inWords}`, unit: 'entries/s', better: 'higher' }],
  async ask({ open, scale }) {
    const driver = await open('buffered');
    let best = Infinity;
    for (let round = 0; round < FULL_SCANS; round += 1) {
      const tally = new Tally();
      best = Math.min(best, await timed(() => driver.scanInBulk(range, tally)));
      check(tally.count === scale.entries, `${tally.count} entries in a scan of ${scale.entries}`);
      const bytes = range.isKeysOnly === true ? KEY_BYTES : KEY_BYTES + VALUE_BYTES;
      check(tally.bytes === scale.entries * bytes, 'the bytes of a full scan');
    }
    await driver.close();
    return { perSecond: scale.entries / best };
  },
});

export const scanQuestions = [
  fullScan('scanOneByOne'),
  fullScan('scanInBulk', [{ min: 1.5 }]),
  otherScan('reverse', 'backwards', { isReverse: true }),
  otherScan('keys', 'keys only', { isKeysOnly: true }),
  ranges('scanOneByOne'),
  ranges('scanInBulk'),
];
