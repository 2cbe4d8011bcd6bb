/**
 * Many operations into a store: gathered into batches, with a bounded number of batches under way.
 *
 *     add ──> gathered (entries, bytes) ──> write ──> in flight (at most IN_FLIGHT_MAX) ──> acknowledged
 *
 * Whoever adds waits when that many are under way, so that the source is read no faster than the disk takes it.
 */
import type { Bytes, DeleteOperation, Durability, SetOperation } from 'alluvium';

const BATCH_ENTRIES_MAX = 1000;
const BATCH_BYTES_MAX = 1024 * 1024;
const IN_FLIGHT_MAX = 4;

export type Line = SetOperation | DeleteOperation;

interface BatchWriterOptions {
  readonly durability?: Durability | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What batches are written to; a store is one. */
export interface BatchSink {
  readonly write: (lines: readonly Line[], options: BatchWriterOptions) => PromiseLike<unknown>;
}

const sizeOf = (bytes: Bytes): number => bytes.length;

export class BatchWriter {
  readonly #store: BatchSink;
  readonly #options: BatchWriterOptions;
  readonly #inFlight = new Set<Promise<void>>();
  #gathered: Line[] = [];
  #gatheredBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  /** Operations that are written. */
  acknowledged = 0;

  constructor(store: BatchSink, options: BatchWriterOptions = {}) {
    this.#store = store;
    this.#options = options;
  }

  /** @returns what to wait for before the next; rejects with what a batch before it failed with */
  add(line: Line): Promise<void> | undefined {
    this.#gathered.push(line);
    this.#gatheredBytes += sizeOf(line.key) + (line.type === 'set' ? sizeOf(line.value) : 0);
    const isFull = this.#gathered.length >= BATCH_ENTRIES_MAX || this.#gatheredBytes >= BATCH_BYTES_MAX;
    return isFull ? this.#send() : undefined;
  }

  /** Resolves when everything that was added is acknowledged. */
  async finish(): Promise<void> {
    if (this.#gathered.length > 0) await this.#send();
    await Promise.all(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #send(): Promise<void> {
    while (this.#inFlight.size >= IN_FLIGHT_MAX) await Promise.race(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#options.signal?.throwIfAborted();
    const lines = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    const write = Promise.resolve(this.#store.write(lines, { durability: this.#options.durability })).then(
      () => void (this.acknowledged += lines.length),
      (error: unknown) => void (this.#failure ??= { error }),
    );
    const settled: Promise<void> = write.then(() => void this.#inFlight.delete(settled));
    this.#inFlight.add(settled);
  }
}
