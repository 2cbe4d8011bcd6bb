// Goal: what is stored is, byte for byte, what the format page says, today and in every later version; and a value is good
// for its own place only.
// Method: known answers, made by another implementation (Python's cryptography 48, AESGCM) from the grammar in
// docs/file-formats.md; the same grammar read by hand with WebCrypto; each byte of a value flipped; values moved.
import { webcrypto } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { codecs, EncryptionKey, type KeyspaceName, ValueUnreadableError } from '../../src/index.ts';
import { keyIdBytes, keyIdText, SealedValue } from '../../src/storage/codec/sealed-value.ts';
import { KeyspaceForm } from '../../src/streams/keyspace-form.ts';
import { sealWith } from '../../src/streams/value-cipher.ts';
import { recordFigures } from '../support/figures.ts';
import { KeyRing, newKey } from '../support/key-ring.ts';

const ID = '00112233-4455-6677-8899-aabbccddeeff';
const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index);
const NONCE = Buffer.from('cafebabefacedbaddecaf888', 'hex');
const KEY = new EncryptionKey(ID, SECRET);
const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

const HEAD = '0100112233445566778899aabbccddeeffcafebabefacedbaddecaf888';
const KNOWN: readonly {
  readonly names: KeyspaceName;
  readonly key: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly sealed: string;
}[] = [
  {
    names: 'users',
    key: Buffer.from('ada'),
    plaintext: Buffer.from('{"name":"Ada","age":36}'),
    sealed: `${HEAD}f181ce47c71f6d21644a39bc5931ab5e6a45e26bec2f177d3fbf5e6604d4738aa66a66953ef67d`,
  },
  {
    names: 'users',
    key: Buffer.from('ada'),
    plaintext: new Uint8Array(0),
    sealed: `${HEAD}3fb8761a7dcd216e5f7666f3be459ab6`,
  },
  {
    names: 'users',
    key: new Uint8Array(0),
    plaintext: Buffer.from('x'),
    sealed: `${HEAD}f201550ebe31747c0e1017f2d14218f0db`,
  },
  {
    names: ['a', 'b'],
    key: Uint8Array.of(0, 0xff),
    plaintext: ALL_BYTES,
    sealed:
      `${HEAD}8aa2a225ae7f491c4e0257d6771087301d31d242cb0c7c6356c61e6aa2947be08d71e365e5f16f450e7202431eae0e4a69659b6297bf` +
      'bee71bab4b0782d9897d21c31c310b011b9818936c55e453be7448e1542c0e709758f2f42e2b48c4c2b5a116a99ee9d8ce9c62076467d4c567' +
      'aeaadb6d7eeebfeeb2586b3341403a9feaedad999621b3bf3a51b995c61cca0739275ab78419812dfe5483833b798e3fe4faeb616f6e14be79' +
      '8c2d6d94ae2a177efe07a91a0c8d3bf958fba176ae8b0cb4e1eadcc71d74a6b4aead69c1c9075bd666ed735fb7e99f95663628e53accd1fac8' +
      '7aa89ce852225301c4afd7ad353c06018a00149fd56e4454eea1dc1ed4a04f596589c43a0fc294c968d4807f0d4065',
  },
];

const formOf = (names: KeyspaceName, keys: KeyRing): KeyspaceForm<Uint8Array, Uint8Array> =>
  new KeyspaceForm(names, { key: codecs.bytes, value: codecs.bytes, encryption: { keys } });

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function read(form: KeyspaceForm<Uint8Array, Uint8Array>, sealed: Uint8Array, key: Uint8Array): unknown {
  try {
    return form.decodeValue(sealed, () => form.encodeKey(key));
  } catch (error) {
    return error;
  }
}

describe('the form of a sealed value', () => {
  it.each(KNOWN)('is what another implementation makes of it, $plaintext.length bytes', (known) => {
    const name = Buffer.from(typeof known.names === 'string' ? known.names : known.names.join('!'));
    expect(hex(sealWith(KEY, NONCE, known.plaintext, name, known.key))).toBe(known.sealed);
    const form = formOf(known.names, new KeyRing(newKey(), KEY));
    expect(read(form, Buffer.from(known.sealed, 'hex'), known.key)).toEqual(Uint8Array.from(known.plaintext));
  });

  it('can be read with the page and WebCrypto alone', async () => {
    const form = formOf('users', new KeyRing(KEY));
    const sealed = Buffer.from(form.encodeValue(Buffer.from('plain'), form.encodeKey(Buffer.from('ada'))));
    const lengthOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(Uint32Array.of(bytes.length).buffer);
    const name = Buffer.from('users');
    const key = Buffer.from('ada');
    const bound = Buffer.concat([lengthOf(name), name, lengthOf(key), key, sealed.subarray(0, 17)]);
    const secret = await webcrypto.subtle.importKey('raw', SECRET, 'AES-GCM', false, ['decrypt']);
    const settings = { name: 'AES-GCM', iv: sealed.subarray(17, 29), additionalData: bound, tagLength: 128 };
    const plaintext = await webcrypto.subtle.decrypt(settings, secret, sealed.subarray(29));
    expect(Buffer.from(plaintext).toString()).toBe('plain');
    expect(sealed).toHaveLength(5 + 45);
  });

  it('is another one each time', () => {
    const form = formOf('users', new KeyRing());
    const seal = (): string => hex(Buffer.from(form.encodeValue(Uint8Array.of(1), 'ada')));
    expect(new Set(Array.from({ length: 100 }, seal)).size).toBe(100);
    expect(form.encodeValue(Uint8Array.of(1), 'ada')).toBeInstanceOf(SealedValue);
  });
});

