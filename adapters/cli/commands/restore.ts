import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { holdDatabase } from '../open-store.ts';
import { reportLines } from '../report-lines.ts';

export const restore: Command = {
  name: 'restore',
  summary: 'Make a database of a backup, checked, in a new place',
  positionals: [{ name: 'backup' }, { name: 'directory' }],
  options: {},
  details: ['Never over a database: the directory must be new or empty. The backup stays as it is.'],
  examples: ['restore /backups/2026-01-31 ./data'],
  standsAlone: true,
  async run({ positionals, flags, out, talk, signal }) {
    const [from = '', to = ''] = positionals;
    const { restore: bringBack } = await import('alluvium');
    // What somebody writes to is no backup, and would look damaged: a backup of it is what there should be.
    const release = await holdDatabase(from);
    const progress = talk.progress({ label: 'restoring', unit: 'bytes' });
    const onProgress = (at: { readonly bytes: number; readonly bytesTotal: number }): void =>
      progress.at(at.bytes, at.bytesTotal);
    const report = await bringBack(from, to, { signal, onProgress })
      .then()
      .finally(async () => {
        progress.end();
        await release();
      });
    if (flags.has('json')) await out.json(report);
    else for (const line of reportLines(report)) await out.line(line);
    return EXIT.done;
  },
};
