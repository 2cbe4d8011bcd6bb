/**
 * Alluvium, Redis Streams and NATS JetStream behind one face: append events, consume them with acknowledgements, replay them.
 * Each is used the fastest way that we found: Redis over ioredis, which is quicker than node-redis with single commands, and
 * over node-redis where whole pages come back, which that is quicker with.
 */
import { loadClient } from './peer-clients.mjs';

/** @typedef {import('./peer-servers.mjs').Durability} Durability */
/** @typedef {'alluvium' | 'redis' | 'nats'} EngineName */

/**
 * @typedef {object} EventDriver
 * @property {(index: number, event: Buffer) => PromiseLike<unknown>} append - settled when the event is acknowledged
 * @property {(count: number, take: (events: readonly Uint8Array[]) => void) => Promise<void>} consumeBatches - until each is acked
 * @property {(count: number, take: (event: Uint8Array) => Promise<void>) => Promise<void>} consumeOneByOne - until each is acked
 * @property {(count: number, take: (event: Uint8Array) => void) => Promise<void>} replay
 * @property {() => Promise<void>} close
 */

export const BATCH_EVENTS = 100;
export const IN_FLIGHT = 64;
/** Events that are asked for ahead, where an engine is to be asked. */
const AHEAD_EVENTS = 1000;
/** Redis reads a page of this many ahead of the 64 at work. */
const PAGE_EVENTS = 256;

/**
 * @param {EngineName} name
 * @param {{ directory: string, port: number, durability: Durability }} place
 * @returns {Promise<EventDriver>}
 */
export function openEventEngine(name, { directory, port, durability }) {
  if (name === 'redis') return openRedis(port);
  return name === 'nats' ? openNats(port) : openAlluvium(directory, durability);
}

/** @param {string} directory @param {Durability} durability @returns {Promise<EventDriver>} */
async function openAlluvium(directory, durability) {
  const { open } = await import('alluvium');
  const store = await open(directory, { durability });
  /** @param {string} name @param {number} count @param {any} options */
  const consume = (name, count, options) =>
    new Promise((resolve, reject) => {
      let left = count;
      const running = store
        .consumer(name, options)
        .run()
        .subscribe({
          next: (event) => {
            if (event.type === 'parked') reject(event.error);
            if (event.type !== 'acked' || (left -= event.changes) > 0) return;
            running.unsubscribe();
            resolve(undefined);
          },
          error: reject,
          complete: () => reject(new Error('The consumer ended before its work')),
        });
    });
  return {
    append: (index, event) => store.set(String(index).padStart(16, '0'), event),
    consumeBatches: async (count, take) => {
      await consume('batches', count, {
        batch: { changesMax: BATCH_EVENTS },
        handle: (/** @type {{ value: Uint8Array }[]} */ changes) => take(changes.map(({ value }) => value)),
      });
    },
    consumeOneByOne: async (count, take) => {
      await consume('one-by-one', count, {
        inFlightMax: IN_FLIGHT,
        handle: (/** @type {{ value: Uint8Array }} */ { value }) => take(value),
      });
    },
    replay: async (count, take) => {
      let left = count;
      for await (const page of store.changes({ from: 'start' }).pages()) {
        for (const change of page) if (change.type === 'set') take(change.value);
        left -= page.length;
        if (left <= 0) return;
      }
    },
    close: async () => {
      await store.close();
    },
  };
}

