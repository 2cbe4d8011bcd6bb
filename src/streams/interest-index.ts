/**
 * Who wants to hear of this key? With a thousand subscribers to different keys or ranges, a change must cost by the number
 * of those who are interested, and not by a thousand.
 *
 * Each range of keys becomes a range of whole numbers. The bounds of all ranges, sorted, cut the order of keys into places:
 * before the first bound, on it, between it and the second, on that, and so on. Their numbers are the ranks:
 *
 * ```text
 *   keys       c       f       k              [c, k)  is the ranks 1 to 4
 *   ranks   0  1   2   3   4   5   6          (f, ..  is the ranks 4 to 6
 * ```
 *
 * A key is looked up once among the bounds (binary search), which gives its rank; after that only numbers are compared.
 * The ranges stand sorted by their first rank, so that those that begin at or before a rank are the first so many of them.
 * Above them is a tree of greatest last ranks, in an array as heaps are: node `n` has the children `2n` and `2n + 1`. A walk
 * from the left that leaves out every subtree that ends too early meets the interested ones, and at most a path of others
 * for each: O(log n) for the key and O(log n) for each who is interested, also of nested and of equal ranges.
 *
 * The table of ranks is made anew now and then, not at each change: what came since waits in a short list, which is searched
 * one by one; what went is left out. Subscribing and unsubscribing between every two commits stays cheap by that.
 */
import { compareBytes } from '../storage/codec/compare.ts';
import type { ScanBound } from './scan-source.ts';

/** A range of keys; a side without bound is `undefined`. */
export interface ByteRange {
  readonly lower: ScanBound | undefined;
  readonly upper: ScanBound | undefined;
}

/** A value under its range, until it is removed: then the value is let go of at once, and the rest with the next table. */
interface Interest<T> {
  readonly lower: ScanBound | undefined;
  readonly upper: ScanBound | undefined;
  held: { readonly value: T } | undefined;
}

/** Ranges that wait for the table at most: this many, or the square root of those that it has. */
const WAITING_MAX = 32;
/** Looking through the waiting ones has cost as much as a new table when this many were looked at for each that there is. */
const LOOKS_PER_INTEREST = 8;

/**
 * Values under ranges of keys. Each `add` is an interest of its own: a value added under two ranges that hold a key is
 * visited twice.
 *
 * Interests may come and go while they are visited: who was removed is not visited any more, who was added is visited from
 * the next `find` on. `find` may be called from within a visit.
 */
export class InterestIndex<T> {
  /** Values under no bounds at all, in the order of their adding. {@link find} does not visit them: they want every key. */
  get everything(): ReadonlySet<T> {
    return this.#everything;
  }

  readonly #everything = new Set<T>();
  #table: RankTable<T> = makeTable([]);
  /** Added since the table was made; the array is replaced, never cut, as a find may be under way in it. */
  #waiting: Interest<T>[] = [];
  /** How often one that waits was looked at, since the table was made or none waited. */
  #looks = 0;
  /** Ranges that were added and not removed; those in the table and the waiting list that were. */
  #live = 0;
  #removed = 0;

  /** How many interests there are, those in everything and in empty ranges included. */
  get size(): number {
    return this.#live + this.#everything.size;
  }

