/**
 * Listening to an `AbortSignal` that many calls share: one listener on the signal, however many wait for it, and none when
 * nobody does any more. Node warns of a leak from the eleventh listener on.
 */
import { AbortedError } from 'alluvium';

interface Shared {
  readonly waiting: Set<() => void>;
  readonly stop: () => void;
}

const shared = new WeakMap<AbortSignal, Shared>();

/** Calls `work` once, when the signal aborts; one that has aborted is the caller's to look for. @returns what calls it off */
export function onAbort(signal: AbortSignal | undefined, work: () => void): () => void {
  if (signal === undefined) return () => undefined;
  const found = shared.get(signal) ?? listenTo(signal);
  const one = (): void => work(); // the same work may wait twice
  found.waiting.add(one);
  return () => {
    if (found.waiting.delete(one) && found.waiting.size === 0) found.stop();
  };
}

function listenTo(signal: AbortSignal): Shared {
  const waiting = new Set<() => void>();
  const stop = (): void => {
    signal.removeEventListener('abort', abort);
    if (shared.get(signal) === one) shared.delete(signal);
  };
  const abort = (): void => {
    stop();
    for (const work of [...waiting]) if (waiting.delete(work)) work();
  };
  const one: Shared = { waiting, stop };
  signal.addEventListener('abort', abort);
  shared.set(signal, one);
  return one;
}

/** What a call fails with whose signal has aborted. */
export const abortedBy = (signal: AbortSignal | undefined, what: string): AbortedError =>
  new AbortedError(what, { cause: signal?.reason });
