// Goal: from a batch, live or out of history, come exactly the user's operations in the range and from the number on: with
// the place in the batch, and its size, that the user gave it, wherever our own lines are among them.
// Method: random batches with reserved keys anywhere, against a filter of arrays.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Change } from '../../src/index.ts';
import { BatchBuffer, type BatchOperation } from '../../src/storage/codec/write-batch.ts';
import { RESERVED_PREFIX } from '../../src/storage/reserved.ts';
import { ChangeDecoder } from '../../src/streams/change-decoder.ts';
import { runsOf } from '../support/runs.ts';
import { bytesOf, scanned, textOf } from '../support/sorted-model.ts';

const PREFIX = 'al1.test.';
const key = fc.constantFrom('', '!', '!_', '!_alluvium', '!_alluvium"', 'a', 'b', '\xff', 'k'.repeat(200));
const reserved = fc.constantFrom(RESERVED_PREFIX, `${RESERVED_PREFIX}!consumers!c`, `${RESERVED_PREFIX}\xff`);
const value = fc.constantFrom('', 'v', 'w'.repeat(3000));
const operation: fc.Arbitrary<BatchOperation> = fc
  .tuple(fc.oneof({ weight: 2, arbitrary: key }, { weight: 1, arbitrary: reserved }), fc.option(value))
  .map(([name, given]) =>
    given === null
      ? { type: 'delete', key: bytesOf(name) }
      : { type: 'set', key: bytesOf(name), value: bytesOf(given) },
  );
const bound = fc.option(key, { nil: undefined });

/** What users should be told of a batch that begins at a sequence number. */
function told(operations: readonly BatchOperation[], first: number): unknown[] {
  const numbered = operations.map((one, index) => ({ one, sequence: first + index }));
  const visible = numbered.filter(({ one }) => !textOf(one.key).startsWith(RESERVED_PREFIX));
  return visible.map(({ one, sequence }, batchIndex) => ({
    type: one.type,
    key: textOf(one.key),
    value: one.type === 'set' ? textOf(one.value) : undefined,
    sequence,
    batchIndex,
    batchSize: visible.length,
    timeMs: 77,
    cursor: `${PREFIX}${sequence}`,
  }));
}
const textual = (changes: readonly Change[]): unknown[] =>
  changes.map((change) => ({
    ...change,
    key: textOf(change.key),
    value: change.type === 'set' ? textOf(change.value) : undefined,
  }));

describe('the changes of a batch', () => {
  it('are those of the user, numbered as the user gave them', () => {
    const decoder = new ChangeDecoder(PREFIX);
    fc.assert(
      fc.property(
        fc.array(fc.array(operation, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 3 }),
        bound,
        bound,
        fc.nat({ max: 30 }),
        fc.boolean(),
        (batches, gte, lt, from, hasBoundaries) => {
          const buffer = new BatchBuffer();
          let sequence = 1;
          const bounds = [0];
          const dueOfAll: unknown[] = [];
          const isAllWanted = gte === undefined;
          for (const operations of batches) {
            const start = buffer.append(sequence, operations);
            const batch = { bytes: buffer.bytes, start, end: buffer.length, timeMs: 77, hasBoundaries: true };
            const due = told(operations, sequence) as { key: string; sequence: number; batchSize: number }[];

            bounds.push(buffer.length);
            dueOfAll.push(...due);
            const lower = gte === undefined ? undefined : { key: bytesOf(gte), isInclusive: true };
            const upper = lt === undefined ? undefined : { key: bytesOf(lt), isInclusive: false };
            const found: Change[] = [];
            const bytes = decoder.decode({ ...batch, hasBoundaries }, { lower, upper }, from, found);

            const inRange = due.filter(
              (one) =>
                one.sequence >= from &&
                scanned([[one.key, '']], {
                  ...(gte === undefined ? {} : { gte: bytesOf(gte) }),
                  ...(lt === undefined ? {} : { lt: bytesOf(lt) }),
                }).length > 0,
            );
            expect(textual(found)).toEqual(
              inRange.map((one) => ({ ...one, batchSize: hasBoundaries ? one.batchSize : 0 })),
            );
            const size = found.reduce(
              (sum, one) => sum + one.key.length + (one.type === 'set' ? one.value.length : 0),
              0,
            );
            expect(bytes).toBeGreaterThanOrEqual(size);
            expect(bytes).toBeLessThanOrEqual(size + 5 * found.length); // and the lengths between them
            sequence += operations.length + (from % 3);
          }
          const routed: Change[] = [];
          decoder.route(
            { bytes: buffer.bytes, bounds, timeMs: 77 },
            isAllWanted,
            () => true,
            (change) => routed.push(change),
          );
          buffer.bytes.fill(0xff); // the next group comes into the same bytes
          expect(textual(routed)).toEqual(dueOfAll);
        },
      ),
      runsOf(1000),
    );
  });
});
