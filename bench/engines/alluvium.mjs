import { CACHE_BYTES } from './engine.mjs';

/** @typedef {import('./engine.mjs').Range} Range */

/** @param {Range} range */
const optionsOf = ({ gte, limit, isReverse }) => ({
  ...(gte === undefined ? {} : { gte }),
  ...(limit === undefined ? {} : { limit }),
  ...(isReverse === true ? { reverse: true } : {}),
});

/** @type {import('./engine.mjs').Engine} */
export const alluvium = {
  label: 'Alluvium',
  durable: "`durability: 'synced'`, the default",
  buffered: "`durability: 'buffered'`: with the operating system when acknowledged, synced ten times a second",
  checksums: 'CRC-32C of every block that is read from a file',
  compression: 'snappy',
  async load({ module = 'alluvium' }) {
    /** @type {typeof import('alluvium')} */
    const { open } = await import(module);
    return async ({ directory, durability, writeBufferBytes }) => {
      const store = await open(directory, {
        durability,
        memtableBytesMax: writeBufferBytes,
        blockCacheBytesMax: CACHE_BYTES,
      });
      return {
        put: (key, value) => store.set(key, value),
        delete: (key) => store.delete(key),
        get: (key) => store.get(key),
        getSync: (key) => store.getSync(key),
        getMany: (keys) => store.getMany(keys),
        putBatch: (indexes, data) => {
          /** @type {import('alluvium').WriteOperation[]} */
          const batch = [];
          for (const index of indexes) batch.push({ type: 'set', key: data.key(index), value: data.value(index) });
          return store.write(batch);
        },
        scanOneByOne: async (range, tally) => {
          if (range.isKeysOnly === true) {
            for await (const key of store.scan({ ...optionsOf(range), values: false })) tally.addKey(key);
          } else {
            for await (const { key, value } of store.scan(optionsOf(range))) tally.add(key, value);
          }
        },
        scanInBulk: async (range, tally) => {
          if (range.isKeysOnly === true) {
            for await (const page of store.scan({ ...optionsOf(range), values: false }).pages()) {
              for (const key of page) tally.addKey(key);
            }
          } else {
            for await (const page of store.scan(optionsOf(range)).pages()) {
              for (const { key, value } of page) tally.add(key, value);
            }
          }
        },
        snapshot: () => {
          const snapshot = store.snapshot();
          return { get: (key) => snapshot.get(key), close: () => snapshot.close() };
        },
        compact: () => store.compact(),
        close: async () => {
          await store.close();
        },
      };
    };
  },
};
