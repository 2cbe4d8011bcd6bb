/**
 * Searches in the B+tree over the entries of an arena (see layout.ts for the picture).
 *
 * Entries are ordered by user key ascending bytewise, then sequence number descending. Nothing is ever removed.
 *
 * In each node, a binary search over the prefixes alone finds the first that is not smaller than that of the target;
 * only where it is equal are keys looked at. That would be useless where all keys begin alike (`user:0000...`), so a
 * node whose keys share their first bytes skips those: it compares them once, with one key, and its prefixes are the
 * four bytes after. Who inserts keeps that so; see entry-inserter.ts.
 *
 * A position is a slot: the word offset of the entry's reference in its leaf, 0 for none. Inserts move entries between
 * slots, so a slot is good until the next insert.
 */
import {
  CHILDREN_AT,
  ENTRY_COUNT_AT,
  ENTRY_HEADER_BYTES,
  FIRST_LEAF_AT,
  HEIGHT_AT,
  HEIGHT_MAX,
  LAST_LEAF_AT,
  LEAF_ENTRIES_AT,
  NEXT_AT,
  NODE_MASK,
  PREFIXES_AT,
  PREVIOUS_AT,
  ROOT_AT,
  SEPARATORS_AT,
  SKIP_AT,
} from './layout.ts';

/** Four bytes of `[start, end)`, zeros after the end, as a signed word that orders as they do. */
export function prefixOf(bytes: Uint8Array, start: number, end: number): number {
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
  readonly path: Int32Array = new Int32Array(HEIGHT_MAX);

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

  /** The leaf where the target is or belongs; it may be the one after whose last entry the target comes. */
  descend(key: Uint8Array, keyStart: number, keyEnd: number, sequence: number): number {
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

  /** First index in [low, count) whose entry is at or after the target, else count. References begin at `refs`. */
  lowerBound(
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
  compare(entry: number, from: number, key: Uint8Array, keyStart: number, keyEnd: number, sequence: number): number {
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
}
