/** `db.batch().put(...).del(...).write()`: lines that are collected, and then written as one batch. */
import { AbstractChainedBatch } from 'abstract-level';
import type { WriteOperation } from 'alluvium';
import { type Formatted, pinned } from './format.ts';
import type { ChainedBatchWriteOptions } from './options.ts';

/** Writes the lines, all or none. */
export type WriteLines = (lines: readonly WriteOperation[], options: ChainedBatchWriteOptions) => Promise<void>;

export class LevelChainedBatch<TDatabase, K, V> extends AbstractChainedBatch<TDatabase, K, V> {
  readonly #writeLines: WriteLines;
  #lines: WriteOperation[] = [];

  /** @internal */
  constructor(db: TDatabase, writeLines: WriteLines) {
    super(db);
    this.#writeLines = writeLines;
  }

  /** @internal */
  _put(key: Formatted, value: Formatted): void {
    this.#lines.push({ type: 'set', key: pinned(key), value: pinned(value) });
  }

  /** @internal */
  _del(key: Formatted): void {
    this.#lines.push({ type: 'delete', key: pinned(key) });
  }

  /** @internal */
  _clear(): void {
    this.#lines = [];
  }

  /** @internal */
  _write(options: ChainedBatchWriteOptions): Promise<void> {
    return this.#writeLines(this.#lines, options);
  }
}
