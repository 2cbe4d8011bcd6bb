import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../../src/errors.ts';
import { BLOCK_BYTES, FIRST, FULL, HEADER_BYTES, LAST, MIDDLE } from '../../../src/storage/wal/record-format.ts';
import { RecordReader, type ReadOutcome } from '../../../src/storage/wal/record-reader.ts';
import { RecordWriter } from '../../../src/storage/wal/record-writer.ts';
import { BytesFile, flipped, fragment, framed, joined } from '../../support/log-bytes.ts';

/** A record of `length` bytes that its number tells apart. */
function recordOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_unused, index) => (index * 131 + seed * 17 + (index >>> 8)) & 255);
}

async function readAll(reader: RecordReader): Promise<ReadOutcome[]> {
  const outcomes: ReadOutcome[] = [];
  for (;;) {
    const outcome = await reader.next();
    outcomes.push(outcome.type === 'record' ? { ...outcome, bytes: outcome.bytes.slice() } : outcome);
    if (outcome.type !== 'record') return outcomes;
  }
}

const read = (bytes: Uint8Array): Promise<ReadOutcome[]> => readAll(new RecordReader(new BytesFile(bytes), 'x.log'));

/** What was read, in short: the records' lengths, then how it ended and where. */
async function summary(bytes: Uint8Array): Promise<(number | string)[]> {
  return (await read(bytes)).map((outcome) =>
    outcome.type === 'record' ? outcome.bytes.length : `${outcome.type} at ${outcome.offset}`,
  );
}

/** The same, going on behind damage until nothing is left. */
async function summaryWithResync(bytes: Uint8Array): Promise<(number | string)[]> {
  const reader = new RecordReader(new BytesFile(bytes), 'x.log');
  const found: (number | string)[] = [];
  let outcome = await reader.next();
  for (;;) {
    if (outcome.type === 'record') {
      found.push(outcome.bytes.length);
      outcome = await reader.next();
    } else {
      found.push(outcome.type);
      if (outcome.type === 'end') return found;
      outcome = await reader.resync();
    }
  }
}

/** `toEqual` takes its time over long records. */
function isSame(a: ReadOutcome, b: ReadOutcome | undefined): boolean {
  if (a.type !== 'record' || b?.type !== 'record') return false;
  return a.offset === b.offset && Buffer.compare(a.bytes, b.bytes) === 0;
}

const recordLength = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 40 }) },
  { weight: 3, arbitrary: fc.integer({ min: BLOCK_BYTES - 40, max: BLOCK_BYTES + 10 }) },
  { weight: 2, arbitrary: fc.integer({ min: 2 * BLOCK_BYTES - 40, max: 2 * BLOCK_BYTES + 10 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 300_000 }) },
);

