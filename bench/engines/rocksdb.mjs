/**
 * RocksDB by `@nxtedition/rocksdb`. Its writes and short reads happen on the calling thread. It has no snapshots that can be
 * held, and compresses with ZSTD; it has no snappy.
 */
import { loadClient } from '../support/peer-clients.mjs';
import { CACHE_BYTES, SCAN_PAGE_ENTRIES } from './engine.mjs';

/** @type {import('./engine.mjs').Engine} */
export const rocksdb = {
  label: 'rocksdb',
  durable: '`sync: true`',
  buffered: '`sync: false`: with the operating system when acknowledged',
  checksums: 'XXH3 of every block that is read from a file',
  compression: 'ZSTD with a dictionary',
  async load() {
    const { RocksLevel } = await loadClient('@nxtedition/rocksdb');
    return async ({ directory, durability, writeBufferBytes }) => {
      const encodings = { keyEncoding: 'buffer', valueEncoding: 'buffer' };
      const db = new RocksLevel(directory, encodings);
      await db.open({
        cacheSize: CACHE_BYTES,
        // A quarter of this budget is one write buffer.
        ...(writeBufferBytes === undefined ? {} : { compaction: 'level', memtableMemoryBudget: 4 * writeBufferBytes }),
      });
      const writeOptions = { sync: durability === 'synced' };
      const write = (/** @type {object[]} */ batch) => db.batch(batch, writeOptions);
      /** @param {import('./engine.mjs').Range} range */
      const optionsOf = ({ gte, limit = -1, isReverse = false, isKeysOnly = false }) => ({
        ...(gte === undefined ? {} : { gte }),
        limit,
        reverse: isReverse,
        values: !isKeysOnly,
      });
      /** @param {import('./engine.mjs').Range} range @param {import('./engine.mjs').Tally} tally */
      const scan = async (range, tally) => {
        const iterator = db.iterator(optionsOf(range));
        for (let left = range.limit ?? Infinity; left > 0;) {
          const page = await iterator.nextv(Math.min(left, SCAN_PAGE_ENTRIES));
          if (page.length === 0) break;
          for (const [key, value] of page) {
            if (range.isKeysOnly === true) tally.addKey(key);
            else tally.add(key, value);
          }
          left -= page.length;
        }
        await iterator.close();
      };
      return {
        put: (key, value) => write([{ type: 'put', key, value }]),
        delete: (key) => write([{ type: 'del', key }]),
        get: async (key) => (await db.getMany([key]))[0],
        getSync: (key) => db._getManySync([key], encodings)[0],
        getMany: (keys) => db.getMany(keys),
        putBatch: (indexes, data) => {
          const batch = [];
          for (const index of indexes) batch.push({ type: 'put', key: data.key(index), value: data.value(index) });
          return write(batch);
        },
        scanOneByOne: async (range, tally) => {
          if (range.isKeysOnly === true) return scan(range, tally);
          for await (const [key, value] of db.iterator(optionsOf(range))) tally.add(key, value);
        },
        scanInBulk: scan,
        compact: () => undefined, // the binding does not offer it
        close: () => db.close(),
      };
    };
  },
};
