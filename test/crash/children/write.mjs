/**
 * Writes batches that are made from their number alone, until it is killed. Run as
 *
 *     node write.mjs <directory> <settings as JSON: { seed, workload: 'kv' | 'compactions', closeAfterMs? }>
 *
 * It begins behind the batches that are there, and tells how many those are.
 */
import { open } from 'alluvium';
import { setTimeout as wait } from 'node:timers/promises';
import { batchOf, markersOf } from './numbered-batches.mjs';
import { storeOptions, watchEvents } from './settings.mjs';
import { randomOf, tell, tellFailure } from './tell.mjs';

const [directory, given] = process.argv.slice(2);
const { seed, workload, closeAfterMs } = JSON.parse(given);
const random = randomOf(seed);
const IN_FLIGHT_MAX = 8;
/** Merges all the time, on several levels at once. */
const COMPACTING = {
  memtableBytesMax: 4096,
  tableBytesMax: 4096,
  level1BytesMax: 8192,
  level0CompactionTrigger: 1,
  manifestBytesMax: 2048,
};

tell('opening');
const store = await open(directory, storeOptions(random, workload === 'compactions' ? COMPACTING : {}));
watchEvents(store);
let next = 0;
for (const marker of await markersOf(store)) {
  if (marker !== next) tellFailure(`batch ${next} is missing, and ${marker} is there`);
  next += 1;
}
tell('open', next);

let isStopped = false;
async function produce() {
  const inFlight = new Set();
  while (!isStopped) {
    const index = next++;
    tell('begun', index);
    const durability = random() < 0.3 ? 'synced' : 'buffered';
    const written = store.write(batchOf(index), { durability }).then(
      () => tell('acknowledged', index),
      (error) => {
        if (!isStopped) tellFailure(`batch ${index}`, error);
      },
    );
    inFlight.add(written);
    void written.then(() => inFlight.delete(written));
    if (inFlight.size >= IN_FLIGHT_MAX) await Promise.race(inFlight);
    if (random() < 0.02) await wait(Math.floor(random() * 10));
    if (workload === 'compactions' && random() < 0.01) store.compact().subscribe({ error: () => undefined });
  }
  await Promise.all(inFlight);
}

produce().catch((error) => tellFailure('producer', error));
if (closeAfterMs !== undefined) {
  await wait(closeAfterMs);
  isStopped = true;
  await store.close();
  tell('closed');
}
