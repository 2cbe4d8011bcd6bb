import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import { codersOf, DATABASE, ENCODING_OPTIONS, readKey } from '../shared-options.ts';
import { bytesText } from '../units.ts';
import { withStore } from '../with-store.ts';

const tableBytesOf = ({ levels }: { readonly levels: readonly { readonly bytes: number }[] }): number =>
  levels.reduce((sum, { bytes }) => sum + bytes, 0);

export const compact: Command = {
  name: 'compact',
  summary: 'Merge tables down, dropping what is deleted or overwritten',
  positionals: [DATABASE],
  options: {
    start: { kind: 'text', placeholder: 'key', help: 'From this key on' },
    end: { kind: 'text', placeholder: 'key', help: 'Up to this key' },
    ...ENCODING_OPTIONS,
  },
  details: ['Can be interrupted at any time: what is merged by then stays merged.'],
  examples: ['compact ./data', 'compact ./data --start user: --end user~'],
  async run(context) {
    const { flags, out, talk, signal } = context;
    const { key } = codersOf(flags);
    const [startText, endText] = [flags.text('start'), flags.text('end')];
    const start = startText === undefined ? undefined : readKey(key, startText);
    const end = endText === undefined ? undefined : readKey(key, endText);
    if (start !== undefined && end !== undefined && Buffer.compare(start, end) > 0) {
      throw new UsageError('--start lies behind --end.');
    }
    return withStore(context, 'write', async (store) => {
      const before = tableBytesOf(await store.stats());
      const progress = talk.progress({ label: 'compacting', unit: 'bytes' });
      const report = async (): Promise<void> => progress.at((await store.stats()).compactionBytesRead);
      const heard = store.events.subscribe({
        next: (event) => {
          if (event.type === 'compactionEnd') void report();
        },
        error: () => undefined, // it never errs; what goes wrong is told by the compaction itself
      });
      try {
        await store.compact({ start, end, signal });
      } finally {
        heard.unsubscribe();
        progress.end();
      }
      const after = tableBytesOf(await store.stats());
      if (flags.has('json')) await out.json({ tableBytesBefore: before, tableBytesAfter: after });
      else await out.line(`tables: ${bytesText(before)} before, ${bytesText(after)} after`);
      return EXIT.done;
    });
  },
};
