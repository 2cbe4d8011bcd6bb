import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { BatchWriter, type Line } from '../batch-writer.ts';
import type { Command, Context } from '../command.ts';
import type { Input } from '../input.ts';
import { EXIT } from '../exit-code.ts';
import { codeOf, Failure, UsageError } from '../failure.ts';
import { readCsv } from '../import/csv.ts';
import type { LineSource } from '../import/import-line.ts';
import { readLevel } from '../import/level.ts';
import { readNdjson } from '../import/ndjson.ts';
import type { CommandStore } from '../open-store.ts';
import type { Progress } from '../progress.ts';
import { codersOf, DATABASE, DURABILITY_OPTION, durabilityOf, ENCODING_OPTIONS } from '../shared-options.ts';
import { countOf } from '../units.ts';
import { withStore } from '../with-store.ts';

const FORMATS = ['ndjson', 'csv', 'level'] as const;
const LINE_BYTES_MAX = 64 * 1024 * 1024;
/** No string of V8 is longer than half a gigabyte. */
const LINE_BYTES_LIMIT = 512 * 1024 * 1024 - 1024;

export const importEntries: Command = {
  name: 'import',
  summary: 'Take in entries from a file, stdin or another database',
  positionals: [DATABASE, { name: 'source', isOptional: true }],
  options: {
    format: { kind: 'choice', choices: FORMATS, help: 'Default: level for a directory, csv for *.csv, else ndjson' },
    create: { kind: 'flag', help: 'Make the database if there is none' },
    'key-column': { kind: 'text', placeholder: 'name', help: 'CSV: where the key is; the value is the row as JSON' },
    'value-column': { kind: 'text', placeholder: 'name', help: 'CSV: the column that is the value' },
    delimiter: { kind: 'text', placeholder: 'c', help: 'CSV: one character (default a comma)' },
    'line-bytes-max': { kind: 'number', help: 'The longest line that is taken (default 64 MiB)' },
    'dry-run': { kind: 'flag', help: 'Read and check everything, and write nothing' },
    ...DURABILITY_OPTION,
    ...ENCODING_OPTIONS,
  },
  details: [
    'Without a source, or with -, stdin. Give the --encoding that the export had. A wrong line ends the import and is named;',
    'what stood before it is in the store. NDJSON may have deletes: what changes --json prints can be imported.',
  ],
  examples: [
    'import ./data entries.ndjson --create',
    'export ./data --encoding hex | alluvium import ./copy --encoding hex --create',
    'import ./data airports.csv --key-column code',
    'import ./data ./old-leveldb --create',
  ],
  async run(context) {
    const { flags, out, talk, signal } = context;
    const source = await openSource(context);
    const progress = talk.progress({ label: 'importing', unit: source.unit, total: source.total });
    // What is wrong from its first line on leaves no new database behind.
    const lines = flags.has('create') && !flags.has('dry-run') ? await begun(source.lines) : source.lines;
    const write = async (writer: Pick<BatchWriter, 'add' | 'finish' | 'acknowledged'>): Promise<void> => {
      try {
        for await (const line of lines) {
          const wait = writer.add(line);
          if (wait === undefined) continue;
          await wait;
          signal.throwIfAborted();
          source.report(progress, writer.acknowledged);
        }
        await writer.finish();
      } catch (error) {
        progress.end();
        // What was added before the wrong line is to be there, as the help says; the first error is the one that counts.
        await writer.finish().catch(() => undefined);
        talk.note(`${countOf(writer.acknowledged, 'operation')} from before it are in the store.`);
        throw error;
      } finally {
        progress.end();
      }
    };
    const work = async (store: Pick<CommandStore, 'write'>): Promise<number> => {
      const writer = new BatchWriter(store, { durability: durabilityOf(flags), signal });
      await write(writer);
      return writer.acknowledged;
    };
    const isDry = flags.has('dry-run');
    const imported = isDry
      ? await countLines(source.lines, signal)
      : await withStore(context, flags.has('create') ? 'create' : 'write', work);
    if (flags.has('json')) await out.json({ imported: isDry ? 0 : imported, read: imported });
    else await out.line(`${countOf(imported, 'operation')} ${isDry ? 'can be ' : ''}imported`);
    return EXIT.done;
  },
};

