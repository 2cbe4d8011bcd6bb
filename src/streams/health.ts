/** Whether the store takes writes now, and if not, why. One place, asked before every write and told by every failure. */
import { ClosedError, ReadOnlyError } from '../errors.ts';

/** Work that makes room for writes. */
export type BackgroundWork = 'flush' | 'compaction';

export class Health {
  readonly #isOpenedReadOnly: boolean;
  #isClosed = false;
  #logFailure: unknown;
  readonly #backgroundFailures = new Map<BackgroundWork, unknown>();

  constructor(isOpenedReadOnly: boolean) {
    this.#isOpenedReadOnly = isOpenedReadOnly;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isLogBroken(): boolean {
    return this.#logFailure !== undefined;
  }

  close(): void {
    this.#isClosed = true;
  }

  logFailed(error: unknown): void {
    this.#logFailure = error;
  }

  logMended(): void {
    this.#logFailure = undefined;
  }

  backgroundFailed(work: BackgroundWork, error: unknown): void {
    this.#backgroundFailures.set(work, error);
  }

  backgroundSucceeded(work: BackgroundWork): void {
    this.#backgroundFailures.delete(work);
  }

  /** What a read is refused with, if it is. */
  refusalOfRead(): Error | undefined {
    return this.#isClosed ? new ClosedError('store') : undefined;
  }

  /**
   * What a write is refused with, if it is.
   *
   * @param waitsFor - what it would have to wait for, if anything: behind work that fails nobody waits
   */
  refusalOfWrite(waitsFor?: BackgroundWork): Error | undefined {
    if (this.#isClosed) return new ClosedError('store');
    if (this.#isOpenedReadOnly) return new ReadOnlyError('it was opened with readOnly. Open it without to write.');
    if (this.#logFailure !== undefined) {
      return new ReadOnlyError('the log failed, and is being replaced. Writes go on when that has succeeded.', {
        cause: this.#logFailure,
      });
    }
    if (waitsFor === undefined || !this.#backgroundFailures.has(waitsFor)) return undefined;
    const cause = this.#backgroundFailures.get(waitsFor);
    return new ReadOnlyError(`${waitsFor} fails, and there is no room left without it. See the cause.`, { cause });
  }
}