/** @param {number} port @returns {Promise<EventDriver>} */
async function openRedis(port) {
  const { Redis } = await loadClient('ioredis');
  const { createClient, RESP_TYPES } = await loadClient('redis');
  const single = new Redis(port, '127.0.0.1');
  const connection = createClient({ url: `redis://127.0.0.1:${port}` });
  await connection.connect();
  const paged = connection.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  const stream = 'events';

  return {
    append: (_index, event) => single.xadd(stream, '*', 'd', event),
    consumeBatches: async (count, take) => {
      await paged.xGroupCreate(stream, 'batches', '0');
      let left = count;
      let acked = 0;
      /** @type {Promise<unknown>} */
      let acks = Promise.resolve();
      while (left > 0) {
        // The acknowledgement of one batch and the request for the next travel together.
        const answer = await paged.xReadGroup('batches', 'one', [{ key: stream, id: '>' }], { COUNT: BATCH_EVENTS });
        /** @type {{ id: Buffer, message: { d: Buffer } }[]} */
        const messages = answer[0].messages;
        take(messages.map(({ message }) => message.d));
        left -= messages.length;
        const ids = messages.map(({ id }) => id);
        acks = Promise.all([acks, paged.xAck(stream, 'batches', ids).then((/** @type {number} */ n) => (acked += n))]);
      }
      await acks;
      if (acked !== count) throw new Error(`Redis acknowledged ${acked} of ${count}`);
    },
    consumeOneByOne: async (count, take) => {
      await paged.xGroupCreate(stream, 'one-by-one', '0');
      /** @type {[Buffer, Buffer[]][]} */
      let waiting = [];
      let at = 0;
      let begun = 0;
      let acked = 0;
      /** @type {Promise<void> | undefined} */
      let reading;
      const read = async () => {
        const answer = await single.xreadgroupBuffer(
          ...['GROUP', 'one-by-one', 'one', 'COUNT', PAGE_EVENTS, 'STREAMS', stream, '>'],
        );
        waiting = [...waiting.slice(at), ...(answer?.[0][1] ?? [])];
        at = 0;
        reading = undefined;
      };
      const worker = async () => {
        while (begun < count) {
          if (waiting.length - at < PAGE_EVENTS / 2) reading ??= read();
          const next = waiting[at];
          if (next === undefined) {
            await reading;
            continue;
          }
          at += 1;
          begun += 1;
          const [id, [, event]] = next;
          if (event !== undefined) await take(event);
          const one = await single.xack(stream, 'one-by-one', id);
          acked += one; // after the wait: others count meanwhile
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
      if (acked !== count) throw new Error(`Redis acknowledged ${acked} of ${count}`);
    },
    replay: async (count, take) => {
      let left = count;
      let from = '-';
      while (left > 0) {
        const page = await paged.xRange(stream, from, '+', { COUNT: AHEAD_EVENTS });
        for (const { message } of page) take(message.d);
        left -= page.length;
        from = `(${page.at(-1).id.toString('latin1')}`;
      }
    },
    close: async () => {
      await single.quit();
      await connection.close();
    },
  };
}

/** @param {number} port @returns {Promise<EventDriver>} */
async function openNats(port) {
  const { connect } = await loadClient('@nats-io/transport-node');
  const { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, StorageType } = await loadClient('@nats-io/jetstream');
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  const manager = await jetstreamManager(connection);
  const streams = jetstream(connection);
  const stream = 'events';
  await manager.streams.add({ name: stream, subjects: [`${stream}.>`], storage: StorageType.File });

  /** @param {string} name */
  const durableConsumer = async (name) => {
    await manager.consumers.add(stream, {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      max_ack_pending: 10 * AHEAD_EVENTS,
    });
    return streams.consumers.get(stream, name);
  };
  /** @param {{ info: () => Promise<{ num_ack_pending: number, num_pending: number }> }} consumer */
  const checkAcked = async (consumer) => {
    const { num_ack_pending: pending, num_pending: unread } = await consumer.info();
    if (pending + unread > 0) throw new Error(`NATS has ${pending} unacknowledged events, and ${unread} undelivered`);
  };

  return {
    append: (_index, event) => streams.publish(`${stream}.one`, event),
    consumeBatches: async (count, take) => {
      const consumer = await durableConsumer('batches');
      const messages = await consumer.consume({ max_messages: AHEAD_EVENTS });
      /** @type {Uint8Array[]} */
      let batch = [];
      const confirmations = [];
      let left = count;
      for await (const message of messages) {
        batch.push(message.data);
        left -= 1;
        if (batch.length < BATCH_EVENTS && left > 0) {
          message.ack();
          continue;
        }
        take(batch);
        batch = [];
        confirmations.push(message.ackAck()); // the server answers to the last of each batch, and takes acks in order
        if (left === 0) break;
      }
      await Promise.all(confirmations);
      await checkAcked(consumer);
    },
    consumeOneByOne: async (count, take) => {
      const consumer = await durableConsumer('one-by-one');
      const messages = await consumer.consume({ max_messages: AHEAD_EVENTS });
      let inFlight = 0;
      let left = count;
      let wake = () => {};
      const change = () => new Promise((resolve) => (wake = () => resolve(undefined)));
      const handle = async (/** @type {{ data: Uint8Array, ackAck: () => Promise<boolean> }} */ message) => {
        await take(message.data);
        await message.ackAck();
        inFlight -= 1;
        wake();
      };
      for await (const message of messages) {
        inFlight += 1;
        left -= 1;
        void handle(message); // what it rejects with ends the process, and so the measurement
        if (left === 0) break;
        if (inFlight >= IN_FLIGHT) await change();
      }
      while (inFlight > 0) await change();
      await checkAcked(consumer);
    },
    replay: async (count, take) => {
      const consumer = await streams.consumers.get(stream); // an ordered one, without acknowledgements
      let left = count;
      /** @type {{ stop: () => void } | undefined} */
      let messages;
      await new Promise((resolve, reject) => {
        const callback = (/** @type {{ data: Uint8Array }} */ message) => {
          take(message.data);
          left -= 1;
          if (left === 0) resolve(undefined);
        };
        consumer.consume({ max_messages: 10 * AHEAD_EVENTS, callback }).then((/** @type {any} */ all) => {
          messages = all;
        }, reject);
      });
      messages?.stop();
    },
    close: async () => {
      await connection.close();
    },
  };
}
