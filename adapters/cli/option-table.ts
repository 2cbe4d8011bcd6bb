/** What options a command has. */

/** An option of a command. */
export interface OptionSpec {
  /** `'flag'` takes no value; a `'number'` is a whole one from 0. */
  readonly kind: 'flag' | 'text' | 'number' | 'choice';
  readonly help: string;
  /** What stands for its value in the help. */
  readonly placeholder?: string;
  readonly choices?: readonly string[];
  readonly short?: string;
}

export type OptionTable = Readonly<Record<string, OptionSpec>>;
