/** What both commands understand. */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { engines } from '../engines/index.mjs';
import { questions } from '../questions/index.mjs';

/** @typedef {import('./question.mjs').Question} Question */
/** @typedef {import('../engines/engine.mjs').EngineName} EngineName */

const FULL = { entries: 1_000_000, seconds: 4 };
const QUICK = { entries: 200_000, seconds: 1.5 };
const RUNS = 3;

/**
 * @typedef {object} Given
 * @property {readonly Question[]} questions
 * @property {import('./question.mjs').Scale} scale
 * @property {boolean} isQuick
 * @property {number} runs
 * @property {string} directory
 * @property {boolean} isWriting - `--write`
 * @property {string | undefined} json - where to put everything that was measured
 * @property {number} tolerance
 * @property {readonly EngineName[]} peers - who is put beside Alluvium
 * @property {readonly string[]} rest
 */

/** @param {string} usage - printed with `--help`, which ends the process @returns {Given} */
export function readArguments(usage) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      full: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      engines: { type: 'string' },
      runs: { type: 'string', default: String(RUNS) },
      dir: { type: 'string', default: tmpdir() },
      write: { type: 'boolean', default: false },
      json: { type: 'string' },
      tolerance: { type: 'string', default: '0.1' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(`${usage}\n\nQuestions: ${questions.map(({ name }) => name).join(', ')}`);
    process.exit(0);
  }
  return {
    questions:
      values.only === undefined
        ? questions.filter(({ isLong }) => values.full || isLong !== true)
        : chosen(values.only.split(',')),
    scale: values.quick ? QUICK : FULL,
    isQuick: values.quick,
    runs: positive('--runs', values.runs),
    directory: values.dir,
    isWriting: values.write,
    json: values.json,
    tolerance: positive('--tolerance', values.tolerance),
    peers: peersOf(values.engines?.split(',')),
    rest: positionals,
  };
}

/** Names, or beginnings of names: `put` is all puts. @param {readonly string[]} names @returns {Question[]} */
function chosen(names) {
  const found = new Set(
    names.flatMap((name) => {
      const exact = questions.filter((question) => question.name === name);
      const matching = exact.length > 0 ? exact : questions.filter((question) => question.name.startsWith(name));
      if (matching.length === 0) throw new Error(`No question begins with ${name}`);
      return matching;
    }),
  );
  return questions.filter((question) => found.has(question)); // in the order of the questions, which matters
}

/** @param {readonly string[] | undefined} names @returns {readonly EngineName[]} */
function peersOf(names) {
  const all = /** @type {EngineName[]} */ (Object.keys(engines)).filter((name) => name !== 'alluvium');
  const unknown = names?.find((name) => !(name in engines));
  if (unknown !== undefined) throw new Error(`No such engine: ${unknown}`);
  return names === undefined ? all : all.filter((name) => names.includes(name));
}

/** @param {string} name @param {string} text @returns {number} */
function positive(name, text) {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${name} must be a number above 0, and is ${text}`);
  return value;
}
