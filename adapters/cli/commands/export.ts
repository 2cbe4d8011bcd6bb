import { createWriteStream } from 'node:fs';
import { open as openFile, rename, rm, stat } from 'node:fs/promises';
import { once } from 'node:events';
import type { Entry, KeyRange } from 'alluvium';
import { BatchWriter } from '../batch-writer.ts';
import type { Command, Context } from '../command.ts';
import type { Coders } from '../encoding.ts';
import { escapeBytes } from '../escape.ts';
import { EXIT } from '../exit-code.ts';
import { Failure, UsageError } from '../failure.ts';
import type { CommandStore } from '../open-store.ts';
import { Output } from '../output.ts';
import { refusalOf } from '../import/import-line.ts';
import type { Progress } from '../progress.ts';
import { codersOf, DATABASE, ENCODING_OPTIONS, RANGE_OPTIONS, rangeOf } from '../shared-options.ts';
import { countOf } from '../units.ts';
import { withStore } from '../with-store.ts';

const FORMATS = ['ndjson', 'csv', 'level'] as const;

export const exportEntries: Command = {
  name: 'export',
  summary: 'Write entries to stdout, a file or a new LevelDB database',
  positionals: [DATABASE, { name: 'target', isOptional: true }],
  options: {
    format: { kind: 'choice', choices: FORMATS, help: 'Default: csv for *.csv, else ndjson' },
    ...RANGE_OPTIONS,
    limit: { kind: 'number', short: 'n', help: 'No more than this many' },
    ...ENCODING_OPTIONS,
    yes: { kind: 'flag', short: 'y', help: 'Replace the target file if there is one' },
  },
  details: [
    'Import with the same --encoding gives every byte back. In NDJSON each encoding has a place for any bytes; in CSV, utf8',
    'has none for what is not text: use hex, base64 or json there. A file appears under its name when it is whole.',
  ],
  examples: [
    'export ./data > entries.ndjson',
    'export ./data users.csv --prefix user:',
    'export ./data ./copy --format level',
  ],
  async run(context) {
    const { flags, positionals, out, talk, signal } = context;
    const target = positionals[1] ?? '-';
    const format = flags.choice('format', FORMATS) ?? (target.toLowerCase().endsWith('.csv') ? 'csv' : 'ndjson');
    const coders = codersOf(flags);
    const options = { ...rangeOf(flags, coders.key), limit: flags.number('limit'), signal };
    if (format === 'level' && target === '-') throw new UsageError('--format level needs a directory to write to.');
    const count = await withStore(context, 'read', async (store) => {
      const progress = talk.progress({
        label: 'exporting',
        unit: 'entries',
        isHidden: target === '-' && out.isTerminal,
      });
      try {
        if (format === 'level') return await exportLevel(context, store, target, options, progress);
        const write = (into: Output): Promise<number> => exportText(store, into, options, format, coders, progress);
        return target === '-' ? await write(out) : await exportFile(target, flags.has('yes'), write);
      } finally {
        progress.end();
      }
    });
    if (target !== '-') {
      if (flags.has('json')) await out.json({ exported: count });
      else await out.line(`${countOf(count, 'entry', 'entries')} exported to ${target}`);
    }
    return EXIT.done;
  },
};

type ScanRange = KeyRange & { readonly limit: number | undefined; readonly signal: AbortSignal };

async function exportText(
  store: CommandStore,
  out: Output,
  options: ScanRange,
  format: 'ndjson' | 'csv',
  coders: Coders,
  progress: Progress,
): Promise<number> {
  let count = 0;
  const isCsv = format === 'csv';
  if (isCsv) await out.text('key,value\r\n');
  for await (const page of store.scan(options).pages()) {
    for (const entry of page) {
      const wait = isCsv
        ? out.text(csvLine(entry, coders))
        : out.json({ key: coders.key.toJson(entry.key), value: coders.value.toJson(entry.value) });
      if (wait !== undefined) await wait;
      if (out.isClosed) return count;
      count += 1;
    }
    progress.at(count);
  }
  await out.flush();
  return count;
}

function csvLine({ key, value }: Entry, coders: Coders): string {
  const keyField = coders.key.write(key);
  const valueField = coders.value.write(value);
  if (keyField !== undefined && valueField !== undefined) return `${csvField(keyField)},${csvField(valueField)}\r\n`;
  throw new Failure(
    `key ${escapeBytes(key).slice(0, 100)}: its ${keyField === undefined ? 'key' : 'value'} is not UTF-8, and CSV has no ` +
      'place for other bytes. Use --encoding hex, base64 or json, or --format ndjson.',
  );
}

const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Under another name until it is whole, and on the disk. */
async function exportFile(path: string, mayReplace: boolean, write: (out: Output) => Promise<number>): Promise<number> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere && !mayReplace) throw new Failure(`${path} is there already. Give --yes to replace it, or another name.`);
  const partial = `${path}.partial-${process.pid}`;
  const stream = createWriteStream(partial, { flags: 'wx', mode: 0o600 });
  try {
    const out = new Output(stream);
    const count = await write(out);
    await out.flush();
    stream.end();
    await once(stream, 'close');
    const file = await openFile(partial, 'r+');
    await file.sync().finally(() => file.close());
    await rename(partial, path);
    return count;
  } catch (error) {
    stream.destroy();
    await rm(partial, { force: true });
    throw error;
  }
}

async function exportLevel(
  { open, signal, talk }: Context,
  from: CommandStore,
  directory: string,
  options: ScanRange,
  progress: Progress,
): Promise<number> {
  const { store, close } = await open(directory, 'create', { errorIfExists: true });
  try {
    const writer = new BatchWriter(store, { durability: 'buffered', signal });
    for await (const page of from.scan(options).pages()) {
      for (const { key, value } of page) {
        const refusal = refusalOf({ type: 'set', key });
        if (refusal !== undefined) throw new Failure(`key ${escapeBytes(key.subarray(0, 40))}...: ${refusal}`);
        await writer.add({ type: 'set', key, value });
      }
      progress.at(writer.acknowledged);
    }
    await writer.finish();
    await store.flush(); // into tables: on the disk, and nothing is left to recover
    return writer.acknowledged;
  } catch (error) {
    talk.note(`${directory} holds a part of the entries: remove it before the next try.`);
    throw error;
  } finally {
    await close();
  }
}
