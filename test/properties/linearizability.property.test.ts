// Goal (T14): to its clients each key of a store is one register: every call takes effect at one moment between its begin
// and its end, also across crashes; a call that nobody has heard of again did so before the crash, or never will.
// Method: six clients in simulated time, on a disk that fails and loses its power; their history goes to a checker, per key.
// The checker is asked about histories that no register gives, and compared with one that tries every order.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordFigures } from '../support/figures.ts';
import { type Call, linearizabilityViolation, type RegisterCall } from '../support/linearizability.ts';
import { crashingHistory } from '../support/register-clients.ts';
import { PROPERTY_MS, randomOf, runs, runsOf, seedOfThisRun } from '../support/runs.ts';

const write = (value: string | undefined): RegisterCall => ({ do: 'write', value });
const read = (value: string | undefined): RegisterCall => ({ do: 'read', value });
const swap = (expected: string | undefined, value: string, isDone: boolean): RegisterCall => ({
  do: 'swap',
  expected,
  value,
  isDone,
});
const known = (begin: number, end: number, call: RegisterCall): Call => ({ call, begin, end, isUnknown: false });
const unknown = (begin: number, end: number, call: RegisterCall): Call => ({ call, begin, end, isUnknown: true });

describe('the checker', () => {
  it.each<[string, Call[]]>([
    ['a stale read', [known(1, 2, write('x')), known(3, 4, write('y')), known(5, 6, read('x'))]],
    ['a lost write', [known(1, 2, write('x')), known(3, 4, read(undefined))]],
    ['a read of what was never written', [known(1, 2, read('x'))]],
    ['a read from the future', [known(1, 2, read('x')), known(3, 4, write('x'))]],
    ['reads that go back', [known(1, 9, write('x')), known(2, 3, read('x')), known(4, 5, read(undefined))]],
    [
      'two readers that disagree about an order',
      [
        known(1, 20, write('x')),
        known(1, 20, write('y')),
        known(2, 3, read('x')),
        known(4, 5, read('y')),
        known(6, 7, read('x')),
      ],
    ],
    [
      'two swaps of one value',
      [known(1, 2, write('x')), known(3, 9, swap('x', 'y', true)), known(3, 9, swap('x', 'z', true))],
    ],
    ['a conflict without a reason', [known(1, 2, write('x')), known(3, 4, swap('x', 'y', false))]],
    [
      'a write that died, and is back',
      [unknown(1, 2, write('x')), known(3, 4, read(undefined)), known(5, 6, read('x'))],
    ],
    [
      'an effect after the death of its process',
      [known(1, 2, write('y')), unknown(1, 3, write('x')), known(4, 5, read('y')), known(6, 7, read('x'))],
    ],
  ])('finds %s', (_name, history) => {
    expect(linearizabilityViolation(history, undefined)).toBeDefined();
  });

  it.each<[string, Call[]]>([
    ['overlapping calls in any order', [known(1, 9, write('x')), known(2, 8, read(undefined)), known(3, 7, read('x'))]],
    ['a write that died and happened', [unknown(1, 2, write('x')), known(3, 4, read('x'))]],
    ['a write that died and did not happen', [unknown(1, 2, write('x')), known(3, 4, read(undefined))]],
    [
      'a failed write that turns up late',
      [unknown(1, Infinity, write('x')), known(3, 4, read(undefined)), known(5, 6, read('x'))],
    ],
    [
      'one of two swaps',
      [known(1, 2, write('x')), known(3, 9, swap('x', 'y', true)), known(3, 9, swap('x', 'z', false))],
    ],
    ['nothing', []],
  ])('lets pass %s', (_name, history) => {
    expect(linearizabilityViolation(history, undefined)).toBeUndefined();
  });

  it('agrees with one that tries every order', () => {
    const value = fc.constantFrom('x', 'y');
    const call = fc.oneof(
      fc.option(value, { nil: undefined }).map(write),
      fc.option(value, { nil: undefined }).map(read),
      fc.tuple(value, value, fc.boolean()).map(([expected, next, isDone]) => swap(expected, next, isDone)),
    );
    const timed = fc
      .record({
        call,
        begin: fc.nat(12),
        length: fc.integer({ min: 1, max: 8 }),
        isUnknown: fc.nat(3).map((n) => n === 0),
      })
      // A read of unknown outcome tells nothing, and a swap of unknown outcome is one that may have been done.
      .map(({ length, ...one }): Call => ({
        ...one,
        end: one.begin + length + 0.5,
        isUnknown: one.isUnknown && (one.call.do === 'write' || (one.call.do === 'swap' && one.call.isDone)),
      }));
    const seen = { violations: 0, good: 0 };
    fc.assert(
      fc.property(fc.array(timed, { maxLength: 6 }), (history) => {
        const isRight = isSomeOrderRight(history, undefined, -Infinity);
        seen[isRight ? 'good' : 'violations'] += 1;
        expect(linearizabilityViolation(history, undefined) === undefined).toBe(isRight);
      }),
      { ...runsOf(3000), numRuns: 3000 }, // it is of the checker, and small: more would find no more
    );
    expect(Math.min(seen.violations, seen.good)).toBeGreaterThan(0);
  });
});

/** By the definition: some call, which none of the others has ended before, is next; unknown ones may be left over. */
function isSomeOrderRight(left: readonly Call[], value: string | undefined, now: number): boolean {
  if (left.every(({ isUnknown }) => isUnknown)) return true;
  return left.some((one, index) => {
    const rest = left.filter((_, at) => at !== index);
    const moment = Math.max(now, one.begin);
    if (one.end < moment || rest.some(({ end, isUnknown }) => !isUnknown && end < moment)) return false;
    const { call } = one;
    if (call.do === 'read') return call.value === value && isSomeOrderRight(rest, value, moment);
    if (call.do === 'write') return isSomeOrderRight(rest, call.value, moment);
    if ((call.expected === value) !== call.isDone) return false;
    return isSomeOrderRight(rest, call.isDone ? call.value : value, moment);
  });
}

describe('a store, to clients that call at once', () => {
  it('is linearizable per key, through faults, kills and power cuts', { timeout: 2 * PROPERTY_MS }, async () => {
    const random = randomOf(seedOfThisRun());
    const histories = runs(5);
    for (let index = 0; index < histories; index += 1) {
      const seed = index === 0 ? seedOfThisRun() : Math.floor(random() * 2 ** 31);
      const draw = randomOf(seed + 1);
      const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(draw() * choices.length)] as T;
      const options = {
        memtableBytesMax: pick(1024, 4096, 65_536),
        level0CompactionTrigger: pick(1, 2, 4),
        level1BytesMax: 4096,
        tableBytesMax: pick(1024, 8192),
        groupBytesMax: pick(1, 100_000),
        blockCacheBytesMax: pick(0, 100_000),
      };
      const history = await crashingHistory(seed, 400, options);
      for (const [key, calls] of history.calls) {
        const violation = linearizabilityViolation(calls, undefined);
        expect(violation, `ALLUVIUM_SEED=${seed}, key ${key}, about here`).toBeUndefined();
      }
      recordFigures('T14', { histories: 1, calls: history.count, unknownOutcomes: history.unknown, violations: 0 });
    }
  });
});
