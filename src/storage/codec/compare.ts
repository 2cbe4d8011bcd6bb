/**
 * The order of user keys: bytewise, unsigned, a prefix before what it begins. Its name is written into every MANIFEST,
 * and a directory ordered by another name is refused.
 *
 * `shortestSeparator` and `shortSuccessor` make index keys short; both follow LevelDB (util/comparator.cc) to the byte,
 * so that our tables are the same as its own.
 */
import type { Ord } from 'fp-ts/lib/Ord.js';

export const COMPARATOR_NAME = 'leveldb.BytewiseComparator';

/**
 * Compares `a[aStart, aEnd)` with `b[bStart, bEnd)`. Hot: a plain loop beats `Buffer.compare` on keys of usual length,
 * because it crosses into no native code.
 *
 * @returns below 0, 0 or above 0, like a `sort` callback
 */
export function compareBytes(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const aLength = aEnd - aStart;
  const bLength = bEnd - bStart;
  const common = aLength < bLength ? aLength : bLength;
  for (let index = 0; index < common; index += 1) {
    const difference = (a[aStart + index] as number) - (b[bStart + index] as number);
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/** {@link compareBytes} of whole arrays as a lawful fp-ts `Ord`. */
export const bytewiseOrd: Ord<Uint8Array> = {
  equals: (a, b) => a.length === b.length && compareBytes(a, 0, a.length, b, 0, b.length) === 0,
  compare: (a, b) => {
    const order = compareBytes(a, 0, a.length, b, 0, b.length);
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  },
};

/**
 * A short key k with `start <= k < limit`, given `start < limit`: `start` cut behind the first byte that differs, and
 * that byte raised by one. Where this is not possible (`start` is a prefix of `limit`, or the raised byte would reach
 * the limit's), it is `start` itself, unchanged and not copied.
 */
export function shortestSeparator(start: Uint8Array, limit: Uint8Array): Uint8Array {
  const common = Math.min(start.length, limit.length);
  let index = 0;
  while (index < common && start[index] === limit[index]) index += 1;
  if (index >= common) return start;
  const raised = (start[index] as number) + 1;
  // Strictly below, as in LevelDB: one that equals the limit's byte could reach the limit itself.
  if (raised >= (limit[index] as number)) return start;
  return cutAndRaise(start, index, raised);
}

/** A short key `>= key`: cut behind the first byte that can be raised, and raised. Of nothing but 0xff: `key` itself. */
export function shortSuccessor(key: Uint8Array): Uint8Array {
  let index = 0;
  while (index < key.length && key[index] === 0xff) index += 1;
  if (index === key.length) return key;
  return cutAndRaise(key, index, (key[index] as number) + 1);
}

function cutAndRaise(key: Uint8Array, index: number, raised: number): Uint8Array {
  const cut = key.slice(0, index + 1);
  cut[index] = raised;
  return cut;
}
