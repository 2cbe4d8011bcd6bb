/** Opening a full store, until its first get is answered: after a clean close, and after a SIGKILL. Page cache warm. */
import { check, Data } from '../support/data.mjs';
import { loadEngine, verifyEntries } from '../support/engines.mjs';

/** Entries that are only in the log when the process is killed: about 4 MiB of it, less than any write buffer here. */
const LOG_ENTRIES = 28_000;

/**
 * The engine's code is loaded before: it is a matter of the process, and not of the store.
 *
 * @param {import('../support/question.mjs').Bench} bench
 * @param {Data} data
 */
async function timeOpen({ directory, variant }, data) {
  const openIt = await loadEngine(variant);
  const key = data.key(data.count - 1);
  const start = performance.now();
  const driver = await openIt(directory, variant, 'buffered');
  const value = await driver.get(key);
  const milliseconds = performance.now() - start;
  check(value !== undefined && Buffer.compare(value, data.value(data.count - 1)) === 0, 'the first get');
  return { driver, milliseconds };
}

/** @type {import('../support/question.mjs').Question} */
const openClean = {
  name: 'open-clean',
  store: 'filled',
  group: 'Opening',
  rows: [
    {
      figure: 'milliseconds',
      work: 'open after a clean close, and the first get',
      unit: 'ms',
      better: 'lower',
      valueMax: 30,
    },
  ],
  async ask(bench) {
    const { driver, milliseconds } = await timeOpen(bench, new Data(bench.scale.entries));
    await driver.close();
    return { milliseconds };
  },
};

/** @type {import('../support/question.mjs').Question} */
const openKilled = {
  name: 'open-killed',
  store: 'filled',
  group: 'Opening',
  rows: [
    {
      figure: 'milliseconds',
      work: 'open after SIGKILL with 4 MiB in the log, and the first get',
      unit: 'ms',
      better: 'lower',
      valueMax: 100,
    },
  ],
  async prepare({ open, scale }) {
    const data = new Data(scale.entries + LOG_ENTRIES);
    const driver = await open('buffered');
    await Promise.all(
      Array.from({ length: LOG_ENTRIES }, (_, added) =>
        driver.put(data.key(scale.entries + added), data.value(scale.entries + added)),
      ),
    );
  },
  async ask(bench) {
    const data = new Data(bench.scale.entries + LOG_ENTRIES);
    const { driver, milliseconds } = await timeOpen(bench, data);
    await verifyEntries(driver, data, () => true);
    await driver.close();
    return { milliseconds };
  },
};

/** The killed one comes last: it is the only one to change the filled store. */
export const openQuestions = [openClean, openKilled];
