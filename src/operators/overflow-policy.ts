/** What to do with a value that arrives while the buffer is full. */
export type OverflowPolicy = 'fail' | 'dropOldest' | 'dropNewest';

/** As {@link OverflowPolicy}, or let the value wait at the door until there is room. */
export type AdmissionPolicy = 'wait' | OverflowPolicy;
