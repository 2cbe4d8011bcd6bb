// Goal: flushAtThreshold, walAppend and memtableInsert hold a group until its work is done, or give it to `fail`.
// Method: one contract for all three, with marbles; a port whose work takes frames, is done at once, or fails.
import { asyncScheduler, EMPTY, type MonoTypeOperatorFunction, NEVER, of, range, Subject, take, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { type Done, flushAtThreshold, memtableInsert, walAppend } from '../../src/operators/index.ts';
import { marbles } from './marbles.ts';

interface Port<G> {
  work(group: G, done: Done<string>): void;
  fail(group: G, error: string): void;
}
type Held = <G>(port: Port<G>) => MonoTypeOperatorFunction<G>;

const operators: Record<string, Held> = {
  flushAtThreshold: <G>(port: Port<G>) =>
    flushAtThreshold<G, string>({ hasRoomFor: () => false, rotate: (group, done) => port.work(group, done) }, port),
  walAppend: <G>(port: Port<G>) =>
    walAppend<G, string>({
      append: (group, done) => port.work(group, done),
      fail: (group, error) => port.fail(group, error),
    }),
  memtableInsert: <G>(port: Port<G>) =>
    memtableInsert<G, string>({
      insert: (group, done) => port.work(group, done),
      fail: (group, error) => port.fail(group, error),
    }),
};

const refuse = (): never => {
  throw new Error('not expected');
};
/** Done after `frames`; upper case fails. */
const taking =
  (frames: number) =>
  (group: string, done: Done<string>): void => {
    const failure = group === group.toLowerCase() ? undefined : `no ${group}`;
    if (frames === 0) done(failure);
    else asyncScheduler.schedule(() => done(failure), frames);
  };

describe.each(Object.entries(operators))('%s', (name, held) => {
  it('emits when the work is done, and gives the others to fail', () => {
    const failed: string[] = [];
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   a-----B-----c---|');
      const expected = '     ---a-----------c|';
      const sourceSubs = '   ^---------------!';
      const port = { work: taking(3), fail: (group: string, error: string) => failed.push(`${group}: ${error}`) };
      expectObservable(source.pipe(held(port))).toBe(expected);
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
    expect(failed).toEqual(['B: no B']);
  });

  it('emits synchronously when the work is', () => {
    const log: string[] = [];
    const source = new Subject<string>();
    const port = { work: taking(0), fail: (group: string) => log.push(`fail ${group}`) };
    source.pipe(held(port)).subscribe((group) => log.push(group));
    for (const group of ['a', 'B', 'c']) {
      source.next(group);
      log.push('.');
    }
    expect(log).toEqual(['a', '.', 'fail B', '.', 'c', '.']);
  });

  it('never emits and never ends with a source that never does', () => {
    marbles(({ expectObservable }) => expectObservable(NEVER.pipe(held({ work: refuse, fail: refuse }))).toBe('-'));
  });

  it('completes with an empty source', () => {
    marbles(({ expectObservable }) => expectObservable(EMPTY.pipe(held({ work: refuse, fail: refuse }))).toBe('|'));
  });

  it.each([
    ['goes on', 'a', '---(a|)'],
    ['fails', 'A', '---|'],
  ])('completes when the group that is held %s', (_outcome, group, expected) => {
    marbles(({ hot, expectObservable }) => {
      const source = hot(`${group}|`);
      expectObservable(source.pipe(held({ work: taking(3), fail: () => undefined }))).toBe(expected);
    });
  });

  it('passes on an error of the source, and discards the group that is held', () => {
    marbles(({ hot, expectObservable }) => {
      expectObservable(hot('a-#').pipe(held({ work: taking(3), fail: refuse }))).toBe('--#');
    });
  });

  it('lets go of the source; work that ends later changes nothing', () => {
    const failed: string[] = [];
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   -A----');
      const unsub = '        --!';
      const sourceSubs = '   ^-!';
      const result = source.pipe(held({ work: taking(3), fail: (group) => failed.push(group) }));
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
        held<number>({ work: (_group, done) => done(undefined), fail: refuse }),
        take(2),
      )
      .subscribe();
    expect(last).toBe(2);
  });

  it('refuses a second group while one is held', () => {
    marbles(({ hot, expectObservable }) => {
      const error = new Error(`${name}: a value came while one is held; the pipe gave no credit for it`);
      expectObservable(hot('ab').pipe(held({ work: taking(3), fail: refuse }))).toBe('-#', undefined, error);
    });
  });

  it('takes the first of two calls of done, also of an earlier group', () => {
    const dones: Done<string>[] = [];
    const log: string[] = [];
    const source = new Subject<string>();
    const port: Port<string> = {
      work: (_group, done) => dones.push(done),
      fail: (group) => log.push(`fail ${group}`),
    };
    source.pipe(held(port)).subscribe((group) => log.push(group));
    source.next('a');
    dones[0]?.(undefined);
    dones[0]?.('again');
    source.next('b');
    dones[0]?.(undefined);
    expect(log).toEqual(['a']);
    dones[1]?.('failed');
    dones[1]?.(undefined);
    expect(log).toEqual(['a', 'fail b']);
  });

  it.each(['work', 'fail'] as const)('errors with a throw of %s', (method) => {
    marbles(({ hot, expectObservable }) => {
      const port = {
        work: taking(0),
        fail: () => undefined,
        [method]: () => {
          throw new Error('boom');
        },
      };
      expectObservable(hot('-A').pipe(held(port))).toBe('-#', undefined, new Error('boom'));
    });
  });

  it('does not grow the stack when each output brings the next input', () => {
    const source = new Subject<number>();
    let failed = 0;
    const next = (value: number): void => {
      if (value < 100_000) source.next(value + 1);
    };
    let last = 0;
    source
      .pipe(
        held<number>({
          work: (value, done) => done(value % 3 === 0 ? 'third' : undefined),
          fail: (value) => {
            failed += 1;
            next(value);
          },
        }),
      )
      .subscribe((value) => {
        last = value;
        next(value);
      });
    source.next(1);
    expect(last).toBe(100_000);
    expect(failed).toBe(33_333);
  });
});

describe('flushAtThreshold', () => {
  it('rotates only for a group that does not fit, and once for it', () => {
    const log: string[] = [];
    const port = {
      hasRoomFor: (group: string) => group !== 'b',
      rotate: (group: string, done: Done<string>) => {
        log.push(`rotate for ${group}`);
        done(undefined);
      },
    };
    of('a', 'b', 'c')
      .pipe(flushAtThreshold(port, { fail: refuse }))
      .subscribe((group) => log.push(group));
    expect(log).toEqual(['a', 'rotate for b', 'b', 'c']);
  });

  it('waits for the rotation', () => {
    marbles(({ hot, expectObservable }) => {
      const source = hot('   a-b----c|');
      const expected = '     a----b-c|';
      const port = { hasRoomFor: (group: string) => group !== 'b', rotate: taking(3) };
      expectObservable(source.pipe(flushAtThreshold(port, { fail: refuse }))).toBe(expected);
    });
  });
});
