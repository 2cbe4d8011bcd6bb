// Goal: a consumer of a store that another process has is a desk as good as at home, and its handler runs where the store is.
// Method: the same calls on both sides; then a take-over, with several that stand by.
import { afterEach, describe, expect, it } from 'vitest';
import { type BatchConsumerOptions, type ConsumerOptions, type DeadLetter, open } from 'alluvium';
import { type AttachedStore, openOrAttach } from 'alluvium/attach';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime, until } from '../support/waiting.ts';

const makeDirectory = temporaryDirectories();
const opened: AttachedStore[] = [];
afterEach(async () => {
  for (const store of opened.splice(0).reverse()) await store.close();
});

async function join_(directory: string): Promise<AttachedStore> {
  const store = await openOrAttach(directory);
  opened.push(store);
  return store;
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

const nothing = { handle: (): void => undefined };
const failing: ConsumerOptions = {
  attemptsMax: 1,
  handle: (change) => {
    if (change.type === 'set' && change.value[0] === 33) throw Object.assign(new Error('no'), { code: 'NO' });
  },
};

/** A consumer that has run in the owner, with two dead letters, and two changes behind it. */
async function settled(
  directory: string,
): Promise<{ readonly owner: AttachedStore; readonly attached: AttachedStore }> {
  const owner = await join_(directory);
  const attached = await join_(directory);
  for (const [key, value] of [['a', '1'], ['b', '!'], ['c', '!']] as const) await owner.set(key, value); // prettier-ignore
  const consumer = owner.consumer('c', failing);
  let deadLetters = 0;
  const run = consumer.run().subscribe((event) => {
    if (event.type === 'parked') deadLetters += 1;
  });
  await until('the dead letters', () => deadLetters === 2);
  run.unsubscribe();
  await consumer.pause(); // behind the end of the run
  await consumer.resume();
  await owner.set('d', '4');
  await owner.set('e', '55');
  return { owner, attached };
}

describe('the desk of a consumer, from afar', () => {
  it('tells what the one at home tells', async () => {
    const { owner, attached } = await settled(makeDirectory());
    const here = owner.consumer('c', nothing);
    const there = attached.consumer('c', nothing);
    expect(await there.position()).toEqual(await here.position());
    expect(await there.lag()).toMatchObject({ changes: 2, bytes: 5 });
    expect(await attached.consumer('c', { ...nothing, gte: 'e' }).lag()).toMatchObject({ changes: 1 });
    expect(await attached.consumer('none', nothing).position()).toBeUndefined();
    const letters = await collect(there.deadLetters());
    expect(letters).toEqual(await collect(here.deadLetters()));
    expect(letters.map(({ change }) => Buffer.from(change.key).toString())).toEqual(['b', 'c']);
    expect(letters[0]?.error).toEqual({ name: 'Error', message: 'no', code: 'NO' });
    expect(await there.deadLetter(letters[1]?.id ?? '')).toEqual(letters[1]);
    expect(await there.deadLetter('0'.repeat(14))).toBeUndefined();
    expect(await collect(attached.consumers())).toEqual(await collect(owner.consumers()));
  });

  it('pauses, resumes, seeks, replays, drops and deletes', async () => {
    const { owner, attached } = await settled(makeDirectory());
    const there = attached.consumer('c', nothing);
    const [first, second] = await collect(there.deadLetters());
    const before = await there.position();
    await there.pause();
    expect(await owner.consumer('c', nothing).position()).toMatchObject({ isPaused: true });
    await there.resume();
    expect(await there.position()).toEqual(before);
    await there.seek(1);
    expect(await there.position()).toMatchObject({ sequence: 0 });
    await there.seek('now');
    expect((await there.lag()).changes).toBe(0);
    expect(await there.replay(first?.id)).toBe(1);
    expect(await there.dropDeadLetter(second?.id)).toBe(1);
    expect(await there.dropDeadLetter(second?.id)).toBe(0);
    const handled: unknown[] = [];
    const run = owner
      .consumer('c', { handle: (change) => void handled.push(change.sequence) })
      .run()
      .subscribe();
    await until('the replay', () => handled.length === 1);
    expect(handled).toEqual([first?.change.sequence]);
    await expect(there.delete()).rejects.toMatchObject({ code: 'CONSUMER', consumer: 'c' }); // it runs
    run.unsubscribe();
    await until('its end', () => handled.length === 1);
    await inTime(
      'the delete',
      (async () => {
        while (
          await there.delete().then(
            () => false,
            () => true,
          )
        );
      })(),
    );
    expect(await collect(attached.consumers())).toEqual([]);
  });

  it('refuses wrong arguments at the call, in the same words', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    const wrong: ((store: AttachedStore) => unknown)[] = [
      (store) => store.consumer('a b', nothing),
      (store) => store.consumer('c', { ...nothing, inFlightMax: 0 }),
      (store) => store.consumer('c', {} as ConsumerOptions),
      (store) => store.consumer('c', { ...nothing, batch: { changesMax: 0 } } as BatchConsumerOptions),
      (store) => store.consumer('c', nothing).seek('there' as 'now'),
      (store) => store.consumer('c', nothing).deadLetter('x'),
      (store) => store.consumer('c', nothing).replay(7 as unknown as string),
      (store) => store.consumer('c', nothing).dropDeadLetter('x'),
      (store) => store.consumer('c', nothing).lag(7 as never),
    ];
    const thrownBy = (work: () => unknown): unknown => {
      try {
        return work();
      } catch (error) {
        return error;
      }
    };
    for (const each of wrong) {
      const expected = thrownBy(() => each(owner));
      expect(expected).toBeInstanceOf(Error);
      expect(thrownBy(() => each(attached))).toEqual(expected);
    }
  });

  it('goes on over a take-over, but for a list in the midst', async () => {
    const { owner, attached } = await settled(makeDirectory());
    const there = attached.consumer('c', nothing);
    const before = await there.position();
    const letters = there.deadLetters()[Symbol.asyncIterator]();
    await letters.next();
    await owner.close();
    const rest = async (): Promise<DeadLetter[]> => collect({ [Symbol.asyncIterator]: () => letters });
    await expect(rest()).rejects.toMatchObject({ code: 'OWNER_LOST' });
    expect(await there.position()).toMatchObject({ sequence: before?.sequence });
    expect(attached.role).toBe('owner');
    expect(await collect(there.deadLetters())).toHaveLength(2);
  });
});

