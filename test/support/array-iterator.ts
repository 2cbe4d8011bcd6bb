/** A sorted array as a source of entries, as strict as the port allows: it answers late, and overwrites what it showed. */
import {
  type EntryKind,
  type InternalIterator,
  KIND_SET,
  type Step,
} from '../../src/storage/read/internal-iterator.ts';
import { compareEntries, type TableEntry } from './table-entries.ts';

const NO_BYTES = new Uint8Array(0);

export class ArrayIterator implements InternalIterator {
  isValid = false;
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  sequence = 0;
  kind: EntryKind = KIND_SET;
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;
  isClosed = false;
  steps = 0;

  readonly #entries: readonly TableEntry[];
  readonly #isLate: () => boolean;
  #index = -1;
  /** One buffer for every key and value, one after the other, at a place that changes. */
  #buffer = new Uint8Array(0);

  /** @param isLate - asked at each step: whether it answers with a promise */
  constructor(entries: readonly TableEntry[], isLate: () => boolean = () => false) {
    this.#entries = entries;
    this.#isLate = isLate;
  }

  seekToFirst(): Step {
    return this.#stand(0);
  }

  seekToLast(): Step {
    return this.#stand(this.#entries.length - 1);
  }

  seek(key: Uint8Array, sequence: number): Step {
    const copy = key.slice();
    const index = this.#entries.findIndex((entry) => compareEntries(entry, { key: copy, sequence }) >= 0);
    return this.#stand(index === -1 ? this.#entries.length : index);
  }

  next(): Step {
    if (!this.isValid) throw new Error('next without an entry');
    return this.#stand(this.#index + 1);
  }

  previous(): Step {
    if (!this.isValid) throw new Error('previous without an entry');
    return this.#stand(this.#index - 1);
  }

  close(): void {
    this.isClosed = true;
    this.isValid = false;
  }

  #stand(index: number): Step {
    if (this.isClosed) throw new Error('used after its end');
    this.steps += 1;
    if (!this.#isLate()) return this.#show(index);
    this.isValid = false;
    this.#buffer.fill(0xee);
    return Promise.resolve().then(() => this.#show(index));
  }

  #show(index: number): undefined {
    this.#buffer.fill(0xdd); // what was shown before is not valid any more
    this.#index = index;
    const entry = this.#entries[index];
    this.isValid = entry !== undefined;
    if (entry === undefined) return;
    const { key, value, sequence, kind } = entry;
    const start = index % 3;
    const end = start + key.length + value.length;
    if (this.#buffer.length < end) this.#buffer = new Uint8Array(2 * end + 8);
    this.#buffer.set(key, start);
    this.#buffer.set(value, start + key.length);
    this.keyBytes = this.#buffer;
    this.valueBytes = this.#buffer;
    this.keyStart = start;
    this.keyEnd = start + key.length;
    this.valueStart = this.keyEnd;
    this.valueEnd = end;
    this.sequence = sequence;
    this.kind = kind;
  }
}
