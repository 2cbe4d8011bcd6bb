// Goal (T1 and T2 of the plan): whenever the process is killed or the power fails, the next open finds every write that was
// acknowledged as durable, a prefix of all writes, batches whole, and no stray file; and a crash in that open changes nothing.
// Method: random workloads on the strict file system; before every one of their file calls, images of what a crash would
// leave; each of them is opened, compared with what the writers knew at that moment, and opened again.
import { describe, expect, it } from 'vitest';
import type { CrashMode } from '../../src/storage/file-system/memory-crash.ts';
import type { FileOperation } from '../../src/storage/file-system/memory-faults.ts';
import { MemoryFileSystem, open, type OpenOptions } from '../../src/index.ts';
import { contentOf, DIRECTORY, nameOf, Workload } from '../support/crash-workload.ts';
import { strayFiles } from '../support/file-census.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { type Demand, type TrackedWrite, violation } from '../support/tracked-writes.ts';

/** What is taken at each crash point. */
const MODES: readonly CrashMode[] = ['all', 'synced', 'zeros', 'prefix', 'prefix', 'sectors', 'sectors'];
/** Calls that change nothing leave the same images as the next call that does, when more is acknowledged. */
const CHANGING: ReadonlySet<string> = new Set([
  'create',
  'append',
  'sync',
  'syncDirectory',
  'rename',
  'remove',
  'makeDirectory',
]);
/** Of the images, every how many-th is opened a second time, and every how many-th gets a crash in its recovery. */
const REOPEN_EVERY = 5;
const RECOVERY_CRASH_EVERY = 101;

interface Image {
  readonly fileSystem: (onOperation?: (operation: FileOperation) => undefined) => MemoryFileSystem;
  readonly demand: Demand;
  readonly what: string;
}

/** Takes the images of a crash at this moment. */
function imagesOf(
  source: MemoryFileSystem,
  demand: Omit<Demand, 'isKill'>,
  modes: readonly CrashMode[],
  what: string,
  seed: number,
): Image[] {
  return modes.map((mode, index) => {
    const image = source.crashImage(mode, randomOf(seed * 31 + index));
    return {
      // A copy, with a hook if there is one: an image is opened more than once.
      fileSystem: (onOperation) => image.crashImage('all', () => 0, onOperation === undefined ? {} : { onOperation }),
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
): Promise<void> {
  const fileSystem = image.fileSystem();
  const first = await openAndRead(fileSystem, options, image.what);
  const broken = violation(writes, image.demand, first);
  if (broken !== undefined) throw new Error(`${image.what}: ${broken}`);
  if (!isTwice) return;
  const second = await openAndRead(fileSystem, options, `${image.what}, opened again`);
  expect(second, `${image.what}, opened again`).toEqual(first);
}

async function openAndRead(fileSystem: MemoryFileSystem, options: OpenOptions, what: string) {
  try {
    const store = await open(DIRECTORY, { ...options, fileSystem });
    const stray = await strayFiles(fileSystem, DIRECTORY);
    if (stray !== undefined) throw new Error(stray);
    const entries = await contentOf(store);
    await store.close();
    return entries;
  } catch (error) {
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  }
}

/** The crash again, in the middle of the recovery. */
async function crashInRecovery(image: Image, options: OpenOptions, seed: number): Promise<Image[]> {
  const again: Image[] = [];
  const fileSystem: MemoryFileSystem = image.fileSystem((operation) => {
    if (!CHANGING.has(operation.name)) return undefined;
    const what = `${image.what}, again ${nameOf(operation)} of the recovery`;
    again.push(...imagesOf(fileSystem, image.demand, ['synced', 'prefix', 'sectors'], what, seed + operation.index));
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
        const images: Image[] = [];
        const workload: Workload = new Workload(workloadSeed, (operation) => {
          if (!CHANGING.has(operation.name)) return undefined;
          const demand = { states: workload.tracked.states(), durableSequence: workload.durableSequence };
          const what = `ALLUVIUM_SEED=${seed}, workload ${count}, ${nameOf(operation)}`;
          images.push(...imagesOf(workload.fileSystem, demand, MODES, what, workloadSeed + operation.index));
          return undefined;
        });
        await workload.run(10 + Math.floor(random() * 12));
        const { writes } = workload.tracked;
        for (const [index, image] of images.entries()) {
          await check(image, writes, workload.options, index % REOPEN_EVERY === 0);
          checked += 1;
          if (index % RECOVERY_CRASH_EVERY !== 17 + count) continue;
          for (const deeper of await crashInRecovery(image, workload.options, seed + index)) {
            await check(deeper, writes, workload.options, false);
            checked += 1;
          }
        }
      }
      expect(checked).toBeGreaterThan(workloads * 300);
    },
  );
});
