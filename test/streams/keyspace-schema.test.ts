// Goal: nothing goes into a keyspace with a schema, or comes out, that the schema does not give; and a schema's faults have
// an outcome.
// Method: schemas written by hand after the specification, well-behaved ones and others.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  codecs,
  type Keyspace,
  openInMemory,
  SchemaError,
  type StandardResult,
  type StandardSchemaV1,
  type Store,
} from '../../src/index.ts';

let store: Store;
beforeEach(async () => {
  store = await openInMemory({ durability: 'buffered' });
});
afterEach(async () => {
  await store.close();
});

const schemaOf = <T>(
  validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>,
): StandardSchemaV1<unknown, T> => ({ '~standard': { version: 1, vendor: 'test', validate } });

const spaceOf = <T>(schema: StandardSchemaV1<unknown, T>): Keyspace<string, T> =>
  store.keyspace('s', { key: codecs.utf8, value: schema });

interface User {
  readonly name: string;
  readonly age: number;
}

/** Trims the name, fills in the age, and leaves out everything else. */
const userSchema = schemaOf<User>((value) => {
  if (typeof value !== 'object' || value === null) return { issues: [{ message: 'no object' }] };
  const { name, age = 0 } = value as { readonly name?: unknown; readonly age?: unknown };
  const issues = [];
  if (typeof name !== 'string') issues.push({ message: 'no name', path: ['name'] });
  if (typeof age !== 'number') issues.push({ message: 'no age', path: [{ key: 'age' }, 0, Symbol('unit')] });
  if (typeof name !== 'string' || typeof age !== 'number') return { issues };
  return { value: { name: name.trim(), age } };
});

const errorOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('a keyspace with a schema', () => {
  it('stores what the schema gives for the value, and reads it', async () => {
    const users = spaceOf(userSchema);
    await users.set('ada', { name: '  Ada ', age: 36, isAdmin: true } as User);
    expect(Buffer.from((await store.get('!s!ada')) ?? []).toString()).toBe('{"name":"Ada","age":36}');
    expect(await users.get('ada')).toEqual({ name: 'Ada', age: 36 });
  });

  it('brings what is stored up to date as it is read', async () => {
    await store.set('!s!old', '{"name":"Old","left":"over"}');
    expect(await spaceOf(userSchema).get('old')).toEqual({ name: 'Old', age: 0 });
  });

  it('refuses a value, and says what is wrong with it and where', async () => {
    const error = errorOf(() => spaceOf(userSchema).set('ada', { name: 1, age: '36' } as unknown as User));
    expect(error).toBeInstanceOf(SchemaError);
    expect(error).toMatchObject({
      code: 'SCHEMA',
      keyspace: 's',
      key: undefined,
      issues: [
        { message: 'no name', path: ['name'] },
        { message: 'no age', path: ['age', 0, 'Symbol(unit)'] },
      ],
      message: 'keyspace "s": the value does not fit: no name. Nothing was written.',
    });
    expect(await store.has('!s!ada')).toBe(false);
  });

  it.each([
    ['fails the schema', '{"age":1}', 'no name'],
    ['is no JSON', '{', 'JSON'],
    ['is no UTF-8', Uint8Array.of(0xff), 'not valid'],
  ])('says where something is stored that %s', async (_name, stored, reason) => {
    await store.set('!s!bad', stored);
    const error: unknown = await spaceOf(userSchema)
      .get('bad')
      .then(undefined, (failure: unknown) => failure);
    expect(error).toBeInstanceOf(SchemaError);
    expect(error).toMatchObject({ keyspace: 's', key: Uint8Array.from(Buffer.from('!s!bad')) });
    expect((error as SchemaError).issues[0]?.message).toContain(reason);
    expect((error as SchemaError).message).toContain('the stored value of key "!s!bad"');
  });

  it('gives a schema of its own prototype no way in', async () => {
    const anything = schemaOf<unknown>((value) => ({ value }));
    await store.set('!s!p', '{"__proto__":{"isAdmin":true}}');
    const value = (await spaceOf(anything).get('p')) as { readonly isAdmin?: unknown };
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(value.isAdmin).toBeUndefined();
  });
});

describe('a schema with a fault', () => {
  const refusalOf = <T>(schema: StandardSchemaV1<unknown, T>, value: T): string => {
    const error = errorOf(() => spaceOf(schema).set('a', value));
    expect(error).toBeInstanceOf(SchemaError);
    return (error as SchemaError).message;
  };

  it("is refused if it answers later, and its rejection is nobody else's", async () => {
    const later = schemaOf<string>((value) => Promise.resolve({ value: String(value) }));
    expect(refusalOf(later, 'a')).toContain('asynchronously');
    const failing = schemaOf<string>(() => Promise.reject(new Error('late')));
    expect(refusalOf(failing, 'a')).toContain('asynchronously');
    await store.set('!s!a', '"a"');
    await expect(spaceOf(later).get('a')).rejects.toThrow(SchemaError);
  });

  it('is refused if it does not accept what it gives, once that has been JSON', () => {
    const dates = schemaOf<Date>((value) =>
      value instanceof Date ? { value } : { issues: [{ message: 'no Date', path: ['at'] }] },
    );
    const error = errorOf(() => spaceOf(dates).set('a', new Date()));
    expect(error).toMatchObject({
      issues: [{ message: 'once stored as JSON it could not be read again: no Date', path: ['at'] }],
    });
    const lengths = schemaOf<number>((value) =>
      typeof value === 'string' ? { value: value.length } : { issues: [{ message: 'no text' }] },
    );
    expect(refusalOf(lengths, 'text' as unknown as number)).toContain('could not be read again: no text');
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('oh');
      },
      'oh',
    ],
    ['gives undefined', () => undefined, 'no result'],
    ['gives neither', () => ({}), 'neither a value nor issues'],
    ['gives what has no JSON', () => ({ value: 1n }), 'BigInt'],
    ['gives undefined as the value', () => ({ value: undefined }), 'no JSON of undefined'],
    ['gives issues that are none', () => ({ issues: 7 }), 'not a function'],
    ['gives no issues', () => ({ issues: [] }), 'no reason was given'],
  ])('is a SchemaError if it %s', (_name, validate, message) => {
    const schema = schemaOf(validate as unknown as (value: unknown) => StandardResult<unknown>);
    expect(refusalOf(schema, 'a')).toContain(message);
  });

  it('takes issues that are null as none, as the specification has it', async () => {
    const schema = schemaOf((value) => ({ value, issues: null as unknown as undefined }));
    await spaceOf(schema).set('a', 1);
    expect(await spaceOf(schema).get('a')).toBe(1);
  });

  it('gives no more issues than can be looked at', () => {
    const many = schemaOf<string>(() => ({ issues: Array.from({ length: 100_000 }, () => ({ message: 'no' })) }));
    expect((errorOf(() => spaceOf(many).set('a', 'a')) as SchemaError).issues).toHaveLength(100);
  });

  it('may be a function', async () => {
    const callable = Object.assign(
      () => undefined,
      schemaOf<string>((value) => ({ value: String(value) })),
    );
    await spaceOf(callable).set('a', 'b');
    expect(await spaceOf(callable).get('a')).toBe('b');
  });
});
