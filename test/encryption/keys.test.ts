// Goal: keys are secret, counted, and never what somebody gave by mistake.
// Method: examples; a secret with a marker that no text of any object or error may hold.
import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  codecs,
  EncryptionKey,
  EncryptionKeyError,
  InvalidArgumentError,
  type KeyProvider,
  OutOfRangeError,
  ValueUnreadableError,
} from '../../src/index.ts';
import { KeyspaceForm } from '../../src/streams/keyspace-form.ts';
import { VALUES_PER_KEY_MAX } from '../../src/streams/encryption-key.ts';
import { KeyRing, newKey } from '../support/key-ring.ts';

const SECRET = Buffer.from('THE-SECRET-THE-SECRET-THE-SECRET');
const SECRET_FORMS = [
  SECRET.toString(),
  SECRET.toString('hex'),
  SECRET.toString('base64'),
  SECRET.toString('base64url').slice(0, 40),
  [...SECRET].slice(0, 6).join(','),
  JSON.stringify(new Uint8Array(SECRET.subarray(0, 6))).slice(1, -1),
  SECRET.toString('hex').slice(0, 12),
];

/** Everything that a log could show of it. */
function textOf(given: unknown): string {
  const shown = inspect(given, { depth: Infinity, showHidden: true, getters: true, maxArrayLength: Infinity });
  const stack = given instanceof Error ? String(given.stack) : '';
  const names = given instanceof Error ? JSON.stringify(given, Object.getOwnPropertyNames(given)) : '';
  const text = [shown, JSON.stringify(given), names, String(given), stack].join('\n');
  return text + text.replaceAll(/\s/g, ''); // arrays and Buffers are shown with spaces
}

function expectNoSecret(given: unknown): void {
  const text = textOf(given);
  for (const form of SECRET_FORMS) expect(text).not.toContain(form);
}

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return expect.unreachable('nothing was thrown');
}

const formOf = (keys: KeyProvider): KeyspaceForm<string, string> =>
  new KeyspaceForm('n', { key: codecs.utf8, value: codecs.utf8, encryption: { keys } });

describe('an encryption key', () => {
  it('shows its id, and never its secret', () => {
    const id = randomUUID();
    const key = new EncryptionKey(id, SECRET);
    expect(inspect(key)).toBe(`EncryptionKey { id: '${id}', secret: [secret] }`);
    expect(JSON.parse(JSON.stringify({ key }))).toEqual({ key: { id, secret: '[secret]' } });
    expectNoSecret(key);
    expectNoSecret({ deep: { in: [key, new Map([[id, key]])] } });
    expectNoSecret(structuredClone(key));
    expectNoSecret(Object.assign({}, key));
    expectNoSecret(new KeyRing(key));
    // It would be found.
    for (const shown of [SECRET.toString(), SECRET, new Uint8Array(SECRET), { secret: SECRET.toString('base64') }]) {
      expect(SECRET_FORMS.some((form) => textOf({ shown }).includes(form))).toBe(true);
    }
  });

  it('keeps a copy of its secret', () => {
    const secret = Uint8Array.from(SECRET);
    const id = randomUUID();
    const form = formOf(new KeyRing(new EncryptionKey(id, secret)));
    secret.fill(0);
    const sealed = Buffer.from(form.encodeValue('value', '!n!key'));
    expect(formOf(new KeyRing(new EncryptionKey(id, SECRET))).decodeValue(sealed, () => '!n!key')).toBe('value');
  });

  it('refuses what is no key, and does not repeat it', () => {
    const id = randomUUID();
    const wrong: readonly (() => unknown)[] = [
      // @ts-expect-error The compiler knows; plain JavaScript does not.
      () => new EncryptionKey(id, SECRET.toString()),
      // @ts-expect-error The compiler knows this, too.
      () => new EncryptionKey(SECRET, id),
      () => new EncryptionKey(SECRET.toString(), SECRET),
      () => new EncryptionKey(SECRET.toString('hex'), SECRET),
      () => new EncryptionKey(id.toUpperCase().replace(/^./, 'A'), SECRET),
      () => new EncryptionKey(`${id} `, SECRET),
      () => new EncryptionKey(id, SECRET.subarray(1)),
      () => new EncryptionKey(id, Buffer.concat([SECRET, SECRET])),
      // @ts-expect-error The compiler knows this, too.
      () => new EncryptionKey(id, SECRET, { valuesEncrypted: SECRET.toString() }),
    ];
    for (const [index, make] of wrong.entries()) {
      const error = thrownBy(make);
      expect(error, `case ${index}`).toBeInstanceOf(InvalidArgumentError);
      expectNoSecret(error);
    }
    for (const valuesEncrypted of [-1, 0.5, NaN, VALUES_PER_KEY_MAX + 1]) {
      expect(() => new EncryptionKey(id, SECRET, { valuesEncrypted })).toThrow(OutOfRangeError);
    }
  });
});

