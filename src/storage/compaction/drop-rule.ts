/**
 * Which entries a rewrite may leave out: those that no reader can see any more.
 *
 * Snapshots cut the sequence numbers into stripes. Of one user key, only the newest entry of each stripe can be seen:
 *
 *   snapshots at       10        20
 *   entries of k    25   22 | 19   12 | 7      kept: 25, 19, 7        dropped: 22, 12
 *
 * A tombstone itself may go when it is in the oldest stripe (no snapshot looks behind it) and no deeper level holds the
 * key: then there is nothing left for it to hide.
 */
import { compareBytes } from '../codec/compare.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';
import { KIND_DELETE } from '../read/internal-iterator.ts';

/** The inclusive user key bounds of a table, as the two internal keys the MANIFEST has. */
export interface KeyBounds {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

export class DropRule {
  readonly #snapshots: readonly number[];
  readonly #deeper: readonly (readonly KeyBounds[])[];
  readonly #deeperIndex: number[];
  readonly #canDropTombstones: boolean;
  #key: Uint8Array = new Uint8Array(64);
  #keyLength = -1;
  #keptStripe = -1;

  /**
   * @param snapshots - sequence numbers of the live snapshots, ascending
   * @param deeper - the runs below the output, each in key order; `undefined` keeps every tombstone
   */
  constructor(snapshots: readonly number[], deeper: readonly (readonly KeyBounds[])[] | undefined) {
    this.#snapshots = snapshots;
    this.#deeper = deeper ?? [];
    this.#deeperIndex = this.#deeper.map(() => 0);
    this.#canDropTombstones = deeper !== undefined;
  }

  /** Whether the entry may be left out. To be asked for every entry, in internal key order, once. */
  isDroppable(bytes: Uint8Array, keyStart: number, keyEnd: number, sequence: number, kind: number): boolean {
    const isNewKey = this.isNewUserKey(bytes, keyStart, keyEnd);
    const stripe = this.#stripeOf(sequence);
    if (isNewKey) this.#remember(bytes, keyStart, keyEnd);
    else if (stripe === this.#keptStripe) return true;
    this.#keptStripe = stripe;
    return kind === KIND_DELETE && stripe === 0 && this.#isBaseLevelFor(bytes, keyStart, keyEnd);
  }

  /** Whether this user key is another one than that of the entry asked about last. Outputs may be cut only there. */
  isNewUserKey(bytes: Uint8Array, keyStart: number, keyEnd: number): boolean {
    return (
      keyEnd - keyStart !== this.#keyLength ||
      compareBytes(bytes, keyStart, keyEnd, this.#key, 0, this.#keyLength) !== 0
    );
  }

  /** How many snapshots are older than the entry: 0 is the oldest stripe. */
  #stripeOf(sequence: number): number {
    const snapshots = this.#snapshots;
    let stripe = snapshots.length;
    while (stripe > 0 && (snapshots[stripe - 1] as number) >= sequence) stripe -= 1;
    return stripe;
  }

  #remember(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.#key.length < length) this.#key = new Uint8Array(2 * length);
    const key = this.#key;
    for (let index = 0; index < length; index += 1) key[index] = bytes[start + index] as number;
    this.#keyLength = length;
  }

  /** Keys come in order, so each run's place only moves forward. */
  #isBaseLevelFor(bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.#canDropTombstones) return false;
    for (const [run, tables] of this.#deeper.entries()) {
      let index = this.#deeperIndex[run] as number;
      for (; index < tables.length; index += 1) {
        const { smallest, largest } = tables[index] as KeyBounds;
        if (compareBytes(bytes, start, end, largest, 0, largest.length - TAG_BYTES) > 0) continue;
        this.#deeperIndex[run] = index;
        if (compareBytes(bytes, start, end, smallest, 0, smallest.length - TAG_BYTES) >= 0) return false;
        break;
      }
      this.#deeperIndex[run] = index;
    }
    return true;
  }
}
