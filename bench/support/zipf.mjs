/**
 * Numbers by Zipf's law: few are drawn often, most hardly ever. After Gray et al., "Quickly generating billion-record synthetic
 * databases" (SIGMOD 1994), with the skew that YCSB uses.
 */
const SKEW = 0.99;

export class Zipf {
  #count;
  #zeta;
  #alpha;
  #eta;

  /** @param {number} count - numbers are from 0 up to, not including, this; 0 is the most frequent */
  constructor(count) {
    this.#count = count;
    let zeta = 0;
    for (let rank = 1; rank <= count; rank += 1) zeta += 1 / rank ** SKEW;
    const zetaOfTwo = 1 + 1 / 2 ** SKEW;
    this.#zeta = zeta;
    this.#alpha = 1 / (1 - SKEW);
    this.#eta = (1 - (2 / count) ** (1 - SKEW)) / (1 - zetaOfTwo / zeta);
  }

  /** @param {import('./data.mjs').Random} random @returns {number} */
  draw(random) {
    const part = random.below(2 ** 30) / 2 ** 30;
    const scaled = part * this.#zeta;
    if (scaled < 1) return 0;
    if (scaled < 1 + 0.5 ** SKEW) return 1;
    return Math.min(this.#count - 1, Math.floor(this.#count * (this.#eta * part - this.#eta + 1) ** this.#alpha));
  }
}