interface Source {
  readonly lines: LineSource;
  readonly unit: 'bytes' | 'entries';
  readonly total: number | undefined;
  report(progress: Progress, acknowledged: number): void;
}

/** The same lines, the first of which has been read. */
async function begun(lines: LineSource): Promise<LineSource> {
  const iterator = lines[Symbol.asyncIterator]();
  return restOf(await iterator.next(), iterator);
}

async function* restOf(first: IteratorResult<Line>, iterator: AsyncIterator<Line>): AsyncGenerator<Line> {
  try {
    for (let next = first; next.done !== true; next = await iterator.next()) yield next.value;
  } finally {
    await iterator.return?.();
  }
}

async function countLines(lines: LineSource, signal: AbortSignal): Promise<number> {
  let count = 0;
  const iterator = lines[Symbol.asyncIterator]();
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
    count += 1;
    if (count % 1000 === 0) signal.throwIfAborted();
  }
  return count;
}

async function openSource(context: Context): Promise<Source> {
  const { flags, positionals, input, open, signal } = context;
  const path = positionals[1] ?? '-';
  const format = flags.choice('format', FORMATS);
  if (path === '-') {
    if (format === 'level') throw new UsageError('a database cannot come on stdin; give its directory.');
    if (input.isTTY) throw new UsageError('import needs a source: a file, a directory, or something on stdin.');
    const report: Source['report'] = (progress, acknowledged) => progress.at(acknowledged);
    return { lines: readText(context, input, format ?? 'ndjson'), unit: 'entries', total: undefined, report };
  }
  const found = await stat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') throw new Failure(`there is no file ${path}.`);
    throw error;
  });
  if (format === 'level' || (format === undefined && found.isDirectory())) {
    const report: Source['report'] = (progress, acknowledged) => progress.at(acknowledged);
    return { lines: readLevel(open, path, signal), unit: 'entries', total: undefined, report };
  }
  if (found.isDirectory()) throw new UsageError(`${path} is a directory; --format level reads a database.`);
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  const report: Source['report'] = (progress) => progress.at(file.bytesRead);
  const kind = format ?? (path.toLowerCase().endsWith('.csv') ? 'csv' : 'ndjson');
  return {
    lines: readText(context, file, kind),
    unit: 'bytes',
    total: found.isFile() ? found.size : undefined,
    report,
  };
}

function readText({ flags, signal }: Context, input: Input, format: 'ndjson' | 'csv'): LineSource {
  const coders = codersOf(flags);
  const lineBytesMax = flags.number('line-bytes-max', 1, LINE_BYTES_LIMIT) ?? LINE_BYTES_MAX;
  const bytes = chunksUntil(input, signal);
  if (format === 'ndjson') return readNdjson(bytes, coders, lineBytesMax);
  const delimiter = flags.text('delimiter') ?? ',';
  if (!/^.$/su.test(delimiter) || /["\r\n]/.test(delimiter)) throw new UsageError('--delimiter must be one character.');
  const [keyColumn, valueColumn] = [flags.text('key-column'), flags.text('value-column')];
  return readCsv(bytes, { coders, delimiter, rowLengthMax: lineBytesMax, keyColumn, valueColumn });
}

/** Chunks, until Ctrl-C: a read of stdin may wait for ever. */
async function* chunksUntil(input: Input, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stop = (): void => void input.destroy(signal.reason instanceof Error ? signal.reason : undefined);
  signal.addEventListener('abort', stop, { once: true });
  try {
    signal.throwIfAborted();
    for await (const chunk of input) yield chunk as Uint8Array;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