describe('the writer and the reader', () => {
  it('agree on any records, however the writer is drained and wherever the file begins', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(recordLength, fc.boolean()), { maxLength: 12 }),
        fc.nat({ max: 2 * BLOCK_BYTES }),
        async (plan, initialOffset) => {
          const writer = new RecordWriter(initialOffset);
          const pieces = [new Uint8Array(initialOffset)];
          const expected: { bytes: Uint8Array; endOffset: number }[] = [];
          for (const [seed, [length, isDrained]] of plan.entries()) {
            const record = recordOf(length, seed);
            const around = joined(Uint8Array.of(1, 2), record, Uint8Array.of(3)); // only the middle is the record
            writer.add(around, 2, 2 + length);
            expected.push({ bytes: record, endOffset: writer.offset });
            if (!isDrained) continue;
            pieces.push(writer.staged().slice());
            writer.clear();
          }
          pieces.push(writer.staged().slice());
          const bytes = joined(...pieces);
          expect(bytes.length).toBe(writer.offset);
          const outcomes = await readAll(new RecordReader(new BytesFile(bytes), 'x.log', initialOffset));
          const last = outcomes.pop();
          expect(last).toEqual({ type: 'end', offset: expected.at(-1)?.endOffset ?? initialOffset });
          expect(outcomes.length).toBe(expected.length);
          for (const [index, outcome] of outcomes.entries()) {
            if (outcome.type !== 'record') throw new Error(`${outcome.type} in the middle`);
            expect(Buffer.compare(outcome.bytes, expected[index]?.bytes ?? new Uint8Array())).toBe(0);
            expect(outcome.endOffset).toBe(expected[index]?.endOffset);
          }
        },
      ),
      { numRuns: 60 },
    );
  }, 30_000);

  it('read a file cut anywhere as the records before the cut, never as others', async () => {
    const lengths = [3, 0, BLOCK_BYTES - 60, 12, 40, 9];
    const writer = new RecordWriter();
    const ends = lengths.map((length, seed) => {
      writer.add(recordOf(length, seed), 0, length);
      return writer.offset;
    });
    const bytes = writer.staged().slice();
    const cuts = Array.from({ length: bytes.length + 1 }, (_unused, cut) => cut);
    const nearTheEnds = (cut: number): boolean => cut < 50 || cut > BLOCK_BYTES - 100;
    for (const cut of cuts.filter((each) => nearTheEnds(each) || each % 509 === 0)) {
      const found = await summary(bytes.subarray(0, cut));
      const whole = ends.filter((end) => end <= cut).length;
      expect(found.slice(0, -1)).toEqual(lengths.slice(0, whole));
      const begins = whole === 0 ? 0 : (ends[whole - 1] ?? 0);
      expect(String(found.at(-1))).toMatch(cut === begins ? 'end' : /^(torn|end) at/);
    }
  });

  it('find every changed byte but those of block padding', async () => {
    const records = [recordOf(5, 1), recordOf(0, 2), recordOf(BLOCK_BYTES - 60, 3), recordOf(70, 4), recordOf(9, 5)];
    const bytes = framed(...records);
    const intact = await read(bytes);
    const offsets = [...Array(60).keys(), ...Array.from({ length: 170 }, (_unused, index) => BLOCK_BYTES - 60 + index)];
    for (const offset of offsets.filter((each) => each < bytes.length)) {
      for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
        const found = await read(flipped(bytes, offset, mask));
        expect(['bad', 'torn']).toContain(found.at(-1)?.type);
        expect(found.slice(0, -1).every((outcome, index) => isSame(outcome, intact[index]))).toBe(true);
      }
    }
  });
});

describe('the writer', () => {
  it('frames as LevelDB does', () => {
    expect([...framed(Uint8Array.of(0x61, 0x62, 0x63))].slice(4)).toEqual([3, 0, FULL, 0x61, 0x62, 0x63]);
    // The checksum of the type byte and "abc", masked; from the definition in bits, not from our table.
    expect(framed(Uint8Array.of(0x61, 0x62, 0x63)).subarray(0, 4)).toEqual(
      maskedByDefinition([FULL, 0x61, 0x62, 0x63]),
    );
  });

  it.each([
    ['6 bytes are left: zeros', BLOCK_BYTES - HEADER_BYTES - 6, [FULL, FULL]],
    ['1 byte is left: a zero', BLOCK_BYTES - HEADER_BYTES - 1, [FULL, FULL]],
    ['7 bytes are left: an empty FIRST', BLOCK_BYTES - 2 * HEADER_BYTES, [FULL, FIRST, LAST]],
    ['the block is full: the next one', BLOCK_BYTES - HEADER_BYTES, [FULL, FULL]],
  ])('when %s', (_what, firstLength, types) => {
    const bytes = framed(recordOf(firstLength, 1), recordOf(20, 2));
    expect(typesIn(bytes)).toEqual(types);
    const padding = bytes.subarray(HEADER_BYTES + firstLength, BLOCK_BYTES);
    if (padding.length < HEADER_BYTES) expect(padding.every((byte) => byte === 0)).toBe(true);
  });

  it('leaves nothing of a longer record in the padding', () => {
    const writer = new RecordWriter();
    writer.add(new Uint8Array(60_000).fill(255), 0, 60_000);
    writer.clear();
    const rest = BLOCK_BYTES - (writer.offset % BLOCK_BYTES);
    writer.add(new Uint8Array(rest - HEADER_BYTES - 3), 0, rest - HEADER_BYTES - 3);
    writer.add(Uint8Array.of(1), 0, 1);
    expect([...writer.staged().subarray(rest - 3, rest)]).toEqual([0, 0, 0]);
  });

  it('gives back the memory of a huge record, and goes on', async () => {
    const writer = new RecordWriter();
    const huge = recordOf(3_000_000, 1);
    writer.add(huge, 0, huge.length);
    const first = writer.staged().slice();
    expect(writer.staged().buffer.byteLength).toBeGreaterThan(3_000_000);
    writer.clear();
    expect(writer.staged().buffer.byteLength).toBeLessThanOrEqual(1_048_576);
    writer.add(Uint8Array.of(1, 2), 0, 2);
    expect(await summary(joined(first, writer.staged()))).toEqual([3_000_000, 2, `end at ${writer.offset}`]);
  });
});

