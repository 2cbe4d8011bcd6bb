import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { DATABASE } from '../shared-options.ts';
import { statsLines } from '../stats-text.ts';
import { waitUntil } from '../wait.ts';
import { withStore } from '../with-store.ts';

export const stats: Command = {
  name: 'stats',
  summary: 'Show the figures of a store, once or again and again',
  positionals: [DATABASE],
  options: {
    watch: { kind: 'flag', short: 'w', help: 'Again and again, until Ctrl-C' },
    interval: { kind: 'number', placeholder: 'ms', help: 'Milliseconds between two times, from 100 on (default 1000)' },
    limit: { kind: 'number', short: 'n', help: 'End after this many times' },
  },
  details: ['Counters run from the opening of the store.'],
  examples: ['stats ./data', 'stats ./data --watch', 'stats ./data --json | jq .compactionDebtBytes'],
  async run(context) {
    const { flags, out, signal } = context;
    const intervalMs = flags.number('interval', 100, 86_400_000) ?? 1000;
    const isWatching = flags.has('watch');
    const limit = flags.number('limit', 1) ?? (isWatching ? Infinity : 1);
    return withStore(context, isWatching ? 'write' : 'read', async (store) => {
      for (let times = 1; times <= limit && !out.isClosed; times += 1) {
        if (times > 1) await waitUntil(intervalMs, signal);
        const figures = await store.stats();
        if (flags.has('json')) await out.json(figures);
        else {
          if (isWatching && times === 1) out.control('\u001b[2J');
          if (isWatching) out.control('\u001b[H');
          for (const line of statsLines(figures)) {
            await out.text(line);
            out.control('\u001b[K'); // what a longer line left behind
            await out.text('\n');
          }
          if (isWatching && !out.isTerminal && times < limit) await out.text('\n');
        }
        await out.flush();
      }
      return EXIT.done;
    });
  },
};
