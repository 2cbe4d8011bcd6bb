/** What becomes of a full store that is written to again: overwritten, deleted from, read through a snapshot meanwhile. */
import { readFile } from 'node:fs/promises';
import { closedLoop, timed } from '../support/closed-loop.mjs';
import { check, Data, KEY_BYTES, Random, VALUE_BYTES } from '../support/data.mjs';
import { verifyEntries } from '../support/engines.mjs';
import { writeInBatches } from './batches.mjs';
import { bytesInUse } from './fill.mjs';

const IN_FLIGHT = 64;
const TIMES = 3;
const BYTES_PER_MB = 1e6;

/** Bytes that this process had written to the disk, caches and all; NaN where the system does not tell. */
async function bytesWritten() {
  try {
    const text = await readFile('/proc/self/io', 'utf8');
    return Number(/^write_bytes: (\d+)$/m.exec(text)?.[1]);
  } catch {
    return NaN;
  }
}

/** @type {import('../support/question.mjs').Question} */
const overwrites = {
  name: 'overwrite',
  store: 'new',
  group: 'Batches',
  peers: ['classic-level', 'rocksdb', 'lmdb', 'sqlite'], // those with files
  rows: [
    {
      figure: 'perSecond',
      work: `everything overwritten ${TIMES} times, batches of 1,000, random order, buffered`,
      unit: 'entries/s',
      better: 'higher',
    },
    {
      figure: 'writeAmplification',
      work: 'bytes written to the disk for each byte of these',
      unit: 'x',
      better: 'lower',
    },
    { figure: 'spaceMegabytes', work: 'size on disk right after it, closed', unit: 'MB', better: 'lower' },
    { figure: 'peakMegabytes', work: 'most memory of the process meanwhile', unit: 'MB', better: 'lower' },
  ],
  async ask({ open, scale, directory }) {
    const data = new Data(scale.entries);
    const driver = await open('buffered');
    const order = data.shuffled();
    const before = await bytesWritten();
    let seconds = 0;
    for (let round = 0; round <= TIMES; round += 1) {
      const taken = await timed(() => writeInBatches(driver, data, order));
      if (round > 0) seconds += taken;
    }
    await driver.close();
    const written = (await bytesWritten()) - before;
    const spaceMegabytes = (await bytesInUse(directory)) / BYTES_PER_MB;
    const reopened = await open('buffered');
    await verifyEntries(reopened, data, () => true);
    await reopened.close();
    return {
      perSecond: (TIMES * scale.entries) / seconds,
      writeAmplification: written / ((TIMES + 1) * scale.entries * (KEY_BYTES + VALUE_BYTES)),
      spaceMegabytes,
    };
  },
};

/** @type {import('../support/question.mjs').Question} */
const deletes = {
  name: 'delete',
  store: 'new',
  group: 'Single writes',
  rows: [
    { figure: 'perSecond', work: `deletes, buffered, ${IN_FLIGHT} in flight`, unit: 'deletes/s', better: 'higher' },
  ],
  async ask({ open, scale }) {
    const data = new Data(scale.entries);
    const order = data.shuffled();
    const driver = await open('buffered', { inFlight: IN_FLIGHT });
    await writeInBatches(driver, data, order);
    const { perSecond, calls } = await closedLoop({
      inFlight: IN_FLIGHT,
      seconds: scale.seconds,
      callsMax: scale.entries,
      call: (call) => driver.delete(data.key(/** @type {number} */ (order[call]))),
    });
    await driver.close();
    const isGone = new Uint8Array(scale.entries);
    for (const index of order.subarray(0, calls)) isGone[index] = 1;
    const reopened = await open('buffered');
    await verifyEntries(reopened, data, (index) => isGone[index] === 0);
    await reopened.close();
    return { perSecond };
  },
};

/** Engines without snapshots that can be held are not asked. @type {import('../support/question.mjs').Question} */
const snapshotUnderWrites = {
  name: 'snapshot',
  store: 'new',
  group: 'Reads',
  peers: ['classic-level', 'memory-level'],
  rows: [
    {
      figure: 'perSecond',
      work: 'awaited gets through a snapshot, while batches of 1,000 overwrite everything',
      unit: 'gets/s',
      better: 'higher',
    },
  ],
  async ask({ open, scale }) {
    const count = Math.floor(scale.entries / 4);
    const data = new Data(count);
    const newer = new Data(count);
    newer.values.reverse();
    const driver = await open('buffered');
    const order = data.shuffled();
    await writeInBatches(driver, data, order);
    const snapshot = driver.snapshot?.();
    if (snapshot === undefined) throw new Error('no snapshots');
    let isOver = false;
    const writer = (async () => {
      while (!isOver) await writeInBatches(driver, newer, order);
    })();
    const random = new Random();
    const again = new Random();
    const { perSecond } = await closedLoop({
      inFlight: 1,
      seconds: scale.seconds,
      callsMax: Infinity,
      call: () => snapshot.get(data.key(random.below(count))),
      onAnswer: (value) => {
        const index = again.below(count);
        check(value !== undefined && Buffer.compare(value, data.value(index)) === 0, `entry ${index} of the snapshot`);
      },
    });
    isOver = true;
    await writer;
    await snapshot.close();
    await driver.close();
    return { perSecond };
  },
};

/** @param {number} valueBytes @param {string} inWords @returns {import('../support/question.mjs').Question} */
const largeValues = (valueBytes, inWords) => ({
  name: `large-${valueBytes}`,
  store: 'new',
  group: 'Large values',
  rows: [
    { figure: 'written', work: `puts of ${inWords}, synced, 8 in flight`, unit: 'MB/s', better: 'higher' },
    { figure: 'read', work: `awaited gets of ${inWords}, one by one, after a reopen`, unit: 'MB/s', better: 'higher' },
  ],
  async ask({ open, scale }) {
    const count = Math.max(64, Math.floor((scale.entries * VALUE_BYTES) / 2 / valueBytes));
    const data = new Data(count);
    const inFlight = 8;
    /** Half of it compresses, as with the small ones. @param {number} index */
    const valueOf = (index) => {
      const value = Buffer.alloc(valueBytes, data.value(index));
      for (let at = 0; at + 4 <= valueBytes / 2; at += 4)
        value.writeInt32LE(Math.imul(index + at, 0x9e37_79b1) | 0, at);
      return value;
    };
    const values = Array.from({ length: Math.min(count, 64) }, (_, index) => valueOf(index));
    const value = (/** @type {number} */ index) => /** @type {Buffer} */ (values[index % values.length]);
    const driver = await open('synced', { inFlight });
    const writing = await timed(async () => {
      let next = 0;
      const writer = async () => {
        for (let index = next++; index < count; index = next++) await driver.put(data.key(index), value(index));
      };
      await Promise.all(Array.from({ length: inFlight }, writer));
    });
    await driver.close();
    const reopened = await open('synced');
    const reading = await timed(async () => {
      for (let index = 0; index < count; index += 1) {
        const found = await reopened.get(data.key(index));
        check(found !== undefined && Buffer.compare(found, value(index)) === 0, `entry ${index}`);
      }
    });
    await reopened.close();
    const megabytes = (count * valueBytes) / BYTES_PER_MB;
    return { written: megabytes / writing, read: megabytes / reading };
  },
});

export const overwriteQuestions = [overwrites, deletes, snapshotUnderWrites];
export const largeValueQuestions = [largeValues(16_384, '16 KiB'), largeValues(1_048_576, '1 MiB')];
