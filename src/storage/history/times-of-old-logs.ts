import { IoError } from '../../errors.ts';
import { pathOf } from '../file-names.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { indexName } from './history-names.ts';
import { SegmentIndexReader, type Tick } from './segment-index.ts';

/**
 * Commit times of logs of an earlier session, as far as their indexes tell; asked for in the order of the changes. Never
 * going back, whatever the power has taken of the indexes, and wherever the clock stands now.
 */
export class TimesOfOldLogs {
  readonly #fileSystem: FileSystem;
  readonly #path: string;
  readonly #nowMs: number;
  #index: SegmentIndexReader | undefined;
  #newestMs: number;

  /**
   * @param nowMs - the commit time of what no index tells of
   * @param leastMs - that of the newest change before
   */
  constructor(fileSystem: FileSystem, path: string, nowMs: number, leastMs: number) {
    this.#fileSystem = fileSystem;
    this.#path = path;
    this.#nowMs = nowMs;
    this.#newestMs = leastMs;
  }

  async begin(fileNumber: number): Promise<void> {
    await this.close();
    const file = await openIfThere(this.#fileSystem, pathOf(this.#path, indexName(fileNumber)));
    if (file !== undefined) this.#index = new SegmentIndexReader(file, indexName(fileNumber), fileNumber);
  }

  /** When the operation was committed; without a promise while memory tells. */
  at(sequence: number): number | Promise<number> {
    const tick = this.#index?.inForceAt(sequence);
    return tick instanceof Promise ? tick.then((known) => this.#timeOf(known)) : this.#timeOf(tick);
  }

  #timeOf(tick: Tick | undefined): number {
    this.#newestMs = Math.max(this.#newestMs, tick?.timeMs ?? this.#nowMs);
    return this.#newestMs;
  }

  async close(): Promise<void> {
    const index = this.#index;
    this.#index = undefined;
    await index?.close().catch(() => undefined); // nothing was written to it
  }
}

export async function openIfThere(fileSystem: FileSystem, path: string): Promise<ReadableFile | undefined> {
  try {
    return await fileSystem.openForRead(path);
  } catch (error) {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return undefined;
    throw error;
  }
}
