/** One command line, from its words to its exit code. */
import type { Command, Context } from './command.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';
import { commandHelp, groupHelp, overview } from './help.ts';
import { painter } from './paint.ts';
import { parseArguments } from './parse-arguments.ts';
import { suggestionFor } from './suggest.ts';

/** What all commands of one process share. */
export type Surroundings = Omit<Context, 'flags' | 'positionals'> & { readonly commands: readonly Command[] };

/** @returns rejects with what the command failed with */
export async function runLine(words: readonly string[], around: Surroundings): Promise<ExitCode> {
  const { commands, out, talk } = around;
  const paint = painter(out.hasColours);
  const print = async (lines: readonly string[]): Promise<ExitCode> => {
    for (const line of lines) await out.line(line);
    return EXIT.done;
  };
  const [first] = words;
  if (first === undefined) {
    for (const line of overview(commands, talk.paint)) talk.line(line);
    return EXIT.usage;
  }
  const wantsHelp = isHelp(first);
  const asked = wantsHelp ? words.filter((word) => !isHelp(word)) : words;
  if (asked.length === 0) return print(overview(commands, paint));
  const group = groupAskedFor(commands, wantsHelp ? [...asked, 'help'] : asked);
  if (group !== undefined) return print(groupHelp(group, paint));
  const { command, rest } = findCommand(commands, asked);
  if (wantsHelp) return print(commandHelp(command, paint));
  const { flags, positionals, wantsHelp: asksForHelp } = parseArguments(command, rest);
  if (asksForHelp) return print(commandHelp(command, paint));
  return command.run({ ...around, flags, positionals });
}

const isHelp = (word: string | undefined): boolean => word === 'help' || word === '--help' || word === '-h';

/** The commands that begin with the first of the words, if help is wanted with all of these: `consumers --help`. */
export function groupAskedFor(
  commands: readonly Command[],
  [first = '', second]: readonly string[],
): readonly Command[] | undefined {
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  return group.length > 0 && isHelp(second) ? group : undefined;
}

export interface Found {
  readonly command: Command;
  readonly rest: readonly string[];
}

/** @throws UsageError */
export function findCommand(commands: readonly Command[], words: readonly string[]): Found {
  const [first = '', second = ''] = words;
  const byTwo = commands.find(({ name }) => name === `${first} ${second}`);
  if (byTwo !== undefined) return { command: byTwo, rest: words.slice(2) };
  const byOne = commands.find(({ name }) => name === first);
  if (byOne !== undefined) return { command: byOne, rest: words.slice(1) };
  const seconds = commands
    .filter(({ name }) => name.startsWith(`${first} `))
    .map(({ name }) => name.slice(first.length + 1));
  if (seconds.length > 0) {
    const suggestion = suggestionFor(second, seconds);
    throw new UsageError(`${first} needs one of ${seconds.join(', ')} behind it.${suggestion}`);
  }
  const names = [...new Set(commands.map(({ name }) => name.split(' ')[0] ?? ''))];
  const suggestion = suggestionFor(first, names);
  throw new UsageError(`there is no command ${JSON.stringify(first)}.${suggestion} alluvium --help lists them.`);
}
