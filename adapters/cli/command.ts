/** What a command is: a row of the table in `commands.ts`. */
import type { ExitCode } from './exit-code.ts';
import type { Flags } from './flags.ts';
import type { Input } from './input.ts';
import type { OpenStore } from './open-store.ts';
import type { OptionTable } from './option-table.ts';
import type { Output } from './output.ts';
import type { Talk } from './talk.ts';

/** What a command is run with. */
export interface Context {
  readonly flags: Flags;
  /** At least as many as the command asks for, at most as many as it takes. */
  readonly positionals: readonly string[];
  readonly out: Output;
  readonly talk: Talk;
  readonly input: Input;
  /** Ends by Ctrl-C, SIGTERM, or a reader of our output that went away. */
  readonly signal: AbortSignal;
  readonly open: OpenStore;
}

export interface Positional {
  readonly name: string;
  readonly isOptional?: boolean;
  readonly isRepeated?: boolean;
}

export interface Command {
  /** One or two words. */
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  readonly positionals: readonly Positional[];
  readonly options: OptionTable;
  /** More to know, as lines. */
  readonly details?: readonly string[];
  /** Command lines without the name of the program. */
  readonly examples: readonly string[];
  /** It is not about one open store, named by its first positional: so it has no place in the shell of `repl`. */
  readonly standsAlone?: boolean;
  run(context: Context): Promise<ExitCode>;
}
