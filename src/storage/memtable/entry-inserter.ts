/**
 * Inserts into the B+tree over the entries of an arena (see layout.ts for the picture).
 *
 * A full node is split in halves, except at the right edge of the tree, where it stays full and the new entry begins a
 * new node: ascending keys fill all nodes to the brim. A key after the last one goes to the last leaf without a search.
 * All nodes that an insert needs are counted before the first word is changed, so a refused insert changes nothing.
 *
 * A node looks for a longer shared beginning of its keys whenever its count reaches a power of two (which a node split
 * in halves soon does), and shortens it when a key comes that does not share it. Both rebuild its prefixes.
 */
import { prefixOf, type EntryTree } from './entry-tree.ts';
import {
  CHILDREN_AT,
  DATA_END_AT,
  ENTRY_COUNT_AT,
  ENTRY_HEADER_BYTES,
  HEIGHT_AT,
  INNER_CHILDREN_MAX,
  LAST_LEAF_AT,
  LEAF_ENTRIES_AT,
  LEAF_ENTRIES_MAX,
  NEXT_AT,
  NODE_BYTES,
  NODE_MASK,
  NODE_START_AT,
  PREFIXES_AT,
  PREVIOUS_AT,
  ROOT_AT,
  SEPARATORS_AT,
  SKIP_AT,
} from './layout.ts';

/** A longer shared beginning is worth a rebuild of the node when it is this many bytes longer. */
const SKIP_GAIN_BYTES_MIN = 3;

export class EntryInserter {
  private readonly tree: EntryTree;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;

  constructor(tree: EntryTree) {
    this.tree = tree;
    this.words = tree.words;
    this.bytes = tree.bytes;
  }

  /**
   * Puts an entry, already written at `dataEnd`, into the tree, and the counters past it.
   *
   * @returns false if the nodes it needs do not fit above `entryEnd`; then nothing has changed
   */
  insert(entry: number, entryEnd: number, keyEnd: number, sequence: number): boolean {
    const { bytes, tree, words } = this;
    const keyStart = entry + ENTRY_HEADER_BYTES;
    let leaf = words[LAST_LEAF_AT] as number;
    let count = words[leaf] as number;
    let index = count;
    const isAtEdge =
      count > 0 &&
      count < LEAF_ENTRIES_MAX &&
      tree.compare(words[leaf + LEAF_ENTRIES_AT + count - 1] as number, 0, bytes, keyStart, keyEnd, sequence) < 0;
    if (!isAtEdge) {
      leaf = tree.descend(bytes, keyStart, keyEnd, sequence);
      count = words[leaf] as number;
      index = tree.lowerBound(leaf, LEAF_ENTRIES_AT, 0, bytes, keyStart, keyEnd, sequence);
    }
    if (count < LEAF_ENTRIES_MAX) this.put(leaf, LEAF_ENTRIES_AT, 0, index, entry);
    else if (!this.split(leaf, index, entry, entryEnd)) return false;
    words[DATA_END_AT] = entryEnd;
    words[ENTRY_COUNT_AT] = (words[ENTRY_COUNT_AT] as number) + 1;
    return true;
  }

  /** How many first bytes, at most `limit`, the keys of two entries share. */
  private sharedBytes(a: number, b: number, limit: number): number {
    const { bytes, words } = this;
    const end = Math.min(limit, words[(a >> 2) + 2] as number, words[(b >> 2) + 2] as number);
    let at = 0;
    while (at < end && bytes[a + ENTRY_HEADER_BYTES + at] === bytes[b + ENTRY_HEADER_BYTES + at]) at += 1;
    return at;
  }

  /** Inserts a reference at `index` of a node that has room. `low` is the first index with a key: 1 in inner nodes. */
  private put(node: number, refs: number, low: number, index: number, entry: number): void {
    const words = this.words;
    const count = words[node] as number;
    let skip = words[node + SKIP_AT] as number;
    if (skip > 0 && count > low) {
      const shared = this.sharedBytes(words[node + refs + low] as number, entry, skip);
      if (shared < skip) {
        this.setSkip(node, refs, low, shared);
        skip = shared;
      }
    }
    const prefixes = node + PREFIXES_AT;
    for (let at = count; at > index; at -= 1) {
      words[prefixes + at] = words[prefixes + at - 1] as number;
      words[node + refs + at] = words[node + refs + at - 1] as number;
    }
    words[prefixes + index] = prefixOf(this.bytes, entry + ENTRY_HEADER_BYTES + skip, this.tree.keyEndOf(entry));
    words[node + refs + index] = entry;
    words[node] = count + 1;
    if (count >= 3 && ((count + 1) & count) === 0) {
      const first = words[node + refs + low] as number;
      const shared = this.sharedBytes(first, words[node + refs + count] as number, Infinity);
      if (shared >= skip + SKIP_GAIN_BYTES_MIN) this.setSkip(node, refs, low, shared);
    }
  }

