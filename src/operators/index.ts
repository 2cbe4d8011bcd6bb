/**
 * The grammar: when, and how many. One operator each; bounded, synchronous inside, and with no knowledge of files.
 *
 * @packageDocumentation
 */
export { type BoundedConcatMapOptions, boundedConcatMap } from './bounded-concat-map.ts';
export { type BoundedMergeMapOptions, boundedMergeMap } from './bounded-merge-map.ts';
export { checkConditions, type CheckConditionsPort } from './check-conditions.ts';
export { type FailPort, flushAtThreshold, type FlushAtThresholdPort } from './flush-at-threshold.ts';
export { fromTaskEither } from './from-task-either.ts';
export { groupCommit, type GroupCommitOptions } from './group-commit.ts';
export type { Done } from './hold-until.ts';
export { memtableInsert, type MemtableInsertPort } from './memtable-insert.ts';
export { mergeCompact, type MergeCompactPort } from './merge-compact.ts';
export type { AdmissionPolicy, OverflowPolicy } from './overflow-policy.ts';
export { type DelayScheduler, paceByDebt, type PaceByDebtPort, type StallKind } from './pace-by-debt.ts';
export { walAppend, type WalAppendPort } from './wal-append.ts';
export type { WriteGroup } from './write-group.ts';
export type { WriteQueueOptions } from './write-queue.ts';
