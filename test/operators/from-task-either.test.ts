import * as TE from 'fp-ts/lib/TaskEither.js';
import { firstValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { fromTaskEither } from '../../src/operators/index.ts';

describe('fromTaskEither', () => {
  it('emits the value of a Right once, and completes', async () => {
    expect(await firstValueFrom(fromTaskEither(TE.right(1)).pipe(toArray()))).toEqual([1]);
  });

  it('errors with the value of a Left', async () => {
    await expect(firstValueFrom(fromTaskEither(TE.left('no')))).rejects.toBe('no');
  });

  it.each([
    ['is rejected', () => Promise.reject(new Error('bug'))],
    [
      'throws',
      () => {
        throw new Error('bug');
      },
    ],
  ])('errors when the task %s', async (_how, task) => {
    await expect(firstValueFrom(fromTaskEither(task))).rejects.toThrow('bug');
  });

  it('is cold: it runs the task once for each subscription, and not before', async () => {
    let runs = 0;
    const value$ = fromTaskEither(TE.fromIO(() => (runs += 1)));
    expect(runs).toBe(0);
    expect(await firstValueFrom(value$)).toBe(1);
    expect(await firstValueFrom(value$)).toBe(2);
  });

  it('detaches on unsubscribe: the task runs on, and its outcome is discarded', async () => {
    const seen: unknown[] = [];
    let resolve: (value: number) => void = () => undefined;
    const promise = new Promise<number>((settle) => (resolve = settle));
    const subscription = fromTaskEither(TE.fromTask(() => promise)).subscribe({
      next: (value) => seen.push(value),
      complete: () => seen.push('complete'),
    });
    subscription.unsubscribe();
    resolve(1);
    await promise;
    await Promise.resolve();
    expect(seen).toEqual([]);
  });
});
