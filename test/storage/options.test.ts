// Goal: no wrong option gets into the engine: each has its range, its type, and its default.
import { describe, expect, it } from 'vitest';
import { checkOptions, type EngineOptions, type GivenOptions } from '../../src/storage/options.ts';
import { open, openInMemory } from '../../src/index.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** Lowest, highest and default of each number. */
const NUMBERS: readonly (readonly [keyof EngineOptions, min: number, max: number, fallback: number])[] = [
  ['syncIntervalMs', 1, 60_000, 100],
  ['memtableBytesMax', KIB, GIB, 16 * MIB],
  ['waitingMemtablesMax', 1, 16, 2],
  ['blockCacheBytesMax', 0, 1024 * GIB, 32 * MIB],
  ['blockBytesMax', 1, 4 * MIB, 4096],
  ['blockRestartInterval', 1, 1024, 16],
  ['tableBytesMax', KIB, GIB, 4 * MIB],
  ['openTablesMax', 4, 65_536, 1000],
  ['tableCacheBytesMax', 0, 1024 * GIB, 64 * MIB],
  ['filterBitsPerKey', 0, 32, 10],
  ['level0CompactionTrigger', 1, 1000, 4],
  ['level0SlowdownTrigger', 1, 1000, 8],
  ['level0StopTrigger', 4, 1000, 20],
  ['level1BytesMax', KIB, 1024 * GIB, 64 * MIB],
  ['manifestBytesMax', KIB, GIB, 4 * MIB],
  ['waitingWritesMax', 1, 2 ** 24, 65_536],
  ['waitingWriteBytesMax', 1, GIB, 64 * MIB],
  ['groupBytesMax', 1, 64 * MIB, MIB],
];
const CHOICES: readonly (readonly [keyof EngineOptions, readonly string[]])[] = [
  ['durability', ['synced', 'buffered']],
  ['compression', ['snappy', 'none']],
  ['onOverflow', ['wait', 'fail', 'dropOldest', 'dropNewest']],
  ['worker', ['auto', 'off']],
];
const FLAGS: readonly (readonly [keyof EngineOptions, boolean])[] = [
  ['createIfMissing', true],
  ['errorIfExists', false],
  ['readOnly', false],
  ['salvage', false],
];

/** One option, of any type: as a plain-JavaScript caller gives it. */
const check = (name: string, value: unknown): EngineOptions => checkOptions({ [name]: value } satisfies GivenOptions);

