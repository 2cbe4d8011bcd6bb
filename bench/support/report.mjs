/** Figures as Markdown. */
import { summarize } from './statistics.mjs';

/** @typedef {import('./question.mjs').Question} Question */
/** @typedef {import('./question.mjs').Row} Row */
/** @typedef {import('../engines/engine.mjs').Variant} Variant */
/** @typedef {import('./statistics.mjs').Summary} Summary */

/** A figure without unit: three digits that matter, thousands apart. @param {number} value @returns {string} */
export function formatNumber(value) {
  if (!Number.isFinite(value)) return String(value);
  if (value >= 100) return Math.round(value).toLocaleString('en');
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/**
 * The summary of one figure, or undefined where no run has it.
 *
 * @param {import('./runner.mjs').Results} results
 * @param {Question} question
 * @param {Variant} variant
 * @param {string} figure
 * @returns {Summary | undefined}
 */
export function summaryOf(results, question, variant, figure) {
  const values = results.of(question, variant).answers.map(({ figures }) => figures[figure]);
  const numbers = values.filter((value) => value !== undefined);
  return numbers.length === 0 ? undefined : summarize(numbers);
}

/**
 * The median of one row, and from where to where the runs went; or why there is none.
 *
 * @param {import('./runner.mjs').Results} results
 * @param {Question} question
 * @param {Variant} variant
 * @param {Row} row
 * @returns {string}
 */
export function formatCell(results, question, variant, { figure, unit, beside = {} }) {
  const summary = summaryOf(results, question, variant, figure);
  if (summary === undefined) return `failed: ${results.of(question, variant).failure?.split('\n')[0] ?? 'no answer'}`;
  const { median, min, max } = summary;
  const cell = `${formatNumber(median)} ${unit} (${formatNumber(min)} to ${formatNumber(max)})`;
  const others = Object.entries(beside).map(([name, other]) => {
    const besides = summaryOf(results, question, variant, other);
    return `${name} ${besides === undefined ? 'n/a' : formatNumber(besides.median)}`;
  });
  return [cell, ...others].join('; ');
}

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows @returns {string} */
export function markdownTable(head, rows) {
  const line = (/** @type {readonly string[]} */ cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/**
 * @typedef {object} Comparison
 * @property {Question} question
 * @property {Row} row
 * @property {Variant} rival
 * @property {Summary | undefined} ours
 * @property {Summary | undefined} theirs
 * @property {number | undefined} ratio - of the medians, ours to theirs
 */

/**
 * Every row of every question, once per rival.
 *
 * @param {import('./runner.mjs').Results} results
 * @param {readonly Question[]} questions
 * @param {Variant} own
 * @param {(question: Question) => readonly Variant[]} rivalsOf
 * @returns {Comparison[]}
 */
export function compareAll(results, questions, own, rivalsOf) {
  return questions.flatMap((question) =>
    question.rows.flatMap((row) =>
      rivalsOf(question).map((rival) => {
        const ours = summaryOf(results, question, own, row.figure);
        const theirs = summaryOf(results, question, rival, row.figure);
        const ratio = ours === undefined || theirs === undefined ? undefined : ours.median / theirs.median;
        return { question, row, rival, ours, theirs, ratio };
      }),
    ),
  );
}

/**
 * The best of the peers that a row is measured by.
 *
 * @param {import('./runner.mjs').Results} results
 * @param {Question} question
 * @param {Row} row
 * @param {readonly Variant[]} peers
 * @param {readonly import('./question.mjs').EngineName[]} [to] - who counts; default: all but memory-level
 * @returns {{ readonly variant: Variant, readonly summary: Summary } | undefined}
 */
export function bestPeer(results, question, row, peers, to) {
  /** @type {{ readonly variant: Variant, readonly summary: Summary } | undefined} */
  let best;
  for (const variant of peers) {
    const { engine } = variant;
    if (to === undefined ? engine === 'memory-level' : !to.includes(engine)) continue;
    const summary = summaryOf(results, question, variant, row.figure);
    if (summary === undefined) continue;
    const isBetter =
      best === undefined ||
      (row.better === 'higher' ? summary.median > best.summary.median : summary.median < best.summary.median);
    if (isBetter) best = { variant, summary };
  }
  return best;
}

/**
 * How many times as good: above 1, ours is better.
 *
 * @param {Row} row
 * @param {Summary | undefined} ours
 * @param {Summary | undefined} theirs
 * @returns {number | undefined}
 */
export function gainOf({ better }, ours, theirs) {
  if (ours === undefined || theirs === undefined) return undefined;
  const gain = better === 'higher' ? ours.median / theirs.median : theirs.median / ours.median;
  return Number.isFinite(gain) ? gain : undefined;
}

/**
 * The figures to reach, and whether they are.
 *
 * @param {import('./runner.mjs').Results} results
 * @param {Question} question
 * @param {Row} row
 * @param {Variant} own
 * @param {readonly Variant[]} peers
 * @returns {readonly [toReach: string, verdict: string]}
 */
export function verdictOf(results, question, row, own, peers) {
  const ours = summaryOf(results, question, own, row.figure);
  /** @type {{ readonly text: string, readonly isMet: boolean | undefined }[]} */
  const limits = (row.goals ?? []).map(({ min, to }) => {
    const gain = gainOf(row, ours, bestPeer(results, question, row, peers, to)?.summary);
    return { text: `${min} x ${to?.join(' or ') ?? 'the best'}`, isMet: gain === undefined ? undefined : gain >= min };
  });
  if (row.valueMin !== undefined) {
    const isMet = ours === undefined ? undefined : ours.median >= row.valueMin;
    limits.push({ text: `at least ${row.valueMin.toLocaleString('en')} ${row.unit}`, isMet });
  }
  if (row.valueMax !== undefined) {
    const isMet = ours === undefined ? undefined : ours.median < row.valueMax;
    limits.push({ text: `under ${row.valueMax} ${row.unit}`, isMet });
  }
  if (limits.length === 0) return ['', ''];
  const isAll = limits.every(({ isMet }) => isMet === true);
  const isUnknown = limits.some(({ isMet }) => isMet === undefined);
  const verdict = isAll ? 'reached' : isUnknown ? 'no figure' : '**not reached**';
  return [limits.map(({ text }) => text).join(', '), verdict];
}
