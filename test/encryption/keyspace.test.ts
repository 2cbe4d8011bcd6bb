// Goal: an encrypted keyspace is like any other to whoever has the keys, and ciphertext to the store below it; what becomes
// of a value whose key is gone is as docs/encryption.md says, everywhere a value is read.
// Method: examples with a real store in memory.
import { lastValueFrom, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type Change,
  codecs,
  type EncryptionKey,
  EncryptionKeyError,
  InvalidArgumentError,
  type Keyspace,
  type KeyspaceChange,
  openInMemory,
  SchemaError,
  type StandardSchemaV1,
  type Store,
  type Stream,
  ValueUnreadableError,
} from '../../src/index.ts';
import { KeyRing, newKey } from '../support/key-ring.ts';

interface User {
  readonly name: string;
}

const ADA: User = { name: 'Ada' };
const BOB: User = { name: 'Bob' };

let store: Store;
let keys: KeyRing;
beforeEach(async () => {
  store = await openInMemory({ durability: 'buffered' });
  keys = new KeyRing();
});
afterEach(async () => {
  await store.close();
});

const usersOf = (given: KeyRing = keys): Keyspace<string, User> =>
  store.keyspace('users', { key: codecs.utf8, value: codecs.json<User>(), encryption: { keys: given } });

const keyIdIn = (sealed: Uint8Array | undefined): string =>
  Buffer.from(sealed ?? [])
    .subarray(1, 17)
    .toString('hex');
const hexOf = ({ id }: { readonly id: string }): string => id.replaceAll('-', '');

async function untilFailure<T>(stream: AsyncIterable<T>): Promise<{ readonly values: T[]; readonly error: unknown }> {
  const values: T[] = [];
  try {
    for await (const value of stream) values.push(value);
  } catch (error) {
    return { values, error };
  }
  return { values, error: undefined };
}

async function take<T>(stream: Stream<T>, count: number): Promise<T[]> {
  const values: T[] = [];
  for await (const value of stream) if (values.push(value) === count) break;
  return values;
}

/** `ada` and `eve` under one key, `bob` under another one that was destroyed. @returns the destroyed key */
async function withOneShredded(users = usersOf()): Promise<{ readonly key: EncryptionKey; readonly sequence: number }> {
  await users.set('ada', ADA);
  keys.rotate();
  const { sequence } = await users.set('bob', BOB);
  const key = keys.rotate();
  await users.set('eve', { name: 'Eve' });
  keys.destroy(key);
  return { key, sequence };
}

