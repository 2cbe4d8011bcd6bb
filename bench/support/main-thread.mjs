/**
 * Milliseconds that this process's main thread has worked. On Linux by the kernel's account, which leaves out the time when
 * another process had the processor; elsewhere by the event loop's, which does not.
 */
import { readFileSync } from 'node:fs';

const ACCOUNT = `/proc/self/task/${process.pid}/schedstat`;
const NS_PER_MS = 1e6;

/** @returns {number | undefined} */
function fromKernel() {
  try {
    return Number(readFileSync(ACCOUNT, 'latin1').split(' ')[0]) / NS_PER_MS;
  } catch {
    return undefined;
  }
}

const hasKernel = fromKernel() !== undefined;

/** Only differences mean something. @returns {number} */
export const mainThreadMs = () => (hasKernel ? fromKernel() : undefined) ?? performance.eventLoopUtilization().active;
