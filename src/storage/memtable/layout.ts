/**
 * Where things lie in a memtable's arena, and how much room a number of entries can need.
 *
 * ```text
 * arena      0        64                dataEnd              nodeStart                 nodeTop
 *            +--------+-----------------+---- - - - - - -----+-------------------------+
 *            | header | entry | entry | |   never written    |  node  |  node  | node  |  (tail of < 512 bytes unused)
 *            +--------+-----------------+---- - - - - - -----+-------------------------+
 *            entries grow upwards ->                                 <- nodes grow downwards
 *
 * header     16 words: magic | entryCount | dataEnd | nodeStart | root | height | firstLeaf | lastLeaf | unused ...
 *            dataEnd and nodeStart are byte offsets; root, firstLeaf and lastLeaf are word offsets of nodes.
 *
 * entry      +---------------+-----------------------------+-----------+-------------+-----------+-------------+-----+
 * (bytes)    | sequence low 4| sequence high << 8 | kind  4| keyLength4| valueLength4| key bytes | value bytes | pad |
 *            +---------------+-----------------------------+-----------+-------------+-----------+-------------+-----+
 *            starts and ends on a word; its byte offset is the entry reference
 *
 * node       128 words = 512 bytes, on a 512 byte boundary, so that `slot & NODE_MASK` is the node of any slot in it
 *
 * leaf       +-------+------+----------+------+--------------+------------------+
 * (words)    | count | skip | previous | next | prefix x 62  | entry x 62       |
 *            +-------+------+----------+------+--------------+------------------+
 * inner      +-------+------+-----------------+--------------+------------------+------------+------------+
 * (words)    | count | skip | unused 2        | prefix x 40  | separator x 40   | child x 40 | unused 4   |
 *            +-------+------+-----------------+--------------+------------------+------------+------------+
 * ```
 *
 * - `count` is the number of entries of a leaf, of children of an inner node. Links and children are word offsets of
 *   nodes; 0 is none.
 * - `separator[i]` is the first entry below `child[i]`; `separator[0]` is not looked at. Entries never move and never
 *   die, so a separator is a reference, not a copy.
 * - All keys of a node (of an inner node: its separators from the second on) begin with the same `skip` bytes.
 *   `prefix[i]` is the four key bytes after those, padded with zeros, big-endian, with the top bit flipped so that
 *   signed words compare as the bytes do. Most comparisons are decided by it and touch no key.
 * - Numbers are in the machine's byte order: an arena is shared between threads, never stored.
 */

export const HEADER_BYTES = 64;
export const MAGIC: number = 0x41_4d_54_31;

/** Word offsets of the header's counters. */
export const MAGIC_AT = 0;
export const ENTRY_COUNT_AT = 1;
export const DATA_END_AT = 2;
export const NODE_START_AT = 3;
export const ROOT_AT = 4;
/** Number of inner levels: 0 while the root is a leaf. */
export const HEIGHT_AT = 5;
export const FIRST_LEAF_AT = 6;
export const LAST_LEAF_AT = 7;

/** Bytes of an entry before its key. */
export const ENTRY_HEADER_BYTES = 16;
/** Most bytes that an entry takes beside its key and value: the header and the padding. */
export const ENTRY_OVERHEAD_BYTES_MAX: number = ENTRY_HEADER_BYTES + 3;

export const NODE_BYTES = 512;
const NODE_WORDS: number = NODE_BYTES / 4;
/** Takes the word offset of a slot to that of its node. */
export const NODE_MASK: number = -NODE_WORDS;

/** Word offsets within a node. */
export const SKIP_AT = 1;
export const PREVIOUS_AT = 2;
export const NEXT_AT = 3;
export const PREFIXES_AT = 4;

export const LEAF_ENTRIES_MAX = 62;
export const LEAF_ENTRIES_AT: number = PREFIXES_AT + LEAF_ENTRIES_MAX;

export const INNER_CHILDREN_MAX = 40;
export const SEPARATORS_AT: number = PREFIXES_AT + INNER_CHILDREN_MAX;
export const CHILDREN_AT: number = SEPARATORS_AT + INNER_CHILDREN_MAX;

/** Inner levels that the largest arena can have: 2^22 leaves under nodes of at least 20 children make 6. */
export const HEIGHT_MAX = 8;

/** Smallest arena: the header and the root. */
export const CAPACITY_BYTES_MIN: number = 2 * NODE_BYTES;
/** Largest arena: every offset in it is a small integer of the engine, which keeps the hot paths free of doubles. */
export const CAPACITY_BYTES_MAX: number = 2 ** 31 - NODE_BYTES;

/**
 * Most nodes that a tree of this many entries can have.
 *
 * Splits leave at least half of the room in use on both sides, but for those at the right edge, which begin a node with
 * one entry. So all nodes of a level but the last are at least half full.
 */
export function nodeCountMax(entryCount: number): number {
  let level = Math.floor(entryCount / (LEAF_ENTRIES_MAX / 2)) + 1;
  let nodes = level;
  while (level > 1) {
    level = Math.floor(level / (INNER_CHILDREN_MAX / 2)) + 1;
    nodes += level;
  }
  return nodes;
}

/** Most levels that a tree of this many entries can have, leaves included. */
export function levelCountMax(entryCount: number): number {
  let level = Math.floor(entryCount / (LEAF_ENTRIES_MAX / 2)) + 1;
  let levels = 1;
  while (level > 1) {
    level = Math.floor(level / (INNER_CHILDREN_MAX / 2)) + 1;
    levels += 1;
  }
  return levels;
}