describe('an encrypted keyspace', () => {
  it('gives plaintext, and the store below it ciphertext', async () => {
    const users = usersOf();
    const { sequence } = await users.set('ada', ADA);
    await users.write([{ type: 'set', key: 'bob', value: BOB }]);
    await store.write([users.checkLine('eve', 'absent'), users.setLine('eve', { name: 'Eve' })]);

    expect(await users.get('ada')).toEqual(ADA);
    expect(await users.getMany(['bob', 'no', 'ada'])).toEqual([BOB, undefined, ADA]);
    expect(await users.entry('ada')).toEqual({ value: ADA, sequence });
    expect(await users.has('eve')).toBe(true);
    expect(await lastValueFrom(users.scan({ keys: false }).pipe(toArray()))).toEqual([ADA, BOB, { name: 'Eve' }]);
    let found: unknown;
    users.get('ada').subscribe((user) => (found = user));
    expect(found).toEqual(ADA); // synchronously

    for (const { key, value } of await lastValueFrom(store.scan(users.range).pipe(toArray()))) {
      expect(Buffer.from(key).toString()).toMatch(/^!users!(ada|bob|eve)$/);
      expect(keyIdIn(value)).toBe(hexOf(keys.current()));
      expect(Buffer.from(value).toString('latin1')).not.toMatch(/name|Ada|Bob|Eve/);
      expect(users.decodeEntry({ key, value }).value).toHaveProperty('name');
    }
  });

  it('encrypts at the call, once: an operation that is retried writes the same bytes', async () => {
    const setting = usersOf().set('ada', ADA);
    await setting;
    const first = await store.get('!users!ada');
    await setting;
    expect(await store.get('!users!ada')).toEqual(first);
    await usersOf().set('ada', ADA);
    expect(await store.get('!users!ada')).not.toEqual(first);
  });

  it('gives plaintext in changes, watched values, snapshots and transactions, and ciphertext without it', async () => {
    const users = usersOf();
    await users.set('ada', ADA);
    const snapshot = store.snapshot();
    await users.set('ada', BOB);
    await users.delete('ada');

    expect(await users.get('ada', { snapshot })).toEqual(ADA);
    expect(await lastValueFrom(users.scan({ snapshot }).pipe(toArray()))).toEqual([{ key: 'ada', value: ADA }]);
    expect(keyIdIn(await snapshot.get('!users!ada'))).toBe(hexOf(keys.current()));
    snapshot.close();

    const typed = await take<KeyspaceChange<string, User>>(users.changes({ from: 'start' }), 3);
    expect(typed).toMatchObject([
      { type: 'set', key: 'ada', value: ADA },
      { type: 'set', key: 'ada', value: BOB },
      { type: 'delete', key: 'ada' },
    ]);
    const stored = await take<Change>(store.changes({ from: 'start' }), 3);
    for (const change of stored) {
      if (change.type === 'set') expect(keyIdIn(change.value)).toBe(hexOf(keys.current()));
    }
    expect(stored.map((change) => users.decodeChange(change))).toEqual(typed);

    await users.set('ada', BOB);
    expect(await take(users.watch('ada'), 1)).toMatchObject([{ value: BOB }]);
    expect(await take(users.watchRange(), 1)).toMatchObject([{ key: 'ada', value: BOB }]);
    const written: unknown[] = [];
    const view = users.in({ get: (key) => store.get(key), write: (operations) => void written.push(...operations) });
    expect(await view.get('ada')).toEqual(BOB);
    view.set('ada', ADA);
    const [line] = written as [{ readonly value: Uint8Array }];
    expect(users.decodeEntry({ key: Buffer.from('!users!ada'), value: line.value })).toEqual({
      key: 'ada',
      value: ADA,
    });
  });

  it('keeps values where they were written', async () => {
    const users = usersOf();
    await users.set('ada', ADA);
    const others = store.keyspace('others', { key: codecs.utf8, value: codecs.json<User>(), encryption: { keys } });
    const value = (await store.get('!users!ada')) ?? expect.unreachable();
    await store.write([
      { type: 'set', key: '!users!bob', value },
      { type: 'set', key: '!others!ada', value },
    ]);
    await expect(users.get('bob')).rejects.toMatchObject({ code: 'VALUE_UNREADABLE', reason: 'notAuthentic' });
    await expect(others.get('ada')).rejects.toMatchObject({ code: 'VALUE_UNREADABLE', reason: 'notAuthentic' });
    expect(await users.get('ada')).toEqual(ADA);
  });

  it('reads nothing that was written without encryption, and says so', async () => {
    await store.set('!users!ada', JSON.stringify(ADA));
    await expect(usersOf().get('ada')).rejects.toMatchObject({
      code: 'VALUE_UNREADABLE',
      reason: 'malformed',
      keyId: undefined,
      message: expect.stringContaining('without encryption') as unknown,
    });
  });

  it('writes nothing without a key', async () => {
    const users = store.keyspace('users', {
      key: codecs.utf8,
      value: codecs.json<User>(),
      encryption: {
        keys: {
          current: () => {
            throw new Error('not yet');
          },
          byId: () => undefined,
        },
      },
    });
    expect(() => users.set('ada', ADA)).toThrow(EncryptionKeyError);
    expect(() => users.setLine('ada', ADA)).toThrow(EncryptionKeyError);
    expect(() => users.write([{ type: 'set', key: 'ada', value: ADA }])).toThrow(EncryptionKeyError);
    expect(await users.has('ada')).toBe(false);
  });

  it('answers an idempotent write again, though its bytes are others, also under a new key', async () => {
    const users = usersOf();
    const first = await users.set('ada', ADA, { idempotencyKey: 'once' });
    expect(await users.set('ada', ADA, { idempotencyKey: 'once' })).toEqual(first);
    keys.rotate();
    expect(await users.set('ada', ADA, { idempotencyKey: 'once' })).toEqual(first);
    expect(keyIdIn(await store.get('!users!ada'))).not.toBe(hexOf(keys.current())); // the first one stands
    const write = store.write([users.setLine('bob', ADA)], { idempotencyKey: 'once' });
    await expect(write).rejects.toThrow(InvalidArgumentError); // another key
    await expect(users.set('ada', { name: 'A. Lovelace' }, { idempotencyKey: 'once' })).rejects.toThrow(
      InvalidArgumentError,
    ); // another length
    const plain = { type: 'set', key: '!users!ada', value: new Uint8Array(45 + JSON.stringify(ADA).length) } as const;
    await expect(store.write([plain], { idempotencyKey: 'once' })).rejects.toThrow(InvalidArgumentError);
    expect(await users.get('ada')).toEqual(ADA);
  });
});

