// Scans are Observables and AsyncIterables at once: push with pipe, or pull with for await.
import { openInMemory } from 'alluvium';
import { lastValueFrom, map, toArray } from 'rxjs';

const text = new TextDecoder();
const store = await openInMemory();
await store.write(
  ['amber', 'basalt', 'chalk', 'dolomite'].map((key, index) => ({ type: 'set', key, value: `${index}` })),
);

// Pull: the next page is read when the loop asks for it, so a slow loop slows the reading.
for await (const { key, value } of store.scan({ gte: 'b', limit: 2 })) {
  console.log(text.decode(key), text.decode(value));
}
// => basalt 1
// => chalk 2

// Push: any operator of RxJS.
const names$ = store.scan({ reverse: true }).pipe(
  map(({ key }) => text.decode(key)),
  toArray(),
);
console.log((await lastValueFrom(names$)).join()); // => dolomite,chalk,basalt,amber

// A snapshot stays as it was, whatever is written beside it.
const snapshot = store.snapshot();
await store.delete('amber');
console.log(await snapshot.has('amber'), await store.has('amber')); // => true false
snapshot.close();

await store.close();
