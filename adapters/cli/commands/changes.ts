import type { ChangeEvent, ChangesUntil } from 'alluvium';
import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import type { Flags } from '../flags.ts';
import { endOf, placeOf } from '../place.ts';
import { changePrinter, printPages } from '../records.ts';
import { codersOf, DATABASE, ENCODING_OPTIONS, RANGE_OPTIONS, rangeOf } from '../shared-options.ts';
import { withStore } from '../with-store.ts';

export const changes: Command = {
  name: 'changes',
  summary: 'Print changes as they are committed, from a place on, like tail -f',
  positionals: [DATABASE],
  options: {
    from: {
      kind: 'text',
      placeholder: 'place',
      help: 'start, now (default), snapshot, a cursor, a sequence number, or a date such as 2026-01-31T12:00Z',
    },
    ...RANGE_OPTIONS,
    limit: { kind: 'number', short: 'n', help: 'End after this many' },
    until: {
      kind: 'text',
      placeholder: 'place',
      help: 'End with this one: now, a cursor, or a sequence number, which is waited for',
    },
    'no-follow': { kind: 'flag', help: 'End with the last change that there is now, as --until now' },
    synced: { kind: 'flag', help: 'Only what survives the power going out' },
    ...ENCODING_OPTIONS,
  },
  details: [
    'A line is sequence number, set or delete, key, value. With --json each line has its cursor as well: keep the last one,',
    'and --from it goes on without gap or repeat. Goes on until Ctrl-C (exit 130).',
  ],
  examples: [
    'changes ./data --from start --json',
    'changes ./data --from snapshot --prefix user:',
    'changes ./data --from start --no-follow --json | alluvium import ./copy --create',
  ],
  async run(context) {
    const { flags, out, signal } = context;
    const coders = codersOf(flags);
    const range = rangeOf(flags, coders.key);
    const from = placeOf(flags.text('from') ?? 'now');
    const durability = flags.has('synced') ? 'synced' : 'buffered';
    const until = untilOf(flags);
    const limit = flags.number('limit') ?? Infinity;
    // Only a program that can write hears of what comes.
    const mode = until === undefined || typeof until === 'number' ? 'write' : 'read';
    return withStore(context, mode, async (store) => {
      const stream = store.changes({ ...range, from, until, durability, signal });
      const print = changePrinter(out, coders, flags.has('json'));
      await printPages<ChangeEvent>(stream.pages(), out, print, { limit, flushesPages: true });
      return EXIT.done;
    });
  },
};

function untilOf(flags: Flags): ChangesUntil | undefined {
  const text = flags.text('until');
  if (text === undefined) return flags.has('no-follow') ? 'now' : undefined;
  if (flags.has('no-follow')) throw new UsageError('--no-follow is --until now; give one of both.');
  return endOf(text);
}
