// Goal: a keyspace's changes are the store's, in its types: of its keys alone, from any place, batches whole, and with a place
// to go on from behind what does not fit.
// Method: the store's own stream, decoded by hand, beside the keyspace's; examples.
import fc from 'fast-check';
import { firstValueFrom, take, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Bytes,
  type Change,
  codecs,
  type Keyspace,
  type KeyspaceChange,
  openInMemory,
  SchemaError,
  type Store,
  type Stream,
} from '../../src/index.ts';
import { runsOf } from '../support/runs.ts';

let store: Store;
let numbers: Keyspace<number, string>;
beforeEach(async () => {
  store = await openInMemory({ durability: 'buffered' });
  numbers = store.keyspace('n', { key: codecs.number, value: codecs.utf8 });
});
afterEach(async () => {
  await store.close();
});

/** The next values of a stream; in pages. */
async function first<T>(stream: Stream<T>, count: number): Promise<T[]> {
  const values: T[] = [];
  if (count > 0) {
    for await (const value of stream) if (values.push(value) === count) break;
  }
  return values;
}

async function untilFailure<T>(stream: AsyncIterable<T>): Promise<{ readonly values: T[]; readonly error: unknown }> {
  const values: T[] = [];
  try {
    for await (const value of stream) values.push(value);
  } catch (error) {
    return { values, error };
  }
  return { values, error: undefined };
}

const brief = (change: KeyspaceChange<number, string>): unknown[] =>
  change.type === 'set' ? [change.key, change.value] : [change.key];

