/** What recovery promises for any history of writes, syncs and rotations, whatever then happens to the files. */
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../../src/errors.ts';
import { encodeDurabilityMark } from '../../../src/storage/wal/log-writer.ts';
import { recoverLogs, type RecoveryReport, type RecoverySink } from '../../../src/storage/wal/log-recovery.ts';
import { RecordWriter } from '../../../src/storage/wal/record-writer.ts';
import { batchOf, flipped, logFile } from '../../support/log-bytes.ts';

type Act =
  | { readonly type: 'write'; readonly count: number; readonly valueBytes: number; readonly burnt: number }
  | { readonly type: 'sync' }
  | { readonly type: 'rotate' };

interface Place {
  readonly log: number;
  /** Byte offset after the record. */
  readonly endOffset: number;
}

interface History {
  readonly logs: readonly Uint8Array[];
  /** Per log: bytes that a sync has covered. */
  readonly synced: readonly number[];
  readonly batches: readonly (Place & { readonly sequence: number; readonly last: number })[];
  readonly marks: readonly (Place & { readonly next: number })[];
}

/** Writes as the rules in `durability-mark.ts` ask; older logs need not be synced when a new one begins. */
function written(acts: readonly Act[]): History {
  const writers = [new RecordWriter()];
  const synced = [0];
  const batches: (Place & { sequence: number; last: number })[] = [];
  const marks: (Place & { next: number })[] = [];
  let durable = 0;
  let marked = -1;
  const add = (record: Uint8Array): Place => {
    const writer = writers[writers.length - 1] as RecordWriter;
    writer.add(record, 0, record.length);
    return { log: writers.length - 1, endOffset: writer.offset };
  };
  const mark = (): void => {
    marks.push({ ...add(encodeDurabilityMark(durable + 1)), next: durable + 1 });
    marked = durable;
  };
  const syncHead = (): void => {
    mark();
    synced[writers.length - 1] = (writers.at(-1) as RecordWriter).offset;
  };
  syncHead();
  for (const act of acts) {
    const last = batches.at(-1)?.last ?? 0;
    if (act.type === 'sync') {
      for (const [log, writer] of writers.entries()) synced[log] = writer.offset;
      durable = last;
    } else if (act.type === 'rotate') {
      writers.push(new RecordWriter());
      syncHead();
    } else {
      if (durable > marked) mark();
      const isAtSeam = writers.length > 1 && batches.at(-1)?.log !== writers.length - 1;
      const sequence = last + 1 + (isAtSeam ? 0 : act.burnt);
      const place = add(batchOf(sequence, act.count, act.valueBytes));
      batches.push({ ...place, sequence, last: sequence + act.count - 1 });
    }
  }
  return { logs: writers.map((writer) => writer.staged().slice()), synced, batches, marks };
}

async function recover(
  logs: readonly Uint8Array[],
): Promise<{ sequences: number[]; result: E.Either<unknown, RecoveryReport> }> {
  const sequences: number[] = [];
  const sink: RecoverySink = {
    batch: (bytes, start, end, sequence, count) => {
      const valueBytes = (end - start - 12) / count - 4; // enough for values under 128 bytes, and told apart by count
      if (valueBytes < 128)
        expect(Buffer.compare(bytes.subarray(start, end), batchOf(sequence, count, valueBytes))).toBe(0);
      sequences.push(sequence);
      return undefined;
    },
  };
  const files = logs.map((bytes, index) => logFile(index + 3, bytes));
  return { sequences, result: await recoverLogs(files, 0, sink, { salvage: false })() };
}

/** How many batches were recovered, if they are the first ones; otherwise a failed test. */
function prefixLength(history: History, sequences: readonly number[]): number {
  expect(sequences).toEqual(history.batches.slice(0, sequences.length).map((batch) => batch.sequence));
  return sequences.length;
}

/** Damage was reported, or nothing is missing that `marks` claim. */
async function expectFoundOrHarmless(
  history: History,
  logs: readonly Uint8Array[],
  marks: History['marks'],
): Promise<void> {
  const { sequences, result } = await recover(logs);
  const length = prefixLength(history, sequences);
  if (E.isLeft(result)) {
    expect(result.left).toBeInstanceOf(CorruptionError);
    return;
  }
  const claimed = Math.max(...marks.map((mark) => mark.next), 0);
  expect(history.batches[length]?.sequence ?? Infinity).toBeGreaterThanOrEqual(claimed);
}

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('write' as const),
      count: fc.integer({ min: 1, max: 3 }),
      valueBytes: fc.oneof({ weight: 20, arbitrary: fc.nat({ max: 100 }) }, fc.integer({ min: 600, max: 3000 })),
      burnt: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat({ max: 1000 })),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'sync' as const }) },
  { weight: 1, arbitrary: fc.constant({ type: 'rotate' as const }) },
);
const acts = fc.array(act, { minLength: 1, maxLength: 25 });

