// Goal: a cursor over a block stands where an array of the same entries says, whichever way it goes; and a block that does not
// follow its format is refused at the place where it does not. Method: random walks beside an array; and blocks written down by hand.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../../src/index.ts';
import { encodeInternalKey } from '../../../src/storage/codec/internal-key.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { Block, BlockEntryReader } from '../../../src/storage/table/block.ts';
import { BlockBuilder } from '../../../src/storage/table/block-builder.ts';
import { forEachEntry } from '../../../src/storage/table/block-entries.ts';
import { BlockIterator } from '../../../src/storage/table/block-iterator.ts';
import { EntryHolder } from '../../../src/storage/table/entry-holder.ts';
import { decodeFooter, encodeFooter, readHandle } from '../../../src/storage/table/table-format.ts';
import { runsOf } from '../../support/runs.ts';

interface Entry {
  readonly key: string;
  readonly sequence: number;
  readonly value: string;
}

const NAME = '000007.ldb';
const ascii = (text: string): number[] => [...Buffer.from(text, 'latin1')];
const tag = (sequence: number, kind = 1): number[] => [kind, sequence & 255, sequence >>> 8, 0, 0, 0, 0, 0];
const fixed32 = (value: number): number[] => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
const blockOf = (entries: readonly number[], restarts: readonly number[] = [0]): Block =>
  new Block(Uint8Array.from([...entries, ...restarts.flatMap(fixed32), ...fixed32(restarts.length)]), NAME, 77);
/** An entry of which `rest` is written, its tag with it. */
const line = (shared: number, rest: readonly number[], value = ''): number[] => [
  shared,
  rest.length,
  value.length,
  ...rest,
  ...ascii(value),
];

/** In the order of a table: user keys ascend, and of one key the sequences descend. */
const sorted = (entries: readonly Entry[]): readonly Entry[] =>
  [...new Map(entries.map((entry) => [`${entry.key} ${entry.sequence}`, entry])).values()].toSorted((a, b) =>
    a.key === b.key ? b.sequence - a.sequence : a.key < b.key ? -1 : 1,
  );

function built(entries: readonly Entry[], interval: number): Block {
  const builder = new BlockBuilder(interval);
  for (const { key, sequence, value } of entries) {
    const kind = value === '' ? KIND_DELETE : KIND_SET;
    const internal = encodeInternalKey(Buffer.from(key), sequence, kind);
    builder.add(internal, internal.length, Buffer.from(value), 0, value.length);
  }
  return new Block(builder.finish().slice(), NAME, 0);
}

function shown(holder: EntryHolder): Entry | undefined {
  if (!holder.isValid) return undefined;
  const { keyBytes, keyStart, keyEnd, sequence, valueBytes, valueStart, valueEnd, kind } = holder;
  const value = Buffer.from(valueBytes.subarray(valueStart, valueEnd)).toString();
  expect(kind).toBe(value === '' ? KIND_DELETE : KIND_SET);
  return { key: Buffer.from(keyBytes.subarray(keyStart, keyEnd)).toString(), sequence, value };
}

const keys = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 6 }),
  fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 3 }).map((text) => `${'a'.repeat(200)}${text}`),
);
const entriesOf = fc
  .array(
    fc.record({
      key: keys,
      sequence: fc.integer({ min: 1, max: 4 }),
      value: fc.constantFrom('', 'v', 'w'.repeat(200)),
    }),
    {
      maxLength: 60,
    },
  )
  .map(sorted);

