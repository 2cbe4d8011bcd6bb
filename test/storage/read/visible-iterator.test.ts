// Goal: a reader at a sequence number sees the newest entry of each key that is not newer than itself, and no other.
// Method: random entries of few keys, read from everywhere at every sequence number, beside a map.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { VisibleIterator } from '../../../src/storage/read/visible-iterator.ts';
import { ArrayIterator } from '../../support/array-iterator.ts';
import { randomOf, runsOf } from '../../support/runs.ts';
import { bytesOf, textOf } from '../../support/sorted-model.ts';
import { compareEntries, settled, type TableEntry } from '../../support/table-entries.ts';

const key = fc.string({ unit: fc.constantFrom('a', 'b', '\0'), maxLength: 3 });
const entries: fc.Arbitrary<TableEntry[]> = fc
  .array(
    fc.record({
      key,
      sequence: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constantFrom(2 ** 40, Number.MAX_SAFE_INTEGER)),
      isSet: fc.boolean(),
      value: fc.string({ unit: fc.constantFrom('x', 'y'), maxLength: 70 }),
    }),
    { maxLength: 40, size: 'max' },
  )
  .map((list) => {
    const seen = new Set<string>();
    const unique = list.filter((entry) => {
      const name = `${entry.key}@${entry.sequence}`;
      return !seen.has(name) && seen.add(name);
    });
    return unique
      .map(({ key: text, sequence, isSet, value }) => ({
        key: bytesOf(text),
        sequence,
        kind: isSet ? KIND_SET : KIND_DELETE,
        value: bytesOf(isSet ? value : ''),
      }))
      .sort(compareEntries);
  });
const sequence = fc.oneof(fc.integer({ min: 0, max: 13 }), fc.constantFrom(2 ** 40, Number.MAX_SAFE_INTEGER));

type Seen = readonly [key: string, value: string, sequence: number];

function model(list: readonly TableEntry[], at: number): Seen[] {
  const seen = new Map<string, TableEntry>();
  for (const entry of list) {
    const text = textOf(entry.key);
    if (entry.sequence <= at && !seen.has(text)) seen.set(text, entry); // newest first
  }
  return [...seen].filter(([, { kind }]) => kind === KIND_SET).map(([k, e]) => [k, textOf(e.value), e.sequence]);
}

async function read(visible: VisibleIterator, from?: Uint8Array): Promise<Seen[]> {
  const found: Seen[] = [];
  for (await settled(visible.start(from)); visible.isValid; await settled(visible.advance())) {
    const { keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd, entrySequence } = visible;
    const shown = [keyBytes.slice(keyStart, keyEnd), valueBytes.slice(valueStart, valueEnd)].map(textOf);
    found.push([shown[0] ?? '', shown[1] ?? '', entrySequence]);
  }
  return found;
}

const never = (): Promise<void> => Promise.reject(new Error('it paused'));

describe('what a reader sees', () => {
  it('is of each key the newest entry that is old enough, both ways, from everywhere', async () => {
    await fc.assert(
      fc.asyncProperty(
        entries,
        sequence,
        fc.boolean(),
        fc.option(key, { nil: undefined }),
        fc.boolean(),
        async (list, at, isReverse, from, isLate) => {
          const random = randomOf(list.length);
          const source = new ArrayIterator(list, () => isLate && random() < 0.4);
          const visible = new VisibleIterator(source, { sequence: at, isReverse, pause: never });
          const all = model(list, at);
          const expected = isReverse
            ? all.filter(([text]) => from === undefined || text <= from).reverse()
            : all.filter(([text]) => from === undefined || text >= from);
          const start = from === undefined ? undefined : bytesOf(from);
          expect(await read(visible, start)).toEqual(expected);
          expect(await read(visible, start)).toEqual(expected); // once more, from the same cursor
        },
      ),
      runsOf(600),
    );
  });

  it('is nothing at sequence number 0 but what was written at 0', async () => {
    const list = [0, 1].map((at) => ({ key: bytesOf(`k${at}`), sequence: at, kind: KIND_SET, value: bytesOf('v') }));
    for (const isReverse of [false, true]) {
      const visible = new VisibleIterator(new ArrayIterator(list), { sequence: 0, isReverse, pause: never });
      expect(await read(visible)).toEqual([['k0', 'v', 0]]);
      expect(await read(visible, bytesOf('k0'))).toEqual([['k0', 'v', 0]]);
    }
  });

  it('is in the caller keeping only while it stands there: a long value after a short one is whole', async () => {
    const list = [60, 3, 5000, 0].map((length, index) => ({
      key: bytesOf('k'.repeat(index + 1)),
      sequence: index,
      kind: KIND_SET,
      value: bytesOf(String(index).repeat(length)),
    }));
    const visible = new VisibleIterator(new ArrayIterator(list), { sequence: 9, isReverse: true, pause: never });
    expect((await read(visible)).map(([, value]) => value.length)).toEqual([0, 5000, 3, 60]);
  });
});

