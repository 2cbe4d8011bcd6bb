/**
 * A database's identity: 128 bits, kept in the MANIFEST as the compaction pointer of the deepest level.
 *
 * LevelDB never compacts out of its deepest level, so it never uses that pointer, never replaces it, and writes it again
 * into every MANIFEST that it begins. A database that is destroyed and made anew, or repaired, has lost it: then it is
 * another database, whose sequence numbers mean something else.
 */
import { decodeInternalKey, encodeInternalKey } from '../codec/internal-key.ts';
import * as E from 'fp-ts/lib/Either.js';
import { LEVELS } from '../manifest/table-meta.ts';
import type { CompactionPointer } from '../manifest/version-edit.ts';
import { KIND_SET } from '../read/internal-iterator.ts';
import { isDatabaseId } from './history-names.ts';

const LEVEL = LEVELS - 1;
const PREFIX = 'alluvium:';

export function databaseIdOf(pointers: readonly (Uint8Array | undefined)[]): string | undefined {
  const pointer = pointers[LEVEL];
  if (pointer === undefined) return undefined;
  const key = decodeInternalKey(pointer);
  if (E.isLeft(key)) return undefined;
  const text = new TextDecoder('latin1').decode(key.right.userKey);
  const databaseId = text.slice(PREFIX.length);
  return text.startsWith(PREFIX) && isDatabaseId(databaseId) ? databaseId : undefined;
}

export function databaseIdPointer(databaseId: string): CompactionPointer {
  return { level: LEVEL, key: encodeInternalKey(new TextEncoder().encode(PREFIX + databaseId), 0, KIND_SET) };
}
