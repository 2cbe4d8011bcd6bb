import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { DATABASE } from '../shared-options.ts';
import { withStore } from '../with-store.ts';

export const flush: Command = {
  name: 'flush',
  summary: 'Write what is in the log and in memory into tables',
  positionals: [DATABASE],
  options: {},
  examples: ['flush ./data'],
  run: (context) =>
    withStore(context, 'write', async (store) => {
      const { flags, out, signal } = context;
      await store.flush({ signal });
      const { sequence, levels } = await store.stats();
      const tables = levels.reduce((sum, level) => sum + level.tables, 0);
      if (flags.has('json')) await out.json({ sequence, tables });
      else await out.line(`everything up to sequence ${sequence} is in tables`);
      return EXIT.done;
    }),
};
