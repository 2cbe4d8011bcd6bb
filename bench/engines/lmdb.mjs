/** LMDB by `lmdb`: a B+tree in a file that is mapped into memory. Reads are synchronous, writes are gathered by a thread. */
import { join } from 'node:path';
import { loadClient } from '../support/peer-clients.mjs';

/** @type {import('./engine.mjs').Engine} */
export const lmdb = {
  label: 'lmdb',
  durable: '`overlappingSync: false`: a put is acknowledged when its transaction is synced',
  buffered: '`noSync: true`: with the operating system when acknowledged',
  checksums: 'none; it has none',
  compression: 'none',
  async load() {
    const { open } = await loadClient('lmdb');
    return async ({ directory, durability }) => {
      const db = open({
        path: join(directory, 'data.mdb'),
        encoding: 'binary',
        keyEncoding: 'binary',
        ...(durability === 'synced' ? { overlappingSync: false } : { noSync: true }),
      });
      /** @param {import('./engine.mjs').Range} range */
      const optionsOf = ({ gte, limit, isReverse = false }) => ({ start: gte, limit, reverse: isReverse });
      /** @param {import('./engine.mjs').Range} range @param {import('./engine.mjs').Tally} tally */
      const scan = async (range, tally) => {
        if (range.isKeysOnly === true) for (const key of db.getKeys(optionsOf(range))) tally.addKey(key);
        else for (const { key, value } of db.getRange(optionsOf(range))) tally.add(key, value);
      };
      return {
        put: (key, value) => db.put(key, value),
        delete: (key) => db.remove(key),
        get: (key) => db.getBinary(key),
        getSync: (key) => db.getBinary(key),
        getMany: (keys) => db.getMany(keys),
        putBatch: (indexes, data) =>
          db.transaction(() => {
            for (const index of indexes) db.put(data.key(index), data.value(index));
          }),
        scanOneByOne: scan,
        scanInBulk: scan,
        compact: () => undefined, // a B+tree has nothing to compact
        close: () => db.close(),
      };
    };
  },
};