describe('changes of a keyspace', () => {
  it('are those of the store under its prefix, whatever the bounds and wherever they begin', async () => {
    // Keys of the keyspace, and of its neighbours.
    const key = fc.constantFrom<number | string>(-2, -1, 0, 1, 2, '!n', '!n"', '!m!', '!nn!1', 'n');
    const bound = fc.option(fc.constantFrom(-2, -1, 0, 1, 2), { nil: undefined });
    const line = fc.record({ key, isDelete: fc.boolean(), value: fc.constantFrom('', 'a', 'b') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(line, { minLength: 1, maxLength: 4 }), { maxLength: 12 }),
        fc.record({ gt: bound, gte: bound, lt: bound, lte: bound }),
        fc.nat(),
        async (batches, range, place) => {
          const own = await openInMemory({ durability: 'buffered' });
          const space = own.keyspace('n', { key: codecs.number, value: codecs.utf8 });
          for (const batch of batches) {
            await own.write(
              batch.map(({ key: each, isDelete, value }) => {
                const stored: Bytes = typeof each === 'number' ? space.deleteLine(each).key : each;
                return isDelete ? { type: 'delete', key: stored } : { type: 'set', key: stored, value };
              }),
            );
          }
          const total = batches.flat().length;
          const raw = await first(own.changes({ from: 'start' }), total);
          const { gt, gte, lt, lte } = range;
          const isIn = (number: number): boolean =>
            (gte !== undefined ? number >= gte : gt === undefined || number > gt) &&
            (lte !== undefined ? number <= lte : lt === undefined || number < lt);
          const keys = batches.flat().map((each) => each.key);
          const from = place % (total + 1);
          const wanted = raw
            .map((change, index) => ({ change, number: keys[index] }))
            .slice(from)
            .flatMap(({ change, number }) =>
              typeof number === 'number' && isIn(number) ? [space.decodeChange(change)] : [],
            );
          expect(wanted.every((change) => typeof change.key === 'number')).toBe(true);

          const cursor = raw[from - 1]?.cursor ?? 'start';
          expect(await first(space.changes({ ...range, from: cursor }), wanted.length)).toEqual(wanted);
          await own.close();
        },
      ),
      runsOf(60),
    );
  });

  it('have keys and values of its types, and the places of the store', async () => {
    const live = firstValueFrom(numbers.changes().pipe(take(3), toArray()));
    await store.write([{ type: 'set', key: 'other', value: 'x' }, numbers.setLine(1, 'one'), numbers.deleteLine(-1)]);
    const { sequence } = await numbers.set(2, 'two');

    const changes = await live;
    expect(changes.map(brief)).toEqual([[1, 'one'], [-1], [2, 'two']]);
    expect(changes.map(({ batchIndex, batchSize }) => [batchIndex, batchSize])).toEqual([
      [1, 3],
      [2, 3],
      [0, 1],
    ]);
    expect(changes[2]?.sequence).toBe(sequence);
    const raw = await first(store.changes({ from: 'start' }), 4);
    expect(changes.map(({ cursor, timeMs }) => [cursor, timeMs])).toEqual(
      raw.slice(1).map(({ cursor, timeMs }) => [cursor, timeMs]),
    );
  });

  it('begin with the present state, if asked to', async () => {
    await numbers.write([
      { type: 'set', key: 2, value: 'two' },
      { type: 'set', key: -1, value: 'minus one' },
    ]);
    await store.set('other', 'x');
    const events = firstValueFrom(numbers.changes({ from: 'snapshot', lt: 5 }).pipe(take(4), toArray()));
    await numbers.set(5, 'five'); // out of the range
    await numbers.set(4, 'four');
    expect(await events).toMatchObject([
      { type: 'entry', key: -1, value: 'minus one', sequence: 2 },
      { type: 'entry', key: 2, value: 'two', sequence: 1 },
      { type: 'snapshotEnd', sequence: 3 },
      { type: 'set', key: 4, value: 'four', sequence: 5 },
    ]);
  });

  it('tell of those that were dropped', async () => {
    const iterator = numbers.changes({ overflow: 'dropOldest', bufferChangesMax: 1 })[Symbol.asyncIterator]();
    for (const key of [1, 2, 3]) await numbers.set(key, 'x');
    expect((await iterator.next()).value).toMatchObject({ type: 'skipped', count: 2 });
    expect((await iterator.next()).value).toMatchObject({ type: 'set', key: 3 });
    await iterator.return?.();
  });

  it('are refused for bounds that are no keys, and for what the store refuses', () => {
    expect(() => numbers.changes({ gte: NaN })).toThrow(SchemaError);
    // @ts-expect-error The compiler knows; plain JavaScript does not.
    expect(() => numbers.changes({ overflow: 'wait' })).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    // @ts-expect-error The compiler knows this, too.
    expect(() => numbers.changes('now')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('end with the error of one that does not fit, behind whole batches, and go on behind it', async () => {
    const bad = Uint8Array.of(0xff);
    await numbers.set(1, 'one');
    await store.write([numbers.setLine(2, 'two'), { type: 'set', key: numbers.deleteLine(3).key, value: bad }]);
    await numbers.set(4, 'four');

    const { values, error } = await untilFailure(numbers.changes({ from: 'start' }));
    expect(values.map(brief)).toEqual([[1, 'one']]); // nothing of the batch with the bad one
    expect(error).toBeInstanceOf(SchemaError);
    expect(error).toMatchObject({ keyspace: 'n', key: Uint8Array.from(numbers.deleteLine(3).key as Uint8Array) });

    // In bytes from the last good place; each is decoded by hand until the bad one has been passed.
    const cursor = values[0]?.cursor ?? 'start';
    const [two, three] = await first(store.changes({ ...numbers.range, from: cursor }), 2);
    expect(brief(numbers.decodeChange(two as Change))).toEqual([2, 'two']);
    expect(() => numbers.decodeChange(three as Change)).toThrow(SchemaError);
    const rest = await first(numbers.changes({ from: (three as Change).cursor }), 1);
    expect(rest.map(brief)).toEqual([[4, 'four']]);
  });

  it('decodes no change of another keyspace', async () => {
    await store.set('!m!12345678', 'x');
    const [change] = await first(store.changes({ from: 'start' }), 1);
    expect(() => numbers.decodeChange(change as Change)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('end with AbortedError by their signal', async () => {
    const aborting = new AbortController();
    const ended = untilFailure(numbers.changes({ signal: aborting.signal }));
    aborting.abort();
    expect((await ended).error).toMatchObject({ code: 'ABORTED' });
  });
});

describe('watching', () => {
  it("gives a key's present value, then each new one", async () => {
    const { sequence } = await numbers.set(1, 'one');
    const iterator = numbers.watch(1)[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toEqual({ key: 1, value: 'one', sequence, skipped: 0 });
    await numbers.set(2, 'not this one');
    await numbers.delete(1);
    expect((await iterator.next()).value).toEqual({ key: 1, value: undefined, sequence: sequence + 2, skipped: 0 });
    await iterator.return?.();
  });

  it('gives the values of a range, and nothing beside it', async () => {
    await numbers.write([1, 2, 3].map((key) => ({ type: 'set', key, value: `value ${key}` })));
    await store.set('!n"', 'a neighbour');
    const iterator = numbers.watchRange({ gte: 2 })[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toMatchObject({ key: 2, value: 'value 2' });
    expect((await iterator.next()).value).toMatchObject({ key: 3, value: 'value 3' });
    const next = iterator.next();
    await store.set('!n"', 'a neighbour');
    await numbers.set(1, 'below');
    await numbers.set(9, 'nine');
    expect((await next).value).toMatchObject({ key: 9, value: 'nine' });
    await iterator.return?.();
  });

  it('ends with the error of a value that does not fit', async () => {
    await store.set(numbers.deleteLine(1).key, Uint8Array.of(0xff));
    for (const stream of [numbers.watch(1), numbers.watchRange()]) {
      expect((await untilFailure(stream)).error).toBeInstanceOf(SchemaError);
    }
    expect(() => numbers.watch(NaN)).toThrow(SchemaError);
  });

  it('ends with AbortedError by its signal', async () => {
    const aborting = new AbortController();
    const { signal } = aborting;
    const ended = [untilFailure(numbers.watch(1, { signal })), untilFailure(numbers.watchRange({ signal }))];
    aborting.abort();
    for (const { error } of await Promise.all(ended)) expect(error).toMatchObject({ code: 'ABORTED' });
  });
});
