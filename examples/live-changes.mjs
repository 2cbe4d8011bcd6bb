// Every committed batch is an event: batches stay whole, and their sequence numbers follow one another.
import { openInMemory } from 'alluvium';
import { map } from 'rxjs';

const text = new TextDecoder();
const store = await openInMemory();

const changes$ = store
  .committed()
  .pipe(
    map(
      ({ sequence, operations }) =>
        `${sequence}: ${operations.map(({ type, key }) => `${type} ${text.decode(key)}`).join(', ')}`,
    ),
  );
changes$.subscribe((line) => console.log(line));

await store.set('gauge:1', '2.40 m');
await store.write([
  { type: 'set', key: 'gauge:2', value: '3.10 m' },
  { type: 'delete', key: 'gauge:1' },
]);
await store.close();
// => 1: set gauge:1
// => 3: set gauge:2, delete gauge:1
