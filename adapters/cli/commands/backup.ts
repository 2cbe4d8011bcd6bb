import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { reportLines } from '../report-lines.ts';
import { DATABASE } from '../shared-options.ts';
import { withStore } from '../with-store.ts';

export const backup: Command = {
  name: 'backup',
  summary: 'Copy a database as it is at one moment, by hard links where it can',
  positionals: [DATABASE, { name: 'directory' }],
  options: {},
  details: ['The directory must be new or empty. An interrupted backup leaves nothing that would open.'],
  examples: ['backup ./data /backups/2026-01-31'],
  async run(context) {
    const { positionals, flags, out, talk, signal } = context;
    return withStore(context, 'write', async (store) => {
      const progress = talk.progress({ label: 'backing up', unit: 'bytes' });
      const onProgress = (at: { readonly bytes: number; readonly bytesTotal: number }): void =>
        progress.at(at.bytes, at.bytesTotal);
      const report = await store
        .backup(positionals[1] ?? '', { signal, onProgress })
        .then()
        .finally(() => progress.end());
      if (flags.has('json')) await out.json(report);
      else for (const line of reportLines(report)) await out.line(line);
      return EXIT.done;
    });
  },
};
