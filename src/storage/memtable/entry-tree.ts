/**
 * The B+tree over the entries of an arena (see layout.ts for the picture).
 *
 * Entries are ordered by user key ascending bytewise, then sequence number descending. Nothing is ever removed.
 *
 * Search. In each node, a binary search over the prefixes alone finds the first one that is not smaller than that of the
 * target; only where it is equal are keys looked at. That is useless where all keys begin alike (`user:0000...`), so
 * a node whose keys share their first bytes skips those: it compares them once, with one key, and its prefixes are the
 * four bytes after. A node looks for a longer shared beginning whenever its count reaches a power of two (which a half
 * split node soon does), and shortens it when a key comes that does not share it.
 *
 * Insert. A full node is split in halves, except at the right edge of the tree, where it stays full and the new entry
 * begins a new node: ascending keys fill all nodes to the brim. A key after the last one goes to the last leaf without a
 * search. All nodes an insert needs are counted before the first word is changed, so a refused insert changes nothing.
 *
 * A position is a slot: the word offset of the entry's reference in its leaf, 0 for none. Inserts move entries between
 * slots, so a slot is good until the next insert.
 */
import {
  CHILDREN_AT,
  DATA_END_AT,
  ENTRY_COUNT_AT,
  ENTRY_HEADER_BYTES,
  FIRST_LEAF_AT,
  HEIGHT_AT,
  HEIGHT_MAX,
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

/** Four bytes of `[start, end)`, zeros after the end, as a signed word that orders as they do. */
function prefixOf(bytes: Uint8Array, start: number, end: number): number {
  let word = 0;
  if (end - start >= 4) {
    word =
      ((bytes[start] as number) << 24) |
      ((bytes[start + 1] as number) << 16) |
      ((bytes[start + 2] as number) << 8) |
      (bytes[start + 3] as number);
  } else {
    for (let shift = 24, at = start; at < end; at += 1, shift -= 8) word |= (bytes[at] as number) << shift;
  }
  return word ^ 0x8000_0000;
}

export class EntryTree {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** Child slots from the root down to the leaf of the last descent. */
  private readonly path: Int32Array = new Int32Array(HEIGHT_MAX);

  constructor(words: Int32Array, bytes: Uint8Array) {
    this.words = words;
    this.bytes = bytes;
  }

  sequenceOf(entry: number): number {
    const at = entry >> 2;
    return ((this.words[at + 1] as number) >>> 8) * 0x1_0000_0000 + ((this.words[at] as number) >>> 0);
  }

  keyEndOf(entry: number): number {
    return entry + ENTRY_HEADER_BYTES + (this.words[(entry >> 2) + 2] as number);
  }

  /** Slot of the first entry at or after (key, sequence), or 0. */
  seek(key: Uint8Array, keyStart: number, keyEnd: number, sequence: number): number {
    const words = this.words;
    const leaf = this.descend(key, keyStart, keyEnd, sequence);
    const index = this.lowerBound(leaf, LEAF_ENTRIES_AT, 0, key, keyStart, keyEnd, sequence);
    if (index < (words[leaf] as number)) return leaf + LEAF_ENTRIES_AT + index;
    const next = words[leaf + NEXT_AT] as number;
    return next === 0 ? 0 : next + LEAF_ENTRIES_AT;
  }

  /** Slot of the first entry, or 0. */
  first(): number {
    return (this.words[ENTRY_COUNT_AT] as number) === 0 ? 0 : (this.words[FIRST_LEAF_AT] as number) + LEAF_ENTRIES_AT;
  }

  /** Slot of the last entry, or 0. */
  last(): number {
    const leaf = this.words[LAST_LEAF_AT] as number;
    const count = this.words[leaf] as number;
    return count === 0 ? 0 : leaf + LEAF_ENTRIES_AT + count - 1;
  }

  /** Slot after this one, or 0. */
  next(slot: number): number {
    const leaf = slot & NODE_MASK;
    if (slot + 1 < leaf + LEAF_ENTRIES_AT + (this.words[leaf] as number)) return slot + 1;
    const next = this.words[leaf + NEXT_AT] as number;
    return next === 0 ? 0 : next + LEAF_ENTRIES_AT;
  }

  /** Slot before this one, or 0. */
  previous(slot: number): number {
    const leaf = slot & NODE_MASK;
    if (slot > leaf + LEAF_ENTRIES_AT) return slot - 1;
    const previous = this.words[leaf + PREVIOUS_AT] as number;
    return previous === 0 ? 0 : previous + LEAF_ENTRIES_AT + (this.words[previous] as number) - 1;
  }

  /** Number of entries in slots [start, stop), where 0 is behind the last one; 0 if `stop` comes before `start`. */
  countBetween(start: number, stop: number): number {
    const words = this.words;
    let count = 0;
    let slot = start;
    while (slot !== 0) {
      const leaf = slot & NODE_MASK;
      if (leaf === (stop & NODE_MASK)) return Math.max(0, count + stop - slot);
      count += leaf + LEAF_ENTRIES_AT + (words[leaf] as number) - slot;
      const next = words[leaf + NEXT_AT] as number;
      slot = next === 0 ? 0 : next + LEAF_ENTRIES_AT;
    }
    return stop === 0 ? count : 0;
  }

  /**
   * Puts an entry, already written at `dataEnd`, into the tree, and the counters past it.
   *
   * @returns false if the nodes it needs do not fit above `entryEnd`; then nothing has changed
   */
  insert(entry: number, entryEnd: number, keyEnd: number, sequence: number): boolean {
    const words = this.words;
    const keyStart = entry + ENTRY_HEADER_BYTES;
    let leaf = words[LAST_LEAF_AT] as number;
    let count = words[leaf] as number;
    let index = count;
    const isAtEdge =
      count > 0 &&
      count < LEAF_ENTRIES_MAX &&
      this.compare(words[leaf + LEAF_ENTRIES_AT + count - 1] as number, 0, this.bytes, keyStart, keyEnd, sequence) < 0;
    if (!isAtEdge) {
      leaf = this.descend(this.bytes, keyStart, keyEnd, sequence);
      count = words[leaf] as number;
      index = this.lowerBound(leaf, LEAF_ENTRIES_AT, 0, this.bytes, keyStart, keyEnd, sequence);
    }
    if (count < LEAF_ENTRIES_MAX) this.put(leaf, LEAF_ENTRIES_AT, 0, index, entry);
    else if (!this.split(leaf, index, entry, entryEnd)) return false;
    words[DATA_END_AT] = entryEnd;
    words[ENTRY_COUNT_AT] = (words[ENTRY_COUNT_AT] as number) + 1;
    return true;
  }

  /** The leaf where the target is or belongs; it may be the one after whose last entry the target comes. */
  private descend(key: Uint8Array, keyStart: number, keyEnd: number, sequence: number): number {
    const { words, path } = this;
    const height = words[HEIGHT_AT] as number;
    let node = words[ROOT_AT] as number;
    for (let level = 0; level < height; level += 1) {
      const after = this.lowerBound(node, SEPARATORS_AT, 1, key, keyStart, keyEnd, sequence);
      const slot = node + CHILDREN_AT + after - 1;
      path[level] = slot;
      node = words[slot] as number;
    }
    return node;
  }

  /** First index in [low, count) whose entry is at or after the target, else count. `refs` is where references begin. */
  private lowerBound(
    node: number,
    refs: number,
    low: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    sequence: number,
  ): number {
    const words = this.words;
    const count = words[node] as number;
    const skip = words[node + SKIP_AT] as number;
    if (skip > 0) {
      const order = this.compareBeginning(words[node + refs + low] as number, skip, key, keyStart, keyEnd);
      if (order !== 0) return order > 0 ? low : count;
    }
    const prefix = prefixOf(key, keyStart + skip, keyEnd);
    const prefixes = node + PREFIXES_AT;
    let start = low;
    let end = count;
    while (start < end) {
      const middle = (start + end) >>> 1;
      if ((words[prefixes + middle] as number) < prefix) start = middle + 1;
      else end = middle;
    }
    if (start === count || (words[prefixes + start] as number) !== prefix) return start;
    return this.lowerBoundOfTies(node, refs, start, prefix, key, keyStart, keyEnd, sequence);
  }

  /** {@link lowerBound} from `start` on, where the prefixes begin to equal the target's. */
  private lowerBoundOfTies(
    node: number,
    refs: number,
    start: number,
    prefix: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    sequence: number,
  ): number {
    const words = this.words;
    const skip = words[node + SKIP_AT] as number;
    // Mostly the prefix is of one key only, so its first entry is tried before the search.
    if (this.compare(words[node + refs + start] as number, skip, key, keyStart, keyEnd, sequence) >= 0) return start;
    let low = start + 1;
    let high = words[node] as number;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const isBefore =
        (words[node + PREFIXES_AT + middle] as number) === prefix &&
        this.compare(words[node + refs + middle] as number, skip, key, keyStart, keyEnd, sequence) < 0;
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Sign of entry minus target. Their first `from` bytes are known to be equal. */
  private compare(
    entry: number,
    from: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    sequence: number,
  ): number {
    const bytes = this.bytes;
    const entryKey = entry + ENTRY_HEADER_BYTES;
    const entryLength = this.words[(entry >> 2) + 2] as number;
    const length = keyEnd - keyStart;
    const shared = entryLength < length ? entryLength : length;
    for (let at = from; at < shared; at += 1) {
      const difference = (bytes[entryKey + at] as number) - (key[keyStart + at] as number);
      if (difference !== 0) return difference;
    }
    if (entryLength !== length) return entryLength - length;
    const entrySequence = this.sequenceOf(entry);
    return entrySequence === sequence ? 0 : entrySequence > sequence ? -1 : 1;
  }

  /** Sign of the entry's first `skip` bytes minus the target's; a target that ends within them comes before. */
  private compareBeginning(entry: number, skip: number, key: Uint8Array, keyStart: number, keyEnd: number): number {
    const bytes = this.bytes;
    const entryKey = entry + ENTRY_HEADER_BYTES;
    const length = keyEnd - keyStart;
    const shared = skip < length ? skip : length;
    for (let at = 0; at < shared; at += 1) {
      const difference = (bytes[entryKey + at] as number) - (key[keyStart + at] as number);
      if (difference !== 0) return difference;
    }
    return skip - shared;
  }

  /** How many first bytes, at most `limit`, the keys of two entries share. */
  private sharedBytes(a: number, b: number, limit: number): number {
    const { bytes, words } = this;
    const end = Math.min(limit, words[(a >> 2) + 2] as number, words[(b >> 2) + 2] as number);
    let at = 0;
    while (at < end && bytes[a + ENTRY_HEADER_BYTES + at] === bytes[b + ENTRY_HEADER_BYTES + at]) at += 1;
    return at;
  }

  /** Inserts a reference at `index` of a node that has room. `low` is the first index that has a key: 1 in inner nodes. */
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
    words[prefixes + index] = prefixOf(this.bytes, entry + ENTRY_HEADER_BYTES + skip, this.keyEndOf(entry));
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
      words[node + PREFIXES_AT + at] = prefixOf(bytes, entry + ENTRY_HEADER_BYTES + skip, this.keyEndOf(entry));
    }
  }

  /** Inserts into a full leaf at the end of {@link path}. */
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

  /** Hangs a new node into the parent of its left neighbour, which is at the end of {@link path}. */
  private addChild(newNode: number, firstEntry: number, isAtEdge: boolean): void {
    const { words, path } = this;
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

  /** Whether the nodes that a split of the leaf at the end of {@link path} needs fit above `dataEnd`. */
  private hasNodes(dataEnd: number): boolean {
    const { words, path } = this;
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
