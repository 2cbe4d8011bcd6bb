// Goal: leaving entries out changes nothing for any reader; and what can go does go.
// Method: every list of entries of a few keys, with any snapshots; each reader's view before and after, by brute force.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DropRule, type KeyBounds } from '../../../src/storage/compaction/drop-rule.ts';
import { encodeInternalKey } from '../../../src/storage/codec/internal-key.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { runsOf } from '../../support/runs.ts';
import { bytesOf, textOf } from '../../support/sorted-model.ts';
import { compareEntries, type TableEntry } from '../../support/table-entries.ts';

const key = fc.constantFrom('', 'a', 'ab', 'b', 'bb', 'c', 'd'.repeat(100));
const entries: fc.Arbitrary<TableEntry[]> = fc
  .uniqueArray(fc.record({ key, sequence: fc.integer({ min: 0, max: 15 }), isSet: fc.boolean() }), {
    selector: ({ key: text, sequence }) => `${text}@${sequence}`,
    maxLength: 40,
    size: 'max',
  })
  .map((list) =>
    list
      .map(({ key: text, sequence, isSet }) => ({
        key: bytesOf(text),
        sequence,
        kind: isSet ? KIND_SET : KIND_DELETE,
        value: bytesOf(''),
      }))
      .sort(compareEntries),
  );
const snapshots = fc
  .uniqueArray(fc.integer({ min: 0, max: 16 }), { maxLength: 5 })
  .map((list) => list.sort((a, b) => a - b));
/** Runs below, each of disjoint tables in key order. */
const deeper: fc.Arbitrary<KeyBounds[][]> = fc.array(
  fc.uniqueArray(key, { maxLength: 6 }).map((keys) => {
    keys.sort();
    const run: KeyBounds[] = [];
    for (let index = 0; index + 1 < keys.length; index += 2) {
      const bound = (text = ''): Uint8Array => encodeInternalKey(bytesOf(text), 0, KIND_SET);
      run.push({ smallest: bound(keys[index]), largest: bound(keys[index + 1]) });
    }
    return run;
  }),
  { maxLength: 3 },
);

const isDropped = (rule: DropRule, { key: bytes, sequence, kind }: TableEntry): boolean => {
  const shifted = new Uint8Array(bytes.length + 2);
  shifted.set(bytes, 1);
  const dropped = rule.isDroppable(shifted, 1, 1 + bytes.length, sequence, kind);
  shifted.fill(0xff); // the next key is in the same buffer
  return dropped;
};

const holds = (runs: readonly (readonly KeyBounds[])[], bytes: Uint8Array): boolean =>
  runs.some((run) =>
    run.some(
      ({ smallest, largest }) =>
        Buffer.compare(smallest.subarray(0, -8), bytes) <= 0 && Buffer.compare(largest.subarray(0, -8), bytes) >= 0,
    ),
  );

/** What a reader sees of these entries: of each key the newest that is old enough. */
function view(list: readonly TableEntry[], sequence: number): Map<string, TableEntry> {
  const seen = new Map<string, TableEntry>();
  for (const entry of list) {
    const text = textOf(entry.key);
    if (entry.sequence <= sequence && !seen.has(text)) seen.set(text, entry);
  }
  return seen;
}

describe('what a rewrite leaves out', () => {
  it('no reader misses, and what nobody sees is gone', () => {
    fc.assert(
      fc.property(entries, snapshots, fc.option(deeper, { nil: undefined }), (list, readers, below) => {
        const rule = new DropRule(readers, below);
        const kept = list.filter((entry) => !isDropped(rule, entry));
        const keysOf = new Set(list.map((entry) => textOf(entry.key)));
        for (const reader of [...readers, Number.MAX_SAFE_INTEGER]) {
          const before = view(list, reader);
          const after = view(kept, reader);
          for (const text of keysOf) {
            const [old, now] = [before.get(text), after.get(text)];
            if (old === now) continue;
            // Else it was a tombstone, is not there any more, and had nothing left to hide.
            expect(old?.kind).toBe(KIND_DELETE);
            expect(now).toBeUndefined();
            expect(below === undefined || holds(below, bytesOf(text))).toBe(false);
          }
        }
        // Every entry that was kept is seen by somebody, or hides something.
        const readersOf = [...readers, Number.MAX_SAFE_INTEGER];
        for (const entry of kept) {
          const text = textOf(entry.key);
          expect(readersOf.some((reader) => view(list, reader).get(text) === entry)).toBe(true);
          if (entry.kind === KIND_SET || entry.sequence > (readers[0] ?? Infinity)) continue;
          expect(below === undefined || holds(below, entry.key)).toBe(true);
        }
      }),
      runsOf(500),
    );
  });

  it('is nothing of a key whose versions are all seen', () => {
    const rule = new DropRule([1, 2, 3], []);
    const versions = [4, 3, 2, 1].map((sequence) => ({
      key: bytesOf('k'),
      sequence,
      kind: KIND_SET,
      value: bytesOf(''),
    }));
    expect(versions.map((entry) => isDropped(rule, entry))).toEqual([false, false, false, false]);
  });

  it('is never a tombstone when it is not known what lies below', () => {
    const rule = new DropRule([], undefined);
    const entry = { key: bytesOf('k'), sequence: 1, kind: KIND_DELETE, value: bytesOf('') };
    expect(isDropped(rule, entry)).toBe(false);
  });

  it('tells a new user key from the same, also the empty one and a beginning of the one before', () => {
    const rule = new DropRule([], undefined);
    const isNew = (text: string): boolean => {
      const bytes = bytesOf(text);
      const found = rule.isNewUserKey(bytes, 0, bytes.length);
      rule.isDroppable(bytes, 0, bytes.length, 1, KIND_SET);
      return found;
    };
    expect(['', '', 'a', 'a', 'ab', 'abc', 'abc', 'abd', 'abd'.repeat(99)].map(isNew)).toEqual(
      [true, false, true, false, true, true, false, true, true], // prettier-ignore
    );
  });
});
