/** Single puts of random keys: so many callers, each of which waits for its acknowledgement before it writes again. */
import { closedLoop } from '../support/closed-loop.mjs';
import { Data } from '../support/data.mjs';
import { verifyEntries } from '../support/engines.mjs';

/**
 * @param {'synced' | 'buffered'} durability
 * @param {number} inFlight
 * @param {readonly import('../support/question.mjs').Goal[]} [goals]
 * @returns {import('../support/question.mjs').Question}
 */
const puts = (durability, inFlight, goals = []) => ({
  name: `put-${durability}-${inFlight}`,
  store: 'new',
  group: 'Single writes',
  rows: [
    {
      figure: 'perSecond',
      work: `single puts, ${durability}, ${inFlight.toLocaleString('en')} in flight`,
      unit: 'puts/s',
      better: 'higher',
      goals,
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const order = data.shuffled();
    const driver = await open(durability, { inFlight });
    const { perSecond, calls } = await closedLoop({
      inFlight,
      seconds: scale.seconds,
      callsMax: scale.entries,
      call: (call) => {
        const index = /** @type {number} */ (order[call]);
        return driver.put(data.key(index), data.value(index));
      },
    });
    await driver.close();

    const isWritten = new Uint8Array(scale.entries);
    for (const index of order.subarray(0, calls)) isWritten[index] = 1;
    const reopened = await open(durability);
    await verifyEntries(reopened, data, (index) => isWritten[index] === 1);
    await reopened.close();
    return { perSecond };
  },
});

export const putQuestions = [
  puts('synced', 1, [{ min: 1 }]),
  puts('synced', 64, [{ min: 3 }]),
  puts('synced', 256, [{ min: 8, to: ['classic-level'] }]),
  puts('synced', 1024, [{ min: 5 }]),
  puts('buffered', 1, [{ min: 5, to: ['classic-level'] }, { min: 1 }]),
  puts('buffered', 64, [{ min: 3 }]),
  puts('buffered', 1024, [{ min: 3 }]),
];
