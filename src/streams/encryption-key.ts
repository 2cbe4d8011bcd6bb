/**
 * Keys that encrypt the values of keyspaces, and where keyspaces get them.
 *
 * What is secret about a key is held by a private field, as a `KeyObject` of node:crypto, and comes out nowhere: not by
 * `JSON.stringify`, not by `util.inspect` (which `console.log` uses), not by a copy. Errors about keys tell ids alone, and
 * never repeat what was given instead of a key: it may be one.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { InvalidArgumentError, OutOfRangeError } from '../errors.ts';
import { keyIdBytes } from '../storage/codec/sealed-value.ts';

/** Length of a key of AES-256. */
const SECRET_BYTES = 32;

/**
 * Values that one key encrypts, at most. Nonces are random, and two that are equal would betray both values: NIST SP 800-38D
 * (8.3) allows 2^32, where the chance of that is 2^-32. A process sees its own values only, so it stops at a fourth of it.
 */
export const VALUES_PER_KEY_MAX: number = 2 ** 30;

/** What is known of a key. */
export interface EncryptionKeySettings {
  /**
   * Values that it has encrypted before, in earlier processes, if you keep count of that: from 0, its default, to 2^30.
   */
  readonly valuesEncrypted?: number | undefined;
}

// Ways to what is private, for this package and not for those that have a key.
export let secretOf: (key: EncryptionKey) => KeyObject;
export let idBytesOf: (key: EncryptionKey) => Uint8Array;
/** @returns false, if the key has encrypted as much as it may */
export let countUse: (key: EncryptionKey) => boolean;
/** Another object for the same key goes on where the one before it was. */
export let goOnCounting: (key: EncryptionKey, before: EncryptionKey) => void;
export let isEncryptionKey: (given: unknown) => given is EncryptionKey;

/**
 * A key of AES-256, under an id that is stored, in clear, with each value that it encrypts.
 *
 * Make one object for each key, and give the same one each time: it counts what it encrypts.
 */
export class EncryptionKey {
  /** A UUID in lower case, as `crypto.randomUUID()` makes them. */
  readonly id: string;
  readonly #idBytes: Uint8Array;
  readonly #secret: KeyObject;
  #valuesEncrypted: number;

  /**
   * @param id - a UUID in lower case; never that of another key
   * @param secret - 32 random bytes, of `crypto.randomBytes` or of a key management service; copied, so that you may
   *   overwrite yours
   * @throws InvalidArgumentError, OutOfRangeError
   */
  constructor(id: string, secret: Uint8Array, { valuesEncrypted = 0 }: EncryptionKeySettings = {}) {
    const idBytes = typeof id === 'string' ? keyIdBytes(id) : undefined;
    // Whatever was given is not repeated: arguments get mixed up.
    if (idBytes === undefined) throw new InvalidArgumentError('id', 'a UUID in lower case', undefined, 'that');
    if (!((secret as unknown) instanceof Uint8Array) || secret.length !== SECRET_BYTES) {
      throw new InvalidArgumentError('secret', `a Uint8Array of ${SECRET_BYTES} bytes`, undefined, 'that');
    }
    if (typeof (valuesEncrypted as unknown) !== 'number') {
      throw new InvalidArgumentError('valuesEncrypted', 'a number', undefined, 'that');
    }
    if (!Number.isSafeInteger(valuesEncrypted) || valuesEncrypted < 0 || valuesEncrypted > VALUES_PER_KEY_MAX) {
      throw new OutOfRangeError('valuesEncrypted', 'a whole number from 0 to 2^30', valuesEncrypted);
    }
    this.id = id;
    this.#idBytes = idBytes;
    this.#secret = createSecretKey(secret);
    this.#valuesEncrypted = valuesEncrypted;
  }

  /**
   * Values that it has encrypted, with those before. At 2^30 it refuses, with EncryptionKeyError: make another key current
   * long before that. Each encoded value counts, also one whose write fails.
   */
  get valuesEncrypted(): number {
    return this.#valuesEncrypted;
  }

  toJSON(): { readonly id: string; readonly secret: string } {
    return { id: this.id, secret: '[secret]' };
  }

  static {
    const show = (key: EncryptionKey): string => `EncryptionKey { id: '${key.id}', secret: [secret] }`;
    Object.defineProperty(this.prototype, inspect.custom, {
      value(this: EncryptionKey) {
        return show(this);
      },
    });
    secretOf = (key) => key.#secret;
    idBytesOf = (key) => key.#idBytes;
    countUse = (key) => {
      if (key.#valuesEncrypted >= VALUES_PER_KEY_MAX) return false;
      key.#valuesEncrypted += 1;
      return true;
    };
    goOnCounting = (key, before) => {
      key.#valuesEncrypted = Math.max(key.#valuesEncrypted, before.#valuesEncrypted);
    };
    isEncryptionKey = (given): given is EncryptionKey =>
      typeof given === 'object' && given !== null && #secret in given;
  }
}

/**
 * Where an encrypted keyspace gets its keys. Yours: a `Map` of the keys that were loaded before, from a file or from a key
 * management service.
 *
 * Both methods answer at once: a read that memory can answer is synchronous, and the changes of a batch are decrypted
 * together, in order. A promise per value would end both. So load keys first; or, where there are many, load the one that a
 * `ValueUnreadableError` names by its `keyId`, and read again.
 */
export interface KeyProvider {
  /** The key that encrypts what is written from now on. Asked for each value: give another one, and that one is used. */
  current(): EncryptionKey;
  /** The key with that id; `undefined`, if it is not there (any more). Asked for each value that is read. */
  byId(id: string): EncryptionKey | undefined;
}
