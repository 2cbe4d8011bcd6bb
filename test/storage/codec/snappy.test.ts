import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { crc32c } from '../../../src/storage/codec/crc32c.ts';
import { Malformed } from '../../../src/storage/codec/malformed.ts';
import {
  snappyCompress,
  snappyDecompress,
  snappyMaxCompressedLength,
  snappyUncompressedLength,
  SNAPPY_UNCOMPRESSED_BYTES_MAX,
} from '../../../src/storage/codec/snappy.ts';
import { decompressQuickly, snappyBlock } from '../../../src/storage/codec/snappy-block.ts';
import { SNAPPY_MODULE } from '../../../src/storage/codec/snappy-module.ts';
import { writeVarint } from '../../../src/storage/codec/varint.ts';
import { assemble } from '../../../tools/assemble.mjs';
import { randomOf } from '../../support/runs.ts';

const GUARD = 0xa5;

/** Compresses from within larger memory into larger memory, and checks that nothing around is touched. */
function compress(data: Uint8Array): Uint8Array {
  const padded = Buffer.concat([Buffer.alloc(3, GUARD), data, Buffer.alloc(2, GUARD)]);
  const into = new Uint8Array(snappyMaxCompressedLength(data.length) + 10).fill(GUARD);
  const end = snappyCompress(padded, 3, 3 + data.length, into, 5);
  expect(end - 5).toBeLessThanOrEqual(snappyMaxCompressedLength(data.length));
  expect(into.subarray(0, 5).every((byte) => byte === GUARD)).toBe(true);
  expect(into.subarray(end).every((byte) => byte === GUARD)).toBe(true);
  return into.slice(5, end);
}

beforeAll(() => {
  for (let block = 0; block < 100; block += 1) snappyBlock(Uint8Array.of(0), 0, 1); // the first ones are not for WebAssembly
});

/**
 * Decompresses into the middle of larger memory, checks that nothing around is touched, and that WebAssembly makes the same of
 * it.
 */
function decompress(stream: Uint8Array): Uint8Array {
  // What lies behind the stream would make a stream that is cut short a good one, were it read.
  const padded = Buffer.concat([Buffer.alloc(1, GUARD), stream, Uint8Array.of(1, 0, 0, 0)]);
  const end = 1 + stream.length;
  const outcome = outcomeOf(() => decompressInto(padded, stream));
  const block = outcomeOf(() => snappyBlock(padded, 1, end));
  checkQuick(padded, end, outcome);
  if (outcome instanceof Malformed) {
    expect(block).toEqual(outcome);
    throw outcome;
  }
  expect(block instanceof Uint8Array && Buffer.compare(block, outcome)).toBe(0);
  return outcome;
}

/** WebAssembly does all that fits into its memory, and nothing that is damaged, whatever it did before. */
function checkQuick(padded: Uint8Array, end: number, outcome: Uint8Array | Malformed): void {
  let announced: number;
  try {
    announced = snappyUncompressedLength(padded, 1, end);
  } catch {
    return; // nobody asks it then
  }
  decompressQuickly(padded, 1, padded.length, announced); // what is behind the stream stays in the memory
  const quick = decompressQuickly(padded, 1, end, announced);
  const fits = Math.max(announced, end - 1) <= 131_064;
  if (outcome instanceof Malformed || !fits) expect(quick).toBeUndefined();
  else expect(quick !== undefined && Buffer.compare(quick, outcome)).toBe(0);
}

function outcomeOf(decompressOne: () => Uint8Array): Uint8Array | Malformed {
  try {
    return decompressOne();
  } catch (error) {
    if (error instanceof Malformed) return error;
    throw error;
  }
}

function decompressInto(padded: Uint8Array, stream: Uint8Array): Uint8Array {
  const length = snappyUncompressedLength(padded, 1, 1 + stream.length);
  const memory = new Uint8Array(length + 16).fill(GUARD);
  try {
    snappyDecompress(padded, 1, 1 + stream.length, memory.subarray(8, 8 + length));
  } finally {
    expect([...memory.subarray(0, 8), ...memory.subarray(8 + length)].every((byte) => byte === GUARD)).toBe(true);
  }
  return memory.slice(8, 8 + length);
}

