/** What recovery makes of a crash image, held against what was known when the crash came. */
import { expect } from 'vitest';
import { InvalidCursorError, type MemoryFileSystem, open, type OpenOptions, repair, verify } from '../../src/index.ts';
import type { Store } from '../../src/index.ts';
import { changesUpTo, historyViolation } from './change-log.ts';
import { isEffect } from './crash-consumers.ts';
import { type CrashImage, openable } from './crash-images.ts';
import { type BegunBackup, contentOf, DIRECTORY, type Workload, type WorkloadDemand } from './crash-workload.ts';
import { strayFiles } from './file-census.ts';
import { type TextEntry, textOf } from './sorted-model.ts';
import { isRecovered, type TrackedWrite, violation } from './tracked-writes.ts';

/** How far one image is looked into; the more of it, the longer it takes. */
export interface Depth {
  /** Opened a second time: the same must be there. */
  readonly isTwice: boolean;
  /** The changes from the start on, and from cursors of before the crash. */
  readonly isHistoryRead: boolean;
  /** Consumers go on to the end; and `verify` finds nothing afterwards. */
  readonly isDrained: boolean;
  /** What else is done before the image is opened: nothing of it may lose anything. */
  readonly before: 'nothing' | 'readOnly' | 'salvage' | 'repair';
  /** Whether it was repaired at an earlier opening: what was set aside is there still. */
  readonly isRepaired?: boolean;
}

/** A write after the crash: behind all that was before it. */
const LAST_KEY = '~ last';
/** Turns in which retention, which begins with the opening, comes to its end. */
const RETENTION_TURNS = 200;

type Image = CrashImage<WorkloadDemand>;

/** Throws what is wrong. */
export async function checkImage(image: Image, workload: Workload, depth: Depth): Promise<void> {
  const fileSystem = openable(image);
  const what = `${image.moments.length} moments, the last ${image.moments.at(-1)?.what ?? ''}; ${depth.before} before`;
  try {
    const entries = await recovered(fileSystem, image, workload, depth);
    await checkBackups(fileSystem, image, workload);
    if (!depth.isTwice || depth.isDrained) return; // what is drained has changed
    const isRepaired = depth.before === 'repair';
    const again = { ...depth, before: 'nothing', isHistoryRead: true, isRepaired } as const;
    const second = await recovered(fileSystem, image, workload, again);
    expect(second, 'opened again').toEqual(entries);
  } catch (error) {
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  }
}

async function recovered(
  fileSystem: MemoryFileSystem,
  { moments }: Image,
  workload: Workload,
  { isHistoryRead, isDrained, before, isRepaired = before === 'repair' }: Depth,
): Promise<readonly TextEntry[]> {
  const { options } = workload;
  const { writes } = workload.tracked;
  const early = await prepare(fileSystem, options, before);
  const events: string[] = [];
  const onEvent = ({ type }: { readonly type: string }): void => void events.push(type);
  const store = await open(DIRECTORY, { ...options, fileSystem, onEvent, salvage: before === 'salvage' });
  const stray = await settledStrays(fileSystem, workload);
  if (stray !== undefined && !isRepaired) throw new Error(stray); // a repair sets things aside
  const all = await contentOf(store);
  const entries = all.filter(([key]) => key !== LAST_KEY && !isEffect(key));
  if (early !== undefined) expect(early, 'read without a recovery').toEqual(all);
  for (const { demand, what } of moments) {
    const broken =
      violation(writes, demand, entries) ??
      (workload.kind === 'consumers'
        ? await workload.consumers.violation(store, all, demand.isKill, demand.consumers)
        : undefined);
    if (broken !== undefined) throw new Error(`${what}: ${broken}`);
  }
  // The last moment knows most of what was promised.
  const last = moments.at(-1)?.demand;
  if (isHistoryRead && !isRepaired && last !== undefined) await checkHistory(store, workload, last, entries);
  // A repair begins history anew where a log ends torn: consumers have lost their places, and are told so.
  if (isDrained && before !== 'repair' && workload.kind === 'consumers') {
    const broken = await workload.consumers.drained(store, entries);
    if (broken !== undefined) throw new Error(broken);
  }
  await store.close();
  if (events.includes('historyLost') && before !== 'repair') throw new Error('history was lost');
  if (isDrained) {
    const { findings } = await verify(DIRECTORY, { fileSystem });
    // Indexes, which have the times of changes, are not synced: after a power cut they may be torn.
    const wrong = findings.filter(({ code }) => code !== 'historyIndex');
    expect(wrong, 'verify after recovery').toEqual([]);
  }
  return entries;
}

/** @returns what a store that changes nothing has read */
async function prepare(
  fileSystem: MemoryFileSystem,
  options: OpenOptions,
  before: Depth['before'],
): Promise<readonly TextEntry[] | undefined> {
  const isThere = fileSystem.paths().includes(`${DIRECTORY}/CURRENT`);
  if (!isThere) return undefined; // the crash came before there was a database
  if (before === 'repair') await repair(DIRECTORY, { fileSystem });
  if (before !== 'readOnly') return undefined;
  const paths = fileSystem.paths();
  const store = await open(DIRECTORY, { ...options, fileSystem, readOnly: true });
  const entries = await contentOf(store);
  await store.close();
  expect(fileSystem.paths(), 'files beside a store that may write nothing').toEqual(paths);
  return entries;
}

