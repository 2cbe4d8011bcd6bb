// Goal (T1 of the plan): whenever the process is killed or the power fails, the next open finds every write that was
// acknowledged as durable, a prefix of all writes, batches whole, and no stray file. History has exactly the batches of these
// writes, but for what may be gone; no number is given out again; a cursor of before leads on, or says that what it stands behind
// was lost. What was not broken, neither `salvage` nor `repair` breaks; and `verify` finds nothing after a recovery.
// Method: random workloads on the strict file system, every third on one without hard links; before every one of their file
// calls, images of what a crash would leave; each of them is opened, and held against what the writers knew at that moment.
import { describe, expect, it } from 'vitest';
import { checkSome, forEachWorkload } from '../support/crash-runs.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, runs } from '../support/runs.ts';

describe('a crash at any file call', () => {
  it(
    'leaves a database that opens, with every durable write, in order, whole',
    { timeout: 10 * PROPERTY_MS },
    async () => {
      await forEachWorkload(['kv', 'retention'], runs(2), async ({ workload, images, calls }, random) => {
        expect(calls).toBeGreaterThan(30);
        recordFigures('T1', {
          workloads: 1,
          points: calls,
          violations: 0,
          ...(await checkSome(images, workload, random)),
        });
      });
    },
  );
});