/** The format's description, executed word for word: the model that the fast reader is held against. */
function decompressSlowly(stream: Uint8Array, elementsAt: number): number[] | undefined {
  const output: number[] = [];
  let at = elementsAt;
  const number = (count: number): number => {
    let sum = 0;
    for (let index = 0; index < count; index += 1) sum += (stream[at + index] ?? Number.NaN) * 256 ** index;
    at += count;
    return sum;
  };
  while (at < stream.length) {
    const tag = number(1);
    const upper = tag >> 2;
    if ((tag & 3) === 0) {
      const length = (upper < 60 ? upper : number(upper - 59)) + 1;
      if (!(at + length <= stream.length)) return undefined;
      for (let index = 0; index < length; index += 1) output.push(number(1));
      continue;
    }
    const length = (tag & 3) === 1 ? (upper & 7) + 4 : upper + 1;
    const distance = (tag & 3) === 1 ? (tag >> 5) * 256 + number(1) : number((tag & 3) === 2 ? 2 : 4);
    if (!(distance >= 1 && distance <= output.length)) return undefined;
    for (let index = 0; index < length; index += 1) output.push(output[output.length - distance] as number);
  }
  return output;
}

const ascii = (text: string): number[] => [...Buffer.from(text)];
const announce = (length: number): number[] => {
  const bytes = new Uint8Array(8);
  return [...bytes.subarray(0, writeVarint(bytes, 0, length))];
};

// Words from a small vocabulary: matches near and far, long and short.
const compressible = fc
  .array(fc.oneof(fc.constantFrom('user:', 'name', '0000000000', '{"id":', 'x'), fc.string({ maxLength: 8 })), {
    maxLength: 600,
    size: 'max',
  })
  .map((words) => Buffer.from(words.join('')));

it.each([
  ['any bytes', fc.uint8Array({ maxLength: 300, size: 'max' })],
  ['words', compressible],
  [
    'runs',
    fc
      .array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 300 })))
      .map((runs) => Buffer.concat(runs.map(([byte, count]) => Buffer.alloc(count, byte)))),
  ],
])('decompress undoes compress: %s', (_what, data) => {
  fc.assert(
    fc.property(data, (bytes) => {
      expect(Buffer.compare(decompress(compress(bytes)), bytes)).toBe(0);
    }),
  );
});

it('decompress undoes compress over the borders of 64 KiB', () => {
  for (const length of [65_535, 65_536, 65_537, 65_551, 131_072, 200_000]) {
    const words = Buffer.from(Array.from({ length }, (_, index) => Math.imul(index % 977, 0x9e37_79b1) >>> 26));
    const noise = Buffer.from(Array.from({ length }, (_, index) => Math.imul(index + length, 0x9e37_79b1) >>> 24));
    for (const data of [words, noise, Buffer.alloc(length)]) {
      expect(Buffer.compare(decompress(compress(data)), data)).toBe(0);
    }
  }
});

it('decompress undoes compress for short matches at every distance around 2048, where the form of a copy changes', () => {
  for (let distance = 2040; distance <= 2056; distance += 1) {
    for (const length of [4, 5, 11, 12]) {
      const data = Uint8Array.from({ length: distance + 40 }, (_, index) => Math.imul(index + 1, 0x9e37_79b1) >>> 24);
      data.copyWithin(distance + 1, 1, 1 + length);
      expect(Buffer.compare(decompress(compress(data)), data)).toBe(0);
    }
  }
});

it('is not disturbed by what it has compressed before', () => {
  fc.assert(
    fc.property(compressible, compressible, (first, second) => {
      const fresh = compress(second);
      compress(first);
      expect(compress(second)).toEqual(fresh);
    }),
  );
});

it('makes text smaller, and zeros as small as the format can', () => {
  const text = Buffer.from(Array.from({ length: 200 }, (_, index) => `{"id":${index},"name":"user ${index}"}`).join());
  expect(compress(text).length).toBeLessThan(text.length / 2);
  // 3 bytes per 64, the first byte, and the head of each fragment.
  expect(compress(Buffer.alloc(1 << 20)).length).toBeLessThan((1 << 20) / 21);
});

