import * as E from 'fp-ts/lib/Either.js';
import { expect, test } from 'vitest';
import { IoError } from '../../../src/errors.ts';
import { attempt } from '../../../src/storage/file-system/attempt.ts';

test('a result is a Right', async () => {
  expect(await attempt(() => Promise.resolve(7))()).toEqual(E.right(7));
});

test('an engine error is a Left, also when it is thrown at the call', async () => {
  const error = new IoError('read', 'file', 'EIO', 'failed');
  expect(await attempt(() => Promise.reject(error))()).toEqual(E.left(error));
  const throwing = (): Promise<never> => {
    throw error;
  };
  expect(await attempt(throwing)()).toEqual(E.left(error));
});

test('anything else is a bug and rejects', async () => {
  const bug = new TypeError('not an engine error');
  await expect(attempt(() => Promise.reject(bug))()).rejects.toBe(bug);
});

test('nothing runs before the task is run', () => {
  let runs = 0;
  attempt(() => Promise.resolve((runs += 1)));
  expect(runs).toBe(0);
});
