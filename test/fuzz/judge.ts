/**
 * One input, and whether the decoder took it as it must: it decodes or refuses, in little time and memory.
 *
 * Time and memory are looked at in passing; what seems too much is measured again, alone and several times, and the least
 * counts: a busy machine and other people's garbage are no bugs.
 */
import { getHeapStatistics } from 'node:v8';
import { collectGarbage } from '../support/garbage.ts';
import type { FuzzTarget } from './target.ts';

/** Of the processor, for one call. */
const CALL_MS_MAX = 50;
const CALL_BYTES_MAX: number = 16 * 1024 * 1024;
/** What a call may take for each byte of its input, beside that. */
const CALL_BYTES_PER_BYTE = 4;
const MEASURED_TIMES = 3;
const SHRINK_TRIES = 400;

export interface Finding {
  readonly kind: 'error' | 'time' | 'memory';
  readonly detail: string;
}

const heapBytes = (): number => {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
};

/** Of the whole process: a clock would count what other programs take of a busy machine. */
function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** @returns what is wrong; `undefined`: nothing */
export async function judge(target: FuzzTarget, bytes: Uint8Array): Promise<Finding | undefined> {
  const bytesBefore = heapBytes();
  const cpuBefore = process.cpuUsage();
  const error = await attempt(target, bytes);
  const isSlow = cpuMsSince(cpuBefore) > CALL_MS_MAX;
  const isLarge = heapBytes() - bytesBefore > bytesMaxFor(bytes);
  if (error !== undefined) return error;
  return isSlow || isLarge ? measure(target, bytes) : undefined;
}

const bytesMaxFor = ({ length }: Uint8Array): number => CALL_BYTES_MAX + CALL_BYTES_PER_BYTE * length;

async function attempt(target: FuzzTarget, bytes: Uint8Array): Promise<Finding | undefined> {
  try {
    const answer = target.decode(bytes.slice());
    if (answer instanceof Promise) await answer;
    return undefined;
  } catch (error) {
    if (target.isRefusal(error)) return undefined;
    return { kind: 'error', detail: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

async function measure(target: FuzzTarget, bytes: Uint8Array): Promise<Finding | undefined> {
  let leastMs = Infinity;
  let leastBytes = Infinity;
  for (let times = 0; times < MEASURED_TIMES; times += 1) {
    await collectGarbage();
    const bytesBefore = heapBytes();
    const cpuBefore = process.cpuUsage();
    await attempt(target, bytes);
    leastMs = Math.min(leastMs, cpuMsSince(cpuBefore));
    leastBytes = Math.min(leastBytes, heapBytes() - bytesBefore);
    if (leastMs <= CALL_MS_MAX && leastBytes <= bytesMaxFor(bytes)) return undefined;
  }
  if (leastMs > CALL_MS_MAX) return { kind: 'time', detail: `it took ${leastMs.toFixed(0)} ms of the processor` };
  return { kind: 'memory', detail: `it took ${leastBytes} bytes for an input of ${bytes.length}` };
}

/** The same error, from as few bytes as leaving some out makes it. */
export async function shrink(target: FuzzTarget, bytes: Uint8Array): Promise<Uint8Array> {
  let least = bytes;
  for (let piece = Math.max(1, bytes.length >> 1), tries = SHRINK_TRIES; piece >= 1; piece >>= 1) {
    for (let at = 0; at + piece <= least.length && tries > 0;) {
      const shorter = Uint8Array.from([...least.subarray(0, at), ...least.subarray(at + piece)]);
      tries -= 1;
      if ((await attempt(target, shorter)) !== undefined) least = shorter;
      else at += piece;
    }
  }
  return least;
}
