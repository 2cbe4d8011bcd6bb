// A read model (CQRS). What happened to orders is written down, and never changed; what each customer has spent is derived
// from it by a consumer. What the consumer writes commits together with its position, so every event counts exactly
// once, whatever crashes when. And what is derived may be dropped: the stream makes it again.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codecs, open } from 'alluvium';
import { firstValueFrom, skipWhile, toArray } from 'rxjs';

/** @typedef {{ type: 'placed' | 'cancelled', customer: string, cents: number }} OrderEvent */
/** @typedef {{ orders: number, cents: number }} Total */

const directory = await mkdtemp(join(tmpdir(), 'alluvium-read-model-'));
const store = await open(directory);

/** @type {import('alluvium').ValueCodec<OrderEvent>} */
const eventCodec = codecs.json();
/** @type {import('alluvium').ValueCodec<Total>} */
const totalCodec = codecs.json();
const events = store.keyspace('order-events', { key: codecs.number, value: eventCodec });
const totals = store.keyspace('totals', { key: codecs.utf8, value: totalCodec });

const projection = events.consumer('totals', {
  // One after the other for each customer: so no two deliveries ever want to change the same total at once.
  partitionBy: (change) => (change.type === 'set' ? change.value.customer : ''),
  async handle(change, tx) {
    if (change.type === 'delete') return;
    const { type, customer, cents } = change.value;
    const model = totals.in(tx);
    const total = (await model.get(customer)) ?? { orders: 0, cents: 0 };
    const sign = type === 'placed' ? 1 : -1;
    model.set(customer, { orders: total.orders + sign, cents: total.cents + sign * cents });
  },
});

/**
 * Runs the projection until everything up to `sequence` is in the read model. A service would just let it run.
 * @param {number} sequence
 */
const project = (sequence) =>
  firstValueFrom(projection.run().pipe(skipWhile((event) => event.type !== 'acked' || event.sequence < sequence)));

const readModel = async () => {
  /** @type {Record<string, Total>} */
  const model = {};
  for await (const { key, value } of totals.scan()) model[key] = value;
  return model;
};

// Commands write events, and know nothing of who reads them.
const customers = ['ada', 'grace', 'joan'];
/** @type {OrderEvent[]} */
const facts = Array.from({ length: 300 }, (_, index) => ({
  type: index % 10 === 9 ? 'cancelled' : 'placed',
  customer: customers[index % customers.length] ?? 'ada',
  cents: index + 1,
}));
const commits = await Promise.all(facts.map((fact, index) => events.set(index + 1, fact)));
const last = Math.max(...commits.map(({ sequence }) => sequence));
await project(last);

const before = await readModel();
for (const [customer, { orders, cents }] of Object.entries(before)) console.log(customer, orders, cents);
// => ada 80 12050
// => grace 80 11950
// => joan 80 11850

// The model is dropped, and made again. That it is paused is durable: if this is cut off half-way, nothing is delivered
// until somebody has done all of it.
await projection.pause();
await projection.seek('start');
const keys = await firstValueFrom(totals.scan({ values: false }).pipe(toArray()));
await totals.write(keys.map((key) => ({ type: 'delete', key })));
console.log(
  'dropped:',
  Object.keys(await readModel()).length,
  'totals,',
  (await projection.lag()).changes,
  'events to go',
);
// => dropped: 0 totals, 300 events to go
await projection.resume();
await project(last);

assert.deepEqual(await readModel(), before);
console.log('rebuilt, equal'); // => rebuilt, equal

// And both are right: a fold over the same stream says so.
/** @type {Record<string, Total>} */
const expected = {};
for await (const event of events.changes({ from: 'snapshot' })) {
  if (event.type === 'snapshotEnd') break; // what would follow is live
  if (event.type !== 'entry') continue;
  const { type, customer, cents } = event.value;
  const total = (expected[customer] ??= { orders: 0, cents: 0 });
  total.orders += type === 'placed' ? 1 : -1;
  total.cents += type === 'placed' ? cents : -cents;
}
assert.deepEqual(before, expected);

await store.close();
await rm(directory, { recursive: true });
