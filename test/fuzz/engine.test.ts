// Goal: the fuzzer itself finds what it is there to find. Method: decoders with a bug planted in them, each of a kind, behind
// conditions that chance alone does not meet; and one that has none.
import assert from 'node:assert/strict';
import { describe, expect, it } from 'vitest';
import { fuzz } from './fuzz.ts'; // before the decoders: coverage-map.ts says why
import { Malformed } from '../../src/storage/codec/malformed.ts';
import { codecTargets } from './targets-codec.ts';
import { planted } from './planted-decoders.ts';
import { PROPERTY_MS } from '../support/runs.ts';
import { oneOf } from './target.ts';

const settings = { seed: 7, executions: 30_000, findingsMax: 1, isGuided: true };

/** A batch of one set: all that the planted decoders are given to begin with. */
const seeds = (): Uint8Array[] => [Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0x6b, 1, 0x76)];
const targetOf = (decode: (bytes: Uint8Array) => unknown) => ({
  name: 'planted',
  seeds,
  bytesMax: 64,
  decode,
  isRefusal: oneOf(Malformed),
});

describe('a planted bug', () => {
  it('behind three conditions, one within the other, is found and shrunk', async () => {
    const { findings, executions } = await fuzz(targetOf(planted.deepCrash), settings);
    expect(findings).toMatchObject([{ kind: 'error' }]);
    expect(findings[0]?.detail).toContain('TypeError');
    expect(findings[0]?.input.length).toBeLessThanOrEqual(2 * 64);
    expect(executions).toBeLessThan(settings.executions);
    // The same seed makes the same inputs.
    expect((await fuzz(targetOf(planted.deepCrash), settings)).executions).toBe(executions);
  });

  it.each([
    ['an encoding that says something else', planted.wrongRoundTrip, 'error'],
    ['time that goes with the square of the length', planted.slow, 'time'],
    ['memory for a length that is believed', planted.lengthBomb, 'memory'],
  ])('%s is found', { timeout: 2 * PROPERTY_MS }, async (_what, decode, kind) => {
    expect((await fuzz(targetOf(decode), settings)).findings).toMatchObject([{ kind }]);
  });
});

it('finds nothing where nothing is wrong, and gets far beyond its seeds', async () => {
  const target = codecTargets.find(({ name }) => name === 'write batch');
  assert.ok(target !== undefined);
  const alone = await fuzz({ ...target, seeds }, { seed: 7, executions: 1, isGuided: true });
  const guided = await fuzz({ ...target, seeds }, { seed: 7, executions: 3_000, isGuided: true });
  expect(guided.findings).toEqual([]);
  expect(guided.corpus).toBeGreaterThan(3);
  expect(guided.covered).toBeGreaterThan(alone.covered);
});
