/** Options that several commands have, and what they mean. */
import type { KeyRange } from 'alluvium';
import type { Context, Positional } from './command.ts';
import type { OptionTable } from './option-table.ts';
import { type Coder, coderOf, type Coders, ENCODINGS } from './encoding.ts';
import { UsageError } from './failure.ts';
import type { Flags } from './flags.ts';

export const DATABASE: Positional = { name: 'db' };

export const ENCODING_OPTIONS: OptionTable = {
  encoding: { kind: 'choice', choices: ENCODINGS, help: 'How keys and values are read and shown (default utf8)' },
  'key-encoding': { kind: 'choice', choices: ENCODINGS, help: 'The same for keys alone' },
  'value-encoding': { kind: 'choice', choices: ENCODINGS, help: 'The same for values alone' },
};

export function codersOf(flags: Flags): Coders {
  const both = flags.choice('encoding', ENCODINGS) ?? 'utf8';
  return {
    key: coderOf(flags.choice('key-encoding', ENCODINGS) ?? both),
    value: coderOf(flags.choice('value-encoding', ENCODINGS) ?? both),
  };
}

export const RANGE_OPTIONS: OptionTable = {
  prefix: { kind: 'text', placeholder: 'key', help: 'Keys that begin so' },
  gte: { kind: 'text', placeholder: 'key', help: 'From this key on' },
  gt: { kind: 'text', placeholder: 'key', help: 'Behind this key' },
  lt: { kind: 'text', placeholder: 'key', help: 'Up to, not including, this key' },
  lte: { kind: 'text', placeholder: 'key', help: 'Up to this key' },
};

const BOUNDS = ['gt', 'gte', 'lt', 'lte'] as const;

export function rangeOf(flags: Flags, key: Coder): KeyRange {
  const prefix = flags.text('prefix');
  const range: Partial<Record<(typeof BOUNDS)[number], Uint8Array>> = {};
  for (const bound of BOUNDS) {
    const text = flags.text(bound);
    if (text === undefined) continue;
    if (prefix !== undefined) throw new UsageError(`--prefix says it all; leave out --${bound}.`);
    range[bound] = readKey(key, text);
  }
  return prefix === undefined ? range : prefixRange(readKey(key, prefix));
}

export function prefixRange(prefix: Uint8Array): KeyRange {
  // The first key behind all that begin so: the prefix with its last byte one higher; 0xff has no higher one.
  let end = prefix.length;
  while (end > 0 && prefix[end - 1] === 0xff) end -= 1;
  if (end === 0) return { gte: prefix };
  const lt = prefix.slice(0, end);
  lt[end - 1] = (lt[end - 1] as number) + 1;
  return { gte: prefix, lt };
}

/** A key as an argument; what cannot be one says which. */
export function readKey(coder: Coder, text: string): Uint8Array {
  try {
    return coder.read(text);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`the key: ${error.message}`);
    throw error;
  }
}

export const DESTROY_OPTIONS: OptionTable = {
  'dry-run': { kind: 'flag', help: 'Say what would be done, and do nothing' },
  yes: { kind: 'flag', short: 'y', help: 'Do not ask' },
};

/** Whether to go on with what destroys something. Says why not, if not. */
export async function mayDestroy({ flags, talk, signal }: Context, what: string): Promise<boolean> {
  if (flags.has('dry-run')) {
    talk.note(`dry run: would ${what}.`);
    return false;
  }
  if (await talk.confirm(`This will ${what}.`, flags.has('yes'), signal)) return true;
  talk.note('Nothing was done.');
  return false;
}

export const DURABILITY_OPTION: OptionTable = {
  durability: {
    kind: 'choice',
    choices: ['synced', 'buffered'],
    help: 'What an acknowledgement promises (default synced)',
  },
};

export const durabilityOf = (flags: Flags): 'synced' | 'buffered' | undefined =>
  flags.choice('durability', ['synced', 'buffered']);

/** A condition of a write: the sequence number that the key has, or `absent`. */
export function sequenceConditionOf(flags: Flags): number | 'absent' | undefined {
  if (flags.text('if-sequence') === 'absent') return 'absent';
  return flags.number('if-sequence', 1);
}

export const CONDITION_OPTION: OptionTable = {
  'if-sequence': {
    kind: 'text',
    placeholder: 'n|absent',
    help: 'Only if the key still has this sequence number, or none (exit 6 if not)',
  },
};
