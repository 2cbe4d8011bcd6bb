// Goal (T2 of the plan): a crash in the recovery from a crash changes nothing: what was promised before the first one holds.
// Method: of crash images of random workloads some are opened, and before each file call of that, images are taken again.
import { describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { CRASH_MODES, type CrashImage, CrashImages, isChanging, openable } from '../support/crash-images.ts';
import { checkSome, forEachWorkload, some } from '../support/crash-runs.ts';
import { DIRECTORY, nameOf, type Workload, WORKLOAD_KINDS, type WorkloadDemand } from '../support/crash-workload.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, runs } from '../support/runs.ts';

/** Of the images of one workload, the most that are recovered from with another crash. */
const DEEP_MAX = runs(1) > 1 ? 40 : 1;

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

describe('a crash in the recovery from another one', () => {
  it('leaves the same', { timeout: 10 * PROPERTY_MS }, async () => {
    await forEachWorkload(WORKLOAD_KINDS, runs(4), async ({ workload, images }, random) => {
      for (const image of some(images.different, DEEP_MAX, random)) {
        const again = await crashInRecovery(image, workload, Math.floor(random() * 2 ** 31));
        expect(again.taken).toBeGreaterThan(50);
        recordFigures('T2', { recoveries: 1, violations: 0, ...(await checkSome(again, workload, random)) });
      }
    });
  });
});
