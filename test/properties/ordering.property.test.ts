// Goal: on the way groupCommit -> walAppend -> memtableInsert the order is kept, nothing is lost or repeated, every
// bound holds, and each write has exactly one fate: it is in a group, or rejected, or cancelled.
// Method: fc.scheduler chooses, one step at a time, who goes on: callers, cancellations, the gate, the log, the memtable,
// or the release of a group. A step may also be done at once, without the scheduler. At the end all is compared.
import fc from 'fast-check';
import { Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import {
  type AdmissionPolicy,
  type Done,
  groupCommit,
  memtableInsert,
  walAppend,
  type WriteGroup,
} from '../../src/operators/index.ts';

interface Write {
  readonly id: string;
  readonly bytes: number;
  /** Where the write stands in the order in which it reached the source. */
  place: number;
  isCancelled: boolean;
  /** Every fate it met; one is right. */
  readonly fates: ('grouped' | 'rejected')[];
}

interface Caller {
  readonly writes: readonly { readonly bytes: number; readonly isCancelledSoon: boolean }[];
}

interface Bounds {
  readonly writesMax: number;
  readonly bytesMax: number;
  readonly groupWritesMax: number;
  readonly groupBytesMax: number;
}

const bounds: fc.Arbitrary<Bounds> = fc.record({
  writesMax: fc.integer({ min: 1, max: 5 }),
  bytesMax: fc.integer({ min: 1, max: 12 }),
  groupWritesMax: fc.integer({ min: 1, max: 6 }),
  groupBytesMax: fc.integer({ min: 1, max: 15 }),
});
const callers: fc.Arbitrary<Caller[]> = fc.array(
  fc.record({
    writes: fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 15 }), isCancelledSoon: fc.boolean() }), {
      minLength: 1,
      maxLength: 6,
    }),
  }),
  { minLength: 1, maxLength: 5 },
);
const policies = fc.constantFrom<AdmissionPolicy>('wait', 'fail', 'dropOldest', 'dropNewest');
/** What a port does with its next group; used up in order, and then again from the first. */
const outcomes = fc.array(fc.record({ isAtOnce: fc.boolean(), isFailure: fc.boolean() }), {
  minLength: 1,
  maxLength: 8,
});

/** Runs `action` when the scheduler says so. */
const later = (scheduler: fc.Scheduler, label: string, action: () => void): void => {
  void scheduler.schedule(Promise.resolve(), label).then(action);
};

/** A port with the given outcomes, and what it saw. */
const port = (scheduler: fc.Scheduler, name: string, plan: readonly { isAtOnce: boolean; isFailure: boolean }[]) => {
  const began: WriteGroup<Write>[] = [];
  const ended: WriteGroup<Write>[] = [];
  const failed: WriteGroup<Write>[] = [];
  let turn = 0;
  return {
    began,
    ended,
    failed,
    run: (group: WriteGroup<Write>, done: Done<string>): void => {
      const { isAtOnce, isFailure } = plan[turn++ % plan.length] ?? { isAtOnce: true, isFailure: false };
      expect(began.length).toBe(ended.length + failed.length); // one at a time
      began.push(group);
      const settle = (): void => {
        (isFailure ? failed : ended).push(group);
        done(isFailure ? 'failed' : undefined);
        done(undefined); // ignored
      };
      if (isAtOnce) settle();
      else later(scheduler, name, settle);
    },
  };
};

const writesOf = (groups: readonly WriteGroup<Write>[]): Write[] => groups.flatMap((group) => [...group.writes]);

describe('the write pipe', () => {
  it('keeps the order, its bounds, and every write, under every interleaving', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        bounds,
        callers,
        policies,
        outcomes,
        outcomes,
        outcomes,
        async (scheduler, limits, plans, onOverflow, logPlan, tablePlan, rest) => {
          const { writesMax, bytesMax, groupWritesMax, groupBytesMax } = limits;
          const source = new Subject<Write>();
          const offered: Write[] = [];
          const emitted: WriteGroup<Write>[] = [];
          const released = new Set<WriteGroup<Write>>();
          const failedBack: WriteGroup<Write>[] = [];
          const log = port(scheduler, 'log', logPlan);
          const table = port(scheduler, 'memtable', tablePlan);
          let isComplete = false;
          let failure: unknown;
          let depth: readonly [number, number, number] = [0, 0, 0];
          let turn = 0;

          const isNow = (): boolean => rest[turn++ % rest.length]?.isAtOnce ?? true;
          const release = (group: WriteGroup<Write>): void => {
            released.add(group);
            group.release();
            group.release(); // counts once
          };
          const fail = (group: WriteGroup<Write>): void => {
            failedBack.push(group);
            release(group);
          };

          source
            .pipe(
              groupCommit<Write>({
                ...limits,
                onOverflow,
                sizeOf: (write) => write.bytes,
                isCancelled: (write) => write.isCancelled,
                onRejected: (write) => write.fates.push('rejected'),
                gather: (open) => (isNow() ? open() : later(scheduler, 'gate', open)),
                onDepth: (writes, bytes, atDoor) => {
                  depth = [writes, bytes, atDoor];
                  expect(writes).toBeLessThanOrEqual(writesMax);
                  if (writes > 1) expect(bytes).toBeLessThanOrEqual(bytesMax);
                  if (onOverflow !== 'wait') expect(atDoor).toBe(0);
                },
              }),
              walAppend({ append: log.run, fail }),
              memtableInsert({ insert: table.run, fail }),
            )
            .subscribe({
              next: (group) => {
                emitted.push(group);
                if (isNow()) release(group);
                else later(scheduler, 'release', () => release(group));
              },
              error: (error: unknown) => (failure = error),
              complete: () => (isComplete = true),
            });

          plans.forEach(({ writes }, caller) => {
            const steps = writes.map((plan, index) => ({
              label: `caller ${caller}`,
              builder: () => {
                const id = `${caller}.${index}`;
                const write: Write = { id, bytes: plan.bytes, place: offered.length, isCancelled: false, fates: [] };
                offered.push(write);
                if (plan.isCancelledSoon) later(scheduler, `cancel ${id}`, () => (write.isCancelled = true));
                source.next(write);
                return Promise.resolve();
              },
            }));
            scheduler.scheduleSequence(steps);
          });
          await scheduler.waitIdle();
          source.complete();
          await scheduler.waitIdle();

          expect(failure).toBeUndefined(); // also what an expectation inside of the pipe threw
          for (const write of writesOf(log.began)) write.fates.push('grouped');
          const places = writesOf(log.began).map((write) => write.place);
          expect(places).toEqual([...places].sort((a, b) => a - b));
          expect(table.began).toEqual(log.ended);
          expect(emitted).toEqual(table.ended);
          expect(failedBack).toHaveLength(log.failed.length + table.failed.length);
          expect(released.size).toBe(log.began.length);
          for (const group of log.began) {
            expect(group.writes.length).toBeGreaterThan(0);
            expect(group.writes.length).toBeLessThanOrEqual(groupWritesMax);
            if (group.writes.length > 1) expect(group.bytes).toBeLessThanOrEqual(groupBytesMax);
            expect(group.bytes).toBe(group.writes.reduce((sum, write) => sum + write.bytes, 0));
          }
          for (const { fates, isCancelled } of offered) {
            if (isCancelled) expect(fates.length).toBeLessThanOrEqual(1);
            else expect(fates).toHaveLength(1);
            if (onOverflow === 'wait') expect(fates).not.toContain('rejected');
          }
          expect(depth).toEqual([0, 0, 0]);
          expect(isComplete).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});