const write = (count: number, valueBytes: number, burnt = 0): Act => ({ type: 'write', count, valueBytes, burnt });
const sync: Act = { type: 'sync' };
const rotate: Act = { type: 'rotate' };
const samples: readonly (readonly [string, readonly Act[]])[] = [
  ['one log, synced now and then', [write(1, 4), sync, write(2, 9), write(1, 0), sync, write(1, 30), write(3, 1)]],
  [
    'three logs, not synced between',
    [write(1, 5), sync, write(1, 6), rotate, write(2, 7), rotate, write(1, 8), sync, write(1, 9), write(1, 4)],
  ],
  ['logs synced before the next', [write(2, 5), sync, rotate, write(1, 3, 9), sync, rotate, write(1, 2), write(1, 1)]],
];

describe('any history', { timeout: 30_000 }, () => {
  it('is recovered whole when nothing happened to it', async () => {
    await fc.assert(
      fc.asyncProperty(acts, async (plan) => {
        const history = written(plan);
        const { sequences, result } = await recover(history.logs);
        expect(prefixLength(history, sequences)).toBe(history.batches.length);
        expect(result).toEqual(
          E.right({ lastSequence: history.batches.at(-1)?.last ?? 0, batches: sequences.length, torn: undefined }),
        );
      }),
      { numRuns: 150 },
    );
  });

  it('loses nothing that was claimed, in silence, to a changed byte', async () => {
    await fc.assert(
      fc.asyncProperty(acts, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), async (plan, which, where, mask) => {
        const history = written(plan);
        const logs = [...history.logs];
        const log = which % logs.length;
        const bytes = logs[log] as Uint8Array;
        logs[log] = flipped(bytes, where % bytes.length, mask);
        await expectFoundOrHarmless(history, logs, history.marks);
      }),
      { numRuns: 500 },
    );
  });

  it('loses nothing that is still claimed, in silence, to a cut or a missing log', async () => {
    await fc.assert(
      fc.asyncProperty(acts, fc.nat(), fc.nat(), fc.boolean(), async (plan, which, where, isRemoved) => {
        const history = written(plan);
        const log = which % history.logs.length;
        const isMissing = isRemoved && log > 0; // without the first one, its numbers might as well be burnt
        const bytes = history.logs[log] as Uint8Array;
        const cut = isMissing ? 0 : where % bytes.length;
        const logs = history.logs.map((each, index) => (index === log ? each.subarray(0, cut) : each));
        const marks = history.marks.filter((mark) => mark.log !== log || mark.endOffset <= cut);
        await expectFoundOrHarmless(history, isMissing ? logs.filter((_each, index) => index !== log) : logs, marks);
      }),
      { numRuns: 300 },
    );
  });

  it('opens without an error, with all that was synced and without a hole, after the power has gone', async () => {
    const fates = fc.array(fc.constantFrom('kept', 'kept', 'zeros', 'garbage'), { minLength: 8, maxLength: 64 });
    await fc.assert(
      fc.asyncProperty(
        acts,
        fates,
        fc.array(fc.nat({ max: 12 }), { minLength: 3 }),
        fc.nat(),
        async (plan, fate, cuts, seed) => {
          const history = written(plan);
          let sectors = seed;
          const logs = history.logs.map((bytes, log) => {
            const image = bytes.slice();
            const synced = history.synced[log] as number;
            for (let at = synced; at < image.length; at += 512 - (at % 512)) {
              const piece = image.subarray(at, at + 512 - (at % 512));
              const what = fate[sectors++ % fate.length];
              if (what === 'zeros') piece.fill(0);
              else if (what === 'garbage')
                for (let i = 0; i < piece.length; i += 1) piece[i] = Math.imul(i + 1, seed | 1) >>> 7;
            }
            // One log in three keeps its whole length; another loses some bytes, or all that no sync has covered.
            const cut = cuts[log % cuts.length] as number;
            return image.subarray(0, Math.max(synced, image.length - Math.max(0, cut - 4) ** 3));
          });
          const { sequences, result } = await recover(logs);
          const length = prefixLength(history, sequences);
          if (E.isLeft(result)) throw result.left;
          const durable = history.batches.filter((batch) => batch.endOffset <= (history.synced[batch.log] as number));
          expect(length).toBeGreaterThanOrEqual(durable.length);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe.each(samples)('every byte of %s', { timeout: 30_000 }, (_name, plan) => {
  const history = written(plan);
  const places = history.logs.flatMap((bytes, log) => Array.from(bytes, (_unused, offset) => ({ log, offset })));

  it('may change', async () => {
    for (const { log, offset } of places) {
      for (const mask of [1, 2, 4, 64, 255]) {
        const logs = history.logs.map((bytes, index) => (index === log ? flipped(bytes, offset, mask) : bytes));
        await expectFoundOrHarmless(history, logs, history.marks);
      }
    }
  });

  it('may be the first that is missing', async () => {
    for (const { log, offset } of places) {
      const logs = history.logs.map((bytes, index) => (index === log ? bytes.subarray(0, offset) : bytes));
      const marks = history.marks.filter((mark) => mark.log !== log || mark.endOffset <= offset);
      await expectFoundOrHarmless(history, logs, marks);
      if (log < logs.length - 1) continue;
      // Of the last log, a cut takes what it touches, and nothing else.
      const { sequences, result } = await recover(logs);
      const kept = history.batches.filter((batch) => batch.log < log || batch.endOffset <= offset);
      expect(sequences).toEqual(kept.map((batch) => batch.sequence));
      expect(E.isRight(result)).toBe(true);
    }
  });
});
