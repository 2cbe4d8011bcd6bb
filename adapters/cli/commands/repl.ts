import { createInterface, type Interface } from 'node:readline';
import { Readable } from 'node:stream';
import { realpath } from 'node:fs/promises';
import type { Command, Context } from '../command.ts';
import type { Input } from '../input.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { describeError, exitCodeOf, UsageError } from '../failure.ts';
import type { CommandStore, OpenStore } from '../open-store.ts';
import { findCommand, groupAskedFor, runLine, type Surroundings } from '../run.ts';
import { DATABASE } from '../shared-options.ts';
import { splitWords } from '../split-words.ts';
import { type Ask, Talk } from '../talk.ts';
import { withStore } from '../with-store.ts';

const PROMPT = 'alluvium> ';

/** @param commandsOf - the table that this command is in itself */
export const repl = (commandsOf: () => readonly Command[]): Command => ({
  name: 'repl',
  summary: 'Open a store once, and take command after command',
  positionals: [DATABASE],
  options: {
    create: { kind: 'flag', help: 'Make the database if there is none' },
    'read-only': { kind: 'flag', help: 'Refuse all that writes' },
  },
  details: [
    'Lines are the commands of this program without the name of the database. Ctrl-C ends a command, Ctrl-D or exit the shell.',
    'From a pipe, lines run one after the other; the exit code is that of the last one that failed.',
  ],
  examples: ['repl ./data', `repl ./data < commands.txt`],
  standsAlone: true,
  async run(context) {
    const { flags } = context;
    const mode = flags.has('read-only') ? 'read' : flags.has('create') ? 'create' : 'write';
    return withStore(context, mode, (store) => new Shell(context, store, commandsOf()).run());
  },
});

class Shell {
  readonly #context: Context;
  readonly #store: CommandStore;
  readonly #commands: readonly Command[];
  readonly #lines: Interface;
  readonly #isTerminal: boolean;
  /** What commands have for stdin: the lines there are the shell's. */
  readonly #input: Input;
  readonly #talk: Talk;
  /** Ends the command that runs now. */
  #running: AbortController | undefined;

  constructor(context: Context, store: CommandStore, commands: readonly Command[]) {
    this.#context = context;
    this.#store = store;
    this.#commands = commands.filter(({ standsAlone = false }) => !standsAlone);
    const { input } = context;
    this.#isTerminal = input.isTTY === true && process.stderr.isTTY;
    this.#lines = createInterface({
      input,
      output: process.stderr, // talk: stdout is for data alone
      terminal: this.#isTerminal,
      prompt: PROMPT,
      completer: (line: string) => this.#complete(line),
    });
    const ask: Ask = (question) => new Promise((resolve) => this.#lines.question(question, resolve));
    this.#input = Object.assign(Readable.from([]), { isTTY: this.#isTerminal });
    this.#talk = new Talk(process.stderr, this.#input, ask);
    this.#lines.on('SIGINT', () => {
      if (this.#running !== undefined) this.#running.abort(new UsageError('interrupted'));
      else if (this.#lines.line === '') context.talk.note('\nCtrl-D or exit ends the shell');
      this.#prompt();
    });
  }

  async run(): Promise<ExitCode> {
    const { signal, out } = this.#context;
    const close = (): void => this.#lines.close();
    signal.addEventListener('abort', close, { once: true });
    let worst: ExitCode = EXIT.done;
    try {
      this.#prompt();
      for await (const line of this.#lines) {
        const text = line.trim();
        if (text === 'exit' || text === 'quit') break;
        const code = text === '' ? EXIT.done : await this.#runText(text);
        if (code !== EXIT.done) worst = code;
        if (out.isClosed || signal.aborted) break;
        this.#prompt();
      }
    } finally {
      signal.removeEventListener('abort', close);
      this.#lines.close();
    }
    return this.#isTerminal ? EXIT.done : worst;
  }

  #prompt(): void {
    if (this.#isTerminal && this.#running === undefined) this.#lines.prompt();
  }

  async #runText(text: string): Promise<ExitCode> {
    const { signal, out, talk } = this.#context;
    const running = new AbortController();
    this.#running = running;
    try {
      const around = this.#surroundings(AbortSignal.any([signal, running.signal]));
      const code = await runLine(this.#withDatabase(splitWords(text)), around);
      await out.flush();
      return code;
    } catch (error) {
      await out.flush();
      if (running.signal.aborted) {
        talk.note('interrupted');
        return EXIT.interrupted;
      }
      talk.error(describeError(error));
      return exitCodeOf(error);
    } finally {
      this.#running = undefined;
    }
  }

  #surroundings(signal: AbortSignal): Surroundings {
    const { out } = this.#context;
    const [input, talk] = [this.#input, this.#talk];
    const open: OpenStore = async (location, mode, options) => {
      const isOurs = (await realpath(location).catch(() => location)) === this.#store.location;
      return isOurs
        ? { store: this.#store, close: () => Promise.resolve() }
        : this.#context.open(location, mode, options);
    };
    return { commands: this.#commands, out, talk, input, open, signal };
  }

  /** The words with the name of the database where a command of the program has it. */
  #withDatabase(words: readonly string[]): readonly string[] {
    const isHelp = words[0] === 'help' || words[0] === '--help' || words[0] === '-h';
    if (isHelp || words[0] === undefined || groupAskedFor(this.#commands, words) !== undefined) return words;
    const { command, rest } = findCommand(this.#commands, words);
    return [...command.name.split(' '), this.#store.location, ...rest];
  }

  #complete(line: string): [string[], string] {
    const names = [...this.#commands.map(({ name }) => `${name} `), 'help ', 'exit '];
    return [names.filter((name) => name.startsWith(line)), line];
  }
}
