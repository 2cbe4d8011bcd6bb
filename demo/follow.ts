/** Follows the changes live, as a projection or a replica would: counts them, and sees to it that none is missing. */
import type { Change } from 'alluvium';
import { type OperatorFunction, scan } from 'rxjs';

export interface Followed {
  /** Changes seen so far. */
  readonly changes: number;
  /** Sequence number of the last one. */
  readonly sequence: number;
  /** The first place where the numbers did not go on; `undefined` when they always did. */
  readonly gap: string | undefined;
}

/** Adds each change to what was followed so far, beginning after `sequence`. */
export const follow = (sequence: number): OperatorFunction<Change, Followed> =>
  scan(
    (followed: Followed, change: Change): Followed => ({
      changes: followed.changes + 1,
      sequence: change.sequence,
      gap:
        followed.gap ??
        (change.sequence === followed.sequence + 1 ? undefined : `after ${followed.sequence} came ${change.sequence}`),
    }),
    { changes: 0, sequence, gap: undefined },
  );
