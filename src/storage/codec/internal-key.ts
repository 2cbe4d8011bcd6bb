/**
 * What tables and memtables sort by. Every version of a user key is an entry of its own:
 *
 *     internal key := user key | tag
 *     tag          := fixed64 of (sequence << 8 | kind)     = kind (1 byte) | sequence (7 bytes, little-endian)
 *     kind         := 0 delete | 1 set
 *
 * Order: user key ascending, then tag descending, so that the newest version of a key comes first.
 *
 * LevelDB's sequences have 56 bits. Ours have 53; a larger one in an entry is reported. Only keys that are compared and
 * never read may hold more: LevelDB puts sequence 2^56 - 1 into the separators of its index blocks.
 *
 * Source: LevelDB db/dbformat.h.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Ord } from 'fp-ts/lib/Ord.js';
import { type EntryKind, KIND_DELETE, KIND_SET } from '../read/internal-iterator.ts';
import { compareBytes } from './compare.ts';
import { Malformed } from './malformed.ts';

/** Bytes behind the user key. */
export const TAG_BYTES = 8;

const TWO_POW_24 = 0x100_0000;
const TWO_POW_32 = 0x1_0000_0000;
/** Bits 32 to 55 of the largest sequence, 2^53 - 1. */
const SEQUENCE_HIGH_MAX = 0x001f_ffff;

/** An internal key taken apart. */
export interface InternalKey {
  /** A view of the bytes decoded, not a copy. */
  readonly userKey: Uint8Array;
  readonly sequence: number;
  readonly kind: EntryKind;
}

/**
 * The sequence number of the internal key that ends at `internalKeyEnd`, which is at least {@link TAG_BYTES} long.
 *
 * @throws Malformed above 2^53 - 1
 */
export function readSequence(bytes: Uint8Array, internalKeyEnd: number): number {
  const high =
    (bytes[internalKeyEnd - 3] as number) |
    ((bytes[internalKeyEnd - 2] as number) << 8) |
    ((bytes[internalKeyEnd - 1] as number) << 16);
  if (high > SEQUENCE_HIGH_MAX) throw new Malformed('sequence number exceeds 2^53 - 1', internalKeyEnd - TAG_BYTES);
  const low =
    (bytes[internalKeyEnd - 7] as number) |
    ((bytes[internalKeyEnd - 6] as number) << 8) |
    ((bytes[internalKeyEnd - 5] as number) << 16) |
    ((bytes[internalKeyEnd - 4] as number) << 24);
  return high * TWO_POW_32 + (low >>> 0);
}

/** The kind byte as it is, 0 to 255, of the internal key that ends at `internalKeyEnd`; the caller checks it. */
export function readKind(bytes: Uint8Array, internalKeyEnd: number): number {
  return bytes[internalKeyEnd - TAG_BYTES] as number;
}

/** Writes the eight bytes of a tag; `sequence` in [0, 2^53 - 1]. */
export function writeTag(bytes: Uint8Array, offset: number, sequence: number, kind: EntryKind): void {
  const high = Math.floor(sequence / TWO_POW_24); // bits 24 to 52: the tag's upper word
  bytes[offset] = kind;
  bytes[offset + 1] = sequence; // stores keep the low eight bits, and shifts the low 32: both are exact up to 2^53
  bytes[offset + 2] = sequence >>> 8;
  bytes[offset + 3] = sequence >>> 16;
  bytes[offset + 4] = high;
  bytes[offset + 5] = high >>> 8;
  bytes[offset + 6] = high >>> 16;
  bytes[offset + 7] = high >>> 24;
}

/** A new array: the user key, then its tag. */
export function encodeInternalKey(userKey: Uint8Array, sequence: number, kind: EntryKind): Uint8Array {
  const bytes = new Uint8Array(userKey.length + TAG_BYTES);
  bytes.set(userKey);
  writeTag(bytes, userKey.length, sequence, kind);
  return bytes;
}

/**
 * Compares two whole internal keys, each at least {@link TAG_BYTES} long: user key ascending, tag descending. Hot.
 *
 * @returns below 0, 0 or above 0
 */
export function compareInternal(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const order = compareBytes(a, aStart, aEnd - TAG_BYTES, b, bStart, bEnd - TAG_BYTES);
  if (order !== 0) return order;
  for (let back = 1; back <= TAG_BYTES; back += 1) {
    const difference = (b[bEnd - back] as number) - (a[aEnd - back] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Takes an internal key apart, or says what does not fit. Not for hot loops: it allocates. */
export function decodeInternalKey(bytes: Uint8Array): E.Either<string, InternalKey> {
  const userKeyEnd = bytes.length - TAG_BYTES;
  if (userKeyEnd < 0) return E.left(`an internal key of ${bytes.length} bytes has no room for its tag`);
  const kind = readKind(bytes, bytes.length);
  if (kind !== KIND_DELETE && kind !== KIND_SET) return E.left(`an internal key is of unknown kind ${kind}`);
  try {
    const sequence = readSequence(bytes, bytes.length);
    return E.right({ userKey: bytes.subarray(0, userKeyEnd), sequence, kind });
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown; // a bug of ours, not bad bytes
    return E.left(thrown.message);
  }
}

/** {@link compareInternal} of whole internal keys as a lawful fp-ts `Ord`. */
export const internalKeyOrd: Ord<Uint8Array> = {
  equals: (a, b) => a.length === b.length && compareInternal(a, 0, a.length, b, 0, b.length) === 0,
  compare: (a, b) => {
    const order = compareInternal(a, 0, a.length, b, 0, b.length);
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  },
};
