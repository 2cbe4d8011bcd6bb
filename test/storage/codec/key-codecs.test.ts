// Goal: the order of encoded keys is the order of the keys, each key has one form, and bytes that are no key are refused.
// Method: laws, for every codec and for tuples of them, nested ones too; orders written down by hand; every byte changed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codecs } from '../../../src/storage/codec/codecs.ts';
import { bytewiseOrd } from '../../../src/storage/codec/compare.ts';
import type { KeyCodec } from '../../../src/storage/codec/key-codec.ts';
import type { Bytes } from '../../../src/model.ts';
import { runsOf } from '../../support/runs.ts';

const bytesOf = (data: Bytes): Uint8Array => (typeof data === 'string' ? new TextEncoder().encode(data) : data);

/** A codec, values of it, and their order by the definition. */
interface Kind<Key> {
  readonly codec: KeyCodec<Key>;
  readonly values: fc.Arbitrary<Key>;
  readonly compare: (a: Key, b: Key) => number;
}

const compareValues = <T extends number | bigint | boolean>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

function compareLists<T>(a: readonly T[], b: readonly T[], compare: (a: T, b: T) => number): number {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const order = compare(a[index] as T, b[index] as T);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

const codePointsOf = (text: string): number[] => Array.from(text, (character) => character.codePointAt(0) ?? 0);

// Few different characters, so that one text often begins another; the ends of the UTF-8 lengths and of UTF-16 among them.
const character = fc.constantFrom(
  ...['\0', '\u0001', 'a', 'b', '\x7f', '\x80', '\u07ff', '\u0800', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}'],
);
const text: Kind<string> = {
  codec: codecs.utf8,
  values: fc.oneof(fc.string({ unit: character, maxLength: 5 }), fc.string({ unit: 'binary' })),
  compare: (a, b) => compareLists(codePointsOf(a), codePointsOf(b), compareValues),
};
const bytes: Kind<Uint8Array> = {
  codec: codecs.bytes,
  values: fc
    .array(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xfe, 0xff), { maxLength: 5 })
    .map((list) => Uint8Array.from(list)),
  compare: (a, b) => compareLists([...a], [...b], compareValues),
};
const EXTREME_NUMBERS = [
  ...[-Infinity, -Number.MAX_VALUE, -(2 ** 53), -2, -1, -0.5, -(2 ** -1022), -Number.MIN_VALUE],
  ...[0, Number.MIN_VALUE, 2 ** -1022, 0.1, 0.5, 1, 2, 255, 256, 2 ** 31, 2 ** 53, Number.MAX_VALUE, Infinity],
];
const number: Kind<number> = {
  codec: codecs.number,
  values: fc
    .oneof(fc.double({ noNaN: true }), fc.integer(), fc.constantFrom(...EXTREME_NUMBERS))
    .map((value) => (value === 0 ? 0 : value)),
  compare: compareValues,
};
const BIT_COUNTS = [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 1008, 1015, 1016];
const bigint: Kind<bigint> = {
  codec: codecs.bigint,
  values: fc.oneof(
    fc.bigInt({ min: -(2n ** 1016n) + 1n, max: 2n ** 1016n - 1n }),
    fc.bigInt({ min: -300n, max: 300n }),
    fc
      .tuple(fc.constantFrom(...BIT_COUNTS), fc.constantFrom(-1n, 0n), fc.constantFrom(-1n, 1n))
      .map(([bits, added, sign]) => sign * (2n ** BigInt(bits) + added))
      .filter((value) => value < 2n ** 1016n && value > -(2n ** 1016n)),
  ),
  compare: compareValues,
};
const TIME_MS_MAX = 8.64e15;
const date: Kind<Date> = {
  codec: codecs.date,
  values: fc.oneof(
    fc.date({ noInvalidDate: true }),
    fc.constantFrom(-TIME_MS_MAX, -1, 0, 1, TIME_MS_MAX).map((time) => new Date(time)),
  ),
  compare: (a, b) => a.getTime() - b.getTime(),
};
const boolean: Kind<boolean> = { codec: codecs.boolean, values: fc.boolean(), compare: compareValues };