describe('the reader', () => {
  const three = Uint8Array.of(1, 2, 3);

  it('ends cleanly: nothing, or zeros to the end', async () => {
    expect(await summary(new Uint8Array())).toEqual(['end at 0']);
    expect(await summary(new Uint8Array(5))).toEqual(['end at 0']);
    expect(await summary(new Uint8Array(1_000_000))).toEqual(['end at 0']);
    for (const zeros of [1, 6, 7, 8, BLOCK_BYTES, 20 * BLOCK_BYTES]) {
      expect(await summary(joined(framed(three), new Uint8Array(zeros)))).toEqual([3, 'end at 10']);
    }
  });

  it('does not take zeros for the end when something follows them', async () => {
    for (const zeros of [7, BLOCK_BYTES - 10, 20 * BLOCK_BYTES - 10]) {
      const bytes = joined(framed(three), new Uint8Array(zeros), Uint8Array.of(9));
      expect(await summary(bytes)).toEqual([3, 'bad at 10']);
    }
    // And finds the record behind them, as it does nothing but look at the zeros.
    const bytes = joined(framed(three), new Uint8Array(20 * BLOCK_BYTES - 10), framed(three));
    expect(await summaryWithResync(bytes)).toEqual([3, 'bad', 3, 'end']);
  });

  it('answers without a promise while its chunk lasts', async () => {
    const reader = new RecordReader(new BytesFile(framed(three, three, three)), 'x.log');
    expect(reader.next()).toBeInstanceOf(Promise);
    await reader.resync(); // nothing is broken: the same as next
    expect(reader.next()).toMatchObject({ type: 'record', offset: 20 });
    expect(reader.next()).toMatchObject({ type: 'end', offset: 30 });
    expect(reader.next()).toMatchObject({ type: 'end', offset: 30 });
    expect(await reader.resync()).toMatchObject({ type: 'end', offset: 30 });
  });

  it.each<[string, Uint8Array, (number | string)[]]>([
    ['a header cut by the end', framed(three).subarray(0, 6), ['torn at 0']],
    ['a payload cut by the end', framed(three).subarray(0, 9), ['torn at 0']],
    ['a FIRST with nothing behind', joined(framed(three), fragment(FIRST, three)), [3, 'torn at 10']],
    ['a FIRST with zeros behind', joined(fragment(FIRST, three), new Uint8Array(90)), ['torn at 0']],
    ['an empty FIRST with nothing behind', fragment(FIRST, new Uint8Array()), ['torn at 0']],
    ['a wrong checksum', flipped(framed(three), 8), ['bad at 0']],
    ['an unknown type', fragment(5, three), ['bad at 0']],
    ['type 0 with a length', fragment(0, three), ['bad at 0']],
    ['type 0 without a length', fragment(0, new Uint8Array()), ['bad at 0']],
    ['a MIDDLE without FIRST', joined(fragment(MIDDLE, three), fragment(LAST, three)), ['bad at 0']],
    ['a LAST without FIRST', joined(framed(three), fragment(LAST, three)), [3, 'bad at 10']],
    ['a FULL within a record', joined(fragment(FIRST, three), framed(three)), ['bad at 0']],
    ['a FIRST within a record', joined(fragment(FIRST, three), fragment(FIRST, three)), ['bad at 0']],
    ['a FULL after an empty FIRST', joined(fragment(FIRST, new Uint8Array()), framed(three)), [3, 'end at 17']],
    [
      'a FIRST after an empty FIRST',
      joined(fragment(FIRST, new Uint8Array()), fragment(FIRST, three), fragment(LAST, three)),
      [6, 'end at 27'],
    ],
    [
      'a length beyond the block',
      joined(new Uint8Array([1, 1, 1, 1, 0xfa, 0x7f, FULL]), new Uint8Array(BLOCK_BYTES)),
      ['bad at 0'],
    ],
    [
      'a length up to the block',
      joined(new Uint8Array([1, 1, 1, 1, 0xf9, 0x7f, FULL]), new Uint8Array(9)),
      ['torn at 0'],
    ],
  ])('%s', async (_what, bytes, expected) => {
    expect(await summary(bytes)).toEqual(expected);
  });

  it('says what is wrong', async () => {
    const last = (await read(fragment(0, three))).at(-1);
    expect(last).toEqual({ type: 'bad', offset: 0, reason: '0 is no record type' });
  });

  it('repeats how it ended until it is told to look on', async () => {
    const reader = new RecordReader(new BytesFile(joined(flipped(framed(three), 8), framed(three))), 'x.log');
    expect(await reader.next()).toMatchObject({ type: 'bad', offset: 0 });
    expect(await reader.next()).toMatchObject({ type: 'bad', offset: 0 });
    expect(await reader.resync()).toMatchObject({ type: 'record', offset: 10 });
    expect(await reader.next()).toMatchObject({ type: 'end', offset: 20 });
  });

  it('reads on to the end of a file that is made shorter meanwhile, as a log that gives back what it had reserved', async () => {
    const big = Uint8Array.from({ length: 300_000 }, (_, index) => index & 0xff);
    for (const records of [[Uint8Array.of(1, 2, 3)], [Uint8Array.of(1, 2, 3), big], []]) {
      const content = framed(...records);
      for (const spare of [1, 1024, 400_000]) {
        const file = new BytesFile(joined(content, new Uint8Array(spare)));
        const size = file.bytes.length;
        let asked = 0;
        // Its size is asked for, and then it is cut.
        file.size = () => Promise.resolve((asked += 1) === 1 ? size : content.length);
        file.bytes = content;
        const outcomes = await readAll(new RecordReader(file, 'x.log'));
        const ends = outcomes.map((one) => (one.type === 'record' ? one.bytes.length : one));
        expect(ends).toEqual([...records.map(({ length }) => length), { type: 'end', offset: content.length }]);
      }
    }
  });

  it('reports a file that is shorter than its size', async () => {
    const file = new BytesFile(framed(three, three));
    file.size = () => Promise.resolve(25);
    const reader = new RecordReader(file, '000007.log');
    await expect(reader.next()).rejects.toThrow(CorruptionError);
    await expect(reader.next()).rejects.toThrow('000007.log is damaged at byte 20');
  });

  it('takes a record for damage that is longer than any', async () => {
    const bytes = framed(recordOf(3 * BLOCK_BYTES, 1));
    const read3 = (most: number): Promise<ReadOutcome[]> =>
      readAll(new RecordReader(new BytesFile(bytes), 'x', 0, most));
    expect((await read3(3 * BLOCK_BYTES)).map(({ type }) => type)).toEqual(['record', 'end']);
    const [bad] = await read3(3 * BLOCK_BYTES - 1);
    expect(bad).toMatchObject({ type: 'bad', offset: 0, reason: 'a record is longer than any we write' });
  });

  it('reads in pieces of 256 KiB, and keeps no huge record', async () => {
    const file = new BytesFile(framed(recordOf(3_000_000, 1), three));
    expect((await readAll(new RecordReader(file, 'x.log'))).map((outcome) => outcome.type)).toEqual([
      'record',
      'record',
      'end',
    ]);
    expect(file.readBytesMax).toBe(262_144);
  });
});

