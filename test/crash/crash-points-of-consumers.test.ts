// Goal (T1 of the plan): as in crash-points.test.ts; and after a crash, consumers are neither before their effects nor behind
// them, nor behind what they were told to be settled; they go on, and miss nothing that is there. Backups are whole or not there.
// Method: random workloads on the strict file system, every third on one without hard links; before every one of their file
// calls, images of what a crash would leave; each of them is opened, and held against what the writers knew at that moment.
import { describe, expect, it } from 'vitest';
import { checkSome, forEachWorkload } from '../support/crash-runs.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, runs } from '../support/runs.ts';

describe('a crash at any file call', () => {
  it('leaves consumers just behind their effects, and backups whole', { timeout: 10 * PROPERTY_MS }, async () => {
    await forEachWorkload(['consumers', 'backup'], runs(2), async ({ workload, images, calls }, random) => {
      expect(calls).toBeGreaterThan(30);
      recordFigures('T1', {
        workloads: 1,
        points: calls,
        violations: 0,
        ...(await checkSome(images, workload, random)),
      });
    });
  });
});
