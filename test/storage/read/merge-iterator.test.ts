// Goal: many sorted sources read as one, forwards, backwards, and across every change of direction.
// Method: random walks over up to five sources, beside the same walk over one sorted array.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MergeIterator } from '../../../src/storage/read/merge-iterator.ts';
import { ArrayIterator } from '../../support/array-iterator.ts';
import { randomOf, runsOf } from '../../support/runs.ts';
import {
  compareEntries,
  entryAt,
  readBackwards,
  readForwards,
  settled,
  tableEntries,
  type TableEntry,
  tableKey,
  tableSequence,
} from '../../support/table-entries.ts';

type Move =
  | { readonly to: 'first' | 'last' | 'next' | 'previous' }
  | { readonly to: 'seek'; readonly key: Uint8Array; readonly sequence: number };

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ to: fc.constantFrom('first', 'last') }) },
  { weight: 10, arbitrary: fc.record({ to: fc.constantFrom('next', 'previous') }) },
  { weight: 3, arbitrary: fc.record({ to: fc.constant('seek'), key: tableKey, sequence: tableSequence }) },
);

/** Each entry in one of the sources: as in the tree, no two of them have the same key at the same sequence number. */
const spread: fc.Arbitrary<{ readonly all: TableEntry[]; readonly sources: TableEntry[][] }> = fc
  .tuple(tableEntries, fc.integer({ min: 0, max: 5 }), fc.infiniteStream(fc.nat()))
  .map(([entries, count, choices]) => {
    const sources = Array.from({ length: count }, (): TableEntry[] => []);
    const all = count === 0 ? [] : entries;
    for (const entry of all) sources[Number(choices.next().value) % count]?.push(entry);
    return { all, sources };
  });

const lateness = fc.constantFrom('never', 'always', 'sometimes');

function mergeOf(sources: readonly TableEntry[][], late: string): { merged: MergeIterator; parts: ArrayIterator[] } {
  const random = randomOf(sources.length + 17);
  const isLate = (): boolean => late === 'always' || (late === 'sometimes' && random() < 0.3);
  const parts = sources.map((entries) => new ArrayIterator(entries, isLate));
  return { merged: new MergeIterator(parts), parts };
}

class Failing extends ArrayIterator {
  readonly #fail: () => Promise<void>;

  /** @param fail - throws, or gives a promise that rejects */
  constructor(fail: () => Promise<void>) {
    super([]);
    this.#fail = fail;
  }

  override seekToFirst(): Promise<void> {
    return this.#fail();
  }
}

describe('a merge of sorted sources', () => {
  // Found by T8: an unhandled rejection ends a process.
  it('leaves no failure unheard when a source fails at once, and one before it later', async () => {
    const unheard: unknown[] = [];
    const hear = (error: unknown): void => void unheard.push(error);
    process.on('unhandledRejection', hear);
    try {
      let failLater = (): void => undefined;
      const later = new Promise<void>((_resolve, reject) => {
        failLater = () => reject(new Error('later'));
      });
      const merged = new MergeIterator([
        new Failing(() => later),
        new Failing(() => {
          throw new Error('at once');
        }),
      ]);
      expect(() => merged.seekToFirst()).toThrow('at once');
      failLater();
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(unheard).toEqual([]);
    } finally {
      process.off('unhandledRejection', hear);
    }
  });

  it('walks as over one sorted array', async () => {
    await fc.assert(
      fc.asyncProperty(
        spread,
        fc.array(move, { maxLength: 60, size: 'max' }),
        lateness,
        async ({ all, sources }, moves, late) => {
          const { merged } = mergeOf(sources, late);
          let at = -1;
          for (const one of moves) {
            const isOn = at >= 0 && at < all.length;
            if ((one.to === 'next' || one.to === 'previous') && !isOn) continue;
            switch (one.to) {
              case 'first':
                at = 0;
                await settled(merged.seekToFirst());
                break;
              case 'last':
                at = all.length - 1;
                await settled(merged.seekToLast());
                break;
              case 'next':
                at += 1;
                await settled(merged.next());
                break;
              case 'previous':
                at -= 1;
                await settled(merged.previous());
                break;
              case 'seek':
                at = all.findIndex((entry) => compareEntries(entry, one) >= 0);
                await settled(merged.seek(one.key, one.sequence));
            }
            const expected = all[at];
            expect(merged.isValid).toBe(expected !== undefined);
            if (expected !== undefined) expect(entryAt(merged)).toEqual(expected);
          }
        },
      ),
      runsOf(400),
    );
  });

  it('reads all of it both ways', async () => {
    await fc.assert(
      fc.asyncProperty(spread, lateness, async ({ all, sources }, late) => {
        const { merged } = mergeOf(sources, late);
        expect(await readForwards(merged)).toEqual(all);
        expect(await readBackwards(merged)).toEqual(all);
      }),
      runsOf(150),
    );
  });

  it('is synchronous while its sources are', () => {
    const entry = { key: Uint8Array.of(1), sequence: 1, kind: 1, value: new Uint8Array(0) } as const;
    const merged = new MergeIterator([
      new ArrayIterator([entry]),
      new ArrayIterator([{ ...entry, key: Uint8Array.of(2) }]),
    ]);
    expect(merged.seekToFirst()).toBeUndefined();
    expect(merged.next()).toBeUndefined();
    expect(merged.previous()).toBeUndefined();
    expect(merged.seekToLast()).toBeUndefined();
    expect(merged.seek(Uint8Array.of(2), 9)).toBeUndefined();
    expect(merged.isValid).toBe(true);
  });

  it('waits for all its sources at once, not for one after the other', async () => {
    const waiting: (() => void)[] = [];
    class Slow extends ArrayIterator {
      override seekToFirst(): Promise<void> {
        return new Promise<void>((resolve) => waiting.push(resolve)).then(() => void super.seekToFirst());
      }
    }
    const merged = new MergeIterator([new Slow([]), new Slow([]), new Slow([])]);
    const step = merged.seekToFirst();
    expect(waiting).toHaveLength(3);
    for (const go of waiting) go();
    await step;
    expect(merged.isValid).toBe(false);
  });

  it('rejects with what a source rejects with, and closes all of them', async () => {
    class Failing extends ArrayIterator {
      override seekToFirst(): Promise<void> {
        return Promise.reject(new Error('disk'));
      }
    }
    const parts = [new ArrayIterator([]), new Failing([])];
    const merged = new MergeIterator(parts);
    await expect(merged.seekToFirst()).rejects.toThrow('disk');
    merged.close();
    merged.close();
    expect(parts.map(({ isClosed }) => isClosed)).toEqual([true, true]);
    expect(merged.isValid).toBe(false);
  });

  it('that is closed while it waits shows nothing when the wait is over', async () => {
    const entries = [1, 2, 3].map(
      (byte) => ({ key: Uint8Array.of(byte), sequence: 1, kind: 1, value: new Uint8Array(0) }) as const,
    );
    for (const act of ['seekToFirst', 'next', 'previous'] as const) {
      let isLate = false;
      const parts = [entries, entries.map((entry) => ({ ...entry, sequence: 2 }))].map(
        (list) => new ArrayIterator(list, () => isLate),
      );
      const merged = new MergeIterator(parts);
      await settled(merged.seek(Uint8Array.of(2), 2));
      isLate = true;
      const step = merged[act]();
      merged.close();
      await settled(step);
      expect(merged.isValid).toBe(false);
    }
  });
});
