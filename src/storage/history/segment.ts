/**
 * A segment of history: one log, from the moment that it gets its second name.
 *
 *   live     the log is written to, or is ready for it; what has been counted so far may be read
 *   sealed   complete, synced, and every record in it counts
 */
import type { SegmentInfo } from './history-state.ts';
import { type SegmentIndexWriter, TICK_MS } from './segment-index.ts';

/** A place from which segments can be read. */
export interface Segment extends SegmentInfo {
  /** Whether it has its name in the archive; if not (no hard links here), it has only the log's own, until it is sealed. */
  readonly isLinked: boolean;
}

/** What a state says of a segment. */
export function segmentInfo(segment: SegmentInfo): SegmentInfo {
  const { fileNumber, firstSequence, lastSequence, bytes, hasGaps, firstTimeMs, lastTimeMs } = segment;
  return { fileNumber, firstSequence, lastSequence, bytes, hasGaps, firstTimeMs, lastTimeMs };
}

export class LiveSegment implements Segment {
  readonly fileNumber: number;
  isLinked: boolean;
  firstSequence = 0;
  lastSequence = 0;
  /** Bytes of the log up to the end of what counts. */
  bytes = 0;
  hasGaps: boolean | undefined;
  firstTimeMs = 0;
  lastTimeMs = 0;
  isRewritten = false;
  /** What the index has been told to be durable. */
  #claimed = 0;
  readonly #index: SegmentIndexWriter | undefined;

  constructor(fileNumber: number, isLinked: boolean, index: SegmentIndexWriter | undefined) {
    this.fileNumber = fileNumber;
    this.isLinked = isLinked;
    this.#index = index;
  }

  get isEmpty(): boolean {
    return this.lastSequence === 0;
  }

  /**
   * A group counts from now on: it is in the log, and synced if it asked for that.
   *
   * @param offset - where its first record begins; it ends at `endOffset`
   * @param timeMs - now; never less than the call before gave
   * @returns the commit time that its changes have
   */
  count(firstSequence: number, lastSequence: number, offset: number, endOffset: number, timeMs: number): number {
    if (this.isEmpty) {
      this.firstSequence = firstSequence;
      this.firstTimeMs = timeMs;
    } else if (firstSequence !== this.lastSequence + 1) this.hasGaps = true;
    if (this.isEmpty || timeMs >= this.lastTimeMs + TICK_MS) {
      this.lastTimeMs = timeMs;
      this.#index?.add({ sequence: firstSequence, timeMs, offset });
    }
    this.lastSequence = lastSequence;
    this.bytes = endOffset;
    return this.lastTimeMs;
  }

  /** Everything up to `sequence` is durable, in this log or before it: its index says so, too. */
  noteDurable(sequence: number): void {
    if (this.isEmpty || sequence <= this.#claimed) return;
    this.#claimed = sequence;
    this.#index?.claim(sequence);
  }

  /** The log is complete and synced: its index says what is in it, durably, before anything else goes that could. */
  async seal(): Promise<void> {
    if (!this.isEmpty) await this.#index?.seal(this.lastSequence, this.bytes);
  }

  /** As it is now. */
  info(): SegmentInfo {
    return segmentInfo(this);
  }

  /** The log's file has been replaced by one that holds what counts, and nothing else. */
  rewritten(bytes: number): void {
    this.isRewritten = true;
    this.isLinked = true;
    this.bytes = bytes;
  }

  async closeIndex(): Promise<void> {
    await this.#index?.close().catch(() => undefined); // it may end anywhere
  }
}
