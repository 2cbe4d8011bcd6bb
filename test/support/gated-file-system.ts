/**
 * A memory file system in which compactions can be made to stand still: they are the only ones to open tables while nobody
 * reads. Flushes, logs and manifests go on.
 */
import type { ReadableFile } from '../../src/index.ts';
import { FaultFileSystem } from './fault-file-system.ts';

export class GatedFileSystem extends FaultFileSystem {
  #gate: Promise<void> | undefined;
  #open: (() => void) | undefined;

  /** From here on, whoever opens a table waits. */
  holdCompactions(): void {
    this.#gate ??= new Promise((resolve) => (this.#open = resolve));
  }

  letCompactionsGo(): void {
    this.#gate = undefined;
    this.#open?.();
  }

  /** Who opens a table during this work does not wait; who waits already goes on waiting. */
  async whileReading<T>(work: () => PromiseLike<T>): Promise<T> {
    const gate = this.#gate;
    this.#gate = undefined;
    try {
      return await work();
    } finally {
      this.#gate = gate;
    }
  }

  override async openForRead(path: string): Promise<ReadableFile> {
    if (path.endsWith('.ldb')) await this.#gate;
    return super.openForRead(path);
  }
}
