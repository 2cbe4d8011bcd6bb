// Goal (T1 and T2 of the plan): whenever the process is killed or the power fails, the next open finds every write that was
// acknowledged as durable, a prefix of all writes, batches whole, and no stray file; and a crash in that open changes nothing.
// History has exactly the batches of these writes; no number is given out again; a cursor of before leads on, or says that
// what it stands behind was lost.
// Method: random workloads on the strict file system, every third on one without hard links; before every one of their file calls, images of what a crash would
// leave; each of them is opened, compared with what the writers knew at that moment, and opened again.
import { describe, expect, it } from 'vitest';
import type { CrashMode } from '../../src/storage/file-system/memory-crash.ts';
import { Fault, type FileOperation } from '../../src/storage/file-system/memory-faults.ts';
import { InvalidCursorError, MemoryFileSystem, open, type OpenOptions, type Store } from '../../src/index.ts';
import { contentOf, DIRECTORY, nameOf, Workload } from '../support/crash-workload.ts';
import { changesUpTo, historyViolation } from '../support/change-log.ts';
import { strayFiles } from '../support/file-census.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { type TextEntry, textOf } from '../support/sorted-model.ts';
import { type Demand, isRecovered, type TrackedWrite, violation } from '../support/tracked-writes.ts';

/** What is taken at each crash point, and one of these in turn. */
const MODES: readonly CrashMode[] = ['all', 'synced', 'prefix', 'sectors'];
const MODES_IN_TURN: readonly CrashMode[] = ['zeros', 'prefix', 'sectors'];
/** Calls that change nothing leave the same images as the next call that does, when more is acknowledged. */
const CHANGING: ReadonlySet<string> = new Set([
  'create',
  'append',
  'sync',
  'syncDirectory',
  'rename',
  'link',
  'remove',
  'makeDirectory',
]);
/** Of the images, every how many-th is opened a second time, and every how many-th gets a crash in its recovery. */
const REOPEN_EVERY = 5;
const RECOVERY_CRASH_EVERY = 101;
/** History is read of every how many-th. */
const HISTORY_EVERY = 3;

interface Image {
  readonly fileSystem: (onOperation?: (operation: FileOperation) => undefined) => MemoryFileSystem;
  readonly demand: Demand;
  readonly what: string;
}

/** On a file system without hard links, logs move into the archive when they are released. */
const linkFault = ({ name }: FileOperation, hasLinks: boolean): Fault | undefined =>
  name === 'link' && !hasLinks ? new Fault('EPERM') : undefined;

/** Takes the images of a crash at this moment. */
function imagesOf(
  source: MemoryFileSystem,
  demand: Omit<Demand, 'isKill'>,
  modes: readonly CrashMode[],
  what: string,
  seed: number,
  hasLinks: boolean,
): Image[] {
  return modes.map((mode, index) => {
    const image = source.crashImage(mode, randomOf(seed * 31 + index));
    return {
      // A copy, with a hook if there is one: an image is opened more than once.
      fileSystem: (onOperation) =>
        image.crashImage('all', () => 0, {
          onOperation: (operation) => {
            onOperation?.(operation);
            return linkFault(operation, hasLinks);
          },
        }),
      demand: { ...demand, isKill: mode === 'all' },
      what: `${what}, image ${index} (${mode})`,
    };
  });
}

/** Opens an image, perhaps twice, and checks what is there. */
async function check(
  image: Image,
  writes: readonly TrackedWrite[],
  options: OpenOptions,
  isTwice: boolean,
  isHistoryRead: boolean,
): Promise<void> {
  const fileSystem = image.fileSystem();
  const first = await openAndRead(fileSystem, options, image, writes, isHistoryRead);
  const broken = violation(writes, image.demand, first);
  if (broken !== undefined) throw new Error(`${image.what}: ${broken}`);
  if (!isTwice) return;
  const again = { ...image, what: `${image.what}, opened again` };
  const second = await openAndRead(fileSystem, options, again, writes, true);
  expect(second, again.what).toEqual(first);
}

