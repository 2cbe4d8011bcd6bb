/** A command line, taken apart: `parseArgs` of Node does the splitting, and the rules and the sentences are ours. */
import { parseArgs } from 'node:util';
import type { Command } from './command.ts';
import type { OptionTable } from './option-table.ts';
import { UsageError } from './failure.ts';
import { Flags } from './flags.ts';
import { suggestionFor } from './suggest.ts';

/** Every command has them. */
export const COMMON_OPTIONS: OptionTable = {
  json: { kind: 'flag', help: 'Print NDJSON: one JSON value a line' },
  help: { kind: 'flag', short: 'h', help: 'Show this help' },
};

export interface ParsedArguments {
  readonly flags: Flags;
  readonly positionals: readonly string[];
  readonly wantsHelp: boolean;
}

export const optionsOf = (command: Command): OptionTable => ({ ...command.options, ...COMMON_OPTIONS });

export function parseArguments(command: Command, words: readonly string[]): ParsedArguments {
  const table = optionsOf(command);
  const { tokens } = parseArgs({
    args: [...words],
    options: Object.fromEntries(
      Object.entries(table).map(([name, { kind, short }]) => [
        name,
        {
          type: kind === 'flag' ? ('boolean' as const) : ('string' as const),
          ...(short === undefined ? {} : { short }),
        },
      ]),
    ),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const values = new Map<string, string | true>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind === 'option') values.set(token.name, valueOf(command, table, token));
  }
  const wantsHelp = values.has('help');
  if (!wantsHelp) checkPositionals(command, positionals);
  return { flags: new Flags(table, values), positionals, wantsHelp };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function valueOf(
  command: Command,
  table: OptionTable,
  { name, rawName, value, inlineValue }: OptionToken,
): string | true {
  const spec = Object.hasOwn(table, name) ? table[name] : undefined;
  if (spec === undefined) {
    const names = Object.keys(table).map((known) => `--${known}`);
    const suggestion = suggestionFor(`--${name}`, names);
    const advice = suggestion === '' ? ' Before a key or value that begins with a dash, put -- by itself.' : suggestion;
    throw new UsageError(`${command.name} has no option ${rawName}.${advice}`);
  }
  if (spec.kind === 'flag') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value.`);
    return true;
  }
  if (value === undefined) throw new UsageError(`${rawName} needs a value: ${placeholderOf(name, table)}.`);
  if (inlineValue !== true && /^--?[a-z]/i.test(value)) {
    throw new UsageError(`${rawName} needs a value; one that begins with a dash is written ${rawName}=${value}`);
  }
  if (spec.choices !== undefined && !spec.choices.includes(value)) {
    const suggestion = suggestionFor(value, spec.choices);
    throw new UsageError(
      `${rawName} must be one of ${spec.choices.join(', ')}, not ${JSON.stringify(value)}.${suggestion}`,
    );
  }
  return value;
}

export function placeholderOf(name: string, table: OptionTable): string {
  const spec = table[name];
  return spec?.placeholder ?? spec?.choices?.join('|') ?? (spec?.kind === 'number' ? 'n' : 'text');
}

/** `<db> <key>... [file]` */
export const usageOf = ({ positionals }: Command): string =>
  positionals
    .map(({ name, isOptional = false, isRepeated = false }) => {
      const dots = isRepeated ? '...' : '';
      return isOptional ? `[${name}]${dots}` : `<${name}>${dots}`;
    })
    .join(' ');

function checkPositionals(command: Command, given: readonly string[]): void {
  const { positionals } = command;
  const missing = positionals.find(({ isOptional = false }, index) => !isOptional && given[index] === undefined);
  if (missing !== undefined) {
    throw new UsageError(`${command.name} needs <${missing.name}>: alluvium ${command.name} ${usageOf(command)}`);
  }
  const extra = given[positionals.length];
  if (extra !== undefined && positionals.at(-1)?.isRepeated !== true) {
    throw new UsageError(
      `${command.name} takes no more than ${usageOf(command)}, and there is ${JSON.stringify(extra)} as well. ` +
        'Quote what has blanks in it.',
    );
  }
}
