/** From promises, which the file system speaks, to `TaskEither`, in which storage says what may fail. */
import * as E from 'fp-ts/lib/Either.js';
import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import { EngineError } from '../../errors.ts';

/**
 * Makes a task of `work` that holds its {@link EngineError} as a `Left`.
 *
 * Anything else that `work` throws is a bug of ours: the task rejects with it, so that nobody takes it for a full disk.
 */
export function attempt<A>(work: () => Promise<A>): TaskEither<EngineError, A> {
  return async () => {
    try {
      return E.right(await work());
    } catch (thrown) {
      if (thrown instanceof EngineError) return E.left(thrown);
      throw thrown;
    }
  };
}
