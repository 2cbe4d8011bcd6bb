// Goal (T3 of the plan): whichever file call fails, once or for good, every operation gets an answer in time, errors are
// typed, reads are right, no handle, lock or rejection is left behind, a passing failure is got over, and after the next
// crash the database opens with everything that was acknowledged. History has what is there, and nothing else: also of a log
// that failed, and was written again.
// Method: a small workload on a file system that fails its N-th call, for every N, each time in another way; and two calls.
// A sync that fails loses what was unsynced, and the next one is called a success (support of the memory file system).
import { beforeAll, describe, expect, it } from 'vitest';
import type { FileOperation } from '../../src/storage/file-system/memory-faults.ts';
import type { FaultFileSystem, FaultPlan } from '../support/fault-file-system.ts';
import { round, watchRejections } from '../support/fault-round.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';

type FaultKind = Omit<FaultPlan, 'isHit'>;

const FAULTS: readonly FaultKind[] = [
  { code: 'EIO', arrives: 0 },
  { code: 'ENOSPC', arrives: 0.5 },
  { code: 'EMFILE', arrives: 0 },
  { code: 'EACCES', arrives: 0 },
  { code: 'EIO', arrives: 'all but one byte' },
  { code: 'ENOSPC', arrives: 'one byte' },
];
const SHORT_READS: readonly FaultKind[] = [
  { code: 'short', arrives: 0 },
  { code: 'short', arrives: 'one byte' },
  { code: 'short', arrives: 0.5 },
  { code: 'short', arrives: 'all but one byte' },
];

/** Calls, by what they are for. */
const KINDS = [
  ['create', '.ldb'],
  ['create', '.log'],
  ['create', 'MANIFEST'],
  ['sync', '.ldb'],
  ['sync', '.log'],
  ['sync', 'MANIFEST'],
  ['append', '.log'],
  ['append', '.ldb'],
  ['append', 'MANIFEST'],
  ['syncDirectory', ''],
  ['rename', ''],
  ['remove', ''],
  ['close', ''],
  ['read', ''],
  ['open', ''],
  ['list', ''],
  ['size', ''],
] as const;

watchRejections();

/** Fails call N, and, `forGood`, all calls after it. */
const fromCall =
  (fault: FaultKind, first: number, isForGood: boolean) =>
  (fileSystem: FaultFileSystem): FaultPlan => ({
    ...fault,
    isHit: () => (isForGood ? fileSystem.calls > first : fileSystem.calls === first + 1),
  });

/** Fails all calls of one kind from the N-th on. */
const kindFromCall =
  (fault: FaultKind, first: number, name: FileOperation['name'], part: string) =>
  (fileSystem: FaultFileSystem): FaultPlan => ({
    ...fault,
    isHit: (operation) => fileSystem.calls > first && operation.name === name && operation.path.includes(part),
  });

