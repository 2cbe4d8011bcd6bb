// A cache in front of the store, kept right by its changes. Whoever writes need not know that there is a cache.
import assert from 'node:assert/strict';
import { openInMemory } from 'alluvium';
import { BehaviorSubject, defer, filter, firstValueFrom, retry } from 'rxjs';

/** Pages made of what is stored, which is dear; so each is made once, and again when its source has changed. */
class PageCache {
  /**
   * Promises, not pages: so a page whose source changes while it is being made is out before it is in.
   * @type {Map<string, Promise<string>>}
   */
  #pages = new Map();
  /** Everything up to this sequence number has been heard of. */
  #heard = new BehaviorSubject(0);
  #store;
  #subscription;
  made = 0;

  /** @param {import('alluvium').Store} store */
  constructor(store) {
    this.#store = store;
    const changes$ = defer(() => {
      this.#pages.clear(); // also if the stream had to begin anew: who knows what was missed
      return store.changes({ gte: 'page:', lt: 'page;', from: 'now' });
    });
    this.#subscription = changes$.pipe(retry({ delay: 1000 })).subscribe(({ key, sequence }) => {
      this.#pages.delete(text.decode(key));
      this.#heard.next(sequence);
    });
  }

  /** @param {string} key */
  get(key) {
    const cached = this.#pages.get(key);
    if (cached !== undefined) return cached;
    const page = this.#make(key);
    this.#pages.set(key, page);
    page.catch(() => this.#pages.get(key) === page && this.#pages.delete(key)); // the next reader tries again
    return page;
  }

  /** Resolves when everything up to `sequence` has been heard of: for those who must read what they wrote. */
  heardOf(/** @type {number} */ sequence) {
    return firstValueFrom(this.#heard.pipe(filter((heard) => heard >= sequence)));
  }

  close() {
    this.#subscription.unsubscribe();
  }

  async #make(/** @type {string} */ key) {
    this.made += 1;
    const source = await this.#store.get(key);
    return source === undefined ? '404' : `<h1>${text.decode(source)}</h1>`;
  }
}

const text = new TextDecoder();
const store = await openInMemory();
const cache = new PageCache(store);

await store.set('page:home', 'Rivers');
console.log(await cache.get('page:home'), await cache.get('page:lakes')); // => <h1>Rivers</h1> 404
for (let reader = 0; reader < 1000; reader += 1) await cache.get('page:home');
console.log(cache.made, 'made'); // => 2 made

// A batch changes both, in one commit. Absent pages are cached, too, and so become present.
const commit = await store.write([
  { type: 'set', key: 'page:home', value: 'Rivers and lakes' },
  { type: 'set', key: 'page:lakes', value: 'Lakes' },
]);
await cache.heardOf(commit.sequence);
console.log(await cache.get('page:home'), await cache.get('page:lakes')); // => <h1>Rivers and lakes</h1> <h1>Lakes</h1>
console.log(cache.made, 'made'); // => 4 made

// Readers and writers all at once; when it is quiet again, the cache says what the store says.
const keys = Array.from({ length: 20 }, (_, index) => `page:${index}`);
const work = keys.map(async (key) => {
  let last = 0;
  for (let round = 0; round < 100; round += 1) {
    const [{ sequence }] = await Promise.all([store.set(key, `round ${round}`), cache.get(key)]);
    last = sequence;
  }
  return last;
});
await cache.heardOf(Math.max(...(await Promise.all(work))));
for (const key of keys) {
  const stored = await store.get(key);
  assert.equal(await cache.get(key), `<h1>${text.decode(stored)}</h1>`);
}

// What is needed at every moment is better watched: the present value first, then each new one.
const limit$ = new BehaviorSubject(100);
const watching = store.watch('limit').subscribe(({ value }) => limit$.next(Number(text.decode(value) || 100)));
await store.set('limit', '25');
console.log('limit', await firstValueFrom(limit$.pipe(filter((limit) => limit !== 100)))); // => limit 25

watching.unsubscribe();
cache.close();
await store.close();
