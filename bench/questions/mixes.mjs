/**
 * Mixed work. The six core workloads of YCSB (Cooper et al., SoCC 2010), and one after what was seen in production at Facebook
 * (Cao et al., FAST 2020): hot keys lie next to one another in hot ranges, 83 % of the calls are gets, 14 % puts, 3 % scans.
 *
 * Values do not change, so every read can be checked; keys that are inserted are behind those of the beginning.
 */
import { closedLoop } from '../support/closed-loop.mjs';
import { check, checkByte, Data, Random, Tally } from '../support/data.mjs';
import { Zipf } from '../support/zipf.mjs';
import { writeInBatches } from './batches.mjs';

const IN_FLIGHT = 16;
const SCAN_ENTRIES_MAX = 100;
/** Entries of a hot range of the production-like mix. */
const RANGE_ENTRIES = 1000;
/** Room for inserts: part of the entries of the beginning. */
const INSERTS_SHARE = 4;

/** @typedef {'get' | 'put' | 'insert' | 'scan' | 'readModifyWrite'} Kind */

/**
 * @param {string} name
 * @param {string} inWords
 * @param {Partial<Record<Kind, number>>} shares - in per cent
 * @param {'zipf' | 'latest' | 'ranges'} by - which keys are drawn
 * @returns {import('../support/question.mjs').Question}
 */
const mix = (name, inWords, shares, by) => ({
  name: `mix-${name}`,
  store: 'new',
  group: 'Mixed work',
  rows: [{ figure: 'perSecond', work: inWords, unit: 'calls/s', better: 'higher' }],
  async ask({ open, scale }) {
    const count = Math.floor(scale.entries / INSERTS_SHARE);
    const data = new Data(2 * count);
    const driver = await open('buffered', { inFlight: IN_FLIGHT });
    await writeInBatches(
      driver,
      data,
      data.shuffled().filter((index) => index < count),
    );
    const keys = new Keys(count, by);
    const random = new Random();
    const tally = new Tally();
    let inserted = count;
    let present = count; // those whose insert is acknowledged
    const checkValue = (/** @type {Uint8Array | undefined} */ value, /** @type {number} */ index) => {
      check(value !== undefined && checkByte(value) === data.checkOf(index), `the value of entry ${index}`);
    };
    /** @param {Kind} kind */
    const call = async (kind) => {
      if (kind === 'insert' && inserted < data.count) {
        const index = inserted++;
        await driver.put(data.key(index), data.value(index));
        present += 1;
        return;
      }
      const index = keys.draw(random, count);
      if (kind === 'get') checkValue(await driver.get(data.key(index)), index);
      else if (kind === 'scan') {
        const limit = 1 + random.below(SCAN_ENTRIES_MAX);
        await driver.scanInBulk({ gte: data.key(index), limit }, tally);
      } else {
        if (kind === 'readModifyWrite') checkValue(await driver.get(data.key(index)), index);
        await driver.put(data.key(index), data.value(index));
      }
    };
    const kinds = kindsOf(shares);
    const { perSecond } = await closedLoop({
      inFlight: IN_FLIGHT,
      seconds: scale.seconds,
      callsMax: Infinity,
      call: () => call(/** @type {Kind} */ (kinds[random.below(kinds.length)])),
    });
    const all = new Tally();
    await driver.scanInBulk({}, all);
    await driver.close();
    check(all.count === present, `${all.count} entries where there should be ${present}`);
    return { perSecond };
  },
});

/** A hundred kinds, by their shares. @param {Partial<Record<Kind, number>>} shares @returns {readonly string[]} */
const kindsOf = (shares) =>
  Object.entries(shares).flatMap(([kind, share]) => Array.from({ length: share }, () => kind));

/** Draws keys. */
class Keys {
  #zipf;
  #by;

  /** @param {number} count @param {'zipf' | 'latest' | 'ranges'} by */
  constructor(count, by) {
    this.#by = by;
    this.#zipf = new Zipf(by === 'ranges' ? Math.ceil(count / RANGE_ENTRIES) : count);
  }

  /** @param {Random} random @param {number} count @returns {number} */
  draw(random, count) {
    const rank = this.#zipf.draw(random);
    if (this.#by === 'latest') return count - 1 - rank;
    const scattered =
      (Math.imul(rank, 0x9e37_79b1) >>> 0) % (this.#by === 'ranges' ? Math.ceil(count / RANGE_ENTRIES) : count);
    if (this.#by === 'zipf') return scattered;
    return Math.min(count - 1, scattered * RANGE_ENTRIES + random.below(RANGE_ENTRIES));
  }
}

export const mixQuestions = [
  mix('a', 'YCSB A: half gets, half puts, by Zipf', { get: 50, put: 50 }, 'zipf'),
  mix('b', 'YCSB B: 95 % gets, 5 % puts, by Zipf', { get: 95, put: 5 }, 'zipf'),
  mix('c', 'YCSB C: gets, by Zipf', { get: 100 }, 'zipf'),
  mix('d', 'YCSB D: 95 % gets of the latest, 5 % inserts', { get: 95, insert: 5 }, 'latest'),
  mix('e', 'YCSB E: 95 % scans of up to 100, 5 % inserts', { scan: 95, insert: 5 }, 'zipf'),
  mix('f', 'YCSB F: half gets, half read-modify-writes, by Zipf', { get: 50, readModifyWrite: 50 }, 'zipf'),
  mix('ranges', 'hot ranges: 83 % gets, 14 % puts, 3 % scans', { get: 83, put: 14, scan: 3 }, 'ranges'),
];
