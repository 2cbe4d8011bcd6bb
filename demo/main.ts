/**
 * The tour of Alluvium on real data: 200,000 flights go in, the process that writes them is killed in the middle, and
 * everything that was acknowledged comes out right.
 *
 *     npm start
 *
 * Read it from the bottom: `tour` is the story, and each chapter above it is a few lines of the public API.
 */
import { performance } from 'node:perf_hooks';
import { open, type Store } from 'alluvium';
import { lastValueFrom, map, reduce, tap } from 'rxjs';
import { type Check, checkAcknowledged, checkExactly, checkOrder, checkThat } from './checks.ts';
import { decodeFlight, type FlightRecord, keyAt, readFlights } from './flights.ts';
import { follow, type Followed } from './follow.ts';
import { type Acknowledgement, runKilledWriter } from './killed-writer.ts';
import { type Plant, plantDamage } from './plant.ts';
import { pullThrough } from './pull-through.ts';
import { chapter, conclude, count, Latency, megabytes, note, startMeter, tell, tellStats } from './report.ts';
import { IN_FLIGHT_MAX, readSettings, type Settings, STORE_OPTIONS, USAGE, UsageError } from './settings.ts';

type Flights = readonly FlightRecord[];

const millisecondsSince = (start: number): string => `${count(performance.now() - start)} ms`;

/** A process of its own writes the first part, and dies. What it could still say is what the store has to keep. */
async function writeAndDie(directory: string, flights: Flights): Promise<readonly Acknowledgement[]> {
  const killAfter = Math.floor(flights.length / 2);
  const meter = startMeter('flights acknowledged as synced', flights.length);
  const acknowledgements = await runKilledWriter({
    directory,
    recordsMax: Math.floor((flights.length * 3) / 4), // Without the last quarter it cannot finish before the kill.
    killAfter,
    onAcknowledgement: meter.add,
  });
  meter.end();
  note(
    `SIGKILL came after ${count(killAfter)} acknowledgements; ${count(acknowledgements.length)} had left the process`,
  );
  return acknowledgements;
}

/** Recovery, and what it has to have kept: everything that was acknowledged, in order, and nothing else. */
async function reopen(directory: string): Promise<Store> {
  const start = performance.now();
  const store = await open(directory, STORE_OPTIONS);
  note(`recovery took ${millisecondsSince(start)}`);
  return store;
}

/** How many flights survived. Not the sequence number: after a crash numbers are left out, so that none is used twice. */
async function countEntries(store: Store): Promise<number> {
  let entries = 0;
  for await (const page of store.scan({ values: false }).pages()) entries += page.length;
  note(`${count(entries)} flights are there`);
  return entries;
}

async function checkRecovered(
  store: Store,
  flights: Flights,
  acknowledgements: readonly Acknowledgement[],
  written: number,
  plant: Plant | undefined,
): Promise<readonly Check[]> {
  const acknowledged = acknowledgements.length;
  if (plant !== undefined) await plantDamage(store, plant, flights);
  return [
    checkOrder(plant === 'disorder' ? acknowledgements.toReversed() : acknowledgements),
    checkThat(
      'no write survived that was neither acknowledged nor in flight',
      written >= acknowledged && written <= acknowledged + IN_FLIGHT_MAX,
      `${count(written)} writes, ${count(acknowledged)} acknowledgements`,
    ),
    await checkAcknowledged(store, flights.slice(0, acknowledged)),
    await checkExactly(
      `the store holds exactly the first ${count(written)} flights: no hole, nothing that was never written`,
      store.scan({}),
      flights.slice(0, written),
    ),
  ];
}

/** Writes the rest, with a bounded number of writes in flight, while a follower sees each change as it is committed. */
async function writeRest(store: Store, rest: Flights): Promise<{ readonly followed: Promise<Followed> }> {
  const latency = new Latency();
  const begin = store.stats().sequence;
  let seen = 0;
  const meter = startMeter('flights acknowledged', rest.length, () => `; the follower has seen ${count(seen)}`);

  // The stream completes when the store is closed; only then is it known that nothing was missing.
  const followed = lastValueFrom(
    store.changes().pipe(
      follow(begin),
      tap(() => (seen += 1)),
    ),
  );
  await lastValueFrom(
    pullThrough(rest, IN_FLIGHT_MAX, ({ key, value }) => store.set(key, value).pipe(latency.measure(), tap(meter.add))),
  );
  meter.end();
  note(`durable writes: ${latency.toString()}`);
  return { followed };
}

/** Moves everything into sorted tables, and shows what the tree looks like then. */
async function settle(store: Store): Promise<void> {
  const start = performance.now();
  await store.flush();
  await store.compact();
  note(`flush and compaction of everything took ${millisecondsSince(start)}`);
  tellStats(store.stats());
}

/** Reads single keys, a range and everything. */
async function read(store: Store, flights: Flights): Promise<readonly Check[]> {
  const latency = new Latency();
  for (const { key } of flights.slice(0, 10_000)) await lastValueFrom(store.get(key).pipe(latency.measure()));
  note(`gets, one after the other: ${latency.toString()}`);

  const [start, end] = [keyAt(8), keyAt(9)];
  const expected = flights.filter(({ key }) => key >= start && key < end).length;
  const morning = await lastValueFrom(
    store.scan(start, end).pipe(
      map(({ value }) => decodeFlight(value)),
      reduce((sum, { delay }) => ({ all: sum.all + 1, late: sum.late + (delay > 15 ? 1 : 0) }), { all: 0, late: 0 }),
    ),
  );
  note(`from 8 to 9 o'clock, ${count(morning.late)} of ${count(morning.all)} flights were over 15 minutes late`);

  return [
    checkThat('the range has as many as the data set', morning.all === expected, `that has ${count(expected)}`),
    await checkExactly(`a scan gives exactly the ${count(flights.length)} flights, sorted`, store.scan({}), flights),
  ];
}

const checkFollowed = ({ changes, gap }: Followed, written: number): readonly Check[] => [
  checkThat('the live stream had no gap and no repeat', gap === undefined, gap ?? ''),
  checkThat('the live stream had every change', changes === written, `${count(changes)} of ${count(written)}`),
];

/** Each chapter ends with its checks; the tour is good when all of them hold. */
async function tour({ directory, recordsMax, plant }: Settings): Promise<boolean> {
  chapter('Real data');
  const flights = await readFlights(recordsMax);
  const bytes = flights.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  note(`${count(flights.length)} flights, ${megabytes(bytes)} of keys and values`);
  note(`the store is in ${directory}`);

  chapter('A process writes, and is killed in the middle');
  const acknowledgements = await writeAndDie(directory, flights);

  chapter('The store is opened again');
  const store = await reopen(directory);
  const written = await countEntries(store);
  const isRecovered = tell(await checkRecovered(store, flights, acknowledgements, written, plant));

  chapter('The rest is written, and followed live');
  const rest = flights.slice(written);
  const { followed } = await writeRest(store, rest);

  chapter('Flush and compaction');
  await settle(store);

  chapter('Reads');
  const isComplete = tell(await read(store, flights));

  chapter('The store is closed');
  await store.close();
  const isFollowed = tell(checkFollowed(await followed, rest.length));

  return isRecovered && isComplete && isFollowed;
}

try {
  const settings = await readSettings(process.argv.slice(2));
  const isGood = await tour(settings);
  conclude(isGood ? 'Every check holds' : 'A CHECK FAILED: see the lines marked FAIL');
  note(`the store stays in ${settings.directory}; delete it when you have looked at it`);
  process.exitCode = isGood ? 0 : 1;
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = 2;
}
