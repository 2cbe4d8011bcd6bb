// Many durable writes at once: they share syncs, so 1,000 in flight cost little more than one.
// A write may be forgotten only by not subscribing to it: operations are cold, and nothing happens before.
import { open } from 'alluvium';
import { forkJoin } from 'rxjs';

const store = await open('./many-writes', { durability: 'synced' });
const writes = Array.from({ length: 1000 }, (_, number) => store.set(`drop:${String(number).padStart(4, '0')}`, 'x'));
console.log(store.stats().sequence); // => 0

await new Promise((resolve, reject) =>
  forkJoin(writes).subscribe({ complete: () => resolve(undefined), error: reject }),
);
console.log(store.stats().sequence); // => 1000

await store.close();
