// Goal: a keyspace's consumer is the store's over its range, whose handler gets typed changes.
// Method: what is asked of the store is looked at; and one with a real store.
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { type Change, codecs, InvalidArgumentError, openInMemory, SchemaError } from '../../src/index.ts';
import type { Consumer } from '../../src/streams/consumer.ts';
import type { BatchConsumerOptions, ConsumerOptions } from '../../src/streams/consumer-options.ts';
import { type MakeConsumer, keyspaceConsumer } from '../../src/streams/keyspace-consumer.ts';
import { KeyspaceForm } from '../../src/streams/keyspace-form.ts';

const form = new KeyspaceForm('n', { key: codecs.number, value: codecs.utf8 });

/** What the store was asked for. */
interface Asked {
  readonly name: string;
  /** As they were given: nobody calls the handler. */
  readonly options: ConsumerOptions<unknown>;
  readonly map: (change: Change) => unknown;
}

function door(): { readonly make: MakeConsumer; readonly asked: Asked[] } {
  const asked: Asked[] = [];
  const make = <C>(
    name: string,
    options: ConsumerOptions<C> | BatchConsumerOptions<C>,
    map: (change: Change) => C,
  ): Consumer<C> => {
    asked.push({ name, options: options as ConsumerOptions<unknown>, map });
    return undefined as unknown as Consumer<C>; // nobody looks at it here
  };
  return { make, asked };
}

const changeOf = (key: number, value: string | Uint8Array): Change => ({
  type: 'set',
  key: Buffer.from(form.encodeKey(key)),
  value: Buffer.from(value),
  sequence: 7,
  batchIndex: 0,
  batchSize: 1,
  timeMs: 1,
  cursor: 'al1.x',
});

describe("a keyspace's consumer", () => {
  it('has its range, the options as they are, and changes of its types', () => {
    const { make, asked } = door();
    const handle = (): void => undefined;
    keyspaceConsumer(form, make, 'sums', { handle, gte: 1, lt: 5, attemptsMax: 3, from: 'now' });
    const [{ name, options, map } = expect.unreachable()] = asked;
    expect(name).toBe('sums');
    expect(options).toEqual({ handle, gte: form.encodeKey(1), lt: form.encodeKey(5), attemptsMax: 3, from: 'now' });
    expect(map(changeOf(1, 'one'))).toEqual({ ...changeOf(1, 'one'), key: 1, value: 'one' });
    expect(() => map(changeOf(1, Uint8Array.of(0xff)))).toThrow(SchemaError); // a failed attempt
  });

  it('has the whole keyspace without bounds, and batches', () => {
    const { make, asked } = door();
    keyspaceConsumer(form, make, 'sums', { batch: { changesMax: 10 }, handle: () => undefined });
    expect(asked[0]?.options).toMatchObject({ batch: { changesMax: 10 }, gte: form.prefix.bytes, lt: form.prefix.end });
  });

  it('refuses bounds that are no keys', () => {
    const { make, asked } = door();
    expect(() => keyspaceConsumer(form, make, 'sums', { gte: NaN, handle: () => undefined })).toThrow(SchemaError);
    // @ts-expect-error The compiler knows; plain JavaScript does not.
    expect(() => keyspaceConsumer(form, make, 'sums', undefined)).toThrow(InvalidArgumentError);
    expect(asked).toEqual([]);
  });
});

describe('with a store', () => {
  it('keeps a typed read model in step, and parks what does not fit', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    const orders = store.keyspace('orders', { key: codecs.tuple(codecs.utf8, codecs.number), value: codecs.number });
    const totals = store.keyspace('totals', { key: codecs.utf8, value: codecs.number });
    await orders.write([
      { type: 'set', key: ['ada', 1], value: 5 },
      { type: 'set', key: ['bob', 1], value: 7 },
    ]);
    await store.set(orders.deleteLine(['eve', 1]).key, 'no number');
    await orders.set(['ada', 2], 10);
    await store.set('!orders"', 'a neighbour');

    const consumer = orders.consumer('totals', {
      attemptsMax: 1,
      handle: async (change, tx) => {
        if (change.type !== 'set') return;
        const [customer] = change.key;
        const total = (await totals.in(tx).get(customer)) ?? 0;
        totals.in(tx).set(customer, total + change.value);
      },
    });
    const running = consumer.run().subscribe();
    await vi.waitFor(async () => {
      expect([await totals.get('ada'), await totals.get('bob')]).toEqual([15, 7]);
      expect(await lastValueFrom(consumer.deadLetters().pipe(toArray()))).toMatchObject([
        { error: { name: 'SchemaError', code: 'SCHEMA' }, change: { type: 'set' } },
      ]);
    }, 10_000);
    running.unsubscribe();
    await store.close();
  });
});
