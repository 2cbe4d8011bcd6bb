/** Figures as Markdown. */
import { summarize } from './statistics.mjs';

/** @typedef {import('./question.mjs').Question} Question */
/** @typedef {import('./question.mjs').Row} Row */
/** @typedef {import('./engines.mjs').Variant} Variant */
/** @typedef {import('./statistics.mjs').Summary} Summary */

/** A figure without unit: three digits that matter, thousands apart. @param {number} value @returns {string} */
function formatNumber(value) {
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
function summaryOf(results, question, variant, figure) {
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

/** The figure to reach, and whether it is. @param {Comparison} comparison @returns {readonly [string, string]} */
export function verdictOf({ row, ours, ratio }) {
  if (row.ratioMin !== undefined) {
    return [`at least ${row.ratioMin} x`, ratio === undefined ? 'no figure' : reached(ratio >= row.ratioMin)];
  }
  if (row.valueMin !== undefined) {
    const limit = `at least ${row.valueMin.toLocaleString('en')} ${row.unit}`;
    return [limit, ours === undefined ? 'no figure' : reached(ours.median >= row.valueMin)];
  }
  if (row.valueMax !== undefined) {
    const limit = `under ${row.valueMax} ${row.unit}`;
    return [limit, ours === undefined ? 'no figure' : reached(ours.median < row.valueMax)];
  }
  return ['', ''];
}

/** @param {boolean} isReached */
const reached = (isReached) => (isReached ? 'reached' : '**not reached**');

/** @param {Row} row @param {number | undefined} ratio @returns {string} */
export function formatRatio({ better }, ratio) {
  if (ratio === undefined || !Number.isFinite(ratio)) return 'n/a';
  return `${ratio.toFixed(2)} x${better === 'lower' ? ' (less is better)' : ''}`;
}
