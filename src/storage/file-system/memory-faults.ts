/**
 * The fault seam of the memory file system: one hook, called before every call, which may let it pass, make it fail, or
 * stop the machine.
 *
 * Without a hook it costs one comparison per call.
 */
import { EngineError, IoError } from '../../errors.ts';
import { type FileOperationName, systemCode, translateError } from './node-errors.ts';

/** One call to the file system, as a fault hook sees it just before it happens. */
export interface FileOperation {
  /** Counts the calls of this file system from 0. */
  readonly index: number;
  readonly name: FileOperationName;
  /** Absolute and normalised; for `rename` and `link` the new name. */
  readonly path: string;
  /** Bytes to append or to read; 0 for other calls. */
  readonly bytes: number;
}

/**
 * Called before every call that touches the file system.
 *
 * Returning `undefined` lets the call happen. Returning or throwing an error makes it fail: a {@link Fault} or any error
 * with a system's code becomes {@link IoError} or NoSpaceError; an {@link EngineError} is taken as it is; {@link Crash}
 * stops the file system for good. Crash images may be taken inside of the hook.
 */
export type FileOperationHook = (operation: FileOperation) => Error | undefined;

/**
 * A failure with a system's code.
 *
 * A `sync` that fails loses what was unsynced, as Linux does: the bytes stay readable, the next sync is called a success,
 * and after a power cut the range reads as it did before.
 */
export class Fault extends Error {
  /** For instance `'EIO'`, `'ENOSPC'`, `'EMFILE'`, `'EACCES'`. */
  readonly code: string;
  /**
   * What happens before the failure. For an append: the bytes that arrive (default 0). For other calls: above 0, the call
   * takes its whole effect and reports a failure all the same.
   */
  readonly effectBytes: number;

  constructor(code: string, effectBytes = 0) {
    super(`${code} (injected, or made by the memory file system)`);
    this.name = 'Fault';
    this.code = code;
    this.effectBytes = effectBytes;
  }
}

/**
 * Stops the file system: the call does not happen, nor does any later one. They reject with an {@link IoError} whose system
 * code is `'ECRASH'`, or never settle if the crash is silent. What survived is for `crashImage` to say.
 */
export class Crash extends Error {
  readonly isSilent: boolean;

  constructor(options: { readonly isSilent?: boolean } = {}) {
    super('the machine stopped (injected)');
    this.name = 'Crash';
    this.isSilent = options.isSilent ?? false;
  }
}

/** Where every call passes: counts it, asks the hook, translates failures. One for each file system. */
export class OperationGate {
  readonly #hook: FileOperationHook | undefined;
  #index = 0;
  #crash: Crash | undefined;

  constructor(hook: FileOperationHook | undefined) {
    this.#hook = hook;
  }

  /**
   * Runs one call on the spot.
   *
   * @param effect - does the work; given the bytes that may arrive if less than all are to
   * @param onFailure - what a failure does to the state, instead of the effect
   */
  run<A>(name: FileOperationName, path: string, effect: (bytesMax: number) => A, bytes = 0, onFailure?: () => void): A {
    try {
      const failure = this.#hook === undefined ? undefined : this.#ask(this.#hook, name, path, bytes);
      if (failure === undefined) return effect(Infinity);
      if (failure instanceof Fault && failure.effectBytes > 0) effect(failure.effectBytes);
      else onFailure?.();
      throw failure;
    } catch (thrown) {
      throw translateError(thrown, name, path);
    }
  }

  /** The same as a promise, which never settles after a silent crash. */
  settle<A>(
    name: FileOperationName,
    path: string,
    effect: (bytesMax: number) => A,
    bytes = 0,
    onFailure?: () => void,
  ): Promise<A> {
    return new Promise<A>((resolve) => {
      try {
        resolve(this.run(name, path, effect, bytes, onFailure));
      } catch (thrown) {
        if (this.#crash?.isSilent !== true) throw thrown; // becomes the rejection
      }
    });
  }

  #ask(hook: FileOperationHook, name: FileOperationName, path: string, bytes: number): Error | undefined {
    if (this.#crash === undefined) {
      const answer = answerOf(hook, { index: this.#index++, name, path, bytes });
      if (!(answer instanceof Crash)) return answer;
      this.#crash = answer;
    }
    throw new IoError(name, path, 'ECRASH', 'unknown', { cause: this.#crash });
  }
}

/** What a hook throws counts as its answer, unless it is a mistake in the hook itself. */
function answerOf(hook: FileOperationHook, operation: FileOperation): Error | undefined {
  try {
    return hook(operation);
  } catch (thrown) {
    if (thrown instanceof Crash || thrown instanceof EngineError) return thrown;
    if (thrown instanceof Error && systemCode(thrown) !== undefined) return thrown;
    throw thrown;
  }
}
