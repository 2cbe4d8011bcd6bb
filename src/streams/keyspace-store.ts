/** What a keyspace needs of the store below it. `Store` and `Snapshot` have it. */
import type { Bytes, Commit, KeyRange, VersionedValue, WriteOperation } from '../model.ts';
import type { ChangeEvent, ChangesOptions } from './change-stream.ts';
import type { MakeConsumer } from './keyspace-consumer.ts';
import type { Scannable } from './keyspace-scan.ts';
import type { Operation } from './operation.ts';
import type { Snapshot } from './snapshot.ts';
import type { Stream } from './stream.ts';
import type { WatchedValue } from './watch-stream.ts';
import type { WriteOptions } from './write-options.ts';

/** Reads: of the store, or of a snapshot. */
export interface KeyspaceReader extends Scannable {
  get(key: Bytes): Operation<Uint8Array | undefined>;
  getMany(keys: readonly Bytes[]): Operation<(Uint8Array | undefined)[]>;
  has(key: Bytes): Operation<boolean>;
  entry(key: Bytes): Operation<VersionedValue | undefined>;
}

interface WatchedRange extends KeyRange {
  readonly signal?: AbortSignal | undefined;
}

export interface KeyspaceStore extends KeyspaceReader {
  set(key: Bytes, value: Bytes, options?: WriteOptions): Operation<Commit>;
  delete(key: Bytes, options?: WriteOptions): Operation<Commit>;
  write(operations: readonly WriteOperation[], options?: WriteOptions): Operation<Commit>;
  changes(options: ChangesOptions): Stream<ChangeEvent>;
  watch(keyOrRange: Bytes | WatchedRange, options?: WatchedRange): Stream<WatchedValue>;
}

/** What a store gives its keyspaces. */
export interface KeyspaceParts {
  readonly store: KeyspaceStore;
  /** Whether the snapshot is of this store. */
  readonly isOwn: (snapshot: Snapshot) => boolean;
  readonly makeConsumer: MakeConsumer;
}
