/** A stream of bytes as lines, each of a bounded length: what has no line end must not fill the memory. */
import { decodeUtf8 } from '../escape.ts';
import { ImportError } from './import-line.ts';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export interface TextLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

/** @param bytesMax - of one line; a longer one is an error */
export async function* linesOf(input: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<TextLine> {
  let parts: Uint8Array[] = []; // of the line that is not at its end yet
  let length = 0;
  let number = 1;
  const take = (part: Uint8Array): void => {
    length += part.length;
    if (length > bytesMax) {
      throw new ImportError(number, `it is longer than ${bytesMax} bytes; --line-bytes-max allows for more.`);
    }
    parts.push(part);
  };
  const finish = (): TextLine => {
    const line = { number, text: textOf(parts, number) };
    parts = [];
    length = 0;
    number += 1;
    return line;
  };
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      take(chunk.subarray(start, end));
      yield finish();
      start = end + 1;
    }
    if (start < chunk.length) take(chunk.subarray(start));
  }
  if (length > 0) yield finish();
}

function textOf(parts: readonly Uint8Array[], number: number): string {
  const [first] = parts;
  let bytes = parts.length === 1 && first !== undefined ? first : Buffer.concat(parts);
  if (bytes.at(-1) === CARRIAGE_RETURN) bytes = bytes.subarray(0, -1);
  const text = decodeUtf8(bytes);
  if (text === undefined) throw new ImportError(number, 'it is not UTF-8.');
  return number === 1 ? text.replace(/^\ufeff/, '') : text; // what some editors put before everything
}
