// Goal: an operation runs when somebody wants its answer, once for each who does, and never otherwise; taken back in time it
// leaves no trace, and later it stands.
// Method: counting operations through every way in which RxJS and the language take one; then the store's own writes.
import {
  catchError,
  concat,
  defer,
  exhaustMap,
  firstValueFrom,
  forkJoin,
  from,
  iif,
  lastValueFrom,
  merge,
  mergeMap,
  of,
  race,
  retry,
  switchMap,
  take,
  timer,
  toArray,
  zip,
} from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import {
  AbortedError,
  type Commit,
  MemoryFileSystem,
  openInMemory,
  type OpenOptions,
  type Store,
} from '../../src/index.ts';
import { Operation, operationOf } from '../../src/streams/operation.ts';

/** An operation that counts its runs, and fails as often as it is told to. */
function counted(failures = 0): { operation: Operation<number>; runs: () => number; cancels: () => number } {
  let runs = 0;
  let cancels = 0;
  let left = failures;
  const operation = new Operation<number>((sink) => {
    runs += 1;
    const run = runs;
    queueMicrotask(() => {
      if (left-- > 0) sink.fail(new Error(`failure ${run}`));
      else sink.succeed(run);
    });
    return () => (cancels += 1);
  });
  return { operation, runs: () => runs, cancels: () => cancels };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('an operation', () => {
  it('does nothing before somebody wants its answer', async () => {
    const { operation, runs } = counted();
    await turn();
    expect(runs()).toBe(0);
    const later = operation.pipe(toArray());
    await turn();
    expect(runs()).toBe(0);
    expect(await lastValueFrom(later)).toEqual([1]);
  });

  it.each<[string, (operation: Operation<number>) => unknown]>([
    ['await', async (operation) => await operation],
    ['then', (operation) => operation.then((value) => value)],
    ['a return out of an async function', async (operation) => operation],
    ['Promise.all', (operation) => Promise.all([operation])],
    ['Promise.allSettled', (operation) => Promise.allSettled([operation])],
    ['Promise.race', (operation) => Promise.race([operation])],
    ['Promise.any', (operation) => Promise.any([operation])],
    ['Promise.resolve', (operation) => Promise.resolve(operation)],
    ['subscribe', (operation) => new Promise((resolve) => operation.subscribe(resolve))],
    ['firstValueFrom', (operation) => firstValueFrom(operation)],
    ['lastValueFrom', (operation) => lastValueFrom(operation)],
    ['from', (operation) => lastValueFrom(from(operation))],
    ['mergeMap', (operation) => lastValueFrom(of(1).pipe(mergeMap(() => operation)))],
    ['switchMap', (operation) => lastValueFrom(of(1).pipe(switchMap(() => operation)))],
    ['exhaustMap', (operation) => lastValueFrom(of(1).pipe(exhaustMap(() => operation)))],
    ['forkJoin', (operation) => lastValueFrom(forkJoin([operation, of(0)]))],
    ['concat', (operation) => lastValueFrom(concat(of(0), operation))],
    ['merge', (operation) => lastValueFrom(merge(of(0), operation))],
    ['defer', (operation) => lastValueFrom(defer(() => operation))],
    ['race', (operation) => lastValueFrom(race(operation, timer(5000)))],
    ['zip', (operation) => lastValueFrom(zip(operation, of(0)))],
    ['iif', (operation) => lastValueFrom(iif(() => true, operation, of(0)))],
    ['catchError', (operation) => lastValueFrom(operation.pipe(catchError(() => of(0))))],
  ])('runs once by %s', async (_way, take1) => {
    const { operation, runs } = counted();
    await take1(operation);
    await turn();
    expect(runs()).toBe(1);
  });

  it('runs once for each who wants it', async () => {
    const { operation, runs } = counted();
    // A promise asks a thenable one microtask later than RxJS subscribes.
    expect(await Promise.all([operation, operation, lastValueFrom(operation)])).toEqual([2, 3, 1]);
    expect(await operation).toBe(4);
    expect(runs()).toBe(4);
  });

  it('runs again when it is tried again', async () => {
    const { operation, runs } = counted(2);
    expect(await lastValueFrom(operation.pipe(retry(5)))).toBe(3);
    expect(runs()).toBe(3);
  });

  it('gives one value and completes, or fails, to observers and to promises', async () => {
    expect(await lastValueFrom(counted().operation.pipe(toArray()))).toEqual([1]);
    await expect(lastValueFrom(counted(1).operation)).rejects.toThrow('failure 1');
    await expect(Promise.resolve(counted(1).operation)).rejects.toThrow('failure 1');
    expect(await counted(1).operation.then(undefined, () => 'handled')).toBe('handled');
  });

  it('that throws as it begins is a failure, not an exception', async () => {
    const broken = new Operation(() => {
      throw new Error('at once');
    });
    await expect(Promise.resolve(broken)).rejects.toThrow('at once');
    await expect(lastValueFrom(broken)).rejects.toThrow('at once');
  });

  it('is cancelled by whoever unsubscribes, and not by who has had the answer already in any way that matters', async () => {
    const { operation, cancels } = counted();
    operation.subscribe().unsubscribe();
    expect(cancels()).toBe(1);
    expect(await firstValueFrom(operation.pipe(take(1)))).toBe(2);
  });
});

describe('an operation with a signal', () => {
  const never = (): Promise<number> => new Promise(() => undefined);

  it('that is aborted before does not begin', async () => {
    let begun = 0;
    const operation = operationOf(
      () => {
        begun += 1;
        return Promise.resolve(1);
      },
      { signal: AbortSignal.abort('why') },
    );
    await expect(Promise.resolve(operation)).rejects.toMatchObject({ code: 'ABORTED', cause: 'why' });
    expect(begun).toBe(0);
  });

  it('that is aborted meanwhile ends at once, and after its end not again', async () => {
    const controller = new AbortController();
    const ended = Promise.resolve(operationOf(never, { signal: controller.signal }));
    controller.abort('why');
    await expect(ended).rejects.toBeInstanceOf(AbortedError);
    const done = new AbortController();
    expect(await operationOf(() => Promise.resolve(5), { signal: done.signal })).toBe(5);
    done.abort();
  });

  it('hands what comes too late to whoever clears up', async () => {
    const discarded: number[] = [];
    const discard = (value: number): void => void discarded.push(value);
    operationOf(() => Promise.resolve(7), { discard })
      .subscribe()
      .unsubscribe();
    await turn();
    expect(discarded).toEqual([7]);
    expect(await lastValueFrom(operationOf(() => Promise.resolve(8), { discard }))).toBe(8);
    await turn();
    expect(discarded).toEqual([7]);
  });
});

/** A signal that tells how many listen to it. */
function countingSignal(): { signal: AbortSignal; abort: (reason?: unknown) => void; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...parts: Parameters<typeof add>) => {
    listeners += 1;
    add(...parts);
  };
  signal.removeEventListener = (...parts: Parameters<typeof remove>) => {
    listeners -= 1;
    remove(...parts);
  };
  return { signal, abort: (reason) => controller.abort(reason), listeners: () => listeners };
}

