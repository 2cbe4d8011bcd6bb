/** Of several runs: the middle one, and the outermost. */

/**
 * @typedef {object} Summary
 * @property {number} median
 * @property {number} min
 * @property {number} max
 * @property {number} runs
 */

/** @param {readonly number[]} values - at least one @returns {Summary} */
export function summarize(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = (sorted.length - 1) / 2;
  const at = (/** @type {number} */ index) => /** @type {number} */ (sorted[index]);
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
    runs: sorted.length,
  };
}
