import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codecs } from '../../../src/storage/codec/codecs.ts';

const json = codecs.json();
const bytesOf = (value: unknown): Uint8Array => Buffer.from(json.encode(value) as string);

describe('values as JSON', () => {
  it('gives back every value that JSON can say', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const given = JSON.stringify(value); // compared as text: 0 and -0 are one there
        expect(JSON.stringify(json.decode(bytesOf(value)))).toBe(given);
      }),
    );
  });

  it('makes an own property of __proto__, and touches no prototype', () => {
    const value = json.decode(
      Buffer.from('{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}}'),
    );
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value as object)).toEqual(['__proto__', 'constructor']);
    expect((value as { isAdmin?: unknown }).isAdmin).toBeUndefined();
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  });

  it.each([
    ['undefined', undefined],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a bigint', 1n],
  ])('refuses %s, of which there is no JSON', (_name, value) => {
    expect(() => json.encode(value)).toThrow(TypeError);
  });

  it('refuses a cycle', () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(() => json.encode(cycle)).toThrow(TypeError);
  });

  it('refuses nesting deeper than the stack, or writes all of it (Node 26 needs no stack for arrays)', () => {
    const depth = 1_000_000;
    let deep: unknown = [];
    for (let level = 1; level < depth; level += 1) deep = [deep];
    const encode = (): unknown => {
      try {
        return json.encode(deep);
      } catch (error) {
        return error;
      }
    };
    const outcome = encode();
    if (outcome instanceof Error) expect(outcome).toBeInstanceOf(RangeError);
    else expect(outcome === '['.repeat(depth) + ']'.repeat(depth)).toBe(true);
  });

  it.each(['', '{', 'undefined', '{"a":1}x', '\ufeff1', 'NaN'])('refuses %j, which is no JSON', (given) => {
    expect(() => json.decode(Buffer.from(given))).toThrow(SyntaxError);
  });

  it('refuses what is no UTF-8', () => {
    expect(() => json.decode(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(TypeError);
  });
});