describe('running a consumer', () => {
  it('is refused where another process has the store, with what to do', async () => {
    const directory = makeDirectory();
    await join_(directory);
    const attached = await join_(directory);
    const errors: unknown[] = [];
    attached
      .consumer('c', nothing)
      .run()
      .subscribe({ error: (error: unknown) => void errors.push(error) });
    expect(errors).toEqual([expect.objectContaining({ code: 'NOT_ATTACHABLE' })]);
    expect(String(errors[0])).toContain('whenOwner');
  });

  it(
    'is done by whoever has the store, of those who stand by: each change once, in order',
    { timeout: 60_000 },
    async () => {
      const directory = makeDirectory();
      const stores = [await join_(directory), await join_(directory), await join_(directory)];
      const handled: string[] = [];
      const ends: number[] = [];
      stores.forEach((store, index) => {
        store
          .consumer('c', {
            gte: 'k',
            lt: 'l',
            partitionBy: () => 0,
            handle: (change, transaction) => {
              const key = Buffer.from(change.key).toString();
              handled.push(`${index}${key}`);
              transaction.set(`done/${key}`, String(index));
            },
          })
          .run({ whenOwner: true })
          .subscribe({ complete: () => void ends.push(index) });
      });
      const total = 9;
      for (let n = 0; n < total; n += 1) {
        await stores[2]?.set(`k${n}`, '1');
        if (n % 3 !== 2) continue;
        await until('the work', () => handled.length > n);
        const owner = stores.find(({ role }) => role === 'owner');
        if (n < total - 1 && owner !== stores[2]) await owner?.close();
      }
      await until('all', () => handled.length >= total);
      expect(handled.map((each) => each.slice(1))).toEqual(Array.from({ length: total }, (_, n) => `k${n}`));
      const workers = new Set(handled.map((each) => each.charAt(0)));
      expect(workers.size).toBeGreaterThan(1);
      for (const store of stores) await store.close();
      expect(ends.toSorted()).toEqual([0, 1, 2]);
      const store = await open(directory);
      expect(await collect(store.scan({ gte: 'done/', lt: 'done0' }))).toHaveLength(total);
      await store.close();
    },
  );

  it('ends by its signal while it stands by, and leaves nothing', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    const abort = new AbortController();
    const errors: unknown[] = [];
    const consumer = attached.consumer('c', nothing);
    const observer = { error: (error: unknown): void => void errors.push(error) };
    consumer.run({ whenOwner: true, signal: abort.signal }).subscribe(observer);
    abort.abort();
    consumer.run({ whenOwner: true, signal: abort.signal }).subscribe(observer);
    expect(errors).toEqual([1, 2].map(() => expect.objectContaining({ code: 'ABORTED' }) as Error));
    consumer.run({ whenOwner: true }).subscribe(observer).unsubscribe();
    await owner.close();
    expect(await consumer.position()).toBeUndefined(); // nobody began to run it
    await attached.close();
    consumer.run({ whenOwner: true }).subscribe(observer);
    expect(errors.at(-1)).toMatchObject({ code: 'CLOSED' });
  });
});
