// Goal (T1 and T2 of the plan): whenever the process is killed or the power fails, the next open finds every write that was
// acknowledged as durable, a prefix of all writes, batches whole, and no stray file; and a crash in that open changes nothing.
// History has exactly the batches of these writes; no number is given out again; a cursor of before leads on, or says that
// what it stands behind was lost. Consumers are neither before their effects nor behind them; backups are whole or not there.
// What was not broken, neither `salvage` nor `repair` breaks; and `verify` finds nothing after a recovery.
// Method: random workloads on the strict file system, every third on one without hard links; before every one of their file
// calls, images of what a crash would leave; each of them is opened, and held against what the writers knew at that moment.
import { describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { checkImage, type Depth } from '../support/crash-check.ts';
import { CRASH_MODES, CrashImages, type CrashImage, isChanging, linkFault, openable } from '../support/crash-images.ts';
import {
  DIRECTORY,
  nameOf,
  Workload,
  WORKLOAD_KINDS,
  type WorkloadDemand,
  type WorkloadKind,
} from '../support/crash-workload.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';

/** Of the images of one workload, the most that `npm test` opens, and the most that get crashes in their recovery. */
const OPENED_MAX = runs(1) > 1 ? Infinity : 300;
const DEEP_MAX = runs(1) > 1 ? 40 : 2;
/** Steps of a workload: 60 to 300 file calls. */
const STEPS = { least: 10, more: 12 };

const depthOf = (index: number): Depth => ({
  isTwice: index % 5 === 0,
  isHistoryRead: index % 3 === 0,
  isDrained: index % 7 === 0,
  before: index % 11 === 3 ? 'salvage' : index % 11 === 5 ? 'repair' : index % 11 === 8 ? 'readOnly' : 'nothing',
});

interface Taken {
  readonly workload: Workload;
  readonly images: CrashImages<WorkloadDemand>;
  readonly calls: number;
}

/** Runs a workload, and takes the images of a crash before each of its calls. */
async function taken(kind: WorkloadKind, seed: number, hasLinks: boolean): Promise<Taken> {
  const images = new CrashImages<WorkloadDemand>(seed, hasLinks);
  let calls = 0;
  const workload: Workload = new Workload(
    seed,
    (operation) => {
      if (!isChanging(operation)) return undefined;
      calls += 1;
      images.take(workload.fileSystem, workload.demand(), CRASH_MODES, nameOf(operation));
      return linkFault(operation, hasLinks);
    },
    kind,
  );
  const random = randomOf(seed);
  await workload.run(STEPS.least + Math.floor(random() * STEPS.more));
  return { workload, images, calls };
}

/** So many of them, evenly, beginning anywhere. */
function some<T>(all: readonly T[], most: number, random: () => number): readonly T[] {
  const step = Math.max(1, all.length / most);
  const start = random() * step;
  return all.filter((_, index) => Math.floor((index - start) / step) !== Math.floor((index - start - 1) / step));
}

/** The crash again, at each call of the recovery. */
async function crashInRecovery(
  image: CrashImage<WorkloadDemand>,
  { options }: Workload,
  seed: number,
): Promise<CrashImages<WorkloadDemand>> {
  const [moment] = image.moments.slice(-1);
  if (moment === undefined) throw new Error('an image without a moment');
  const again = new CrashImages<WorkloadDemand>(seed, image.hasLinks);
  const fileSystem = openable(image, (operation) => {
    if (isChanging(operation)) {
      again.take(fileSystem, moment.demand, CRASH_MODES, `${moment.what}, again ${nameOf(operation)} of the recovery`);
    }
    return undefined;
  });
  await (await open(DIRECTORY, { ...options, fileSystem })).close();
  return again;
}

async function forEachWorkload(
  count: number,
  work: (one: Taken, random: () => number) => Promise<void>,
): Promise<void> {
  const seed = seedOfThisRun();
  const random = randomOf(seed);
  for (let index = 0; index < count; index += 1) {
    const kind = WORKLOAD_KINDS[index % WORKLOAD_KINDS.length] ?? 'kv';
    const hasLinks = Math.floor(index / WORKLOAD_KINDS.length) % 3 !== 1;
    try {
      await work(await taken(kind, Math.floor(random() * 2 ** 31), hasLinks), random);
    } catch (error) {
      throw new Error(`ALLUVIUM_SEED=${seed}, workload ${index} (${kind}): ${String(error)}`, { cause: error });
    }
  }
}

describe('a crash at any file call', () => {
  it(
    'leaves a database that opens, with every durable write, in order, whole',
    { timeout: 10 * PROPERTY_MS },
    async () => {
      await forEachWorkload(runs(4), async ({ workload, images, calls }, random) => {
        expect(calls).toBeGreaterThan(30);
        const opened = some(images.different, OPENED_MAX, random);
        for (const [index, image] of opened.entries()) await checkImage(image, workload, depthOf(index));
        const judged = opened.reduce((sum, { moments }) => sum + moments.length, 0);
        recordFigures('T1', {
          workloads: 1,
          points: calls,
          images: judged,
          imagesOpened: opened.length,
          violations: 0,
        });
      });
    },
  );

  it('in the recovery from another one: leaves the same', { timeout: 10 * PROPERTY_MS }, async () => {
    await forEachWorkload(runs(2), async ({ workload, images }, random) => {
      const sources = some(images.different, DEEP_MAX, random);
      for (const image of sources) {
        const again = await crashInRecovery(image, workload, Math.floor(random() * 2 ** 31));
        const opened = some(again.different, OPENED_MAX, random);
        for (const [index, deeper] of opened.entries()) await checkImage(deeper, workload, depthOf(index));
        const judged = opened.reduce((sum, { moments }) => sum + moments.length, 0);
        recordFigures('T2', { recoveries: 1, images: judged, imagesOpened: opened.length, violations: 0 });
      }
    });
  });
});