describe('a cursor over a block', () => {
  it('stands where an array says, whichever way it goes', () => {
    const move = fc.oneof(
      fc.constantFrom('first', 'last', 'next', 'next', 'previous', 'previous', 'own key'),
      fc.tuple(keys, fc.integer({ min: 0, max: 5 })),
    );
    fc.assert(
      fc.property(
        entriesOf,
        fc.constantFrom(1, 2, 3, 16, 100),
        fc.array(move, { maxLength: 40 }),
        (entries, interval, moves) => {
          const holder = new EntryHolder();
          const cursor = new BlockIterator(holder);
          cursor.seekToFirst(); // before it has a block there is nothing
          cursor.seekToLast();
          cursor.seek(Buffer.from('a'), 0, 1, 1);
          expect(holder.isValid).toBe(false);
          cursor.open(built(entries, interval));
          expect(holder.isValid).toBe(false);
          let place = -1;
          const isThere = (): boolean => place >= 0 && place < entries.length;
          const at = (key: string, sequence: number): number => {
            const found = entries.findIndex(
              (entry) => entry.key > key || (entry.key === key && entry.sequence <= sequence),
            );
            return found === -1 ? entries.length : found;
          };
          for (const one of moves) {
            if (one === 'first') {
              cursor.seekToFirst();
              place = 0;
            } else if (one === 'last') {
              cursor.seekToLast();
              place = entries.length - 1;
            } else if (one === 'next' || one === 'previous') {
              if (!isThere()) continue;
              if (one === 'next') cursor.next();
              else cursor.previous();
              place += one === 'next' ? 1 : -1;
            } else if (one === 'own key') {
              if (!isThere()) continue;
              const { keyBytes, keyStart, keyEnd, sequence } = holder;
              cursor.seek(keyBytes, keyStart, keyEnd, sequence);
            } else {
              const [key, sequence] = one;
              // The key is the middle of other bytes.
              const bytes = Buffer.from(`<${key}>`);
              cursor.seek(bytes, 1, 1 + key.length, sequence);
              place = at(key, sequence);
            }
            expect(shown(holder)).toEqual(entries[place]);
          }
        },
      ),
      runsOf(300),
    );
  });

  it('goes through all of them both ways, with more entries behind one restart than it has notes for', () => {
    const entries = sorted(
      Array.from({ length: 200 }, (_, index) => ({
        key: `${'k'.repeat(index % 7)}${String(index).padStart(4, '0')}`,
        sequence: 1,
        value: `${index}`,
      })),
    );
    for (const interval of [1, 2, 16, 1000]) {
      const holder = new EntryHolder();
      const cursor = new BlockIterator(holder);
      cursor.open(built(entries, interval));
      const isThere = (): boolean => holder.isValid;
      const seen: (Entry | undefined)[] = [];
      for (cursor.seekToFirst(); isThere(); cursor.next()) seen.push(shown(holder));
      expect(seen).toEqual(entries);
      const back: (Entry | undefined)[] = [];
      for (cursor.seekToLast(); isThere(); cursor.previous()) back.push(shown(holder));
      expect(back.toReversed()).toEqual(entries);
      for (const [index, { key, sequence }] of entries.entries()) {
        cursor.seek(Buffer.from(key), 0, key.length, sequence);
        expect(shown(holder)).toEqual(entries[index]);
        cursor.previous();
        expect(shown(holder)).toEqual(entries[index - 1]);
        cursor.seek(Buffer.from(key), 0, key.length, 0);
        expect(shown(holder)).toEqual(entries[index + 1]);
      }
    }
  });

  it('looks at few restarts: it does not read what lies before the one it needs', () => {
    const first = line(0, [...ascii('a'), ...tag(1)], '1');
    const broken = line(20, [...ascii('b'), ...tag(1)], '2'); // shares what is not there: whoever reads it fails
    const last = line(0, [...ascii('c'), ...tag(1)], '3');
    const block = blockOf([...first, ...broken, ...last], [0, first.length + broken.length]);
    const holder = new EntryHolder();
    const cursor = new BlockIterator(holder);
    cursor.open(block);
    cursor.seek(Buffer.from('c'), 0, 1, 0);
    expect(holder.isValid).toBe(false); // it began at the last restart, and came to the end
    cursor.seek(Buffer.from('d'), 0, 1, 9);
    expect(holder.isValid).toBe(false);
    cursor.seekToLast();
    expect(shown(holder)).toEqual({ key: 'c', sequence: 1, value: '3' });
    expect(() => cursor.previous()).toThrow('shares more bytes');
    expect(() => cursor.seek(Buffer.from('b'), 0, 1, 9)).toThrow('shares more bytes');
  });
});

