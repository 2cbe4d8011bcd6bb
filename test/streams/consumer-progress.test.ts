// Goal: how far a consumer has settled everything, and what beyond, is told exactly: after any order of settling, and over
// restarts. Method: against a set of numbers; and the cases of which that is made.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Change, SequenceNumber } from '../../src/model.ts';
import { ConsumerProgress } from '../../src/streams/consumer-progress.ts';
import type { Slot } from '../../src/streams/consumer-work.ts';
import { runsOf } from '../support/runs.ts';

const cursorOf = (sequence: number): 'al1.x' => `al1.${sequence}` as 'al1.x';
const changeOf = (sequence: number): Change => ({
  type: 'delete',
  key: new Uint8Array(0),
  sequence,
  batchIndex: 0,
  batchSize: 1,
  timeMs: 0,
  cursor: cursorOf(sequence),
});
const begun = (sequence: number, settled: readonly SequenceNumber[] = []): ConsumerProgress =>
  new ConsumerProgress({ cursor: cursorOf(sequence), sequence, settled, isPaused: false });
/** Numbers of the runs. */
const numbersOf = (runs: readonly SequenceNumber[]): number[] => {
  const numbers: number[] = [];
  for (let index = 0; index < runs.length; index += 2) {
    for (let count = 0; count < (runs[index + 1] ?? 0); count += 1) numbers.push((runs[index] ?? 0) + count);
  }
  return numbers;
};
const settle = (progress: ConsumerProgress, slot: Slot | undefined): void => {
  if (slot === undefined) throw new Error('it was settled before');
  slot.state = 'settled';
  progress.advance();
};

