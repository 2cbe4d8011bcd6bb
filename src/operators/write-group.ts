/**
 * What travels down the write pipe, while its credit travels back.
 *
 * ```text
 *   groupCommit --group--> paceByDebt --> flushAtThreshold --> walAppend --> memtableInsert --> acknowledge
 *        ^                                                                                        |
 *        '----------------------------------- group.release() ------------------------------------'
 * ```
 *
 * RxJS has no demand signal, so the group carries its own: until it is released, no other one is sent, whatever the
 * operators between buffer or delay.
 */
export interface WriteGroup<W> {
  /** In the order in which they came; at least one. */
  readonly writes: readonly W[];
  /** The sum of their sizes. */
  readonly bytes: number;
  /** Gives the credit back: `groupCommit` may emit the next group. Idempotent. */
  release(): void;
}

/** @internal */
export class ReleasableGroup<W> implements WriteGroup<W> {
  readonly writes: readonly W[];
  readonly bytes: number;
  #onRelease: (() => void) | undefined;

  constructor(writes: readonly W[], bytes: number, onRelease: () => void) {
    this.writes = writes;
    this.bytes = bytes;
    this.#onRelease = onRelease;
  }

  release(): void {
    const onRelease = this.#onRelease;
    this.#onRelease = undefined; // before the call, which may come round to release() again
    onRelease?.();
  }
}
