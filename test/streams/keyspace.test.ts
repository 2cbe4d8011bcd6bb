// Goal: a keyspace is its part of the store in types, and nothing of the store besides.
// Method: examples; a model that is a sorted list; neighbours on both sides of the prefix that must never be seen.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Bytes,
  codecs,
  ConflictError,
  InvalidArgumentError,
  type KeyBound,
  type Keyspace,
  type KeyspaceRange,
  openInMemory,
  SchemaError,
  type Store,
  type Stream,
} from '../../src/index.ts';
import { runsOf } from '../support/runs.ts';

interface User {
  readonly name: string;
  readonly age: number;
}

let store: Store;
beforeEach(async () => {
  store = await openInMemory({ durability: 'buffered' });
});
afterEach(async () => {
  await store.close();
});

const usersOf = (): Keyspace<string, User> => store.keyspace('users', { key: codecs.utf8, value: codecs.json<User>() });

async function all<T>(stream: Stream<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of stream) values.push(value);
  return values;
}

/** What a stream gives before it fails, and what it fails with. */
async function untilFailure<T>(stream: AsyncIterable<T>): Promise<{ readonly values: T[]; readonly error: unknown }> {
  const values: T[] = [];
  try {
    for await (const value of stream) values.push(value);
  } catch (error) {
    return { values, error };
  }
  return { values, error: undefined };
}

const textOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);

