/**
 * What the members of a store must find in it: the batches of each follow from its name and the seed of the run, so everybody
 * knows what everybody's keys must be after n of them.
 *
 *     own/<name>/<00 to 15>     set and deleted by batch n
 *     own-last/<name> = n       the last line of every batch
 */
const KEYS = 16;

/** A generator of numbers in [0, 1) for one text. */
export function randomOf(text) {
  let state = 0x811c9dc5;
  for (const char of text) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const prefixOf = (name) => `own/${name}/`;
export const lastKeyOf = (name) => `own-last/${name}`;
/** Behind all keys of a member. */
export const endOf = (name) => `own/${name}0`;

/** The n-th batch of a member, n from 1 on. The same key may be in it twice. */
export function batchOf(seed, name, n) {
  const random = randomOf(`${seed}/${name}/${n}`);
  const lines = [];
  for (let count = 1 + Math.floor(random() * 5); count > 0; count -= 1) {
    const key = prefixOf(name) + String(Math.floor(random() * KEYS)).padStart(2, '0');
    if (random() < 0.35) lines.push({ type: 'delete', key });
    else lines.push({ type: 'set', key, value: `${n}.${count}`.padEnd(Math.floor(random() * 200), '.') });
  }
  lines.push({ type: 'set', key: lastKeyOf(name), value: String(n) });
  return lines;
}

/** The keys and values of one member after so many of its batches. Goes forward at little cost, back from the beginning. */
export class Model {
  #seed;
  #name;
  #rows = new Map();
  #n = 0;

  constructor(seed, name) {
    this.#seed = seed;
    this.#name = name;
  }

  /** In the order of the keys. */
  rowsAfter(n) {
    if (n < this.#n) {
      this.#rows.clear();
      this.#n = 0;
    }
    while (this.#n < n) {
      this.#n += 1;
      for (const { type, key, value } of batchOf(this.#seed, this.#name, this.#n)) {
        if (key === lastKeyOf(this.#name)) continue;
        if (type === 'set') this.#rows.set(key, value);
        else this.#rows.delete(key);
      }
    }
    return [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** What differs, in words; `undefined`: nothing does. */
export function difference(found, expected) {
  const text = (rows) => rows.map(([key, value]) => `${key}=${value.slice(0, 12)}`).join(' ');
  const isSame =
    found.length === expected.length &&
    found.every(([key, value], index) => key === expected[index][0] && value === expected[index][1]);
  return isSame ? undefined : `found ${text(found)}, and expected ${text(expected)}`;
}
