// A thousand buyers, one item in stock, one sale. A check makes the batch depend on what was read: if somebody else has
// written the key since, nothing of the batch is written. Nobody holds a lock, and nobody waits for anybody.
import { ConflictError, openInMemory } from 'alluvium';

const text = new TextDecoder();
const store = await openInMemory();
await store.set('stock:canoe', '1');

let conflicts = 0;
/** @param {number} buyer */
async function buy(buyer) {
  for (;;) {
    const stock = await store.entry('stock:canoe');
    if (stock === undefined || text.decode(stock.value) === '0') return 'sold out';
    try {
      await store.write(
        [
          { type: 'check', key: 'stock:canoe', sequence: stock.sequence },
          { type: 'set', key: 'stock:canoe', value: '0' },
          { type: 'set', key: `sale:${buyer}`, value: 'canoe' },
        ],
        { idempotencyKey: `order ${buyer}` }, // sent again after a lost answer, it would still be one order
      );
      return 'bought';
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      conflicts += 1; // somebody was faster: look again
    }
  }
}

const outcomes = await Promise.all(Array.from({ length: 1000 }, (_, buyer) => buy(buyer)));
console.log(outcomes.filter((outcome) => outcome === 'bought').length, 'sale'); // => 1 sale
console.log(conflicts, 'conflicts'); // => 999 conflicts

for await (const { key, value } of store.scan({ gte: 'sale:', lt: 'sale;' })) {
  console.log(text.decode(key), text.decode(value)); // => sale:0 canoe
}
await store.close();
