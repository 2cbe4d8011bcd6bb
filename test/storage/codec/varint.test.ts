import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Malformed } from '../../../src/storage/codec/malformed.ts';
import {
  readVarint32,
  readVarint64,
  VARINT32_BYTES_MAX,
  varintLength,
  VARINT_BYTES_MAX,
  writeVarint,
} from '../../../src/storage/codec/varint.ts';

// Numbers of every width, not mostly huge ones.
const upTo = (bits: number): fc.Arbitrary<number> =>
  fc.tuple(fc.integer({ min: 0, max: bits }), fc.double({ min: 0, max: 1, noNaN: true })).map(([width, part]) => {
    const max = 2 ** width - 1;
    return Math.round(max * part);
  });
const uint32 = fc.oneof(upTo(32), fc.constantFrom(0, 0x7f, 0x80, 0x3fff, 0x4000, 0xffff_ffff));
const safe = fc.oneof(upTo(53), fc.constantFrom(0, 2 ** 31, 2 ** 32, 2 ** 49 - 1, 2 ** 49, Number.MAX_SAFE_INTEGER));

function encode(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * VARINT_BYTES_MAX);
  let offset = 0;
  for (const value of values) offset = writeVarint(bytes, offset, value);
  return bytes.subarray(0, offset);
}

function decodeAll(bytes: Uint8Array, read: typeof readVarint32): number[] {
  const cursor = { bytes, offset: 0, end: bytes.length };
  const values: number[] = [];
  while (cursor.offset < cursor.end) values.push(read(cursor));
  return values;
}

function faultOf(bytes: readonly number[], read: typeof readVarint32, end = bytes.length): number | undefined {
  const cursor = { bytes: Uint8Array.from(bytes), offset: 0, end };
  try {
    read(cursor);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    expect(cursor.offset).toBe(0);
    return thrown.offset;
  }
}

it('decode undoes encode, for 32 bits', () => {
  fc.assert(
    fc.property(fc.array(uint32), (values) => {
      expect(decodeAll(encode(values), readVarint32)).toEqual(values);
      expect(decodeAll(encode(values), readVarint64)).toEqual(values);
    }),
  );
});

it('decode undoes encode, up to 2^53 - 1', () => {
  fc.assert(
    fc.property(fc.array(safe), (values) => {
      expect(decodeAll(encode(values), readVarint64)).toEqual(values);
    }),
  );
});

it('takes as many bytes as varintLength says, and no more than its bounds', () => {
  fc.assert(
    fc.property(safe, (value) => {
      const { length } = encode([value]);
      expect(length).toBe(varintLength(value));
      expect(length).toBeLessThanOrEqual(value <= 0xffff_ffff ? VARINT32_BYTES_MAX : VARINT_BYTES_MAX);
    }),
  );
  expect(varintLength(0xffff_ffff)).toBe(VARINT32_BYTES_MAX);
  expect(varintLength(Number.MAX_SAFE_INTEGER)).toBe(VARINT_BYTES_MAX);
});

it('is written as the format says', () => {
  expect([...encode([0, 1, 127, 128, 300, 0xffff_ffff])]).toEqual(
    [[0], [1], [0x7f], [0x80, 0x01], [0xac, 0x02], [0xff, 0xff, 0xff, 0xff, 0x0f]].flat(),
  );
});

it('any bytes decode or are reported, within the bytes given', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 16 }), fc.nat({ max: 16 }), (bytes, tail) => {
      const end = Math.max(bytes.length - tail, 0);
      for (const read of [readVarint32, readVarint64]) {
        const cursor = { bytes, offset: 0, end };
        try {
          const value = read(cursor);
          expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
          expect(cursor.offset).toBeLessThanOrEqual(end);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Malformed);
          expect(cursor.offset).toBe(0);
        }
      }
    }),
  );
});

it('reads encodings that are longer than needed', () => {
  expect(decodeAll(Uint8Array.of(0x81, 0x80, 0x80, 0x80, 0x00), readVarint32)).toEqual([1]);
  const tenBytes = Uint8Array.of(0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00);
  expect(decodeAll(tenBytes, readVarint64)).toEqual([1]);
});

it.each([
  ['empty', [], 0],
  ['cut short', [0x80], 1],
  ['longer than 5 bytes', [0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 4],
  ['over 32 bits', [0xff, 0xff, 0xff, 0xff, 0x1f], 4],
])('reports a varint32 that is %s', (_reason, bytes, offset) => {
  expect(faultOf(bytes, readVarint32)).toBe(offset);
});

it.each([
  ['empty', [], 0],
  ['cut short', [0x80, 0x80], 2],
  ['2^53', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10], 7],
  ['2^56', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], 8],
  ['longer than 10 bytes', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 9],
])('reports a varint64 that is %s', (_reason, bytes, offset) => {
  expect(faultOf(bytes, readVarint64)).toBe(offset);
});

it('does not read past the end, though the buffer goes on', () => {
  expect(faultOf([0x80, 0x01], readVarint32, 1)).toBe(1);
  expect(faultOf([0x80, 0x01], readVarint64, 1)).toBe(1);
});
