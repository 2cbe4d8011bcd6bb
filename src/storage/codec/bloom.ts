/**
 * LevelDB's Bloom filter, bit for bit:
 *
 *     filter := bit array | k (1 byte)
 *
 * Each key sets k bits: h, h + d, h + 2d, ... modulo the number of bits, where h is the key's hash and d is h rotated
 * right by 17. A key is absent when one of its bits is not set. At 10 bits per key about 1 % of absent keys seem present.
 *
 * Sources: LevelDB util/bloom.cc and util/hash.cc; A. Kirsch and M. Mitzenmacher, "Less Hashing, Same Performance" (2006).
 */

export const FILTER_NAME = 'leveldb.BuiltinBloomFilter2';

const HASH_SEED = 0xbc9f_1d34;
const HASH_MULTIPLIER = 0xc6a4_a793;
/** Very short filters have a high false positive rate; so none is shorter. */
const BITS_MIN = 64;
const PROBES_MAX = 30;

/** The hash of the user key `bytes[start, end)`, in [0, 2^32 - 1]. Hot: asked once per look-up. */
export function bloomHash(bytes: Uint8Array, start: number, end: number): number {
  let hash = HASH_SEED ^ Math.imul(end - start, HASH_MULTIPLIER);
  let offset = start;
  for (const last = end - 4; offset <= last; offset += 4) {
    const word =
      (bytes[offset] as number) |
      ((bytes[offset + 1] as number) << 8) |
      ((bytes[offset + 2] as number) << 16) |
      ((bytes[offset + 3] as number) << 24);
    hash = Math.imul((hash + word) | 0, HASH_MULTIPLIER);
    hash ^= hash >>> 16;
  }
  const rest = end - offset;
  if (rest > 0) {
    if (rest === 3) hash += (bytes[offset + 2] as number) << 16;
    if (rest >= 2) hash += (bytes[offset + 1] as number) << 8;
    hash = Math.imul((hash + (bytes[offset] as number)) | 0, HASH_MULTIPLIER);
    hash ^= hash >>> 24;
  }
  return hash >>> 0;
}

/**
 * The filter of the first `count` hashes, made by {@link bloomHash}.
 *
 * @param bitsPerKey - above 0; 10 is usual. More bits, fewer false positives: each 1.44 more bits halve them
 * @returns the bits, then k; 9 bytes at least
 */
export function bloomFilterBytes(
  keyHashes: Uint32Array | readonly number[],
  count: number,
  bitsPerKey: number,
): Uint8Array {
  // ln 2 times the bits per key makes the fewest false positives; LevelDB rounds ln 2 to 0.69, and so must we.
  const probes = Math.min(Math.max(Math.floor(bitsPerKey * 0.69), 1), PROBES_MAX);
  const bitBytes = Math.ceil(Math.max(count * bitsPerKey, BITS_MIN) / 8);
  const bits = (bitBytes * 8) >>> 0; // unsigned, like the hash: the remainder is then one machine instruction, not a call
  const filter = new Uint8Array(bitBytes + 1);
  filter[bitBytes] = probes;
  for (let index = 0; index < count; index += 1) {
    let hash = (keyHashes[index] as number) >>> 0;
    const delta = ((hash >>> 17) | (hash << 15)) >>> 0;
    for (let probe = 0; probe < probes; probe += 1) {
      const bit = hash % bits;
      filter[bit >>> 3] = (filter[bit >>> 3] as number) | (1 << (bit & 7));
      hash = (hash + delta) >>> 0;
    }
  }
  return filter;
}

/**
 * Whether the filter `filter[start, end)` may have been made with the key of this hash. `false` is certain.
 *
 * A filter of fewer than two bytes holds no keys. One whose k is over 30 is of a later format, and may contain anything.
 */
export function bloomMayContain(filter: Uint8Array, start: number, end: number, hash: number): boolean {
  const bitBytes = end - start - 1;
  if (bitBytes < 1) return false;
  const probes = filter[end - 1] as number;
  if (probes > PROBES_MAX) return true;
  const bits = (bitBytes * 8) >>> 0; // unsigned, as above
  let place = hash >>> 0;
  const delta = ((place >>> 17) | (place << 15)) >>> 0;
  for (let probe = 0; probe < probes; probe += 1) {
    const bit = place % bits;
    if (((filter[start + (bit >>> 3)] as number) & (1 << (bit & 7))) === 0) return false;
    place = (place + delta) >>> 0;
  }
  return true;
}