describe('an option', () => {
  it('is listed here, whichever there is', () => {
    const listed: string[] = [...NUMBERS, ...CHOICES, ...FLAGS].map(([name]) => name);
    listed.push('historyBytesMax', 'historyAgeMsMax', 'historyHardBytesMax'); // below: they depend on each other
    expect(Object.keys(checkOptions()).sort()).toEqual(listed.sort());
  });

  it.each(NUMBERS)('%s is a whole number from %d to %d, by default %d', (name, min, max, fallback) => {
    expect(checkOptions()[name]).toBe(fallback);
    expect(check(name, undefined)[name]).toBe(fallback);
    expect(check(name, min)[name]).toBe(min);
    // The only bound that depends on another one is that of the stop trigger.
    const others = name === 'level0CompactionTrigger' ? { level0StopTrigger: max } : {};
    expect(checkOptions({ ...others, [name]: max })[name]).toBe(max);
    for (const wrong of [min - 1, max + 1, -1, min + 0.5, NaN, Infinity, -Infinity, 2 ** 53]) {
      const error = { code: 'OUT_OF_RANGE', argument: name };
      expect(() => check(name, wrong), typeof wrong).toThrow(expect.objectContaining(error));
    }
    for (const wrong of [null, '5', 5n, true, [], {}]) {
      const error = { code: 'INVALID_ARGUMENT', argument: name };
      expect(() => check(name, wrong), typeof wrong).toThrow(expect.objectContaining(error));
    }
  });

  it.each(CHOICES)('%s is one of %j, by default the first', (name, choices) => {
    expect(checkOptions()[name]).toBe(choices[0]);
    expect(check(name, undefined)[name]).toBe(choices[0]);
    for (const choice of choices) expect(check(name, choice)[name]).toBe(choice);
    for (const wrong of [
      '',
      'SYNCED',
      choices[0]?.toUpperCase(),
      `${choices[0] ?? ''} `,
      'zstd',
      0,
      null,
      true,
      [choices[0]],
    ]) {
      const error = { code: 'INVALID_ARGUMENT', argument: name };
      expect(() => check(name, wrong), typeof wrong).toThrow(expect.objectContaining(error));
    }
  });

  it.each(FLAGS)('%s is true or false, by default %s', (name, fallback) => {
    expect(checkOptions()[name]).toBe(fallback);
    expect(check(name, undefined)[name]).toBe(fallback);
    expect(check(name, !fallback)[name]).toBe(!fallback);
    for (const wrong of [0, 1, 'true', null, {}]) {
      const error = { code: 'INVALID_ARGUMENT', argument: name };
      expect(() => check(name, wrong), typeof wrong).toThrow(expect.objectContaining(error));
    }
  });

  it('that the others contradict is refused, or follows them', () => {
    expect(checkOptions({ memtableBytesMax: 2048 }).level1BytesMax).toBe(4 * 2048);
    // Writes that stop before a compaction begins would never go on.
    expect(checkOptions({ level0CompactionTrigger: 50 }).level0StopTrigger).toBe(50);
    expect(() => checkOptions({ level0CompactionTrigger: 50, level0StopTrigger: 49 })).toThrow(RangeError);
    expect(() => checkOptions({ level0StopTrigger: 3 })).toThrow(RangeError);
    expect(checkOptions({ level0CompactionTrigger: 1, level0StopTrigger: 2 }).level0StopTrigger).toBe(2);
  });

  it('of history has its bounds, and the hard limit is never below the soft one', () => {
    const { historyBytesMax, historyAgeMsMax, historyHardBytesMax } = checkOptions();
    expect({ historyBytesMax, historyAgeMsMax, historyHardBytesMax }).toEqual({
      historyBytesMax: 256 * 2 ** 20,
      historyAgeMsMax: Infinity,
      historyHardBytesMax: 4 * 2 ** 30,
    });
    expect(checkOptions({ historyBytesMax: 5 * 2 ** 30 }).historyHardBytesMax).toBe(5 * 2 ** 30);
    expect(checkOptions({ historyAgeMsMax: 1000 }).historyAgeMsMax).toBe(1000);
    expect(() => checkOptions({ historyAgeMsMax: 999 })).toThrow(RangeError);
    expect(() => checkOptions({ historyBytesMax: -1 })).toThrow(RangeError);
    expect(() => checkOptions({ historyBytesMax: 100, historyHardBytesMax: 99 })).toThrow(RangeError);
  });

  it('that is wrong throws at the call of open, before anything is done', () => {
    expect(() => open('/nowhere', { memtableBytesMax: 5 })).toThrow(RangeError);
    expect(() => openInMemory({ syncIntervalMs: 0 })).toThrow(RangeError);
    expect(() => open('')).toThrow(TypeError);
  });
});

describe('the smallest options', () => {
  it('make a store that takes writes without end', async () => {
    const smallest = Object.fromEntries(NUMBERS.map(([name, min]) => [name, min]));
    const store = await openInMemory({ ...smallest, level0StopTrigger: 2 });
    const wanted = Array.from({ length: 60 }, (_, index) => `key ${index}`);
    for (const key of wanted) await store.set(key, key.repeat(20));
    const values = await store.getMany(wanted);
    expect(values.map((value) => Buffer.from(value ?? '').toString())).toEqual(wanted.map((key) => key.repeat(20)));
    await store.close();
  });
});
