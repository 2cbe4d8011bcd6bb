import type { RepairLoss, RepairReport } from 'alluvium';
import type { Command, Context } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { coderOf } from '../encoding.ts';
import { escapeText } from '../escape.ts';
import { countOf } from '../units.ts';
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
    if (isDry || !flags.has('yes')) {
      const plan = await work(context, true);
      await tell(context, plan);
      if (isDry || plan.wasWhole) return EXIT.done;
    }
    if (!(await mayDestroy(context, 'write these repairs, and move what they replace to lost/'))) return EXIT.error;
    await tell(context, await work(context, false));
    return EXIT.done;
  },
};

async function work({ positionals, talk, signal }: Context, dryRun: boolean): Promise<RepairReport> {
  const { repair: mend } = await import('alluvium');
  const progress = talk.progress({ label: dryRun ? 'looking' : 'repairing', unit: 'bytes' });
  const onProgress = (at: { readonly bytes: number; readonly bytesTotal: number }): void =>
    progress.at(at.bytes, at.bytesTotal);
  return mend(positionals[0] ?? '', { dryRun, signal, onProgress })
    .then()
    .finally(() => progress.end());
}

const keys = coderOf('utf8');

async function tell({ flags, out }: Context, report: RepairReport): Promise<void> {
  if (flags.has('json')) {
    const shown = (key: Uint8Array | undefined): unknown => (key === undefined ? undefined : keys.toJson(key));
    const losses = report.losses.map((loss) => ({
      ...loss,
      firstKey: shown(loss.firstKey),
      lastKey: shown(loss.lastKey),
    }));
    await out.json({ ...report, losses });
  } else for (const line of linesOf(report)) await out.line(line);
  await out.flush();
}

function linesOf(report: RepairReport): string[] {
  if (report.wasWhole) return ['all is whole; there is nothing to do'];
  const { tablesKept, tablesRewritten, entriesRead, logBatches, lossCount, lostDirectory, setAside, notes } = report;
  const aside =
    lostDirectory === undefined
      ? []
      : [`moved aside to ${escapeText(lostDirectory)}: ${setAside.map(escapeText).join(', ')}`];
  return [
    `tables: ${tablesKept} kept, ${tablesRewritten} written anew with ${countOf(entriesRead, 'entry', 'entries')}; levels ${report.levels}`,
    `logs: ${countOf(logBatches, 'batch', 'batches')} brought into tables; history: ${report.history}`,
    ...aside,
    ...notes.map(escapeText),
    `${countOf(lossCount, 'loss', 'losses')}${lossCount > report.losses.length ? ', of which the first are' : ''}`,
    ...report.losses.map((loss) => `  ${lossText(loss)}`),
  ];
}

function lossText({ file, offset, endOffset, reason, firstKey, lastKey }: RepairLoss): string {
  const place = `${escapeText(file)}, bytes ${offset} to ${endOffset ?? 'the end'}`;
  const from = firstKey === undefined ? '' : ` from ${keys.show(firstKey)}`;
  const to = lastKey === undefined ? '' : ` to ${keys.show(lastKey)}`;
  return `${place}: ${escapeText(reason)}${from + to === '' ? '' : `; keys${from}${to}`}`;
}
