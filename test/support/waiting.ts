/** Waiting for what happens by itself, with an end. */

/** Milliseconds after which something does not come any more; generous, for busy machines. */
const PATIENCE_MS = 15_000;

/** What the promise gives; rejects when it takes too long. */
export async function inTime<T>(what: string, work: PromiseLike<T>, patienceMs: number = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${patienceMs} ms`)), patienceMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when it is so. */
export async function until(what: string, isSo: () => boolean, patienceMs: number = PATIENCE_MS): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`${what}: not within ${patienceMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
