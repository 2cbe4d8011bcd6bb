import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { codeOf } from '../failure.ts';
import { holdDatabase, openOrAttachTo } from '../open-store.ts';
import { DATABASE } from '../shared-options.ts';

export const attach: Command = {
  name: 'attach',
  summary: 'Tell whether another process has a database open, and which',
  positionals: [DATABASE],
  options: {},
  details: [
    'Where a process has it open and lets others attach, all commands work through that process. Exit code 4, and the',
    'process on stderr, if one has it open and lets nobody in.',
  ],
  examples: ['attach ./data'],
  standsAlone: true,
  async run({ positionals, flags, out }) {
    const location = positionals[0] ?? '';
    const release = await holdDatabase(location).catch((error: unknown) => {
      if (codeOf(error) === 'LOCKED') return undefined;
      throw error;
    });
    await release?.();
    const store = release === undefined ? await openOrAttachTo(location, { createIfMissing: false }) : undefined;
    const holder = store?.holder;
    await store?.close();
    if (flags.has('json')) await out.json({ location, isOpen: holder !== undefined, ...holder });
    else if (holder === undefined) await out.line('no process has it open');
    else {
      const { pid, since, package: version } = holder;
      await out.line(
        `process ${pid} has it open since ${since.toISOString()}, with alluvium ${version}, and lets others in`,
      );
    }
    return EXIT.done;
  },
};
