import type { Command, Context } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { maintenance, type Report, reportLines } from '../maintenance.ts';
import { DATABASE, DESTROY_OPTIONS, mayDestroy } from '../shared-options.ts';

export const repair: Command = {
  name: 'repair',
  summary: 'Bring back all that can be read of a damaged database',
  positionals: [DATABASE],
  options: { ...DESTROY_OPTIONS },
  details: [
    'Says first what it would do, and then asks. Deletes nothing: what it replaces is moved to lost/ within the database.',
  ],
  examples: ['repair ./data --dry-run', 'repair ./data --yes'],
  standsAlone: true,
  async run(context) {
    const { flags } = context;
    const isDry = flags.has('dry-run');
    if (isDry || !flags.has('yes')) await tell(context, await work(context, true));
    if (isDry) return EXIT.done;
    if (!(await mayDestroy(context, 'write these repairs, and move what they replace to lost/'))) return EXIT.error;
    await tell(context, await work(context, false));
    return EXIT.done;
  },
};

async function work({ positionals, talk, signal }: Context, dryRun: boolean): Promise<Report> {
  const progress = talk.progress({ label: dryRun ? 'looking' : 'repairing', unit: 'bytes' });
  try {
    const mend = await maintenance('repair');
    return await mend(positionals[0] ?? '', {
      dryRun,
      signal,
      onProgress: ({ bytes, bytesTotal }) => progress.at(bytes, bytesTotal),
    });
  } finally {
    progress.end();
  }
}

async function tell({ flags, out }: Context, report: Report): Promise<void> {
  if (flags.has('json')) await out.json(report);
  else for (const line of reportLines(report)) await out.line(line);
  await out.flush();
}
