/**
 * What was read, in order, and how far everything is settled.
 *
 * ```text
 *   sequence     10   11   12   15   16   20 ...
 *   slots             x    .    x    x    .          x settled   . at work
 *                ^watermark: 10, then 11 once it is committed; settled beyond it: 15, 16
 * ```
 *
 * The stored record is the watermark plus the settled ones beyond it. What a record of an earlier run names as settled is
 * left out when it is read again; as long as the watermark has not come that far, it stays in every record.
 */
import type { Change, SequenceNumber } from '../model.ts';
import type { ConsumerRecord } from './consumer-record.ts';
import type { Place } from './consumer-source.ts';
import type { Slot } from './consumer-work.ts';

/** Slots before the head that are forgotten together. */
const FORGOTTEN_MIN = 1_024;

export class ConsumerProgress {
  #slots: Slot[] = [];
  #head = 0;
  #watermark: Place;
  /** Settled by an earlier run, as runs; those before `#earlierIndex` lie before what was read. */
  readonly #earlier: readonly SequenceNumber[];
  #earlierIndex = 0;
  #lastRead: SequenceNumber;

  constructor({ cursor, sequence, settled }: Omit<ConsumerRecord, 'range'>) {
    this.#watermark = { cursor, sequence };
    this.#earlier = settled;
    this.#lastRead = sequence;
  }

  /** Slots that are not behind the watermark. */
  get size(): number {
    return this.#slots.length - this.#head;
  }

  get watermark(): Place {
    return this.#watermark;
  }

  /** Takes the next change that was read; `undefined`: an earlier run has settled it. */
  add(change: Change): Slot | undefined {
    this.#lastRead = change.sequence;
    const isSettled = this.#wasSettled(change.sequence);
    const slot: Slot = { change, state: isSettled ? 'settled' : 'open' };
    this.#slots.push(slot);
    if (isSettled) {
      this.advance();
      return undefined;
    }
    return slot;
  }

  /** Moves the watermark over what is settled. */
  advance(): void {
    const slots = this.#slots;
    let last: Slot | undefined;
    for (; this.#head < slots.length; this.#head += 1) {
      const slot = slots[this.#head] as Slot;
      if (slot.state !== 'settled') break;
      last = slot;
    }
    if (last !== undefined) this.#watermark = placeOf(last);
    if (this.#head === slots.length) {
      this.#slots = [];
      this.#head = 0;
    } else if (this.#head >= FORGOTTEN_MIN && 2 * this.#head >= slots.length) {
      this.#slots = slots.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Moves the watermark over what the range leaves out; only while nothing that was read is open. */
  adopt(place: Place): void {
    if (this.size === 0 && place.sequence > this.#watermark.sequence) this.#watermark = place;
  }

  /** The record that is true once the commit under way has succeeded. */
  record(isPaused: boolean): Omit<ConsumerRecord, 'range'> {
    const slots = this.#slots;
    let index = this.#head;
    while (index < slots.length && slots[index]?.state !== 'open') index += 1;
    const last = index === this.#head ? undefined : slots[index - 1];
    const { cursor, sequence } = last === undefined ? this.#watermark : placeOf(last);
    const settled: SequenceNumber[] = [];
    let runEnd = -1; // the sequence number that would go on with the last run
    for (; index < slots.length; index += 1) {
      const slot = slots[index] as Slot;
      if (slot.state === 'open') continue;
      const at = slot.change.sequence;
      if (at === runEnd) settled[settled.length - 1] = (settled.at(-1) as number) + 1;
      else settled.push(at, 1);
      runEnd = at + 1;
    }
    this.#addEarlier(settled, runEnd);
    return { cursor, sequence, settled, isPaused };
  }

  /** What an earlier run settled, and was not read yet. */
  #addEarlier(settled: SequenceNumber[], runEnd: SequenceNumber): void {
    const earlier = this.#earlier;
    for (let index = this.#earlierIndex; index < earlier.length; index += 2) {
      const first = Math.max(earlier[index] as number, this.#lastRead + 1, this.#watermark.sequence + 1);
      const count = (earlier[index] as number) + (earlier[index + 1] as number) - first;
      if (count <= 0) continue;
      if (first === runEnd) settled[settled.length - 1] = (settled.at(-1) as number) + count;
      else settled.push(first, count);
    }
  }

  #wasSettled(sequence: SequenceNumber): boolean {
    const earlier = this.#earlier;
    for (; this.#earlierIndex < earlier.length; this.#earlierIndex += 2) {
      const first = earlier[this.#earlierIndex] as number;
      if (sequence < first) return false;
      if (sequence < first + (earlier[this.#earlierIndex + 1] as number)) return true;
    }
    return false;
  }
}

const placeOf = ({ change: { cursor, sequence } }: Slot): Place => ({ cursor, sequence });
