import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { expect, it } from 'vitest';
import {
  compareInternal,
  decodeInternalKey,
  encodeInternalKey,
  internalKeyOrd,
  readKind,
  readSequence,
  TAG_BYTES,
} from '../../../src/storage/codec/internal-key.ts';
import { Malformed } from '../../../src/storage/codec/malformed.ts';
import { brokenFrom } from '../../support/broken-bytes.ts';
import { KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../../../src/storage/read/internal-iterator.ts';

const userKey = fc.array(fc.constantFrom(0, 1, 0x80, 0xff), { maxLength: 4 }).map((list) => Uint8Array.from(list));
const sequence = fc.oneof(
  fc.nat({ max: 3 }),
  fc.maxSafeNat(),
  fc.constantFrom(2 ** 24 - 1, 2 ** 24, 2 ** 32 - 1, 2 ** 32, SEQUENCE_MAX),
);
const kind = fc.constantFrom(KIND_DELETE, KIND_SET);
const internalKey = fc.tuple(userKey, sequence, kind).map((parts) => encodeInternalKey(...parts));
const { compare, equals } = internalKeyOrd;

it('decode undoes encode', () => {
  fc.assert(
    fc.property(userKey, sequence, kind, (key, number, type) => {
      const bytes = encodeInternalKey(key, number, type);
      expect(decodeInternalKey(bytes)).toEqual(E.right({ userKey: key, sequence: number, kind: type }));
      expect(readSequence(bytes, bytes.length)).toBe(number);
      expect(readKind(bytes, bytes.length)).toBe(type);
    }),
  );
});

it('holds LevelDB’s tag: the sequence shifted by eight, or the kind, in 64 bits', () => {
  fc.assert(
    fc.property(userKey, sequence, kind, (key, number, type) => {
      const bytes = Buffer.from(encodeInternalKey(key, number, type));
      expect(bytes.subarray(0, -TAG_BYTES)).toEqual(Buffer.from(key));
      expect(bytes.readBigUInt64LE(key.length)).toBe((BigInt(number) << 8n) | BigInt(type));
    }),
  );
});

it('any bytes decode, and encode to themselves, or are reported', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), fc.boolean(), (bytes, isSmall) => {
      if (isSmall && bytes.length >= TAG_BYTES) bytes.fill(1, bytes.length - TAG_BYTES).fill(0, bytes.length - 2);
      const decoded = decodeInternalKey(bytes);
      if (E.isLeft(decoded)) expect(decoded.left).not.toBe('');
      else expect(encodeInternalKey(decoded.right.userKey, decoded.right.sequence, decoded.right.kind)).toEqual(bytes);
    }),
  );
});

it.each([
  ['no room for a tag', [1, 2, 3, 4, 5, 6, 7]],
  ['an unknown kind', [2, 1, 0, 0, 0, 0, 0, 0]],
  ['a sequence of 2^53', [1, 0, 0, 0, 0, 0, 0, 0x20]],
  ['a sequence of 2^56 - 1', [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
])('reports %s', (_reason, bytes) => {
  expect(E.isLeft(decodeInternalKey(Uint8Array.from(bytes)))).toBe(true);
});

it('readSequence throws above 2^53 - 1', () => {
  expect(() => readSequence(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0x20), 8)).toThrow(Malformed);
});

it('is reflexive and antisymmetric, and equal means equal', () => {
  fc.assert(
    fc.property(internalKey, internalKey, (a, b) => {
      expect(compare(a, a.slice())).toBe(0);
      expect(equals(a, a.slice())).toBe(true);
      expect(compare(a, b) + compare(b, a)).toBe(0);
      expect(equals(a, b)).toBe(compare(a, b) === 0);
      expect(equals(a, b)).toBe(Buffer.from(a).equals(b));
    }),
  );
});

it('is transitive', () => {
  fc.assert(
    fc.property(internalKey, internalKey, internalKey, (a, b, c) => {
      if (compare(a, b) <= 0 && compare(b, c) <= 0) expect(compare(a, c)).toBeLessThanOrEqual(0);
    }),
  );
});

it('orders by user key ascending, then by tag descending, wherever the keys lie', () => {
  const part = fc.tuple(userKey, sequence, kind);
  fc.assert(
    fc.property(part, part, userKey, fc.nat({ max: 2 }), (left, right, padding, sameParts) => {
      const [aKey, aSequence, aKind] = left;
      const bKey = sameParts >= 1 ? aKey : right[0];
      const bSequence = sameParts === 2 ? aSequence : right[1];
      const bKind = right[2];
      const a = Buffer.concat([padding, encodeInternalKey(aKey, aSequence, aKind), padding]);
      const b = encodeInternalKey(bKey, bSequence, bKind);
      const order = compareInternal(a, padding.length, a.length - padding.length, b, 0, b.length);
      const expected = Buffer.compare(aKey, bKey) || Math.sign(bSequence - aSequence) || bKind - aKind;
      expect(Math.sign(order)).toBe(expected);
    }),
  );
});

it('orders LevelDB’s separators, whose sequence we cannot hold, before every entry of their key', () => {
  fc.assert(
    fc.property(userKey, sequence, kind, (key, number, type) => {
      const separator = Buffer.concat([key, Uint8Array.of(1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)]);
      expect(compare(separator, encodeInternalKey(key, number, type))).toBe(-1);
    }),
  );
});

it('lets errors through that are no bad bytes', () => {
  expect(() => decodeInternalKey(brokenFrom(new Uint8Array(9), 2))).toThrow('a bug');
});
