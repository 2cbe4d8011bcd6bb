/** The options that were given, checked against a command's table. */
import type { OptionTable } from './option-table.ts';
import { UsageError } from './failure.ts';

export class Flags {
  readonly #table: OptionTable;
  readonly #values: ReadonlyMap<string, string | true>;

  constructor(table: OptionTable, values: ReadonlyMap<string, string | true>) {
    this.#table = table;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#value(name) !== undefined;
  }

  text(name: string): string | undefined {
    const value = this.#value(name);
    return typeof value === 'string' ? value : undefined;
  }

  /** A whole number from `least` on. */
  number(name: string, least = 0, most: number = Number.MAX_SAFE_INTEGER): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
    throw new UsageError(`--${name} must be a whole number ${range}, not ${JSON.stringify(text)}.`);
  }

  /** One of the choices that the table gives. */
  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    throw new UsageError(`--${name} must be one of ${choices.join(', ')}, not ${JSON.stringify(text)}.`);
  }

  #value(name: string): string | true | undefined {
    // A name that the table has not is a mistake of ours, and must not pass for an option that was not given.
    if (!(name in this.#table)) throw new Error(`the command has no option --${name}`);
    return this.#values.get(name);
  }
}