it.each([
  ['nothing', [0], ''],
  ['a literal whose length is in the tag', [3, 2 << 2, ...ascii('abc')], 'abc'],
  ['a literal with 1 byte of length', [61, 60 << 2, 60, ...ascii('a'.repeat(61))], 'a'.repeat(61)],
  ['a literal with 2 bytes of length', [3, 61 << 2, 2, 0, ...ascii('abc')], 'abc'],
  ['a literal with 3 bytes of length', [3, 62 << 2, 2, 0, 0, ...ascii('abc')], 'abc'],
  ['a literal with 4 bytes of length', [3, 63 << 2, 2, 0, 0, 0, ...ascii('abc')], 'abc'],
  ['a copy with 11 bits of offset', [10, 5 << 2, ...ascii('abcdef'), 0x01, 5], 'abcdefbcde'],
  ['a copy with 2 bytes of offset', [9, 5 << 2, ...ascii('abcdef'), (2 << 2) | 2, 6, 0], 'abcdefabc'],
  ['a copy with 4 bytes of offset', [7, 5 << 2, ...ascii('abcdef'), 3, 1, 0, 0, 0], 'abcdeff'],
  ['a copy of what it writes itself', [12, 1 << 2, ...ascii('ab'), (9 << 2) | 2, 2, 0], 'abababababab'],
  ['a copy of one byte, 64 times', [65, 0, ...ascii('z'), (63 << 2) | 2, 1, 0], 'z'.repeat(65)],
])('reads %s', (_what, stream, text) => {
  expect(Buffer.from(decompress(Uint8Array.from(stream))).toString()).toBe(text);
});

it('reads a copy with all 11 bits of its offset, and with all 16', () => {
  const far = (length: number, copy: readonly number[], copied: number): Uint8Array => {
    const data = Array.from({ length }, (_, index) => Math.imul(index, 0x9e37_79b1) >>> 24);
    const stream = [...announce(length + copied), 61 << 2, (length - 1) & 0xff, (length - 1) >> 8, ...data, ...copy];
    const output = decompress(Uint8Array.from(stream));
    expect(output.slice(length)).toEqual(Uint8Array.from(data.slice(0, copied)));
    return output;
  };
  expect(far(2047, [(7 << 5) | (7 << 2) | 1, 0xff], 11)).toHaveLength(2058);
  expect(far(65_535, [(63 << 2) | 2, 0xff, 0xff], 64)).toHaveLength(65_599);
});

it.each([
  ['is empty', []],
  ['has no length', [0x80]],
  ['announces more than it holds', [4, 2 << 2, ...ascii('abc')]],
  ['holds a literal beyond what it announces', [2, 2 << 2, ...ascii('abc')]],
  ['holds a copy beyond what it announces', [6, 2 << 2, ...ascii('abc'), 0x01, 1]],
  ['announces nothing, and goes on', [0, 0]],
  ['ends within a literal', [3, 2 << 2, ...ascii('ab')]],
  ['ends within a literal’s length', [3, 61 << 2, 2]],
  ['has a literal of 4 GiB', [3, 63 << 2, 0xff, 0xff, 0xff, 0xff, ...ascii('abc')]],
  ['has a literal of 4 GiB, and goes on', [3, 63 << 2, 0xff, 0xff, 0xff, 0xff, 2 << 2, ...ascii('abc')]],
  ['ends within a copy of 2 bytes', [7, 2 << 2, ...ascii('abc'), 0x01]],
  ['ends within a copy of 3 bytes', [7, 2 << 2, ...ascii('abc'), (3 << 2) | 2, 1]],
  ['ends within a copy of 5 bytes', [7, 2 << 2, ...ascii('abc'), (3 << 2) | 3, 1, 0, 0]],
  ['copies from offset 0', [7, 2 << 2, ...ascii('abc'), 0x01, 0]],
  ['copies from before its output', [7, 2 << 2, ...ascii('abc'), 0x01, 4]],
  ['copies with a negative offset of 32 bits', [7, 2 << 2, ...ascii('abc'), (3 << 2) | 3, 0xff, 0xff, 0xff, 0xff]],
  ['begins with a copy', [4, 0x01, 1]],
])('refuses a stream that %s', (_reason, stream) => {
  expect(() => decompress(Uint8Array.from(stream))).toThrow(Malformed);
});

