import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from '../command.ts';
import { escapeText } from '../escape.ts';
import { EXIT } from '../exit-code.ts';
import { codeOf } from '../failure.ts';
import { DATABASE } from '../shared-options.ts';
import { alignColumns } from '../table-text.ts';
import { bytesText, countOf, countText } from '../units.ts';
import { withStore } from '../with-store.ts';

interface Files {
  readonly files: number;
  readonly bytes: number;
}

export const info: Command = {
  name: 'info',
  summary: 'Tell what a database is: size, files, history',
  positionals: [DATABASE],
  options: { count: { kind: 'flag', help: 'Count the entries, too: reads all keys' } },
  examples: ['info ./data', 'info ./data --count --json'],
  run: (context) =>
    withStore(context, 'read', async (store) => {
      const { flags, out, signal } = context;
      const { location } = store;
      const { sequence, levels } = await store.stats();
      const tables = levels.reduce((sum, level) => sum + level.tables, 0);
      const tableBytes = levels.reduce((sum, level) => sum + level.bytes, 0);
      const all = await measure(location);
      const history = await measure(join(location, 'archive'));
      const lost = await measure(join(location, 'lost'));
      let entries: number | undefined;
      if (flags.has('count')) {
        entries = 0;
        for await (const page of store.scan({ values: false, signal }).pages()) entries += page.length;
      }
      if (flags.has('json')) {
        await out.json({ location, sequence, entries, tables, tableBytes, disk: all, history, lost });
        return EXIT.done;
      }
      const rows = [
        ['location', escapeText(location)],
        ['sequence', String(sequence)],
        ...(entries === undefined ? [] : [['entries', countText(entries)]]),
        ['tables', `${countText(tables)}, ${bytesText(tableBytes)}`],
        ['disk', `${countOf(all.files, 'file')}, ${bytesText(all.bytes)}`],
        ['history', `${countOf(history.files, 'file')}, ${bytesText(history.bytes)}`],
        ...(lost.files === 0
          ? []
          : [['lost', `${countOf(lost.files, 'file')}, ${bytesText(lost.bytes)}: what was moved aside`]]),
      ];
      for (const line of alignColumns(rows)) await out.line(line);
      return EXIT.done;
    }),
};

/** Files below a directory. A file with two names, as logs in the archive have, counts once. */
async function measure(directory: string): Promise<Files> {
  const seen = new Set<string>();
  let bytes = 0;
  const names = await readdir(directory, { recursive: true }).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) {
    const found = await stat(join(directory, name)).catch(() => undefined); // gone meanwhile
    const identity = `${found?.dev ?? 0}:${found?.ino ?? 0}`;
    if (found?.isFile() !== true || seen.has(identity)) continue;
    seen.add(identity);
    bytes += found.size;
  }
  return { files: seen.size, bytes };
}
