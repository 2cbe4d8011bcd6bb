// Goal: whatever bytes a decoder is given, it decodes them or says no in its own words, within 50 ms and 16 MiB. Method: fuzzing
// that is guided by coverage, from encodings that are right; what was ever found stays below as a case.
import { describe, expect, it } from 'vitest';
import { fuzz } from './fuzz.ts'; // before the decoders: coverage-map.ts says why
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, runs, seedOfThisRun } from '../support/runs.ts';
import { judge } from './judge.ts';
import { CASES } from './cases.ts';
import { adapterTargets } from './targets-adapters.ts';
import { codecTargets } from './targets-codec.ts';
import { logTargets } from './targets-log.ts';
import { recordTargets } from './targets-records.ts';
import { tableTargets } from './targets-table.ts';

const EXECUTIONS = 100;
const targets = [...codecTargets, ...tableTargets, ...logTargets, ...recordTargets, ...adapterTargets];

describe.each(targets)('$name', (target) => {
  it('is decoded from its own encodings', async () => {
    for (const bytes of target.seeds()) await target.decode(bytes);
  });

  it(
    'is decoded or refused, whatever is given',
    async () => {
      const seed = seedOfThisRun();
      const { executions, covered, corpus, findings } = await fuzz(target, { seed, executions: runs(EXECUTIONS) });
      expect(findings, `ALLUVIUM_SEED=${seed}`).toEqual([]);
      expect(executions).toBeGreaterThanOrEqual(runs(EXECUTIONS));
      recordFigures('T13', { decoders: 1, inputs: executions, kept: corpus, charactersCovered: covered, findings: 0 });
    },
    PROPERTY_MS,
  );
});

it.each(CASES)('$target, once: $what', async ({ target: name, input }) => {
  const target = targets.find((each) => each.name === name);
  if (target === undefined) throw new Error(`there is no target ${name}`);
  expect(await judge(target, new Uint8Array(Buffer.from(input, 'hex')))).toBeUndefined();
});