  /**
   * @param range - its keys are not copied, and must not change. Empty, for instance with bounds that cross: holds no key
   * @param value - under no bounds at all at most once at a time
   * @returns takes the value back; idempotent
   */
  add(range: ByteRange, value: T): () => void {
    const { lower, upper } = range;
    if (lower === undefined && upper === undefined) return this.#addToEverything(value);
    const interest: Interest<T> = { lower, upper, held: { value } };
    this.#waiting.push(interest);
    this.#live += 1;
    return () => {
      if (interest.held === undefined) return;
      interest.held = undefined;
      this.#live -= 1;
      this.#removed += 1;
      if (this.#removed > this.#live + WAITING_MAX) this.#rebuild();
    };
  }

  /**
   * Calls `visit` for each value whose range holds the key `bytes[start, end)`, in no particular order, but for those in
   * {@link everything}. Allocates nothing, unless the table is due. What `visit` throws ends it, and is passed on.
   */
  find(bytes: Uint8Array, start: number, end: number, visit: (value: T) => void): void {
    if (this.#waiting.length > 0) this.#settle();
    // Both as they are now: a visit may have them replaced.
    const table = this.#table;
    const waiting = this.#waiting;
    const waitingCount = waiting.length;
    if (table.interests.length > 0) findInTable(table, bytes, start, end, visit);
    for (let index = 0; index < waitingCount; index += 1) {
      const interest = waiting[index] as Interest<T>;
      if (interest.held !== undefined && holds(interest, bytes, start, end)) visit(interest.held.value);
    }
  }

  #addToEverything(value: T): () => void {
    if (this.#everything.has(value)) throw new Error('This value is under no bounds already.');
    this.#everything.add(value);
    let isRemoved = false;
    return () => {
      if (!isRemoved) this.#everything.delete(value);
      isRemoved = true; // the value may have been added again since
    };
  }

  /** Makes the table anew if too many wait, or have been looked at too often. */
  #settle(): void {
    const waitingMax = Math.max(WAITING_MAX, Math.sqrt(this.#live));
    const isPaidOff = this.#looks > LOOKS_PER_INTEREST * (this.#live + WAITING_MAX);
    this.#looks += this.#waiting.length;
    if (!isPaidOff && this.#waiting.length <= waitingMax) return;
    const waiting = this.#waiting.filter(isHeld);
    if (waiting.length > (isPaidOff ? 0 : waitingMax / 2)) {
      this.#rebuild();
    } else {
      this.#removed -= this.#waiting.length - waiting.length;
      this.#waiting = waiting;
      if (waiting.length === 0) this.#looks = 0;
    }
  }

  #rebuild(): void {
    this.#table = makeTable([...this.#table.interests, ...this.#waiting].filter(isHeld));
    this.#waiting = [];
    this.#looks = 0;
    this.#removed = 0;
  }
}

const isHeld = ({ held }: Interest<unknown>): boolean => held !== undefined;

function holds({ lower, upper }: Interest<unknown>, bytes: Uint8Array, start: number, end: number): boolean {
  if (lower !== undefined) {
    const order = compareBytes(bytes, start, end, lower.key, 0, lower.key.length);
    if (order < 0 || (order === 0 && !lower.isInclusive)) return false;
  }
  if (upper === undefined) return true;
  const order = compareBytes(bytes, start, end, upper.key, 0, upper.key.length);
  return order < 0 || (order === 0 && upper.isInclusive);
}

/** Never changed once made, so that a find under way in it can go on when there is a new one. */
interface RankTable<T> {
  /** Bounds of all interests, sorted, each once. The rank of the key `bounds[b]` is `2b + 1`. */
  readonly bounds: readonly Uint8Array[];
  /** Sorted by their first rank. */
  readonly interests: readonly Interest<T>[];
  /** For each rank: how many interests have a first rank up to it. */
  readonly begun: Int32Array;
  /** How many leaves the tree has: a power of two. The leaf of `interests[i]` is `leaves + i`. */
  readonly leaves: number;
  /** For each node, from 1: the greatest last rank below it; -1 where there is none. */
  readonly last: Int32Array;
}

function makeTable<T>(interests: readonly Interest<T>[]): RankTable<T> {
  const { bounds, ranks } = rankBounds(interests);
  const rankMax = 2 * bounds.length;
  // An exclusive bound is a rank behind or before that of its key, so a first rank can be above the last: an empty range.
  const firstOf = ({ lower }: Interest<T>, index: number): number =>
    lower === undefined ? 0 : (ranks[2 * index] as number) + (lower.isInclusive ? 0 : 1);
  const lastOf = ({ upper }: Interest<T>, index: number): number =>
    upper === undefined ? rankMax : (ranks[2 * index + 1] as number) - (upper.isInclusive ? 0 : 1);
  const ranges = interests.map((interest, index) => {
    return { interest, first: firstOf(interest, index), last: lastOf(interest, index) };
  });
  ranges.sort((a, b) => a.first - b.first);

  const begun = new Int32Array(rankMax + 1);
  let leaves = 1;
  while (leaves < ranges.length) leaves *= 2;
  const last = new Int32Array(2 * leaves).fill(-1);
  ranges.forEach((range, index) => {
    begun[range.first] = index + 1;
    last[leaves + index] = range.last;
  });
  for (let rank = 1; rank <= rankMax; rank += 1) {
    begun[rank] = Math.max(begun[rank] as number, begun[rank - 1] as number);
  }
  for (let node = leaves - 1; node > 0; node -= 1) {
    last[node] = Math.max(last[2 * node] as number, last[2 * node + 1] as number);
  }
  return { bounds, interests: ranges.map(({ interest }) => interest), begun, leaves, last };
}

/** The bounds, and the rank of each interest's: of its lower one at `2i`, of its upper one at `2i + 1`. */
function rankBounds(interests: readonly Interest<unknown>[]): { bounds: Uint8Array[]; ranks: Int32Array } {
  const ends: { readonly key: Uint8Array; readonly place: number }[] = [];
  interests.forEach(({ lower, upper }, index) => {
    if (lower !== undefined) ends.push({ key: lower.key, place: 2 * index });
    if (upper !== undefined) ends.push({ key: upper.key, place: 2 * index + 1 });
  });
  // Those of the table before nearly stand in order, which this sort makes use of.
  ends.sort((a, b) => compareKeys(a.key, b.key));
  const bounds: Uint8Array[] = [];
  const ranks = new Int32Array(2 * interests.length);
  for (const { key, place } of ends) {
    const before = bounds.at(-1);
    if (before === undefined || compareKeys(before, key) !== 0) bounds.push(key);
    ranks[place] = 2 * bounds.length - 1;
  }
  return { bounds, ranks };
}

const compareKeys = (a: Uint8Array, b: Uint8Array): number => compareBytes(a, 0, a.length, b, 0, b.length);

/** Where the key `bytes[start, end)` lies among the bounds: `2b + 1` on `bounds[b]`, `2b` right before it. */
function rankOf(bounds: readonly Uint8Array[], bytes: Uint8Array, start: number, end: number): number {
  let from = 0;
  let to = bounds.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const bound = bounds[middle] as Uint8Array;
    const order = compareBytes(bytes, start, end, bound, 0, bound.length);
    if (order === 0) return 2 * middle + 1;
    if (order < 0) to = middle;
    else from = middle + 1;
  }
  return 2 * from;
}

function findInTable<T>(
  { bounds, interests, begun, leaves, last }: RankTable<T>,
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (value: T) => void,
): void {
  const rank = rankOf(bounds, bytes, start, end);
  const count = begun[rank] as number;
  if (count === 0) return;
  let node = 1;
  do {
    if ((last[node] as number) >= rank) {
      if (node < leaves) {
        node *= 2;
        continue;
      }
      const index = node - leaves;
      if (index >= count) return; // it begins behind the key, as do all that follow
      const { held } = interests[index] as Interest<T>;
      if (held !== undefined) visit(held.value);
    }
    // The next subtree to the right: of the nearest ancestor, or the node itself, that is a left child.
    while ((node & 1) === 1) node >>>= 1;
    if (node > 0) node += 1;
  } while (node > 0);
}
