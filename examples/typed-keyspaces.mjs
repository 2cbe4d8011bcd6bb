// Keyspaces: parts of one store whose keys and values have types. A schema checks what goes in and what comes out; a batch
// across keyspaces is one commit; and keys that are tuples keep their order, so that time ranges are ranges of keys.
import assert from 'node:assert/strict';
import { codecs, openInMemory, SchemaError } from 'alluvium';
import { firstValueFrom, map, reduce, toArray } from 'rxjs';

/** @typedef {{ place: string, unit: 'm' | 'cm', lastSeen?: string }} Gauge */

/**
 * A schema by hand. Those of Zod, Valibot, ArkType and others fit as they are: all of them are Standard Schemas.
 * @type {import('alluvium').StandardSchemaV1<unknown, Gauge>}
 */
const gaugeSchema = {
  '~standard': {
    version: 1,
    vendor: 'by hand',
    validate(value) {
      if (typeof value !== 'object' || value === null) return { issues: [{ message: 'an object is needed' }] };
      const { place, unit = 'm', lastSeen } = /** @type {Record<string, unknown>} */ (value);
      const issues = [];
      if (typeof place !== 'string' || place === '') issues.push({ message: 'a name is needed', path: ['place'] });
      if (unit !== 'm' && unit !== 'cm') issues.push({ message: "'m' or 'cm' is needed", path: ['unit'] });
      if (issues.length > 0) return { issues };
      const gauge = /** @type {Gauge} */ ({ place, unit }); // what else it had is left out
      return { value: typeof lastSeen === 'string' ? { ...gauge, lastSeen } : gauge };
    },
  },
};

const store = await openInMemory();
const gauges = store.keyspace('gauges', { key: codecs.utf8, value: gaugeSchema });
// What was measured, by gauge and time: all of one gauge lie together, in the order of time.
const levels = store.keyspace('levels', { key: codecs.tuple(codecs.utf8, codecs.date), value: codecs.number });

await gauges.set('po-1', { place: 'Cremona', unit: 'm' });
// From outside, where no compiler has looked: the schema fills in what is missing, and leaves out what it does not know.
await gauges.set('po-2', JSON.parse('{ "place": "Piacenza", "colour": "red" }'));
console.log(await gauges.get('po-2')); // => { place: 'Piacenza', unit: 'm' }

try {
  gauges.set('po-3', JSON.parse('{ "unit": "miles" }'));
} catch (error) {
  assert.ok(error instanceof SchemaError);
  for (const { path, message } of error.issues) console.log(`${path.join('.')}: ${message}`);
}
// => place: a name is needed
// => unit: 'm' or 'cm' is needed
assert.equal(await gauges.has('po-3'), false);

/** A level and that the gauge was seen: in one commit, or not at all. @param {string} id @param {Date} at @param {number} level */
async function measure(id, at, level) {
  const gauge = await gauges.entry(id);
  if (gauge === undefined) throw new Error(`there is no gauge ${id}`);
  return store.write([
    gauges.checkLine(id, gauge.sequence), // somebody may have changed it meanwhile
    gauges.setLine(id, { ...gauge.value, lastSeen: at.toISOString() }),
    levels.setLine([id, at], level),
  ]);
}

/** @param {number} day @param {number} hour */
const march = (day, hour) => new Date(Date.UTC(2026, 2, day, hour));
for (let day = 1; day <= 9; day += 1) {
  for (const hour of [0, 6, 12, 18]) {
    await measure('po-1', march(day, hour), -day - hour / 100);
    await measure('po-2', march(day, hour), day + hour / 100);
  }
}

// A time range of one gauge.
const noon = levels.scan({ gte: ['po-1', march(2, 12)], lt: ['po-1', march(3, 12)] });
for await (const { key, value } of noon) console.log(key[0], key[1].toISOString(), value);
// => po-1 2026-03-02T12:00:00.000Z -2.12
// => po-1 2026-03-02T18:00:00.000Z -2.18
// => po-1 2026-03-03T00:00:00.000Z -3
// => po-1 2026-03-03T06:00:00.000Z -3.06

// The newest of one gauge. Fewer elements as a bound stand for all keys that begin with them.
const all = { gte: /** @type {const} */ (['po-2']), lte: /** @type {const} */ (['po-2']) };
const [newest] = await firstValueFrom(levels.scan({ ...all, reverse: true, limit: 1 }).pipe(toArray()));
console.log(newest?.key[1].toISOString(), newest?.value); // => 2026-03-09T18:00:00.000Z 9.18
assert.equal((await gauges.get('po-2'))?.lastSeen, newest?.key[1].toISOString());

const mean = levels.scan({ ...all, keys: false }).pipe(
  reduce(({ sum, count }, level) => ({ sum: sum + level, count: count + 1 }), { sum: 0, count: 0 }),
  map(({ sum, count }) => sum / count),
);
console.log((await firstValueFrom(mean)).toFixed(2)); // => 5.09

// A snapshot shows all keyspaces as of one moment, and changes have the types, too.
const snapshot = store.snapshot();
const changes = levels.changes({ from: store.stats().sequence + 1 });
await measure('po-1', march(10, 0), -10);
assert.equal(await levels.get(['po-1', march(10, 0)], { snapshot }), undefined);
assert.equal((await gauges.get('po-1', { snapshot }))?.lastSeen, march(9, 18).toISOString());
snapshot.close();
const change = await firstValueFrom(changes);
assert.deepEqual(change.key, ['po-1', march(10, 0)]);
assert.equal(change.type === 'set' && change.value, -10);

// What is stored and fits no more is told, and everything else can still be read.
await store.set('!gauges!po-0', '{ "place": 7 }'); // past the door
await assert.rejects(async () => void (await gauges.get('po-0')), SchemaError);
assert.equal((await gauges.get('po-1'))?.place, 'Cremona');

await store.close();