  private setSkip(node: number, refs: number, low: number, skip: number): void {
    const { bytes, words } = this;
    words[node + SKIP_AT] = skip;
    const count = words[node] as number;
    for (let at = low; at < count; at += 1) {
      const entry = words[node + refs + at] as number;
      words[node + PREFIXES_AT + at] = prefixOf(bytes, entry + ENTRY_HEADER_BYTES + skip, this.tree.keyEndOf(entry));
    }
  }

  /** Inserts into a full leaf at the end of {@link EntryTree.path}. */
  private split(leaf: number, index: number, entry: number, entryEnd: number): boolean {
    const words = this.words;
    if (!this.hasNodes(entryEnd)) return false;
    const next = words[leaf + NEXT_AT] as number;
    const isAtEdge = next === 0 && index === LEAF_ENTRIES_MAX;
    const keep = isAtEdge ? LEAF_ENTRIES_MAX : LEAF_ENTRIES_MAX / 2;
    const right = this.allocate();
    words[right + PREVIOUS_AT] = leaf;
    words[right + NEXT_AT] = next;
    words[leaf + NEXT_AT] = right;
    words[next === 0 ? LAST_LEAF_AT : next + PREVIOUS_AT] = right;
    this.moveTail(leaf, right, LEAF_ENTRIES_AT, keep);
    if (isAtEdge || index > keep) this.put(right, LEAF_ENTRIES_AT, 0, index - keep, entry);
    else this.put(leaf, LEAF_ENTRIES_AT, 0, index, entry);
    this.addChild(right, words[right + LEAF_ENTRIES_AT] as number, isAtEdge);
    return true;
  }

  /** Hangs a new node into the parent of its left neighbour, which is at the end of {@link EntryTree.path}. */
  private addChild(newNode: number, firstEntry: number, isAtEdge: boolean): void {
    const { words } = this;
    const { path } = this.tree;
    let child = newNode;
    let separator = firstEntry;
    for (let level = (words[HEIGHT_AT] as number) - 1; level >= 0; level -= 1) {
      const slot = path[level] as number;
      const node = slot & NODE_MASK;
      const index = slot - node - CHILDREN_AT + 1;
      const count = words[node] as number;
      if (count < INNER_CHILDREN_MAX) {
        this.putChild(node, index, separator, child);
        return;
      }
      const keep = isAtEdge ? INNER_CHILDREN_MAX : INNER_CHILDREN_MAX / 2;
      const right = this.allocate();
      for (let at = keep; at < INNER_CHILDREN_MAX; at += 1) {
        words[right + CHILDREN_AT + at - keep] = words[node + CHILDREN_AT + at] as number;
      }
      this.moveTail(node, right, SEPARATORS_AT, keep);
      if (isAtEdge || index > keep) this.putChild(right, index - keep, separator, child);
      else this.putChild(node, index, separator, child);
      child = right;
      separator = words[right + SEPARATORS_AT] as number;
    }
    const root = this.allocate();
    words[root + CHILDREN_AT] = words[ROOT_AT] as number;
    words[root] = 1;
    this.putChild(root, 1, separator, child);
    words[ROOT_AT] = root;
    words[HEIGHT_AT] = (words[HEIGHT_AT] as number) + 1;
  }

  private putChild(node: number, index: number, separator: number, child: number): void {
    const words = this.words;
    for (let at = words[node] as number; at > index; at -= 1) {
      words[node + CHILDREN_AT + at] = words[node + CHILDREN_AT + at - 1] as number;
    }
    words[node + CHILDREN_AT + index] = child;
    this.put(node, SEPARATORS_AT, 1, index, separator);
  }

  /** Moves prefixes and references from index `keep` on to a new node. */
  private moveTail(node: number, right: number, refs: number, keep: number): void {
    const words = this.words;
    const count = words[node] as number;
    for (let at = keep; at < count; at += 1) {
      words[right + PREFIXES_AT + at - keep] = words[node + PREFIXES_AT + at] as number;
      words[right + refs + at - keep] = words[node + refs + at] as number;
    }
    words[right] = count - keep;
    words[right + SKIP_AT] = count > keep ? (words[node + SKIP_AT] as number) : 0;
    words[node] = keep;
  }

  /** Whether the nodes that a split of the leaf at the end of {@link EntryTree.path} needs fit above `dataEnd`. */
  private hasNodes(dataEnd: number): boolean {
    const { words } = this;
    const { path } = this.tree;
    let level = (words[HEIGHT_AT] as number) - 1;
    let needed = 1;
    while (level >= 0 && words[(path[level] as number) & NODE_MASK] === INNER_CHILDREN_MAX) {
      needed += 1;
      level -= 1;
    }
    if (level < 0) needed += 1;
    return dataEnd + needed * NODE_BYTES <= (words[NODE_START_AT] as number);
  }

  /** An empty node without links. A refused entry may have been written where it lies, so its head is cleared. */
  private allocate(): number {
    const words = this.words;
    const start = (words[NODE_START_AT] as number) - NODE_BYTES;
    const node = start >> 2;
    words[NODE_START_AT] = start;
    words[node] = words[node + SKIP_AT] = words[node + PREVIOUS_AT] = words[node + NEXT_AT] = 0;
    return node;
  }
}
