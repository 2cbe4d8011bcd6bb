/** The help, made of the table of commands. */
import type { Command } from './command.ts';
import type { Paint } from './paint.ts';
import { optionsOf, placeholderOf, usageOf } from './parse-arguments.ts';
import { alignColumns } from './table-text.ts';

const PROGRAM = 'alluvium';

export function overview(commands: readonly Command[], paint: Paint): string[] {
  return [
    `${paint('bold', PROGRAM)}: look into a store, feed it and follow it`,
    '',
    `usage: ${PROGRAM} <command> <db> ...`,
    '',
    ...alignColumns(commands.map((command) => [`  ${command.name}`, command.summary])),
    '',
    `${PROGRAM} help <command> tells more, with examples. Data goes to stdout, and all talk to stderr.`,
    'exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 locked, 5 corruption, 6 conflict, 130 interrupted',
  ];
}

/** @param group - commands whose names begin with the same word */
export function groupHelp(group: readonly Command[], paint: Paint): string[] {
  const [word = ''] = group[0]?.name.split(' ') ?? [];
  return [
    `usage: ${PROGRAM} ${word} <command> <db> ...`,
    '',
    paint('bold', 'commands'),
    ...alignColumns(group.map((command) => [`  ${command.name}`, command.summary])),
    '',
    paint('bold', 'examples'),
    ...group.flatMap(({ examples }) => examples.slice(0, 1)).map((example) => `  ${PROGRAM} ${example}`),
    '',
    `${PROGRAM} help ${word} <command> tells more.`,
  ];
}

export function commandHelp(command: Command, paint: Paint): string[] {
  const table = optionsOf(command);
  const options = Object.entries(table).map(([name, { kind, short, help }]) => {
    const value = kind === 'flag' ? '' : ` <${placeholderOf(name, table)}>`;
    return [`  ${short === undefined ? '    ' : `-${short}, `}--${name}${value}`, help];
  });
  return [
    `${command.summary}.`,
    '',
    `usage: ${[PROGRAM, command.name, usageOf(command), '[options]'].filter((part) => part !== '').join(' ')}`,
    ...(command.details === undefined ? [] : ['', ...command.details]),
    '',
    paint('bold', 'options'),
    ...alignColumns(options),
    '',
    paint('bold', 'examples'),
    ...command.examples.map((example) => `  ${PROGRAM} ${example}`),
  ];
}
