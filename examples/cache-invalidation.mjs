// A cache in front of the store, kept right by its changes. Whoever writes need not know that there is a cache.
import assert from 'node:assert/strict';
import { openInMemory } from 'alluvium';
import { BehaviorSubject, filter, firstValueFrom } from 'rxjs';

const PAGES = { gte: 'page:', lt: 'page;' };

/** Pages made of what is stored, which is dear; so each is made once, and again when its source has changed. */
class PageCache {
  /** Promises, not pages: a page whose source changes while it is being made is out before it is in. */
  /** @type {Map<string, Promise<string>>} */
  #pages = new Map();
  /** Everything up to this sequence number has been heard of. */
  #heard = new BehaviorSubject(0);
  #store;
  #subscription;
  made = 0;
  forgotten = 0;

  /** @param {import('alluvium').Store} store @param {number} waitingMax */
  constructor(store, waitingMax = 10_000) {
    this.#store = store;
    // A cache has no use for every change: if too many wait for it, they may go, and all pages with them.
    const changes = store.changes({ ...PAGES, from: 'now', overflow: 'dropOldest', bufferChangesMax: waitingMax });
    this.#subscription = changes.subscribe((change) => {
      if (change.type === 'skipped') this.#forgetAll();
      else if (change.type !== 'entry' && change.type !== 'snapshotEnd') this.#pages.delete(text.decode(change.key));
      this.#heard.next(change.sequence);
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

  #forgetAll() {
    this.forgotten += 1;
    this.#pages.clear();
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
const commits = await Promise.all(
  Array.from({ length: 2000 }, async (_, round) => {
    const key = keys[round % keys.length] ?? '';
    const written = store.set(key, `round ${round}`);
    await cache.get(key);
    return written;
  }),
);
await cache.heardOf(Math.max(...commits.map(({ sequence }) => sequence)));
for (const key of keys) {
  const stored = await store.get(key);
  assert.equal(await cache.get(key), `<h1>${text.decode(stored)}</h1>`);
}

// A small buffer, and a writer in a hurry: what was skipped is told, and the cache begins anew.
const small = new PageCache(store, 10);
const old = await small.get('page:home');
const edits = Array.from({ length: 500 }, (_, edit) => store.set(edit === 0 ? 'page:home' : `page:${edit}`, 'new'));
const last = (await Promise.all(edits)).at(-1)?.sequence ?? 0;
await small.heardOf(last);
assert.ok(small.forgotten > 0);
console.log(old, 'is now', await small.get('page:home')); // => <h1>Rivers and lakes</h1> is now <h1>new</h1>

// What is needed at every moment is better watched: the present value first, then each new one.
const limit$ = new BehaviorSubject(100);
const watching = store.watch('limit').subscribe(({ value }) => limit$.next(Number(text.decode(value) || 100)));
await store.set('limit', '25');
console.log('limit', await firstValueFrom(limit$.pipe(filter((limit) => limit !== 100)))); // => limit 25

watching.unsubscribe();
cache.close();
small.close();
await store.close();
