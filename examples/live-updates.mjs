// Live updates for a browser, over server-sent events. The id of each event is the change's cursor; a browser that comes
// back sends the last one it saw (Last-Event-ID, by itself), and goes on behind it: no gap, no repeat, however long it was
// away. The server keeps nothing about anybody.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { HistoryGoneError, InvalidCursorError, isCursor, openInMemory } from 'alluvium';

const text = new TextDecoder();
const store = await openInMemory();

/** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
async function live(request, response) {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const { signal } = gone;
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });

  /** A client that reads slowly slows this loop and nothing else: what it has not read stays in the history. */
  const send = async (/** @type {string} */ lines) => {
    if (!response.write(`${lines}\n\n`)) await once(response, 'drain', { signal });
  };
  /** @param {'snapshot' | import('alluvium').Cursor} from */
  const follow = async (from) => {
    for await (const event of store.changes({ gte: 'price:', lt: 'price;', from, signal })) {
      if (event.type === 'entry') await send(`event: price\ndata: ${dataOf(event.key, event.value)}`);
      else if (event.type === 'set')
        await send(`event: price\nid: ${event.cursor}\ndata: ${dataOf(event.key, event.value)}`);
      else if (event.type === 'delete') await send(`event: price\nid: ${event.cursor}\ndata: ${dataOf(event.key)}`);
      else if (event.type === 'snapshotEnd') await send(`event: ready\nid: ${event.cursor}\ndata:`);
    }
    response.end(); // the store was closed
  };

  const lastId = request.headers['last-event-id'];
  try {
    await follow(isCursor(lastId) ? lastId : 'snapshot').catch(async (error) => {
      // A place that is no more, or never was: all of it again. The page forgets what it shows.
      if (!(error instanceof HistoryGoneError || error instanceof InvalidCursorError)) throw error;
      await send('event: reset\ndata:');
      await follow('snapshot');
    });
  } catch (error) {
    if (!signal.aborted) response.destroy();
  }
}

/** @param {Uint8Array} key @param {Uint8Array} [value] */
const dataOf = (key, value) =>
  JSON.stringify({ name: text.decode(key).slice('price:'.length), cents: value && Number(text.decode(value)) });

const server = createServer((request, response) => void live(request, response)).listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
assert.ok(address !== null && typeof address === 'object');
const url = `http://127.0.0.1:${address.port}/prices`;

/** What an EventSource of a browser does, in a few lines. */
class Client {
  lastId = '';
  /** @type {string[]} */
  seen = [];
  /** @type {Map<string, number>} */
  prices = new Map();

  /** Connects, takes so many events, and loses the connection. @param {number} count */
  async take(count) {
    const connection = new AbortController();
    const headers = this.lastId === '' ? {} : { 'last-event-id': this.lastId };
    const { body } = await fetch(url, { headers, signal: connection.signal });
    assert.ok(body !== null);
    let rest = '';
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + chunk).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        this.#take(event);
        count -= 1;
        if (count === 0) break;
      }
      if (count === 0) break;
    }
    connection.abort();
  }

  /** @param {string} event */
  #take(event) {
    const { event: type, id, data } = Object.fromEntries(event.split('\n').map((line) => line.split(/: ?(.*)/s)));
    if (id !== undefined) this.lastId = id;
    if (type === 'ready' || type === 'reset') this.seen.push(type);
    if (type === 'reset') this.prices.clear();
    if (type !== 'price') return;
    const { name, cents } = JSON.parse(data);
    this.seen.push(`${name} ${cents ?? 'gone'}`);
    if (cents === undefined) this.prices.delete(name);
    else this.prices.set(name, cents);
  }
}

await store.write([
  { type: 'set', key: 'price:canoe', value: '90000' },
  { type: 'set', key: 'price:paddle', value: '4000' },
]);
const client = new Client();
await client.take(3);
console.log(client.seen.join(', ')); // => canoe 90000, paddle 4000, ready

// While it is away, prices change: one by one, and three in one batch.
await store.set('price:kayak', '75000');
await store.write([
  { type: 'set', key: 'price:canoe', value: '85000' },
  { type: 'set', key: 'price:paddle', value: '3500' },
  { type: 'delete', key: 'price:kayak' },
]);

// It comes back, loses the connection in the middle of the batch, and comes back again.
client.seen = [];
await client.take(2);
await client.take(2);
console.log(client.seen.join(', ')); // => kayak 75000, canoe 85000, paddle 3500, kayak gone

// Any number of connections, each lost after a few events, while prices change: none is missed, and none comes twice.
client.seen = [];
const changing = (async () => {
  for (let cents = 1; cents <= 500; cents += 1) await store.set('price:tent', String(cents));
})();
while (client.seen.length < 500) await client.take(Math.min(1 + (client.seen.length % 70), 500 - client.seen.length));
await changing;
assert.deepEqual(
  client.seen,
  Array.from({ length: 500 }, (_, index) => `tent ${index + 1}`),
);
console.log(client.seen.length, 'updates, no gap, no repeat'); // => 500 updates, no gap, no repeat

// A place of another database leads nowhere, and the page begins anew.
client.lastId = `al1.${'0'.repeat(31)}1.1.7`;
client.seen = [];
await client.take(5);
console.log(client.seen.join(', ')); // => reset, canoe 85000, paddle 3500, tent 500, ready
for (const [name, cents] of client.prices) {
  assert.equal(text.decode(await store.get(`price:${name}`)), String(cents));
}

server.close();
server.closeAllConnections();
await store.close();
