/** A full store written in batches of 1,000, one after the other, in the order of the keys. (At random: `fill.mjs`.) */
import { timed } from '../support/closed-loop.mjs';
import { Data } from '../support/data.mjs';
import { verifyEntries } from '../support/engines.mjs';

export const BATCH_ENTRIES = 1000;

/**
 * Writes the entries in the given order, batch after batch.
 *
 * @param {import('../support/engines.mjs').Driver} driver
 * @param {Data} data
 * @param {Uint32Array} order
 */
export async function writeInBatches(driver, data, order) {
  for (let start = 0; start < order.length; start += BATCH_ENTRIES) {
    await driver.putBatch(order.subarray(start, start + BATCH_ENTRIES), data);
  }
}

/** @type {import('../support/question.mjs').Question} */
export const batchesInOrder = {
  name: 'batch-ordered',
  store: 'new',
  group: 'Batches',
  rows: [
    {
      figure: 'perSecond',
      work: 'batches of 1,000, in order, buffered',
      unit: 'entries/s',
      better: 'higher',
      goals: [
        { min: 1.2, to: ['classic-level'] },
        { min: 1, to: ['classic-level', 'rocksdb', 'sqlite'] },
      ],
    },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const order = Uint32Array.from({ length: scale.entries }, (_, index) => index);
    const driver = await open('buffered');
    const seconds = await timed(() => writeInBatches(driver, data, order));
    await driver.close();
    const reopened = await open('buffered');
    await verifyEntries(reopened, data, () => true);
    await reopened.close();
    return { perSecond: scale.entries / seconds };
  },
};