/** Of the kinds that the list holds, whatever they are. */
function listOf(kinds: readonly Kind<unknown>[]): Kind<readonly unknown[]> {
  return {
    codec: codecs.tuple(...kinds.map(({ codec }) => codec)),
    values: fc.tuple(...kinds.map(({ values }) => values)),
    compare: (a, b) => {
      for (const [index, kind] of kinds.entries()) {
        const order = kind.compare(a[index], b[index]);
        if (order !== 0) return order;
      }
      return 0;
    },
  };
}

/** Says that the kind is only ever given its own values. */
const anyKind = <Key>({ codec, values, compare }: Kind<Key>): Kind<unknown> => ({
  codec: codec,
  values,
  compare: (a, b) => compare(a as Key, b as Key),
});

const kindOf = {
  utf8: anyKind(text),
  bytes: anyKind(bytes),
  number: anyKind(number),
  bigint: anyKind(bigint),
  date: anyKind(date),
  boolean: anyKind(boolean),
};
const pair = anyKind(listOf([kindOf.utf8, kindOf.bytes]));

const KINDS: readonly (readonly [string, Kind<unknown>])[] = [
  ...Object.entries(kindOf),
  ['tuple of one text', anyKind(listOf([kindOf.utf8]))],
  ['tuple of texts and bytes', pair],
  ['tuple of all', anyKind(listOf(Object.values(kindOf)))],
  ['tuple within a tuple, at its end', anyKind(listOf([kindOf.number, pair]))],
  ['tuple within a tuple, first', anyKind(listOf([pair, kindOf.bytes]))],
  ['tuples within tuples', anyKind(listOf([anyKind(listOf([pair, pair])), kindOf.bigint, pair]))],
];

describe.each(KINDS)('%s', (_name, { codec, values, compare }) => {
  const encode = (value: unknown): Uint8Array => bytesOf(codec.encode(value));

  it('the order of the bytes is the order of the values', () => {
    fc.assert(
      fc.property(values, values, (a, b) => {
        expect(bytewiseOrd.compare(encode(a), encode(b))).toBe(Math.sign(compare(a, b)));
      }),
      runsOf(1000),
    );
  });

  it('gives back what was encoded, wherever its bytes lie', () => {
    fc.assert(
      fc.property(values, fc.nat({ max: 9 }), (value, before) => {
        const encoded = encode(value);
        const memory = new Uint8Array(before + encoded.length + 3).fill(0xa5);
        memory.set(encoded, before);
        expect(codec.decode(memory.subarray(before, before + encoded.length))).toEqual(value);
      }),
      runsOf(500),
    );
  });

  it('says where it ends, if it does, whatever is behind it', () => {
    fc.assert(
      fc.property(values, fc.uint8Array({ maxLength: 3 }), fc.uint8Array({ maxLength: 3 }), (value, before, after) => {
        const encoded = encode(value);
        const memory = Buffer.concat([before, encoded, after]);
        const length = codec.encodedLength?.(memory, before.length);
        expect(length ?? encoded.length).toBe(encoded.length);
      }),
    );
  });

  it('refuses any bytes that are not exactly a value, or gives a value that has them', () => {
    const damaged = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.tuple(values, fc.nat(), fc.nat({ max: 255 })).map(([value, at, byte]) => {
        const encoded = Uint8Array.from(encode(value));
        if (encoded.length > 0) encoded[at % encoded.length] = byte;
        return encoded;
      }),
      fc.tuple(values, fc.nat()).map(([value, at]) => {
        const encoded = encode(value);
        return encoded.subarray(0, at % (encoded.length + 1));
      }),
      fc.tuple(values, fc.uint8Array({ minLength: 1, maxLength: 2 })).map(([value, more]) => {
        return Uint8Array.from([...encode(value), ...more]);
      }),
    );
    fc.assert(
      fc.property(damaged, (given) => {
        let value: unknown;
        try {
          value = codec.decode(given);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect((error as Error).message).not.toBe('');
          return;
        }
        expect(Buffer.from(encode(value))).toEqual(Buffer.from(given));
      }),
      runsOf(2000),
    );
  });
});

