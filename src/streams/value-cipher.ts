/**
 * Encrypts and decrypts the values of one keyspace: plaintext and stored key in, a sealed value out, and back. The form is
 * in `codec/sealed-value.ts`; the cipher is node:crypto's.
 *
 * Each value gets a nonce of its own from the operating system's generator, one call for each: a store of nonces drawn in
 * advance would be used twice after a snapshot of a virtual machine is resumed twice.
 *
 * Decrypted bytes are given out only when their tag was found right.
 */
// eslint-disable-next-line no-restricted-imports -- a nonce that a test could decide about, another could repeat
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import * as E from 'fp-ts/lib/Either.js';
import {
  EncryptionKeyError,
  InvalidArgumentError,
  type UnreadableReason,
  ValueTooLargeError,
  ValueUnreadableError,
} from '../errors.ts';
import type { Bytes } from '../model.ts';
import { compareBytes } from '../storage/codec/compare.ts';
import {
  boundTo,
  joinSealed,
  keyIdText,
  NONCE_BYTES,
  SEALED_OVERHEAD_BYTES,
  type SealedValue,
  splitSealed,
  TAG_BYTES,
} from '../storage/codec/sealed-value.ts';
import {
  countUse,
  type EncryptionKey,
  goOnCounting,
  idBytesOf,
  isEncryptionKey,
  type KeyProvider,
  secretOf,
} from './encryption-key.ts';
import { toBytes } from './key-buffer.ts';
import type { KeyspacePrefix } from './keyspace-name.ts';
import { VALUE_BYTES_MAX } from './write.ts';

/** How the values of a keyspace are encrypted: with AES-256-GCM. Keys of entries stay in clear, for order needs them. */
export interface KeyspaceEncryption {
  readonly keys: KeyProvider;
}

const ALGORITHM = 'aes-256-gcm';
const SETTINGS = { authTagLength: TAG_BYTES } as const;

/** One value with a given nonce; each nonce is good for one value of its key. */
export function sealWith(
  key: EncryptionKey,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  name: Uint8Array,
  userKey: Uint8Array,
): SealedValue {
  const keyId = idBytesOf(key);
  const cipher = createCipheriv(ALGORITHM, secretOf(key), nonce, SETTINGS);
  cipher.setAAD(boundTo(name, userKey, keyId));
  const ciphertext = cipher.update(plaintext);
  cipher.final(); // gives no more bytes in this mode
  return joinSealed({ keyId, nonce, ciphertext, tag: cipher.getAuthTag() });
}

export class ValueCipher {
  readonly #prefix: KeyspacePrefix;
  readonly #name: Uint8Array;
  readonly #keys: KeyProvider;
  #lastCurrent: EncryptionKey | undefined;

  /** @throws InvalidArgumentError */
  constructor(prefix: KeyspacePrefix, encryption: KeyspaceEncryption) {
    this.#prefix = prefix;
    this.#name = toBytes(prefix.name);
    this.#keys = checkProvider(encryption);
  }

  /** @param stored - the stored key of the entry. @throws EncryptionKeyError, InvalidArgumentError, ValueTooLargeError */
  seal(plaintext: Uint8Array, stored: Bytes): SealedValue {
    const bytes = plaintext.length + SEALED_OVERHEAD_BYTES;
    if (bytes > VALUE_BYTES_MAX) throw new ValueTooLargeError('value', bytes, VALUE_BYTES_MAX);
    const key = this.#current();
    if (!countUse(key)) throw new EncryptionKeyError(this.#prefix.name, key.id, 'spent');
    return sealWith(key, randomBytes(NONCE_BYTES), plaintext, this.#name, this.#userKey(toBytes(stored)));
  }

  /** @param stored - the stored key of the entry. @throws ValueUnreadableError */
  open(sealed: Uint8Array, stored: Uint8Array): Uint8Array {
    const split = splitSealed(sealed);
    if (E.isLeft(split)) throw this.#unreadable(stored, undefined, 'malformed');
    const { keyId, nonce, ciphertext, tag } = split.right;
    const id = keyIdText(keyId);
    const key = this.#keyOf(id, stored);
    const decipher = createDecipheriv(ALGORITHM, secretOf(key), nonce, SETTINGS);
    decipher.setAAD(boundTo(this.#name, this.#userKey(stored), keyId));
    decipher.setAuthTag(tag);
    const plaintext = decipher.update(ciphertext);
    try {
      decipher.final();
    } catch {
      plaintext.fill(0); // nobody has seen it; nobody will
      throw this.#unreadable(stored, id, 'notAuthentic');
    }
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
  }

  /** Whether the key that is current now has sealed it. @throws EncryptionKeyError, InvalidArgumentError */
  isCurrent(sealed: Uint8Array): boolean {
    const split = splitSealed(sealed);
    if (E.isLeft(split)) return false;
    const { keyId } = split.right;
    return compareBytes(keyId, 0, keyId.length, idBytesOf(this.#current()), 0, keyId.length) === 0;
  }

  #current(): EncryptionKey {
    let key: unknown;
    try {
      key = this.#keys.current();
    } catch (cause) {
      throw new EncryptionKeyError(this.#prefix.name, undefined, 'providerFailed', { cause });
    }
    if (!isEncryptionKey(key)) throw noKey('current', key);
    const last = this.#lastCurrent;
    if (key === last) return key;
    if (last !== undefined && last.id === key.id) goOnCounting(key, last);
    this.#lastCurrent = key;
    return key;
  }

  #keyOf(id: string, stored: Uint8Array): EncryptionKey {
    try {
      const key: unknown = this.#keys.byId(id);
      if (isEncryptionKey(key)) return key;
      if (key !== undefined) throw noKey('byId', key);
    } catch (cause) {
      throw this.#unreadable(stored, id, 'providerFailed', { cause });
    }
    throw this.#unreadable(stored, id, 'keyUnknown');
  }

  #userKey(stored: Uint8Array): Uint8Array {
    return stored.subarray(this.#prefix.bytes.length);
  }

  #unreadable(
    stored: Uint8Array,
    keyId: string | undefined,
    reason: UnreadableReason,
    options?: ErrorOptions,
  ): ValueUnreadableError {
    return new ValueUnreadableError(this.#prefix.name, Uint8Array.from(stored), keyId, reason, options);
  }
}

function checkProvider(encryption: unknown): KeyProvider {
  const isObject = typeof encryption === 'object' && encryption !== null;
  const keys: unknown = isObject && 'keys' in encryption ? encryption.keys : undefined;
  if (isProvider(keys)) return keys;
  // What was given instead is not shown, here and below: it may be a key.
  const expected = 'an object with keys, a key provider: current() and byId(id)';
  throw new InvalidArgumentError('options.encryption', expected, undefined, 'that');
}

const isProvider = (given: unknown): given is KeyProvider =>
  typeof given === 'object' &&
  given !== null &&
  'current' in given &&
  typeof given.current === 'function' &&
  'byId' in given &&
  typeof given.byId === 'function';

const noKey = (method: string, given: unknown): InvalidArgumentError =>
  new InvalidArgumentError(
    `what options.encryption.keys.${method}() gives`,
    'an EncryptionKey, at once',
    undefined,
    given instanceof Promise ? 'a promise' : given === null ? 'null' : `of type ${typeof given}`,
  );
