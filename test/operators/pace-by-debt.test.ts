// Goal: paceByDebt lets pass at once what may pass, and holds one group for as long as the debt says.
// Method: marbles in virtual time; `changes` says what the answers of the port are from a frame on.
import {
  concat,
  EMPTY,
  NEVER,
  type Observable,
  of,
  type SchedulerLike,
  Subject,
  Subscription,
  take,
  throwError,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import { paceByDebt, type PaceByDebtPort } from '../../src/operators/index.ts';
import { marbles } from './marbles.ts';

/** A port whose answers can be set, and which notes what it was told. */
class Debt implements PaceByDebtPort<string> {
  readonly told: string[] = [];
  stopped = false;
  delays: Record<string, number> = {};
  readonly #changes = new Subject<void>();

  get changed$(): Observable<void> {
    return this.#changes;
  }
  get isHeard(): boolean {
    return this.#changes.observed;
  }
  delayMs(group: string): number {
    return this.delays[group] ?? 0;
  }
  isStopped(): boolean {
    return this.stopped;
  }
  onWait(kind: string, group: string): void {
    this.told.push(`${kind} ${group}`);
  }
  onResume(): void {
    this.told.push('resume');
  }
  set(change: { stopped?: boolean; delays?: Record<string, number> }): void {
    Object.assign(this, change);
    this.#changes.next();
  }
}

const boom = new Error('boom');

describe('paceByDebt', () => {
  it('delays by the debt, and holds while stopped', () => {
    const debt = new Debt();
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   a--b------c-----|');
      const changes = hot('  --------S------s');
      const expected = '     a-----b--------c|';
      const sourceSubs = '   ^---------------!';
      debt.delays = { b: 3 };
      changes.subscribe((change) => debt.set({ stopped: change === 'S' }));
      expectObservable(source.pipe(paceByDebt(debt))).toBe(expected);
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
    expect(debt.told).toEqual(['slowdown b', 'resume', 'stop c', 'resume']);
  });

  it('passes synchronously, with no timer and no ear on changed$', () => {
    const debt = new Debt();
    const seen: string[] = [];
    of('a', 'b')
      .pipe(paceByDebt(debt))
      .subscribe((group) => {
        seen.push(group);
        expect(debt.isHeard).toBe(false);
      });
    expect(seen).toEqual(['a', 'b']);
    expect(debt.told).toEqual([]);
  });

  it.each([
    ['never', NEVER, '-'],
    ['empty', EMPTY, '|'],
    ['a source error', throwError(() => boom), '#', boom],
  ])('keeps to %s', (_name, source, expected, error?: Error) => {
    marbles(({ expectObservable }) => {
      expectObservable(source.pipe(paceByDebt(new Debt()))).toBe(expected, undefined, error);
    });
  });

  it('asks for the delay again when it is no longer stopped', () => {
    const debt = new Debt();
    marbles(({ hot, expectObservable }) => {
      const source = hot('   a----------|');
      const changes = hot('  ---x--s----');
      const expected = '     ---------a-|';
      debt.stopped = true;
      debt.delays = { a: 3 };
      changes.subscribe((change) => debt.set({ stopped: change === 'x' }));
      expectObservable(source.pipe(paceByDebt(debt))).toBe(expected);
    });
    expect(debt.told).toEqual(['stop a', 'slowdown a', 'resume']);
  });

  it('is stopped in the midst of a delay', () => {
    const debt = new Debt();
    marbles(({ hot, expectObservable }) => {
      const source = hot('   a---------|');
      const changes = hot('  --S----s--');
      const expected = '     -------a--|';
      debt.delays = { a: 5 };
      changes.subscribe((change) => debt.set({ stopped: change === 'S', delays: {} }));
      expectObservable(source.pipe(paceByDebt(debt))).toBe(expected);
    });
    expect(debt.told).toEqual(['slowdown a', 'stop a', 'resume']);
  });

  it('is stopped at the end of a delay, when nothing told of it', () => {
    const debt = new Debt();
    marbles(({ hot, expectObservable }) => {
      const source = hot('   a---------|');
      const silent = hot('   --S-------');
      const changes = hot('  -------s--');
      const expected = '     -------a--|';
      debt.delays = { a: 5 };
      silent.subscribe(() => (debt.stopped = true));
      changes.subscribe(() => debt.set({ stopped: false, delays: {} }));
      expectObservable(source.pipe(paceByDebt(debt))).toBe(expected);
    });
  });

  it('does not go on by a timer of the time before it was stopped', () => {
    marbles(({ hot, expectObservable }) => {
      const debt = new Debt();
      const source = hot('   a---------|');
      const changes = hot('  --S----s--');
      const silent = hot('   ---s------');
      const expected = '     -------a--|';
      debt.delays = { a: 5 };
      changes.subscribe((change) => debt.set({ stopped: change === 'S', delays: {} }));
      silent.subscribe(() => (debt.stopped = false));
      expectObservable(source.pipe(paceByDebt(debt))).toBe(expected);
    });
  });

  it.each([
    ['shortens', 2, '----a-----|'],
    ['ends', 0, '--a-------|'],
    ['does not lengthen', 9, '------a---|'],
  ])('%s a delay that is running when the debt changes', (_name, ms, expected) => {
    marbles(({ hot, expectObservable }) => {
      const debt = new Debt();
      const source = hot('   a---------|');
      const changes = hot('  --x-------');
      debt.delays = { a: 6 };
      changes.subscribe(() => debt.set({ delays: { a: ms } }));
      expectObservable(source.pipe(paceByDebt(debt))).toBe(expected);
    });
  });

  it('holds on to its group when the source completes', () => {
    marbles(({ hot, expectObservable }) => {
      const debt = new Debt();
      debt.delays = { a: 4 };
      expectObservable(hot('a|').pipe(paceByDebt(debt))).toBe('----(a|)');
    });
  });

  it('cancels timer, changed$ and source together', () => {
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   -a----------');
      const changed$ = hot(' ------------');
      const unsub = '        ---!        ';
      const sourceSubs = '   ^--!';
      const changedSubs = '  -^-!';
      const port = { delayMs: () => 6, isStopped: () => false, changed$ };
      expectObservable(source.pipe(paceByDebt(port)), unsub).toBe('----');
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
      expectSubscriptions(changed$.subscriptions).toBe(changedSubs);
    });
  });

  it('lets go of changed$ when the group passes', () => {
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   -a------|');
      const changed$ = hot(' ---------');
      const changedSubs = '  -^--!';
      const port = { delayMs: () => 3, isStopped: () => false, changed$ };
      expectObservable(source.pipe(paceByDebt(port))).toBe('----a---|');
      expectSubscriptions(changed$.subscriptions).toBe(changedSubs);
    });
  });

  it('refuses a second group while one is held', () => {
    marbles(({ hot, expectObservable }) => {
      const debt = new Debt();
      debt.delays = { a: 4 };
      expectObservable(hot('ab').pipe(paceByDebt(debt))).toBe(
        '-#',
        undefined,
        new Error('paceByDebt: a value came while one is held; the pipe gave no credit for it'),
      );
    });
  });

  it('errors when changed$ does', () => {
    marbles(({ hot, cold, expectObservable }) => {
      const port = { delayMs: () => 6, isStopped: () => false, changed$: cold('--#') };
      expectObservable(hot('a----').pipe(paceByDebt(port))).toBe('--#');
    });
  });

  it('errors when changed$ completes while stopped, as nothing could start it again', () => {
    marbles(({ hot, cold, expectObservable }) => {
      const port = { delayMs: () => 0, isStopped: () => true, changed$: cold('--|') };
      const error = new Error('paceByDebt: changed$ completed while stopped; nothing can start it again');
      expectObservable(hot('a----').pipe(paceByDebt(port))).toBe('--#', undefined, error);
    });
  });

  it('does not need changed$ for a mere delay', () => {
    marbles(({ hot, expectObservable }) => {
      const port = { delayMs: () => 3, isStopped: () => false, changed$: EMPTY };
      expectObservable(hot('a----').pipe(paceByDebt(port))).toBe('---a');
    });
  });

  it('takes a changed$ that emits at once', () => {
    let asked = 0;
    const port = { delayMs: () => 0, isStopped: () => (asked += 1) === 1, changed$: concat(of(0), NEVER) };
    const seen: string[] = [];
    of('a')
      .pipe(paceByDebt(port))
      .subscribe((group) => seen.push(group));
    expect(seen).toEqual(['a']);
  });

  it.each(['delayMs', 'isStopped', 'onWait', 'onResume'] as const)('errors with a throw of %s', (method) => {
    marbles(({ hot, cold, expectObservable }) => {
      let isFirst = true;
      const port = {
        delayMs: () => (isFirst ? 5 : 0),
        isStopped: () => false,
        changed$: cold('--x'),
        onWait: () => undefined,
        onResume: () => undefined,
        [method]: () => {
          throw new Error('boom');
        },
      };
      port.changed$.pipe(take(1)).subscribe(() => (isFirst = false));
      const expected = method === 'onResume' ? '--#' : '#';
      expectObservable(hot('a-----').pipe(paceByDebt(port))).toBe(expected, undefined, new Error('boom'));
    });
  });

  it('never asks for a timer longer than Node has, which would fire at once', () => {
    const delays: (number | undefined)[] = [];
    const scheduler: SchedulerLike = {
      now: () => 0,
      schedule: (_work, delay) => {
        delays.push(delay);
        return new Subscription();
      },
    };
    const port = { delayMs: () => Number.POSITIVE_INFINITY, isStopped: () => false, changed$: NEVER };
    of('a').pipe(paceByDebt(port, scheduler)).subscribe().unsubscribe();
    expect(delays).toEqual([2 ** 31 - 1]);
  });
});