describe('a long run of entries that are not shown', () => {
  const tombstones = (count: number): TableEntry[] => {
    const list: TableEntry[] = Array.from({ length: count }, (_, index) => ({
      key: bytesOf(String(index).padStart(8, '0')),
      sequence: 5,
      kind: KIND_DELETE,
      value: bytesOf(''),
    }));
    const last = { key: bytesOf('z'), sequence: 5, kind: KIND_SET, value: bytesOf('end') };
    return [{ ...last, key: bytesOf('\0') }, ...list, last];
  };
  const versions = (count: number): TableEntry[] =>
    Array.from({ length: count }, (_, index) => ({
      key: bytesOf('k'),
      sequence: count - index,
      kind: KIND_SET,
      value: bytesOf(String(index)),
    }));

  it.each([false, true])('is passed over with pauses (reverse: %s)', async (isReverse) => {
    let pauses = 0;
    const pause = (): Promise<void> => {
      pauses += 1;
      return Promise.resolve();
    };
    const visible = new VisibleIterator(new ArrayIterator(tombstones(20_000)), { sequence: 9, isReverse, pause });
    expect((await read(visible)).map(([, value]) => value)).toEqual(['end', 'end']);
    expect(pauses).toBeGreaterThanOrEqual(4);
    expect(pauses).toBeLessThan(10);
    pauses = 0;
    const many = new VisibleIterator(new ArrayIterator(versions(20_000)), { sequence: 1, isReverse, pause });
    expect(await read(many)).toEqual([['k', '19999', 1]]);
    expect(pauses).toBeGreaterThanOrEqual(4);
  });

  it.each([false, true])('ends when the pause does, and costs no stack (reverse: %s)', async (isReverse) => {
    const pause = (): Promise<void> => Promise.reject(new Error('closed'));
    const source = new ArrayIterator(tombstones(20_000));
    const visible = new VisibleIterator(source, { sequence: 9, isReverse, pause });
    await settled(visible.start());
    await expect(visible.advance()).rejects.toThrow('closed');
    expect(source.steps).toBeLessThan(6000);
    const late = new VisibleIterator(new ArrayIterator(tombstones(30_000), () => true), {
      sequence: 9,
      isReverse,
      pause: () => Promise.resolve(),
    });
    expect(await read(late)).toHaveLength(2);
  });

  it('is not walked on when it is closed in the middle', async () => {
    const source = new ArrayIterator(tombstones(50_000));
    let stepsAtClose = 0;
    const visible: VisibleIterator = new VisibleIterator(source, {
      sequence: 9,
      isReverse: false,
      pause: () => {
        stepsAtClose = source.steps;
        visible.close();
        source.isValid = true; // a source whose read was under way may still show what has come
        return Promise.resolve();
      },
    });
    await settled(visible.start());
    await settled(visible.advance());
    expect(source.steps).toBe(stepsAtClose);
    expect(visible.isValid).toBe(false);
  });
});
