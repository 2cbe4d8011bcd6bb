import { TestScheduler } from 'rxjs/testing';
import { expect } from 'vitest';

/** Runs a marble test in virtual time; one frame is one millisecond. */
export const marbles = (run: Parameters<TestScheduler['run']>[0]): void => {
  new TestScheduler((actual, expected) => expect(actual).toEqual(expected)).run(run);
};
