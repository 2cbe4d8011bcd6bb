/**
 * A store of five times as many entries, far more than every cache: gets with 64 in flight, from the system's page cache, and
 * from the disk, where the page cache can be emptied (on Linux, by root).
 */
import { writeFile } from 'node:fs/promises';
import { closedLoop } from '../support/closed-loop.mjs';
import { check, checkByte, Data, Random } from '../support/data.mjs';
import { writeInBatches } from './batches.mjs';

const TIMES = 5;
const IN_FLIGHT = 64;
const CALLS_MAX = 20_000_000;

/** @returns {Promise<boolean>} whether it could be done */
async function emptyPageCache() {
  try {
    await writeFile('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

/** @type {import('../support/question.mjs').Question} */
export const big = {
  name: 'big',
  store: 'new',
  group: 'Reads',
  isLong: true,
  rows: [
    {
      figure: 'warm',
      work: `awaited gets of any key of ${TIMES} times as many entries, page cache warm, ${IN_FLIGHT} in flight`,
      unit: 'gets/s',
      better: 'higher',
      goals: [{ min: 1 }],
    },
    {
      figure: 'cold',
      work: `the same, page cache empty when it begins`,
      unit: 'gets/s',
      better: 'higher',
      goals: [{ min: 1, to: ['classic-level'] }],
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(TIMES * scale.entries);
    const filling = await open('buffered');
    await writeInBatches(filling, data, data.shuffled());
    await filling.compact();
    await filling.close();
    const measure = async (/** @type {number} */ seconds, /** @type {number} */ seed) => {
      const driver = await open('buffered');
      const random = new Random(seed);
      let wrong = 0;
      const { perSecond } = await closedLoop({
        inFlight: IN_FLIGHT,
        seconds,
        callsMax: CALLS_MAX,
        call: async () => {
          const index = random.below(data.count);
          const value = await driver.get(data.key(index));
          if (value === undefined || checkByte(value) !== data.checkOf(index)) wrong += 1;
        },
      });
      await driver.close();
      check(wrong === 0, `${wrong} values`);
      return perSecond;
    };
    await measure(scale.seconds, 1); // brings the files into the page cache
    const warm = await measure(scale.seconds, 2);
    const figures = { warm };
    return (await emptyPageCache()) ? { ...figures, cold: await measure(scale.seconds, 3) } : figures;
  },
};
