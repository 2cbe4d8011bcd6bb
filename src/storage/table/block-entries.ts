/** Blocks whose keys are names: the metaindex and the properties. Read once per table, so not hot. */
import { type Block, BlockEntryReader } from './block.ts';

/** Longer names are skipped unread: none that we know is longer, and a crafted block could make them cost much. */
const NAME_BYTES_MAX = 256;

/**
 * Calls `visit` for each entry in order; its value is `block.bytes[valueStart, valueEnd)`.
 *
 * @throws CorruptionError
 */
export function forEachEntry(block: Block, visit: (name: string, valueStart: number, valueEnd: number) => void): void {
  const reader = new BlockEntryReader();
  const decoder = new TextDecoder();
  for (let offset = 0; offset < block.entriesEnd; offset = reader.valueEnd) {
    reader.read(block, offset);
    if (reader.keyLength > NAME_BYTES_MAX) continue;
    visit(decoder.decode(reader.keyBytes.subarray(0, reader.keyLength)), reader.valueStart, reader.valueEnd);
  }
}
