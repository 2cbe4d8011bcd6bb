import type { LevelStats } from 'alluvium';
import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { type Paint, painter } from '../paint.ts';
import { DATABASE } from '../shared-options.ts';
import { alignColumns } from '../table-text.ts';
import { bytesText, countOf } from '../units.ts';
import { withStore } from '../with-store.ts';

const BAR_LENGTH = 40;

export const levels: Command = {
  name: 'levels',
  summary: 'Draw the tree: what each level holds',
  positionals: [DATABASE],
  options: {},
  details: ['Newer data is above older. A bar is the share of all bytes in tables; memory is what no table has yet.'],
  examples: ['levels ./data', 'levels ./data --json'],
  run: (context) =>
    withStore(context, 'read', async (store) => {
      const { flags, out } = context;
      const { levels: found, memtableBytes, compactionDebtBytes } = await store.stats();
      if (flags.has('json')) {
        for (const level of found) await out.json(level);
        return EXIT.done;
      }
      for (const line of drawTree(found, memtableBytes, painter(out.hasColours))) await out.line(line);
      if (compactionDebtBytes > 0) {
        await out.line(`${bytesText(compactionDebtBytes)} above the levels' limits wait for compaction`);
      }
      return EXIT.done;
    }),
};

function drawTree(found: readonly LevelStats[], memtableBytes: number, paint: Paint): string[] {
  const total = found.reduce((sum, { bytes }) => sum + bytes, 0);
  const deepest = found.reduce((most, { level, tables }) => (tables > 0 ? level : most), 0);
  const shown = found.filter(({ level }) => level <= deepest);
  const rows = [
    ['memory', '', bytesText(memtableBytes)],
    ...shown.map(({ level, tables, bytes }) => [`level ${level}`, countOf(tables, 'table'), bytesText(bytes)]),
  ];
  const [memory = '', ...lines] = alignColumns(rows, [1, 2]);
  return [
    memory,
    ...lines.map((line, index) => {
      const bytes = shown[index]?.bytes ?? 0;
      const length = bytes === 0 ? 0 : Math.max(1, Math.round((bytes / total) * BAR_LENGTH));
      return length === 0 ? line : `${line}  ${paint('cyan', '█'.repeat(length))}`;
    }),
  ];
}