describe('a sealed value that is not as it was written', () => {
  const keys = new KeyRing();
  const form = formOf('users', keys);
  const key = Buffer.from('ada');
  const sealed = Buffer.from(form.encodeValue(Buffer.from('what nobody may change'), form.encodeKey(key)));

  it('is refused, whichever bit of whichever byte is flipped', () => {
    const reasons: Record<string, number> = {};
    for (let at = 0; at < sealed.length; at += 1) {
      for (let bit = 1; bit < 256; bit *= 2) {
        const flipped = Buffer.from(sealed);
        flipped[at] = (sealed[at] as number) ^ bit;
        const outcome = read(form, flipped, key);
        expect(outcome, `bit ${bit} of byte ${at}`).toBeInstanceOf(ValueUnreadableError);
        const { reason } = outcome as ValueUnreadableError;
        expect(reason, `byte ${at}`).toBe(at === 0 ? 'malformed' : at <= 16 ? 'keyUnknown' : 'notAuthentic');
        reasons[reason] = (reasons[reason] ?? 0) + 1;
      }
    }
    expect(reasons).toEqual({ malformed: 8, keyUnknown: 128, notAuthentic: 8 * (sealed.length - 17) });
    recordFigures('ENC', { bitsFlipped: 8 * sealed.length });
  });

  it('is refused, wherever it is cut, and with anything behind it', () => {
    for (let end = 0; end < sealed.length; end += 1) {
      expect(read(form, sealed.subarray(0, end), key), `${end} bytes`).toMatchObject({
        code: 'VALUE_UNREADABLE',
        reason: end < 45 ? 'malformed' : 'notAuthentic',
      });
    }
    expect(read(form, Buffer.concat([sealed, Uint8Array.of(0)]), key)).toMatchObject({ reason: 'notAuthentic' });
    expect(read(form, sealed, key)).toEqual(Uint8Array.from(Buffer.from('what nobody may change')));
  });

  it('is refused under another key, in another keyspace, and where names and keys run together', () => {
    const elsewhere: readonly (readonly [KeyspaceName, string])[] = [
      ['users', 'bob'],
      ['users', 'ad'],
      ['users', 'adaa'],
      ['users', ''],
      ['other', 'ada'],
      ['usersa', 'da'],
      ['user', 'sada'],
      [['users', 'x'], 'ada'],
    ];
    for (const [names, text] of elsewhere) {
      const outcome = read(formOf(names, keys), sealed, Buffer.from(text));
      expect(outcome, `${String(names)} ${text}`).toMatchObject({ code: 'VALUE_UNREADABLE', reason: 'notAuthentic' });
    }
    const nested = formOf(['a', 'b'], keys);
    const inner = Buffer.from(nested.encodeValue(Uint8Array.of(1), nested.encodeKey(key)));
    expect(read(formOf('b', keys), inner, key)).toMatchObject({ reason: 'notAuthentic' });
    expect(read(nested, inner, key)).toEqual(Uint8Array.of(1));
  });

  it('is refused by another key under the same id', () => {
    const { id } = keys.current();
    const impostor = new EncryptionKey(id, new Uint8Array(32));
    expect(read(formOf('users', new KeyRing(impostor)), sealed, key)).toMatchObject({
      code: 'VALUE_UNREADABLE',
      keyId: id,
      reason: 'notAuthentic',
      keyspace: 'users',
      key: Uint8Array.from(Buffer.from('!users!ada')),
    });
  });
});

it('the id of a key is a UUID in lower case, there and back, and nothing else', () => {
  const id = '01234567-89ab-cdef-0123-456789abcdef';
  expect(keyIdText(keyIdBytes(id) ?? new Uint8Array(0))).toBe(id);
  for (const other of ['', id.toUpperCase(), `${id}0`, ` ${id}`, id.replaceAll('-', ''), id.replace('f', 'g')]) {
    expect(keyIdBytes(other)).toBe(undefined);
  }
});