it('WebAssembly is what its source makes', async () => {
  const source = join(import.meta.dirname, '../../../src/storage/codec/snappy.wat');
  expect(await assemble(source)).toBe(SNAPPY_MODULE);
});

function NoRoom(): never {
  throw new RangeError('could not allocate memory');
}

it.each([
  ['where there is none', undefined],
  ['where there is no room for it', { Memory: NoRoom }],
])('does without WebAssembly %s', async (_where, found) => {
  vi.resetModules();
  vi.stubGlobal('WebAssembly', found);
  try {
    const elsewhere = await import('../../../src/storage/codec/snappy-block.ts');
    const stream = compress(Buffer.alloc(300, 'abc'));
    for (let block = 0; block < 100; block += 1) elsewhere.snappyBlock(stream, 0, stream.length);
    expect(elsewhere.decompressQuickly(stream, 0, stream.length, 300)).toBeUndefined();
    expect(Buffer.from(elsewhere.snappyBlock(stream, 0, stream.length))).toEqual(Buffer.alloc(300, 'abc'));
  } finally {
    vi.unstubAllGlobals();
  }
});

it('takes a length that is written in more bytes than it needs', () => {
  const stream = Uint8Array.of(0x83, 0x80, 0x00, 2 << 2, ...ascii('abc'));
  expect(Buffer.from(decompress(stream)).toString()).toBe('abc');
});

it('decompresses what fits into the memory of WebAssembly to the last byte, and what does not', () => {
  for (let length = 131_056; length <= 131_080; length += 1) {
    const data = Uint8Array.from({ length }, (_, index) => Math.imul(index % 9973, 0x9e37_79b1) >>> 24);
    expect(Buffer.compare(decompress(compress(data)), data)).toBe(0);
    const noise = Uint8Array.from({ length: length - 20 }, (_, index) => Math.imul(index, index ^ 0x9e37_79b1) >>> 13);
    expect(Buffer.compare(decompress(compress(noise)), noise)).toBe(0);
  }
});

it('refuses a target of another length than announced', () => {
  const stream = compress(Buffer.from('hello'));
  for (const length of [0, 4, 6]) {
    expect(() => snappyDecompress(stream, 0, stream.length, new Uint8Array(length))).toThrow(Malformed);
  }
});

it('refuses a bomb by its length alone, before anything is allocated', () => {
  const lengthOf = (length: number, bytes: number): number => {
    const stream = new Uint8Array(bytes);
    writeVarint(stream, 0, length);
    return snappyUncompressedLength(stream, 0, bytes);
  };
  const max = SNAPPY_UNCOMPRESSED_BYTES_MAX;
  expect(lengthOf(max, 4_000_000)).toBe(max);
  expect(() => lengthOf(max + 1, 4_000_000)).toThrow('64 MiB');
  expect(() => lengthOf(0xffff_ffff, 4_000_000)).toThrow('64 MiB');
  expect(lengthOf(220, 10)).toBe(220);
  expect(() => lengthOf(221, 10)).toThrow('can hold');
  expect(() => lengthOf(max, 10)).toThrow('can hold');
});

it('reads the densest stream there can be', () => {
  const copies = 100_000;
  const stream = Uint8Array.from([
    ...announce(1 + 64 * copies),
    0,
    0x78,
    ...Array<number[]>(copies).fill([0xfe, 1, 0]).flat(),
  ]);
  const output = decompress(stream);
  expect(output).toHaveLength(1 + 64 * copies);
  expect(output.every((byte) => byte === 0x78)).toBe(true);
});

