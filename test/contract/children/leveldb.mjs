/** Real LevelDB 1.20. Where it finds something wrong, it may abort its process: so it has one of its own. */
import { setTimeout as wait } from 'node:timers/promises';
import { ClassicLevel } from 'classic-level';
import { serve } from './serve.mjs';

/** Behind every key that the tests write. */
const LAST_KEY = new Uint8Array(16).fill(0xff);
const POLL_MS = 5;
/** LevelDB compacts level 0 from so many tables on. */
const LEVEL0_TRIGGER = 4;

let db;

/**
 * Until LevelDB has done with compacting: its iterators take snapshots, and a compaction under a snapshot may split a key
 * over two tables, of which later reads find the wrong one (google/leveldb#320).
 */
const quiet = async () => {
  let before = '';
  for (;;) {
    const tables = db.getProperty('leveldb.sstables');
    const level0 = Number(db.getProperty('leveldb.num-files-at-level0'));
    if (tables === before && level0 < LEVEL0_TRIGGER) return;
    before = tables;
    await wait(POLL_MS);
  }
};

serve({
  open: async ({ directory, options }) => {
    db = new ClassicLevel(directory, { ...options, keyEncoding: 'view', valueEncoding: 'view' });
    await db.open();
  },
  close: async () => {
    await db.close();
  },
  write: async ({ operations, isSynced }) => {
    const options = { sync: isSynced };
    const [first, second] = operations;
    const isSingle = first !== undefined && second === undefined;
    if (isSingle && first.type === 'set') await db.put(first.key, first.value, options);
    else if (isSingle) await db.del(first.key, options);
    else {
      const batch = operations.map(({ type, key, value }) =>
        type === 'set' ? { type: 'put', key, value } : { type: 'del', key },
      );
      await db.batch(batch, options);
    }
  },
  flush: async () => undefined, // LevelDB has no such call
  compact: async ({ start, end }) => {
    await db.compactRange(start ?? new Uint8Array(0), end ?? LAST_KEY);
  },
  read: async ({ probes }) => {
    await quiet();
    const forwards = await db.iterator().all();
    const backwards = await db.iterator({ reverse: true }).all();
    return { forwards, backwards, gets: await db.getMany(probes) };
  },
});
