/**
 * A compaction that a caller asked for: a range, worked down level by level, in pieces that leave room for a flush
 * between them. Each level is gone through once, from the range's start to its end, so that it ends even while new tables
 * arrive above.
 */
import type { UserKeyRange } from '../storage/manifest/table-meta.ts';
import { rangeOf } from '../storage/manifest/table-meta.ts';
import type { Version } from '../storage/manifest/version.ts';
import { type Compaction, pickManual, type PickerOptions } from '../storage/compaction/picker.ts';

/** The least user key above another one: the same with a zero byte behind it. */
function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

export interface ManualRequest {
  readonly range: UserKeyRange;
  /** When it aborts, no further piece is begun. */
  readonly signal: AbortSignal | undefined;
  /** Told at the end. */
  readonly finish: (error?: Error) => void;
}

export class ManualCompaction {
  readonly #range: UserKeyRange;
  readonly #signal: AbortSignal | undefined;
  /** Levels from here on stay as they are: the deepest that held anything of the range when it began. */
  readonly #levelEnd: number;
  readonly finish: (error?: Error) => void;
  #level = 0;
  /** What is left of the present level; `undefined`: nothing. */
  #left: UserKeyRange | undefined;

  constructor(version: Version, { range, signal, finish }: ManualRequest) {
    this.#range = range;
    this.#signal = signal;
    this.#left = range;
    this.finish = finish;
    let deepest = version.deepestLevel;
    while (deepest > 1 && version.overlapping(deepest, range).length === 0) deepest -= 1;
    this.#levelEnd = Math.max(1, deepest);
  }

  /** The next piece, or `undefined` when all is done. */
  next(version: Version, options: PickerOptions): Compaction | undefined {
    while (this.#level < this.#levelEnd && this.#signal?.aborted !== true) {
      const piece = this.#left === undefined ? undefined : pickManual(version, this.#level, this.#left, options);
      if (piece !== undefined) {
        const { end } = rangeOf(piece.inputs);
        this.#left = this.#level === 0 ? undefined : { start: keyAfter(end), end: this.#range.end };
        return piece;
      }
      this.#level += 1;
      this.#left = this.#range;
    }
    return undefined;
  }
}