it('any elements decompress to what the format says, or are reported', () => {
  const element = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 12 }).map((data) => [(data.length - 1) << 2, ...data]),
    fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 20 })).map(([length, distance]) => [(length << 2) | 1, distance]),
    fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 40 })).map(([length, distance]) => [(length << 2) | 2, distance, 0]),
    fc
      .tuple(fc.nat({ max: 63 }), fc.nat({ max: 9 }))
      .map(([length, distance]) => [(length << 2) | 3, distance, 0, 0, 0]),
    fc.array(fc.nat({ max: 255 }), { maxLength: 2 }),
  );
  let isReadCount = 0;
  fc.assert(
    fc.property(fc.array(element, { maxLength: 12 }), fc.integer({ min: -1, max: 8 }), (elements, error) => {
      const body = [...[2 << 2, 1, 2, 3], ...elements.flat()];
      const expected = decompressSlowly(Uint8Array.from(body), 0);
      const length = Math.max((expected?.length ?? 30) + (error > 1 ? 0 : error), 0);
      const stream = Uint8Array.from([...announce(length), ...body]);
      if (expected?.length === length) {
        isReadCount += 1;
        expect([...decompress(stream)]).toEqual(expected);
      } else {
        expect(() => decompress(stream)).toThrow(Malformed);
      }
    }),
    { numRuns: 1000 },
  );
  expect(isReadCount).toBeGreaterThan(50); // otherwise it would be a test of refusals only
});

it('a damaged stream is reported, or decompresses to the length announced', () => {
  fc.assert(
    fc.property(compressible, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }), (data, damage) => {
      const stream = compress(data);
      for (const [at, byte] of damage) stream[at % stream.length] = byte;
      try {
        expect(decompress(stream)).toHaveLength(snappyUncompressedLength(stream, 0, stream.length));
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Malformed);
      }
    }),
    { numRuns: 500 },
  );
});

it.each([
  ['output is longer than announced', [2, 2 << 2, ...ascii('abc')]],
  ['output is longer than announced', [6, 2 << 2, ...ascii('abc'), 0x01, 1]],
  ['output is shorter than announced', [4, 2 << 2, ...ascii('abc')]],
  ['literal length is cut short', [3, 61 << 2, 2]],
  ['literal length is cut short', [3, 60 << 2]],
  ['literal is cut short', [3, 60 << 2, 2]],
  ['literal is cut short', [3, 2 << 2, ...ascii('ab')]],
  ['copy is cut short', [7, 2 << 2, ...ascii('abc'), 0x01]],
  ['copy reaches before the output', [7, 2 << 2, ...ascii('abc'), 0x01, 4]],
])('says that the %s, where that is found: %j', (reason, stream) => {
  expect(() => decompress(Uint8Array.from(stream))).toThrow(`snappy ${reason}`);
});

it('says where: at the element, or at the end', () => {
  const offsetOf = (stream: readonly number[]): unknown => {
    try {
      decompress(Uint8Array.from(stream));
    } catch (error) {
      return error instanceof Malformed ? error.offset - 1 : error; // one byte stands before it
    }
    return undefined;
  };
  expect(offsetOf([7, 2 << 2, ...ascii('abc'), 0x01, 4])).toBe(5);
  expect(offsetOf([4, 2 << 2, ...ascii('abc')])).toBe(5);
});

it('believes no more than the bytes of the stream can hold, wherever it begins', () => {
  const bytes = new Uint8Array(1000);
  writeVarint(bytes, 500, 221);
  expect(() => snappyUncompressedLength(bytes, 500, 510)).toThrow('can hold');
  expect(snappyUncompressedLength(bytes, 500, 511)).toBe(221);
  expect(snappyMaxCompressedLength(600)).toBe(732);
});

it('reads a copy from further back than 16 bits reach', () => {
  const data = Array.from({ length: 200_000 }, (_, index) => Math.imul(index, 0x9e37_79b1) >>> 24);
  const last = data.length - 1;
  for (const distance of [65_536, 70_001, 200_000]) {
    const back = [distance & 0xff, (distance >>> 8) & 0xff, distance >>> 16, 0];
    const literal = [62 << 2, last & 0xff, (last >>> 8) & 0xff, last >>> 16, ...data];
    const output = decompress(Uint8Array.from([...announce(data.length + 20), ...literal, (19 << 2) | 3, ...back]));
    const from = data.length - distance;
    expect([...output.subarray(data.length)]).toEqual(data.slice(from, from + 20));
  }
});

