import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import { type EntryPart, entryPrinter, printPages } from '../records.ts';
import { codersOf, DATABASE, ENCODING_OPTIONS, RANGE_OPTIONS, rangeOf } from '../shared-options.ts';
import { withStore } from '../with-store.ts';

const NOTHING = new Uint8Array();

export const scan: Command = {
  name: 'scan',
  summary: 'Print entries in the order of their keys',
  positionals: [DATABASE],
  options: {
    ...RANGE_OPTIONS,
    limit: { kind: 'number', short: 'n', help: 'No more than this many' },
    reverse: { kind: 'flag', short: 'r', help: 'From the last key to the first' },
    keys: { kind: 'flag', help: 'Keys alone' },
    values: { kind: 'flag', help: 'Values alone' },
    count: { kind: 'flag', help: 'Only how many there are' },
    ...ENCODING_OPTIONS,
  },
  details: ['A line is key, tab, value. Tabs, line ends, backslashes and what is not text are escaped in both.'],
  examples: [
    'scan ./data --prefix user: --limit 10',
    'scan ./data --gte 2026-01 --lt 2026-02 --reverse',
    'scan ./data --json --value-encoding json | jq .value.name',
  ],
  async run(context) {
    const { flags, out, signal } = context;
    const coders = codersOf(flags);
    const isKeys = flags.has('keys') || flags.has('count');
    if (isKeys && flags.has('values')) throw new UsageError('--values with --keys or --count leaves nothing to print.');
    const part: EntryPart = isKeys ? 'key' : flags.has('values') ? 'value' : 'entry';
    const limit = flags.number('limit');
    const options = { ...rangeOf(flags, coders.key), limit, reverse: flags.has('reverse'), signal };
    return withStore(context, 'read', async (store) => {
      if (flags.has('count')) {
        let count = 0;
        for await (const page of store.scan({ ...options, values: false }).pages()) count += page.length;
        await (flags.has('json') ? out.json({ count }) : out.line(String(count)));
        return EXIT.done;
      }
      const print = entryPrinter(out, coders, flags.has('json'), part);
      if (part === 'key') {
        const pages = store.scan({ ...options, values: false }).pages();
        await printPages(pages, out, (key: Uint8Array) => print({ key, value: NOTHING }));
      } else await printPages(store.scan(options).pages(), out, print);
      return EXIT.done;
    });
  },
};
