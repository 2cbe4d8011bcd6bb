/** Consumers of a keyspace: the store's, whose handlers get changes of the keyspace's types. */
import { InvalidArgumentError } from '../errors.ts';
import type { Change, KeyRange } from '../model.ts';
import { checkSettings } from './check-settings.ts';
import type { Consumer } from './consumer.ts';
import type { BatchConsumerOptions, ConsumerOptions } from './consumer-options.ts';
import { type KeyspaceChange, typedChange } from './keyspace-changes.ts';
import type { KeyspaceForm, KeyspaceRange } from './keyspace-form.ts';

/** As for `store.consumer`, with changes, and bounds, of the keyspace's types. */
export interface KeyspaceConsumerOptions<Key, Value>
  extends Omit<ConsumerOptions<KeyspaceChange<Key, Value>>, keyof KeyRange>, KeyspaceRange<Key> {}

/** As {@link KeyspaceConsumerOptions}, for a handler that takes batches. */
export interface KeyspaceBatchConsumerOptions<Key, Value>
  extends Omit<BatchConsumerOptions<KeyspaceChange<Key, Value>>, keyof KeyRange>, KeyspaceRange<Key> {}

/** Makes a consumer whose handler is given what `map` makes; what `map` throws is a failed attempt. */
export type MakeConsumer = <C>(
  name: string,
  options: ConsumerOptions<C> | BatchConsumerOptions<C>,
  map: (change: Change) => C,
) => Consumer<C>;

export function keyspaceConsumer<Key, Value>(
  form: KeyspaceForm<Key, Value>,
  make: MakeConsumer,
  name: string,
  options: KeyspaceConsumerOptions<Key, Value> | KeyspaceBatchConsumerOptions<Key, Value>,
): Consumer<KeyspaceChange<Key, Value>> {
  if ((options as unknown) === undefined) throw new InvalidArgumentError('options', 'an object', options);
  checkSettings('options', options);
  const map = (change: Change): KeyspaceChange<Key, Value> => typedChange(form, change);
  // Two calls, each of which the compiler can follow.
  if (options.batch === undefined) return make(name, form.storedOptions(options), map);
  return make(name, form.storedOptions(options), map);
}
