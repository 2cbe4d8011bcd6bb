// Goal: a store that another process has is the same store. Method: random calls on one that is attached and on one that is
// open here, side by side; then each call by itself, with its errors.
import fc from 'fast-check';
import { firstValueFrom, take, toArray } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type Bytes, type ChangeEvent, type Cursor, open, type Store, type WriteOperation } from 'alluvium';
import { type AttachedStore, openOrAttach, type StoreFace } from 'alluvium/attach';
import { runsOf } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const makeDirectory = temporaryDirectories();
const opened: (AttachedStore | Store)[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

interface Pair {
  readonly owner: AttachedStore;
  readonly attached: AttachedStore;
}

async function pair(): Promise<Pair> {
  const directory = makeDirectory();
  const owner = await openOrAttach(directory);
  const attached = await openOrAttach(directory);
  opened.push(attached, owner);
  expect([owner.role, attached.role]).toEqual(['owner', 'attached']);
  return { owner, attached };
}

async function plain(): Promise<Store> {
  const store = await open(makeDirectory());
  opened.push(store);
  return store;
}

const collect = async <T>(values: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
};

const thrownBy = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

/** What the caller sees of an outcome. */
const outcome = async (work: () => PromiseLike<unknown>): Promise<unknown> => {
  try {
    return { value: await work() };
  } catch (error) {
    const { name, message, code } = error as Error & { readonly code?: string };
    return { name, message, code };
  }
};

const bytes = fc.oneof(fc.constantFrom('', 'a', 'ab', 'b', 'ü'), fc.uint8Array({ maxLength: 3 }));
const line = fc.oneof(
  fc.record({ type: fc.constant('set' as const), key: bytes, value: bytes }),
  fc.record({ type: fc.constant('delete' as const), key: bytes }),
  fc.record({ type: fc.constant('check' as const), key: bytes, sequence: fc.constant('absent' as const) }),
);
const range = fc.record({ gt: bytes, gte: bytes, lt: bytes, lte: bytes }, { requiredKeys: [] });
const scan = fc.record(
  { ...{ gt: bytes, gte: bytes, lt: bytes, lte: bytes }, reverse: fc.boolean(), limit: fc.nat(4) },
  { requiredKeys: [] },
);
type Call = (store: StoreFace) => PromiseLike<unknown>;
const call: fc.Arbitrary<Call> = fc.oneof(
  fc.tuple(bytes, bytes).map(
    ([key, value]): Call =>
      (store) =>
        store.set(key, value),
  ),
  bytes.map(
    (key): Call =>
      (store) =>
        store.delete(key),
  ),
  fc.array(line, { maxLength: 4 }).map(
    (lines): Call =>
      (store) =>
        store.write(lines),
  ),
  bytes.map(
    (key): Call =>
      (store) =>
        store.get(key),
  ),
  bytes.map(
    (key): Call =>
      (store) =>
        store.has(key),
  ),
  fc.array(bytes, { maxLength: 4 }).map(
    (keys): Call =>
      (store) =>
        store.getMany(keys),
  ),
  scan.map(
    (options): Call =>
      (store) =>
        collect(store.scan(options)),
  ),
  scan.map(
    (options): Call =>
      (store) =>
        collect(store.scan({ ...options, values: false })),
  ),
  scan.map(
    (options): Call =>
      (store) =>
        firstValueFrom(store.scan({ ...options, keys: false }).pipe(toArray())),
  ),
  range.map((options): Call => async (store) => {
    const view = store.snapshot();
    await store.set('later', '1');
    const seen = [await collect(view.scan(options)), await view.get('a'), await view.has('b')];
    view.close();
    await store.delete('later');
    return seen;
  }),
);

describe('a store that another process has', () => {
  it('answers as one that is open here', { timeout: 120_000 }, async () => {
    const { owner, attached } = await pair();
    const other = await plain();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(call, fc.boolean()), { maxLength: 12 }), async (calls) => {
        for (const [each, isByOwner] of calls) {
          const found = (await outcome(() => each(isByOwner ? owner : attached))) as { value?: { sequence?: number } };
          const expected = (await outcome(() => each(other))) as { value?: { sequence?: number } };
          // Writes from afar take two numbers more, for the record that makes them repeatable.
          if (found.value?.sequence !== undefined) delete found.value.sequence;
          if (expected.value?.sequence !== undefined) delete expected.value.sequence;
          if (JSON.stringify(found).includes('CONFLICT')) expect(expected).toMatchObject({ code: 'CONFLICT' });
          else expect(found).toEqual(expected);
        }
        expect(await collect(attached.scan())).toEqual(await collect(other.scan()));
      }),
      runsOf(40),
    );
  });

  it('refuses wrong arguments at the call, in the same words', async () => {
    const { attached } = await pair();
    const other = await plain();
    const wrong: ((store: StoreFace) => unknown)[] = [
      (store) => store.set(1 as unknown as Bytes, ''),
      (store) => store.set('', undefined as unknown as Bytes),
      (store) => store.set('k'.repeat(70_000), ''),
      (store) => store.delete('!_alluvium!x'),
      (store) => store.set('k', 'v', { durability: 'never' as 'synced' }),
      (store) => store.write([{ type: 'put' } as unknown as WriteOperation]),
      (store) => store.get(null as unknown as Bytes),
      (store) => store.getMany(['a', 2 as unknown as Bytes]),
      (store) => store.scan({ limit: -1 }),
      (store) => store.scan({ gt: {} as Bytes }),
      (store) => store.changes({ from: {} as 'now' }),
      (store) => store.changes({ bufferBytesMax: 0 }),
      (store) => store.watch({ gte: 5 as unknown as Bytes }),
      (store) => store.compact({ start: 5 as unknown as Bytes }),
      (store) => store.approximateSize('a', 5 as unknown as Bytes),
    ];
    for (const each of wrong) {
      const expected = thrownBy(() => each(other));
      expect(expected).toBeInstanceOf(Error);
      expect(thrownBy(() => each(attached))).toEqual(expected);
    }
  });

  it('gives errors of the same class, with their facts', async () => {
    const { attached } = await pair();
    const conflict = await attached
      .write([{ type: 'check', key: 'a', sequence: 7 }])
      .then(undefined, (e: unknown) => e);
    expect(conflict).toBeInstanceOf((await import('alluvium')).ConflictError);
    expect(conflict).toMatchObject({ code: 'CONFLICT', expected: 7, actual: 'absent', key: new Uint8Array([97]) });
    const future = attached.changes({ from: 1_000_000 }).pipe(take(1));
    await expect(firstValueFrom(future)).rejects.toMatchObject({ code: 'INVALID_CURSOR', fault: 'future' });
    expect(() => attached.getSync('a')).toThrow(expect.objectContaining({ code: 'NOT_ATTACHABLE' }) as Error);
  });

  it('carries long values', async () => {
    const { owner, attached } = await pair();
    const value = Buffer.alloc(70 * 1024 * 1024, 'abc');
    await attached.set('long', value, { durability: 'buffered' });
    expect(Buffer.compare((await owner.get('long')) ?? Buffer.alloc(0), value)).toBe(0);
    expect(Buffer.compare((await attached.get('long')) ?? Buffer.alloc(0), value)).toBe(0);
  });

  it('flushes, compacts, and tells sizes and figures', async () => {
    const { owner, attached } = await pair();
    for (let n = 0; n < 200; n += 1) await attached.set(`k${n}`, 'x'.repeat(1000), { durability: 'buffered' });
    await attached.flush();
    await attached.compact();
    expect(await attached.approximateSize('k', 'l')).toBe(await owner.approximateSize('k', 'l'));
    expect((await attached.stats()).flushes).toBeGreaterThan(0);
    expect((await attached.entry('k0'))?.sequence).toBe((await owner.entry('k0'))?.sequence);
  });

  it('gives the same changes, from any place', async () => {
    const { owner, attached } = await pair();
    for (let n = 0; n < 5; n += 1) await owner.set(`k${n}`, String(n));
    const { sequence } = await owner.delete('k1');
    for (const from of ['start', 'snapshot', 2] as const) {
      const until = async (store: AttachedStore): Promise<ChangeEvent[]> => {
        const seen: ChangeEvent[] = [];
        for await (const event of store.changes({ from })) {
          seen.push(event);
          if (event.type === 'snapshotEnd' || (event.type === 'delete' && event.sequence === sequence)) break;
        }
        return seen;
      };
      expect(await inTime('changes', until(attached))).toEqual(await until(owner));
    }
  });

  it('gives the same changes up to any place, and then ends', async () => {
    const { owner, attached } = await pair();
    for (let n = 0; n < 5; n += 1) await owner.set(`k${n}`, String(n));
    const [third] = await firstValueFrom(attached.changes({ from: 3 }).pipe(take(1), toArray()));
    for (const from of ['start', 'snapshot', 2, 'now'] as const) {
      for (const until of ['now', 0, 4, third?.cursor] as const) {
        for (const range of [{}, { gte: 'x' }]) {
          const options = { from, until, ...range, durability: 'synced' } as const;
          expect(await inTime('changes', collect(attached.changes(options)))).toEqual(
            await collect(owner.changes(options)),
          );
        }
      }
    }
    const options = { from: 'start', until: third?.cursor.replace(/\d+$/, '99') as Cursor } as const;
    const ends = await Promise.all([owner, attached].map((store) => outcome(() => collect(store.changes(options)))));
    expect(ends[1]).toEqual(ends[0]);
    expect(ends[0]).toMatchObject({ code: 'INVALID_CURSOR' });
    expect(thrownBy(() => attached.changes({ until: -1 }))).toEqual(thrownBy(() => owner.changes({ until: -1 })));
    const closed = collect(attached.changes({ from: 'start', until: 100 }));
    closed.catch(() => undefined);
    await attached.close();
    await expect(inTime('the end', closed)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('gives what is written after the call of a stream from now on', async () => {
    const { owner, attached } = await pair();
    const changes = attached.changes({ gte: 'k' })[Symbol.asyncIterator]();
    await attached.set('k', '1'); // its answer comes behind that of the stream
    await owner.set('a', '1');
    await owner.set('l', '2');
    const next = async (): Promise<unknown> =>
      ((await inTime('a change', changes.next())).value as ChangeEvent).sequence;
    const entries = [await attached.entry('k'), await attached.entry('l')];
    expect([await next(), await next()]).toEqual(entries.map((entry) => entry?.sequence));
    await changes.return?.();
  });

  it('can be watched, a key and a range', async () => {
    const { owner, attached } = await pair();
    await owner.set('a', '1');
    const key = attached.watch('b')[Symbol.asyncIterator]();
    const all = attached.watch({ gte: 'a' })[Symbol.asyncIterator]();
    expect((await key.next()).value).toMatchObject({ value: undefined, skipped: 0 });
    expect((await all.next()).value).toMatchObject({ key: new Uint8Array([97]) });
    await owner.set('b', '2');
    expect((await inTime('the key', key.next())).value).toMatchObject({ value: new Uint8Array([50]) });
    expect((await inTime('the range', all.next())).value).toMatchObject({ value: new Uint8Array([50]) });
    await owner.delete('b');
    expect((await inTime('the key', key.next())).value).toMatchObject({ value: undefined });
    await key.return?.();
    await all.return?.();
  });

  it('ends what a signal ends', async () => {
    const { attached } = await pair();
    const abort = new AbortController();
    const { signal } = abort;
    const waiting = attached.changes({ signal })[Symbol.asyncIterator]().next();
    const read = attached.scan({ signal });
    abort.abort(new Error('enough'));
    await expect(inTime('the end', waiting)).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    await expect(collect(read)).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(attached.set('a', '1', { signal })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await attached.has('a')).toBe(false);
  });

  it('is cold: each subscription and each await does it once', async () => {
    const { owner, attached } = await pair();
    const before = (await owner.stats()).writes;
    const write = attached.set('a', '1');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await owner.stats()).writes).toBe(before);
    await write;
    await firstValueFrom(write);
    expect((await owner.stats()).writes).toBe(before + 2);
  });
});
