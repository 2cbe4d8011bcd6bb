/** Tables of whatever blocks a test decides, with right checksums: also such as no writer makes. */
import { encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { encodeFooter, HANDLE_BYTES_MAX, writeHandle } from '../../src/storage/table/table-format.ts';
import { TableOutput } from '../../src/storage/table/table-output.ts';
import { bytesOf } from './sorted-model.ts';

/** A line of a block: what it says that it shares with the key before, the rest of its key, and its value. */
export interface RawLine {
  readonly shared?: number;
  readonly rest: Uint8Array;
  readonly value?: Uint8Array;
}

export interface RawTable {
  /** Contents of the data blocks. */
  readonly data: readonly Uint8Array[];
  /** Of the data blocks: internal keys. */
  readonly separators: readonly Uint8Array[];
  /** The blocks that the metaindex names, by name; `same`: the block of the name before. */
  readonly named?: readonly (readonly [name: string, contents: Uint8Array | 'same'])[];
  /** Bytes that belong to no block, before the metaindex. */
  readonly between?: Uint8Array;
}

export const internal = (key: string, sequence: number, kind: 0 | 1 = KIND_SET): Uint8Array =>
  encodeInternalKey(bytesOf(key), sequence, kind);

const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);

/** @param restarts - offsets */
export function rawBlock(lines: readonly RawLine[], restarts: readonly number[] = [0]): Uint8Array {
  const bytes: number[] = [];
  for (const { shared = 0, rest, value = new Uint8Array(0) } of lines) {
    bytes.push(...varint(shared), ...varint(rest.length), ...varint(value.length), ...rest, ...value);
  }
  for (const word of [...restarts, restarts.length]) bytes.push(word & 255, (word >>> 8) & 255, 0, 0);
  return Uint8Array.from(bytes);
}

export function rawTable({ data, separators, named = [], between }: RawTable): Uint8Array {
  const output = new TableOutput(false);
  const handleOf = (contents: Uint8Array): Uint8Array => {
    const bytes = new Uint8Array(HANDLE_BYTES_MAX);
    return bytes.slice(0, writeHandle(bytes, 0, output.writeBlock(contents, false)));
  };
  const handles = data.map((contents) => handleOf(contents));
  let last = new Uint8Array(0);
  const names = named.map(([name, contents]) => {
    if (contents !== 'same') last = Uint8Array.from(handleOf(contents));
    return { rest: bytesOf(name), value: last };
  });
  if (between !== undefined) output.append(between);
  const metaindex = output.writeBlock(rawBlock(names, restartsOf(names)), false);
  const lines = handles.map((value, place) => ({ rest: separators[place] ?? new Uint8Array(0), value }));
  const index = output.writeBlock(rawBlock(lines, restartsOf(lines)), false);
  output.append(encodeFooter({ metaindex, index }));
  return output.take().slice();
}

/** A restart at each line; all lengths are below 128. */
function restartsOf(lines: readonly Required<Omit<RawLine, 'shared'>>[]): number[] {
  let offset = 0;
  const starts = lines.map(({ rest, value }) => {
    const start = offset;
    offset += 3 + rest.length + value.length;
    return start;
  });
  return starts.length === 0 ? [0] : starts;
}
