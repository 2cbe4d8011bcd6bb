import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readFixed32, readFixed64, writeFixed32, writeFixed64 } from '../../../src/storage/codec/fixed.ts';
import { Malformed } from '../../../src/storage/codec/malformed.ts';

const before = fc.nat({ max: 5 });

it('decode undoes encode of 32 bits, as the system itself does it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), before, (value, offset) => {
      const bytes = Buffer.alloc(offset + 4);
      writeFixed32(bytes, offset, value);
      expect(bytes.readUInt32LE(offset)).toBe(value);
      expect(readFixed32(bytes, offset)).toBe(value);
    }),
  );
});

it('decode undoes encode of 64 bits, as the system itself does it', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), before, (value, offset) => {
      const bytes = Buffer.alloc(offset + 8);
      writeFixed64(bytes, offset, value);
      expect(bytes.readBigUInt64LE(offset)).toBe(BigInt(value));
      expect(readFixed64(bytes, offset)).toBe(value);
    }),
  );
});

it('any eight bytes are a number up to 2^53 - 1, or reported', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.nat({ max: 255 }), (bytes, top) => {
      bytes[6] = (bytes[6] as number) & 0x3f;
      bytes[7] = top < 200 ? 0 : top;
      const exact = Buffer.from(bytes).readBigUInt64LE();
      if (exact > BigInt(Number.MAX_SAFE_INTEGER)) expect(() => readFixed64(bytes, 0)).toThrow(Malformed);
      else expect(readFixed64(bytes, 0)).toBe(Number(exact));
    }),
  );
});

it('reports 2^53, the first number it cannot hold', () => {
  expect(() => readFixed64(Uint8Array.of(0, 0, 0, 0, 0, 0, 0x20, 0), 0)).toThrow(Malformed);
});

it('reports a number that the buffer cuts short', () => {
  expect(() => readFixed32(new Uint8Array(4), 1)).toThrow(Malformed);
  expect(() => readFixed64(new Uint8Array(8), 1)).toThrow(Malformed);
});
