// Goal: operators let go of what has left them, and say nothing to a subscriber that has closed.
// Method: WeakRef and a forced collection; RxJS's own hook for notifications that come too late.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { asyncScheduler, config, EMPTY, ignoreElements, type MonoTypeOperatorFunction, NEVER, of, Subject } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { Fifo } from '../../src/operators/fifo.ts';
import { boundedMergeMap, groupCommit, mergeCompact, paceByDebt, walAppend } from '../../src/operators/index.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

interface Thing {
  readonly name: string;
}
/** How many of the things are still held by somebody. */
const alive = async (things: readonly WeakRef<Thing>[]): Promise<number> => {
  await new Promise((resolve) => setImmediate(resolve)); // a WeakRef keeps its target to the end of the turn
  collect();
  return things.filter((thing) => thing.deref() !== undefined).length;
};
/** Sends `count` new things, which only the references that come back know. */
const send = (count: number, push: (thing: Thing) => void): WeakRef<Thing>[] =>
  Array.from({ length: count }, (_, index) => {
    const thing = { name: `thing ${index}` };
    push(thing);
    return new WeakRef(thing);
  });

const grouped = groupCommit<Thing>({
  writesMax: 10,
  bytesMax: 10,
  groupWritesMax: 1,
  groupBytesMax: 10,
  onOverflow: 'wait',
  sizeOf: () => 1,
  isCancelled: () => false,
  onRejected: () => undefined,
  gather: (open) => open(),
});

describe('memory', () => {
  it('of a fifo: only what waits', async () => {
    const fifo = new Fifo<Thing>();
    const things = send(20, (thing) => fifo.push(thing));
    for (let taken = 0; taken < 15; taken += 1) fifo.shift();
    expect(await alive(things)).toBe(5);
    expect(fifo.size).toBe(5);
  });

  it('of a fifo that was long once: none', () => {
    const fifo = new Fifo<number>();
    const before = process.memoryUsage().heapUsed;
    for (let value = 0; value < 2_000_000; value += 1) fifo.push(value);
    while (fifo.size > 0) fifo.shift();
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(8_000_000);
    fifo.push(1);
    expect(fifo.shift()).toBe(1);
  });

  it('of groupCommit after unsubscribe: nothing, even while a group is out', async () => {
    const source = new Subject<Thing>();
    let release = (): void => undefined;
    const subscription = source.pipe(grouped).subscribe((group) => {
      release = () => group.release();
    });
    source.next({ name: 'out' });
    const things = send(30, (thing) => source.next(thing));
    expect(await alive(things)).toBe(30);
    subscription.unsubscribe();
    expect(await alive(things)).toBe(0);
    release();
  });

  it('of paceByDebt: no group that has passed', async () => {
    const source = new Subject<Thing>();
    const changed$ = new Subject<void>();
    let isStopped = true;
    const port = { delayMs: () => 0, isStopped: () => isStopped, changed$ };
    const subscription = source.pipe(paceByDebt(port)).subscribe();
    const things = send(20, (thing) => {
      isStopped = true;
      source.next(thing);
      isStopped = false;
      changed$.next();
    });
    expect(await alive(things)).toBe(0);
    subscription.unsubscribe();
  });

  it('of boundedMergeMap: no value whose work is done', async () => {
    const source = new Subject<Thing>();
    const options = { concurrency: 2, capacity: 2, onOverflow: 'fail' } as const;
    const subscription = source.pipe(boundedMergeMap((thing) => of(thing.name), options)).subscribe();
    const things = send(20, (thing) => source.next(thing));
    expect(await alive(things)).toBe(0);
    subscription.unsubscribe();
  });

  it('of boundedMergeMap: the same after 200,000 values', () => {
    const source = new Subject<number>();
    const options = { concurrency: 2, capacity: 2, onOverflow: 'fail' } as const;
    const subscription = source.pipe(boundedMergeMap((value) => of(value), options)).subscribe();
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let value = 0; value < 200_000; value += 1) source.next(value);
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(8_000_000);
    subscription.unsubscribe();
  });
});

describe('a closed subscriber', () => {
  afterEach(() => {
    config.onStoppedNotification = null;
  });

  const thing: Thing = { name: 'thing' };
  const busy: Record<string, MonoTypeOperatorFunction<Thing>> = {
    groupCommit: (source) => source.pipe(grouped, ignoreElements()),
    paceByDebt: paceByDebt({ delayMs: () => 1, isStopped: () => false, changed$: NEVER }),
    walAppend: walAppend({
      append: (_group, done) => asyncScheduler.schedule(() => done(undefined), 1),
      fail: () => undefined,
    }),
    mergeCompact: mergeCompact({ pick: (state) => state, compact: () => NEVER, onFailure: () => EMPTY }),
    boundedMergeMap: boundedMergeMap(() => NEVER, { concurrency: 1, capacity: 1, onOverflow: 'fail' }),
  };

  it.each(Object.entries(busy))('is told nothing more by %s', async (_name, operator) => {
    const late: unknown[] = [];
    config.onStoppedNotification = (notification) => late.push(notification);
    const source = new Subject<Thing>();
    const subscription = source.pipe(operator).subscribe();
    source.next(thing);
    subscription.unsubscribe();
    expect(source.observed).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(late).toEqual([]);
  });
});
