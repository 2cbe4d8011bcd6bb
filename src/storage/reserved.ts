/**
 * Keys of our own: consumers' positions, dead letters, idempotency keys. They are ordinary keys of the same store, so that
 * they commit in the same batch as what they are about. To `level` they are the sublevel `_alluvium`; scans and change
 * streams do not show them, and users' writes to them are refused.
 */
import { compareBytes } from './codec/compare.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What every reserved key begins with. */
export const RESERVED_PREFIX = '!_alluvium!';
/** Followed by `<name>`: a consumer's position. */
export const CONSUMERS_PREFIX: string = `${RESERVED_PREFIX}!consumers!`;
/** The first key behind those. */
export const CONSUMERS_END: string = `${RESERVED_PREFIX}!consumers"`;
/** Followed by `<name>!<sequence>`: a dead letter. */
export const DEAD_LETTERS_PREFIX: string = `${RESERVED_PREFIX}!dead!`;
/** Followed by the key that the caller gave. */
export const IDEMPOTENCY_PREFIX: string = `${RESERVED_PREFIX}!idempotency!`;
/** Followed by `<time>!<key>`: when idempotency keys may go, in order of time. */
export const EXPIRY_PREFIX: string = `${RESERVED_PREFIX}!expiry!`;

/** {@link RESERVED_PREFIX} as bytes. */
export const RESERVED_START: Uint8Array = encode(RESERVED_PREFIX);
/** The first key behind all reserved ones. */
export const RESERVED_END: Uint8Array = encode('!_alluvium"');

const [FIRST, SECOND] = RESERVED_START;

/** Whether the key `bytes[start, end)` is ours. */
export function isReserved(bytes: Uint8Array, start: number, end: number): boolean {
  // Nearly every key is told by its first bytes.
  if (end - start < RESERVED_START.length || bytes[start] !== FIRST || bytes[start + 1] !== SECOND) return false;
  return compareBytes(bytes, start, start + RESERVED_START.length, RESERVED_START, 0, RESERVED_START.length) === 0;
}
