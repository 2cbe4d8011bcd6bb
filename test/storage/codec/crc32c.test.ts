import fc from 'fast-check';
import { expect, it } from 'vitest';
import { crc32c, maskCrc, unmaskCrc } from '../../../src/storage/codec/crc32c.ts';

const crcOf = (bytes: Uint8Array): number => crc32c(bytes, 0, bytes.length);

/** The definition, bit by bit. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

it.each([
  ['nothing', new Uint8Array(0), 0],
  ['the check string', Buffer.from('123456789'), 0xe306_9283],
  ['32 zeros', new Uint8Array(32), 0x8a91_36aa],
  ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8_ab43],
  ['32 bytes going up', Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd_794e],
  ['32 bytes going down', Uint8Array.from({ length: 32 }, (_, index) => 31 - index), 0x113f_db5c],
])('is the published checksum of %s', (_what, bytes, crc) => {
  expect(crcOf(bytes)).toBe(crc);
});

it('is the checksum of the definition, at every length and place', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), fc.nat({ max: 17 }), (bytes, start) => {
      const from = Math.min(start, bytes.length);
      expect(crc32c(bytes, from, bytes.length)).toBe(slowCrc(bytes.subarray(from)));
    }),
  );
});

it('is the checksum of the definition for large inputs, which are read by words', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 5000 }), fc.nat({ max: 20 }), fc.nat(), (length, start, seed) => {
      // A view into the middle of its memory: the words must start where the view does.
      const memory = Uint8Array.from(
        { length: length + 33 },
        (_, index) => Math.imul(index + seed, 0x9e37_79b1) >>> 24,
      );
      const bytes = memory.subarray(13);
      expect(crc32c(bytes, start, length)).toBe(slowCrc(bytes.subarray(start, length)));
    }),
  );
});

it('goes on where it was interrupted', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000, size: 'max' }), fc.nat({ max: 3000 }), (bytes, at) => {
      const cut = Math.min(at, bytes.length);
      expect(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut))).toBe(crcOf(bytes));
    }),
  );
});

it('notices any single bit that flips', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (bytes, at) => {
      const flipped = bytes.slice();
      const index = (at >>> 3) % bytes.length;
      flipped[index] = (flipped[index] as number) ^ (1 << (at & 7));
      expect(crcOf(flipped)).not.toBe(crcOf(bytes));
    }),
  );
});

it('masks as LevelDB does, and unmasking undoes it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (crc) => {
      const wide = BigInt(crc);
      const rotated = ((wide >> 15n) | (wide << 17n)) & 0xffff_ffffn;
      expect(maskCrc(crc)).toBe(Number((rotated + 0xa282_ead8n) & 0xffff_ffffn));
      expect(unmaskCrc(maskCrc(crc))).toBe(crc);
    }),
  );
});
