/** Changes and watched values of a keyspace: the store's, with keys and values of the keyspace's types. */
import type { Change, DeleteChange, KeyRange, SequenceNumber, SetChange } from '../model.ts';
import type { SkippedChanges } from './change-hub.ts';
import type { ChangeEvent, ChangesOptions, SnapshotEnd, SnapshotEntry } from './change-stream.ts';
import type { KeyspaceForm, KeyspaceRange } from './keyspace-form.ts';
import { mapStream } from './map-stream.ts';
import type { Stream } from './stream.ts';
import type { WatchedValue } from './watch-stream.ts';

/** As for `store.changes`, with bounds of the keys' type. */
export interface KeyspaceChangesOptions<Key> extends KeyspaceRange<Key>, Omit<ChangesOptions, keyof KeyRange> {}

/** A key of the keyspace has a new value. */
export interface KeyspaceSetChange<Key, Value> extends Omit<SetChange, 'key' | 'value'> {
  readonly key: Key;
  readonly value: Value;
}

/** A key of the keyspace was deleted. */
export interface KeyspaceDeleteChange<Key> extends Omit<DeleteChange, 'key'> {
  readonly key: Key;
}

/** A change of a keyspace. `batchSize` counts all operations of its batch, those of other keyspaces too. */
export type KeyspaceChange<Key, Value> = KeyspaceSetChange<Key, Value> | KeyspaceDeleteChange<Key>;

/** A key and its value, as of the snapshot that a stream `from: 'snapshot'` begins with. */
export interface KeyspaceSnapshotEntry<Key, Value> extends Omit<SnapshotEntry, 'key' | 'value'> {
  readonly key: Key;
  readonly value: Value;
}

/** What a change stream of a keyspace can give. */
export type KeyspaceChangeEvent<Key, Value> =
  KeyspaceChange<Key, Value> | SkippedChanges | KeyspaceSnapshotEntry<Key, Value> | SnapshotEnd;

/** What a key has now. */
export interface KeyspaceWatchedValue<Key, Value> {
  readonly key: Key;
  /** `undefined`: it has none. */
  readonly value: Value | undefined;
  /** As in the store's `WatchedValue`. */
  readonly sequence: SequenceNumber;
  /** Changes of the key between the value before and this one, which were not shown. */
  readonly skipped: number;
}

/** A range of keys to watch. */
export interface KeyspaceWatchOptions<Key> extends KeyspaceRange<Key> {
  readonly signal?: AbortSignal | undefined;
}

/** @throws SchemaError */
export function typedChange<Key, Value>(form: KeyspaceForm<Key, Value>, change: Change): KeyspaceChange<Key, Value> {
  const key = form.decodeKey(change.key);
  if (change.type === 'delete') return { ...change, key };
  return { ...change, key, value: form.decodeValue(change.value, () => change.key) };
}

function typedEvent<Key, Value>(form: KeyspaceForm<Key, Value>, event: ChangeEvent): KeyspaceChangeEvent<Key, Value> {
  if (event.type === 'skipped' || event.type === 'snapshotEnd') return event;
  if (event.type !== 'entry') return typedChange(form, event);
  return { ...event, key: form.decodeKey(event.key), value: form.decodeValue(event.value, () => event.key) };
}

/** Changes of one batch, so that none of it is given before an error about another of it. */
function isOneBatch(a: ChangeEvent, b: ChangeEvent): boolean {
  if (!('batchIndex' in a) || !('batchIndex' in b) || a.batchSize === 0) return false;
  return a.sequence - a.batchIndex === b.sequence - b.batchIndex;
}

export const typedEvents = <Key, Value>(
  form: KeyspaceForm<Key, Value>,
  events: Stream<ChangeEvent>,
): Stream<KeyspaceChangeEvent<Key, Value>> =>
  mapStream(events, (event) => typedEvent(form, event), { isTogether: isOneBatch });

export const typedValues = <Key, Value>(
  form: KeyspaceForm<Key, Value>,
  values: Stream<WatchedValue>,
): Stream<KeyspaceWatchedValue<Key, Value>> =>
  mapStream(values, ({ key, value, sequence, skipped }) => ({
    key: form.decodeKey(key),
    value: value === undefined ? undefined : form.decodeValue(value, () => key),
    sequence,
    skipped,
  }));
