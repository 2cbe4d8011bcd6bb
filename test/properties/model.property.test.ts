// Goal: whatever is asked of it and however it is set up, a store answers as a Map would, and its change stream says what
// was committed, in order, whole batches only.
// Method: random commands over few keys, on a store with absurd options and on the model; both histories must be equal.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordFigures } from '../support/figures.ts';
import { namedOptions, randomOptions, TINY } from '../support/option-sets.ts';
import { PROPERTY_MS, runsOf } from '../support/runs.ts';
import { commands, modelHistory, storeHistory } from '../support/store-commands.ts';

describe('a store under random commands', () => {
  it('answers as a Map does, with any of the absurd options', { timeout: PROPERTY_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(commands(80), namedOptions, async (list, options) => {
        expect(await storeHistory(list, options)).toEqual(modelHistory(list));
        recordFigures('T9', { runs: 1, commands: list.length, violations: 0 });
      }),
      runsOf(250),
    );
  });

  it('answers as a Map does, with any mix of them', { timeout: PROPERTY_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(commands(60), randomOptions, async (list, options) => {
        expect(await storeHistory(list, options)).toEqual(modelHistory(list));
        recordFigures('T9', { runs: 1, commands: list.length, violations: 0 });
      }),
      runsOf(150),
    );
  });

  it('answers as a Map does in long histories of a tiny tree', { timeout: PROPERTY_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(commands(400), async (list) => {
        expect(await storeHistory(list, TINY)).toEqual(modelHistory(list));
        recordFigures('T9', { runs: 1, commands: list.length, violations: 0 });
      }),
      runsOf(25),
    );
  });
});
