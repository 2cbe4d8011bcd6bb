/** Workloads with the images of all their crashes, one workload after the other; and the check of the images. */
import { checkImage, type Depth } from './crash-check.ts';
import { CRASH_MODES, CrashImages, isChanging, linkFault } from './crash-images.ts';
import { nameOf, Workload, type WorkloadDemand, type WorkloadKind } from './crash-workload.ts';
import { randomOf, runs, seedOfThisRun } from './runs.ts';

/** Of the images of one workload, the most that `npm test` opens. */
const OPENED_MAX = runs(1) > 1 ? Infinity : 300;
/** Steps of a workload: 60 to 600 file calls. */
const STEPS = { least: 10, more: 12 };
/** Part of the workloads that run on a file system without hard links. */
const WITHOUT_LINKS = 1 / 3;

const depthOf = (index: number): Depth => ({
  isTwice: index % 5 === 0,
  isHistoryRead: index % 3 === 0,
  isDrained: index % 7 === 0,
  before: index % 11 === 3 ? 'salvage' : index % 11 === 5 ? 'repair' : index % 11 === 8 ? 'readOnly' : 'nothing',
});

export interface Taken {
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
export function some<T>(all: readonly T[], most: number, random: () => number): readonly T[] {
  const step = Math.max(1, all.length / most);
  const start = random() * step;
  return all.filter((_, index) => Math.floor((index - start) / step) !== Math.floor((index - start - 1) / step));
}

/** Opens so many of the images as a run may, and checks them. @returns how many it opened, and at how many moments they were taken */
export async function checkSome(
  images: CrashImages<WorkloadDemand>,
  workload: Workload,
  random: () => number,
): Promise<{ readonly images: number; readonly imagesOpened: number }> {
  const opened = some(images.different, OPENED_MAX, random);
  for (const [index, image] of opened.entries()) await checkImage(image, workload, depthOf(index));
  return { images: opened.reduce((sum, { moments }) => sum + moments.length, 0), imagesOpened: opened.length };
}

/** Runs workloads of these kinds in turn. @throws what is wrong, with the seed */
export async function forEachWorkload(
  kinds: readonly WorkloadKind[],

  count: number,
  work: (one: Taken, random: () => number) => Promise<void>,
): Promise<void> {
  const seed = seedOfThisRun();
  const random = randomOf(seed);
  for (let index = 0; index < count; index += 1) {
    const kind = kinds[index % kinds.length] ?? 'kv';
    const hasLinks = random() >= WITHOUT_LINKS;
    try {
      await work(await taken(kind, Math.floor(random() * 2 ** 31), hasLinks), random);
    } catch (error) {
      throw new Error(`ALLUVIUM_SEED=${seed}, workload ${index} (${kind}): ${String(error)}`, { cause: error });
    }
  }
}
