/**
 * Writes that can be recognised after a crash, and the check of what recovery made of them.
 *
 * Each write sets a key of its own (its marker), and besides changes keys that all of them share. So the markers tell
 * which writes were recovered, and the shared keys tell whether these were recovered whole and in order.
 */
import type { Durability, Store, WriteOperation } from '../../src/index.ts';
import { bytesOf, SortedModel, type TextEntry } from './sorted-model.ts';

/** What the caller knows of a write. */
export type WriteState = 'waiting' | Durability | 'failed';

export interface TrackedWrite {
  readonly index: number;
  readonly operations: readonly WriteOperation[];
  state: WriteState;
  /** Of its last operation, once it is acknowledged. */
  sequence: number;
  failure: unknown;
}

const MARKER = 'w/';
const markerOf = (index: number): string => `${MARKER}${String(index).padStart(5, '0')}`;
/** Whether a write is in a database with these keys. */
export const isRecovered = (index: number, keys: ReadonlySet<string>): boolean => keys.has(markerOf(index));
const SHARED_KEYS = ['', 'a', 'ab', 'abc', 'b', 'zz'];

export class TrackedWrites {
  /** In the order of the calls. Those that a crash took may be removed: their numbers are not given again. */
  readonly writes: TrackedWrite[] = [];
  #count = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Issues the next write; resolves when it has its answer, whatever it is. */
  async issue(store: Store, durability: Durability): Promise<TrackedWrite> {
    const index = this.#count;
    this.#count += 1;
    const write: TrackedWrite = {
      index,
      operations: this.#operations(index),
      state: 'waiting',
      sequence: 0,
      failure: undefined,
    };
    this.writes.push(write);
    const [only] = write.operations;
    const isSet = write.operations.length === 1 && only?.type === 'set';
    try {
      const written = isSet
        ? store.set(only.key, only.value, { durability })
        : store.write(write.operations, { durability });
      const commit = await written;
      write.sequence = commit.sequence;
      write.state = commit.durability;
    } catch (error) {
      write.failure = error;
      write.state = 'failed';
    }
    return write;
  }

  /** What was acknowledged is durable now: after a flush, and after a close. */
  madeDurable(upTo: number): void {
    for (const write of this.writes) if (write.index < upTo && write.state === 'buffered') write.state = 'synced';
  }

  states(): readonly WriteState[] {
    return this.writes.map(({ state }) => state);
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #operations(index: number): readonly WriteOperation[] {
    const operations: WriteOperation[] = [];
    const shared = this.#random() < 0.3 ? 0 : this.#below(6);
    for (let count = 0; count < shared; count += 1) {
      const key = bytesOf(SHARED_KEYS[this.#below(SHARED_KEYS.length)] ?? '');
      if (this.#random() < 0.3) operations.push({ type: 'delete', key });
      else operations.push({ type: 'set', key, value: this.#value(index, count) });
    }
    const marker = { type: 'set', key: bytesOf(markerOf(index)), value: this.#value(index, shared) } as const;
    operations.splice(this.#below(operations.length + 1), 0, marker);
    return operations;
  }

  #value(index: number, count: number): Uint8Array {
    const isLong = this.#random() < 0.15;
    const bytes = new Uint8Array(isLong ? 400 + this.#below(1500) : this.#below(40));
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = isLong ? this.#below(256) : index + count;
    return bytes;
  }
}

/** What a crash must have left. */
export interface Demand {
  /** State of each write at the moment of the crash; those issued later are not in it. */
  readonly states: readonly WriteState[];
  /** Whether the process was killed and the disk lived on: then buffered writes count too. */
  readonly isKill: boolean;
  /** What the store itself said is durable. */
  readonly durableSequence: number;
}

/**
 * Why these entries are not what recovery may make of the writes, or `undefined`.
 *
 * I1: what was acknowledged as durable is there. I2: in the order of the calls, nothing is there without all before it, but
 * for writes that failed, which may be there or not. I3: each write is there whole or not at all.
 */
export function violation(
  writes: readonly TrackedWrite[],
  demand: Demand,
  entries: readonly TextEntry[],
): string | undefined {
  const found = new Set(entries.map(([key]) => key).filter((key) => key.startsWith(MARKER)));
  const model = new SortedModel();
  let missing: number | undefined;
  for (const [index, state] of demand.states.entries()) {
    const write = writes[index] as TrackedWrite;
    const isDurable =
      state === 'synced' ||
      (state === 'buffered' && demand.isKill) ||
      (state === 'buffered' && write.sequence > 0 && write.sequence <= demand.durableSequence);
    if (found.delete(markerOf(write.index))) {
      if (missing !== undefined) return `write ${write.index} is there, and write ${missing} before it is not`;
      model.write(write.operations);
    } else {
      if (isDurable) return `write ${write.index} was acknowledged (${state}), and is missing`;
      if (state !== 'failed') missing ??= write.index;
    }
  }
  const [unknown] = found;
  if (unknown !== undefined) return `${unknown} is there, and was never written`;
  const expected = JSON.stringify(model.entries());
  if (JSON.stringify(entries) !== expected)
    return `a write is there in part: ${differenceOf(entries, model.entries())}`;
  return undefined;
}

function differenceOf(entries: readonly TextEntry[], expected: readonly TextEntry[]): string {
  const found = new Map(entries);
  for (const [key, value] of expected) {
    if (found.get(key) !== value) return `${JSON.stringify(key)} has ${short(found.get(key))}, not ${short(value)}`;
    found.delete(key);
  }
  return `${JSON.stringify([...found.keys()])} should not be there`;
}

const short = (text: string | undefined): string => JSON.stringify(text?.slice(0, 20));
