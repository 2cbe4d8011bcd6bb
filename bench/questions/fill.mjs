/**
 * A full store written in batches of 1,000 in random order, then compacted and closed. It leaves the directory that the
 * questions about reading are asked of, and answers three questions of its own: how fast, how long, how large.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { timed } from '../support/closed-loop.mjs';
import { Data } from '../support/data.mjs';
import { verifyEntries } from '../support/engines.mjs';
import { writeInBatches } from './batches.mjs';

const DISK_BLOCK_BYTES = 512; // the unit of st_blocks, whatever the file system's own blocks are
const BYTES_PER_MB = 1e6;

/** @type {import('../support/question.mjs').Question} */
export const fill = {
  name: 'fill',
  store: 'new',
  group: 'Batches',
  rows: [
    {
      figure: 'perSecond',
      work: 'batches of 1,000, random order, buffered',
      unit: 'entries/s',
      better: 'higher',
      goals: [{ min: 1.2 }],
    },
    { figure: 'compactSeconds', work: 'compact everything after that', unit: 's', better: 'lower' },
    {
      figure: 'megabytes',
      work: 'size on disk after that (blocks in use)',
      unit: 'MB',
      better: 'lower',
      beside: { 'history besides': 'historyMegabytes' },
      goals: [{ min: 0.909, to: ['classic-level'] }],
    },
  ],
  async ask({ open, scale, directory }) {
    const data = new Data(scale.entries);
    const driver = await open('buffered');
    const order = data.shuffled();
    const seconds = await timed(() => writeInBatches(driver, data, order));
    const compactSeconds = await timed(async () => {
      await driver.compact();
    });
    await driver.close();
    const megabytes = (await bytesInUse(directory)) / BYTES_PER_MB;
    const historyMegabytes = (await bytesInUse(join(directory, 'archive')).catch(() => 0)) / BYTES_PER_MB;
    const reopened = await open('buffered');
    await verifyEntries(reopened, data, () => true);
    await reopened.close();
    return { perSecond: scale.entries / seconds, compactSeconds, megabytes, historyMegabytes };
  },
};

/**
 * Blocks and not lengths: a file may be longer than what is in it. Folders inside are left out: they hold history, which no
 * peer has, and which has a bound of its own.
 *
 * @param {string} directory
 * @returns {Promise<number>}
 */
export async function bytesInUse(directory) {
  let bytes = 0;
  for (const name of await readdir(directory)) {
    const file = await stat(join(directory, name));
    if (!file.isFile()) continue;
    bytes += process.platform === 'win32' ? file.size : file.blocks * DISK_BLOCK_BYTES;
  }
  return bytes;
}
