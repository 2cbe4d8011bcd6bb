/** From batches, as they are in the log, to changes as subscribers get them: our own bookkeeping is left out. */
import type { Change, SequenceNumber } from '../model.ts';
import { compareBytes } from '../storage/codec/compare.ts';
import { BatchReader } from '../storage/codec/write-batch.ts';
import { StretchCopier } from '../storage/read/copy-out.ts';
import { KIND_DELETE } from '../storage/read/internal-iterator.ts';
import { isReserved } from '../storage/reserved.ts';
import type { ByteRange } from './interest-index.ts';

/** One batch, `bytes[start, end)`. */
export interface EncodedBatch {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly timeMs: number;
  /** Whether it is what was committed together. */
  readonly hasBoundaries: boolean;
}

/** Batches that were committed as one group: one between each two neighbours of `bounds`. */
export interface EncodedBatches {
  readonly bytes: Uint8Array;
  readonly bounds: readonly number[];
  readonly timeMs: number;
}

export class ChangeDecoder {
  readonly #cursorPrefix: `al1.${string}`;
  readonly #reader = new BatchReader();
  readonly #copier = new StretchCopier();

  /** @param cursorPrefix - of the present epoch: sequence numbers go up over all epochs */
  constructor(cursorPrefix: `al1.${string}`) {
    this.#cursorPrefix = cursorPrefix;
  }

  /**
   * Adds the batch's changes that are in the range, from sequence number `from` on.
   *
   * @returns bytes of their keys and values
   */
  decode(batch: EncodedBatch, range: ByteRange, from: SequenceNumber, into: Change[]): number {
    const { bytes, start, end } = batch;
    const reader = this.#reader;
    reader.reset(bytes, start, end);
    const batchSize = batch.hasBoundaries ? visibleOperations(reader, bytes) : 0;
    if (batch.hasBoundaries) reader.reset(bytes, start, end);
    const isWhole = range.lower === undefined && range.upper === undefined;
    let taken = 0;
    for (let batchIndex = 0; reader.next(); batchIndex += 1) {
      const { keyStart, keyEnd } = reader;
      if (isReserved(bytes, keyStart, keyEnd)) {
        batchIndex -= 1;
        continue;
      }
      if (reader.sequence < from || !(isWhole || isInRange(bytes, keyStart, keyEnd, range))) continue;
      into.push(this.#change(bytes, batch.timeMs, batchIndex, batchSize, isWhole ? end : 0));
      taken += reader.valueEnd - keyStart;
    }
    this.#copier.forget();
    return taken;
  }

  /**
   * Gives each change of a group of batches to those who are interested in it, and makes it only if anybody is.
   *
   * @param isAllWanted - there is somebody who takes every change
   * @param find - told of each key; whether there is anybody who takes its change
   */
  route(
    { bytes, bounds, timeMs }: EncodedBatches,
    isAllWanted: boolean,
    find: (bytes: Uint8Array, start: number, end: number) => boolean,
    take: (change: Change) => void,
  ): void {
    const reader = this.#reader;
    const end = isAllWanted ? (bounds.at(-1) as number) : 0;
    for (let batch = 1; batch < bounds.length; batch += 1) {
      const batchStart = bounds[batch - 1] as number;
      const batchEnd = bounds[batch] as number;
      reader.reset(bytes, batchStart, batchEnd);
      const batchSize = visibleOperations(reader, bytes);
      if (reader.count > 1) reader.reset(bytes, batchStart, batchEnd);
      for (let batchIndex = 0; reader.next(); batchIndex += 1) {
        const { keyStart, keyEnd } = reader;
        if (isReserved(bytes, keyStart, keyEnd)) batchIndex -= 1;
        else if (find(bytes, keyStart, keyEnd)) take(this.#change(bytes, timeMs, batchIndex, batchSize, end));
      }
    }
    this.#copier.forget();
  }

  /**
   * The operation that the reader is at.
   *
   * @param next - up to here all bytes will be wanted, if that is behind this operation
   */
  #change(bytes: Uint8Array, timeMs: number, batchIndex: number, batchSize: number, next: number): Change {
    const { sequence, kind, keyStart, keyEnd, valueStart, valueEnd } = this.#reader;
    const end = Math.max(next, valueEnd);
    const key = this.#copier.copy(bytes, keyStart, keyEnd, end);
    const cursor = `${this.#cursorPrefix}${sequence}` as const;
    if (kind === KIND_DELETE) return { type: 'delete', key, sequence, batchIndex, batchSize, timeMs, cursor };
    const value = this.#copier.copy(bytes, valueStart, valueEnd, end);
    return { type: 'set', key, value, sequence, batchIndex, batchSize, timeMs, cursor };
  }
}

/** Operations of a batch that are the user's. */
function visibleOperations(reader: BatchReader, bytes: Uint8Array): number {
  if (reader.count === 1) return 1;
  let count = 0;
  while (reader.next()) if (!isReserved(bytes, reader.keyStart, reader.keyEnd)) count += 1;
  return count;
}

export function isInRange(bytes: Uint8Array, start: number, end: number, { lower, upper }: ByteRange): boolean {
  if (lower !== undefined) {
    const order = compareBytes(bytes, start, end, lower.key, 0, lower.key.length);
    if (order < 0 || (order === 0 && !lower.isInclusive)) return false;
  }
  if (upper !== undefined) {
    const order = compareBytes(bytes, start, end, upper.key, 0, upper.key.length);
    if (order > 0 || (order === 0 && !upper.isInclusive)) return false;
  }
  return true;
}