describe('a file call that fails', () => {
  const seed = seedOfThisRun();

  /** One of the faults and one of the calls for each number, evenly spread: each with each, when all numbers are asked for. */
  const pickOf = (faults: readonly FaultKind[], calls: number, index: number): readonly [FaultKind, number] => {
    const call = index % calls;
    return [faults[(Math.floor(index / calls) + call + seed) % faults.length] as FaultKind, call];
  };
  const note = ({ fileSystem }: { readonly fileSystem: FaultFileSystem }): number => {
    recordFigures('T3', { rounds: 1, faults: fileSystem.faults, violations: 0 });
    return fileSystem.faults;
  };
  let callsOfSound = 0;
  beforeAll(async () => {
    const sound = await round(
      'without a fault',
      seed,
      () => ({ ...(FAULTS[0] as FaultKind), isHit: () => false }),
      true,
    );
    callsOfSound = sound.fileSystem.calls;
  });

  it('once: is answered, got over, and loses nothing', { timeout: 10 * PROPERTY_MS }, async () => {
    const all = callsOfSound * FAULTS.length;
    const step = Math.max(1, (12 * FAULTS.length) / runs(1));
    let hits = 0;
    for (let at = seed % step; at < all; at += step) {
      const [fault, call] = pickOf(FAULTS, callsOfSound, Math.floor(at));
      const what = `ALLUVIUM_SEED=${seed}: ${fault.code} (${fault.arrives}) at call ${call}`;
      hits += note(await round(what, seed, fromCall(fault, call, false), true));
    }
    expect(hits).toBeGreaterThan(all / step / 2);
  });

  it('for good: ends in errors, not in silence, and loses nothing', { timeout: 10 * PROPERTY_MS }, async () => {
    const all = callsOfSound * FAULTS.length;
    const step = Math.max(1, (23 * FAULTS.length) / runs(1));
    for (let at = seed % step; at < all; at += step) {
      const [fault, call] = pickOf(FAULTS, callsOfSound, Math.floor(at));
      note(await round(`ALLUVIUM_SEED=${seed}: ${fault.code} from call ${call} on`, seed, fromCall(fault, call, true)));
    }
  });

  it('twice, the second perhaps in what mends the first: loses nothing', { timeout: 10 * PROPERTY_MS }, async () => {
    const random = randomOf(seed);
    const pick = (count: number): number => Math.floor(random() * count);
    for (let count = runs(12); count > 0; count -= 1) {
      const first = pick(callsOfSound);
      // Most of what follows from a failure comes soon after it.
      const second = first + 1 + (random() < 0.7 ? pick(12) : pick(callsOfSound));
      const fault = FAULTS[pick(FAULTS.length)] as FaultKind;
      const what = `ALLUVIUM_SEED=${seed}: ${fault.code} (${fault.arrives}) at calls ${first} and ${second}`;
      const isHit = (calls: number): boolean => calls === first + 1 || calls === second + 1;
      note(await round(what, seed, (fileSystem) => ({ ...fault, isHit: () => isHit(fileSystem.calls) }), true));
    }
  });

  it('a read that gives too few bytes: never a wrong answer', { timeout: 10 * PROPERTY_MS }, async () => {
    const all = callsOfSound * SHORT_READS.length;
    const step = Math.max(1, (40 * SHORT_READS.length) / runs(1));
    for (const isForGood of [false, true]) {
      for (let at = seed % step; at < all; at += step) {
        const [fault, call] = pickOf(SHORT_READS, callsOfSound, Math.floor(at));
        let hasHit = false;
        const plan = (fileSystem: FaultFileSystem): FaultPlan => ({
          ...fault,
          isHit: ({ name }) => {
            const isHit = name === 'read' && fileSystem.calls > call && (isForGood || !hasHit);
            hasHit ||= isHit;
            return isHit;
          },
        });
        const what = `ALLUVIUM_SEED=${seed}: reads of ${fault.arrives} from call ${call} on, for good: ${isForGood}`;
        note(await round(what, seed, plan, !isForGood));
      }
    }
  });

  it(
    'for good, of one kind: ends in errors, not in silence, and loses nothing',
    { timeout: 10 * PROPERTY_MS },
    async () => {
      for (const [index, [name, part]] of KINDS.entries()) {
        for (const first of [0, 60 + (seed % 60)]) {
          const fault = FAULTS[(index + seed) % FAULTS.length] as (typeof FAULTS)[number];
          const what = `ALLUVIUM_SEED=${seed}: ${fault.code} at each ${name} ${part} from call ${first} on`;
          note(await round(what, seed, kindFromCall(fault, first, name, part)));
        }
      }
    },
  );

  it('once, of each kind: is answered, got over, and loses nothing', { timeout: 10 * PROPERTY_MS }, async () => {
    for (const [index, [name, part]] of KINDS.entries()) {
      for (let count = runs(1); count > 0; count -= 1) {
        const fault = FAULTS[(index + count + seed) % FAULTS.length] as FaultKind;
        const first = ((seed % 997) * (count + 7)) % Math.floor(callsOfSound / 2);
        let hasHit = false;
        const plan = (fileSystem: FaultFileSystem): FaultPlan => {
          const all = kindFromCall(fault, first, name, part)(fileSystem);
          return { ...fault, isHit: (operation) => !hasHit && (hasHit = all.isHit(operation)) };
        };
        const what = `ALLUVIUM_SEED=${seed}: ${fault.code} at one ${name} ${part} after call ${first}`;
        note(await round(what, seed, plan, true));
      }
    }
  });
});
