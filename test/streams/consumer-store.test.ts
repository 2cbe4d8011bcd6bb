// Goal: consumers keep their promises on the engine itself: over its history, its conditions, its crashes and its close.
import { describe, expect, it } from 'vitest';
import { EMPTY } from 'rxjs';
import { type Change, MemoryFileSystem, open, openInMemory, type Store } from '../../src/index.ts';
import type { Transaction } from '../../src/streams/consumer-options.ts';
import { keyOf, toArray, valueOf } from '../support/consumer-runs.ts';
import { randomOf } from '../support/runs.ts';
import { inTime, until } from '../support/waiting.ts';

const DIRECTORY = '/db';
const EVENTS = 60;
const text = (value: Uint8Array | undefined): string => (value === undefined ? '' : Buffer.from(value).toString());

const addUp = async (change: Change, tx: Transaction): Promise<void> => {
  const sum = Number(text(await tx.get('sum')));
  tx.set('sum', String(sum + Number(valueOf(change))));
};

/** Handles what there is, until everything up to a change is settled, or the store ends. */
function work(store: Store, last = Infinity): Promise<void> {
  return new Promise((resolve, reject) => {
    const consumer = store.consumer('sum', { gte: 'event', lt: 'evenu', inFlightMax: 8, handle: addUp });
    const running = consumer.run().subscribe({
      next: (event) => {
        if (event.type !== 'acked' || event.sequence < last) return;
        running.unsubscribe();
        resolve();
      },
      error: reject,
      complete: resolve,
    });
  });
}

describe('on the engine', () => {
  it('effects, position and dead letters are there after a restart; own keys are seen by nobody', async () => {
    const fileSystem = new MemoryFileSystem();
    const first = await open(DIRECTORY, { fileSystem });
    for (let index = 0; index < 5; index += 1) await first.set(`event${index}`, String(index));
    const seen: string[] = [];
    const parked: string[] = [];
    const consumer = first.consumer('c', {
      gte: 'event',
      lt: 'evenu',
      attemptsMax: 1,
      handle: (change, tx) => {
        if (valueOf(change) === '3') throw new Error('not three');
        tx.set(`seen:${keyOf(change)}`, '');
        return EMPTY;
      },
    });
    let isComplete = false;
    consumer.run().subscribe({
      next: (event) => {
        if (event.type === 'parked') parked.push(event.id);
      },
      complete: () => (isComplete = true),
    });
    await until('the letter is there', () => parked.length > 0);
    await first.close();
    expect(isComplete).toBe(true);

    const second = await open(DIRECTORY, { fileSystem });
    expect((await toArray(second.scan())).map(({ key }) => text(key)).filter((key) => key.startsWith('!'))).toEqual([]);
    const again = second.consumer('c', {
      gte: 'event',
      lt: 'evenu',
      handle: (change) => void seen.push(keyOf(change)),
    });
    expect(await toArray(again.deadLetters())).toMatchObject([{ error: { message: 'not three' }, attempts: 1 }]);
    again.run().subscribe();
    await again.replay();
    await until('the letter is replayed', () => seen.length > 0);
    await second.set('event5', '5');
    await until('the new one is handled', () => seen.length > 1);
    expect(seen).toEqual(['event3', 'event5']);
    expect(await toArray(second.consumers())).toMatchObject([{ name: 'c', isRunning: true }]);
    await second.close();
  });

  it('a thousand events, one sum, many handlers at once', async () => {
    const store = await openInMemory();
    let expected = 0;
    let last = 0;
    for (let index = 0; index < 1_000; index += 1) {
      expected += index;
      ({ sequence: last } = await store.set(`event${index}`, String(index)));
    }
    await inTime('the sum', work(store, last));
    expect(text(await store.get('sum'))).toBe(String(expected));
    await store.close();
  });

  it.each(['synced', 'buffered'] as const)(
    'a power cut at any moment: the sum is that of the events before the position (%s)',
    async (durability) => {
      const random = randomOf(7);
      const images: MemoryFileSystem[] = [];
      const fileSystem = new MemoryFileSystem({
        onOperation: () => {
          if (random() < 0.2)
            for (const mode of ['all', 'synced'] as const) images.push(fileSystem.crashImage(mode, random));
        },
      });
      const store = await open(DIRECTORY, { fileSystem, durability });
      images.length = 0; // a database that is half made is another test's
      const working = work(store).catch(() => undefined);
      for (let index = 0; index < EVENTS; index += 1) await store.set(`event${index}`, String(index));
      await store.close();
      await working;
      expect(images.length).toBeGreaterThan(20);
      for (const image of images.slice(0, 60)) {
        const after = await open(DIRECTORY, { fileSystem: image });
        const sumOf = async (): Promise<number> => {
          const entries = await toArray(after.scan('event', 'evenu'));
          return entries.reduce((sum, { value }) => sum + Number(text(value)), 0);
        };
        const position = await after.consumer('sum', { handle: () => undefined }).position();
        if (position !== undefined && (await sumOf()) > 0) {
          const { sequence } = await after.set('event-last', '0'); // so that there is something to acknowledge
          await inTime('the rest', work(after, sequence));
          expect(text(await after.get('sum'))).toBe(String(await sumOf()));
        }
        await after.close();
      }
    },
  );
});
