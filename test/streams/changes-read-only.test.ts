// Goal: a store that is open for reading only has its history: the changes, lags and cursors that a store has which is open
// for writing, after a close and after every crash; and no file is changed for it. Method: random writes of small batches
// into tiny memtables, an image of what a crash leaves, and both kinds of opening of that image, side by side.
import { describe, expect, it } from 'vitest';
import {
  type Change,
  type ChangesFrom,
  type Cursor,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type Store,
} from '../../src/index.ts';
import { ending, linesOf } from '../support/change-lines.ts';
import { TINY } from '../support/option-sets.ts';
import { randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { inTime, until } from '../support/waiting.ts';

const DIRECTORY = '/db';
const CHANGING = ['create', 'append', 'sync', 'rename', 'link', 'remove', 'makeDirectory', 'syncDirectory', 'lock'];

const all = async (
  store: Store,
  from: ChangesFrom,
): Promise<{ readonly values: Change[]; readonly error: unknown }> => {
  const events = await inTime('the end', ending(store.changes({ from: from as 'start', until: 'now' })));
  return { ...events, values: events.values };
};

/** Two images of the same moment; the first tells of every call that changes something. */
function imagesOf(
  memory: MemoryFileSystem,
  seed: number,
): { image: MemoryFileSystem; same: MemoryFileSystem; calls: string[] } {
  const calls: string[] = [];
  const mode = (['all', 'synced', 'zeros', 'prefix', 'sectors'] as const)[seed % 5] ?? 'all';
  const onOperation = ({ name }: { readonly name: string }): undefined => {
    if (CHANGING.includes(name)) calls.push(name);
    return undefined;
  };
  const image = memory.crashImage(mode, randomOf(seed), { onOperation });
  return { image, same: memory.crashImage(mode, randomOf(seed)), calls };
}

async function write(store: Store, random: () => number): Promise<void> {
  for (let batches = Math.floor(random() * 40); batches > 0; batches -= 1) {
    const lines = Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
      const key = `k${Math.floor(random() * 10)}`;
      if (random() < 0.3) return { type: 'delete', key } as const;
      return { type: 'set', key, value: 'v'.repeat(Math.floor(random() * 60)) } as const;
    });
    await store.write(lines, { durability: random() < 0.3 ? 'synced' : 'buffered' });
    if (random() < 0.05) await store.flush();
  }
}

/** Settles some, and leaves some. They have to be there: a consumer gets only what is durable, and has run before, perhaps. */
async function consume(store: Store, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await store.set('consumed', `${index}`);
  let settled = 0;
  const run = store
    .consumer('c', { from: 'start', inFlightMax: 1, handle: () => undefined })
    .run()
    .subscribe((event) => (settled += event.type === 'acked' ? event.changes : 0));
  await until('some of it', () => settled >= count);
  run.unsubscribe();
}

