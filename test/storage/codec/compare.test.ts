import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bytewiseOrd, compareBytes, shortestSeparator, shortSuccessor } from '../../../src/storage/codec/compare.ts';

// Few different bytes, so that keys share prefixes and often are equal; the extremes among them.
const key = fc
  .array(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xfe, 0xff), { maxLength: 6 })
  .map((list) => Uint8Array.from(list));
const { compare, equals } = bytewiseOrd;

it('is reflexive', () => {
  fc.assert(
    fc.property(key, (a) => {
      expect(compare(a, a.slice())).toBe(0);
      expect(equals(a, a.slice())).toBe(true);
    }),
  );
});

it('is antisymmetric, and equal means equal', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(compare(a, b) + compare(b, a)).toBe(0);
      expect(equals(a, b)).toBe(compare(a, b) === 0);
      expect(equals(a, b)).toBe(Buffer.from(a).equals(b));
    }),
  );
});

it('is transitive', () => {
  fc.assert(
    fc.property(key, key, key, (a, b, c) => {
      if (compare(a, b) <= 0 && compare(b, c) <= 0) expect(compare(a, c)).toBeLessThanOrEqual(0);
    }),
  );
});

it.each([
  ['keys that share prefixes', key],
  ['any keys', fc.uint8Array()],
])('agrees with Buffer.compare on %s', (_what, keys) => {
  fc.assert(
    fc.property(keys, keys, (a, b) => {
      expect(compare(a, b)).toBe(Buffer.compare(a, b));
    }),
  );
});

it('sees only the ranges it is given', () => {
  fc.assert(
    fc.property(key, key, key, key, (a, b, before, after) => {
      const left = Buffer.concat([before, a, after]);
      const right = Buffer.concat([after, b, before]);
      const order = compareBytes(
        left,
        before.length,
        before.length + a.length,
        right,
        after.length,
        after.length + b.length,
      );
      expect(Math.sign(order)).toBe(Buffer.compare(a, b));
    }),
  );
});

it('a separator lies from its start to before its limit, and is never longer than its start', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      fc.pre(compare(a, b) !== 0);
      const [start, limit] = compare(a, b) < 0 ? [a, b] : [b, a];
      const separator = shortestSeparator(start, limit);
      expect(compare(start, separator)).toBeLessThanOrEqual(0);
      expect(compare(separator, limit)).toBeLessThan(0);
      expect(separator.length).toBeLessThanOrEqual(start.length);
    }),
  );
});

it('a successor is not below its key, and never longer', () => {
  fc.assert(
    fc.property(key, (a) => {
      const successor = shortSuccessor(a);
      expect(compare(a, successor)).toBeLessThanOrEqual(0);
      expect(successor.length).toBeLessThanOrEqual(a.length);
    }),
  );
});

it('neither changes the key it is given', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      const kept = [a.slice(), b.slice()];
      shortestSeparator(a, b);
      shortSuccessor(a);
      expect([a, b]).toEqual(kept);
    }),
  );
});

it.each([
  ['foo', 'foo', 'foo'],
  ['foo', 'bar', 'foo'],
  ['foo', 'hello', 'g'],
  ['helloworld', 'hellozoo', 'hellox'],
  ['foo', 'foobar', 'foo'],
  ['foobar', 'foo', 'foobar'],
  ['abc1', 'abc2', 'abc1'],
  ['abc1xyz', 'abc3', 'abc2'],
  ['', 'a', ''],
])('between %j and %j the separator is %j', (start, limit, separator) => {
  expect(Buffer.from(shortestSeparator(Buffer.from(start), Buffer.from(limit))).toString()).toBe(separator);
});

it('does not raise the byte 0xff', () => {
  expect(shortestSeparator(Uint8Array.of(1, 0xff, 5), Uint8Array.of(2))).toEqual(Uint8Array.of(1, 0xff, 5));
});

it.each([
  ['foo', [0x67]],
  ['', []],
  ['\xff\xff', [0xff, 0xff]],
  ['\xff\xffa', [0xff, 0xff, 0x62]],
  ['\xffab', [0xff, 0x62]],
])('the successor of %j is %j', (from, successor) => {
  expect([...shortSuccessor(Buffer.from(from, 'latin1'))]).toEqual(successor);
});
