/**
 * The events: sets and deletes of a few keys, each worth an amount, in batches that are made from their number alone.
 *
 *     batch := (set or delete of event!<key>)*, set mark!<number> = [ "type amount", ... ]
 *
 * The mark is never written again, so the store itself says at the end which batches are in it, with which content; and
 * where: the sequence numbers of the lines are those before the mark's.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { randomOf, tell, tellFailure } from './tell.mjs';

/** The keys that consumers look at. */
export const EVENTS = { gte: 'event!', lt: 'event"' };
const KEYS = 40;
/** What a delete is worth: it has no value to say so. */
const DELETE_AMOUNT = 7;
const PARTITIONS = 5;

export const amountOf = (change) =>
  change.type === 'delete' ? DELETE_AMOUNT : Number.parseInt(textOf(change.value), 10);
export const partitionOf = (change) => Number.parseInt(textOf(change.key).slice(EVENTS.gte.length), 10) % PARTITIONS;
export const textOf = (bytes) => Buffer.from(bytes).toString();

/** The batch of this number; the same every time. */
function batchOf(number) {
  const random = randomOf(number);
  const lines = [];
  const marks = [];
  const count = 1 + Math.floor(random() * (random() < 0.1 ? 40 : 4));
  for (let line = 0; line < count; line += 1) {
    const key = `event!${Math.floor(random() * KEYS)}`;
    if (random() < 0.15) {
      lines.push({ type: 'delete', key });
      marks.push(`delete ${DELETE_AMOUNT}`);
    } else {
      const amount = 1 + Math.floor(random() * 1_000);
      lines.push({ type: 'set', key, value: `${amount} ${'x'.repeat(Math.floor(random() * 200))}` });
      marks.push(`set ${amount}`);
    }
  }
  return [...lines, { type: 'set', key: `mark!${number}`, value: JSON.stringify(marks) }];
}

const changesOf = (batch) => batch.length - 1;

/** Some batches can be repeated when their answer was lost: their key makes them one. */
const idempotencyKeyOf = (number) => (number % 3 === 0 ? `batch ${number}` : undefined);

/**
 * Writes batches until it is stopped: those of `retry` again, then from `next` on; a few at once, at an uneven pace.
 *
 * @param isAhead - whether those who read are so far behind that more would only be a longer wait at the end
 */
export async function produce(store, { retry, next, random, isAhead, isStopped }) {
  const inFlightMax = 1 + Math.floor(random() * 8);
  const inFlight = new Set();
  const again = [...retry];
  for (let number = next; !isStopped();) {
    if (isAhead()) {
      await wait(1);
      continue;
    }
    const at = again.length > 0 ? again.shift() : number++;
    const batch = batchOf(at);
    const options = { durability: random() < 0.3 ? 'synced' : 'buffered', idempotencyKey: idempotencyKeyOf(at) };
    tell('begun', at, options.idempotencyKey === undefined ? 'once' : 'again');
    const written = store.write(batch, options).then(
      ({ sequence }) => tell('acknowledged', at, sequence),
      (error) => {
        if (!isStopped()) tellFailure(`batch ${at}`, error);
      },
    );
    isAhead.added(changesOf(batch));
    inFlight.add(written);
    void written.then(() => inFlight.delete(written));
    if (inFlight.size >= inFlightMax) await Promise.race(inFlight);
    const pace = random();
    if (pace < 0.02) await wait(Math.floor(random() * 10));
    if (pace > 0.99) store.flush().subscribe({ error: () => undefined });
    if (pace > 0.997) store.compact().subscribe({ error: () => undefined });
  }
  await Promise.all(inFlight);
}