describe('a write', () => {
  let store: Store | undefined;
  const openStore = async (options: OpenOptions = {}): Promise<Store> => {
    store = await openInMemory(options);
    return store;
  };
  afterEach(() => store?.close());

  it('that nobody waits for does not happen', async () => {
    const opened = await openStore();
    void opened.set('key', 'value').pipe(toArray());
    await turn();
    expect(opened.stats()).toMatchObject({ sequence: 0, writes: 0 });
  });

  it('that is tried again happens again, once each time', async () => {
    const opened = await openStore();
    const write = opened.set('key', 'value');
    const commits: Commit[] = [await write, await write, await lastValueFrom(write)];
    expect(commits.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  });

  it('is taken back by unsubscribing while it waits', async () => {
    const opened = await openStore();
    const subscription = opened.set('gone', 'value').subscribe();
    const kept = Promise.resolve(opened.set('kept', 'value'));
    subscription.unsubscribe();
    expect((await kept).sequence).toBe(1);
    expect(await opened.get('gone')).toBeUndefined();
    expect(opened.stats()).toMatchObject({ sequence: 1, writes: 1 });
  });

  it('stands when a group has it, although nobody hears of it', async () => {
    let unsubscribe = (): void => undefined;
    const fileSystem = new MemoryFileSystem({
      onOperation: ({ name, path }) => {
        if (name === 'append' && path.endsWith('.log')) unsubscribe();
        return undefined;
      },
    });
    const opened = await openStore({ fileSystem });
    let answers = 0;
    const subscription = opened.set('key', 'value').subscribe({ next: () => (answers += 1) });
    unsubscribe = () => subscription.unsubscribe();
    await opened.set('other', 'value');
    expect(Buffer.from((await opened.get('key')) ?? '').toString()).toBe('value');
    expect(answers).toBe(0);
  });

  it('is aborted before: nothing is written', async () => {
    const opened = await openStore();
    const write = opened.set('key', 'value', { signal: AbortSignal.abort('why') });
    await expect(Promise.resolve(write)).rejects.toMatchObject({ code: 'ABORTED', cause: 'why' });
    await turn();
    expect(opened.stats().sequence).toBe(0);
  });

  it('is aborted while it waits: nothing is written', async () => {
    const opened = await openStore();
    const { signal, abort, listeners } = countingSignal();
    const write = lastValueFrom(opened.set('key', 'value', { signal }));
    expect(listeners()).toBe(1);
    abort('why');
    await expect(write).rejects.toMatchObject({ code: 'ABORTED', cause: 'why' });
    await opened.set('other', 'value');
    expect(await opened.get('key')).toBeUndefined();
    expect(listeners()).toBe(0);
  });

  it('is aborted after a group has it: it fails, and stands', async () => {
    const controller = new AbortController();
    let isArmed = false;
    const fileSystem = new MemoryFileSystem({
      onOperation: ({ name, path }) => {
        if (isArmed && name === 'sync' && path.endsWith('.log')) controller.abort();
        return undefined;
      },
    });
    const opened = await openStore({ fileSystem });
    await turn(); // the next log is made and synced beforehand
    isArmed = true;
    const write = opened.set('key', 'value', { signal: controller.signal });
    await expect(Promise.resolve(write)).rejects.toBeInstanceOf(AbortedError);
    await opened.set('other', 'value');
    expect(await opened.has('key')).toBe(true);
  });

  it('that has its answer is deaf to its signal, and holds nothing of it', async () => {
    const opened = await openStore();
    const { signal, abort, listeners } = countingSignal();
    await opened.set('key', 'value', { signal });
    expect(listeners()).toBe(0);
    abort();
    expect(await opened.has('key')).toBe(true);
  });

  it('that was taken back holds nothing of its signal', async () => {
    const opened = await openStore();
    const { signal, listeners } = countingSignal();
    opened.set('key', 'value', { signal }).subscribe().unsubscribe();
    expect(listeners()).toBe(0);
    await opened.set('other', 'value');
    expect(listeners()).toBe(0);
  });

  it('is acknowledged in the order of the calls, with ascending numbers', async () => {
    const opened = await openStore();
    const answers: number[] = [];
    const writes = Array.from({ length: 500 }, (_, index) =>
      opened
        .set(`key ${index % 7}`, String(index), { durability: index % 3 === 0 ? 'buffered' : 'synced' })
        .then(({ sequence }) => answers.push(sequence)),
    );
    await Promise.all(writes);
    expect(answers).toEqual(Array.from({ length: 500 }, (_, index) => index + 1));
    expect(opened.stats().groups).toBeLessThan(50);
  });
});
