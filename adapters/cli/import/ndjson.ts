/**
 * NDJSON, as `export`, `scan --json` and `changes --json` write it.
 *
 *     line := { "key", "value" } | { "type": "set" | "entry", "key", "value" } | { "type": "delete", "key" }
 *           | { "type": "snapshotEnd" }      says nothing about a key, and is passed over
 */
import type { Line } from '../batch-writer.ts';
import type { Coders } from '../encoding.ts';
import { ImportError, type LineSource, reasonOf, requireStorable } from './import-line.ts';
import { linesOf } from './lines.ts';

export async function* readNdjson(
  input: AsyncIterable<Uint8Array>,
  coders: Coders,
  lineBytesMax: number,
): LineSource & AsyncGenerator<Line> {
  for await (const { number, text } of linesOf(input, lineBytesMax)) {
    if (text.trim() === '') continue;
    const line = lineOf(parse(text, number), number, coders);
    if (line === undefined) continue;
    requireStorable(line, number);
    yield line;
  }
}

function parse(text: string, number: number): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ImportError(number, `it is not JSON: ${reasonOf(error)}`, { cause: error });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ImportError(number, 'it is no JSON object with a key and a value.');
}

function lineOf(object: Readonly<Record<string, unknown>>, number: number, { key, value }: Coders): Line | undefined {
  const type = object['type'] ?? 'set';
  if (type === 'snapshotEnd') return undefined;
  if (type !== 'set' && type !== 'entry' && type !== 'delete') {
    throw new ImportError(number, `its type is ${JSON.stringify(type)}, and set, entry and delete can be imported.`);
  }
  const read = (name: 'key' | 'value'): Uint8Array => {
    if (!Object.hasOwn(object, name)) throw new ImportError(number, `it has no ${name}.`);
    try {
      return (name === 'key' ? key : value).fromJson(object[name]);
    } catch (error) {
      throw new ImportError(number, `its ${name}: ${reasonOf(error)}`, { cause: error });
    }
  };
  return type === 'delete' ? { type, key: read('key') } : { type: 'set', key: read('key'), value: read('value') };
}
