/**
 * CSV as RFC 4180 has it, with line feeds allowed for line ends.
 *
 *     file  := row (end row)* [end]         row := field (delimiter field)*        end := "\r\n" | "\n"
 *     field := '"' (any | '""')* '"' | (any but delimiter, '"' and end)*
 *
 * An empty line is no row. One character at a time, with no more held than one row.
 */
import { ImportError } from './import-line.ts';

export interface CsvRow {
  /** Where the row begins, from 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

export async function* csvRows(
  input: AsyncIterable<Uint8Array>,
  delimiter: string,
  rowLengthMax: number,
): AsyncGenerator<CsvRow> {
  const parser = new CsvParser(delimiter, rowLengthMax);
  const decoder = new TextDecoder('utf-8', { fatal: true }); // takes a byte order mark away
  for await (const chunk of input) {
    yield* parser.take(decode(() => decoder.decode(chunk, { stream: true }), parser.line));
  }
  yield* parser.take(decode(() => decoder.decode(), parser.line));
  yield* parser.end();
}

function decode(work: () => string, line: number): string {
  try {
    return work();
  } catch (error) {
    throw new ImportError(line, 'near it, the file is not UTF-8.', { cause: error });
  }
}

class CsvParser {
  readonly #delimiter: string;
  readonly #rowLengthMax: number;
  #state: 'start' | 'plain' | 'quoted' | 'quoteInQuoted' | 'carriageReturn' = 'start';
  #field = '';
  #fields: string[] = [];
  /** Whether the last field has quotes around it: then it is there, even if nothing is in it. */
  #isQuoted = false;
  #rowLength = 0;
  #rowLine = 1;
  line = 1;

  constructor(delimiter: string, rowLengthMax: number) {
    this.#delimiter = delimiter;
    this.#rowLengthMax = rowLengthMax;
  }

  *take(text: string): Generator<CsvRow> {
    for (const character of text) {
      if (character === '\n') this.line += 1;
      const isRowDone = this.#step(character);
      this.#rowLength += character.length;
      if (this.#rowLength > this.#rowLengthMax) {
        throw new ImportError(
          this.#rowLine,
          `the row is longer than ${this.#rowLengthMax}; --line-bytes-max allows for more.`,
        );
      }
      if (isRowDone) yield* this.#finishRow();
    }
  }

  *end(): Generator<CsvRow> {
    if (this.#state === 'quoted') throw new ImportError(this.#rowLine, 'the quotes that begin in it have no end.');
    if (this.#state !== 'start' || this.#fields.length > 0) yield* this.#finishRow();
  }

  /** @returns whether the row is at its end */
  #step(character: string): boolean {
    switch (this.#state) {
      case 'quoted':
        if (character === '"') this.#state = 'quoteInQuoted';
        else this.#field += character;
        return false;
      case 'carriageReturn':
        if (character === '\n') return true;
        throw new ImportError(this.line, 'a carriage return without a line feed stands outside of quotes.');
      case 'start':
      case 'plain':
      case 'quoteInQuoted':
        return this.#stepOutside(character);
    }
  }

  #stepOutside(character: string): boolean {
    if (character === '\n') return true;
    if (character === '\r') {
      this.#state = 'carriageReturn';
    } else if (character === this.#delimiter) {
      this.#fields.push(this.#field);
      this.#field = '';
      this.#isQuoted = false;
      this.#state = 'start';
    } else if (character === '"') {
      if (this.#state === 'plain') throw new ImportError(this.line, 'a quote stands inside of a field without quotes.');
      if (this.#state === 'quoteInQuoted') this.#field += '"';
      this.#state = 'quoted';
      this.#isQuoted = true;
    } else {
      if (this.#state === 'quoteInQuoted') throw new ImportError(this.line, 'something stands behind a closing quote.');
      this.#field += character;
      this.#state = 'plain';
    }
    return false;
  }

  *#finishRow(): Generator<CsvRow> {
    const fields = [...this.#fields, this.#field];
    // `""` alone is a row with one empty field; nothing at all is an empty line.
    const isEmpty = fields.length === 1 && this.#field === '' && !this.#isQuoted;
    const line = this.#rowLine;
    this.#fields = [];
    this.#field = '';
    this.#isQuoted = false;
    this.#rowLength = 0;
    this.#state = 'start';
    this.#rowLine = this.line;
    if (!isEmpty) yield { line, fields };
  }
}
