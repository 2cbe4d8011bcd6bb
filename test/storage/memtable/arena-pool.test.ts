import { expect, it } from 'vitest';
import { type Entry, openInMemory } from '../../../src/index.ts';
import { ArenaPool } from '../../../src/storage/memtable/arena-pool.ts';
import { KIND_SET } from '../../../src/storage/read/internal-iterator.ts';

const CAPACITY = 64 * 1024;
const bytes = Uint8Array.from([1, 2, 3, 4]);

it('gives the memory of a retired memtable out again, as if it were new', () => {
  const pool = new ArenaPool(CAPACITY);
  const first = pool.create(CAPACITY);
  for (let sequence = 1; first.hasRoomFor(1, 4); sequence += 1) first.add(sequence, KIND_SET, bytes, 0, 2, 2, 4);
  pool.retire(first);

  const second = pool.create(CAPACITY);
  expect(second.buffer).toBe(first.buffer);
  expect(second.entryCount).toBe(0);
  expect(second.find(bytes, 0, 2, 1_000_000)).toBe(-1);
  second.add(1, KIND_SET, bytes, 1, 3, 0, 1);
  const iterator = second.iterator();
  void iterator.seekToFirst();
  expect([iterator.isValid, iterator.keyEnd - iterator.keyStart]).toEqual([true, 2]);
  void iterator.next();
  expect(iterator.isValid).toBe(false);
});

it('waits for the last reader, keeps one arena, and only of the usual size', () => {
  const pool = new ArenaPool(CAPACITY);
  const read = pool.create(CAPACITY);
  pool.hold(read);
  pool.hold(read);
  pool.retire(read);
  pool.release(read);
  const other = pool.create(CAPACITY);
  expect(other.buffer).not.toBe(read.buffer);
  pool.release(read);
  pool.retire(other); // one is kept already
  pool.retire(pool.create(2 * CAPACITY));
  expect(pool.create(CAPACITY).buffer).toBe(read.buffer);
  expect(pool.create(CAPACITY).buffer).not.toBe(other.buffer);
});

it('shows a scan what it began with, while memtables come and go', async () => {
  const store = await openInMemory({ memtableBytesMax: CAPACITY, durability: 'buffered' });
  const keyOf = (index: number): string => `key ${String(index).padStart(4, '0')}`;
  for (let index = 0; index < 700; index += 1) await store.set(keyOf(index), 'first');
  const scan = store.scan()[Symbol.asyncIterator]();
  const seen: Entry[] = [(await scan.next()).value as Entry];
  for (let round = 0; round < 4; round += 1) {
    for (let index = 0; index < 700; index += 1) await store.set(keyOf(index), `round ${round}`);
    await store.flush();
  }
  for (let next = await scan.next(); next.done !== true; next = await scan.next()) seen.push(next.value);
  expect(seen.map(({ key }) => new TextDecoder().decode(key))).toEqual(Array.from({ length: 700 }, (_, i) => keyOf(i)));
  expect(new Set(seen.map(({ value }) => new TextDecoder().decode(value)))).toEqual(new Set(['first']));
  await store.close();
});