describe('resync', () => {
  const small = recordOf(20, 1);

  it.each<[string, (number | string)[], Uint8Array]>([
    ['follows the length of a record whose content is broken', [20, 'bad', 21, 'end'], recordOf(10, 2)],
    // The content holds a framed record: followed by length, it is not taken for one.
    ['does not look into a record it can step over', [20, 'bad', 21, 'end'], joined(framed(small), Uint8Array.of(7))],
  ])('%s', async (_what, expected, middle) => {
    const bytes = framed(small, middle, recordOf(21, 3));
    expect(await summaryWithResync(flipped(bytes, 27 + HEADER_BYTES + middle.length - 1))).toEqual(expected);
  });

  it('tries every byte when the length is broken', async () => {
    const bytes = framed(small, recordOf(10, 2), recordOf(21, 3));
    for (const mask of [1, 2, 4, 8, 64, 255]) {
      const found = await summaryWithResync(flipped(bytes, 27 + 4, mask));
      expect([found[0], ...found.slice(-2)]).toEqual([20, 21, 'end']);
    }
    // A length that seems cut by the end of the file is a broken length, too.
    expect(await summaryWithResync(flipped(bytes, 27 + 5, 0x40))).toEqual([20, 'torn', 21, 'end']);
  });

  it('finds every whole record behind any lost sector', async () => {
    const lengths = [600, 30, 700, 20, BLOCK_BYTES, 90, 2000, 10, 800, 5];
    const records = lengths.map((length, seed) => recordOf(length, seed));
    const bytes = framed(...records);
    const intact = await read(bytes);
    for (let sector = 0; sector * 512 < bytes.length; sector += 1) {
      const damaged = bytes.slice();
      damaged.fill(0, sector * 512, (sector + 1) * 512);
      const expected = intact.flatMap((outcome) => {
        const isTouched =
          outcome.type !== 'record' || (outcome.offset < (sector + 1) * 512 && outcome.endOffset > sector * 512);
        return isTouched ? [] : [outcome.bytes.length];
      });
      const found = await summaryWithResync(damaged);
      expect(found.filter((each) => typeof each === 'number')).toEqual(expected);
    }
  });

  it('goes on at the next block when a block is lost, over the rest of the record that began in it', async () => {
    const bytes = framed(small, recordOf(2 * BLOCK_BYTES, 2), small);
    expect(await summaryWithResync(flipped(bytes, 30))).toEqual([20, 'bad', 20, 'end']);
    expect(await summaryWithResync(flipped(bytes, BLOCK_BYTES + 9))).toEqual([20, 'bad', 20, 'end']);
  });

  it('ends soon on bytes that look like headers everywhere', async () => {
    const bytes = new Uint8Array(4 * BLOCK_BYTES).fill(FULL);
    const begun = performance.now();
    expect(await summaryWithResync(bytes)).toEqual(['bad', 'end']);
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  it('gives up on a block that costs too much, and goes on at the next one', async () => {
    // Every third byte begins what could be a fragment of 16 KiB.
    const pattern = Uint8Array.from(
      { length: BLOCK_BYTES - 27 },
      (_unused, index) => [0x10, 0x40, FULL][index % 3] ?? 0,
    );
    expect(await summaryWithResync(joined(pattern, framed(small), framed(recordOf(21, 2))))).toEqual([
      'bad',
      21,
      'end',
    ]);
  });

  it('goes on behind a record that begins well and has no end', async () => {
    const bytes = joined(flipped(framed(small), 10), fragment(FIRST, recordOf(10, 2)), framed(recordOf(21, 3)));
    expect(await summaryWithResync(bytes)).toEqual(['bad', 21, 'end']);
    expect(await summaryWithResync(joined(flipped(framed(small), 10), fragment(FIRST, small)))).toEqual(['bad', 'end']);
    const split = joined(flipped(framed(small), 10), fragment(FIRST, small), fragment(FIRST, small), framed(small));
    expect(await summaryWithResync(split)).toEqual(['bad', 20, 'end']);
  });

  it('goes on at the next block where the rest of a record ends just before it', async () => {
    for (let left = 0; left < HEADER_BYTES; left += 1) {
      const broken = flipped(framed(small), 10);
      const rest = fragment(LAST, recordOf(BLOCK_BYTES - broken.length - HEADER_BYTES - left, 2));
      const bytes = joined(broken, rest, new Uint8Array(left), framed(recordOf(21, 3)));
      expect(await summaryWithResync(bytes), `${left}`).toEqual(['bad', 21, 'end']);
    }
  });

  it('ends on any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 60 }), async (noise, offset) => {
        const bytes = framed(small, recordOf(30, 2), small);
        bytes.set(noise.subarray(0, Math.max(0, bytes.length - offset)), offset);
        expect((await summaryWithResync(joined(bytes, noise))).at(-1)).toBe('end');
      }),
    );
  });
});

/** Types of the fragments, read in the simplest way. */
function typesIn(bytes: Uint8Array): number[] {
  const types: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) at += left;
    else {
      types.push(bytes[at + 6] ?? 0);
      at += HEADER_BYTES + (bytes[at + 4] ?? 0) + 256 * (bytes[at + 5] ?? 0);
    }
  }
  return types;
}

function maskedByDefinition(content: readonly number[]): Uint8Array {
  let crc = 0xffff_ffff;
  for (const byte of content) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  crc = ~crc >>> 0;
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0;
  return Uint8Array.of(masked & 255, (masked >>> 8) & 255, (masked >>> 16) & 255, masked >>> 24);
}
