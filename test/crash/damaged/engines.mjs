/**
 * The stores that are damaged, behind one face: ours, and with `--peers` those of others, for figures to stand beside.
 *
 *     open(directory) -> { get(key), entries(), changes(), write(batch, isLast), close() }   keys and values are strings
 *
 * `files` leaves out what no engine reads. Whatever they throw counts as told.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';

const textOf = (bytes) => (bytes === undefined || bytes === null ? undefined : Buffer.from(bytes).toString());

async function openOurs(directory) {
  const { open } = await import('alluvium');
  const store = await open(directory, { memtableBytesMax: 128 * 1024, durability: 'buffered' });
  return {
    get: async (key) => textOf(await store.get(key)),
    entries: async () => {
      const lines = [];
      for await (const { key, value } of store.scan()) lines.push([textOf(key), textOf(value)]);
      return lines;
    },
    changes: async () => {
      const { sequence } = await store.set('~end', '');
      const lines = [];
      for await (const change of store.changes({ from: 'start' })) {
        if (change.sequence >= sequence) break;
        lines.push(`${change.sequence} ${change.type} ${textOf(change.key)} ${textOf(change.value)}`);
      }
      return lines;
    },
    write: (batch, isLast) => store.write(batch, { durability: isLast ? 'synced' : 'buffered' }),
    compact: () => store.compact(),
    close: () => store.close(),
  };
}

async function openClassicLevel(directory) {
  const { ClassicLevel } = await import('classic-level');
  const store = new ClassicLevel(directory, { writeBufferSize: 128 * 1024 });
  await store.open();
  return {
    get: (key) => store.get(key),
    entries: () => store.iterator().all(),
    write: (batch, isLast) =>
      store.batch(
        batch.map(({ type, key, value }) => (type === 'set' ? { type: 'put', key, value } : { type: 'del', key })),
        { sync: isLast },
      ),
    compact: () => store.compactRange('', '~'),
    close: () => store.close(),
  };
}

const requireFrom = (folder) => createRequire(join(folder, 'package.json'));

async function openLmdb(directory, folder) {
  const { open } = requireFrom(folder)('lmdb');
  const store = open({ path: directory, encoding: 'string', noMemInit: false });
  return {
    get: async (key) => store.get(key),
    entries: async () => [...store.getRange({})].map(({ key, value }) => [key, value]),
    write: (batch) =>
      store.transaction(() => {
        for (const { type, key, value } of batch) {
          if (type === 'set') store.put(key, value);
          else store.remove(key);
        }
      }),
    compact: async () => undefined,
    close: () => store.close(),
  };
}

async function openSqlite(directory, folder) {
  const Database = requireFrom(folder)('better-sqlite3');
  const store = new Database(join(directory, 'data.sqlite'));
  store.pragma('journal_mode = wal');
  store.exec('create table if not exists t (k text primary key, v text) without rowid');
  const [put, remove, find, all] = [
    'insert into t values (?, ?) on conflict (k) do update set v = excluded.v',
    'delete from t where k = ?',
    'select v from t where k = ?',
    'select k, v from t order by k',
  ].map((text) => store.prepare(text));
  return {
    get: async (key) => find.get(key)?.v,
    entries: async () => all.all().map(({ k, v }) => [k, v]),
    write: async (batch) =>
      store.transaction(() => {
        for (const { type, key, value } of batch) {
          if (type === 'set') put.run(key, value);
          else remove.run(key);
        }
      })(),
    compact: async () => undefined,
    close: async () => store.close(),
  };
}

/** Without a folder of its own: installed here for tests. */
export const engines = {
  alluvium: openOurs,
  'classic-level': openClassicLevel,
  lmdb: openLmdb,
  'better-sqlite3': openSqlite,
};

/** Files whose content decides nothing: locks, and notes for people. */
export const isIdle = (name) => /(^|\/)(LOCK|LOG|LOG\.old|alluvium\.lock|lock\.mdb|data\.sqlite-shm)$/.test(name);