/** What a stream consists of: `L<length>` and `C<length>@<distance>`, with the bytes that each takes. */
function elementsOf(stream: Uint8Array): readonly string[] {
  const elements: string[] = [];
  let at = 1;
  while ((stream[at - 1] as number) >= 0x80) at += 1;
  const little = (from: number, count: number): number =>
    Array.from({ length: count }, (_, index) => (stream[from + index] as number) * 256 ** index).reduce(
      (a, b) => a + b,
      0,
    );
  while (at < stream.length) {
    const start = at;
    const tag = stream[at] as number;
    const upper = tag >>> 2;
    const type = tag & 3;
    if (type === 0) {
      const more = Math.max(0, upper - 59);
      const length = 1 + (more === 0 ? upper : little(at + 1, more));
      at += 1 + more + length;
      elements.push(`L${length} in ${at - start}`);
    } else {
      const length = type === 1 ? 4 + (upper & 7) : upper + 1;
      const distance = type === 1 ? (tag >>> 5) * 256 + little(at + 1, 1) : little(at + 1, type === 2 ? 2 : 4);
      at += type === 3 ? 5 : type + 1;
      elements.push(`C${length}@${distance} in ${at - start}`);
    }
  }
  return elements;
}

describe('what is written', () => {
  const noise = (length: number, seed = 1): number[] => {
    const random = randomOf(seed);
    return Array.from({ length }, () => Math.floor(random() * 256));
  };

  it.each([
    [1, 2],
    [60, 61],
    [61, 63],
    [256, 258],
    [257, 260],
    [511, 514],
    [512, 515],
  ])('a literal of %i bytes takes %i', (length, bytes) => {
    expect(elementsOf(compress(Uint8Array.from(noise(length))))).toEqual([`L${length} in ${bytes}`]);
  });

  it.each([
    [4, ['C4@20 in 2']],
    [11, ['C11@20 in 2']],
    [12, ['C12@20 in 3']],
    [64, ['C64@20 in 3']],
    [65, ['C60@20 in 3', 'C5@20 in 2']],
    [67, ['C60@20 in 3', 'C7@20 in 2']],
    [68, ['C64@20 in 3', 'C4@20 in 2']],
    [129, ['C64@20 in 3', 'C60@20 in 3', 'C5@20 in 2']],
    [132, ['C64@20 in 3', 'C64@20 in 3', 'C4@20 in 2']],
  ])('a match of %i bytes is one of %j', (length, copies) => {
    const period = noise(20);
    const repeated = Array.from({ length: 20 + length }, (_, index) => period[index % 20] as number);
    const next = (period[length % 20] as number) ^ 0x55; // not what would go on
    const data = Uint8Array.from([...repeated, next, ...noise(20, 7)]);
    expect(elementsOf(compress(data))).toEqual(['L20 in 21', ...copies, 'L21 in 22']);
  });

  it('a match goes on to the last byte', () => {
    for (let length = 40; length < 48; length += 1) {
      const data = Uint8Array.from({ length }, (_, index) => noise(20)[index % 20] as number);
      expect(
        elementsOf(compress(data))
          .slice(1)
          .every((element) => element.startsWith('C')),
      ).toBe(true);
    }
  });

  it('no match begins within the last 15 bytes, and one may just before', () => {
    for (const [behind, isFound] of [
      [10, false],
      [11, true],
    ] as const) {
      const data = Uint8Array.from([...noise(20), ...noise(4), ...noise(behind, 7)]);
      expect(elementsOf(compress(data)).length, `${behind}`).toBe(isFound ? 3 : 1);
    }
  });

  it('the same as ever for the same bytes: another search is to be noticed', () => {
    const text = Buffer.from(
      Array.from({ length: 300 }, (_, index) => `{"id":${index},"name":"user ${index}"}`).join(),
    );
    const words = Uint8Array.from({ length: 70_000 }, (_, index) => Math.imul(index % 977, 0x9e37_79b1) >>> 26);
    const sums = [text, text.subarray(0, 255), text.subarray(0, 257), words, words.subarray(0, 5000)].map((data) => {
      const stream = compress(data);
      return `${stream.length} ${crc32c(stream, 0, stream.length).toString(16)}`;
    });
    expect(sums).toMatchInlineSnapshot(`
      [
        "2888 e158896f",
        "119 132e99a6",
        "119 11bc63ff",
        "4074 4040d79e",
        "649 25acfa64",
      ]
    `);
  });
});
