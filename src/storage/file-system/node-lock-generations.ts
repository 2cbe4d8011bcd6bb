/**
 * A lock for platforms whose kernel gives Node none: files of growing number, each made whole or not at all.
 *
 * ```text
 * LOCK.<n> := JSON { "pid", "since", "host", "isNative" }     taken by a process
 *           | JSON { "isFree": true }                         given back
 * ```
 *
 * The highest number is the state. To take the lock, or give it back, is to `link` a finished file to the next number;
 * `link` fails if the name is there, so that one of several wins. The highest file is never deleted, and neither are the few
 * before it: whoever read an old listing must run into a name that exists, not into a gap.
 *
 * The lock of a process that died is taken over only if that can be proved: it ran on this host, and no process of its
 * number runs now; or it held the kernel's lock on LOCK as well, and now we hold that. In doubt (a shared disk, a number
 * used again) we refuse; a person who knows better may delete the highest LOCK.<n>.
 */
import { createHash } from 'node:crypto';
import { link, readdir, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { LockHolder } from '../../errors.ts';
import { systemCode } from './node-errors.ts';
import { createNodeFile, openNodeFile } from './node-files.ts';
import { isRunning, parseHolder, parseObject } from './node-lock-note.ts';

const GENERATION_BYTES_MAX = 1024;
/** Generations kept below the highest: far more takers than could be at work on one old listing. */
const GENERATIONS_KEPT = 32;
const NAME = /^LOCK\.(\d{1,15})$/;

export type GenerationOutcome =
  | { readonly kind: 'taken'; readonly release: () => Promise<void> }
  | { readonly kind: 'held'; readonly holder: LockHolder };

/**
 * @param since - when the caller opened the directory, for the error of whoever comes later
 * @param isNative - whether the caller holds the kernel's lock on LOCK in the same directory
 */
export async function takeGeneration(
  directory: string,
  since: Date | undefined,
  isNative: boolean,
): Promise<GenerationOutcome> {
  const highest = (await generations(directory)).at(-1) ?? 0;
  const holder = await holderOf(directory, highest, isNative);
  if (holder !== undefined) return { kind: 'held', holder };
  const mine = highest + 1;
  const owner = { pid: process.pid, since: since?.toISOString(), host: hostname(), isNative };
  const isMade = await publish(directory, mine, owner);
  const after = await generations(directory);
  if (!isMade || after.at(-1) !== mine) {
    return { kind: 'held', holder: { pid: undefined, since: undefined } }; // somebody was faster
  }
  for (const old of after) {
    if (old < mine - GENERATIONS_KEPT) await unlink(join(directory, `LOCK.${old}`)).catch(() => undefined);
  }
  const release = async (): Promise<void> => {
    await publish(directory, mine + 1, { isFree: true });
  };
  return { kind: 'taken', release };
}

/** Numbers of the generations, ascending. */
async function generations(directory: string): Promise<number[]> {
  const numbers: number[] = [];
  for (const name of await readdir(directory)) {
    const digits = NAME.exec(name)?.[1];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b);
}

/** Who holds generation `number`; `undefined` if nobody does, or provably nobody any more. */
async function holderOf(directory: string, number: number, isNative: boolean): Promise<LockHolder | undefined> {
  if (number === 0) return undefined;
  const text = await readText(join(directory, `LOCK.${number}`));
  const state = parseObject(text);
  if (state !== undefined && Reflect.get(state, 'isFree') === true) return undefined;
  const holder = parseHolder(text);
  if (state === undefined || holder?.pid === undefined) return { pid: undefined, since: undefined }; // proves nothing
  if (isNative && Reflect.get(state, 'isNative') === true) return undefined;
  const isHere = Reflect.get(state, 'host') === hostname();
  return isHere && !isRunning(holder.pid) ? undefined : holder;
}

/** Makes generation `number` with its content, at once. @returns false if it is there already */
async function publish(directory: string, number: number, content: object): Promise<boolean> {
  // A name that no other thread, process or host uses, so that what lies there is left over from a dead one of ours.
  const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 16);
  const finished = join(directory, `LOCK.${number}.${host}.${process.pid}.${threadId}.tmp`);
  await unlink(finished).catch(() => undefined);
  const file = await createNodeFile(finished);
  try {
    try {
      await file.append(new TextEncoder().encode(JSON.stringify(content)));
      await file.sync(); // an empty generation after a power cut would have to be refused for ever
    } finally {
      await file.close();
    }
    await link(finished, join(directory, `LOCK.${number}`));
    return true;
  } catch (thrown) {
    if (systemCode(thrown) === 'EEXIST') return false;
    throw thrown;
  } finally {
    await unlink(finished).catch(() => undefined);
  }
}

async function readText(path: string): Promise<string> {
  const file = await openNodeFile(path);
  try {
    const bytes = new Uint8Array(GENERATION_BYTES_MAX);
    const length = await file.read(bytes, 0);
    return new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    await file.close();
  }
}
