import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import { codersOf, DATABASE, ENCODING_OPTIONS, readKey } from '../shared-options.ts';
import { withStore } from '../with-store.ts';

export const get: Command = {
  name: 'get',
  summary: 'Print the value of a key, or of several',
  positionals: [DATABASE, { name: 'key', isRepeated: true }],
  options: {
    ...ENCODING_OPTIONS,
    raw: { kind: 'flag', help: 'The bytes of one value as they are, and no line end; not on a terminal' },
  },
  details: [
    'A key that is not there is told on stderr, and makes the exit code 3. What is not text is shown escaped; --raw gives',
    'the bytes, for files and pipes. With --json, each line has the sequence number that --if-sequence of set asks for.',
  ],
  examples: ['get ./data user:1', 'get ./data 00ff --key-encoding hex --json', 'get ./data logo.png --raw > logo.png'],
  async run(context) {
    const { flags, positionals, out, talk } = context;
    const coders = codersOf(flags);
    const isRaw = flags.has('raw');
    const texts = positionals.slice(1);
    const keys = texts.map((text) => readKey(coders.key, text));
    if (isRaw && (out.isTerminal || keys.length > 1 || flags.has('json'))) {
      throw new UsageError('--raw is for one value, into a file or a pipe, and not with --json.');
    }
    return withStore(context, 'read', async (store) => {
      let isAllFound = true;
      for (const [index, key] of keys.entries()) {
        const entry = await store.entry(key);
        if (entry === undefined) {
          isAllFound = false;
          talk.error(`there is no key ${JSON.stringify(texts[index])}.`);
        } else if (isRaw) await out.bytes(entry.value);
        else if (flags.has('json')) {
          const { value, sequence } = entry;
          await out.json({ key: coders.key.toJson(key), value: coders.value.toJson(value), sequence });
        } else await out.line(coders.value.show(entry.value));
      }
      return isAllFound ? EXIT.done : EXIT.notFound;
    });
  },
};
