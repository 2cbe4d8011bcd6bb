import { lastValueFrom, take, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { BufferOverflowError, type Change, openInMemory } from '../../src/index.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe('the live change stream', () => {
  it('gives every change in the order of the commits, batches whole, before the acknowledgement', async () => {
    const store = await openInMemory();
    const seen: Change[] = [];
    const done = lastValueFrom(store.changes({ from: 'now' }).pipe(take(4), toArray()));
    store.changes().subscribe((change) => seen.push(change));

    await store.set('a', '1');
    const { sequence } = await store.write([
      { type: 'set', key: 'b', value: '2' },
      { type: 'delete', key: 'a' },
    ]);
    await store.set('c', '');

    const changes = await done;
    expect(changes.map(({ type, key }) => `${type} ${text(key)}`)).toEqual(['set a', 'set b', 'delete a', 'set c']);
    expect(changes.map((change) => change.sequence)).toEqual([1, 2, 3, 4]);
    expect(changes.map(({ batchIndex, batchSize }) => [batchIndex, batchSize])).toEqual([
      [0, 1],
      [0, 2],
      [1, 2],
      [0, 1],
    ]);
    expect(changes[2]?.sequence).toBe(sequence);
    await store.close();
    expect(seen).toHaveLength(4);
  });

  it('fails a subscriber that falls too many changes behind, and nobody else', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    const slow = store.changes()[Symbol.asyncIterator]();
    const batch = Array.from({ length: 10_000 }, (_, index) => ({
      type: 'set' as const,
      key: `key ${index}`,
      value: 'v',
    }));
    for (let count = 0; count < 6; count += 1) await store.write(batch);
    expect((await slow.next()).value).toMatchObject({ sequence: 1 }); // it holds a page of 60,000 now
    for (let count = 0; count < 7; count += 1) await store.write(batch);

    let read = 1;
    await expect(
      (async () => {
        while ((await slow.next()).done !== true) read += 1;
      })(),
    ).rejects.toThrow(BufferOverflowError);
    expect(read).toBe(120_000); // all that fitted: nothing was left out before the error
    expect(text((await store.get('key 9999')) ?? new Uint8Array())).toBe('v');
    await store.close();
  });

  it('fails a subscriber that holds too many bytes', async () => {
    const store = await openInMemory({ durability: 'buffered' });
    const slow = store.changes()[Symbol.asyncIterator]();
    const value = new Uint8Array(20 * 1024 * 1024);
    for (let count = 0; count < 4; count += 1) await store.set(`large ${count}`, value);

    for (let count = 0; count < 3; count += 1) expect((await slow.next()).done).toBe(false);
    await expect(slow.next()).rejects.toMatchObject({ code: 'BUFFER_OVERFLOW', unit: 'bytes' });
    await store.close();
  });

  it('ends with AbortedError by its signal, and completes when the store closes', async () => {
    const store = await openInMemory();
    const aborting = new AbortController();
    const aborted = lastValueFrom(store.changes({ from: 'now', signal: aborting.signal }).pipe(toArray()));
    const completed = lastValueFrom(store.changes().pipe(toArray()));
    await store.set('a', '1');
    aborting.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    await store.close();
    expect(await completed).toHaveLength(1);
  });
});
