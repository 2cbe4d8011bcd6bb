import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Block } from '../../../src/storage/table/block.ts';
import { BlockCache, type BlockOwner } from '../../../src/storage/table/block-cache.ts';

const OVERHEAD_BYTES = 256;

function owner(count: number): BlockOwner {
  return { slots: new Array<undefined>(count).fill(undefined), ghosts: new Uint32Array(count) };
}

/** An empty block whose buffer takes `bytes` of memory. */
function block(bytes: number): Block {
  return new Block(new Uint8Array(bytes).subarray(0, 4), 'x.ldb', 0);
}

/** One access as a table does it; returns whether it was a hit. */
function access(cache: BlockCache, table: BlockOwner, index: number, bytes = 1000): boolean {
  const cached = table.slots[index];
  if (cached !== undefined) cache.hit(cached);
  else {
    cache.miss();
    cache.insert(table, index, block(bytes));
  }
  return cached !== undefined;
}

it('never holds more than its capacity, and counts exactly what the slots hold', () => {
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.tuple(fc.nat(2), fc.nat(19), fc.constantFrom(8, 40, 400, 4000)) },
    { weight: 1, arbitrary: fc.nat(2) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.constantFrom(0, 300, 3000, 10_000), (steps, capacity) => {
      const cache = new BlockCache(capacity);
      const owners = [owner(20), owner(20), owner(20)];
      for (const one of steps) {
        if (typeof one === 'number') cache.removeAll(owners[one] as BlockOwner);
        else access(cache, owners[one[0]] as BlockOwner, one[1], one[2]);
        const held = owners.flatMap(({ slots }) => slots).filter((slot) => slot !== undefined);
        const bytes = held.reduce((sum, slot) => sum + slot.block.bytes.buffer.byteLength + OVERHEAD_BYTES, 0);
        expect(cache.metrics).toMatchObject({ bytes, blocks: held.length });
        expect(bytes).toBeLessThanOrEqual(capacity);
      }
      const { hits, misses } = cache.metrics;
      expect(hits + misses).toBe(steps.filter((one) => typeof one !== 'number').length);
    }),
  );
});

it('keeps one block per slot', () => {
  const cache = new BlockCache(10_000);
  const table = owner(1);
  const first = block(100);
  cache.insert(table, 0, first);
  cache.insert(table, 0, block(100));
  expect(table.slots[0]?.block).toBe(first);
  expect(cache.metrics.blocks).toBe(1);
});

it('keeps what point reads use while a scan goes by', () => {
  const cache = new BlockCache(100 * (1000 + OVERHEAD_BYTES));
  const hot = owner(50);
  const cold = owner(10_000);
  for (let round = 0; round < 4; round += 1) for (let index = 0; index < 50; index += 1) access(cache, hot, index);
  for (let index = 0; index < 10_000; index += 1) access(cache, cold, index);
  let hits = 0;
  for (let index = 0; index < 50; index += 1) if (access(cache, hot, index)) hits += 1;
  expect(hits).toBeGreaterThan(45);
});

it('remembers blocks that left and are soon missed again', () => {
  const cache = new BlockCache(20 * (1000 + OVERHEAD_BYTES));
  const hot = owner(10);
  const cold = owner(1000);
  // Ten blocks in the main queue, so that it remembers ten.
  for (let round = 0; round < 3; round += 1) for (let index = 0; index < 10; index += 1) access(cache, hot, index);
  for (let index = 0; index < 40; index += 1) access(cache, cold, index);
  const evicted = cold.slots.findLastIndex((slot, index) => slot === undefined && index < 40);
  expect(evicted).toBeGreaterThan(0);
  access(cache, cold, evicted); // comes back into the main queue
  for (let index = 100; index < 130; index += 1) access(cache, cold, index);
  expect(cold.slots[evicted]).toBeDefined();
});

it('keeps nothing at capacity 0', () => {
  const cache = new BlockCache(0);
  const table = owner(3);
  expect(access(cache, table, 1)).toBe(false);
  expect(access(cache, table, 1)).toBe(false);
  expect(cache.metrics).toEqual({ hits: 0, misses: 2, bytes: 0, blocks: 0, evictions: 0 });
});

it('counts evictions', () => {
  const cache = new BlockCache(2 * (1000 + OVERHEAD_BYTES));
  const table = owner(5);
  for (let index = 0; index < 5; index += 1) access(cache, table, index);
  expect(cache.metrics.evictions).toBe(3);
  cache.removeAll(table);
  expect(cache.metrics).toMatchObject({ bytes: 0, blocks: 0, evictions: 3 });
});
