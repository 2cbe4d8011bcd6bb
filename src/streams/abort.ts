/**
 * Listening to an `AbortSignal` that many operations share: one listener on the signal, however many wait for it. Node
 * warns of a leak from the eleventh listener on, and one signal for all writes of a request is the common case. When nobody
 * waits any more, nothing is left on the signal.
 */

class SharedListener {
  readonly #signal: AbortSignal;
  readonly #callbacks = new Set<() => void>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this.#abort);
  }

  add(callback: () => void): void {
    this.#callbacks.add(callback);
  }

  remove(callback: () => void): void {
    if (!this.#callbacks.delete(callback) || this.#callbacks.size > 0) return;
    this.#signal.removeEventListener('abort', this.#abort);
    shared.delete(this.#signal);
  }

  readonly #abort = (): void => {
    for (const callback of [...this.#callbacks]) {
      this.remove(callback);
      callback();
    }
  };
}

const shared = new WeakMap<AbortSignal, SharedListener>();

/** Calls `callback` once, when the signal aborts. @returns what takes the callback back */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => undefined;
  const listener = shared.get(signal) ?? new SharedListener(signal);
  shared.set(signal, listener);
  listener.add(callback);
  return () => listener.remove(callback);
}
