import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bloomFilterBytes, bloomHash, bloomMayContain } from '../../../src/storage/codec/bloom.ts';

const hashOf = (bytes: Uint8Array): number => bloomHash(bytes, 0, bytes.length);
const hashesOf = (prefix: string, count: number): number[] =>
  Array.from({ length: count }, (_, index) => hashOf(Buffer.from(`${prefix}:${index}`)));
const mayContain = (filter: Uint8Array, hash: number): boolean => bloomMayContain(filter, 0, filter.length, hash);

it.each([
  [[], 0xbc9f_1d34],
  [[0x62], 0xef13_45c4],
  [[0xc3, 0x97], 0x5b66_3814],
  [[0xe2, 0x99, 0xa5], 0x323c_078f],
  [[0xe1, 0x80, 0xb9, 0x32], 0xed21_633a],
])('hashes %j as LevelDB does', (bytes, hash) => {
  expect(hashOf(Uint8Array.from(bytes))).toBe(hash);
});

it('hashes only the range it is given', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 5 }), (key, padding) => {
      const bytes = Buffer.concat([padding, key, padding]);
      expect(bloomHash(bytes, padding.length, padding.length + key.length)).toBe(hashOf(key));
    }),
  );
});

it('has no false negatives, wherever the filter lies', () => {
  const keys = fc.array(fc.uint8Array({ maxLength: 12 }), { maxLength: 200 });
  fc.assert(
    fc.property(keys, fc.integer({ min: 1, max: 40 }), fc.nat({ max: 9 }), (list, bitsPerKey, before) => {
      const hashes = Uint32Array.from(list, hashOf);
      const filter = bloomFilterBytes(hashes, hashes.length, bitsPerKey);
      const file = Buffer.concat([Buffer.alloc(before), filter, Buffer.alloc(3, 0xff)]);
      for (const hash of hashes) expect(bloomMayContain(file, before, before + filter.length, hash)).toBe(true);
    }),
  );
});

// The mean over many filters: a single one of a few keys has so few bits that its rate lies anywhere from 0 to 4 %.
it.each([
  [1, 100],
  [5, 100],
  [10, 100],
  [100, 50],
  [1000, 10],
  [10_000, 1],
])('has less than 2 %% false positives at 10 bits, with %i keys', (count, filters) => {
  const absent = hashesOf('out', 5000);
  let positives = 0;
  for (let round = 0; round < filters; round += 1) {
    const filter = bloomFilterBytes(hashesOf(`in ${round}`, count), count, 10);
    positives += absent.filter((hash) => mayContain(filter, hash)).length;
  }
  expect(positives / filters / absent.length).toBeLessThan(0.02);
});

it('an empty filter contains nothing', () => {
  const filter = bloomFilterBytes([], 0, 10);
  expect(hashesOf('x', 100).some((hash) => mayContain(filter, hash))).toBe(false);
});

it('takes the first hashes only', () => {
  const [first = 0, second = 0] = hashesOf('key', 2);
  const filter = bloomFilterBytes([first, second], 1, 10);
  expect(mayContain(filter, first)).toBe(true);
  expect(mayContain(filter, second)).toBe(false);
});

it.each([
  [1, 10, 9, 6],
  [7, 10, 10, 6],
  [100, 10, 126, 6],
  [100, 1, 14, 1],
  [8, 13, 14, 8],
  [8, 20, 21, 13],
  [10, 100, 126, 30],
  [16, 6.5, 14, 4],
])('%i keys at %d bits take %i bytes, with k = %i last', (count, bitsPerKey, length, probes) => {
  const filter = bloomFilterBytes(hashesOf('key', count), count, bitsPerKey);
  expect(filter).toHaveLength(length);
  expect(filter.at(-1)).toBe(probes);
});

it('sets the bits h, h + d, h + 2d, with d = h rotated right by 17', () => {
  const hash = 0xef13_45c4;
  const delta = Number(((BigInt(hash) >> 17n) | (BigInt(hash) << 15n)) & 0xffff_ffffn);
  const bits = new Uint8Array(9);
  for (let probe = 0; probe < 6; probe += 1) {
    const bit = Number((BigInt(hash) + BigInt(probe) * BigInt(delta)) % 0x1_0000_0000n) % 64;
    bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
  }
  bits[8] = 6;
  expect(bloomFilterBytes([hash], 1, 10)).toEqual(bits);
});

it('one whose k is above 30 may contain anything; one of k = 30 is read', () => {
  const filter = new Uint8Array(9);
  filter[8] = 31;
  expect(mayContain(filter, 1)).toBe(true);
  filter[8] = 30;
  expect(mayContain(filter, 1)).toBe(false);
});

it('one too short to hold a bit contains nothing', () => {
  expect(mayContain(new Uint8Array(0), 1)).toBe(false);
  expect(mayContain(Uint8Array.of(31), 1)).toBe(false);
});
