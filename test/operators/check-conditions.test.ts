// Goal: checkConditions holds a group until what its conditions ask about is known, and never longer.
// Method: marbles; a port whose look-ups take frames, are done at once, or fail.
import { asyncScheduler, EMPTY, NEVER, of, range, Subject, take, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { checkConditions, type CheckConditionsPort, type Done, walAppend } from '../../src/operators/index.ts';
import { marbles } from './marbles.ts';

const refuse = (): never => {
  throw new Error('not expected');
};
const unfailing = { fail: refuse };
/** A group that is `-` has no conditions; another one is known after `frames`, and one in upper case is never. */
const knowing = (frames: number): CheckConditionsPort<string, string> => ({
  lookUp: (group, done) => {
    const failure = group === group.toLowerCase() ? undefined : `no ${group}`;
    if (group === 'o' || frames === 0) done(failure);
    else asyncScheduler.schedule(() => done(failure), frames);
  },
});

describe('checkConditions', () => {
  it('lets a group without conditions pass at once, and holds one until its look-ups are done', () => {
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   o-b----oc---|');
      const expected = '     o----b-o---c|'; // b: three frames, c: three frames
      const sourceSubs = '   ^-----------!';
      expectObservable(source.pipe(checkConditions(knowing(3), unfailing))).toBe(expected);
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
  });

  it('gives a group that cannot be looked up to fail, and goes on', () => {
    const failed: string[] = [];
    marbles(({ hot, expectObservable }) => {
      const source = hot('   a-----B-----c---|');
      const expected = '     ---a-----------c|';
      const sink = { fail: (group: string, error: string) => failed.push(`${group}: ${error}`) };
      expectObservable(source.pipe(checkConditions(knowing(3), sink))).toBe(expected);
    });
    expect(failed).toEqual(['B: no B']);
  });

  it('emits synchronously when memory answers', () => {
    const log: string[] = [];
    const source = new Subject<string>();
    source.pipe(checkConditions(knowing(0), { fail: (group) => log.push(`fail ${group}`) })).subscribe((group) => {
      log.push(group);
    });
    for (const group of ['a', 'B', 'c']) {
      source.next(group);
      log.push('.');
    }
    expect(log).toEqual(['a', '.', 'fail B', '.', 'c', '.']);
  });

  it('has a group looked up when the one before it is in the log, and not earlier', () => {
    const log: string[] = [];
    marbles(({ hot, expectObservable }) => {
      const source = hot('   a-------b---|');
      const expected = '     ---a-------b|';
      const port = {
        lookUp: (group: string, done: Done<string>) => {
          log.push(`look up ${group}`);
          done(undefined);
        },
      };
      const wal = {
        append: (group: string, done: Done<string>) => {
          asyncScheduler.schedule(() => {
            log.push(`append ${group}`);
            done(undefined);
          }, 3);
        },
        fail: refuse,
      };
      expectObservable(source.pipe(checkConditions(port, unfailing), walAppend(wal))).toBe(expected);
    });
    expect(log).toEqual(['look up a', 'append a', 'look up b', 'append b']);
  });

  it('never emits and never ends with a source that never does', () => {
    marbles(({ expectObservable }) => {
      expectObservable(NEVER.pipe(checkConditions({ lookUp: refuse }, unfailing))).toBe('-');
    });
  });

  it('completes with an empty source', () => {
    marbles(({ expectObservable }) => {
      expectObservable(EMPTY.pipe(checkConditions({ lookUp: refuse }, unfailing))).toBe('|');
    });
  });

  it('passes one group on', () => {
    marbles(({ expectObservable }) => {
      expectObservable(of('o').pipe(checkConditions(knowing(3), unfailing))).toBe('(o|)');
    });
  });

  it.each([
    ['goes on', 'a', '---(a|)'],
    ['fails', 'A', '---|'],
  ])('completes when the group that is held %s', (_outcome, group, expected) => {
    marbles(({ hot, expectObservable }) => {
      const sink = { fail: () => undefined };
      expectObservable(hot(`${group}|`).pipe(checkConditions(knowing(3), sink))).toBe(expected);
    });
  });

  it('passes on an error of the source, and discards the group that is held', () => {
    marbles(({ hot, expectObservable }) => {
      expectObservable(hot('a-#').pipe(checkConditions(knowing(3), unfailing))).toBe('--#');
    });
  });

  it('lets go of the source; look-ups that end later change nothing', () => {
    const failed: string[] = [];
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   -A----');
      const unsub = '        --!';
      const sourceSubs = '   ^-!';
      const result = source.pipe(checkConditions(knowing(3), { fail: (group) => failed.push(group) }));
      expectObservable(result, unsub).toBe('---');
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
    expect(failed).toEqual([]);
  });

  it('lets go of a synchronous source in its midst', () => {
    let last = 0;
    range(1, 1_000_000)
      .pipe(
        tap((value) => (last = value)),
        checkConditions<number>({ lookUp: (_group, done) => done(undefined) }, unfailing),
        take(2),
      )
      .subscribe();
    expect(last).toBe(2);
  });

  it('refuses a second group while one is held', () => {
    marbles(({ hot, expectObservable }) => {
      const error = new Error('checkConditions: a value came while one is held; the pipe gave no credit for it');
      expectObservable(hot('ab').pipe(checkConditions(knowing(3), unfailing))).toBe('-#', undefined, error);
    });
  });

  it.each(['lookUp', 'fail'] as const)('errors with a throw of %s', (method) => {
    marbles(({ hot, expectObservable }) => {
      const port = {
        ...knowing(0),
        fail: () => undefined,
        [method]: () => {
          throw new Error('boom');
        },
      };
      expectObservable(hot('-A').pipe(checkConditions(port, port))).toBe('-#', undefined, new Error('boom'));
    });
  });

  it('does not grow the stack when each output brings the next input', () => {
    const source = new Subject<number>();
    let last = 0;
    source
      .pipe(checkConditions<number>({ lookUp: (_value, done) => done(undefined) }, unfailing))
      .subscribe((value) => {
        last = value;
        if (value < 100_000) source.next(value + 1);
      });
    source.next(1);
    expect(last).toBe(100_000);
  });
});
