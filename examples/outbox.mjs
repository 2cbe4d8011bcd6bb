// The outbox: an order and the message that tells of it are one commit, so there is never one without the other. A durable
// consumer takes the messages to a mail service that is down now and then: failed ones are tried again, what cannot be
// delivered is parked with its error, and after a crash the consumer goes on where its last commit was.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codecs, ConflictError, open } from 'alluvium';
import { concatMap, filter, firstValueFrom, toArray } from 'rxjs';

/** @typedef {{ product: string, to: string }} Order */
/** @typedef {{ orderId: string, to: string, text: string }} Message */

/** @param {Order} order */
const textFor = (order) => `Your ${order.product} is on its way.`;

/** The world outside: now and then it is down. It takes a message of one id only once, however often that comes. */
class MailService {
  /** @type {Map<string, Message>} */
  sent = new Map();
  takenAgain = 0;
  known = new Set(['ada@example.org', 'joan@example.org']);
  /** What happens between its taking a message and its answer. */
  answer = async () => {};
  /** @type {Set<string>} */
  #tried = new Set();

  /** @param {string} id @param {Message} message */
  async send(id, message) {
    const isFirstTry = !this.#tried.has(id);
    this.#tried.add(id);
    if (isFirstTry && this.#tried.size % 3 === 0) throw new Error('503 service unavailable');
    if (!this.known.has(message.to)) throw new Error(`550 no such address: ${message.to}`);
    if (this.sent.has(id)) this.takenAgain += 1;
    this.sent.set(id, message);
    await this.answer();
  }
}

/** @param {string} directory @param {MailService} mail */
async function openShop(directory, mail) {
  const store = await open(directory);
  /** @type {import('alluvium').ValueCodec<Order>} */
  const orderCodec = codecs.json();
  /** @type {import('alluvium').ValueCodec<Message>} */
  const messageCodec = codecs.json();
  const orders = store.keyspace('orders', { key: codecs.utf8, value: orderCodec });
  const outbox = store.keyspace('outbox', { key: codecs.utf8, value: messageCodec });

  const mailer = outbox.consumer('mailer', {
    attemptsMax: 3,
    backOff: { firstMs: 1, longestMs: 10 }, // a real service deserves more patience
    async handle(change, tx) {
      if (change.type === 'delete') return; // our own: a message that was sent
      await mail.send(change.key, change.value);
      outbox.in(tx).delete(change.key); // in one commit with the consumer's position
    },
  });

  /** An order is placed once, whole, or not at all. @param {string} id @param {Order} order */
  const place = (id, order) =>
    store.write([
      orders.checkLine(id, 'absent'),
      orders.setLine(id, order),
      outbox.setLine(`mail-${id}`, { orderId: id, to: order.to, text: textFor(order) }),
    ]);

  return { store, orders, outbox, mailer, place };
}

const directory = await mkdtemp(join(tmpdir(), 'alluvium-outbox-'));
const mail = new MailService();
// A pause before the next attempt does not keep a process alive. A service has its server for that; this has a timer.
const keepAlive = setInterval(() => {}, 60_000);

// The first life: it ends at the worst moment, when the mail service has taken a message and nobody here knows it yet.
{
  const shop = await openShop(directory, mail);
  for (let number = 1; number <= 12; number += 1) {
    const to = number === 5 ? 'ad@example.org' : number % 2 === 0 ? 'joan@example.org' : 'ada@example.org';
    await shop.place(`order-${number}`, { product: 'canoe', to });
  }
  const again = shop.place('order-1', { product: 'kayak', to: 'joan@example.org' });
  await assert.rejects(async () => void (await again), ConflictError); // and so there is no second message, either

  const crash = new Promise((reached) => {
    mail.answer = async () => {
      if (mail.sent.size < 5) return;
      reached(undefined);
      await new Promise(() => {}); // the answer never comes
    };
  });
  shop.mailer.run().subscribe();
  await crash;
  await shop.store.close(); // what is at work is not committed
  assert.ok(mail.sent.size < 12);
}

// The second life: what was not committed is delivered again, and only that.
{
  mail.answer = async () => {};
  const { store, orders, outbox, mailer, place } = await openShop(directory, mail);
  /** Runs the mailer, and looks after each of its events. @param {() => Promise<boolean>} isDone */
  const runUntil = (isDone) => firstValueFrom(mailer.run().pipe(concatMap(isDone), filter(Boolean)));

  const last = await place('order-13', { product: 'paddle', to: 'ada@example.org' });
  await runUntil(async () => ((await mailer.position())?.sequence ?? 0) >= last.sequence); // settled: sent, or parked
  console.log(mail.sent.size, 'of 13 sent'); // => 12 of 13 sent
  assert.ok(mail.takenAgain > 0, 'delivery to the outside is at least once');

  // One was parked, with all that is known of it, and held up no other.
  for await (const { id, error, attempts, change } of mailer.deadLetters()) {
    console.log(`${outbox.decodeChange(change).key}: ${error.message} (${attempts} attempts)`);
    // => mail-order-5: 550 no such address: ad@example.org (3 attempts)
    mail.known.add('ad@example.org'); // somebody looks into it ...
    await mailer.replay(id); // ... and has it delivered after all
  }
  await runUntil(async () => !(await outbox.has('mail-order-5')));

  // Every order has its message, every message its order, and nothing is left to do.
  for await (const { key, value } of orders.scan()) {
    assert.deepEqual(mail.sent.get(`mail-${key}`), { orderId: key, to: value.to, text: textFor(value) });
  }
  for (const { orderId } of mail.sent.values()) assert.ok(await orders.has(orderId));
  assert.deepEqual(await firstValueFrom(outbox.scan().pipe(toArray())), []);
  assert.deepEqual(await firstValueFrom(mailer.deadLetters().pipe(toArray())), []);
  console.log('every order has its message, every message its order');
  // => every order has its message, every message its order
  await store.close();
}
clearInterval(keepAlive);
await rm(directory, { recursive: true });
