// Goal: what a desk by name tells and does is right without the consumer's handler: lag within the keys that the consumer
// wants, also after a restart and a seek; no consumer comes to be by a name; a store that is open for reading only tells all.
import { firstValueFrom, filter } from 'rxjs';
import { describe, expect, it } from 'vitest';
import {
  ConsumerError,
  InvalidArgumentError,
  MemoryFileSystem,
  open,
  openInMemory,
  ReadOnlyError,
  type Store,
} from '../../src/index.ts';
import { textOf } from '../support/sorted-model.ts';

const RANGE = { gte: 'a', lt: 'b' } as const;

/** Six changes, of which four are in the range. */
async function write(store: Store): Promise<void> {
  for (const key of ['a1', 'z1', 'a2', 'a3', 'z2', 'a4']) await store.set(key, key);
}

/** Runs consumer `c` until it has handled so many changes. */
async function runUntil(store: Store, count: number, handle: (key: string) => void = () => undefined): Promise<void> {
  let handled = 0;
  const consumer = store.consumer('c', {
    ...RANGE,
    attemptsMax: 1,
    handle: (change) => handle(textOf(change.key)),
  });
  await firstValueFrom(
    consumer.run().pipe(
      filter((event) => {
        handled += event.type === 'acked' ? event.changes : event.type === 'parked' ? 1 : 0;
        return handled >= count;
      }),
    ),
  );
  await store.desk('c').position(); // behind the end of the run
}

describe('a desk by name', () => {
  it('counts what the consumer wants, also after a restart and a seek', async () => {
    const fileSystem = new MemoryFileSystem();
    let store = await open('/db', { fileSystem });
    await write(store);
    await runUntil(store, 4);
    await store.close();
    store = await open('/db', { fileSystem });
    const desk = store.desk('c');
    expect(await desk.lag()).toMatchObject({ changes: 0 });
    await write(store);
    expect(await desk.lag()).toMatchObject({ changes: 4, bytes: 16 });
    await desk.seek('start');
    expect(await desk.lag()).toMatchObject({ changes: 8 });
    await desk.seek('now');
    expect(await desk.lag()).toMatchObject({ changes: 0 });
    await desk.pause();
    expect((await desk.position())?.isPaused).toBe(true);
    await write(store);
    expect(await desk.lag()).toMatchObject({ changes: 4 });
    await desk.resume();
    await store.close();
  });

  it('counts everything of a record that says no range, until the consumer has run again', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { fileSystem });
    await write(store);
    await store.consumer('c', { handle: () => undefined }).pause();
    await store.consumer('c', { handle: () => undefined }).resume();
    expect(await store.desk('c').lag()).toMatchObject({ changes: 6 });
    await runUntil(store, 1);
    await store.desk('c').seek('start');
    expect(await store.desk('c').lag()).toMatchObject({ changes: 4 });
    await store.close();
  });

  it('makes no consumer of a name that never ran, but by a seek', async () => {
    const store = await openInMemory();
    await write(store);
    const desk = store.desk('nobody');
    expect(desk.name).toBe('nobody');
    expect(await desk.position()).toBeUndefined();
    expect(await desk.lag()).toMatchObject({ changes: 6 });
    await expect(desk.pause().then()).rejects.toThrow(ConsumerError);
    await expect(desk.resume().then()).rejects.toThrow(ConsumerError);
    const infos = [];
    for await (const info of store.consumers()) infos.push(info);
    expect(infos).toEqual([]);
    await desk.seek(4);
    expect(await desk.lag()).toMatchObject({ changes: 3 });
    expect(() => store.desk('a/b')).toThrow(InvalidArgumentError);
    await store.close();
  });

  it('has the dead letters of one that runs', async () => {
    const store = await openInMemory();
    await write(store);
    const refuse = (key: string): void => {
      if (key === 'a2') throw new Error('not this one');
    };
    await runUntil(store, 4, refuse);
    const desk = store.desk('c');
    const letters = [];
    for await (const letter of desk.deadLetters()) letters.push(letter);
    expect(letters.map(({ change }) => textOf(change.key))).toEqual(['a2']);
    expect(await desk.dropDeadLetter()).toBe(1);
    await desk.delete();
    expect(await desk.position()).toBeUndefined();
    await store.close();
  });
});

describe('a store that is open for reading only', () => {
  it('tells of its consumers and their dead letters, and changes nothing', async () => {
    const fileSystem = new MemoryFileSystem();
    const writing = await open('/db', { fileSystem });
    await write(writing);
    await runUntil(writing, 4, () => {
      throw new Error('none');
    });
    await writing.close();
    const store = await open('/db', { fileSystem, readOnly: true });
    const infos = [];
    for await (const { name, position, isRunning } of store.consumers()) infos.push([name, position, isRunning]);
    const desk = store.desk('c');
    expect(infos).toEqual([['c', await desk.position(), false]]);
    expect((await desk.position())?.sequence).toBeGreaterThan(5);
    const ids: string[] = [];
    for await (const { id } of desk.deadLetters()) ids.push(id);
    expect(ids).toHaveLength(4);
    expect((await desk.deadLetter(ids[1] ?? ''))?.change).toMatchObject({ sequence: 3 });
    const refused = [desk.pause(), desk.seek('start'), desk.replay(), desk.dropDeadLetter(), desk.delete()];
    for (const call of refused) await expect(call.then()).rejects.toThrow(ReadOnlyError);
    expect(() => store.consumer('c', { handle: () => undefined })).toThrow(ReadOnlyError);
    await store.close();
  });
});