describe('the progress of a consumer', () => {
  it('is the last of what is settled without a gap; and runs of what is beyond', () => {
    const progress = begun(9);
    const slots = [10, 11, 12, 15, 16, 20].map((sequence) => progress.add(changeOf(sequence)));
    expect(progress.size).toBe(6);
    settle(progress, slots[3]);
    settle(progress, slots[2]);
    settle(progress, slots[4]);
    expect(progress.watermark).toEqual({ cursor: 'al1.9', sequence: 9 });
    expect(progress.record(true)).toEqual({ cursor: 'al1.9', sequence: 9, settled: [12, 1, 15, 2], isPaused: true });
    settle(progress, slots[0]);
    expect(progress.watermark).toEqual({ cursor: 'al1.10', sequence: 10 });
    expect(progress.size).toBe(5);
    settle(progress, slots[1]);
    expect(progress.watermark).toEqual({ cursor: 'al1.16', sequence: 16 });
    expect(progress.record(false)).toEqual({ cursor: 'al1.16', sequence: 16, settled: [], isPaused: false });
    settle(progress, slots[5]);
    expect(progress.size).toBe(0);
    expect(progress.watermark.sequence).toBe(20);
  });

  it('of a commit that is under way is in its record, and not yet in the watermark', () => {
    const progress = begun(0);
    const [first, second, third] = [1, 2, 4].map((sequence) => progress.add(changeOf(sequence))) as Slot[];
    if (first === undefined || second === undefined || third === undefined) throw new Error('three');
    first.state = 'committing';
    third.state = 'committing';
    expect(progress.record(false)).toMatchObject({ sequence: 1, cursor: 'al1.1', settled: [4, 1] });
    progress.advance();
    expect(progress.watermark.sequence).toBe(0);
    second.state = 'committing';
    expect(progress.record(false)).toMatchObject({ sequence: 4, settled: [] });
  });

  it('takes over what the range leaves out, only while nothing is open, and never backwards', () => {
    const progress = begun(5);
    progress.adopt({ cursor: cursorOf(8), sequence: 8 });
    expect(progress.watermark).toEqual({ cursor: 'al1.8', sequence: 8 });
    progress.adopt({ cursor: cursorOf(7), sequence: 7 });
    progress.adopt({ cursor: 'al1.other', sequence: 8 });
    expect(progress.watermark).toEqual({ cursor: 'al1.8', sequence: 8 });
    const slot = progress.add(changeOf(10));
    progress.adopt({ cursor: cursorOf(12), sequence: 12 });
    expect(progress.watermark.sequence).toBe(8);
    settle(progress, slot);
    progress.adopt({ cursor: cursorOf(12), sequence: 12 });
    expect(progress.watermark.sequence).toBe(12);
  });

  it('leaves out what an earlier run has settled, and keeps it in the record until then', () => {
    const progress = begun(10, [12, 3, 20, 2]);
    expect(progress.record(false).settled).toEqual([12, 3, 20, 2]);
    const eleven = progress.add(changeOf(11));
    expect(eleven).toBeDefined();
    expect(progress.record(false)).toMatchObject({ sequence: 10, settled: [12, 3, 20, 2] });
    expect(progress.add(changeOf(13))).toBe(undefined);
    expect(progress.record(false).settled).toEqual([13, 2, 20, 2]); // 12 is no change of its range
    expect(progress.add(changeOf(14))).toBe(undefined);
    const fifteen = progress.add(changeOf(15));
    expect(fifteen).toBeDefined();
    expect(progress.record(false)).toMatchObject({ sequence: 10, settled: [13, 2, 20, 2] });
    settle(progress, eleven);
    expect(progress.watermark.sequence).toBe(14);
    const nineteen = progress.add(changeOf(19));
    settle(progress, nineteen);
    expect(progress.record(false)).toMatchObject({ sequence: 14, settled: [19, 3] });
    settle(progress, fifteen);
    expect(progress.record(false)).toMatchObject({ sequence: 19, settled: [20, 2] });
    expect(progress.add(changeOf(20))).toBe(undefined);
    expect(progress.watermark.sequence).toBe(20);
    expect(progress.record(false)).toMatchObject({ sequence: 20, settled: [21, 1] });
    expect(progress.add(changeOf(22))).toBeDefined();
    expect(progress.record(false)).toMatchObject({ sequence: 20, settled: [] });
  });

  it('keeps no earlier runs that the watermark has left behind', () => {
    const progress = begun(10, [12, 3, 20, 2]);
    progress.adopt({ cursor: cursorOf(13), sequence: 13 });
    expect(progress.record(false)).toMatchObject({ sequence: 13, settled: [14, 1, 20, 2] });
    progress.adopt({ cursor: cursorOf(14), sequence: 14 });
    expect(progress.record(false).settled).toEqual([20, 2]);
    progress.adopt({ cursor: cursorOf(30), sequence: 30 });
    expect(progress.record(false).settled).toEqual([]);
  });

  it('forgets what is settled, however long one before the last is open', () => {
    const progress = begun(0);
    const slots: Slot[] = [];
    for (let sequence = 1; sequence <= 5000; sequence += 1) {
      const slot = progress.add(changeOf(sequence));
      if (slot !== undefined) slots.push(slot);
      const before = slots.at(-3);
      if (before !== undefined) settle(progress, before);
      expect(progress.size).toBeLessThanOrEqual(3);
    }
    expect(progress.watermark.sequence).toBe(4998);
    expect(progress.record(false)).toMatchObject({ sequence: 4998, settled: [] });
    // With many open behind the head, nothing is lost when what is before it is forgotten.
    const other = begun(0);
    const all = Array.from({ length: 4000 }, (_, index) => other.add(changeOf(index + 1)) as Slot);
    for (const [index, slot] of all.entries()) {
      settle(other, slot);
      expect(other.size).toBe(4000 - index - 1);
      expect(other.watermark.sequence).toBe(index + 1);
    }
  });

  it('is that of a set of numbers, in any order, over restarts', () => {
    const step = fc.record({
      isRestart: fc.boolean(),
      reads: fc.nat({ max: 6 }),
      settles: fc.array(fc.nat(), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 60 }),
        (steps, gaps) => {
          const sequences = gaps.reduce<number[]>((found, gap) => [...found, (found.at(-1) ?? 0) + gap], []);
          const done = new Set<number>();
          let progress = begun(0);
          let open: Slot[] = [];
          let read = 0;
          for (const { isRestart, reads, settles } of steps) {
            if (isRestart) {
              const record = progress.record(false);
              progress = new ConsumerProgress(record);
              open = [];
              read = sequences.filter((sequence) => sequence <= record.sequence).length;
            }
            for (let count = 0; count < reads && read < sequences.length; count += 1, read += 1) {
              const sequence = sequences[read] ?? 0;
              const slot = progress.add(changeOf(sequence));
              expect(slot === undefined).toBe(done.has(sequence)); // once each
              if (slot !== undefined) open.push(slot);
            }
            for (const at of settles) {
              const [slot] = open.splice(at % Math.max(1, open.length), 1);
              if (slot === undefined) continue;
              settle(progress, slot);
              done.add(slot.change.sequence);
            }
            const { sequence, settled } = progress.record(false);
            const known = [...sequences.filter((one) => one <= sequence), ...numbersOf(settled)];
            expect(known.filter((one) => sequences.includes(one)).sort((a, b) => a - b)).toEqual(
              [...done].sort((a, b) => a - b),
            );
            for (let index = 2; index < settled.length; index += 2) {
              const end = (settled[index - 2] ?? 0) + (settled[index - 1] ?? 0);
              expect(settled[index]).toBeGreaterThan(end);
            }
          }
        },
      ),
      runsOf(200),
    );
  });
});