describe('a key provider', () => {
  it('is refused where it is none, and not repeated', () => {
    const text = SECRET.toString();
    for (const encryption of [
      null,
      text,
      SECRET,
      {},
      { keys: text },
      { keys: SECRET },
      { keys: { current: newKey } },
    ]) {
      const error = thrownBy(() => {
        // @ts-expect-error The compiler knows; plain JavaScript does not.
        return new KeyspaceForm('n', { key: codecs.utf8, value: codecs.utf8, encryption });
      });
      expect(error).toBeInstanceOf(InvalidArgumentError);
      expectNoSecret(error);
    }
  });

  it('must answer at once, with a key: what it gives else is refused, and not repeated', () => {
    const good = formOf(new KeyRing());
    const sealed = Buffer.from(good.encodeValue('value', '!n!key'));
    for (const given of [
      SECRET,
      SECRET.toString(),
      { id: randomUUID(), key: SECRET },
      Promise.resolve(newKey()),
      null,
    ]) {
      // @ts-expect-error The compiler knows; plain JavaScript does not.
      const form = formOf({ current: () => given, byId: () => given });
      const onWrite = thrownBy(() => form.encodeValue('value', '!n!key'));
      expect(onWrite).toBeInstanceOf(InvalidArgumentError);
      expectNoSecret(onWrite);
      const onRead = thrownBy(() => form.decodeValue(sealed, () => '!n!key'));
      expect(onRead).toMatchObject({ code: 'VALUE_UNREADABLE', reason: 'providerFailed' });
      expect((onRead as ValueUnreadableError).cause).toBeInstanceOf(InvalidArgumentError);
      expectNoSecret(onRead);
    }
  });

  it('may throw: its error is the cause, and nothing of it is in the message', () => {
    const cause = new Error('the service is away');
    const fail = (): never => {
      throw cause;
    };
    const sealed = Buffer.from(formOf(new KeyRing()).encodeValue('value', '!n!key'));
    const form = formOf({ current: fail, byId: fail });
    const onWrite = thrownBy(() => form.encodeValue('value', '!n!key'));
    expect(onWrite).toBeInstanceOf(EncryptionKeyError);
    expect(onWrite).toMatchObject({ code: 'ENCRYPTION_KEY', reason: 'providerFailed', keyId: undefined, cause });
    const onRead = thrownBy(() => form.decodeValue(sealed, () => '!n!key'));
    expect(onRead).toMatchObject({ code: 'VALUE_UNREADABLE', reason: 'providerFailed', cause });
    for (const error of [onWrite, onRead]) expect((error as Error).message).not.toContain(cause.message);
  });

  it('is asked with its own this, for each value', () => {
    const keys = new KeyRing();
    const form = formOf(keys);
    const sealed = Buffer.from(form.encodeValue('value', '!n!key'));
    const { id } = keys.rotate();
    expect(form.decodeValue(sealed, () => '!n!key')).toBe('value');
    expect(keys.asked).toEqual([id]);
    const again = Buffer.from(form.encodeValue('value', '!n!key'));
    expect(again.subarray(1, 17).toString('hex')).toBe(keys.current().id.replaceAll('-', ''));
  });
});

describe('the count of what a key has encrypted', () => {
  it('ends at its limit, and not one before', () => {
    const key = new EncryptionKey(randomUUID(), SECRET, { valuesEncrypted: VALUES_PER_KEY_MAX - 2 });
    const keys = new KeyRing(key);
    const form = formOf(keys);
    form.encodeValue('one', 'k');
    const sealed = Buffer.from(form.encodeValue('two', '!n!k'));
    expect(key.valuesEncrypted).toBe(2 ** 30);
    const error = thrownBy(() => form.encodeValue('three', 'k'));
    expect(error).toBeInstanceOf(EncryptionKeyError);
    expect(error).toMatchObject({ code: 'ENCRYPTION_KEY', reason: 'spent', keyId: key.id, keyspace: 'n' });
    expectNoSecret(error);
    expect(form.decodeValue(sealed, () => '!n!k')).toBe('two'); // it goes on reading
    keys.rotate();
    form.encodeValue('three', 'k');
    expect(key.valuesEncrypted).toBe(2 ** 30);
    expect(keys.current().valuesEncrypted).toBe(1);
  });

  it('is one for all keyspaces that share the key', () => {
    const keys = new KeyRing();
    formOf(keys).encodeValue('one', 'k');
    formOf(keys).encodeValue('two', 'k');
    expect(keys.current().valuesEncrypted).toBe(2);
  });

  it('goes on where the provider makes a new object of the same key each time', () => {
    const id = randomUUID();
    let last: EncryptionKey | undefined;
    const form = formOf({
      current: () => (last = new EncryptionKey(id, SECRET)),
      byId: () => undefined,
    });
    for (let count = 0; count < 5; count += 1) form.encodeValue('value', 'k');
    expect(last?.valuesEncrypted).toBe(5);
  });

  it('does not count reads', () => {
    const keys = new KeyRing();
    const form = formOf(keys);
    const sealed = Buffer.from(form.encodeValue('value', '!n!k'));
    form.decodeValue(sealed, () => '!n!k');
    expect(keys.current().valuesEncrypted).toBe(1);
  });
});