describe('a keyspace', () => {
  it('stores its entries behind its prefix, and gives them back', async () => {
    const users = usersOf();
    await users.set('ada', { name: 'Ada', age: 36 });

    expect(await users.get('ada')).toEqual({ name: 'Ada', age: 36 });
    expect(await users.get('bob')).toBeUndefined();
    expect(await users.has('ada')).toBe(true);
    expect(await users.getMany(['bob', 'ada'])).toEqual([undefined, { name: 'Ada', age: 36 }]);
    expect(textOf(await store.get('!users!ada'))).toBe('{"name":"Ada","age":36}');
    expect(users.name).toBe('users');

    await users.delete('ada');
    expect(await users.has('ada')).toBe(false);
  });

  it('answers synchronously from memory', async () => {
    const users = usersOf();
    await users.set('ada', { name: 'Ada', age: 36 });
    let found: unknown;
    users.get('ada').subscribe((user) => (found = user));
    expect(found).toEqual({ name: 'Ada', age: 36 });
  });

  it('takes the value at the call', async () => {
    const users = usersOf();
    const user = { name: 'Ada', age: 36 };
    const setting = users.set('ada', user);
    user.age = 37;
    await setting;
    expect(await users.get('ada')).toEqual({ name: 'Ada', age: 36 });
  });

  it('tells the sequence number of a value, and writes only if it still is that', async () => {
    const users = usersOf();
    const { sequence } = await users.set('ada', { name: 'Ada', age: 36 });
    await users.set('bob', { name: 'Bob', age: 7 });
    expect(await users.entry('ada')).toEqual({ value: { name: 'Ada', age: 36 }, sequence });
    expect(await users.entry('eve')).toBeUndefined();

    const older = [
      { type: 'check', key: 'ada', sequence },
      { type: 'set', key: 'ada', value: { name: 'Ada', age: 37 } },
      { type: 'delete', key: 'bob' },
    ] as const;
    await users.write(older);
    expect(await all(users.scan())).toEqual([{ key: 'ada', value: { name: 'Ada', age: 37 } }]);
    await expect(users.write(older)).rejects.toThrow(ConflictError);
    await expect(store.write([users.checkLine('ada', 'absent')])).rejects.toThrow(ConflictError);
  });

  it('gives lines for one batch of several keyspaces', async () => {
    const users = usersOf();
    const counts = store.keyspace('counts', { key: codecs.bytes, value: codecs.number });
    await users.set('bob', { name: 'Bob', age: 7 });
    const { sequence } = await store.write([
      users.checkLine('ada', 'absent'),
      users.setLine('ada', { name: 'Ada', age: 36 }),
      users.deleteLine('bob'),
      counts.setLine(Uint8Array.of(1), 42),
    ]);
    expect(sequence).toBe(4);
    expect(await all(users.scan({ values: false }))).toEqual(['ada']);
    expect(await all(counts.scan())).toEqual([{ key: Uint8Array.of(1), value: 42 }]);
  });

  it('reads what a snapshot sees', async () => {
    const users = usersOf();
    const { sequence } = await users.set('ada', { name: 'Ada', age: 36 });
    const snapshot = store.snapshot();
    await users.set('ada', { name: 'Ada', age: 37 });
    await users.set('bob', { name: 'Bob', age: 7 });

    const value = { name: 'Ada', age: 36 };
    expect(await users.get('ada', { snapshot })).toEqual(value);
    expect(await users.entry('ada', { snapshot })).toEqual({ value, sequence });
    expect(await users.has('bob', { snapshot })).toBe(false);
    expect(await users.getMany(['ada', 'bob'], { snapshot })).toEqual([value, undefined]);
    expect(await all(users.scan({ snapshot }))).toEqual([{ key: 'ada', value }]);
    expect(await all(users.scan({ snapshot, values: false, reverse: true }))).toEqual(['ada']);
    snapshot.close();
    await expect(users.get('ada', { snapshot })).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('refuses the snapshot of another store, and what is none', async () => {
    const other = await openInMemory();
    const snapshot = other.snapshot();
    expect(() => usersOf().get('ada', { snapshot })).toThrow(InvalidArgumentError);
    expect(() => usersOf().scan({ snapshot })).toThrow(InvalidArgumentError);
    // @ts-expect-error The compiler knows; plain JavaScript does not.
    expect(() => usersOf().has('ada', { snapshot: 'now' })).toThrow(InvalidArgumentError);
    snapshot.close();
    await other.close();
  });

  it('reads and writes in a transaction', async () => {
    const users = usersOf();
    const lines: unknown[] = [];
    const transaction = {
      get: (key: Bytes) => store.get(key),
      write: (given: readonly unknown[]) => lines.push(...given),
    };
    await users.set('ada', { name: 'Ada', age: 36 });

    const inTransaction = users.in(transaction);
    expect(await inTransaction.get('ada')).toEqual({ name: 'Ada', age: 36 });
    expect(await inTransaction.get('bob')).toBeUndefined();
    inTransaction.set('bob', { name: 'Bob', age: 7 });
    inTransaction.delete('ada');
    inTransaction.check('eve', 'absent');
    expect(lines).toEqual([
      users.setLine('bob', { name: 'Bob', age: 7 }),
      users.deleteLine('ada'),
      users.checkLine('eve', 'absent'),
    ]);
  });
});

describe('names', () => {
  it.each([['a'], ['#'], ['~'], ['user.v1/x'], [['a', 'b']]])('takes %j', (name) => {
    expect(() => store.keyspace(name, { key: codecs.utf8, value: codecs.utf8 })).not.toThrow();
  });

  it.each([
    [''],
    ['a!'],
    ['!a'],
    ['a b'],
    ['"a'],
    ['a\x7f'],
    ['ü'],
    ['a\0'],
    ['_alluvium'],
    ['_alluvium2'],
    [[]],
    [['a', '']],
    [['a', 'b!']],
    [['_alluvium', 'x']],
    [Array.from({ length: 17 }, () => 'a')],
    ['a'.repeat(1025)],
    [undefined],
    [null],
    [1],
    [[1]],
    [{ length: 1, 0: 'a' }],
  ])('refuses %j', (name) => {
    expect(() => store.keyspace(name as string, { key: codecs.utf8, value: codecs.utf8 })).toThrow(
      InvalidArgumentError,
    );
  });

  it.each([
    [undefined],
    [{}],
    [{ key: codecs.utf8 }],
    [{ key: 'utf8', value: codecs.utf8 }],
    [{ key: codecs.json, value: codecs.utf8 }],
    [{ key: codecs.utf8, value: { '~standard': {} } }],
  ])('refuses the options %j', (options) => {
    // @ts-expect-error The compiler knows; plain JavaScript does not.
    expect(() => store.keyspace('a', options)).toThrow(InvalidArgumentError);
  });

  it('a keyspace within another is at its sublevel, and among the keys of the outer one', async () => {
    const inner = store.keyspace(['a', 'b'], { key: codecs.utf8, value: codecs.utf8 });
    const outer = store.keyspace('a', { key: codecs.utf8, value: codecs.utf8 });
    await inner.set('key', 'value');
    expect(textOf(await store.get('!a!!b!key'))).toBe('value');
    expect(inner.name).toBe('a!b');
    expect(await all(outer.scan())).toEqual([{ key: '!b!key', value: 'value' }]);
  });
});

describe('scans', () => {
  const NEIGHBOURS = ['', '!', '!k', '!k ', '!k"', '!k"!', '!k#!1', '!kk!1', '!j!1', '!l!1', '"', 'k', '!K!1', '\xff'];
  const keyCodec = codecs.tuple(codecs.utf8, codecs.number, codecs.bytes);
  type Key = readonly [string, number, Uint8Array];
  const ORDER: readonly ((key: Key) => string | number)[] = [
    ([text]) => text,
    ([, number]) => number,
    ([, , bytes]) => Buffer.from(bytes).toString('hex'),
  ];
  // Few different elements, so that keys share their first ones, and so that bounds hit keys. ASCII: `<` is the order then.
  // -1 ends with bytes of 0xff, which no bound can be behind by one.
  const element = [fc.constantFrom('', 'a', 'a\0', 'ab'), fc.constantFrom(-1, 0, 2)] as const;
  const key: fc.Arbitrary<Key> = fc.tuple(...element, fc.uint8Array({ max: 1, maxLength: 2 }));
  const bound: fc.Arbitrary<KeyBound<Key>> = fc
    .tuple(key, fc.nat({ max: 3 }))
    .map(([whole, length]) => whole.slice(0, length) as unknown as KeyBound<Key>);

  /** By the elements that both have. */
  function compare(a: Key, b: KeyBound<Key>): number {
    for (const elementOf of ORDER.slice(0, b.length)) {
      const [left, right] = [elementOf(a), elementOf(b as Key)];
      if (left !== right) return left < right ? -1 : 1;
    }
    return 0;
  }

  it('give what a sorted list gives, whatever the bounds, and never a neighbour', async () => {
    const side = (outer: 'gt' | 'lt', inner: 'gte' | 'lte'): fc.Arbitrary<KeyspaceRange<Key>> =>
      fc.oneof(
        fc.constant({}),
        bound.map((each) => ({ [outer]: each })),
        bound.map((each) => ({ [inner]: each })),
        fc.tuple(bound, bound).map(([wins, loses]) => ({ [inner]: wins, [outer]: loses })),
      );
    const range = fc.tuple(side('gt', 'gte'), side('lt', 'lte')).map(([lower, upper]) => ({ ...lower, ...upper }));
    const options = fc.record({ reverse: fc.boolean(), limit: fc.constantFrom(0, 1, 3, Infinity) });
    await fc.assert(
      fc.asyncProperty(fc.array(key, { maxLength: 40 }), range, options, async (keys, bounds, { reverse, limit }) => {
        const own = await openInMemory({ durability: 'buffered' });
        const space = own.keyspace('k', { key: keyCodec, value: codecs.json<number>() });
        await own.write(NEIGHBOURS.map((neighbour) => ({ type: 'set', key: neighbour, value: 'no JSON' })));
        await space.write(keys.map((each, index) => ({ type: 'set', key: each, value: index })));

        const { gt, gte, lt, lte } = bounds;
        const isAbove = (each: Key): boolean =>
          gte !== undefined ? compare(each, gte) >= 0 : gt === undefined || compare(each, gt) > 0;
        const isBelow = (each: Key): boolean =>
          lte !== undefined ? compare(each, lte) <= 0 : lt === undefined || compare(each, lt) < 0;
        const model = new Map(
          keys.map((each, index) => [JSON.stringify([...each.slice(0, 2), ...each[2]]), { key: each, value: index }]),
        );
        const wanted = [...model.values()]
          .filter((entry) => isAbove(entry.key) && isBelow(entry.key))
          .sort((a, b) => compare(a.key, b.key));
        if (reverse) wanted.reverse();
        const cut = wanted.slice(0, limit);

        const given = { ...bounds, reverse, limit };
        expect(await all(space.scan(given))).toEqual(cut);
        expect(await all(space.scan({ ...given, values: false }))).toEqual(cut.map((entry) => entry.key));
        expect(await all(space.scan({ ...given, keys: false }))).toEqual(cut.map((entry) => entry.value));
        await own.close();
      }),
      runsOf(80),
    );
  });

  it('are refused for bounds that are no keys, and for neither keys nor values', () => {
    const numbers = store.keyspace('n', { key: codecs.number, value: codecs.utf8 });
    expect(() => numbers.scan({ gte: NaN })).toThrow(SchemaError);
    expect(() => numbers.scan({ keys: false, values: false })).toThrow(InvalidArgumentError);
    // @ts-expect-error The compiler knows; plain JavaScript does not.
    expect(() => numbers.scan('a')).toThrow(InvalidArgumentError);
    // @ts-expect-error The compiler knows this, too.
    expect(() => numbers.scan({ lt: null })).toThrow(SchemaError);
    // @ts-expect-error The compiler knows this, too.
    expect(() => numbers.scan({ limit: 'all' })).toThrow(InvalidArgumentError);
  });

  it.each([
    ['keys and values', {}],
    ['values', { keys: false }],
    ['backwards', { reverse: true }],
  ] as const)('give all before an entry that does not fit, and then its error: %s', async (_name, options) => {
    const COUNT = 1000; // several pages
    const numbers = store.keyspace('n', { key: codecs.number, value: codecs.json<number>() });
    await numbers.write(Array.from({ length: COUNT }, (_, key) => ({ type: 'set', key, value: key })));
    const bad = numbers.setLine(700, 0).key;
    await store.set(bad, '{');

    const { values, error } = await untilFailure(numbers.scan(options));
    expect(values).toHaveLength('reverse' in options ? COUNT - 701 : 700);
    expect(error).toMatchObject({ code: 'SCHEMA', keyspace: 'n', key: Uint8Array.from(bad as Uint8Array) });
    const pushed: unknown[] = [];
    const failure = await new Promise((resolve) => {
      numbers.scan(options).subscribe({ next: (value) => pushed.push(value), error: resolve });
    });
    expect(pushed).toEqual(values);
    expect(failure).toMatchObject({ message: (error as Error).message });
    await expect(numbers.get(700)).rejects.toThrow(SchemaError);
    await expect(numbers.getMany([1, 700])).rejects.toThrow(SchemaError);
    expect(await numbers.has(700)).toBe(true);
  });

  it('go on in bytes behind a key that does not fit', async () => {
    const numbers = store.keyspace('n', { key: codecs.number, value: codecs.utf8 });
    await numbers.write([
      { type: 'set', key: 1, value: 'one' },
      { type: 'set', key: 2, value: 'two' },
    ]);
    await store.set(Uint8Array.from([...numbers.range.gte, 0xbf, 0xff]), 'too short a key'); // between 1 and 2

    const { values, error } = await untilFailure(numbers.scan());
    expect(values).toEqual([{ key: 1, value: 'one' }]);
    expect(error).toBeInstanceOf(SchemaError);
    const rest = await all(store.scan({ gt: (error as SchemaError).key, lt: numbers.range.lt }));
    expect(rest.map((entry) => numbers.decodeEntry(entry))).toEqual([{ key: 2, value: 'two' }]);
    expect(() => numbers.decodeEntry({ key: Uint8Array.of(1), value: Uint8Array.of(1) })).toThrow(InvalidArgumentError);
  });
});

describe('refusals at the call', () => {
  it('write nothing, and say what is wrong', async () => {
    const numbers = store.keyspace('n', { key: codecs.number, value: codecs.bigint });
    expect(() => numbers.set(NaN, 1n)).toThrow(SchemaError);
    expect(() => numbers.set(1, 2n ** 2000n)).toThrow('keyspace "n": the value does not fit: the number has more than');
    expect(() => numbers.getMany([1, NaN])).toThrow('keys[1]');
    // @ts-expect-error The compiler knows; plain JavaScript does not.
    expect(() => numbers.setLine('1', 1n)).toThrow(SchemaError);
    const set = { type: 'set', key: 1, value: 1n } as const;
    expect(() => numbers.write([set, { ...set, key: NaN }])).toThrow('the key of batch[1]');
    // @ts-expect-error The compiler knows; plain JavaScript does not.
    expect(() => numbers.write([set, { ...set, type: 'put' }])).toThrow(InvalidArgumentError);
    // @ts-expect-error The compiler knows this, too.
    expect(() => numbers.write(set)).toThrow(InvalidArgumentError);
    // @ts-expect-error The compiler knows this, too.
    expect(() => numbers.write([set, undefined])).toThrow(InvalidArgumentError);
    // @ts-expect-error The compiler knows this, too.
    expect(() => numbers.getMany(1)).toThrow(InvalidArgumentError);
    expect(await all(store.scan())).toEqual([]);
  });

  it('refuse what a codec of your own throws or gives', () => {
    const own = (form: unknown) =>
      store.keyspace('o', {
        key: codecs.utf8,
        value: { encode: () => form as Bytes, decode: () => 1 },
      });
    expect(() => own(7).set('a', 1)).toThrow(SchemaError);
    const throwing = store.keyspace('o', {
      key: codecs.utf8,
      value: {
        encode: (): Bytes => {
          // eslint-disable-next-line @typescript-eslint/only-throw-error -- anything can be thrown
          throw 'no error';
        },
        decode: () => 1,
      },
    });
    expect(() => throwing.set('a', 1)).toThrow('the value does not fit: no error.');
  });
});
