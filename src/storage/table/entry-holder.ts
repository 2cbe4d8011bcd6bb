/** The fields of an entry, for cursors that show theirs to nobody else. */
import { type EntryKind, KIND_SET } from '../read/internal-iterator.ts';
import type { EntryFields } from './block-iterator.ts';

const NO_BYTES = new Uint8Array(0);

export class EntryHolder implements EntryFields {
  isValid = false;
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  sequence = 0;
  kind: EntryKind = KIND_SET;
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;
}
