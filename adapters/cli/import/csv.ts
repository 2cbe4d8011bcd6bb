/**
 * Entries from CSV: the first row names the columns.
 *
 * With columns `key` and `value`, as `export --format csv` writes them, each row is an entry. With `--key-column`, the value
 * is the whole row as a JSON object, or the column that `--value-column` names.
 */
import type { Line } from '../batch-writer.ts';
import type { Coder, Coders } from '../encoding.ts';
import { csvRows, type CsvRow } from './csv-rows.ts';
import { ImportError, reasonOf, requireStorable } from './import-line.ts';

export interface CsvSettings {
  readonly coders: Coders;
  readonly delimiter: string;
  readonly rowLengthMax: number;
  readonly keyColumn: string | undefined;
  readonly valueColumn: string | undefined;
}

export async function* readCsv(input: AsyncIterable<Uint8Array>, settings: CsvSettings): AsyncGenerator<Line> {
  let lineOf: ((row: CsvRow) => Line) | undefined;
  for await (const row of csvRows(input, settings.delimiter, settings.rowLengthMax)) {
    if (lineOf === undefined) lineOf = rowReader(row, settings);
    else yield lineOf(row);
  }
}

function rowReader({ fields: names, line }: CsvRow, settings: CsvSettings): (row: CsvRow) => Line {
  const { coders, keyColumn = 'key', valueColumn } = settings;
  const columnOf = (name: string): number => {
    const column = names.indexOf(name);
    if (column !== -1) return column;
    throw new ImportError(line, `the first row has no column ${JSON.stringify(name)}; it has ${names.join(', ')}.`);
  };
  const twice = names.find((name, column) => names.indexOf(name) !== column);
  if (twice !== undefined) {
    throw new ImportError(line, `the first row has two columns ${JSON.stringify(twice)}: one of them would be lost.`);
  }
  const keyAt = columnOf(keyColumn);
  const isWholeRow = settings.keyColumn !== undefined && valueColumn === undefined;
  const valueAt = isWholeRow ? -1 : columnOf(valueColumn ?? 'value');
  return ({ fields, line: at }) => {
    if (fields.length !== names.length) {
      throw new ImportError(at, `it has ${fields.length} fields, and the first row has ${names.length}.`);
    }
    const key = readField(coders.key, fields[keyAt] ?? '', at, keyColumn);
    requireStorable({ type: 'set', key }, at);
    if (!isWholeRow) return { type: 'set', key, value: readField(coders.value, fields[valueAt] ?? '', at, 'value') };
    const row = Object.fromEntries(names.map((name, column) => [name, fields[column] ?? '']));
    return { type: 'set', key, value: JSON.stringify(row) };
  };
}

function readField(coder: Coder, text: string, line: number, name: string): Uint8Array {
  try {
    return coder.read(text);
  } catch (error) {
    throw new ImportError(line, `its ${name}: ${reasonOf(error)}`, { cause: error });
  }
}
