/** How the tree grows: what a split needs, and what nodes remember of the beginnings that their keys share. */
import { describe, expect, it } from 'vitest';
import {
  CHILDREN_AT,
  FIRST_LEAF_AT,
  HEIGHT_AT,
  INNER_CHILDREN_MAX,
  LEAF_ENTRIES_MAX,
  levelCountMax,
  NODE_BYTES,
  nodeCountMax,
  PREFIXES_AT,
  ROOT_AT,
  SKIP_AT,
} from '../../../src/storage/memtable/layout.ts';
import { Memtable } from '../../../src/storage/memtable/memtable.ts';
import { KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { add, collectBackwards, collectForwards, expectSame, type ModelEntry } from './model.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const entryOf = (key: string, sequence: number, valueBytes = 0): ModelEntry => ({
  key: text(key),
  sequence,
  kind: KIND_SET,
  value: new Uint8Array(valueBytes).fill(sequence & 0xff || 1),
});
const ENTRY_BYTES = 16;

describe('a split takes as many nodes as it needs, or changes nothing', () => {
  const leaves = INNER_CHILDREN_MAX;
  it.each([
    ['the root, a leaf', LEAF_ENTRIES_MAX, 2],
    ['a leaf below a root with room', 2 * LEAF_ENTRIES_MAX, 1],
    ['a leaf below a root without', leaves * LEAF_ENTRIES_MAX, 3],
    ['a leaf below a full node, below a root with room', 2 * leaves * LEAF_ENTRIES_MAX, 2],
  ])('%s', (_what, count, nodes) => {
    const keyOf = (at: number): string => String(at).padStart(8, '0');
    const entries = Array.from({ length: count }, (_, at) => entryOf(keyOf(at), at + 1));
    const entryBytes = ENTRY_BYTES + keyOf(0).length;
    const roomNodes = Math.ceil((count * entryBytes) / NODE_BYTES) + Math.ceil(count / LEAF_ENTRIES_MAX) + 20;
    // What is left behind the entry, for nodes: a word of it is missing, a node is, nothing is, and a word is left over.
    for (const spare of [
      nodes * NODE_BYTES - 4,
      (nodes - 1) * NODE_BYTES,
      nodes * NODE_BYTES,
      nodes * NODE_BYTES + 4,
    ]) {
      const table = Memtable.create(roomNodes * NODE_BYTES);
      for (const entry of entries) add(table, entry);
      const room = table.capacityBytes - table.bytesUsed;
      const last = entryOf(keyOf(count), count + 1, room - spare - entryBytes);
      const used = table.bytesUsed;
      if (spare < nodes * NODE_BYTES) {
        expect(() => add(table, last)).toThrow(RangeError);
        expect(table.bytesUsed).toBe(used);
        expectSame(collectForwards(table), entries);
      } else {
        add(table, last);
        expect(table.bytesUsed - used).toBe(last.value.length + entryBytes + nodes * NODE_BYTES);
        expectSame(collectForwards(table), [...entries, last]);
        expectSame(collectBackwards(table), [...entries, last].reverse());
      }
    }
  });
});

describe('a node remembers what its keys share', () => {
  const wordsOf = (table: Memtable): Int32Array => new Int32Array(table.buffer);
  /** Of a node: what is skipped, and the four bytes behind it of each key. */
  const nodeOf = (table: Memtable, node: number, low: number): readonly [number, readonly string[]] => {
    const words = wordsOf(table);
    const prefixes = words.subarray(node + PREFIXES_AT + low, node + PREFIXES_AT + (words[node] as number));
    const textOf = (prefix: number): string => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE((prefix ^ 0x8000_0000) >>> 0);
      return bytes.toString('latin1').replace(/\0+$/, '');
    };
    return [words[node + SKIP_AT] as number, [...prefixes].map(textOf)];
  };
  const leafOf = (table: Memtable): ReturnType<typeof nodeOf> =>
    nodeOf(table, wordsOf(table)[FIRST_LEAF_AT] as number, 0);

  const tableOf = (keys: readonly string[]): Memtable => {
    const table = Memtable.create(1 << 20);
    for (const [at, key] of keys.entries()) add(table, entryOf(key, at + 1));
    return table;
  };

  it('from the fourth on, if it is long enough, and looks again at each power of two', () => {
    expect(leafOf(tableOf(['users/10', 'users/11', 'users/12']))).toEqual([0, ['user', 'user', 'user']]);
    const four = ['users/10', 'users/11', 'users/12', 'users/13'];
    expect(leafOf(tableOf(four))).toEqual([7, ['0', '1', '2', '3']]);
    expect(leafOf(tableOf(['ab0', 'ab1', 'ab2', 'ab3']))).toEqual([0, ['ab0', 'ab1', 'ab2', 'ab3']]); // not worth it
    expect(leafOf(tableOf(['abc0', 'abc1', 'abc2', 'abc3']))).toEqual([3, ['0', '1', '2', '3']]);
    const five = ['users/1', 'zebra', 'users/2', 'users/3', 'users/4'];
    expect(leafOf(tableOf(five))[0]).toBe(0); // the first and the last of them share nothing
  });

  it('less, when a key comes that does not share it', () => {
    const four = ['users/10', 'users/11', 'users/12', 'users/13'];
    expect(leafOf(tableOf([...four, 'users/2']))).toEqual([6, ['10', '11', '12', '13', '2']]);
    expect(leafOf(tableOf([...four, 'user']))).toEqual([4, ['', 's/10', 's/11', 's/12', 's/13']]);
    expect(leafOf(tableOf([...four, 'a']))).toEqual([0, ['a', 'user', 'user', 'user', 'user']]);
    expect(leafOf(tableOf([...four, 'users/1']))).toEqual([7, ['', '0', '1', '2', '3']]);
  });

  it('in both halves of a leaf that is split, and among the separators above', () => {
    const keys = Array.from({ length: 2 * LEAF_ENTRIES_MAX }, (_, at) => `order/${String(at).padStart(6, '0')}`);
    const table = tableOf(keys.toReversed());
    const words = wordsOf(table);
    expect(words[HEIGHT_AT]).toBe(1);
    const root = words[ROOT_AT] as number;
    const children = words.subarray(root + CHILDREN_AT, root + CHILDREN_AT + (words[root] as number));
    let from = 0;
    for (const child of children) {
      const [skip, prefixes] = nodeOf(table, child, 0);
      expect(skip).toBeGreaterThanOrEqual(9);
      expect(prefixes).toEqual(keys.slice(from, from + prefixes.length).map((key) => key.slice(skip, skip + 4)));
      from += prefixes.length;
    }
    expect(from).toBe(keys.length);
    const many = tableOf(
      Array.from({ length: 5 * LEAF_ENTRIES_MAX }, (_, at) => `order/${String(at).padStart(6, '0')}`),
    );
    const [skip, separators] = nodeOf(many, wordsOf(many)[ROOT_AT] as number, 1);
    expect([skip, separators]).toEqual([9, ['062', '124', '186', '248']]);
  });
});

it.each([
  [0, 1, 1],
  [30, 1, 1],
  [31, 3, 2],
  [588, 20, 2],
  [589, 23, 3],
  [620, 24, 3],
  [11_748, 399, 3],
  [11_749, 403, 4],
])('%i entries are in %i nodes at most, on %i levels', (entries, nodes, levels) => {
  expect([nodeCountMax(entries), levelCountMax(entries)]).toEqual([nodes, levels]);
});
