import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { holdDatabase } from '../open-store.ts';
import { DATABASE } from '../shared-options.ts';

export const attach: Command = {
  name: 'attach',
  summary: 'Tell whether another process has a database open, and which',
  positionals: [DATABASE],
  options: {},
  details: [
    'Exit code 4, and the process on stderr, if one has it open; 0 if none has. Working on a store that another process has',
    'open is not there yet: until it is, close it there first.',
  ],
  examples: ['attach ./data'],
  standsAlone: true,
  async run({ positionals, flags, out }) {
    const location = positionals[0] ?? '';
    const release = await holdDatabase(location);
    await release();
    if (flags.has('json')) await out.json({ location, isOpen: false });
    else await out.line('no process has it open');
    return EXIT.done;
  },
};
