import type { VerifyFinding } from 'alluvium';
import type { Command } from '../command.ts';
import { escapeText } from '../escape.ts';
import { EXIT } from '../exit-code.ts';
import { holdDatabase } from '../open-store.ts';
import type { Paint } from '../paint.ts';
import { painter } from '../paint.ts';
import { DATABASE } from '../shared-options.ts';
import { bytesText, countOf } from '../units.ts';

const COLOUR_OF = { error: 'red', warning: 'yellow', info: 'dim' } as const;

const lineOf = (paint: Paint, { severity, file, offset, reason, remedy }: VerifyFinding): string =>
  `${paint(COLOUR_OF[severity], severity)}  ${escapeText(file)}${offset === undefined ? '' : `, byte ${offset}`}: ` +
  `${escapeText(reason.replace(/\.$/, ''))}. ${escapeText(remedy)}`;

export const verify: Command = {
  name: 'verify',
  summary: 'Check every byte of a database, and change nothing',
  positionals: [DATABASE],
  options: { quiet: { kind: 'flag', short: 'q', help: 'Print errors and warnings only' } },
  details: ['Prints what it found, and exits with 5 if anything is damaged. The database must not be open elsewhere.'],
  examples: ['verify ./data', 'verify ./data --json'],
  standsAlone: true,
  async run({ positionals, flags, out, talk, signal }) {
    const location = positionals[0] ?? '';
    const { verify: check } = await import('alluvium');
    const release = await holdDatabase(location);
    const progress = talk.progress({ label: 'verifying', unit: 'bytes' });
    const onProgress = (at: { readonly bytes: number; readonly bytesTotal: number }): void =>
      progress.at(at.bytes, at.bytesTotal);
    const report = await check(location, { signal, onProgress })
      .then()
      .finally(async () => {
        progress.end();
        await release();
      });
    const paint = painter(out.hasColours);
    for (const finding of report.findings) {
      if (flags.has('quiet') && finding.severity === 'info') continue;
      if (flags.has('json')) await out.json({ type: 'finding', ...finding });
      else await out.line(lineOf(paint, finding));
    }
    if (flags.has('json')) await out.json({ type: 'report', ...report, findings: report.findings.length });
    else {
      const { isWhole, files, bytes, entries, logBatches, errorCount, warningCount } = report;
      const held = `${countOf(entries, 'entry', 'entries')} in tables, ${countOf(logBatches, 'batch', 'batches')} in logs`;
      const read = `${countOf(files, 'file')}, ${bytesText(bytes)}, ${held}`;
      const found = `${countOf(errorCount, 'error')}, ${countOf(warningCount, 'warning')}`;
      await out.line(`${isWhole ? paint('green', 'whole') : paint('red', 'DAMAGED')}: ${read}; ${found}`);
    }
    return report.isWhole ? EXIT.done : EXIT.corruption;
  },
};
