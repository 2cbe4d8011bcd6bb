// Goal: work that waits for its next attempt gets it when its time has come, the earliest first, by one timer. Method: a clock
// that the test moves, against a sorted list.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/streams/clock.ts';
import { ConsumerRetries } from '../../src/streams/consumer-retries.ts';
import { Work } from '../../src/streams/consumer-work.ts';
import { runsOf } from '../support/runs.ts';

/** A clock that stands still, with at most one timer. */
class StillClock {
  nowMs = 1000;
  timer: { readonly work: () => void; readonly dueMs: number } | undefined;
  timersSet = 0;

  readonly clock: Clock = {
    ...systemClock,
    now: () => this.nowMs,
    setTimer: (work, ms) => {
      expect(this.timer).toBe(undefined);
      expect(Number.isInteger(ms) && ms >= 0).toBe(true);
      const timer = { work, dueMs: this.nowMs + ms };
      this.timer = timer;
      this.timersSet += 1;
      return () => {
        if (this.timer === timer) this.timer = undefined;
      };
    },
  };

  /** Moves on to a time, by way of the timers that are due until then. */
  moveTo(ms: number): void {
    for (let timer = this.timer; timer !== undefined && timer.dueMs <= ms; timer = this.timer) {
      this.nowMs = Math.max(this.nowMs, timer.dueMs);
      this.timer = undefined;
      timer.work();
    }
    this.nowMs = ms;
  }
}

const workOf = (name: string): Work => new Work([], name);

function begin(): { still: StillClock; retries: ConsumerRetries; given: string[] } {
  const still = new StillClock();
  const given: string[] = [];
  const retries = new ConsumerRetries(
    still.clock,
    ({ partition }) => void given.push(`${partition}`),
    () => void given.push('|'),
  );
  return { still, retries, given };
}

describe('what waits for its next attempt', () => {
  it('gets it at its time, and what is due together is given together', () => {
    const { still, retries, given } = begin();
    retries.add(workOf('a'), 50);
    retries.add(workOf('b'), 20);
    retries.add(workOf('c'), 20);
    retries.add(workOf('d'), 70);
    still.moveTo(1019);
    expect(given).toEqual([]);
    still.moveTo(1020);
    expect(given).toEqual(['b', 'c', '|']);
    still.moveTo(1049);
    expect(given).toHaveLength(3);
    still.moveTo(2000);
    expect(given.slice(3)).toEqual(['a', '|', 'd', '|']);
    expect(still.timer).toBe(undefined);
  });

  it('has one timer, which is set anew only for something earlier', () => {
    const { still, retries } = begin();
    retries.add(workOf('a'), 50);
    expect(still.timer?.dueMs).toBe(1050);
    retries.add(workOf('b'), 50);
    retries.add(workOf('c'), 60);
    expect(still.timersSet).toBe(1);
    retries.add(workOf('d'), 49);
    expect(still.timersSet).toBe(2);
    expect(still.timer?.dueMs).toBe(1049);
  });

  it('is never given before its time, though timers count whole milliseconds', () => {
    const { still, retries, given } = begin();
    retries.add(workOf('a'), 0.4);
    expect(still.timer?.dueMs).toBe(1001);
    still.moveTo(1001);
    expect(given).toEqual(['a', '|']);
  });

  it('may be added to while it is given', () => {
    const still = new StillClock();
    const given: string[] = [];
    const retries: ConsumerRetries = new ConsumerRetries(
      still.clock,
      ({ partition }) => {
        given.push(`${partition}`);
        if (partition === 'a') retries.add(workOf('again'), 5);
      },
      () => undefined,
    );
    retries.add(workOf('a'), 10);
    retries.add(workOf('z'), 30);
    still.moveTo(1012);
    expect(given).toEqual(['a']);
    still.moveTo(1015);
    expect(given).toEqual(['a', 'again']);
    still.moveTo(1030);
    expect(given).toEqual(['a', 'again', 'z']);
  });

  it('is gone when it is closed', () => {
    const { still, retries, given } = begin();
    retries.add(workOf('a'), 10);
    retries.add(workOf('b'), 20);
    retries.close();
    expect(still.timer).toBe(undefined);
    still.moveTo(5000);
    expect(given).toEqual([]);
    retries.close();
  });

  it('is given in the order of its times, whatever the order of the calls', () => {
    const delay = fc.nat({ max: 40 });
    fc.assert(
      fc.property(fc.array(fc.tuple(delay, fc.nat({ max: 15 })), { maxLength: 40 }), (calls) => {
        const { still, retries, given } = begin();
        const due: number[] = [];
        for (const [delayMs, laterMs] of calls) {
          const dueMs = still.nowMs + delayMs;
          due.push(dueMs);
          retries.add(workOf(`${dueMs}`), delayMs);
          still.moveTo(still.nowMs + laterMs);
          const given_ = given.filter((name) => name !== '|').map(Number);
          expect(given_).toEqual(
            due
              .filter((ms) => ms <= still.nowMs)
              .sort((a, b) => a - b)
              .slice(0, given_.length),
          );
          expect(given_).toHaveLength(due.filter((ms) => ms <= still.nowMs).length);
        }
        still.moveTo(still.nowMs + 100);
        expect(given.filter((name) => name !== '|')).toHaveLength(due.length);
        expect(still.timer).toBe(undefined);
      }),
      runsOf(200),
    );
  });
});
