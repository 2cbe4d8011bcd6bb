/**
 * `alluvium/level`: an abstract-level 3 database over an Alluvium store. A program on `level` or `classic-level` changes one
 * import, and keeps its directory.
 *
 * @packageDocumentation
 */
export type {
  LevelBatchConsumerOptions,
  LevelChange,
  LevelChangeEvent,
  LevelChangesOptions,
  LevelConsumerOptions,
  LevelRange,
  LevelTransaction,
  SublevelOf,
  TransactionDelOptions,
  TransactionGetOptions,
  TransactionPutOptions,
  Typing,
  WholeChanges,
} from './change-types.ts';
export type { ChangeFeed } from './change-feed.ts';
export { Level, Level as ClassicLevel } from './level.ts';
export type { LevelChainedBatch as ChainedBatch } from './level-chained-batch.ts';
export { LevelError } from './level-error.ts';
export type { LevelIterator } from './level-iterator.ts';
export type { LevelSnapshot } from './level-snapshot.ts';
export type * from './options.ts';