describe('what is said of a value that does not fit', () => {
  const SECRET = 'hush-hush';
  const schema: StandardSchemaV1<unknown, User> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) =>
        typeof value === 'object' && value !== null && 'name' in value && value.name !== SECRET
          ? { value: value as User }
          : { issues: [{ message: `not ${JSON.stringify(value)}`, path: ['name'] }] },
    },
  };
  const validated = (): Keyspace<string, User> =>
    store.keyspace('users', { key: codecs.utf8, value: schema, encryption: { keys } });

  it('is nothing, where it was decrypted', async () => {
    const text = store.keyspace('users', { key: codecs.utf8, value: codecs.utf8, encryption: { keys } });
    await text.set('ada', JSON.stringify({ name: SECRET }));
    await text.set('bob', SECRET); // JSON.parse quotes what it refuses
    for (const key of ['ada', 'bob']) {
      const error = (await validated()
        .get(key)
        .then(undefined, (thrown: unknown) => thrown)) as SchemaError;
      expect(error).toBeInstanceOf(SchemaError);
      expect(error).toMatchObject({ key: Uint8Array.from(Buffer.from(`!users!${key}`)) });
      expect(error.cause).toBeUndefined();
      expect([error.message, error.stack, JSON.stringify(error)].join()).not.toContain(SECRET);
    }
    expect(await text.get('bob')).toBe(SECRET); // so it can be looked at
  });

  it('is for the caller, and not in the message, where it was to be written', () => {
    let error: unknown;
    try {
      validated().setLine('ada', { name: SECRET });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SchemaError);
    expect((error as SchemaError).message).not.toContain(SECRET);
    expect((error as SchemaError).cause).toBeUndefined();
    expect((error as SchemaError).issues).toEqual([{ message: `not {"name":"${SECRET}"}`, path: ['name'] }]);
  });
});

