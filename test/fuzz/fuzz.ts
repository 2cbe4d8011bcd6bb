/**
 * Coverage-guided fuzzing: inputs are made by changing earlier ones; those that lead the decoder where none has led it before
 * are kept, and changed further. The same seed makes the same inputs.
 *
 * Asking V8 what ran takes milliseconds, a decoder microseconds: so it is asked once for many inputs, and only if something
 * new is among them, half by half, which one it was. The idea is AFL's; its text is at https://lcamtuf.coredump.cx/afl/.
 */
import { randomOf } from '../support/runs.ts';
import { CoverageMap } from './coverage-map.ts';
import { type Finding, judge, shrink } from './judge.ts';
import { Mutator } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

const BATCH_INPUTS = 64;
const FINDINGS_MAX = 5;
/** For fewer inputs the guide costs more than it gives. */
const GUIDED_FROM = 1_000;

export interface FoundInput extends Finding {
  /** Hexadecimal; of an error, as short as can be. */
  readonly input: string;
}

export interface FuzzReport {
  readonly executions: number;
  /** Inputs that were kept, the seeds included. */
  readonly corpus: number;
  /** Characters of our code that ran. */
  readonly covered: number;
  readonly findings: readonly FoundInput[];
}

export interface FuzzSettings {
  readonly seed: number;
  /** Inputs to try. */
  readonly executions: number;
  /** Stop at so many findings; default 5. */
  readonly findingsMax?: number;
  /** Whether coverage guides; default: from 1,000 inputs on. Without, nothing but the seeds is ever changed. */
  readonly isGuided?: boolean;
}

export function fuzz(target: FuzzTarget, settings: FuzzSettings): Promise<FuzzReport> {
  return new Fuzzer(target, settings).run();
}

class Fuzzer {
  readonly #target: FuzzTarget;
  readonly #settings: FuzzSettings;
  readonly #coverage = new CoverageMap();
  readonly #mutator: Mutator;
  readonly #corpus: Uint8Array[] = [];
  readonly #findings: FoundInput[] = [];
  #executions = 0;

  constructor(target: FuzzTarget, settings: FuzzSettings) {
    this.#target = target;
    this.#settings = settings;
    this.#mutator = new Mutator(target, randomOf(settings.seed));
  }

  async run(): Promise<FuzzReport> {
    const { findingsMax = FINDINGS_MAX, executions, isGuided = executions >= GUIDED_FROM } = this.#settings;
    for (const seed of this.#target.seeds()) {
      await this.#try(seed);
      this.#corpus.push(seed);
    }
    this.#coverage.observe(true);
    while (this.#executions < executions && this.#findings.length < findingsMax) {
      const batch = Array.from({ length: Math.min(BATCH_INPUTS, executions - this.#executions) }, () => this.#make());
      if (isGuided) this.#coverage.clear();
      for (const input of batch) {
        if (this.#findings.length < findingsMax) await this.#try(input);
      }
      if (isGuided && this.#coverage.observe(false)) await this.#keepNew(batch);
    }
    return {
      executions: this.#executions,
      corpus: this.#corpus.length,
      covered: this.#coverage.covered,
      findings: this.#findings,
    };
  }

  /** Inputs kept last are changed oftener: they are the furthest. */
  #make(): Uint8Array {
    const corpus = this.#corpus;
    const mutator = this.#mutator;
    const index = mutator.below(3) === 0 ? corpus.length - 1 - mutator.below(Math.min(8, corpus.length)) : undefined;
    const parent = corpus[index ?? mutator.below(corpus.length)] as Uint8Array;
    const changed = mutator.mutate(parent, corpus[mutator.below(corpus.length)] as Uint8Array);
    return this.#target.seal !== undefined && mutator.below(8) > 0 ? this.#target.seal(changed) : changed;
  }

  async #try(input: Uint8Array): Promise<void> {
    this.#executions += 1;
    const finding = await judge(this.#target, input);
    if (finding === undefined || this.#isKnown(finding)) return;
    const shrunk = finding.kind === 'error' ? await shrink(this.#target, input) : input;
    this.#findings.push({ ...finding, input: Buffer.from(shrunk).toString('hex') });
  }

  /** By where it was thrown, for one bug has many inputs. */
  #isKnown({ kind, detail }: Finding): boolean {
    const place = (text: string): string => text.replace(/\d+/g, '').slice(0, 200);
    return this.#findings.some((known) => known.kind === kind && place(known.detail) === place(detail));
  }

  /** Finds in halves which of the inputs is new. */
  async #keepNew(inputs: readonly Uint8Array[]): Promise<void> {
    this.#coverage.clear();
    for (const each of inputs) await judge(this.#target, each);
    const [input] = inputs;
    if (inputs.length === 1 && input !== undefined) {
      if (this.#coverage.observe(true)) this.#corpus.push(input);
    } else if (this.#coverage.observe(false)) {
      const half = inputs.length >> 1;
      await this.#keepNew(inputs.slice(0, half));
      await this.#keepNew(inputs.slice(half));
    }
  }
}
