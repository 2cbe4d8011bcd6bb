/**
 * Asks questions of variants, round after round: A B A B, so that a machine that is busy for a while is so for everyone.
 * Each question runs in a process of its own. Directories are new in every round, and removed after it.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fill } from '../questions/fill.mjs';
import { withTemporaryDirectory } from './temporary.mjs';

/** @typedef {import('./question.mjs').Question} Question */
/** @typedef {import('../engines/engine.mjs').Variant} Variant */

/**
 * @typedef {object} Order - what a child process is to do
 * @property {string} question
 * @property {'prepare' | 'ask'} part
 * @property {string} directory
 * @property {Variant} variant
 * @property {import('./question.mjs').Scale} scale
 */

/**
 * @typedef {object} Answer
 * @property {Record<string, number>} figures
 * @property {number} peakMemoryBytes
 */

/** @typedef {{ readonly answers: Answer[], failure?: string }} Outcome */

/** Longest time for one question of one engine: more is a hang. */
const QUESTION_MS_MAX = 10 * 60 * 1000;
const CHILD = fileURLToPath(new URL('../child.mjs', import.meta.url));

/** Answers by question and variant. */
export class Results {
  /** @type {Map<string, Outcome>} */
  #outcomes = new Map();

  /** @param {Question} question @param {Variant} variant @returns {Outcome} */
  of(question, variant) {
    const key = `${question.name} ${variant.name}`;
    let outcome = this.#outcomes.get(key);
    if (outcome === undefined) this.#outcomes.set(key, (outcome = { answers: [] }));
    return outcome;
  }

  /** @returns {boolean} */
  get hasFailures() {
    return [...this.#outcomes.values()].some(({ failure }) => failure !== undefined);
  }

  /** @returns {Record<string, Outcome>} */
  toJSON() {
    return Object.fromEntries(this.#outcomes);
  }
}

/**
 * @param {object} plan
 * @param {readonly Question[]} plan.questions
 * @param {(question: Question) => readonly Variant[]} plan.variantsOf
 * @param {number} plan.runs
 * @param {import('./question.mjs').Scale} plan.scale
 * @param {string} plan.directory - where to make the stores; on a real disk
 * @param {(line: string) => void} plan.onProgress
 * @returns {Promise<Results>}
 */
export async function runAll({ questions, variantsOf, runs, scale, directory, onProgress }) {
  const results = new Results();
  for (let run = 0; run < runs; run += 1) {
    await withTemporaryDirectory(directory, 'alluvium-bench-', async (root) => {
      const round = new Round({ root, scale, results, onProgress, name: `${run + 1}/${runs}` });
      for (const question of questions) {
        const variants = variantsOf(question);
        // Who begins changes from round to round: the first may find the machine in another state than the second.
        const ordered = run % 2 === 0 ? variants : [...variants].reverse();
        for (const variant of ordered) await round.ask(question, variant);
      }
    });
  }
  return results;
}

/** One pass over all questions, with the directories that it makes. */
class Round {
  #parts;
  /** Directories of filled stores, by variant. @type {Map<string, string>} */
  #filled = new Map();

  /** @param {{ root: string, scale: import('./question.mjs').Scale, results: Results, onProgress: (line: string) => void, name: string }} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** @param {Question} question @param {Variant} variant */
  async ask(question, variant) {
    const { results, onProgress, name } = this.#parts;
    const outcome = results.of(question, variant);
    if (outcome.failure !== undefined) return; // once is enough
    try {
      const answer = await this.#answer(question, variant);
      outcome.answers.push(answer);
      const figures = Object.entries(answer.figures).map(([figure, value]) => `${figure} ${value.toPrecision(4)}`);
      onProgress(`${name}  ${question.name}  ${variant.name}  ${figures.join('  ')}`);
    } catch (error) {
      const complaint = error instanceof Error ? error.message : String(error);
      outcome.failure = reasonIn(complaint);
      onProgress(`${name}  ${question.name}  ${variant.name}  FAILED: ${complaint}`);
    }
  }

  /** @param {Question} question @param {Variant} variant @returns {Promise<Answer>} */
  async #answer(question, variant) {
    if (question === fill) {
      await this.#dropFilled(variant);
      const { directory, answer } = await this.#fill(variant);
      this.#filled.set(variant.name, directory);
      return answer;
    }
    if (question.store === 'filled') {
      let directory = this.#filled.get(variant.name);
      if (directory === undefined) {
        ({ directory } = await this.#fill(variant));
        this.#filled.set(variant.name, directory);
      }
      return this.#run(question, variant, directory);
    }
    const directory = this.#newDirectory(question, variant);
    try {
      return await this.#run(question, variant, directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** @param {Variant} variant */
  async #fill(variant) {
    const directory = this.#newDirectory(fill, variant);
    return { directory, answer: await this.#run(fill, variant, directory) };
  }

  /** @param {Variant} variant */
  async #dropFilled(variant) {
    const directory = this.#filled.get(variant.name);
    this.#filled.delete(variant.name);
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }

  /** @param {Question} question @param {Variant} variant */
  #newDirectory(question, variant) {
    return join(this.#parts.root, `${question.name} ${variant.name}`.replaceAll(/[^\w.-]+/g, '-'));
  }

  /** @param {Question} question @param {Variant} variant @param {string} directory @returns {Promise<Answer>} */
  async #run(question, variant, directory) {
    const { scale } = this.#parts;
    const order = { question: question.name, directory, variant, scale };
    if (question.prepare !== undefined) await runChild({ ...order, part: 'prepare' });
    return /** @type {Answer} */ (await runChild({ ...order, part: 'ask' }));
  }
}

/**
 * Starts a child process, waits for its message, and for its end. A child that only prepares is killed as soon as it has
 * said that it is ready.
 *
 * @param {Order} order
 * @returns {Promise<unknown>} its message
 */
async function runChild(order) {
  const child = fork(CHILD, [JSON.stringify(order)], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  const timeout = setTimeout(() => child.kill('SIGKILL'), QUESTION_MS_MAX);
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text) => (complaint = (complaint + text).slice(-4000)));
  /** @type {unknown} */
  let message;
  child.on('message', (received) => {
    message = received;
    if (order.part === 'prepare') child.kill('SIGKILL');
  });
  try {
    const [code, signal] = await once(child, 'close');
    if (message === undefined || (order.part === 'ask' && code !== 0)) {
      throw new Error(`the process ended with ${signal ?? code}: ${complaint.trim()}`);
    }
    return message;
  } finally {
    clearTimeout(timeout);
  }
}

/** Of what a process says before it ends: the error, without the place in a file of this machine. @param {string} complaint */
const reasonIn = (complaint) => /^\w*Error: .*$/m.exec(complaint)?.[0] ?? complaint.split('\n')[0] ?? '';
