/** The two of the `level` family: LevelDB in C++, and a sorted tree in memory as the floor of what the interface costs. */
import { loadClient } from '../support/peer-clients.mjs';
import { CACHE_BYTES, SCAN_PAGE_ENTRIES } from './engine.mjs';

/** @typedef {import('abstract-level').AbstractLevel<unknown, Buffer, Buffer>} Level */

/**
 * @param {Level} db
 * @param {import('./engine.mjs').Durability} durability
 * @param {() => unknown} compact
 * @returns {import('./engine.mjs').Driver}
 */
function driverOf(db, durability, compact) {
  /** Unknown to the interface, which lets it through to the engine. @type {object} */
  const writeOptions = durability === 'synced' ? { sync: true } : {};
  /** @param {import('./engine.mjs').Range} range */
  const optionsOf = ({ gte, limit = -1, isReverse = false }) => ({
    ...(gte === undefined ? {} : { gte }),
    limit,
    reverse: isReverse,
  });
  return {
    put: (key, value) => db.put(key, value, writeOptions),
    delete: (key) => db.del(key, writeOptions),
    get: (key) => db.get(key),
    getSync: (key) => db.getSync(key),
    getMany: (keys) => db.getMany(keys),
    putBatch: (indexes, data) => {
      /** @type {{ type: 'put', key: Buffer, value: Buffer }[]} */
      const batch = [];
      for (const index of indexes) batch.push({ type: 'put', key: data.key(index), value: data.value(index) });
      return db.batch(batch, writeOptions);
    },
    scanOneByOne: async (range, tally) => {
      if (range.isKeysOnly === true) for await (const key of db.keys(optionsOf(range))) tally.addKey(key);
      else for await (const [key, value] of db.iterator(optionsOf(range))) tally.add(key, value);
    },
    scanInBulk: async (range, tally) => {
      const { limit = Infinity } = range;
      const size = (/** @type {number} */ left) => Math.min(left, SCAN_PAGE_ENTRIES);
      if (range.isKeysOnly === true) {
        const keys = db.keys(optionsOf(range));
        for (let left = limit; left > 0;) {
          const page = await keys.nextv(size(left));
          if (page.length === 0) break;
          for (const key of page) tally.addKey(key);
          left -= page.length;
        }
        return keys.close();
      }
      const iterator = db.iterator(optionsOf(range));
      for (let left = limit; left > 0;) {
        const page = await iterator.nextv(size(left));
        if (page.length === 0) break;
        for (const [key, value] of page) tally.add(key, value);
        left -= page.length;
      }
      return iterator.close();
    },
    snapshot: () => {
      const snapshot = db.snapshot();
      return { get: (key) => db.get(key, { snapshot }), close: () => snapshot.close() };
    },
    compact,
    close: () => db.close(),
  };
}

/** @type {import('./engine.mjs').Engine} */
export const classicLevel = {
  label: 'classic-level',
  durable: '`sync: true`',
  buffered: '`sync: false`: with the operating system when acknowledged',
  checksums: 'none of blocks that are read; there is no option for it',
  compression: 'snappy',
  async load() {
    const { ClassicLevel } = await import('classic-level');
    return async ({ directory, durability, writeBufferBytes }) => {
      /** @type {import('classic-level').ClassicLevel<Buffer, Buffer>} */
      const db = new ClassicLevel(directory, {
        keyEncoding: 'buffer',
        valueEncoding: 'buffer',
        cacheSize: CACHE_BYTES,
        ...(writeBufferBytes === undefined ? {} : { writeBufferSize: writeBufferBytes }),
      });
      await db.open();
      return driverOf(db, durability, () => db.compactRange(Buffer.alloc(0), Buffer.alloc(17, 0xff)));
    };
  },
};

/** What directories would hold; of this process. @type {Map<string, Level>} */
const opened = new Map();

/** @type {import('./engine.mjs').Engine} */
export const memoryLevel = {
  label: 'memory-level',
  durable: 'nothing is durable: a sorted tree in memory',
  buffered: 'nothing is kept: a sorted tree in memory',
  checksums: 'none',
  compression: 'none',
  async load() {
    const { MemoryLevel } = await loadClient('memory-level');
    return async ({ directory, durability }) => {
      /** @type {Level} */
      const db =
        opened.get(directory) ??
        new MemoryLevel({ keyEncoding: 'buffer', valueEncoding: 'buffer', storeEncoding: 'buffer' });
      opened.set(directory, db);
      await db.open();
      return { ...driverOf(db, durability, () => undefined), close: () => Promise.resolve() };
    };
  },
};
