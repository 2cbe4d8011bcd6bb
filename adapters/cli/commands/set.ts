import type { WriteOperation } from 'alluvium';
import type { Command, Context } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { Failure, UsageError } from '../failure.ts';
import {
  codersOf,
  CONDITION_OPTION,
  DATABASE,
  DURABILITY_OPTION,
  durabilityOf,
  ENCODING_OPTIONS,
  readKey,
  sequenceConditionOf,
} from '../shared-options.ts';
import { withStore } from '../with-store.ts';

/** What is taken from stdin for one value: as long as the engine takes it. */
const VALUE_BYTES_MAX = 2 ** 30;

export const set: Command = {
  name: 'set',
  summary: 'Give a key a value',
  positionals: [DATABASE, { name: 'key' }, { name: 'value', isOptional: true }],
  options: {
    ...ENCODING_OPTIONS,
    ...CONDITION_OPTION,
    ...DURABILITY_OPTION,
    create: { kind: 'flag', help: 'Make the database if there is none' },
  },
  details: [
    'Without a value, the bytes of stdin are the value, exactly as they are. Prints the sequence number of the write once it',
    'is safe on the disk.',
  ],
  examples: [
    'set ./data user:1 Ada --create',
    `set ./data user:1 '{"name":"Ada"}' --value-encoding json`,
    'set ./data logo.png < logo.png',
    'set ./data lock me --if-sequence absent',
  ],
  async run(context) {
    const { flags, positionals, out } = context;
    const coders = codersOf(flags);
    const key = readKey(coders.key, positionals[1] ?? '');
    const sequence = sequenceConditionOf(flags);
    const durability = durabilityOf(flags);
    const text = positionals[2];
    const value = text === undefined ? await readInput(context) : coders.value.read(text);
    return withStore(
      context,
      flags.has('create') ? 'create' : 'write',
      async (store) => {
        const lines: WriteOperation[] = [{ type: 'set', key, value }];
        if (sequence !== undefined) lines.unshift({ type: 'check', key, sequence });
        const commit = await store.write(lines, { durability });
        if (flags.has('json')) await out.json(commit);
        else await out.line(String(commit.sequence));
        return EXIT.done;
      },
      { worker: 'off' }, // one write fills no table: a worker would only take time to start
    );
  },
};

async function readInput({ input, signal }: Context): Promise<Uint8Array> {
  if (input.isTTY) throw new UsageError('set needs a value: as an argument, or on stdin.');
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    length += chunk.length;
    if (length > VALUE_BYTES_MAX) throw new Failure('stdin has more than 1 GiB, the most that a value may have.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
