/** How a write is to be done; of the store, and of its keyspaces. */
import type { Durability } from '../model.ts';

export interface WriteOptions {
  /** What the acknowledgement of this write promises. Default: the store's. */
  readonly durability?: Durability | undefined;
  /** Takes the write back if it is not in a group yet; later its outcome stands. Either way it fails with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Names this write, so that it can be repeated when its answer got lost: while the window lasts, a write with the same
   * key and the same content writes nothing and gets the first one's answer; one with other content is refused with
   * InvalidArgumentError. A write that failed leaves nothing behind. 1 to 512 bytes of UTF-8.
   *
   * The answer is stored by the same batch, and survives what the batch survives.
   */
  readonly idempotencyKey?: string | undefined;
  /** How long the answer is kept, in milliseconds by the clock on the wall: 1 to 30 days' worth. Default: 24 hours. */
  readonly windowMs?: number | undefined;
}
