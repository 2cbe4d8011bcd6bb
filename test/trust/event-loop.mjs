// T16: the event loop while a store writes, flushes and compacts as fast as it can.
//
// First with the worker, which is how a store runs: how late a timer comes, by perf_hooks. Another process that does nothing
// measures the same at the same time: on a busy machine it comes late as well, and what is allowed grows by several times that,
// since whoever works is put off for longer than whoever sleeps. Then without the worker: the slices of flush and compaction on
// this thread, from one yield point to the next, counted one by one. A slice takes the time that this thread had the processor,
// as the kernel counts it (to its tick, 1 to 4 ms), not the time that others had it meanwhile; and without garbage collections.
//
//     node test/trust/event-loop.mjs          a minute and a half; ALLUVIUM_RUNS_FACTOR=20 half an hour
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { open } from 'alluvium';

const factor = Number(process.env.ALLUVIUM_RUNS_FACTOR ?? 1);
const LOOP_MS = 60_000 * factor;
const SLICES_MS = 20_000 * factor;
/** Milliseconds on a machine that is ours alone. */
const P99_MAX = 20;
const LATEST_MAX = 60;
const SLICE_MAX = 8;
/** What the idle process reads on a quiet machine: the resolution, and a little. */
const RESOLUTION_MS = 5;
const IDLE_READS = 6.5;
/** How much longer the scheduler may put off whoever works than whoever sleeps. */
const PUT_OFF = 4;

const IDLE = `
  const { monitorEventLoopDelay } = require('node:perf_hooks');
  const delay = monitorEventLoopDelay({ resolution: ${RESOLUTION_MS} });
  process.on('message', (word) => {
    if (word === 'begin') return void (delay.reset(), delay.enable());
    delay.disable();
    process.send({ p99: delay.percentile(99) / 1e6, latest: delay.max / 1e6 }, () => process.exit());
  });
  process.send('ready');
`;

const options = { memtableBytesMax: 4 * 2 ** 20, level1BytesMax: 8 * 2 ** 20, historyBytesMax: 16 * 2 ** 20 };
const keyOf = (number) => `key:${(Math.imul(number, 2_654_435_761) >>> 0).toString(36).padStart(7, '0')}`;

/** Sixteen writers, each one write at a time. */
async function work(store, ms) {
  const value = new Uint8Array(1024);
  const end = performance.now() + ms;
  let count = 0;
  const writer = async () => {
    while (performance.now() < end) {
      count += 1;
      // Not the same bytes again, or compression would leave nothing to compact.
      for (let at = 0; at < value.length; at += 4) value[at] = (count * 31 + at * 7) & 0xff;
      await store.set(keyOf(count % 40_000), value.slice(), { durability: 'buffered' });
      if (count % 64 === 0) await sleep(1);
    }
  };
  await Promise.all(Array.from({ length: 16 }, writer));
  return count;
}

async function measureLoop(directory) {
  const idle = spawn(process.execPath, ['-e', IDLE], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await once(idle, 'message');
  const store = await open(directory, options);
  await work(store, 2_000); // code is compiled, the worker is there
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  idle.send('begin');
  delay.enable();
  const writes = await work(store, LOOP_MS);
  delay.disable();
  const told = once(idle, 'message');
  idle.send('end');
  const [control] = await told;
  const { flushes, compactions } = store.stats();
  await store.close();
  return { p99: delay.percentile(99) / 1e6, latest: delay.max / 1e6, control, writes, flushes, compactions };
}

/** Milliseconds that this thread has run; elsewhere than on Linux, that all threads of the process have. */
function threadMs() {
  if (process.platform === 'linux') {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1e6;
  }
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** A clock whose turns are measured: from the moment work goes on to the moment the loop has its turn again. */
function measuredClock(slices) {
  return {
    now: () => performance.now(),
    date: () => new Date(),
    random: () => Math.random(),
    setTimer: (callback, ms) => {
      const timer = setTimeout(callback, ms).unref();
      return () => clearTimeout(timer);
    },
    afterMicrotask: (callback) => queueMicrotask(callback),
    afterTurn: (callback) => {
      let start = 0;
      let ran = 0;
      setImmediate(() => {
        start = performance.now();
        ran = threadMs();
        callback();
      });
      // The next immediate of the same turn: all microtasks of the one before are done.
      setImmediate(() => {
        const end = performance.now();
        slices.push({ start, end, ms: Math.min(end - start, threadMs() - ran) });
      });
    },
  };
}

async function measureSlices(directory) {
  const slices = [];
  const pauses = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      pauses.push({ start: startTime, end: startTime + duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  const store = await open(directory, { ...options, worker: 'off', clock: measuredClock(slices) });
  await work(store, 2_000);
  slices.length = 0;
  await work(store, SLICES_MS);
  const { flushes, compactions } = store.stats();
  await store.close();
  await sleep(50); // the last entries of the observer
  observer.disconnect();
  const overlap = (slice) =>
    pauses.reduce(
      (sum, { start, end }) => sum + Math.max(0, Math.min(end, slice.end) - Math.max(start, slice.start)),
      0,
    );
  const long = slices.filter(({ ms }) => ms > SLICE_MAX).map((slice) => ({ ...slice, ms: slice.ms - overlap(slice) }));
  const longest = slices.reduce((most, { ms }) => (ms <= SLICE_MAX ? Math.max(most, ms) : most), 0);
  return {
    slices: slices.length,
    tooLong: long.filter(({ ms }) => ms > SLICE_MAX).length,
    longest: long.reduce((most, { ms }) => Math.max(most, ms), longest),
    flushes,
    compactions,
  };
}

const failures = [];
const directory = mkdtempSync(join(tmpdir(), 'alluvium-loop-'));
try {
  const loop = await measureLoop(join(directory, 'worker'));
  const late = (reading) => PUT_OFF * Math.max(0, reading - IDLE_READS);
  const p99Max = P99_MAX + late(loop.control.p99);
  const latestMax = LATEST_MAX + late(loop.control.latest);
  if (loop.p99 > p99Max) failures.push(`p99 ${loop.p99} ms, allowed ${p99Max}`);
  if (loop.latest > latestMax) failures.push(`latest ${loop.latest} ms, allowed ${latestMax}`);
  const here = await measureSlices(join(directory, 'here'));
  if (here.tooLong > 0)
    failures.push(`${here.tooLong} of ${here.slices} slices over ${SLICE_MAX} ms, up to ${here.longest}`);
  for (const { flushes, compactions } of [loop, here]) {
    if (flushes < 5 || compactions < 1) failures.push(`only ${flushes} flushes, ${compactions} compactions`);
  }
  const tenths = (ms) => Math.round(ms * 10) / 10;
  const figures = {
    writes: loop.writes,
    flushes: loop.flushes + here.flushes,
    compactions: loop.compactions + here.compactions,
    p99MsMax: tenths(loop.p99),
    latestMsMax: tenths(loop.latest),
    idleP99MsMax: tenths(loop.control.p99),
    idleLatestMsMax: tenths(loop.control.latest),
    slices: here.slices,
    longestSliceMsMax: tenths(here.longest),
    violations: failures.length,
  };
  console.log(JSON.stringify(figures));
  const file = process.env.ALLUVIUM_FIGURES_FILE;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ part: 'T16', figures })}\n`);
} catch (error) {
  failures.push(error.stack);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
for (const failure of failures) console.error(failure);
process.exit(failures.length === 0 ? 0 : 1);