describe('orders written down', () => {
  it('numbers', () => {
    const encoded = EXTREME_NUMBERS.map((value) => bytesOf(codecs.number.encode(value)));
    expect([...encoded].sort(bytewiseOrd.compare)).toEqual(encoded);
    expect(new Set(encoded.map(String)).size).toBe(EXTREME_NUMBERS.length);
    expect(Buffer.from(bytesOf(codecs.number.encode(1))).toString('hex')).toBe('bff0000000000000');
    expect(Buffer.from(bytesOf(codecs.number.encode(-1))).toString('hex')).toBe('400fffffffffffff');
    expect(codecs.number.encode(-0)).toEqual(codecs.number.encode(0));
  });

  it('bigints', () => {
    const hex = (value: bigint): string => Buffer.from(bytesOf(codecs.bigint.encode(value))).toString('hex');
    expect([-257n, -256n, -255n, -1n, 0n, 1n, 255n, 256n].map(hex)).toEqual([
      '7efefe',
      '7efeff',
      '7f00',
      '7ffe',
      '80',
      '8101',
      '81ff',
      '820100',
    ]);
  });

  it('tuples: the zero that ends an element is less than one within it', () => {
    const { tuple, utf8, number: double } = codecs;
    const hex = (key: readonly [string, string]): string =>
      Buffer.from(bytesOf(tuple(utf8, utf8).encode(key))).toString('hex');
    expect(hex(['', ''])).toBe('0001');
    expect(hex(['a', '\0'])).toBe('61000100');
    expect(hex(['a\0', ''])).toBe('6100ff0001');
    expect(bytesOf(tuple(double, utf8).encode([1, 'a']))).toHaveLength(9); // what has a fixed length has no mark
  });
});