describe('a block that is not as it must be', () => {
  it.each<[string, () => unknown]>([
    ['too short for its restart count', () => new Block(new Uint8Array(3), NAME, 77)],
    ['too short for its restarts', () => new Block(Uint8Array.from(fixed32(1)), NAME, 77)],
    ['too short for its restarts', () => new Block(Uint8Array.from([0, 0, 0, 0, ...fixed32(2)]), NAME, 77)],
    ['has entries but no restart', () => blockOf(line(0, tag(1)), [])],
    ['do not ascend from 0', () => blockOf(line(0, tag(1)), [1])],
    ['do not ascend from 0', () => blockOf([...line(0, tag(1)), ...line(0, tag(1))], [0, 11, 11])],
    ['behind its entries', () => blockOf(line(0, tag(1)), [0, 11])],
    ['behind its entries', () => blockOf([], [0, 1])],
  ])('is refused: %s', (reason, make) => {
    expect(make).toThrow(CorruptionError);
    expect(make).toThrow(reason);
    expect(make).toThrow(expect.objectContaining({ file: NAME, offset: 77 }));
  });

  it('may be empty, with a restart and without', () => {
    for (const block of [blockOf([], []), blockOf([], [0])]) {
      expect(block.entriesEnd).toBe(0);
      const holder = new EntryHolder();
      const cursor = new BlockIterator(holder);
      cursor.open(block);
      for (const go of [
        () => cursor.seekToFirst(),
        () => cursor.seekToLast(),
        () => cursor.seek(new Uint8Array(0), 0, 0, 1),
      ]) {
        go();
        expect(holder.isValid).toBe(false);
      }
    }
  });

  const walks: readonly [string, (cursor: BlockIterator) => void][] = [
    ['first', (cursor) => cursor.seekToFirst()],
    ['last', (cursor) => cursor.seekToLast()],
    ['seek', (cursor) => cursor.seek(Buffer.from('A'), 0, 1, 9)],
  ];

  it.each<[string, readonly number[], readonly number[]]>([
    ['entry is cut short', [0, 8], [0]],
    ['key of an entry runs past its block', [0, 9, 0, ...tag(1)], [0]],
    ['value of an entry runs past its block', [0, 8, 1, ...tag(1)], [0]],
    ['length in an entry is cut short', [0x80, 0x80, 0x80], [0]],
    ['length in an entry exceeds 32 bits', [0x80, 0x80, 0x80, 0x80, 0x10, 0, 0], [0]],
    ['too short for its tag', line(0, [1, 1, 0, 0, 0, 0, 0]), [0]],
    ['neither set nor delete', line(0, [...ascii('a'), ...tag(1, 2)]), [0]],
    ['exceeds 2^53 - 1', line(0, [...ascii('a'), 1, 255, 255, 255, 255, 255, 255, 255]), [0]],
    ['shares more bytes than the key before it has', line(1, [...ascii('a'), ...tag(1)]), [0]],
  ])('is refused wherever a cursor meets it: %s', (reason, entries, restarts) => {
    for (const [what, go] of walks) {
      const holder = new EntryHolder();
      const cursor = new BlockIterator(holder);
      cursor.open(blockOf(entries, restarts));
      expect(() => go(cursor), what).toThrow(reason);
      expect(() => go(cursor), what).toThrow(CorruptionError);
      expect(holder.isValid, what).toBe(false);
    }
  });

  it('is refused where a restart has no whole key, or points into an entry', () => {
    const one = line(0, [...ascii('a'), ...tag(1)], 'vv');
    const two = line(1, tag(0));
    const holder = new EntryHolder();
    const cursor = new BlockIterator(holder);
    cursor.open(blockOf([...one, ...two, ...one], [0, one.length, one.length + two.length]));
    expect(() => cursor.seek(Buffer.from('b'), 0, 1, 1)).toThrow('has no whole key');
    const short = line(0, [1, 2, 3]);
    cursor.open(blockOf([...one, ...short], [0, one.length]));
    expect(() => cursor.seek(Buffer.from('b'), 0, 1, 1)).toThrow('has no whole key');
    cursor.open(blockOf([...one, ...one], [0, one.length - 2]));
    expect(() => cursor.seekToLast()).toThrow(CorruptionError);
    // Going back from the second entry, the first one does not end where that begins.
    cursor.open(blockOf([...one, ...line(0, [...ascii('b'), ...tag(1)], 'v')], [0, one.length]));
    cursor.seekToLast();
    cursor.previous();
    expect(shown(holder)).toEqual({ key: 'a', sequence: 1, value: 'vv' });
    cursor.previous();
    expect(holder.isValid).toBe(false);
  });

  it('is refused while a seek passes over it: what is shared, and keys without a tag', () => {
    const [a, b] = [line(0, [...ascii('a'), ...tag(1)]), line(10, [...ascii('b'), ...tag(1)])];
    const holder = new EntryHolder();
    const cursor = new BlockIterator(holder);
    cursor.open(blockOf([...a, ...b]));
    expect(() => cursor.seek(Buffer.from('z'), 0, 1, 1)).toThrow('shares more bytes');
    cursor.open(blockOf([...a, ...line(0, [9, 9])]));
    expect(() => cursor.seek(Buffer.from('z'), 0, 1, 1)).toThrow('too short for its tag');
  });
});