describe('history of a store that is open for reading only', () => {
  it('is that of one that is open for writing, after any end, and changes no file', { timeout: 60_000 }, async () => {
    const seed = seedOfThisRun();
    for (let run = 0; run < runs(25); run += 1) {
      const random = randomOf(seed + run);
      const told = `ALLUVIUM_SEED=${seed + run}`;
      const options: OpenOptions = { ...TINY, memtableBytesMax: 1024, syncIntervalMs: 60_000 };
      let memory = new MemoryFileSystem();
      for (let session = Math.floor(random() * 3); session >= 0; session -= 1) {
        const store = await open(DIRECTORY, { ...options, fileSystem: memory });
        await write(store, random);
        if (random() < 0.5 && store.stats().sequence > 5) await consume(store, 3);
        if (random() < 0.5 && session > 0) memory = memory.crashImage('all', random);
        if (session === 0 && random() < 0.7) {
          await check(memory, options, seed + run, told);
          await store.close();
        } else {
          await store.close();
          if (session === 0) await check(memory, options, 0, told);
        }
      }
    }
  });

  async function check(memory: MemoryFileSystem, options: OpenOptions, seed: number, told: string): Promise<void> {
    const { image, same, calls } = imagesOf(memory, seed);
    const reading = await open(DIRECTORY, { ...options, fileSystem: image, readOnly: true });
    const writing = await open(DIRECTORY, { ...options, fileSystem: same });
    const given = await all(reading, 'start');
    const due = await all(writing, 'start');
    expect(given.error, told).toEqual(due.error);
    expect(linesOf(given.values), told).toEqual(linesOf(due.values));
    const { length } = given.values;
    for (const index of [0, length >> 1, length - 1]) {
      const [own, other] = [given.values[index], due.values[index]];
      if (own === undefined || other === undefined) continue;
      const rest = linesOf(due.values.slice(index + 1));
      // A cursor of either leads on in both.
      for (const cursor of [own.cursor, other.cursor]) {
        for (const store of [reading, writing]) expect(linesOf((await all(store, cursor)).values), told).toEqual(rest);
      }
      const after = due.values.slice(index);
      expect(linesOf((await all(reading, own.sequence)).values), told).toEqual(linesOf(after));
    }
    const rows = [reading, writing].map((store) => ending(store.changes({ from: 'snapshot', until: 'now' })));
    const [mine, theirs] = await Promise.all(rows);
    expect(linesOf(mine?.values.slice(0, -1) ?? []), told).toEqual(linesOf(theirs?.values.slice(0, -1) ?? []));
    const lags = await Promise.all([reading, writing].map(async (store) => store.desk('c').lag()));
    expect({ ...lags[0], ageMs: 0 }, told).toEqual({ ...lags[1], ageMs: 0 });
    await reading.close();
    await writing.close();
    expect(calls, told).toEqual([]);
  }

  it('gives cursors that lead on, whether the writer beside it goes on, closes or crashes', async () => {
    const memory = new MemoryFileSystem();
    const writer = await open(DIRECTORY, { fileSystem: memory });
    await writer.set('a', '1');
    const image = memory.crashImage('all', () => 0.5); // a reader beside it sees the same
    const reader = await open(DIRECTORY, { fileSystem: image, readOnly: true });
    const cursor: Cursor | undefined = (await all(reader, 'start')).values[0]?.cursor;
    expect(cursor).toBeDefined();
    await reader.close();
    await writer.set('b', '2');
    const rest = async (store: Store): Promise<string[]> =>
      linesOf((await all(store, cursor ?? 'now')).values).map((line) => line.replace(/^\d+ /, ''));
    expect(await rest(writer)).toEqual(['set b=2']);
    const crashed = await open(DIRECTORY, { fileSystem: memory.crashImage('all', () => 0.5) });
    expect(await rest(crashed)).toEqual(['set b=2']);
    await crashed.close();
    await writer.close();
    const closed = await open(DIRECTORY, { fileSystem: memory });
    expect(await rest(closed)).toEqual(['set b=2']);
    await closed.close();
  });

  it('waits for no live end: a stream without an end completes when the store closes, one with an end that never comes fails', async () => {
    const memory = new MemoryFileSystem();
    const writer = await open(DIRECTORY, { fileSystem: memory });
    await writer.set('a', '1');
    await writer.close();
    const reader = await open(DIRECTORY, { fileSystem: memory, readOnly: true });
    const live = ending(reader.changes({ from: 'start' }));
    const future = ending(reader.changes({ from: 'start', until: 10 }));
    const now = await inTime('now', ending(reader.changes({ until: 'now' })));
    expect(now).toEqual({ values: [], error: undefined });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await reader.close();
    expect(linesOf((await inTime('live', live)).values)).toEqual(['1 set a=1']);
    expect((await inTime('future', future)).error).toMatchObject({ code: 'CLOSED' });
  });

  it('is told as damaged to whoever asks for it, and to nobody else', async () => {
    const memory = new MemoryFileSystem();
    const writer = await open(DIRECTORY, { fileSystem: memory });
    await writer.set('a', '1');
    await writer.close();
    const [id = ''] = await memory.list(`${DIRECTORY}/archive`);
    const state = `${DIRECTORY}/archive/${id}/STATE`;
    await memory.remove(state);
    const file = await memory.create(state);
    await file.append(Uint8Array.from({ length: 40 }, () => 7));
    await file.close();
    const reader = await open(DIRECTORY, { fileSystem: memory, readOnly: true });
    expect(await reader.has('a')).toBe(true);
    for (let tries = 0; tries < 2; tries += 1) {
      expect((await all(reader, 'start')).error).toMatchObject({ code: 'CORRUPTION' });
      await expect(reader.desk('c').lag().then()).rejects.toMatchObject({ code: 'CORRUPTION' });
    }
    expect((await all(reader, 'now')).error).toBeUndefined();
    await reader.close();
  });
});
