/** SQLite by `better-sqlite3`: a table of keys and values without row ids. Everything happens on the calling thread. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadClient } from '../support/peer-clients.mjs';
import { CACHE_BYTES } from './engine.mjs';

const BYTES_PER_KIB = 1024;

/** @type {import('./engine.mjs').Engine} */
export const sqlite = {
  label: 'sqlite',
  durable: 'write-ahead log, `synchronous = FULL`',
  buffered: 'write-ahead log, `synchronous = NORMAL`: synced at its checkpoints',
  checksums: 'of its write-ahead log; none of pages',
  compression: 'none',
  async load() {
    const { default: Database } = await loadClient('better-sqlite3');
    return async ({ directory, durability, inFlight }) => {
      mkdirSync(directory, { recursive: true });
      const db = new Database(join(directory, 'data.sqlite'));
      db.pragma('journal_mode = WAL');
      db.pragma(`synchronous = ${durability === 'synced' ? 'FULL' : 'NORMAL'}`);
      db.pragma(`cache_size = -${CACHE_BYTES / BYTES_PER_KIB}`);
      db.exec('CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID');
      const put = db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?)');
      const remove = db.prepare('DELETE FROM entries WHERE key = ?');
      const get = db.prepare('SELECT value FROM entries WHERE key = ?').pluck();
      /** @param {import('./engine.mjs').Range} range */
      const statementOf = ({ gte, isReverse = false, isKeysOnly = false }) =>
        db
          .prepare(
            `SELECT ${isKeysOnly ? 'key' : 'key, value'} FROM entries ${gte === undefined ? '' : 'WHERE key >= @gte'}
             ORDER BY key ${isReverse ? 'DESC' : 'ASC'} LIMIT @limit`,
          )
          .raw(!isKeysOnly)
          .pluck(isKeysOnly);
      const statements = new Map();
      /** @param {import('./engine.mjs').Range} range */
      const select = (range) => {
        const kind = `${range.gte === undefined} ${range.isReverse === true} ${range.isKeysOnly === true}`;
        let statement = statements.get(kind);
        if (statement === undefined) statements.set(kind, (statement = statementOf(range)));
        const limit = range.limit ?? -1;
        return statement.iterate(range.gte === undefined ? { limit } : { gte: range.gte, limit });
      };
      /** @param {import('./engine.mjs').Range} range @param {import('./engine.mjs').Tally} tally */
      const scan = async (range, tally) => {
        if (range.isKeysOnly === true) for (const key of select(range)) tally.addKey(key);
        else for (const [key, value] of select(range)) tally.add(key, value);
      };
      const gathered = new OneTransactionPerTurn(db, put);
      return {
        put: inFlight > 1 ? (key, value) => gathered.add(key, value) : (key, value) => put.run(key, value),
        delete: (key) => remove.run(key),
        get: (key) => get.get(key),
        getSync: (key) => get.get(key),
        getMany: (keys) => keys.map((key) => get.get(key)),
        putBatch: db.transaction((/** @type {Uint32Array} */ indexes, /** @type {any} */ data) => {
          for (const index of indexes) put.run(data.key(index), data.value(index));
        }),
        scanOneByOne: scan,
        scanInBulk: scan,
        compact: () => db.pragma('wal_checkpoint(TRUNCATE)'),
        close: async () => {
          db.close();
        },
      };
    };
  },
};

/** Puts of one turn of the event loop share one transaction, and so one sync: the best that can be done for many at once. */
class OneTransactionPerTurn {
  #write;
  /** @type {{ key: Buffer, value: Buffer, resolve: (value: undefined) => void, reject: (error: unknown) => void }[]} */
  #waiting = [];

  /** @param {any} db @param {any} put */
  constructor(db, put) {
    this.#write = db.transaction((/** @type {{ key: Buffer, value: Buffer }[]} */ puts) => {
      for (const { key, value } of puts) put.run(key, value);
    });
  }

  /** @param {Buffer} key @param {Buffer} value @returns {Promise<undefined>} */
  add(key, value) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, value, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#commit());
    });
  }

  #commit() {
    const puts = this.#waiting;
    this.#waiting = [];
    try {
      this.#write(puts);
      for (const { resolve } of puts) resolve(undefined);
    } catch (error) {
      for (const { reject } of puts) reject(error);
    }
  }
}
