// First steps: open, set, get, delete, a batch that is all or nothing, close.
import { open } from 'alluvium';

const text = new TextDecoder();
const store = await open('./first-steps');

const commit = await store.set('river:po', '652 km');
console.log(commit.sequence, commit.durability); // => 1 synced

console.log(text.decode(await store.get('river:po'))); // => 652 km
console.log(await store.get('river:styx')); // => undefined

await store.write([
  { type: 'set', key: 'river:rhine', value: '1233 km' },
  { type: 'set', key: 'river:loire', value: '1006 km' },
  { type: 'delete', key: 'river:po' },
]);
console.log(await store.has('river:po')); // => false

await store.close();
