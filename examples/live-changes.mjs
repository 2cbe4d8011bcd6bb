// Every committed change is an event. Changes come in the one order of all writes, and those of a batch stay together.
import { openInMemory } from 'alluvium';
import { map } from 'rxjs';

const text = new TextDecoder();
const store = await openInMemory();

const lines$ = store
  .changes({ from: 'now' })
  .pipe(
    map(
      ({ sequence, type, key, batchIndex, batchSize }) =>
        `${sequence}: ${type} ${text.decode(key)} (${batchIndex + 1} of ${batchSize})`,
    ),
  );
lines$.subscribe((line) => console.log(line));

await store.set('gauge:1', '2.40 m');
await store.write([
  { type: 'set', key: 'gauge:2', value: '3.10 m' },
  { type: 'delete', key: 'gauge:1' },
]);
await store.close();
// => 1: set gauge:1 (1 of 1)
// => 2: set gauge:2 (1 of 2)
// => 3: delete gauge:1 (2 of 2)
