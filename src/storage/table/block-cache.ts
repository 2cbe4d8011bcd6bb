/**
 * Blocks kept in memory, bounded in bytes, for all tables of a store.
 *
 * Blocks are found without hashing: each table has one slot per block, and a look-up is an array access. The cache only
 * decides what stays, and empties the slot of what goes.
 *
 * What stays is decided by S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023), chosen
 * over LRU because a scan cannot wash out what point reads use, and because a hit only counts up to 3 in the block itself:
 *
 *     new block ──> small queue (a tenth of the bytes) ──used again──> main queue ──not used──> gone
 *                        │                                              ↑     └──used: once more round
 *                        └──not used──> gone, but remembered ──missed again soon──┘
 *
 * Blocks that are read once, as by a scan, leave through the small queue. "Remembered" is the paper's ghost queue; here it
 * is one number per block in its table: the count of evictions at which it left. Soon is: before as many others left as
 * the main queue holds.
 */
import type { Block } from './block.ts';

/** What the queues and the arrays cost beside a block's bytes, about. */
const OVERHEAD_BYTES = 256;
const SMALL_SHARE = 0.1;
const USES_MAX = 3;
/** Used so many times in the small queue, a block moves to the main queue. */
const PROMOTION_USES = 2;

/** A table, as the cache sees it. */
export interface BlockOwner {
  /** One per block of the table. */
  readonly slots: (CachedBlock | undefined)[];
  /** One per block: when it was evicted from the small queue, as a count of such evictions; 0 if never. */
  readonly ghosts: Uint32Array;
}

/** A block in the cache, and a link of one of its two queues. */
export class CachedBlock {
  readonly block: Block;
  readonly owner: BlockOwner;
  readonly index: number;
  readonly bytes: number;
  /** Since it entered its queue, at most 3. */
  uses = 0;
  queue: Queue | undefined = undefined;
  newer: CachedBlock | undefined = undefined;
  older: CachedBlock | undefined = undefined;

  constructor(block: Block, owner: BlockOwner, index: number) {
    this.block = block;
    this.owner = owner;
    this.index = index;
    // The whole buffer: the view may leave a part of it out.
    this.bytes = block.bytes.buffer.byteLength + OVERHEAD_BYTES;
  }
}

/** First in, first out; linked through its members, so that a closing table can take its blocks out of the middle. */
class Queue {
  bytes = 0;
  count = 0;
  #newest: CachedBlock | undefined = undefined;
  #oldest: CachedBlock | undefined = undefined;

  get oldest(): CachedBlock | undefined {
    return this.#oldest;
  }

  push(member: CachedBlock): void {
    member.queue = this;
    member.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = member;
    else this.#newest.newer = member;
    this.#newest = member;
    this.bytes += member.bytes;
    this.count += 1;
  }

  remove(member: CachedBlock): void {
    if (member.older === undefined) this.#oldest = member.newer;
    else member.older.newer = member.newer;
    if (member.newer === undefined) this.#newest = member.older;
    else member.newer.older = member.older;
    member.queue = undefined;
    member.newer = undefined;
    member.older = undefined;
    this.bytes -= member.bytes;
    this.count -= 1;
  }
}

export interface BlockCacheMetrics {
  readonly hits: number;
  readonly misses: number;
  /** Held now; never above the capacity. */
  readonly bytes: number;
  readonly blocks: number;
  /** Blocks that went because of the bound, not because their table was closed. */
  readonly evictions: number;
}

export class BlockCache {
  readonly bytesMax: number;
  readonly #small = new Queue();
  readonly #main = new Queue();
  #hits = 0;
  #misses = 0;
  #evictions = 0;
  /** Evictions from the small queue, modulo 2^32. */
  #ghostClock = 0;

  /** @param bytesMax - bytes of blocks kept, with about 256 for each; 0 keeps nothing */
  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get metrics(): BlockCacheMetrics {
    return {
      hits: this.#hits,
      misses: this.#misses,
      bytes: this.#small.bytes + this.#main.bytes,
      blocks: this.#small.count + this.#main.count,
      evictions: this.#evictions,
    };
  }

  /** A block was found in its slot. */
  hit(cached: CachedBlock): void {
    this.#hits += 1;
    if (cached.uses < USES_MAX) cached.uses += 1;
  }

  /** A block was not found in its slot, and will be read. */
  miss(): void {
    this.#misses += 1;
  }

  /** Keeps a block, if it fits at all and is not there yet, and lets others go for it. */
  insert(owner: BlockOwner, index: number, block: Block): void {
    if (owner.slots[index] !== undefined) return;
    const cached = new CachedBlock(block, owner, index);
    if (cached.bytes > this.bytesMax) return;
    while (this.#small.bytes + this.#main.bytes + cached.bytes > this.bytesMax) this.#evictOne();
    owner.slots[index] = cached;
    if (this.#isRemembered(owner.ghosts[index] as number)) this.#main.push(cached);
    else this.#small.push(cached);
    owner.ghosts[index] = 0;
  }

  /** Lets all blocks of a table go. */
  removeAll(owner: BlockOwner): void {
    for (const cached of owner.slots) {
      if (cached !== undefined) this.#remove(cached);
    }
  }

  #isRemembered(ghost: number): boolean {
    return ghost !== 0 && (this.#ghostClock - ghost) >>> 0 < this.#main.count;
  }

  /** Removes one block. There is one: it is called only while the queues hold bytes. Ends since each round costs a use. */
  #evictOne(): void {
    for (;;) {
      const isSmallDue = this.#small.bytes > SMALL_SHARE * this.bytesMax || this.#main.count === 0;
      const oldest = isSmallDue ? this.#small.oldest : this.#main.oldest;
      if (oldest === undefined) throw new Error('the block cache counts bytes that no block has');
      if (isSmallDue ? this.#leavesSmall(oldest) : this.#leavesMain(oldest)) return;
    }
  }

  #leavesSmall(oldest: CachedBlock): boolean {
    if (oldest.uses >= PROMOTION_USES) {
      this.#small.remove(oldest);
      oldest.uses = 0;
      this.#main.push(oldest);
      return false;
    }
    this.#ghostClock = (this.#ghostClock + 1) >>> 0;
    oldest.owner.ghosts[oldest.index] = this.#ghostClock;
    this.#evict(oldest);
    return true;
  }

  #leavesMain(oldest: CachedBlock): boolean {
    if (oldest.uses > 0) {
      oldest.uses -= 1;
      this.#main.remove(oldest);
      this.#main.push(oldest);
      return false;
    }
    this.#evict(oldest);
    return true;
  }

  #evict(cached: CachedBlock): void {
    this.#evictions += 1;
    this.#remove(cached);
  }

  #remove(cached: CachedBlock): void {
    cached.queue?.remove(cached);
    cached.owner.slots[cached.index] = undefined;
  }
}