describe('rotation', () => {
  it('encrypts what is new with the current key, and reads what is old with the key it names', async () => {
    const users = usersOf();
    await users.set('ada', ADA);
    const old = keys.rotate();
    await users.set('bob', BOB);
    expect(keyIdIn(await store.get('!users!ada'))).toBe(hexOf(old));
    expect(keyIdIn(await store.get('!users!bob'))).toBe(hexOf(keys.current()));
    expect(await users.getMany(['ada', 'bob'])).toEqual([ADA, BOB]);
  });

  it('reads after a key was loaded that was not there', async () => {
    const late = newKey();
    await usersOf(new KeyRing(late)).set('ada', ADA);
    const users = usersOf();
    const error: unknown = await users.get('ada').then(undefined, (thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ValueUnreadableError);
    expect(error).toMatchObject({ reason: 'keyUnknown', keyId: late.id });
    keys.add(late);
    expect(await users.get('ada')).toEqual(ADA);
  });
});

describe('a value whose key was destroyed', () => {
  const fault = (id: string): object => ({
    name: 'ValueUnreadableError',
    code: 'VALUE_UNREADABLE',
    keyspace: 'users',
    key: Uint8Array.from(Buffer.from('!users!bob')),
    keyId: id,
    reason: 'keyUnknown',
  });

  it('fails the reads of it, and of nothing else', async () => {
    const users = usersOf();
    const { key } = await withOneShredded(users);
    await expect(users.get('bob')).rejects.toMatchObject(fault(key.id));
    await expect(users.entry('bob')).rejects.toMatchObject(fault(key.id));
    await expect(users.getMany(['ada', 'bob'])).rejects.toMatchObject(fault(key.id));
    await expect(take(users.watch('bob'), 1)).rejects.toMatchObject(fault(key.id));
    expect(await users.has('bob')).toBe(true);
    expect(await users.getMany(['ada', 'eve'])).toEqual([ADA, { name: 'Eve' }]);
  });

  it('ends a scan behind what is before it; keys can be scanned, and bytes read past it', async () => {
    const users = usersOf();
    const { key } = await withOneShredded(users);
    const { values, error } = await untilFailure(users.scan());
    expect(values).toEqual([{ key: 'ada', value: ADA }]);
    expect(error).toMatchObject(fault(key.id));
    expect(await take(users.scan({ values: false }), 3)).toEqual(['ada', 'bob', 'eve']);
    const [next] = await take(store.scan({ gt: (error as ValueUnreadableError).key, lt: users.range.lt }), 1);
    expect(users.decodeEntry(next ?? expect.unreachable())).toEqual({ key: 'eve', value: { name: 'Eve' } });
  });

  it('ends a change stream behind the batch before it; the store goes on past it', async () => {
    const users = usersOf();
    const { key } = await withOneShredded(users);
    const { values, error } = await untilFailure(users.changes({ from: 'start' }));
    expect(values).toMatchObject([{ key: 'ada', value: ADA }]);
    expect(error).toMatchObject(fault(key.id));
    const [before] = values as [KeyspaceChange<string, User>];
    const stored = await take<Change>(store.changes({ ...users.range, from: before.cursor }), 1);
    const [bytes] = stored as [Change];
    expect(() => users.decodeChange(bytes)).toThrow(ValueUnreadableError);
    const rest = await take<KeyspaceChange<string, User>>(users.changes({ from: bytes.cursor }), 1);
    expect(rest).toMatchObject([{ key: 'eve', value: { name: 'Eve' } }]);
  });

  it('is parked by a consumer, as ciphertext, and can be replayed with the key', async () => {
    const users = usersOf();
    const { key, sequence } = await withOneShredded(users);
    const seen: string[] = [];
    const consumer = users.consumer('names', {
      attemptsMax: 2,
      backOff: { firstMs: 1 },
      handle: (change) => {
        seen.push(change.key);
        if (change.key === 'ada') throw new Error('no');
      },
    });
    const running = consumer.run().subscribe();
    await vi.waitFor(async () => {
      const letters = await lastValueFrom(consumer.deadLetters().pipe(toArray()));
      expect(letters).toHaveLength(2);
      const [, letter] = letters;
      expect(letter).toMatchObject({
        attempts: 2,
        error: { name: 'ValueUnreadableError', code: 'VALUE_UNREADABLE' },
        change: { type: 'set', sequence },
      });
      expect(letter?.error.message).toContain(key.id);
      if (letter?.change.type !== 'set') return expect.unreachable();
      expect(keyIdIn(letter.change.value)).toBe(hexOf(key));
      expect(seen).toContain('eve');
    }, 30_000);
    expect(seen).not.toContain('bob');
    keys.add(key); // it was not destroyed after all
    await vi.waitFor(async () => {
      await consumer.replay();
      expect(seen).toContain('bob');
    }, 30_000);
    running.unsubscribe();
  });

  it('can be deleted, and set anew', async () => {
    const users = usersOf();
    await withOneShredded(users);
    await users.delete('bob');
    expect(await users.get('bob')).toBeUndefined();
    await users.set('bob', BOB);
    expect(await users.get('bob')).toEqual(BOB);
  });
});
