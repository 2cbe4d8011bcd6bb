/**
 * The keys and values that every engine is given: the same bytes, in the same order, in every run.
 *
 * Keys are 16 decimal digits, values 100 bytes of which the second half repeats the first, so that compression halves
 * them: the shape of LevelDB's own benchmark, db_bench.
 */
export const KEY_BYTES = 16;
export const VALUE_BYTES = 100;
const MISSING_KEY_BYTES = KEY_BYTES + 1;
/** Different values there are. Neighbours in a block practically never share one. */
const VALUES = 10_486;
/** The byte of a value that goes into the checksum of what was read. */
const CHECKED_BYTE = 50;

const SEED = 0x2545f491;

/** A small generator of random numbers (Marsaglia's xorshift32), so that every run draws the same ones. */
export class Random {
  #state;

  /** @param {number} [seed] - not 0 */
  constructor(seed = SEED) {
    this.#state = seed >>> 0;
  }

  /** @param {number} bound @returns {number} a whole number from 0 up to, not including, the bound */
  below(bound) {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return Math.floor((this.#state / 2 ** 32) * bound);
  }
}

/** @returns {Buffer} all values, one behind the other */
function makeValues() {
  const random = new Random();
  const values = Buffer.alloc(VALUES * VALUE_BYTES);
  const half = VALUE_BYTES / 2;
  for (let start = 0; start < values.length; start += VALUE_BYTES) {
    for (let at = 0; at < half; at += 1) values[start + at] = 32 + random.below(95);
    values.copy(values, start + half, start, start + half);
  }
  return values;
}

/** The entries 0 to `count` - 1, and an order that shuffles them. */
export class Data {
  /** @param {number} count */
  constructor(count) {
    this.count = count;
    this.values = makeValues();
    this.keys = Buffer.alloc(count * KEY_BYTES);
    for (let index = 0; index < count; index += 1) {
      this.keys.write(String(index).padStart(KEY_BYTES, '0'), index * KEY_BYTES, 'latin1');
    }
    this.missing = Buffer.alloc(0);
  }

  /** @param {number} index */
  key(index) {
    return this.keys.subarray(index * KEY_BYTES, (index + 1) * KEY_BYTES);
  }

  /**
   * A key that is absent and lies between two present ones: the present one and a dot, as in db_bench. (Keys that differ in
   * their last byte only would say little: LevelDB's filters mistake one in seven of them for its neighbour.)
   *
   * @param {number} index
   */
  missingKey(index) {
    if (this.missing.length === 0) {
      this.missing = Buffer.alloc(this.count * MISSING_KEY_BYTES, '.');
      for (let at = 0; at < this.count; at += 1) this.key(at).copy(this.missing, at * MISSING_KEY_BYTES);
    }
    return this.missing.subarray(index * MISSING_KEY_BYTES, (index + 1) * MISSING_KEY_BYTES);
  }

  /** @param {number} index */
  value(index) {
    const start = valueStart(index);
    return this.values.subarray(start, start + VALUE_BYTES);
  }

  /** What reading the value adds to a checksum. @param {number} index @returns {number} */
  checkOf(index) {
    return /** @type {number} */ (this.values[valueStart(index) + CHECKED_BYTE]);
  }

  /** All entries, shuffled: each exactly once, so that counts can be checked. @returns {Uint32Array} */
  shuffled() {
    const random = new Random(SEED ^ 0x5bd1e995);
    const order = Uint32Array.from({ length: this.count }, (_, index) => index);
    for (let last = this.count - 1; last > 0; last -= 1) {
      const other = random.below(last + 1);
      const kept = /** @type {number} */ (order[last]);
      order[last] = /** @type {number} */ (order[other]);
      order[other] = kept;
    }
    return order;
  }
}

/** @param {number} index */
const valueStart = (index) => ((Math.imul(index, 7919) >>> 0) % VALUES) * VALUE_BYTES;

/** The same byte of a value that came from an engine. @param {Uint8Array} value @returns {number} */
export const checkByte = (value) => /** @type {number} */ (value[CHECKED_BYTE]);

/** Counts what a scan gives, and looks into every value, so that no engine can get away with giving views on nothing. */
export class Tally {
  count = 0;
  bytes = 0;
  checksum = 0;

  /** @param {Uint8Array} key @param {Uint8Array} value */
  add(key, value) {
    this.count += 1;
    this.bytes += key.length + value.length;
    this.checksum += checkByte(value);
  }

  /** @param {Uint8Array} key */
  addKey(key) {
    this.count += 1;
    this.bytes += key.length;
    this.checksum += /** @type {number} */ (key[key.length - 1]);
  }
}

/** Throws where the answers are wrong: a benchmark of wrong answers is none. @param {boolean} isRight @param {string} what */
export function check(isRight, what) {
  if (!isRight) throw new Error(`Wrong answer: ${what}`);
}
