/**
 * The engines behind one face. Each is used the fastest way that its own documentation shows, and gives and takes Buffers.
 *
 * Equal on both: cache for blocks (32 MiB), compression (snappy), block size (4 KiB), filter (10 bits per key), open files
 * (1,000). Not equal: Alluvium verifies the checksum of every block that it reads from a file; classic-level does not, and
 * has no option for it. `'buffered'` of Alluvium is `sync: false` of classic-level, and syncs ten times a second besides.
 */
import { check, Tally } from './data.mjs';

const CACHE_BYTES = 32 * 1024 * 1024;
const SCAN_PAGE_ENTRIES = 1000;

/**
 * @typedef {object} Variant
 * @property {string} name - unique in one run
 * @property {'alluvium' | 'classic-level'} engine
 * @property {string} [module] - where to import Alluvium from, if not by its name
 * @property {number} [writeBufferBytes] - `memtableBytesMax` or `writeBufferSize`; absent: the engine's default
 */

/**
 * @typedef {object} Driver
 * @property {(key: Buffer, value: Buffer) => PromiseLike<unknown>} put
 * @property {(key: Buffer) => PromiseLike<Uint8Array | undefined>} get
 * @property {(indexes: Uint32Array, data: import('./data.mjs').Data) => PromiseLike<unknown>} putBatch
 * @property {(range: { gte?: Buffer, limit?: number }, tally: Tally) => Promise<void>} scanOneByOne
 * @property {(range: { gte?: Buffer, limit?: number }, tally: Tally) => Promise<void>} scanInBulk
 * @property {() => PromiseLike<void>} compact
 * @property {() => Promise<void>} close
 */

/**
 * @param {string} directory
 * @param {Variant} variant
 * @param {'synced' | 'buffered'} durability
 * @returns {Promise<Driver>}
 */
export async function openEngine(directory, variant, durability) {
  const library = await loadEngine(variant);
  return library(directory, variant, durability);
}

/**
 * Loads the engine's code without opening anything, so that opening can be timed alone.
 *
 * @param {Variant} variant
 * @returns {Promise<(directory: string, variant: Variant, durability: 'synced' | 'buffered') => Promise<Driver>>}
 */
export async function loadEngine(variant) {
  if (variant.engine === 'alluvium') {
    const { open } = await import(variant.module ?? 'alluvium');
    return (directory, { writeBufferBytes }, durability) => openAlluvium(open, directory, writeBufferBytes, durability);
  }
  const { ClassicLevel } = await import('classic-level');
  return (directory, { writeBufferBytes }, durability) =>
    openClassicLevel(ClassicLevel, directory, writeBufferBytes, durability);
}

/**
 * @param {typeof import('alluvium').open} open
 * @param {string} directory
 * @param {number | undefined} memtableBytesMax
 * @param {'synced' | 'buffered'} durability
 * @returns {Promise<Driver>}
 */
async function openAlluvium(open, directory, memtableBytesMax, durability) {
  const store = await open(directory, { durability, memtableBytesMax, blockCacheBytesMax: CACHE_BYTES });
  return {
    put: (key, value) => store.set(key, value),
    get: (key) => store.get(key),
    putBatch: (indexes, data) => {
      /** @type {import('alluvium').WriteOperation[]} */
      const batch = [];
      for (const index of indexes) batch.push({ type: 'set', key: data.key(index), value: data.value(index) });
      return store.write(batch);
    },
    scanOneByOne: async (range, tally) => {
      for await (const { key, value } of store.scan(range)) tally.add(key, value);
    },
    scanInBulk: async (range, tally) => {
      for await (const page of store.scan(range).pages()) {
        for (const { key, value } of page) tally.add(key, value);
      }
    },
    compact: () => store.compact(),
    close: async () => {
      await store.close();
    },
  };
}

/**
 * @param {typeof import('classic-level').ClassicLevel} ClassicLevel
 * @param {string} directory
 * @param {number | undefined} writeBufferSize
 * @param {'synced' | 'buffered'} durability
 * @returns {Promise<Driver>}
 */
async function openClassicLevel(ClassicLevel, directory, writeBufferSize, durability) {
  /** @type {import('classic-level').ClassicLevel<Buffer, Buffer>} */
  const db = new ClassicLevel(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    cacheSize: CACHE_BYTES,
    ...(writeBufferSize === undefined ? {} : { writeBufferSize }),
  });
  await db.open();
  const isSynced = durability === 'synced';
  const writeOptions = { sync: true };
  return {
    put: isSynced ? (key, value) => db.put(key, value, writeOptions) : (key, value) => db.put(key, value),
    get: (key) => db.get(key),
    putBatch: (indexes, data) => {
      /** @type {{ type: 'put', key: Buffer, value: Buffer }[]} */
      const batch = [];
      for (const index of indexes) batch.push({ type: 'put', key: data.key(index), value: data.value(index) });
      return isSynced ? db.batch(batch, writeOptions) : db.batch(batch);
    },
    scanOneByOne: async (range, tally) => {
      for await (const [key, value] of db.iterator(range)) tally.add(key, value);
    },
    scanInBulk: async (range, tally) => {
      const { limit = Infinity } = range;
      const iterator = db.iterator(range);
      for (let left = limit; left > 0;) {
        const page = await iterator.nextv(Math.min(left, SCAN_PAGE_ENTRIES));
        if (page.length === 0) break;
        for (const [key, value] of page) tally.add(key, value);
        left -= page.length;
      }
      await iterator.close();
    },
    compact: () => db.compactRange(Buffer.alloc(0), Buffer.alloc(17, 0xff)),
    close: () => db.close(),
  };
}

/**
 * Reads everything back, and throws unless the store holds exactly the given entries.
 *
 * @param {Driver} driver
 * @param {import('./data.mjs').Data} data
 * @param {(index: number) => boolean} isExpected
 */
export async function verifyEntries(driver, data, isExpected) {
  const verifier = new Verifier(data, isExpected);
  await driver.scanInBulk({}, verifier);
  verifier.finish();
}

/** Compares every entry with what it must be, and their order with that of the keys. */
class Verifier extends Tally {
  #data;
  #isExpected;
  #next = 0;

  /** @param {import('./data.mjs').Data} data @param {(index: number) => boolean} isExpected */
  constructor(data, isExpected) {
    super();
    this.#data = data;
    this.#isExpected = isExpected;
  }

  /** @override @param {Uint8Array} key @param {Uint8Array} value */
  add(key, value) {
    this.#skipAbsent();
    const index = this.#next++;
    check(index < this.#data.count, 'an entry too many');
    check(Buffer.compare(key, this.#data.key(index)) === 0, `a key where entry ${index} should be`);
    check(Buffer.compare(value, this.#data.value(index)) === 0, `the value of entry ${index}`);
  }

  finish() {
    this.#skipAbsent();
    check(this.#next === this.#data.count, `entry ${this.#next} is missing`);
  }

  #skipAbsent() {
    while (this.#next < this.#data.count && !this.#isExpected(this.#next)) this.#next += 1;
  }
}
