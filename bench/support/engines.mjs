/** Opens engines, and looks at what they hold. What an engine is: `engines/engine.mjs`. */
import { engines } from '../engines/index.mjs';
import { check, Tally } from './data.mjs';

/** @typedef {import('../engines/engine.mjs').Driver} Driver */
/** @typedef {import('../engines/engine.mjs').Durability} Durability */
/** @typedef {import('../engines/engine.mjs').Variant} Variant */

/**
 * @param {string} directory
 * @param {Variant} variant
 * @param {Durability} durability
 * @param {{ readonly inFlight?: number }} [settings] - how many puts will be under way at a time; default 1
 * @returns {Promise<Driver>}
 */
export async function openEngine(directory, variant, durability, { inFlight = 1 } = {}) {
  const openIt = await engines[variant.engine].load(variant);
  return openIt({ directory, durability, writeBufferBytes: variant.writeBufferBytes, inFlight });
}

/**
 * Loads the engine's code without opening anything, so that opening can be timed alone.
 *
 * @param {Variant} variant
 * @returns {Promise<(directory: string, variant: Variant, durability: Durability) => Promise<Driver>>}
 */
export async function loadEngine(variant) {
  const openIt = await engines[variant.engine].load(variant);
  return (directory, { writeBufferBytes }, durability) =>
    openIt({ directory, durability, writeBufferBytes, inFlight: 1 });
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
