/** History as a subscriber reads it, and the check of it against the writes that made it. */
import type { Change, ChangesFrom, Store } from '../../src/index.ts';
import { type TextEntry, textOf } from './sorted-model.ts';
import { isRecovered, type TrackedWrite } from './tracked-writes.ts';

/** Changes from a place on, up to the one with the number `last`, which must be there. */
export async function changesUpTo(store: Store, from: ChangesFrom, last: number): Promise<Change[]> {
  const changes: Change[] = [];
  for await (const page of store.changes({ from }).pages()) {
    for (const change of page) if (change.type === 'set' || change.type === 'delete') changes.push(change);
    if ((changes.at(-1)?.sequence ?? 0) >= last) break;
  }
  return changes;
}

/**
 * Why the changes are not those of the writes of which the entries tell, or `undefined`: exactly their batches, in their
 * order, whole, each number once and ascending.
 *
 * @param writes - those whose changes are wanted, in the order of their calls
 */
export function historyViolation(
  writes: readonly TrackedWrite[],
  entries: readonly TextEntry[],
  changes: readonly Change[],
): string | undefined {
  const keys = new Set(entries.map(([key]) => key));
  let at = 0;
  let sequence = 0;
  for (const write of writes.filter(({ index }) => isRecovered(index, keys))) {
    const { operations } = write;
    for (const [index, operation] of operations.entries()) {
      const change = changes[at];
      at += 1;
      const where = `operation ${index} of write ${write.index}`;
      if (change === undefined) return `${where} is in no change`;
      const isThis =
        change.type === operation.type &&
        textOf(change.key) === textOf(operation.key) &&
        (change.type !== 'set' || operation.type !== 'set' || textOf(change.value) === textOf(operation.value));
      if (!isThis) return `change ${at} (${change.type} ${textOf(change.key)}, ${change.sequence}) is not ${where}`;
      if (change.batchIndex !== index || change.batchSize !== operations.length) {
        return `${where} is change ${change.batchIndex} of a batch of ${change.batchSize}`;
      }
      const isNext = index === 0 ? change.sequence > sequence : change.sequence === sequence + 1;
      if (!isNext) return `${where} has sequence number ${change.sequence}, after ${sequence}`;
      sequence = change.sequence;
    }
    if (write.sequence > 0 && write.sequence !== sequence) {
      return `write ${write.index} was given sequence number ${write.sequence}, and has ${sequence}`;
    }
  }
  const [extra] = changes.slice(at);
  if (extra !== undefined) return `${extra.type} of ${textOf(extra.key)} (${extra.sequence}) was not expected`;
  return undefined;
}
