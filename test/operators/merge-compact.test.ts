// Goal: mergeCompact runs one job at a time on the newest state, until there is nothing to do, whatever fails.
// Method: marbles; a port whose jobs are named by the state they were picked from.
import {
  concat,
  defer,
  EMPTY,
  ignoreElements,
  map,
  NEVER,
  of,
  range,
  Subject,
  take,
  tap,
  throwError,
  timer,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import { mergeCompact, type MergeCompactPort } from '../../src/operators/index.ts';
import { marbles } from './marbles.ts';

const broken = new Error('broken');

/** Picks one job in each state that is not upper case; a job takes five frames. */
const lasting = (override: Partial<MergeCompactPort<string, string, string>> = {}) => {
  const picked: string[] = [];
  const done = new Set<string>();
  const port: MergeCompactPort<string, string, string> = {
    pick: (state) => {
      picked.push(state);
      if (state === state.toUpperCase() || done.has(state)) return undefined;
      done.add(state);
      return state;
    },
    compact: (job) => timer(5).pipe(map(() => job)),
    onFailure: () => EMPTY,
    ...override,
  };
  return { port, picked, done };
};

describe('mergeCompact', () => {
  it('runs one job at a time, on the newest state only', () => {
    const { port, picked } = lasting();
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   a-b-c--------|');
      const expected = '     -----a----c--|';
      const sourceSubs = '   ^------------!';
      expectObservable(source.pipe(mergeCompact(port))).toBe(expected);
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
    expect(picked).toEqual(['a', 'c', 'c']);
  });

  it('asks again with the last state when none came, until there is no job', () => {
    let debt = 3;
    const jobs: number[] = [];
    const pick = (): number | undefined => (debt === 0 ? undefined : debt);
    of('state')
      .pipe(
        (source) => concat(source, NEVER),
        mergeCompact({ pick, compact: () => of(debt--), onFailure: () => EMPTY }),
      )
      .subscribe((job) => jobs.push(job));
    expect(jobs).toEqual([3, 2, 1]);
  });

  it('passes on all results of a job', () => {
    marbles(({ hot, cold, expectObservable }) => {
      const { port } = lasting({ compact: () => cold('-x-y-|') });
      expectObservable(hot('--a-------').pipe(mergeCompact(port))).toBe('---x-y-');
    });
  });

  it.each([
    ['never', '-', '-'],
    ['empty', '|', '|'],
    ['states with nothing to do', 'A-B-|', '----|'],
    ['an error, also while a job runs', '-a-#', '---#'],
  ])('keeps to a source of %s', (_name, marble, expected) => {
    marbles(({ hot, expectObservable }) => {
      expectObservable(hot(marble).pipe(mergeCompact(lasting().port))).toBe(expected);
    });
  });

  it('completes when the running job is done, and picks no other', () => {
    const { port, picked } = lasting();
    marbles(({ hot, expectObservable }) => {
      expectObservable(hot('a-b|').pipe(mergeCompact(port))).toBe('-----(a|)');
    });
    expect(picked).toEqual(['a']);
  });

  it('cancels the running job', () => {
    marbles(({ hot, cold, expectObservable, expectSubscriptions }) => {
      const source = hot('   -a----');
      const job = cold('      -----x');
      const unsub = '        ---!';
      const jobSubs = '      -^-!';
      const sourceSubs = '   ^--!';
      expectObservable(source.pipe(mergeCompact(lasting({ compact: () => job }).port)), unsub).toBe('----');
      expectSubscriptions(job.subscriptions).toBe(jobSubs);
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
  });

  it('cancels a synchronous job in its midst', () => {
    let last = 0;
    const endless = range(1, 1_000_000).pipe(tap((value) => (last = value)));
    of('a')
      .pipe(mergeCompact({ pick: () => 1, compact: () => endless, onFailure: () => EMPTY }), take(2))
      .subscribe();
    expect(last).toBe(2);
  });

  it('backs off after an error, then asks again with the newest state', () => {
    const failures: unknown[] = [];
    const { port, picked } = lasting({
      compact: (job) => (job === 'a' ? throwError(() => broken) : of(job)),
      onFailure: (error, job) => {
        failures.push([error, job]);
        return timer(4);
      },
    });
    marbles(({ hot, expectObservable }) => {
      const source = hot('   a-b-------|');
      const expected = '     ----b-----|';
      expectObservable(source.pipe(mergeCompact(port))).toBe(expected);
    });
    expect(failures).toEqual([[broken, 'a']]);
    expect(picked).toEqual(['a', 'b', 'b']);
  });

  it('takes a throw of compact as an error of the job', () => {
    const failures: unknown[] = [];
    const { port } = lasting({
      compact: () => {
        throw new Error('boom');
      },
      onFailure: (error) => {
        failures.push(error);
        return EMPTY;
      },
    });
    marbles(({ hot, expectObservable }) => {
      expectObservable(hot('ab--|').pipe(mergeCompact(port))).toBe('----|');
    });
    expect(failures).toEqual([new Error('boom'), new Error('boom')]);
  });

  it('cuts a back-off short when the source completes', () => {
    marbles(({ hot, cold, expectObservable, expectSubscriptions }) => {
      const backOff = cold(' ---------|');
      const { port } = lasting({ compact: () => throwError(() => broken), onFailure: () => backOff });
      expectObservable(hot('-a-|').pipe(mergeCompact(port))).toBe('---|');
      expectSubscriptions(backOff.subscriptions).toBe('-^-!');
    });
  });

  it('still tells of a failure after the source has completed', () => {
    const failures: unknown[] = [];
    marbles(({ hot, cold, expectObservable }) => {
      const { port } = lasting({
        compact: () => cold('----#', undefined, broken),
        onFailure: (error) => defer(() => timer(failures.push(error) * 1_000)),
      });
      expectObservable(hot('a-|').pipe(mergeCompact(port))).toBe('----|');
    });
    expect(failures).toEqual([broken]);
  });

  it.each(['pick', 'onFailure'] as const)('errors with a throw of %s', (method) => {
    marbles(({ hot, expectObservable }) => {
      const { port } = lasting({
        compact: () => throwError(() => broken),
        [method]: () => {
          throw new Error('boom');
        },
      });
      expectObservable(hot('-a-').pipe(mergeCompact(port))).toBe('-#', undefined, new Error('boom'));
    });
  });

  it('errors when the back-off does', () => {
    marbles(({ hot, cold, expectObservable }) => {
      const { port } = lasting({ compact: () => throwError(() => broken), onFailure: () => cold('--#') });
      expectObservable(hot('-a------').pipe(mergeCompact(port))).toBe('---#');
    });
  });

  it('sees the state that a job installs before it completes, and does not grow the stack by it', () => {
    const states = new Subject<number>();
    const jobs: number[] = [];
    states
      .pipe(
        mergeCompact({
          pick: (state) => (state === 0 ? undefined : state),
          compact: (job) => concat(of(job), defer(() => of(states.next(job - 1))).pipe(ignoreElements())),
          onFailure: () => EMPTY,
        }),
      )
      .subscribe((job) => jobs.push(job));
    states.next(20_000);
    expect(jobs).toHaveLength(20_000);
    expect(jobs.at(-1)).toBe(1);
  });

  it('does not grow the stack with failures that are all synchronous', () => {
    let tries = 0;
    of('a')
      .pipe(
        (source) => concat(source, NEVER),
        mergeCompact({
          pick: () => (tries < 20_000 ? (tries += 1) : undefined),
          compact: () => throwError(() => broken),
          onFailure: () => EMPTY,
        }),
      )
      .subscribe();
    expect(tries).toBe(20_000);
  });
});
