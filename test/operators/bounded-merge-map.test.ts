import { EMPTY, finalize, map, NEVER, of, range, Subject, take, timer } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { BufferOverflowError, OutOfRangeError } from '../../src/errors.ts';
import { boundedMergeMap, type BoundedMergeMapOptions } from '../../src/operators/index.ts';
import { marbles } from './marbles.ts';

const work = (value: string) => timer(4).pipe(map(() => value));
const two: BoundedMergeMapOptions = { concurrency: 2, capacity: 1, onOverflow: 'fail' };

describe('boundedMergeMap', () => {
  it('runs as many as it may, and drops the oldest waiting value', () => {
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   abcd-------|');
      const sourceSubs = '   ^----------!';
      const expected = '     ----ab--d--|';
      expectObservable(source.pipe(boundedMergeMap(work, { ...two, onOverflow: 'dropOldest' }))).toBe(expected);
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
  });

  it('drops the newest value', () => {
    marbles(({ hot, expectObservable }) => {
      const source = hot('   abcd-------|');
      const expected = '     ----ab--c--|';
      expectObservable(source.pipe(boundedMergeMap(work, { ...two, onOverflow: 'dropNewest' }))).toBe(expected);
    });
  });

  it('fails, and lets go of the source and of all work', () => {
    marbles(({ hot, cold, expectObservable, expectSubscriptions }) => {
      const source = hot('   abcd');
      const inner = cold('   ------');
      const expected = '     ---#';
      const result = source.pipe(boundedMergeMap(() => inner, two));
      expectObservable(result).toBe(expected, undefined, new BufferOverflowError(1));
      expectSubscriptions(source.subscriptions).toBe('^--!');
      expectSubscriptions(inner.subscriptions).toBe(['^--!', '-^-!']);
    });
  });

  it('unsubscribes from all work and the source together', () => {
    marbles(({ hot, cold, expectObservable, expectSubscriptions }) => {
      const source = hot('   ab--------');
      const inner = cold('   -----x----');
      const unsub = '        ---!      ';
      expectObservable(source.pipe(boundedMergeMap(() => inner, two)), unsub).toBe('----');
      expectSubscriptions(inner.subscriptions).toBe(['^--!', '-^-!']);
      expectSubscriptions(source.subscriptions).toBe('^--!');
    });
  });

  it('gives results as they come', () => {
    marbles(({ hot, expectObservable }) => {
      const source = hot('   52|');
      const expected = '     ---2-(5|)';
      const result = source.pipe(boundedMergeMap((frames) => timer(Number(frames)).pipe(map(() => frames)), two));
      expectObservable(result).toBe(expected);
    });
  });

  it.each([
    ['never', NEVER, '-'],
    ['empty', EMPTY, '|'],
  ])('keeps to %s', (_name, source, expected) => {
    marbles(({ expectObservable }) => expectObservable(source.pipe(boundedMergeMap(work, two))).toBe(expected));
  });

  it.each([
    ['the source', { source: '--#', inner: '---' }],
    ['the work', { source: 'a--', inner: '--#' }],
  ])('passes on an error of %s', (_from, { source, inner }) => {
    marbles(({ hot, cold, expectObservable }) => {
      expectObservable(hot(source).pipe(boundedMergeMap(() => cold(inner), two))).toBe('--#');
    });
  });

  it('turns a throw in project into an error', () => {
    marbles(({ hot, expectObservable }) => {
      const boom = (): never => {
        throw new Error('boom');
      };
      expectObservable(hot('-a-').pipe(boundedMergeMap(boom, two))).toBe('-#', undefined, new Error('boom'));
    });
  });

  it('lets go of a synchronous source, and of synchronous work, in their midst', () => {
    let begun = 0;
    let produced = 0;
    range(1, 1_000_000)
      .pipe(
        boundedMergeMap((value) => {
          begun = value;
          return range(1, 1_000_000).pipe(map((result) => (produced = result)));
        }, two),
        take(2),
      )
      .subscribe();
    expect(begun).toBe(1);
    expect(produced).toBe(2);
  });

  it('keeps to its bounds when project, or the end of work, sends more values', () => {
    const source = new Subject<number>();
    const begun: number[] = [];
    source
      .pipe(
        boundedMergeMap(
          (value) => {
            begun.push(value);
            if (value === 0) for (let more = 1; more <= 3; more += 1) source.next(more);
            return value < 2
              ? NEVER
              : EMPTY.pipe(finalize(() => (value === 2 ? [4, 5, 6].forEach((more) => source.next(more)) : undefined)));
          },
          { concurrency: 1, capacity: 2, onOverflow: 'dropNewest' },
        ),
      )
      .subscribe();
    source.next(0);
    expect(begun).toEqual([0]);

    const other = new Subject<number>();
    const results: number[] = [];
    other
      .pipe(
        boundedMergeMap(
          (value) => of(value).pipe(finalize(() => value === 0 && [1, 2, 3, 4].forEach((more) => other.next(more)))),
          { concurrency: 1, capacity: 2, onOverflow: 'dropNewest' },
        ),
      )
      .subscribe((value) => results.push(value));
    other.next(0);
    expect(results).toEqual([0, 1, 2]);
  });

  it('does not grow the stack when waiting work turns out synchronous', () => {
    const source = new Subject<number>();
    const gate = new Subject<number>();
    let count = 0;
    const options = { concurrency: 2, capacity: 20_000, onOverflow: 'fail' } as const;
    source.pipe(boundedMergeMap((value) => (value < 2 ? gate : of(value)), options)).subscribe(() => (count += 1));
    for (let value = 0; value < 20_002; value += 1) source.next(value);
    gate.complete();
    expect(count).toBe(20_000);
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses bounds of %d', (bound) => {
    expect(() => boundedMergeMap(work, { ...two, capacity: bound })).toThrow(OutOfRangeError);
    expect(() => boundedMergeMap(work, { ...two, concurrency: bound })).toThrow(OutOfRangeError);
  });
});
