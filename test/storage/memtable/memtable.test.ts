import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError, OutOfRangeError, ReadOnlyError } from '../../../src/errors.ts';
import { Memtable } from '../../../src/storage/memtable/memtable.ts';
import { KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../../../src/storage/read/internal-iterator.ts';
import { runs } from '../../support/runs.ts';
import { add, collectBackwards, collectForwards, entryAt, entryOrd, expectSame, type ModelEntry } from './model.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const set = (key: Uint8Array, sequence: number, value: Uint8Array = text('v')): ModelEntry => ({
  key,
  sequence,
  kind: KIND_SET,
  value,
});
const numberKey = (value: number): Uint8Array => text(String(value).padStart(16, '0'));

describe('Memtable', { timeout: 30_000 }, () => {
  it('is empty at first', () => {
    const table = Memtable.create(4096);
    expect(table.entryCount).toBe(0);
    expect(table.capacityBytes).toBe(4096);
    expect(table.bytesUsed).toBeLessThan(1024);
    expect(table.find(text('a'), 0, 1, SEQUENCE_MAX)).toBe(-1);
    expect(table.find(text(''), 0, 0, SEQUENCE_MAX)).toBe(-1);
    expect(collectForwards(table)).toEqual([]);
    expect(collectBackwards(table)).toEqual([]);
    expect(table.approximateBytes(text(''), undefined)).toBe(0);
  });

  it('finds the newest entry that is not newer than asked for', () => {
    const table = Memtable.create(1 << 16);
    const key = text('key');
    add(table, set(key, 3, text('three')));
    add(table, { key, sequence: 5, kind: KIND_DELETE, value: text('') });
    add(table, set(key, 9, text('nine')));
    const at = (sequence: number): ModelEntry | undefined => entryAt(table, table.find(key, 0, 3, sequence));
    expect(at(2)).toBeUndefined();
    expect(at(3)).toEqual(set(key, 3, text('three')));
    expect(at(4)).toEqual(set(key, 3, text('three')));
    expect(at(8)).toEqual({ key, sequence: 5, kind: KIND_DELETE, value: text('') });
    expect(at(SEQUENCE_MAX)).toEqual(set(key, 9, text('nine')));
  });

  it('takes keys and values from ranges of the source and copies them', () => {
    const table = Memtable.create(4096);
    const source = text('..key..value..');
    table.add(1, KIND_SET, source, 2, 5, 7, 12);
    source.fill(0);
    expect(entryAt(table, table.find(text('a key'), 2, 5, 1))).toEqual(set(text('key'), 1, text('value')));
  });

  it.each([0, 1, 255, 256, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52 + 1, SEQUENCE_MAX])(
    'keeps sequence number %d',
    (sequence) => {
      const table = Memtable.create(4096);
      add(table, set(text('k'), sequence));
      expect(table.sequenceOf(table.find(text('k'), 0, 1, SEQUENCE_MAX))).toBe(sequence);
      expect(collectForwards(table)).toEqual([set(text('k'), sequence)]);
      if (sequence > 0) expect(table.find(text('k'), 0, 1, sequence - 1)).toBe(-1);
    },
  );

  it('orders versions of a key whose sequence numbers straddle 32 bits', () => {
    const table = Memtable.create(1 << 16);
    const sequences = [1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, SEQUENCE_MAX];
    for (const sequence of sequences) add(table, set(text('k'), sequence));
    expect(collectForwards(table).map((entry) => entry.sequence)).toEqual(sequences.toReversed());
  });

  const count = Math.min(20_000, runs(20_000));
  const half = count / 2;
  describe.each([
    ['ascending', (at: number) => at],
    ['descending', (at: number) => count - 1 - at],
    ['scattered', (at: number) => (at * 7919) % count],
    ['two ascending', (at: number) => (at % 2 === 0 ? at / 2 : half + (at - 1) / 2)],
    ['from the middle outwards', (at: number) => (at % 2 === 0 ? half + at / 2 : half - 1 - (at - 1) / 2)],
  ])(`with ${count} keys in %s order`, (_name, order) => {
    let table: Memtable;
    beforeAll(() => {
      table = Memtable.create(8 << 20);
      for (let at = 0; at < count; at += 1) add(table, set(numberKey(order(at)), at + 1, text(`v${order(at)}`)));
    });

    it('finds each one, and none beside them', () => {
      for (let at = 0; at < count; at += 1) {
        const key = numberKey(order(at));
        const entry = table.find(key, 0, key.length, SEQUENCE_MAX);
        if (entry < 0 || table.sequenceOf(entry) !== at + 1) expect.fail(`key ${order(at)} gave entry ${entry}`);
        if (table.find(key, 0, key.length, at) !== -1) expect.fail(`key ${order(at)} was found before it was written`);
        if (table.find(key, 0, key.length - 1, SEQUENCE_MAX) !== -1) expect.fail(`part of key ${order(at)} was found`);
      }
    });

    it('iterates in order both ways', () => {
      const keys = Array.from({ length: count }, (_, at) => `v${at}`);
      const values = (entries: ModelEntry[]): string[] => entries.map(({ value }) => new TextDecoder().decode(value));
      expect(values(collectForwards(table))).toEqual(keys);
      expect(values(collectBackwards(table))).toEqual(keys.toReversed());
    });

    it('estimates the bytes of a range from the entries in it', () => {
      const all = table.approximateBytes(text(''), undefined);
      expect(all).toBeGreaterThan(count * 20);
      expect(table.approximateBytes(numberKey(0), numberKey(count))).toBe(all);
      expect(table.approximateBytes(numberKey(count / 4), numberKey(half))).toBe(Math.round(all / 4));
      expect(table.approximateBytes(numberKey(count - count / 4), undefined)).toBe(Math.round(all / 4));
      expect(table.approximateBytes(numberKey(half), numberKey(count / 4))).toBe(0);
      expect(table.approximateBytes(numberKey(5), numberKey(5))).toBe(0);
      expect(table.approximateBytes(numberKey(8), numberKey(7))).toBe(0);
      expect(table.approximateBytes(text('z'), undefined)).toBe(0);
    });
  });

  it('fills its leaves to the brim when keys ascend', () => {
    const table = Memtable.create(8 << 20);
    const before = table.bytesUsed;
    for (let at = 0; at < 6_200; at += 1) add(table, set(numberKey(at), at + 1, text('12345678')));
    const nodeBytes = table.bytesUsed - before - 6_200 * 40;
    expect(nodeBytes).toBe((99 + 3 + 1) * 512); // 99 leaves beside the first, and three inner nodes under a root
  });

  it('keeps its order through keys with a long shared beginning that one key breaks', () => {
    const table = Memtable.create(1 << 20);
    const entries: ModelEntry[] = [];
    const insert = (key: string): void => {
      const entry = set(text(key), entries.length + 1);
      entries.push(entry);
      add(table, entry);
    };
    for (let at = 0; at < 40; at += 1) insert(`shared/beginning/${at % 7}/${at}`);
    for (const key of ['shared', '', 'shared/beginning/', 'shared/beginninh', 'shared/beginnin', 'z', 'a']) insert(key);
    for (let at = 40; at < 500; at += 1) insert(`shared/beginning/${at % 7}/${at}`);
    expect(collectForwards(table)).toEqual(entries.toSorted(entryOrd));
    for (const entry of entries) {
      expect(entryAt(table, table.find(entry.key, 0, entry.key.length, SEQUENCE_MAX))).toEqual(entry);
    }
  });

  it('takes a huge key and a huge value in an arena made for them', () => {
    const key = new Uint8Array(65_536).fill(0xff);
    const value = new Uint8Array(48 << 20);
    value[0] = 1;
    value[value.length - 1] = 2;
    const payload = key.length + value.length;
    const huge = Memtable.create(Memtable.capacityFor(1, payload));
    expect(huge.hasRoomFor(1, payload)).toBe(true);
    expect(huge.hasRoomFor(1, payload + 1024)).toBe(false);
    add(huge, set(key, 7, value));
    expect(huge.hasRoomFor(1, payload)).toBe(false);
    const entry = huge.find(key, 0, key.length, SEQUENCE_MAX);
    expect(huge.keyEndOf(entry) - huge.keyStartOf(entry)).toBe(65_536);
    expect(huge.valueEndOf(entry) - huge.valueStartOf(entry)).toBe(48 << 20);
    expect(huge.bytes[huge.valueStartOf(entry)]).toBe(1);
    expect(huge.bytes[huge.valueEndOf(entry) - 1]).toBe(2);
  });

  it.each([0, 1023, 1024.5, -1, 2 ** 31 - 511, 2 ** 31, 2 ** 40, NaN, Infinity])(
    'refuses a capacity of %d',
    (bytes) => {
      expect(() => Memtable.create(bytes)).toThrow(OutOfRangeError);
      expect(() => Memtable.create(bytes)).toThrow(RangeError);
    },
  );

  it('takes the smallest and the largest capacity', () => {
    expect(Memtable.create(1024).hasRoomFor(1, 400)).toBe(true);
    const table = Memtable.create(2 ** 31 - 512);
    expect(table.hasRoomFor(1, 2 ** 30 + 65_536)).toBe(true);
    add(table, set(text('k'), 1));
    expect(collectForwards(table)).toEqual([set(text('k'), 1)]);
  });

  it('throws when it is full, and keeps what it has', () => {
    const entries: ModelEntry[] = [];
    const table = Memtable.create(16_384);
    const fill = (): void => {
      for (let at = 0; at < 10_000; at += 1) {
        const entry = set(numberKey((at * 7919) % 10_000), at + 1);
        add(table, entry);
        entries.push(entry);
      }
    };
    expect(fill).toThrow(RangeError);
    const expected = entries.toSorted(entryOrd);
    expect(entries.length).toBeGreaterThan(250);
    expect(collectForwards(table)).toEqual(expected);
    expect(() => add(table, set(numberKey(20_000), 10_001, new Uint8Array(16_384)))).toThrow(RangeError);
    expect(() => table.add(1, KIND_SET, new Uint8Array(1), 0, 2 ** 40, 0, 2 ** 40)).toThrow(RangeError);
    expect(collectForwards(table)).toEqual(expected);
    expect(table.entryCount).toBe(entries.length);
  });

  it('goes on after a refused entry whose bytes lay where nodes come later', () => {
    // Entries of one byte fill the last leaf; then a large one fits itself, but not with the node it needs.
    const table = Memtable.create(4096);
    const entries: ModelEntry[] = [];
    for (let at = 0; at < 62; at += 1) {
      const entry = set(text(String.fromCharCode(33 + at)), at + 1, text(''));
      entries.push(entry);
      add(table, entry);
    }
    const room = 4096 - table.bytesUsed;
    const refused = new Uint8Array(room - 24).fill(0xee);
    expect(() => add(table, set(text('0z'), 63, refused))).toThrow(RangeError);
    for (let at = 0; at < 20; at += 1) {
      const entry = set(text(`0${at}`), 64 + at, text(''));
      entries.push(entry);
      add(table, entry);
    }
    expect(collectForwards(table)).toEqual(entries.toSorted(entryOrd));
    expect(collectBackwards(table)).toEqual(entries.toSorted(entryOrd).toReversed());
  });

  it('refuses an entry when the new leaf fits but not the new root above it', () => {
    const table = Memtable.create(4096);
    for (let at = 0; at < 62; at += 1) add(table, set(text(String.fromCharCode(33 + at)), at + 1, text('')));
    const before = collectForwards(table);
    const room = 4096 - table.bytesUsed;
    expect(() => add(table, set(text('~'), 63, new Uint8Array(room - 800)))).toThrow(RangeError);
    expectSame(collectForwards(table), before);
    add(table, set(text('~'), 63, new Uint8Array(room - 1024 - 20)));
    expect(collectForwards(table)).toHaveLength(63);
  });

  it('has room for what it said it had', () => {
    const group = fc.record({
      count: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 200 })),
      keyLength: fc.integer({ min: 0, max: 40 }),
      valueLength: fc.integer({ min: 0, max: 90 }),
      step: fc.constantFrom(1, -1, 7919, 104_729),
    });
    const property = (
      capacity: number,
      groups: { count: number; keyLength: number; valueLength: number; step: number }[],
    ): void => {
      const table = Memtable.create(capacity);
      let sequence = 0;
      let position = 50_000;
      for (const { count, keyLength, valueLength, step } of [...groups, ...groups, ...groups]) {
        if (!table.hasRoomFor(count, count * (keyLength + valueLength))) continue;
        for (let at = 0; at < count; at += 1) {
          position = (position + step + 1_000_003) % 1_000_003;
          const key = text(String(position).padStart(7, '0').repeat(6)).subarray(0, keyLength);
          add(table, set(key, ++sequence, new Uint8Array(valueLength)));
        }
      }
      expect(table.entryCount).toBe(sequence);
      expect(collectForwards(table)).toHaveLength(sequence);
    };
    fc.assert(
      fc.property(fc.integer({ min: 1024, max: 40_000 }), fc.array(group, { minLength: 1, maxLength: 30 }), property),
    );
  });

  it.each([1, -1, 7919])('has room for single entries until it is nearly full, at a stride of %d', (stride) => {
    const table = Memtable.create(1 << 20);
    let count = 0;
    while (table.hasRoomFor(1, 116)) {
      count += 1;
      add(table, set(numberKey((1_000_003 + count * stride) % 1_000_003), count, new Uint8Array(100)));
    }
    expect(table.bytesUsed).toBeGreaterThan(0.98 * (1 << 20));
    expect(collectForwards(table)).toHaveLength(count);
  });

  it('has a capacity for any payload that then has room for it', () => {
    fc.assert(
      fc.property(fc.nat(3000), fc.nat(1 << 22), (entryCount, payloadBytes) => {
        const capacity = Memtable.capacityFor(entryCount, payloadBytes);
        expect(Memtable.create(capacity).hasRoomFor(entryCount, payloadBytes)).toBe(true);
        expect(capacity).toBeLessThan(payloadBytes + entryCount * 40 + 4096);
      }),
    );
    expect(() => Memtable.create(Memtable.capacityFor(1, 2 ** 31))).toThrow(RangeError);
  });

  it('has that room to the last entry even where all nodes end half full and all entries are padded', () => {
    const entryCount = 20_000;
    const payloadBytes = 17;
    const table = Memtable.create(Memtable.capacityFor(entryCount, entryCount * payloadBytes));
    for (let left = entryCount; left > 0; left -= 1) {
      if (left % 64 === 0) expect(table.hasRoomFor(left, left * payloadBytes)).toBe(true);
      add(table, set(numberKey(left), entryCount - left + 1, new Uint8Array(1)));
    }
    expect(collectForwards(table)).toHaveLength(entryCount);
    expect(table.bytesUsed).toBeGreaterThan(0.98 * table.capacityBytes);
  });

  describe('attached to a buffer', () => {
    it('shows what the other one holds', () => {
      const table = Memtable.create(1 << 20);
      for (let at = 0; at < 3_000; at += 1) add(table, set(numberKey((at * 7919) % 3_000), at + 1));
      const attached = Memtable.attach(table.buffer);
      expect(attached.buffer).toBe(table.buffer);
      expect(attached.entryCount).toBe(3_000);
      expect(attached.bytesUsed).toBe(table.bytesUsed);
      expect(attached.capacityBytes).toBe(1 << 20);
      expectSame(collectForwards(attached), collectForwards(table));
      expectSame(collectBackwards(attached), collectBackwards(table));
      expect(attached.find(numberKey(17), 0, 16, SEQUENCE_MAX)).toBe(table.find(numberKey(17), 0, 16, SEQUENCE_MAX));
    });

    it('takes no entries', () => {
      const attached = Memtable.attach(Memtable.create(4096).buffer);
      expect(() => add(attached, set(text('k'), 1))).toThrow(ReadOnlyError);
      expect(attached.entryCount).toBe(0);
    });

    it('refuses a buffer that is no memtable', () => {
      expect(() => Memtable.attach(new SharedArrayBuffer(4096))).toThrow(InvalidArgumentError);
      expect(() => Memtable.attach(new SharedArrayBuffer(3))).toThrow(InvalidArgumentError);
    });
  });
});
