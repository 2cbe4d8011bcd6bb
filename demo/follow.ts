/** Follows the committed changes live, as a projection or a replica would: counts them, and sees to it that none is missing. */
import type { CommittedBatch } from 'alluvium';
import { type OperatorFunction, scan } from 'rxjs';

export interface Followed {
  /** Operations seen so far. */
  readonly operations: number;
  /** Sequence number of the last one. */
  readonly sequence: number;
  /** The first place where the numbers did not go on; `undefined` when they always did. */
  readonly gap: string | undefined;
}

/** Adds each batch to what was followed so far, beginning after `sequence`. */
export const follow = (sequence: number): OperatorFunction<CommittedBatch, Followed> =>
  scan(
    (followed: Followed, batch: CommittedBatch): Followed => ({
      operations: followed.operations + batch.operations.length,
      sequence: batch.sequence,
      gap:
        followed.gap ??
        (batch.firstSequence === followed.sequence + 1
          ? undefined
          : `after ${followed.sequence} came ${batch.firstSequence}`),
    }),
    { operations: 0, sequence, gap: undefined },
  );