async function settledStrays(fileSystem: MemoryFileSystem, { kind }: Workload): Promise<string | undefined> {
  let stray = await strayFiles(fileSystem, DIRECTORY);
  const turnsMax = kind === 'consumers' || kind === 'retention' ? RETENTION_TURNS : 0;
  for (let turns = 0; stray !== undefined && turns < turnsMax; turns += 1) {
    await new Promise(setImmediate);
    stray = await strayFiles(fileSystem, DIRECTORY);
  }
  return stray;
}

const isAnswered = (state: string | undefined): boolean => state === 'synced' || state === 'buffered';
const isOfWrites = ({ key }: { readonly key: Uint8Array }): boolean =>
  textOf(key) !== LAST_KEY && !isEffect(textOf(key));

async function checkHistory(
  store: Store,
  workload: Workload,
  demand: WorkloadDemand,
  entries: readonly TextEntry[],
): Promise<void> {
  const { writes } = workload.tracked;
  const { sequence } = await store.set(LAST_KEY, 'x');
  const told = writes.filter((write) => isAnswered(demand.states[write.index]) && write.sequence > 0);
  const last = told.at(-1);
  if (last !== undefined) expect(sequence, 'a number for new data').toBeGreaterThan(last.sequence);

  const all = await changesUpTo(store, 'start', sequence);
  const changes = all.filter(isOfWrites);
  const isShort = workload.kind === 'consumers' || workload.kind === 'retention';
  const broken = historyViolation(isShort ? keptWrites(writes, changes) : writes, entries, changes);
  if (broken !== undefined) throw new Error(`history: ${broken}`);
  if (isShort || last === undefined) return;

  const keys = new Set(entries.map(([key]) => key));
  // The workload closes its stores: up to the crash it was all one epoch.
  const prefix = all[0]?.cursor.split('.').slice(0, 2).join('.') ?? '';
  for (const write of new Set([last, told[Math.floor(told.length / 2)] ?? last])) {
    const cursor = `${prefix}.1.${write.sequence}` as const;
    const reading = changesUpTo(store, cursor as `al1.${string}`, sequence);
    if (isRecovered(write.index, keys)) {
      const behind = writes.filter(({ index }) => index > write.index);
      const gap = historyViolation(behind, entries, (await reading).filter(isOfWrites));
      if (gap !== undefined) throw new Error(`from the cursor behind write ${write.index}: ${gap}`);
    } else {
      const error = await reading.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error, `from the cursor behind write ${write.index}, which is lost`).toBeInstanceOf(InvalidCursorError);
      expect((error as InvalidCursorError).fault).toBe('droppedEpoch');
    }
  }
}

/** Those that history still has: from the one on that its first change is of. Before it, all may be gone; behind it, nothing. */
function keptWrites(
  writes: readonly TrackedWrite[],
  changes: readonly { readonly key: Uint8Array; readonly batchIndex: number }[],
): readonly TrackedWrite[] {
  const [first] = changes;
  if (first === undefined) return [];
  expect(first.batchIndex, 'the first change that is kept').toBe(0);
  const marker = changes.map(({ key }) => textOf(key)).find((key) => key.startsWith('w/'));
  const index = writes.findIndex((write) => write.operations.some(({ key }) => textOf(key) === marker));
  return writes.filter((write) => write.index >= index);
}

/** A backup is whole where it has its name; one that was told to be done is there. */
async function checkBackups(fileSystem: MemoryFileSystem, { moments }: Image, workload: Workload): Promise<void> {
  const { writes } = workload.tracked;
  for (const { demand, what } of moments) {
    for (const backup of demand.backups) {
      const isThere = fileSystem.paths().some((path) => path.startsWith(`${backup.path}/`));
      if (!isThere && backup.isDone) throw new Error(`${what}: ${backup.path} was made, and is not there`);
      if (!isThere) continue;
      const { findings } = await verify(backup.path, { fileSystem });
      expect(findings, `${what}, ${backup.path}`).toEqual([]);
      const copy = await open(backup.path, { ...workload.options, fileSystem: fileSystem.crashImage('all', () => 0) });
      const broken = violation(writes, demandOf(backup, demand), await contentOf(copy));
      await copy.close();
      if (broken !== undefined) throw new Error(`${what}, ${backup.path}: ${broken}`);
    }
  }
}

/** What was acknowledged before the call is in it, durable or not; of the rest any beginning. */
function demandOf(backup: BegunBackup, demand: WorkloadDemand): WorkloadDemand {
  const states = demand.states.map((state, index) => (isAnswered(backup.states[index]) ? 'synced' : state));
  const softened = states.map((state, index) =>
    isAnswered(backup.states[index]) || state === 'failed' ? state : 'waiting',
  );
  return { ...demand, states: softened, isKill: false, durableSequence: 0 };
}
