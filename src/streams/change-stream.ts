/**
 * Changes as they are committed, live: each subscriber has a bounded buffer of its own, and never holds the writers back.
 *
 * A group is copied out of the pipeline's buffer once, however many listen, and only if anybody does.
 */
import type { Observable, Subscription } from 'rxjs';
import { AbortedError, BufferOverflowError } from '../errors.ts';
import type { SequenceNumber } from '../model.ts';
import { onAbort } from './abort.ts';
import { BatchReader } from '../storage/codec/write-batch.ts';
import { copyOut } from '../storage/read/copy-out.ts';
import { KIND_DELETE } from '../storage/read/internal-iterator.ts';
import { toError } from './to-error.ts';
import type { PageSource } from './stream.ts';
import type { CommittedGroup } from './write-stream.ts';

interface ChangePlace {
  readonly key: Uint8Array;
  readonly sequence: SequenceNumber;
  /** Position in its batch, from 0; `batchSize` operations were committed together. */
  readonly batchIndex: number;
  readonly batchSize: number;
}

/** A key has a new value. */
export interface SetChange extends ChangePlace {
  readonly type: 'set';
  readonly value: Uint8Array;
}

/** A key was deleted. */
export interface DeleteChange extends ChangePlace {
  readonly type: 'delete';
}

export type Change = SetChange | DeleteChange;

export interface ChangesOptions {
  /** Where to begin: with what is committed from now on. */
  readonly from: 'now';
  readonly signal?: AbortSignal | undefined;
}

/** A subscriber that falls behind this far gets a `BufferOverflowError`. */
const WAITING_CHANGES_MAX = 65_536;

/** ... or this many bytes of keys and values. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

/** What was committed together, copied out once for all who listen. */
export interface ChangeGroup {
  readonly changes: readonly Change[];
  /** Of their keys and values, about. */
  readonly bytes: number;
}

export function changesOf({ encoded: { bytes, bounds } }: CommittedGroup): ChangeGroup {
  const changes: Change[] = [];
  const reader = new BatchReader();
  for (let batch = 1; batch < bounds.length; batch += 1) {
    reader.reset(bytes, bounds[batch - 1] as number, bounds[batch] as number);
    for (let batchIndex = 0; reader.next(); batchIndex += 1) {
      const { sequence, count: batchSize, kind } = reader;
      const key = copyOut(bytes, reader.keyStart, reader.keyEnd);
      const place = { key, sequence, batchIndex, batchSize };
      if (kind === KIND_DELETE) changes.push({ type: 'delete', ...place });
      else changes.push({ type: 'set', ...place, value: copyOut(bytes, reader.valueStart, reader.valueEnd) });
    }
  }
  return { changes, bytes: bounds.at(-1) ?? 0 };
}

/** One subscriber: what has been committed and not yet pulled. Completes when the store closes. */
export class LiveChanges implements PageSource<Change> {
  readonly #signal: AbortSignal | undefined;
  readonly #subscription: Subscription;
  readonly #stopListening: () => void;
  #waiting: Change[] = [];
  #waitingBytes = 0;
  #failure: Error | undefined;
  #isComplete = false;
  #wake: (() => void) | undefined;

  constructor(changes$: Observable<ChangeGroup>, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#subscription = changes$.subscribe({
      next: (group) => this.#take(group),
      error: (error: unknown) => this.#fail(toError(error)),
      complete: () => {
        this.#isComplete = true;
        this.#wake?.();
      },
    });
    this.#stopListening = onAbort(signal, this.#abort);
    if (signal?.aborted === true) this.#abort();
  }

  pull(): readonly Change[] | Promise<readonly Change[]> {
    if (this.#waiting.length > 0) {
      const page = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      return page;
    }
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isComplete) return [];
    return new Promise<void>((resolve) => {
      this.#wake = resolve;
    }).then(() => {
      this.#wake = undefined;
      return this.pull();
    });
  }

  close(): void {
    this.#subscription.unsubscribe();
    this.#stopListening();
    this.#isComplete = true;
    this.#wake?.();
  }

  /** A group larger than the bounds is taken when nothing else waits. */
  #take({ changes, bytes }: ChangeGroup): void {
    if (this.#waiting.length > 0) {
      const isTooMany = this.#waiting.length + changes.length > WAITING_CHANGES_MAX;
      if (isTooMany) return this.#fail(new BufferOverflowError(WAITING_CHANGES_MAX));
      const isTooLarge = this.#waitingBytes + bytes > WAITING_BYTES_MAX;
      if (isTooLarge) return this.#fail(new BufferOverflowError(WAITING_BYTES_MAX, 'bytes'));
    }
    this.#waitingBytes += bytes;
    for (const change of changes) this.#waiting.push(change);
    this.#wake?.();
  }

  readonly #abort = (): void => {
    this.#waiting = [];
    this.#fail(new AbortedError('the change stream', { cause: this.#signal?.reason }));
  };

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#subscription.unsubscribe();
    this.#wake?.();
  }
}
