import type { WatchedValue } from 'alluvium';
import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import { printPages, type Printer } from '../records.ts';
import { codersOf, DATABASE, ENCODING_OPTIONS, RANGE_OPTIONS, rangeOf, readKey } from '../shared-options.ts';
import { withStore } from '../with-store.ts';

export const watch: Command = {
  name: 'watch',
  summary: 'Print the present value of a key or a range, then each new one',
  positionals: [DATABASE, { name: 'key', isOptional: true }],
  options: {
    ...RANGE_OPTIONS,
    limit: { kind: 'number', short: 'n', help: 'End after this many' },
    ...ENCODING_OPTIONS,
  },
  details: [
    'A line is sequence number, key, value; "set" or "absent" stands between the first two. Goes on until Ctrl-C. A reader',
    'who is too slow gets the last value of each key; --json has in "skipped" how many it did not see.',
  ],
  examples: ['watch ./data user:1', 'watch ./data --prefix user: --json'],
  async run(context) {
    const { flags, positionals, out, signal } = context;
    const coders = codersOf(flags);
    const range = rangeOf(flags, coders.key);
    const text = positionals[1];
    if (text !== undefined && Object.keys(range).length > 0)
      throw new UsageError('watch takes a key or a range, not both.');
    const print: Printer<WatchedValue> = ({ key, value, sequence, skipped }) => {
      const shownKey = coders.key.show(key);
      if (flags.has('json')) {
        const shown = value === undefined ? null : coders.value.toJson(value);
        return out.json({
          type: value === undefined ? 'delete' : 'set',
          sequence,
          key: coders.key.toJson(key),
          value: shown,
          skipped,
        });
      }
      return out.line(
        value === undefined
          ? `${sequence}\tabsent\t${shownKey}`
          : `${sequence}\tset\t${shownKey}\t${coders.value.show(value)}`,
      );
    };
    return withStore(context, 'write', async (store) => {
      const values =
        text === undefined ? store.watch({ ...range, signal }) : store.watch(readKey(coders.key, text), { signal });
      await printPages(values.pages(), out, print, { limit: flags.number('limit') ?? Infinity, flushesPages: true });
      return EXIT.done;
    });
  },
};
