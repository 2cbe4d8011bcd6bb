/** Scans of a keyspace: the store's, with bounds, keys and values of the keyspace's types. */
import type { Entry } from '../model.ts';
import { checkSettings } from './check-settings.ts';
import type { KeyspaceForm, KeyspaceRange } from './keyspace-form.ts';
import { mapStream } from './map-stream.ts';
import { partOf, type ScanOptions } from './scan-options.ts';
import type { Snapshot } from './snapshot.ts';
import type { Stream } from './stream.ts';

/** Where a keyspace reads. */
export interface KeyspaceReadOptions {
  /** Read what this snapshot sees. Default: what the store holds. */
  readonly snapshot?: Snapshot | undefined;
}

/** What and how to scan; as for `store.scan`, with bounds of the keys' type. */
export interface KeyspaceScanOptions<Key> extends KeyspaceRange<Key>, KeyspaceReadOptions {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined;
  /** Most entries to give. Default: all. */
  readonly limit?: number | undefined;
  /** False: give values only. Default true. */
  readonly keys?: boolean | undefined;
  /** False: give keys only. Default true. */
  readonly values?: boolean | undefined;
  /** Ends the scan with an `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** A key and its value. */
export interface KeyspaceEntry<Key, Value> {
  readonly key: Key;
  readonly value: Value;
}

/** What is scanned: a store, or a snapshot of it. */
export interface Scannable {
  scan(options: ScanOptions & { readonly values: false }): Stream<Uint8Array>;
  scan(options: ScanOptions): Stream<Entry>;
}

/** @throws (at the call) InvalidArgumentError, OutOfRangeError, SchemaError for a bound */
export function scanKeyspace<Key, Value>(
  form: KeyspaceForm<Key, Value>,
  from: Scannable,
  options: KeyspaceScanOptions<Key>,
): Stream<Key> | Stream<Value> | Stream<KeyspaceEntry<Key, Value>> {
  checkSettings('options', options);
  const { reverse, limit, signal, keys, values } = options;
  const given = { ...form.rangeOf(options), reverse, limit, signal };
  const part = partOf({ keys, values });
  if (part === 'key') return mapStream(from.scan({ ...given, values: false }), (key) => form.decodeKey(key));
  // Values alone are scanned with their keys, too: the error about one that does not fit says where it is.
  const entries = from.scan(given);
  if (part === 'value') return mapStream(entries, ({ key, value }) => form.decodeValue(value, () => key));
  return mapStream(entries, ({ key, value }) => ({
    key: form.decodeKey(key),
    value: form.decodeValue(value, () => key),
  }));
}
