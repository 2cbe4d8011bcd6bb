import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Malformed } from '../../../src/storage/codec/malformed.ts';
import { FilterBuilder, FilterReader } from '../../../src/storage/table/filter-block.ts';

const hash = fc.nat(0xffff_ffff);
const blocks = fc.array(fc.record({ bytes: fc.nat(5000), hashes: fc.array(hash, { minLength: 1, maxLength: 20 }) }));

it('lets every key through at its block, and none where no block begins', () => {
  fc.assert(
    fc.property(blocks, fc.integer({ min: 1, max: 20 }), (all, bitsPerKey) => {
      const builder = new FilterBuilder(bitsPerKey);
      let offset = 0;
      const starts = new Map<number, readonly number[]>();
      for (const { bytes, hashes } of all) {
        builder.startBlock(offset);
        for (const one of hashes) builder.add(one);
        starts.set(offset, hashes);
        offset += bytes + 13; // a block is never shorter than its restarts and trailer
        builder.startBlock(offset);
      }
      const reader = new FilterReader(builder.finish());
      for (const [start, hashes] of starts) for (const one of hashes) expect(reader.mayContain(start, one)).toBe(true);
      const used = new Set([...starts.keys()].map((start) => Math.floor(start / 2048)));
      const count = Math.max(-1, ...used) + 1;
      for (let index = 0; index < count; index += 1) {
        if (!used.has(index)) expect(reader.mayContain(index * 2048, 12_345)).toBe(false);
      }
      // Behind the last filter nothing is known.
      expect(reader.mayContain((count + 10) * 2048 + offset, 12_345)).toBe(true);
    }),
  );
});

it('reads any bytes, or calls them malformed', () => {
  const tailed = fc
    .tuple(fc.uint8Array({ maxLength: 40 }), fc.nat(40))
    // The array of offsets begins where a whole number of them fits: often a block that can be read.
    .map(([bytes, words]) => [bytes, Math.max(0, bytes.length - 4 * words)] as const)
    .map(([bytes, start]) => Uint8Array.from([...bytes, start, 0, 0, 0, 11]));
  let good = 0;
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 50 }), tailed), hash, fc.nat(100_000), (bytes, one, offset) => {
      try {
        expect(typeof new FilterReader(bytes).mayContain(offset, one)).toBe('boolean');
        good += 1;
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Malformed);
      }
    }),
  );
  expect(good).toBeGreaterThan(0);
});

it.each([
  ['too short', [0, 0, 0, 11]],
  ['with starts behind its end', [9, 0, 0, 0, 11]],
  ['with a part of a start', [0, 0, 0, 0, 0, 0, 11]],
  ['with a start behind the starts', [5, 0, 0, 0, 0, 0, 0, 0, 11]],
  ['with starts that descend', [1, 2, 3, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 11]],
])('refuses a filter block %s', (_what, bytes) => {
  expect(() => new FilterReader(Uint8Array.from(bytes))).toThrow(Malformed);
});
