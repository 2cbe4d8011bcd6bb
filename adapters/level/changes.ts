/** The changes of the store as changes of a database or a sublevel: the same order, other keys and values. */
import type { Change, ChangeEvent, ChangesOptions } from 'alluvium';
import type { LevelChange, LevelChangeEvent, LevelChangesOptions } from './change-types.ts';
import type { TypedKeys } from './typed-keys.ts';

/** The options as the store takes them. */
export function storeChangesOptions<Key, Value>(
  types: TypedKeys<Key, Value>,
  {
    from,
    until,
    overflow,
    durability,
    bufferChangesMax,
    bufferBytesMax,
    signal,
    ...range
  }: LevelChangesOptions<Key, Value>,
): ChangesOptions {
  return { from, until, overflow, durability, bufferChangesMax, bufferBytesMax, signal, ...types.rangeOf(range) };
}

/** @throws LEVEL_DECODE_ERROR */
export function typedChange<Key, Value>(types: TypedKeys<Key, Value>, change: Change): LevelChange<Key, Value> {
  const key = types.decodeKey(change.key);
  if (change.type === 'delete') return { ...change, key };
  return { ...change, key, value: types.decodeValue(change.value) };
}

/** @throws LEVEL_DECODE_ERROR */
export function typedEvent<Key, Value>(types: TypedKeys<Key, Value>, event: ChangeEvent): LevelChangeEvent<Key, Value> {
  if (event.type === 'skipped' || event.type === 'snapshotEnd') return event;
  if (event.type !== 'entry') return typedChange(types, event);
  return { ...event, key: types.decodeKey(event.key), value: types.decodeValue(event.value) };
}