async function openAndRead(
  fileSystem: MemoryFileSystem,
  options: OpenOptions,
  { what, demand }: Image,
  writes: readonly TrackedWrite[],
  isHistoryRead: boolean,
): Promise<readonly TextEntry[]> {
  const events: string[] = [];
  try {
    const store = await open(DIRECTORY, { ...options, fileSystem, onEvent: ({ type }) => void events.push(type) });
    const stray = await strayFiles(fileSystem, DIRECTORY);
    if (stray !== undefined) throw new Error(stray);
    const entries = (await contentOf(store)).filter(([key]) => key !== LAST_KEY);
    if (isHistoryRead) await checkHistory(store, writes, demand, entries);
    await store.close();
    if (events.includes('historyLost')) throw new Error('history was lost');
    return entries;
  } catch (error) {
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  }
}

/** A write after the crash: behind all that was before it. */
const LAST_KEY = '~ last';

async function checkHistory(
  store: Store,
  writes: readonly TrackedWrite[],
  demand: Demand,
  entries: readonly TextEntry[],
): Promise<void> {
  const { sequence } = await store.set(LAST_KEY, 'x');
  const isOfWrites = ({ key }: { readonly key: Uint8Array }): boolean => textOf(key) !== LAST_KEY;
  const all = await changesUpTo(store, 'start', sequence);
  const broken = historyViolation(writes, entries, all.filter(isOfWrites));
  if (broken !== undefined) throw new Error(`history: ${broken}`);

  const told = writes.filter((write) => isAnswered(demand.states[write.index]) && write.sequence > 0);
  const last = told.at(-1);
  if (last === undefined) return;
  expect(sequence, 'a number for new data').toBeGreaterThan(last.sequence);
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

const isAnswered = (state: string | undefined): boolean => state === 'synced' || state === 'buffered';

/** The crash again, in the middle of the recovery. */
async function crashInRecovery(image: Image, options: OpenOptions, seed: number, hasLinks: boolean): Promise<Image[]> {
  const again: Image[] = [];
  const fileSystem: MemoryFileSystem = image.fileSystem((operation) => {
    if (!CHANGING.has(operation.name)) return undefined;
    const what = `${image.what}, again ${nameOf(operation)} of the recovery`;
    const modes = ['synced', 'prefix', 'sectors'] as const;
    again.push(...imagesOf(fileSystem, image.demand, modes, what, seed + operation.index, hasLinks));
    return undefined;
  });
  await (await open(DIRECTORY, { ...options, fileSystem })).close();
  // What was recovered once was not acknowledged again: a second power cut may take it back. A killed process may not.
  return again.map((one) => ({ ...one, demand: { ...one.demand, isKill: false } }));
}

describe('a crash at any file call', () => {
  it(
    'leaves a database that opens, with every durable write, in order, whole',
    { timeout: 3 * PROPERTY_MS },
    async () => {
      const seed = seedOfThisRun();
      const random = randomOf(seed);
      const workloads = runs(3);
      let checked = 0;
      for (let count = 0; count < workloads; count += 1) {
        const workloadSeed = Math.floor(random() * 2 ** 31);
        const hasLinks = count % 3 !== 1;
        const images: Image[] = [];
        const workload: Workload = new Workload(workloadSeed, (operation) => {
          if (!CHANGING.has(operation.name)) return undefined;
          const demand = { states: workload.tracked.states(), durableSequence: workload.durableSequence };
          const what = `ALLUVIUM_SEED=${seed}, workload ${count}, ${nameOf(operation)}`;
          const modes = [...MODES, MODES_IN_TURN[operation.index % MODES_IN_TURN.length] ?? 'zeros'];
          images.push(...imagesOf(workload.fileSystem, demand, modes, what, workloadSeed + operation.index, hasLinks));
          return linkFault(operation, hasLinks);
        });
        await workload.run(10 + Math.floor(random() * 12));
        const { writes } = workload.tracked;
        for (const [index, image] of images.entries()) {
          await check(image, writes, workload.options, index % REOPEN_EVERY === 0, index % HISTORY_EVERY === 0);
          checked += 1;
          if (index % RECOVERY_CRASH_EVERY !== 17 + count) continue;
          for (const deeper of await crashInRecovery(image, workload.options, seed + index, hasLinks)) {
            await check(deeper, writes, workload.options, false, true);
            checked += 1;
          }
        }
      }
      expect(checked).toBeGreaterThan(workloads * 300);
    },
  );
});
