// T15: hours of ordinary work in minutes: 80 reads to 20 writes, ten slow consumers, scans, snapshots, and a slow change
// subscriber, on a store whose bounds are small. Memory, descriptors and disk have to stay within what the options say,
// and memory must not grow: the samples are taken after a garbage collection, and a line is laid through them.
//
//     node --expose-gc test/trust/soak.mjs          6 minutes; ALLUVIUM_RUNS_FACTOR=10 an hour, 80 a night
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { open } from 'alluvium';

const MIB = 2 ** 20;
const minutes = 6 * Number(process.env.ALLUVIUM_RUNS_FACTOR ?? 1);
const seed = Number(process.env.ALLUVIUM_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** What the figures are compared with is in here: small enough to be reached in a minute. */
const options = {
  memtableBytesMax: 4 * MIB,
  blockCacheBytesMax: 16 * MIB,
  tableCacheBytesMax: 16 * MIB,
  level1BytesMax: 16 * MIB,
  openTablesMax: 64,
  historyBytesMax: 32 * MIB,
  historyHardBytesMax: 64 * MIB,
  compression: 'none', // so that bytes on the disk can be compared with bytes given
};
const KEYS = 60_000;
const VALUE_BYTES_MAX = 2048;
const CLIENTS = 16;
const CONSUMERS = 10;
/** What the process holds, in V8's heap and outside of it: caches, memtables, and the buffers of all who work with it. */
const HELD_MAX = options.blockCacheBytesMax + options.tableCacheBytesMax + 4 * options.memtableBytesMax + 128 * MIB;
/**
 * RSS has on top of it: Node's code and data as they are loaded; the space for young objects, here and in the worker; and the values
 * that callers were given and have dropped, of which V8 lets 64 MiB lie (`kExternalAllocationSoftLimit`) before it collects.
 */
const RSS_MAX = HELD_MAX + 48 * MIB + (32 + 8) * MIB + 64 * MIB;
/** Levels 1 and 2 may be full beside the last one, and a compaction has its inputs and outputs at once. */
const TWO_LEVELS = options.level1BytesMax * 11;
const SAMPLE_MS = 2_000;
/** Samples before this part of the time are warming up: caches fill, code is compiled. */
const WARM = 0.4;
/** A line through a few minutes of samples shows no less than this, whatever grows; over an hour it has to be flat to 1 MiB. */
const NOISE_BYTES = 8 * MIB;
/** Malloc gives back in large pieces. */
const RSS_NOISE_BYTES = 24 * MIB;

function randomOf(start) {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = randomOf(seed);
const keyOf = (index) => `key:${String(index).padStart(8, '0')}`;
const descriptors = () => readdirSync('/proc/self/fd').length;

function diskBytes(directory) {
  const seen = new Map();
  for (const name of readdirSync(directory, { recursive: true })) {
    const found = statSync(join(directory, name), { throwIfNoEntry: false });
    if (found?.isFile() === true) seen.set(found.ino, found.size); // a log has two names
  }
  return [...seen.values()].reduce((sum, size) => sum + size, 0);
}

/** Bytes per millisecond by least squares. */
function slopeOf(samples, valueOf) {
  const count = samples.length;
  const meanX = samples.reduce((sum, { at }) => sum + at, 0) / count;
  const meanY = samples.reduce((sum, sample) => sum + valueOf(sample), 0) / count;
  const over = samples.reduce((sum, sample) => sum + (sample.at - meanX) * (valueOf(sample) - meanY), 0);
  return over / samples.reduce((sum, { at }) => sum + (at - meanX) ** 2, 0);
}

const failures = [];
const counts = { reads: 0, writes: 0, scans: 0, deliveries: 0, overtaken: 0 };
/** What each key has: its length and its first byte; 0: nothing. So a wrong answer is seen as well. */
const lengths = new Uint16Array(KEYS);
const firsts = new Uint8Array(KEYS);
const busy = new Uint8Array(KEYS);
let isOver = false;

async function client(store) {
  const value = new Uint8Array(VALUE_BYTES_MAX);
  while (!isOver) {
    const index = Math.floor(random() ** 2 * KEYS); // some keys are hot
    if (busy[index] === 1) {
      await sleep(0);
      continue;
    }
    busy[index] = 1;
    try {
      const choice = random();
      if (choice < 0.8) {
        counts.reads += 1;
        const found = await store.get(keyOf(index));
        if ((found?.length ?? 0) !== lengths[index] || (found?.[0] ?? 0) !== firsts[index]) {
          failures.push(`${keyOf(index)} has ${found?.length} bytes, and ${lengths[index]} were written`);
        }
      } else if (choice < 0.97) {
        counts.writes += 1;
        const length = 1 + Math.floor(random() * VALUE_BYTES_MAX);
        const first = 1 + Math.floor(random() * 255);
        const bytes = value.slice(0, length).fill(first);
        await store.set(keyOf(index), bytes, { durability: choice < 0.82 ? 'synced' : 'buffered' });
        lengths[index] = length;
        firsts[index] = first;
      } else {
        counts.writes += 1;
        await store.delete(keyOf(index), { durability: 'buffered' });
        lengths[index] = firsts[index] = 0;
      }
    } finally {
      busy[index] = 0;
    }
  }
}

/** Ten seconds of a page now and then, over a snapshot. */
async function scanner(store) {
  while (!isOver) {
    const snapshot = store.snapshot();
    let pages = 0;
    for await (const page of snapshot.scan().pages()) {
      if (isOver || (pages += 1) === 50 || page.length === 0) break;
      await sleep(20);
    }
    snapshot.close();
    counts.scans += 1;
    await sleep(100);
  }
}

async function slowSubscriber(store) {
  while (!isOver) {
    try {
      for await (const change of store.changes({ from: 'now', bufferBytesMax: 2 * MIB })) {
        if (isOver) return;
        await sleep(change === undefined ? 0 : 5);
      }
    } catch (error) {
      if (error.code !== 'HISTORY_GONE') throw error;
      counts.overtaken += 1; // retention may overtake it; it begins again
    }
  }
}

/** Handles far less than is written, and is overtaken by retention again and again. */
async function slowConsumer(store, index) {
  const consumer = store.consumer(`slow-${index}`, {
    from: 'now',
    inFlightMax: 4,
    handle: async () => {
      counts.deliveries += 1;
      await sleep(2 + index);
    },
  });
  while (!isOver) {
    const ended = await new Promise((resolve) => {
      const run = consumer.run().subscribe({ error: resolve, complete: () => resolve(undefined) });
      endings.push(() => {
        run.unsubscribe();
        resolve(undefined);
      });
    });
    if (isOver || ended === undefined) return;
    if (ended.code !== 'HISTORY_GONE') throw ended;
    counts.overtaken += 1;
    await consumer.seek('now');
  }
}
const endings = [];

async function watch(store, directory, begin, end) {
  const samples = [];
  while (performance.now() < end) {
    await sleep(SAMPLE_MS);
    globalThis.gc();
    const { rss, heapUsed, external } = process.memoryUsage();
    const { openTables, levels } = store.stats();
    const live = lengths.reduce((sum, length) => sum + (length === 0 ? 0 : length + 12), 0);
    const sample = { at: performance.now() - begin, rss, used: heapUsed + external, fds: descriptors(), openTables };
    samples.push({
      ...sample,
      disk: diskBytes(directory),
      live,
      tables: levels.reduce((sum, { tables }) => sum + tables, 0),
    });
  }
  return samples;
}

function judge(samples, fdsBefore) {
  const warm = samples.filter(({ at }) => at > WARM * minutes * 60_000);
  for (const { at, rss, used, fds, openTables, disk, live } of samples) {
    const when = `after ${Math.round(at / 1000)} s`;
    if (used > HELD_MAX) failures.push(`${Math.round(used / MIB)} of ${HELD_MAX / MIB} MiB held ${when}`);
    if (rss > RSS_MAX) failures.push(`RSS ${Math.round(rss / MIB)} of ${RSS_MAX / MIB} MiB ${when}`);
    // A log, the next one, their indexes, a MANIFEST, the lock, what the worker and readers of history have open; no more.
    if (fds > fdsBefore + openTables + 64) failures.push(`${fds} descriptors, ${openTables} tables ${when}`);
    const diskMax = 1.5 * live + TWO_LEVELS + options.historyHardBytesMax + 4 * options.memtableBytesMax;
    if (disk > diskMax) failures.push(`disk ${Math.round(disk / MIB)} of ${Math.round(diskMax / MIB)} MiB ${when}`);
  }
  const hours = (warm.at(-1).at - warm[0].at) / 3_600_000;
  const growth = slopeOf(warm, ({ used }) => used) * hours * 3_600_000;
  if (growth > Math.max(hours * MIB, NOISE_BYTES)) failures.push(`memory grows: ${growth} bytes in ${hours} h`);
  const rssGrowth = slopeOf(warm, ({ rss }) => rss) * hours * 3_600_000;
  if (rssGrowth > Math.max(hours * MIB, RSS_NOISE_BYTES)) failures.push(`RSS grows: ${rssGrowth} bytes in ${hours} h`);
  const fdGrowth = slopeOf(warm, ({ fds, openTables }) => fds - openTables) * hours * 3_600_000;
  if (fdGrowth > 8) failures.push(`descriptors grow: ${fdGrowth} in ${hours} h`);
  return { growth, rssGrowth };
}

const directory = mkdtempSync(join(tmpdir(), 'alluvium-soak-'));
try {
  console.log(`seed ${seed}, ${minutes} minutes`);
  await (await open(join(directory, 'first'))).close(); // what is loaded once, and stays, is there
  const fdsBefore = descriptors();
  const store = await open(join(directory, 'store'), options);
  const begin = performance.now();
  const end = begin + minutes * 60_000;
  const callers = [...Array.from({ length: CLIENTS }, () => client(store)), scanner(store)];
  const followers = [
    ...Array.from({ length: CONSUMERS }, (_, index) => slowConsumer(store, index)),
    slowSubscriber(store),
  ];
  const working = Promise.all([...callers, ...followers]);
  working.catch((error) => {
    failures.push(`a client failed: ${error.stack}`);
    isOver = true;
  });
  const samples = await Promise.race([watch(store, join(directory, 'store'), begin, end), working.then(() => [])]);
  isOver = true;
  for (const endOne of endings) endOne();
  const stats = store.stats();
  await Promise.all(callers);
  await store.close();
  await working; // the subscriber ends with the store
  const fdsAfter = descriptors();
  if (fdsAfter > fdsBefore) failures.push(`${fdsBefore} descriptors before the open, ${fdsAfter} after the close`);
  const { growth, rssGrowth } = judge(samples, fdsBefore);
  const most = (valueOf) => Math.max(...samples.map(valueOf));
  const figures = {
    ...counts,
    samples: samples.length,
    userMiB: Math.round(stats.userBytesWritten / MIB),
    compactions: stats.compactions,
    rssMiBMax: Math.round(most(({ rss }) => rss) / MIB),
    rssAllowedMiBMax: RSS_MAX / MIB,
    heldMiBMax: Math.round(most(({ used }) => used) / MIB),
    heldAllowedMiBMax: HELD_MAX / MIB,
    diskMiBMax: Math.round(most(({ disk }) => disk) / MIB),
    liveMiBMax: Math.round(most(({ live }) => live) / MIB),
    descriptorsMax: most(({ fds }) => fds),
    heldGrowthKiBMax: Math.round(growth / 1024),
    rssGrowthKiBMax: Math.round(rssGrowth / 1024),
    violations: failures.length,
  };
  console.log(JSON.stringify(figures));
  const file = process.env.ALLUVIUM_FIGURES_FILE;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ part: 'T15', figures })}\n`);
} catch (error) {
  failures.push(error.stack);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
for (const failure of failures.slice(0, 20)) console.error(failure);
process.exit(failures.length === 0 ? 0 : 1);