describe('the reader of entries', () => {
  it('reads lengths of one byte and of several, and keys longer than its buffer', () => {
    const long = 'k'.repeat(300);
    const value = 'v'.repeat(127);
    const entries = [
      ...[0, 0xac, 0x02, 127, ...ascii(long), ...ascii(value)],
      ...[0xac, 0x02, 1, 0, ...ascii('!')],
      ...[127, 0, 0],
      ...[1, 127, 0x80, 0x01, ...ascii('x'.repeat(127)), ...ascii('w'.repeat(128))],
    ];
    const block = blockOf(entries);
    const reader = new BlockEntryReader();
    const seen: string[] = [];
    for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
      reader.read(block, offset);
      seen.push(Buffer.from(reader.keyBytes.subarray(0, reader.keyLength)).toString());
      seen.push(Buffer.from(block.bytes.subarray(reader.valueStart, reader.valueEnd)).toString());
    }
    expect(seen).toEqual([long, value, `${long}!`, '', 'k'.repeat(127), '', `k${'x'.repeat(127)}`, 'w'.repeat(128)]);
  });

  it('grows its buffer no further than the block, and refuses a key that is longer than that', () => {
    const rest = 'k'.repeat(100);
    const entries = [...[0, 100, 0, ...ascii(rest)], ...[100, 100, 0, ...ascii(rest)]];
    const reader = new BlockEntryReader();
    const block = blockOf(entries);
    reader.read(block, 0);
    reader.read(block, reader.valueEnd);
    expect(reader.keyLength).toBe(200);
    expect(reader.keyBytes.length).toBeLessThanOrEqual(block.entriesEnd);
    // Each entry doubles what is shared: the key would be longer than all bytes there are.
    const doubling = [...[0, 100, 0, ...ascii(rest)], ...[100, 5, 0, ...ascii('kkkkk')], ...[105, 105, 0]];
    const crafted = blockOf([...doubling, ...ascii('k'.repeat(105))]);
    reader.read(crafted, 0);
    reader.read(crafted, reader.valueEnd);
    reader.read(crafted, reader.valueEnd);
    expect(reader.keyLength).toBe(210);
    const small = blockOf([...[0, 1, 0, ...ascii('k')], ...[70, 2, 0, ...ascii('kk')]]);
    reader.keyLength = 70;
    reader.keyBytes = new Uint8Array(70);
    expect(() => reader.read(small, 4)).toThrow('longer than its block');
  });

  it('names no entry with a name that is longer than any we know', () => {
    const names: string[] = [];
    const entries = [
      ...[0, 0x80, 0x02, 1, ...ascii('n'.repeat(256)), ...ascii('1')],
      ...[0, 0x81, 0x02, 1, ...ascii('o'.repeat(257)), ...ascii('2')],
      ...[0, 1, 1, ...ascii('p'), ...ascii('3')],
    ];
    const block = blockOf(entries);
    forEachEntry(block, (name, start, end) => {
      names.push(`${name.length}${name[0] ?? ''}${Buffer.from(block.bytes.subarray(start, end)).toString()}`);
    });
    expect(names).toEqual(['256n1', '1p3']);
  });
});

describe('the outline of a table', () => {
  /** `undefined`: it was refused. */
  function outcomeOf<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch {
      return undefined;
    }
  }

  const handle = (offset: number, size: number, limit: number): unknown => {
    const bytes = encodeFooter({ metaindex: { offset, size }, index: { offset: 0, size: 0 } });
    return readHandle({ bytes, offset: 0, end: 40 }, limit);
  };

  it('has its blocks wholly before their limit', () => {
    expect(handle(10, 20, 35)).toEqual({ offset: 10, size: 20 });
    expect(() => handle(10, 20, 34)).toThrow('past its limit');
    expect(handle(0, 0x7fff_ffff, 2 ** 40)).toEqual({ offset: 0, size: 0x7fff_ffff });
    expect(() => handle(0, 0x8000_0000, 2 ** 40)).toThrow('past its limit');
  });

  it('has a footer that is told from anything else', () => {
    const footer = { metaindex: { offset: 100, size: 30 }, index: { offset: 135, size: 40 } };
    const fileBytes = 135 + 40 + 5 + 48;
    const bytes = encodeFooter(footer);
    expect(decodeFooter(bytes, fileBytes)).toEqual(footer);
    for (let offset = 0; offset < bytes.length; offset += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const flipped = bytes.slice();
        flipped[offset] = (flipped[offset] as number) ^ (1 << bit);
        // A metaindex that lies elsewhere may be one: its own checksum tells.
        const decoded = offset < 40 ? outcomeOf(() => decodeFooter(flipped, fileBytes)) : undefined;
        expect(decoded, `${offset} ${bit}`).not.toEqual(footer);
        if (decoded !== undefined) expect(decoded.index).toEqual(footer.index);
        if (offset >= 40) expect(() => decodeFooter(flipped, fileBytes)).toThrow('magic number');
      }
    }
    expect(() => decodeFooter(bytes, fileBytes + 1)).toThrow('does not end where the footer begins');
    const near = { ...footer, metaindex: { offset: 100, size: 31 } };
    expect(() => decodeFooter(encodeFooter(near), fileBytes)).toThrow('overlaps the index');
  });
});
