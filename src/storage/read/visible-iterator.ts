/**
 * What a reader at one sequence number sees of a sorted source: of each user key the newest entry that is not newer than
 * the reader, and nothing if that is a tombstone. Walks one way, chosen at construction.
 *
 *   source (key@sequence)      a@9 a@4 b@8(tombstone) b@3 c@2        reader at 8 sees    a@4 c@2
 *
 * Forwards, the first entry of a key that is old enough decides. Backwards, entries of a key come oldest first, so the
 * last one that is old enough decides, and is kept aside while looking for a newer one.
 *
 * A step may pass over many entries (a range that was deleted). So that it never holds the event loop, it pauses each
 * few thousand of them by the `pause` that it was given.
 */
import { compareBytes } from '../codec/compare.ts';
import { type InternalIterator, KIND_DELETE, type Step } from './internal-iterator.ts';

const SKIPS_BEFORE_PAUSE = 4096;
const NO_BYTES = new Uint8Array(0);

/** A byte range that is kept while its source moves on. Grows, never shrinks below what it has seen. */
class Kept {
  bytes: Uint8Array = NO_BYTES;
  length = 0;

  keep(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.bytes.length < length) this.bytes = new Uint8Array(Math.max(64, 2 * length));
    const { bytes } = this;
    if (length < 48) for (let index = 0; index < length; index += 1) bytes[index] = source[start + index] as number;
    else bytes.set(source.subarray(start, end));
    this.length = length;
  }

  isSame(source: Uint8Array, start: number, end: number): boolean {
    return end - start === this.length && compareBytes(this.bytes, 0, this.length, source, start, end) === 0;
  }
}

export interface VisibleIteratorOptions {
  /** The reader's sequence number: newer entries are not there for it. */
  readonly sequence: number;
  readonly isReverse: boolean;
  /** Lets other work of the thread go first; called at most once per few thousand entries passed over. */
  readonly pause: () => Promise<void>;
}

export class VisibleIterator {
  isValid = false;
  /** The key is `keyBytes[keyStart, keyEnd)`, the value `valueBytes[valueStart, valueEnd)`, until the next step. */
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;
  /** Sequence number of the current entry. */
  entrySequence = 0;

  readonly #source: InternalIterator;
  readonly #sequence: number;
  readonly #isReverse: boolean;
  readonly #pause: () => Promise<void>;
  readonly #key = new Kept();
  readonly #value = new Kept();
  /** Forwards: entries of the key in `#key` are done with. Backwards: `#key` and `#value` hold a candidate. */
  #hasKey = false;
  #skips = 0;
  #isClosed = false;

  constructor(source: InternalIterator, { sequence, isReverse, pause }: VisibleIteratorOptions) {
    this.#source = source;
    this.#sequence = sequence;
    this.#isReverse = isReverse;
    this.#pause = pause;
  }

  /**
   * To the first entry in the direction of the walk: at or after `from` (forwards), at or before it (backwards); without
   * `from`, to the very first or last.
   */
  start(from?: Uint8Array): Step {
    this.#hasKey = false;
    const source = this.#source;
    let placed: Step;
    if (this.#isReverse) placed = from === undefined ? source.seekToLast() : this.#seekAtOrBefore(from);
    else placed = from === undefined ? source.seekToFirst() : source.seek(from, this.#sequence);
    return placed === undefined ? this.#find() : placed.then(() => this.#find());
  }

  /** To the next entry in the direction of the walk. Only when valid. */
  advance(): Step {
    if (this.#isReverse) return this.#find(); // the source stands before the current key already
    this.#key.keep(this.keyBytes, this.keyStart, this.keyEnd);
    this.#hasKey = true;
    const moved = this.#source.next();
    return moved === undefined ? this.#find() : moved.then(() => this.#find());
  }

  close(): void {
    this.#isClosed = true;
    this.#source.close();
    this.isValid = false;
  }

  #seekAtOrBefore(from: Uint8Array): Step {
    const source = this.#source;
    // Behind all entries of `from`: of one key, the entry with sequence number 0 would be the last.
    const placed = source.seek(from, 0);
    const back = (): Step => {
      if (this.#isClosed) return undefined;
      if (!source.isValid) return source.seekToLast();
      const order = compareBytes(source.keyBytes, source.keyStart, source.keyEnd, from, 0, from.length);
      return order === 0 ? undefined : source.previous(); // an entry with sequence number 0 is the key's oldest: start there
    };
    return placed === undefined ? back() : placed.then(back);
  }

  /** Steps of the source until something can be shown; synchronous as long as the source is. */
  #find(): Step {
    this.#skips = 0;
    if (this.#isClosed) return undefined; // while the source was waited for
    return this.#isReverse ? this.#findBackward() : this.#findForward();
  }

  #findForward(): Step {
    const source = this.#source;
    while (source.isValid) {
      const { keyBytes, keyStart, keyEnd } = source;
      const isDone = this.#hasKey && this.#key.isSame(keyBytes, keyStart, keyEnd);
      if (!isDone && source.sequence <= this.#sequence) {
        if (source.kind !== KIND_DELETE) return this.#show();
        this.#key.keep(keyBytes, keyStart, keyEnd);
        this.#hasKey = true;
      }
      const wait = this.#afterSkip(source.next());
      if (wait !== undefined) return wait.then(() => (this.#isClosed ? undefined : this.#findForward()));
    }
    this.isValid = false;
    return undefined;
  }

  #findBackward(): Step {
    const source = this.#source;
    while (source.isValid) {
      const { keyBytes, keyStart, keyEnd } = source;
      if (this.#hasKey && !this.#key.isSame(keyBytes, keyStart, keyEnd)) return this.#showKept();
      if (source.sequence <= this.#sequence) {
        if (source.kind === KIND_DELETE) {
          this.#hasKey = false;
        } else {
          this.#key.keep(keyBytes, keyStart, keyEnd);
          this.#value.keep(source.valueBytes, source.valueStart, source.valueEnd);
          this.entrySequence = source.sequence;
          this.#hasKey = true;
        }
      }
      const wait = this.#afterSkip(source.previous());
      if (wait !== undefined) return wait.then(() => (this.#isClosed ? undefined : this.#findBackward()));
    }
    if (this.#hasKey) return this.#showKept();
    this.isValid = false;
    return undefined;
  }

  /** The step's own wait, or a pause when it has been many. */
  #afterSkip(step: Step): Step {
    this.#skips += 1;
    if (step !== undefined || this.#skips < SKIPS_BEFORE_PAUSE) return step;
    this.#skips = 0;
    return this.#pause();
  }

  #show(): undefined {
    const source = this.#source;
    this.isValid = true;
    this.keyBytes = source.keyBytes;
    this.keyStart = source.keyStart;
    this.keyEnd = source.keyEnd;
    this.valueBytes = source.valueBytes;
    this.valueStart = source.valueStart;
    this.valueEnd = source.valueEnd;
    this.entrySequence = source.sequence;
  }

  #showKept(): undefined {
    this.#hasKey = false;
    this.isValid = true;
    this.keyBytes = this.#key.bytes;
    this.keyStart = 0;
    this.keyEnd = this.#key.length;
    this.valueBytes = this.#value.bytes;
    this.valueStart = 0;
    this.valueEnd = this.#value.length;
  }
}
