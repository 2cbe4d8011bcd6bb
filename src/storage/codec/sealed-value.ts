/**
 * The form of an encrypted value: AES-256-GCM, with everything that is needed to read it but the key.
 *
 *     sealed  := version (1 byte, 1) | key id (16) | nonce (12) | ciphertext | tag (16)
 *     bound   := nameBytes:fixed32 name | keyBytes:fixed32 key | version | key id      authenticated, and not stored
 *
 * The ciphertext is as long as the plaintext. `name` is the keyspace's (names within names joined by `!`), `key` the encoded
 * key without the keyspace's prefix: so a value is good for one key of one keyspace, and nowhere else. Lengths first: else
 * the end of a name could be taken for the beginning of a key.
 *
 * Source: NIST SP 800-38D, with nonces of 96 bits and tags of 128.
 */
import * as E from 'fp-ts/lib/Either.js';
import { writeFixed32 } from './fixed.ts';

export const SEALED_VERSION = 1;
const VERSION_BYTES = 1;
const KEY_ID_BYTES = 16;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;

const NONCE_START = VERSION_BYTES + KEY_ID_BYTES;
const CIPHERTEXT_START: number = NONCE_START + NONCE_BYTES;
/** What a sealed value is longer than its plaintext. */
export const SEALED_OVERHEAD_BYTES: number = CIPHERTEXT_START + TAG_BYTES;

/**
 * A value that was sealed. A class of its own, so that whoever compares two writes knows that equal plaintexts have, for
 * their nonces, different bytes.
 */
export class SealedValue extends Uint8Array {}

/** Where the parts of a sealed value are; arrays that share its memory. */
export interface SealedParts {
  readonly keyId: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly tag: Uint8Array;
}

export function joinSealed({ keyId, nonce, ciphertext, tag }: SealedParts): SealedValue {
  const sealed = new SealedValue(SEALED_OVERHEAD_BYTES + ciphertext.length);
  sealed[0] = SEALED_VERSION;
  sealed.set(keyId, VERSION_BYTES);
  sealed.set(nonce, NONCE_START);
  sealed.set(ciphertext, CIPHERTEXT_START);
  sealed.set(tag, CIPHERTEXT_START + ciphertext.length);
  return sealed;
}

/** @returns what is wrong with it, in words, or its parts */
export function splitSealed(sealed: Uint8Array): E.Either<string, SealedParts> {
  if (sealed.length < SEALED_OVERHEAD_BYTES) return E.left('it is too short');
  if (sealed[0] !== SEALED_VERSION) return E.left('it is of another version');
  const tagStart = sealed.length - TAG_BYTES;
  return E.right({
    keyId: sealed.subarray(VERSION_BYTES, NONCE_START),
    nonce: sealed.subarray(NONCE_START, CIPHERTEXT_START),
    ciphertext: sealed.subarray(CIPHERTEXT_START, tagStart),
    tag: sealed.subarray(tagStart),
  });
}

/** What a value is bound to: authenticated along with it. */
export function boundTo(name: Uint8Array, key: Uint8Array, keyId: Uint8Array): Uint8Array {
  const bound = new Uint8Array(4 + name.length + 4 + key.length + NONCE_START);
  writeFixed32(bound, 0, name.length);
  bound.set(name, 4);
  const keyStart = 4 + name.length + 4;
  writeFixed32(bound, keyStart - 4, key.length);
  bound.set(key, keyStart);
  const end = keyStart + key.length;
  bound[end] = SEALED_VERSION;
  bound.set(keyId, end + VERSION_BYTES);
  return bound;
}

const KEY_ID_FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @returns `undefined` for what is no UUID in lower case */
export const keyIdBytes = (id: string): Uint8Array | undefined =>
  KEY_ID_FORM.test(id) ? new Uint8Array(Buffer.from(id.replaceAll('-', ''), 'hex')) : undefined;

export function keyIdText(bytes: Uint8Array): string {
  const digits = Buffer.from(bytes.buffer, bytes.byteOffset, KEY_ID_BYTES).toString('hex');
  const ends = [0, 8, 12, 16, 20, 32];
  return ends
    .slice(1)
    .map((end, index) => digits.slice(ends[index], end))
    .join('-');
}
