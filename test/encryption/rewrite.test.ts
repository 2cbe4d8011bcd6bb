// Goal: after `rewrite` no value needs an older key, and nothing that somebody else wrote meanwhile is lost.
// Method: examples with a real store in memory; writers beside it, some of whom have an older key.
import { lastValueFrom, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  codecs,
  type Commit,
  InvalidArgumentError,
  type Keyspace,
  openInMemory,
  type Operation,
  type ScanOptions,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { KeyspaceForm } from '../../src/streams/keyspace-form.ts';
import { rewriteKeyspace } from '../../src/streams/keyspace-rewrite.ts';
import type { KeyspaceStore } from '../../src/streams/keyspace-store.ts';
import { randomOf, seedOfThisRun } from '../support/runs.ts';
import { KeyRing } from '../support/key-ring.ts';

let store: Store;
let keys: KeyRing;
beforeEach(async () => {
  store = await openInMemory({ durability: 'buffered' });
  keys = new KeyRing();
});
afterEach(async () => {
  await store.close();
});

const notesOf = (given: KeyRing = keys): Keyspace<number, string> =>
  store.keyspace('notes', { key: codecs.number, value: codecs.utf8, encryption: { keys: given } });

const fill = (notes: Keyspace<number, string>, count: number): PromiseLike<Commit> =>
  notes.write(Array.from({ length: count }, (_, key) => ({ type: 'set', key, value: `note ${key}` }) as const));

/** Ids of the keys that the stored values name, in hexadecimal, with how many do. */
async function idsIn(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const { value } of store.scan(notesOf().range)) {
    const id = Buffer.from(value).subarray(1, 17).toString('hex');
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

const hexOf = ({ id }: { readonly id: string }): string => id.replaceAll('-', '');
const valuesOf = (notes: Keyspace<number, string>): Promise<string[]> =>
  lastValueFrom(notes.scan({ keys: false }).pipe(toArray()));

describe('rewriting a keyspace', () => {
  // More than one page.
  it('encrypts all that an older key has encrypted, and nothing else', async () => {
    const notes = notesOf();
    await fill(notes, 300);
    const old = keys.rotate();
    await notes.set(7, 'note 7');
    const before = await valuesOf(notes);
    const seven = await notes.entry(7);
    const neighbour = store.keyspace('notes2', { key: codecs.number, value: codecs.utf8, encryption: { keys } });
    await neighbour.set(1, 'beside');

    const report = await notes.rewrite();
    expect(report).toEqual({
      values: 300,
      rewritten: 299,
      unreadable: 0,
      contended: 0,
      sequence: store.stats().sequence,
    });
    expect(await idsIn()).toEqual({ [hexOf(keys.current())]: 300 });
    expect(await notes.entry(7)).toEqual(seven);
    keys.destroy(old);
    expect(await valuesOf(notes)).toEqual(before);
    expect(await notes.rewrite()).toEqual({
      values: 300,
      rewritten: 0,
      unreadable: 0,
      contended: 0,
      sequence: undefined,
    });
  });

  it('keeps to its range', async () => {
    const notes = notesOf();
    await fill(notes, 10);
    const old = keys.rotate();
    expect(await notes.rewrite({ gte: 2, lt: 5 })).toMatchObject({ values: 3, rewritten: 3 });
    expect(await notes.rewrite({ gt: 5, lte: 6 })).toMatchObject({ values: 1, rewritten: 1 });
    expect(await idsIn()).toEqual({ [hexOf(keys.current())]: 4, [hexOf(old)]: 6 });
  });

  it('leaves what it cannot read, and says how many', async () => {
    const notes = notesOf();
    await notes.set(1, 'one');
    const gone = keys.rotate();
    await notes.set(2, 'two');
    keys.rotate();
    keys.destroy(gone);
    const stored = await store.get(notes.deleteLine(1).key);
    await store.set(notes.deleteLine(3).key, 'never encrypted');
    expect(await notes.rewrite()).toMatchObject({ values: 3, rewritten: 1, unreadable: 2, contended: 0 });
    expect(await store.get(notes.deleteLine(1).key)).toEqual(stored);
    expect(await notes.get(2)).toBe('two');
  });

  it('rewrites values of any size, also beside each other', async () => {
    const notes = notesOf();
    for (let key = 0; key < 5; key += 1) await notes.set(key, 'x'.repeat(2_200_000 * (key % 2) + key));
    const before = await valuesOf(notes);
    keys.rotate();
    expect(await notes.rewrite()).toMatchObject({ rewritten: 5 });
    expect(await valuesOf(notes)).toEqual(before);
  });

  it('loses nothing that others write meanwhile, with whichever key', async () => {
    const notes = notesOf();
    const COUNT = 150;
    await fill(notes, COUNT);
    const old = keys.rotate();
    const behind = notesOf(new KeyRing(old)); // somebody who has not heard of the new key
    const expected = Array.from({ length: COUNT }, (_, key): string | undefined => `note ${key}`);
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const state = { isOver: false };
    const rewriting = notes.rewrite().then((report) => {
      state.isOver = true;
      return report;
    });
    let writes = 0;
    while (!state.isOver) {
      const key = Math.floor(random() * COUNT);
      const writer = random() < 0.5 ? notes : behind;
      writes += 1;
      if (random() < 0.2) {
        await writer.delete(key);
        expected[key] = undefined;
      } else {
        await writer.set(key, `write ${writes}`);
        expected[key] = `write ${writes}`;
      }
    }
    const { unreadable, contended } = await rewriting;
    expect({ unreadable, contended }, `seed ${seed}`).toEqual({ unreadable: 0, contended: 0 });
    expect(writes).toBeGreaterThan(10);
    const keysOfAll = Array.from({ length: COUNT }, (_, key) => key);
    expect(await notes.getMany(keysOfAll), `seed ${seed}`).toEqual(expected);
    await notes.rewrite(); // those that came late with the old key
    keys.destroy(old);
    expect(await notes.getMany(keysOfAll), `seed ${seed}`).toEqual(expected);
  });

  it('tries a value again that is written between its read and its write, and gives up in the end', async () => {
    const notes = notesOf();
    await fill(notes, 2);
    const old = keys.rotate();
    const behind = notesOf(new KeyRing(old));
    const form = new KeyspaceForm('notes', { key: codecs.number, value: codecs.utf8, encryption: { keys } });
    /** A store in which somebody else sets key 1 just before each write of it, so many times. */
    const disturbed = (times: number): KeyspaceStore => {
      let left = times;
      const one = Buffer.from(form.encodeKey(1));
      const write = (operations: readonly WriteOperation[]): Operation<Commit> => {
        const isOne = operations.some(({ key }) => one.equals(Buffer.from(key)));
        if (isOne && left > 0) {
          left -= 1;
          behind.set(1, `disturbed, ${left} left`).subscribe();
        }
        return store.write(operations);
      };
      return {
        get: (key) => store.get(key),
        getMany: (several) => store.getMany(several),
        has: (key) => store.has(key),
        entry: (key) => store.entry(key),
        scan: (options: ScanOptions) => store.scan(options) as never,
        set: (key, value) => store.set(key, value),
        delete: (key) => store.delete(key),
        write,
        changes: (options) => store.changes(options),
        watch: () => expect.unreachable('a rewriting watches nothing'),
      };
    };
    expect(await rewriteKeyspace(form, disturbed(Infinity), {})).toMatchObject({ rewritten: 1, contended: 1 });
    expect(await idsIn()).toEqual({ [hexOf(keys.current())]: 1, [hexOf(old)]: 1 });
    expect(await rewriteKeyspace(form, disturbed(3), {})).toMatchObject({ rewritten: 1, contended: 0 });
    expect(await notes.get(1)).toBe('disturbed, 0 left');
    expect(await idsIn()).toEqual({ [hexOf(keys.current())]: 2 });
  });

  it('ends with its signal and with its subscription, and does the rest when begun again', async () => {
    const notes = notesOf();
    await fill(notes, 400);
    keys.rotate();
    const aborted = AbortSignal.abort('before');
    await expect(notes.rewrite({ signal: aborted })).rejects.toMatchObject({ code: 'ABORTED', cause: 'before' });
    expect(await idsIn()).not.toHaveProperty(hexOf(keys.current()));

    const ending = new AbortController();
    const rewriting = notes.rewrite({ signal: ending.signal });
    const outcome = expect(rewriting).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' });
    while ((await idsIn())[hexOf(keys.current())] === undefined) await new Promise(setImmediate);
    ending.abort('enough');
    await outcome;

    const subscription = notes.rewrite().subscribe();
    await new Promise(setImmediate);
    subscription.unsubscribe();
    const settled = async (): Promise<number> => {
      for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
      return store.stats().sequence;
    };
    const sequence = await settled();
    expect(await settled()).toBe(sequence);
    const rest = await notes.rewrite();
    expect(rest.rewritten).toBeGreaterThan(0);
    expect(rest.rewritten).toBeLessThan(400);
    expect(await idsIn()).toEqual({ [hexOf(keys.current())]: 400 });
  });

  it('is for encrypted keyspaces, and fails without a key', async () => {
    const plain = store.keyspace('plain', { key: codecs.number, value: codecs.utf8 });
    expect(() => plain.rewrite()).toThrow(InvalidArgumentError);
    await fill(notesOf(), 3);
    const locked = store.keyspace('notes', {
      key: codecs.number,
      value: codecs.utf8,
      encryption: {
        keys: {
          current: () => {
            throw new Error('not now');
          },
          byId: (id) => keys.byId(id),
        },
      },
    });
    await expect(locked.rewrite()).rejects.toMatchObject({ code: 'ENCRYPTION_KEY', reason: 'providerFailed' });
  });
});
