/**
 * The cursor over a memtable.
 *
 * It is stable while entries are added between its steps. Entries never move, so the current one is good for ever; only
 * the slot that refers to it can change. Each insert raises the entry count: when that is not the one seen last, the
 * cursor looks its current entry up again, by key and sequence number, and steps on from there.
 */
import { KIND_DELETE, KIND_SET, type EntryKind, type InternalIterator, type Step } from '../read/internal-iterator.ts';
import type { EntryTree } from './entry-tree.ts';
import { ENTRY_COUNT_AT, ENTRY_HEADER_BYTES } from './layout.ts';

export class MemtableIterator implements InternalIterator {
  isValid = false;
  keyBytes: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  sequence = 0;
  kind: EntryKind = KIND_DELETE;
  valueBytes: Uint8Array;
  valueStart = 0;
  valueEnd = 0;
  private readonly tree: EntryTree;
  private slot = 0;
  private entryCountSeen = 0;

  constructor(tree: EntryTree) {
    this.tree = tree;
    this.keyBytes = tree.bytes;
    this.valueBytes = tree.bytes;
  }

  seekToFirst(): Step {
    return this.stand(this.tree.first());
  }

  seekToLast(): Step {
    return this.stand(this.tree.last());
  }

  seek(userKey: Uint8Array, sequence: number): Step {
    return this.stand(this.tree.seek(userKey, 0, userKey.length, sequence));
  }

  next(): Step {
    return this.stand(this.tree.next(this.currentSlot()));
  }

  previous(): Step {
    return this.stand(this.tree.previous(this.currentSlot()));
  }

  close(): void {
    this.isValid = false;
  }

  private currentSlot(): number {
    if (this.tree.words[ENTRY_COUNT_AT] === this.entryCountSeen) return this.slot;
    return this.tree.seek(this.keyBytes, this.keyStart, this.keyEnd, this.sequence);
  }

  private stand(slot: number): undefined {
    const { words } = this.tree;
    this.slot = slot;
    this.entryCountSeen = words[ENTRY_COUNT_AT] as number;
    this.isValid = slot !== 0;
    if (slot === 0) return;
    const entry = words[slot] as number;
    const at = entry >> 2;
    const tag = words[at + 1] as number;
    const keyStart = entry + ENTRY_HEADER_BYTES;
    const keyEnd = keyStart + (words[at + 2] as number);
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.sequence = (tag >>> 8) * 0x1_0000_0000 + ((words[at] as number) >>> 0);
    this.kind = (tag & 0xff) === KIND_SET ? KIND_SET : KIND_DELETE;
    this.valueStart = keyEnd;
    this.valueEnd = keyEnd + (words[at + 3] as number);
  }
}
