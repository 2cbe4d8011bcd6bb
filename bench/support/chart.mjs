/** Figures as a picture: one bar for each engine of each row, as a share of the row's best. SVG, readable by day and by night. */

/**
 * @typedef {object} Bar
 * @property {string} label - the engine
 * @property {number} value
 * @property {string} text - the value with its unit
 * @property {boolean} isOurs
 *
 * @typedef {object} Cluster - one row of the report
 * @property {string} title
 * @property {'higher' | 'lower'} better
 * @property {readonly Bar[]} bars
 */

const WIDTH = 900;
const LABELS_WIDTH = 130;
const VALUES_WIDTH = 170;
const BAR_HEIGHT = 15;
const BAR_STEP = 18;
const TITLE_HEIGHT = 24;
const CLUSTER_GAP = 14;
const MARGIN = 16;
const TEXT_DROP = 12;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .value { fill: #59636e; }
  .ours { fill: #0969da; }
  .theirs { fill: #afb8c1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .value { fill: #9198a1; } .ours { fill: #4493f8; } .theirs { fill: #656c76; }
  }`;

/** @param {string} text */
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @param {string} heading @param {readonly Cluster[]} clusters @returns {string} */
export function chart(heading, clusters) {
  let top = MARGIN;
  /** @type {string[]} */
  const parts = [];
  for (const { title, better, bars } of clusters) {
    const hint = better === 'lower' ? ' (less is better)' : '';
    parts.push(`<text class="title" x="${MARGIN}" y="${top + TEXT_DROP}">${escaped(title + hint)}</text>`);
    top += TITLE_HEIGHT;
    const most = Math.max(...bars.map(({ value }) => value));
    for (const { label, value, text, isOurs } of bars) {
      const room = WIDTH - 2 * MARGIN - LABELS_WIDTH - VALUES_WIDTH;
      const length = most > 0 ? Math.max(1, Math.round((value / most) * room)) : 1;
      const left = MARGIN + LABELS_WIDTH;
      const base = top + TEXT_DROP;
      parts.push(
        `<text x="${left - 8}" y="${base}" text-anchor="end">${escaped(label)}</text>`,
        `<rect class="${isOurs ? 'ours' : 'theirs'}" x="${left}" y="${top}" width="${length}" height="${BAR_HEIGHT}" rx="2"/>`,
        `<text class="value" x="${left + length + 6}" y="${base}">${escaped(text)}</text>`,
      );
      top += BAR_STEP;
    }
    top += CLUSTER_GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" role="img" aria-label="${escaped(heading)}">
<style>${STYLE}
</style>
${parts.join('\n')}
</svg>
`;
}