describe('refusals', () => {
  // Plain JavaScript may give anything.
  const refuse = <Key>(codec: KeyCodec<Key>, value: unknown): void => {
    expect(() => codec.encode(value as Key)).toThrow();
  };

  it.each([
    ['utf8', codecs.utf8, ['\ud800', 'a\udc00', '\udc00\ud800', 1, undefined, null, new Uint8Array(1)]],
    ['bytes', codecs.bytes, ['text', [1], new ArrayBuffer(1), undefined]],
    ['number', codecs.number, [NaN, '1', 1n, new Date(0), undefined]],
    ['bigint', codecs.bigint, [2n ** 1016n, -(2n ** 1016n), 1, '1', undefined]],
    ['date', codecs.date, [new Date(NaN), 0, '2026-01-01', { getTime: (): number => 0 }, undefined]],
    ['boolean', codecs.boolean, [0, 1, 'true', undefined]],
    [
      'tuple',
      codecs.tuple(codecs.utf8, codecs.number),
      [[], ['a'], ['a', 1, 2], ['a', '1'], 'a', { 0: 'a', 1: 1, length: 2 }],
    ],
    ['tuple, with a hole', codecs.tuple(codecs.utf8, codecs.number), [[, 1]]],
  ] as const)('%s takes nothing else', (_name, codec, wrong) => {
    for (const value of wrong) refuse(codec as KeyCodec<unknown>, value);
  });

  it('says which element of a tuple is wrong', () => {
    const codec = codecs.tuple(codecs.utf8, codecs.tuple(codecs.number, codecs.date));
    expect(() => codec.encode(['a', [NaN, new Date()]])).toThrow('element 1: element 0: NaN');
    expect(() => codec.decode(Uint8Array.of(0x61))).toThrow('element 0: it has no end');
  });

  it.each([
    ['NaN', codecs.number, 'fff8000000000000'],
    ['-0', codecs.number, '7fffffffffffffff'],
    ['a date of half a millisecond', codecs.date, Buffer.from(bytesOf(codecs.number.encode(0.5))).toString('hex')],
    ['a date behind the last', codecs.date, Buffer.from(bytesOf(codecs.number.encode(8.64e15 + 1))).toString('hex')],
    ['a head of zero', codecs.bigint, '00'],
    ['a head of zero, and as many bytes as it would say', codecs.bigint, `00${'fe'.repeat(128)}`],
    ['nothing', codecs.bigint, ''],
    ['a leading zero', codecs.bigint, '820001'],
    ['a leading zero below zero', codecs.bigint, '7eff01'],
    ['a long head', codecs.bigint, 'ff01'],
    ['two', codecs.boolean, '02'],
    ['UTF-8 that is too long', codecs.utf8, 'c080'],
    ['a surrogate', codecs.utf8, 'eda080'],
    ['an escape of nothing', codecs.tuple(codecs.utf8, codecs.utf8), '610002'],
    ['an escape at the end', codecs.tuple(codecs.utf8, codecs.utf8), '6100'],
  ])('no key: %s', (_name, codec, hex) => {
    expect(() => (codec as KeyCodec<unknown>).decode(Buffer.from(hex, 'hex'))).toThrow();
  });

  it('takes text with a byte order mark as it is', () => {
    expect(codecs.utf8.decode(bytesOf(codecs.utf8.encode('\ufeffa')))).toBe('\ufeffa');
  });

  it('a tuple needs elements, and believes no codec that claims more bytes than there are', () => {
    expect(() => codecs.tuple()).toThrow(TypeError);
    const liar: KeyCodec<string> = { encode: () => 'a', decode: () => 'a', encodedLength: () => 2 ** 40 };
    expect(() => codecs.tuple(liar, codecs.utf8).decode(Uint8Array.of(1, 2))).toThrow('there are 2');
  });
});

it('a tuple says which element a codec refuses, whatever the codec throws', () => {
  const strict: KeyCodec<string> = {
    encode: () => {
      throw 'no text'; // eslint-disable-line @typescript-eslint/only-throw-error -- codecs are the user's
    },
    decode: (bytes) => Buffer.from(bytes).toString(),
  };
  expect(() => codecs.tuple(codecs.utf8, strict).encode(['a', 'b'])).toThrow('element 1: no text');
});

describe('prefixes of tuples', () => {
  it('have fewer elements than the tuple', () => {
    const { list } = codecs.tuple(codecs.utf8, codecs.bigint);
    const whole: readonly unknown[] = ['a', 5n];
    expect(() => list?.encodePrefix(whole as ['a'])).toThrow('fewer than 2');
    expect(() => list?.encodePrefix([...whole, 6n])).toThrow('fewer than 2');
    expect(list?.encodePrefix([])).toEqual(new Uint8Array(0));
  });

  it('are what the keys that begin with the elements begin with, and no others', () => {
    const codec = codecs.tuple(codecs.utf8, codecs.bigint, codecs.bytes);
    const key = fc.tuple(text.values, bigint.values, bytes.values);
    fc.assert(
      fc.property(key, key, fc.nat({ max: 2 }), (a, b, count) => {
        const prefix = Buffer.from(codec.list?.encodePrefix(a.slice(0, count)) ?? []);
        const startsWith = (other: Uint8Array): boolean => prefix.equals(other.subarray(0, prefix.length));
        const isSame = [text.compare(a[0], b[0]), bigint.compare(a[1], b[1])]
          .slice(0, count)
          .every((order) => order === 0);
        expect(startsWith(bytesOf(codec.encode(a)))).toBe(true);
        expect(startsWith(bytesOf(codec.encode(b)))).toBe(isSame);
      }),
      runsOf(500),
    );
  });
});
