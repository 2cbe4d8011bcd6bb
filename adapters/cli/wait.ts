/** Time that passes, until the signal says otherwise. */
import { setTimeout as delay } from 'node:timers/promises';

export async function waitUntil(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
