// Goal: no plaintext of an encrypted keyspace is in any file: not in logs, tables, history, dead letters, a consumer's
// results, backups; nor key material.
// Method: a store on the disk, without compression, whose values hold a marker; its files are read whole, while it is open
// and when it is closed. The same store with the same work and without encryption shows that the marker would be found, in
// every kind of file.
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { codecs, EncryptionKey, type Keyspace, open, restore, type Store, verify } from '../../src/index.ts';
import { recordFigures } from '../support/figures.ts';
import { KeyRing, newKey } from '../support/key-ring.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const MARKER = 'THE-MARKER-OF-ALL-VALUES';
const SECRETS = ['first-secret-first-secret-first-', 'second-secret-second-secret-seco'] as const;
/** The machine may be busy. */
const LONGEST_WAIT_MS = 90_000;
const newDirectory = temporaryDirectories();

interface Note {
  readonly text: string;
  readonly version: number;
}

const noteOf = (version: number): Note => ({ text: `${MARKER} ${version} ${'.'.repeat(version % 50)}`, version });

const keyOf = (secret: string, digit: string): EncryptionKey =>
  new EncryptionKey(`${digit.repeat(8)}-0000-4000-8000-000000000000`, Buffer.from(secret));

/** Kinds of the files that hold the text, by what their names say; and how many files there are. */
function search(directory: string, text: string): { readonly kinds: ReadonlySet<string>; readonly files: number } {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const kinds = new Set<string>();
  for (const { parentPath, name } of files) {
    if (!readFileSync(join(parentPath, name)).includes(text)) continue;
    const kind = name.split('.').at(-1) ?? name;
    kinds.add(parentPath.split(sep).includes('archive') ? `archived ${kind}` : kind);
  }
  return { kinds, files: files.length };
}

/** Does with a keyspace what can be done with it. */
async function work(store: Store, notes: Keyspace<string, Note>, results: Keyspace<string, Note>): Promise<void> {
  for (let version = 0; version < 300; version += 1) await notes.set(`note ${version % 40}`, noteOf(version));
  await notes.set('once', noteOf(300), { idempotencyKey: 'once' });
  await store.flush();
  await notes.set('once', noteOf(300), { idempotencyKey: 'once' });
  const consumer = notes.consumer('copies', {
    attemptsMax: 1,
    from: 'start',
    handle: async (change, tx) => {
      await Promise.resolve();
      if (change.type !== 'set') return;
      if (change.value.version % 50 === 7) throw new Error('not this one');
      results.in(tx).set(change.key, change.value);
    },
  });
  const running = consumer.run().subscribe();
  await vi.waitFor(async () => {
    expect(await results.has('once')).toBe(true);
    expect(await lastValueFrom(consumer.deadLetters().pipe(toArray()))).toHaveLength(6);
  }, LONGEST_WAIT_MS);
  running.unsubscribe();
  await store.compact();
  for (let version = 301; version < 340; version += 1) await notes.set(`note ${version % 40}`, noteOf(version));
}

async function fill(directory: string, keys: KeyRing | undefined): Promise<Store> {
  const store = await open(join(directory, 'db'), {
    compression: 'none',
    memtableBytesMax: 65_536,
    durability: 'buffered',
  });
  const form = { key: codecs.utf8, value: codecs.json<Note>(), encryption: keys && { keys } };
  const notes = store.keyspace('notes', form);
  await work(store, notes, store.keyspace('results', form));
  await store.backup(join(directory, 'backup'), { hardLinks: false });
  await notes.set('note 7', noteOf(340)); // the backup has put all before it into tables
  return store;
}

describe('the files of an encrypted keyspace', { timeout: 2 * LONGEST_WAIT_MS }, () => {
  it('hold no plaintext and no key, where those of any other hold it everywhere', async () => {
    const plain = newDirectory();
    const unencrypted = await fill(plain, undefined);
    expect([...search(join(plain, 'db'), MARKER).kinds].sort()).toEqual(['archived log', 'ldb', 'log']);
    await unencrypted.close();
    expect(search(join(plain, 'backup'), MARKER).kinds.size).toBeGreaterThan(0);

    const directory = newDirectory();
    const keys = new KeyRing(keyOf(SECRETS[0], '1'));
    const store = await fill(directory, keys);
    const looked = search(directory, 'note 7'); // keys are in clear
    expect([...looked.kinds]).toEqual(expect.arrayContaining(['log', 'archived log', 'ldb']));
    const texts = [MARKER, 'text', ...SECRETS, ...SECRETS.map((secret) => Buffer.from(secret).toString('hex'))];
    for (const text of texts) expect([...search(directory, text).kinds], text).toEqual([]);

    keys.rotate(keyOf(SECRETS[1], '2'));
    const notes = store.keyspace('notes', { key: codecs.utf8, value: codecs.json<Note>(), encryption: { keys } });
    expect(await notes.rewrite()).toMatchObject({ values: 41, rewritten: 41, unreadable: 0 });
    await store.close();
    for (const text of texts) expect([...search(directory, text).kinds], text).toEqual([]);
    recordFigures('ENC', { filesSearched: looked.files });

    const opened = await open(join(directory, 'db'));
    const again = opened.keyspace('notes', { key: codecs.utf8, value: codecs.json<Note>(), encryption: { keys } });
    expect(await again.get('note 19')).toEqual(noteOf(339));
    await opened.close();
  });

  it('can be checked, backed up and restored without a key', async () => {
    const directory = newDirectory();
    const keys = new KeyRing(newKey());
    await (await fill(directory, keys)).close();
    expect(await verify(join(directory, 'backup'))).toMatchObject({ findings: [] });
    await restore(join(directory, 'backup'), join(directory, 'restored'));
    const store = await open(join(directory, 'restored'));
    const form = { key: codecs.utf8, value: codecs.json<Note>() };
    const stranger = store.keyspace('notes', { ...form, encryption: { keys: new KeyRing() } });
    await expect(stranger.get('note 19')).rejects.toMatchObject({ code: 'VALUE_UNREADABLE', reason: 'keyUnknown' });
    expect(await store.keyspace('notes', { ...form, encryption: { keys } }).get('note 19')).toEqual(noteOf(339));
    await store.close();
  });
});
