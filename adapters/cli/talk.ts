/** Everything that is not data: notes, errors, progress and questions, on stderr. */
import { createInterface } from 'node:readline/promises';
import type { Input } from './input.ts';
import { escapeMessage } from './escape.ts';
import { UsageError } from './failure.ts';
import { wantsColours } from './output.ts';
import { type Paint, painter } from './paint.ts';
import { Progress, type ProgressSettings } from './progress.ts';

/** Puts a question to a person. */
export type Ask = (question: string, signal: AbortSignal) => Promise<string>;

export class Talk {
  readonly #stream: NodeJS.WriteStream;
  readonly #input: Input;
  readonly #ask: Ask | undefined;
  readonly paint: Paint;

  /** @param ask - how to ask, where the input is being read by somebody else already */
  constructor(stream: NodeJS.WriteStream, input: Input, ask?: Ask) {
    this.#stream = stream;
    this.#input = input;
    this.#ask = ask;
    this.paint = painter(stream.isTTY && wantsColours());
    stream.on('error', () => undefined); // whoever closed stderr does not want to hear
  }

  note(text: string): void {
    this.#stream.write(`${escapeMessage(text)}\n`);
  }

  /** A line of our own, in colours, with nobody's data in it. */
  line(text: string): void {
    this.#stream.write(`${text}\n`);
  }

  error(text: string): void {
    this.#stream.write(`${this.paint('red', 'alluvium:')} ${escapeMessage(text)}\n`);
  }

  progress(settings: ProgressSettings): Progress {
    return new Progress(this.#stream, settings);
  }

  /**
   * Lets a person say yes to what destroys something.
   *
   * @param isSure - whether `--yes` was given
   * @returns rejects with UsageError where nobody can be asked
   */
  async confirm(question: string, isSure: boolean, signal: AbortSignal): Promise<boolean> {
    if (isSure) return true;
    if (this.#input.isTTY !== true || !this.#stream.isTTY) {
      throw new UsageError(`${question} Say so with --yes, or look first with --dry-run.`);
    }
    const asked = `${escapeMessage(question)} [y/N] `;
    const answer = await (this.#ask === undefined ? this.#askAlone(asked, signal) : this.#ask(asked, signal));
    return /^y(es)?$/i.test(answer.trim());
  }

  async #askAlone(question: string, signal: AbortSignal): Promise<string> {
    const lines = createInterface({ input: this.#input, output: this.#stream });
    // Where readline has the terminal, Ctrl-C comes to it and not to the process.
    lines.on('SIGINT', () => void process.kill(process.pid, 'SIGINT'));
    try {
      return await lines.question(question, { signal });
    } finally {
      lines.close();
    }
  }
}
