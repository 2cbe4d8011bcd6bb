// Goal: history outlives another program. Real LevelDB opens the directory, writes, compacts, closes or is killed; and we
// open it again: every change since our cursor is there, in order, once; or the loss is told and the cursor says so. Never
// silence.
// Method: known writes of either engine, and after them the changes from the last cursor, compared one by one. What LevelDB
// has written in one record is one batch; what only its tables have belongs to no batch that anybody knows.
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Change, type ChangesFrom, type Cursor, EngineError, open, type OpenOptions } from '../../src/index.ts';
import { changesUpTo } from '../support/change-log.ts';
import { type EngineKind, EngineProcesses } from '../support/engine-process.ts';
import { historyOf, type Step } from '../support/history.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { bytesOf, textOf } from '../support/sorted-model.ts';

const engines = new EngineProcesses();
let workspace = '';
let directories = 0;
let looks = 0;
const newDirectory = (): string => join(workspace, `db ${(directories += 1)}`);

beforeAll(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'alluvium-contract-'));
});
afterAll(async () => {
  await engines.end();
  await rm(workspace, { recursive: true, force: true });
});

/** Written by us at the end of each look: up to it, changes are read. */
const MARKER = 'our marker';

const setOf = (...keys: readonly string[]): Step => ({
  type: 'write',
  operations: keys.map((key) => ({ type: 'set', key: bytesOf(key), value: bytesOf(`value of ${key}`) })),
  isSynced: false,
});

/** One operation, as it should come back. */
interface Line {
  readonly operation: string;
  readonly place: string;
}

function linesOf(steps: readonly Step[]): Line[] {
  return steps.flatMap((step) => {
    if (step.type !== 'write') return [];
    const { operations } = step;
    return operations.map((operation, index) => {
      const value = operation.type === 'set' ? textOf(operation.value) : '';
      const line = `${operation.type} ${textOf(operation.key)} ${value}`;
      return { operation: line, place: `${index} of ${operations.length}` };
    });
  });
}

/** In words, where the changes are not those of the steps; `undefined`: nowhere. */
function differenceOf(lines: readonly Line[], changes: readonly Change[]): string | undefined {
  for (let index = 0; index < Math.max(lines.length, changes.length); index += 1) {
    const [line, change] = [lines[index], changes[index]];
    if (line === undefined || change === undefined) return `${changes.length} changes, and not ${lines.length}`;
    const value = change.type === 'set' ? textOf(change.value) : '';
    const operation = `${change.type} ${textOf(change.key)} ${value}`;
    if (operation !== line.operation)
      return `change ${index} is ${operation.slice(0, 80)}: not ${line.operation.slice(0, 80)}`;
    const place = `${change.batchIndex} of ${change.batchSize}`;
    if (change.batchSize !== 0 && place !== line.place) return `change ${index} is ${place}: not ${line.place}`;
    if (change.sequence <= (changes[index - 1]?.sequence ?? 0)) return `change ${index} has number ${change.sequence}`;
  }
  return undefined;
}

interface Look {
  /** From the place asked for; or why there are none. */
  readonly changes: readonly Change[] | EngineError;
  readonly all: readonly Change[];
  readonly content: ReadonlyMap<string, string>;
  /** Behind all that there is. */
  readonly cursor: Cursor;
  readonly isLossTold: boolean;
}

/** What a store has from a place on, up to its end; numbers and cursors of what another epoch gave are none of it. */
async function changesThereAre(directory: string, from: ChangesFrom, readOnly: boolean): Promise<readonly unknown[]> {
  const store = await open(directory, { readOnly, salvage: true });
  try {
    const lines: unknown[] = [];
    for await (const change of store.changes({ from: from as 'start', until: 'now' })) {
      const { type, key, sequence, batchIndex, batchSize } = change;
      const value = change.type === 'set' ? textOf(change.value) : undefined;
      lines.push([type, textOf(key), value, sequence, batchIndex, batchSize]);
    }
    return lines;
  } catch (error) {
    if (error instanceof EngineError) return [error.code, error.message];
    throw error;
  } finally {
    await store.close();
  }
}

/** Opens the directory as ours, and reads everything; who opens it for reading only sees the same (in every third look). */
async function look(directory: string, from: ChangesFrom, options: OpenOptions = {}): Promise<Look> {
  looks += 1;
  if (looks % 3 === 0 && existsSync(join(directory, 'CURRENT'))) {
    const read = await changesThereAre(directory, from, true);
    const copy = newDirectory();
    await cp(directory, copy, { recursive: true });
    expect(read).toEqual(await changesThereAre(copy, from, false));
  }
  const events: string[] = [];
  const store = await open(directory, { ...options, onEvent: ({ type }) => void events.push(type) });
  try {
    const isNoMarker = ({ key }: { readonly key: Uint8Array }): boolean => textOf(key) !== MARKER;
    const content = new Map<string, string>();
    for await (const { key, value } of store.scan()) {
      if (isNoMarker({ key })) content.set(textOf(key), textOf(value));
    }
    const { sequence } = await store.set(MARKER, '');
    const changes = await changesUpTo(store, from, sequence).catch((error: unknown) => {
      if (error instanceof EngineError) return error;
      throw error;
    });
    const [marker] = await changesUpTo(store, sequence, sequence);
    if (marker === undefined) throw new Error('the last change is not there');
    return {
      changes: changes instanceof EngineError ? changes : changes.filter(isNoMarker),
      all: (await changesUpTo(store, 'start', sequence)).filter(isNoMarker),
      content,
      cursor: marker.cursor,
      isLossTold: events.includes('historyLost'),
    };
  } finally {
    await store.close();
  }
}

const leveldb = (directory: string, steps: readonly Step[], options: object = {}): Promise<void> =>
  engines.run('leveldb', directory, options, steps, 1);

/** Every change of the steps since the cursor, and no loss. */
async function expectAll(directory: string, from: ChangesFrom, steps: readonly Step[]): Promise<Look> {
  const seen = await look(directory, from);
  if (seen.changes instanceof EngineError) throw seen.changes;
  expect(differenceOf(linesOf(steps), seen.changes)).toBeUndefined();
  expect(seen.isLossTold).toBe(false);
  return seen;
}

const OURS = [setOf('a'), setOf('b', 'c'), setOf('a', 'd')];
const THEIRS = [setOf('e', 'f', 'a'), setOf('g'), setOf('a', 'h')];

async function withOurs(): Promise<{ readonly directory: string; readonly cursor: Cursor }> {
  const directory = newDirectory();
  await engines.run('alluvium', directory, {}, OURS, 1);
  const { cursor } = await expectAll(directory, 'start', OURS);
  return { directory, cursor };
}

describe('after LevelDB has written', () => {
  it('history has what is in its log, batch by batch, closed or killed', { timeout: PROPERTY_MS }, async () => {
    for (const isKilled of [false, true]) {
      const { directory, cursor } = await withOurs();
      if (isKilled) await engines.runAndKill('leveldb', directory, {}, THEIRS, 1, THEIRS.length - 1);
      else await leveldb(directory, THEIRS);
      const seen = await expectAll(directory, cursor, THEIRS);
      if (seen.changes instanceof EngineError) throw seen.changes;
      expect(seen.changes.map(({ batchSize }) => batchSize)).toEqual([3, 3, 3, 1, 2, 2]);
      expect(differenceOf(linesOf([...OURS, ...THEIRS]), seen.all)).toBeUndefined();
    }
  });

  it('history has what it has moved to tables, if that was not merged', { timeout: PROPERTY_MS }, async () => {
    const { directory, cursor } = await withOurs();
    await leveldb(directory, THEIRS);
    await leveldb(directory, [setOf('i')]); // its open has made a table of the log
    const seen = await expectAll(directory, cursor, [...THEIRS, setOf('i')]);
    if (seen.changes instanceof EngineError) throw seen.changes;
    expect(seen.changes.map(({ batchSize }) => batchSize)).toEqual([0, 0, 0, 0, 0, 0, 1]);
    // And it stays so.
    await expectAll(directory, cursor, [...THEIRS, setOf('i')]);
  });

  it(
    'the loss is told, and to the cursor, when it has merged away what was between',
    { timeout: PROPERTY_MS },
    async () => {
      const { directory, cursor } = await withOurs();
      await leveldb(directory, [...THEIRS, ...THEIRS]);
      await leveldb(directory, [{ type: 'compact', start: undefined, end: undefined }]);
      await leveldb(directory, [setOf('z')]);
      const seen = await look(directory, cursor);
      expect(seen.isLossTold).toBe(true);
      expect(seen.changes).toMatchObject({ code: 'HISTORY_GONE' });
      expect(differenceOf(linesOf([setOf('z')]), seen.all)).toBeUndefined();
      expect([...seen.content.keys()].join('')).toBe('abcdefghz');
      await leveldb(directory, [setOf('y')]);
      await expectAll(directory, seen.cursor, [setOf('y')]); // a cursor of after it leads on
      expect((await look(directory, cursor)).changes).toMatchObject({ code: 'HISTORY_GONE' });
    },
  );

  it('history has what it has replayed of ours, after we were killed', { timeout: PROPERTY_MS }, async () => {
    const { directory, cursor } = await withOurs();
    const killed = [setOf('k', 'l'), setOf('m'), setOf('k')];
    await engines.runAndKill('alluvium', directory, {}, killed, 1, killed.length - 1);
    await leveldb(directory, THEIRS);
    await expectAll(directory, cursor, [...killed, ...THEIRS]);
  });

  it('nothing has changed when it has only looked', { timeout: PROPERTY_MS }, async () => {
    const { directory, cursor } = await withOurs();
    await leveldb(directory, []);
    await leveldb(directory, []);
    await expectAll(directory, cursor, []);
    await expectAll(directory, 'start', OURS);
  });

  it('a database that only it had has history from its log on', { timeout: PROPERTY_MS }, async () => {
    const directory = newDirectory();
    await leveldb(directory, OURS);
    await leveldb(directory, THEIRS);
    const { cursor } = await expectAll(directory, 'start', THEIRS);
    await leveldb(directory, [setOf('x')]);
    await expectAll(directory, cursor, [setOf('x')]);
  });
});

describe('a directory that is not the same database any more', () => {
  it('has another identity after it was destroyed and made anew, by either', { timeout: PROPERTY_MS }, async () => {
    for (const kind of ['alluvium', 'leveldb'] as const) {
      const { directory, cursor } = await withOurs();
      await ClassicLevel.destroy(directory);
      await engines.run(kind, directory, {}, THEIRS, 1);
      const seen = await look(directory, cursor);
      expect(seen.changes).toMatchObject({ code: 'INVALID_CURSOR', fault: 'otherDatabase' });
      expect(differenceOf(linesOf(THEIRS), seen.all)).toBeUndefined();
    }
  });

  it('has another identity after LevelDB has repaired it, and all its entries', { timeout: PROPERTY_MS }, async () => {
    const { directory, cursor } = await withOurs();
    await ClassicLevel.repair(directory);
    const seen = await look(directory, cursor);
    expect(seen.changes).toMatchObject({ code: 'INVALID_CURSOR', fault: 'otherDatabase' });
    expect(seen.all).toEqual([]);
    expect([...seen.content.keys()].join('')).toBe('abcd');
    await engines.run('alluvium', directory, {}, THEIRS, 1);
    await expectAll(directory, seen.cursor, THEIRS);
  });

  it(
    'is the same one as a copy, of a closed one and of one whose process was killed',
    { timeout: PROPERTY_MS },
    async () => {
      const { directory, cursor } = await withOurs();
      await engines.runAndKill('alluvium', directory, {}, THEIRS, 1, THEIRS.length - 1);
      const copy = newDirectory();
      await cp(directory, copy, { recursive: true });
      const { cursor: next } = await expectAll(copy, cursor, THEIRS);
      const again = newDirectory();
      await cp(copy, again, { recursive: true });
      for (const one of [again, copy]) {
        await engines.run('alluvium', one, {}, [setOf(one)], 1);
        await expectAll(one, next, [setOf(one)]);
        await expectAll(one, 'start', [...OURS, ...THEIRS, setOf(one)]);
      }
      await expectAll(directory, cursor, THEIRS);
    },
  );
});

const KIB = 1024;
const OUR_OPTIONS: readonly OpenOptions[] = [{}, { memtableBytesMax: 8 * KIB, level0CompactionTrigger: 2 }];
const THEIR_OPTIONS = [{}, {}, { writeBufferSize: 64 * KIB }];

it(
  'in turns, closed and killed: every change since the last cursor, or a word of what is lost',
  { timeout: 2 * PROPERTY_MS },
  async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const oneOf = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const directory = newDirectory();
    let { cursor } = await look(directory, 'start');
    let content = new Map<string, string>();
    const outcomes = { carried: 0, lost: 0 };
    for (let round = 0; round < runs(8); round += 1) {
      /** By turn, what may have been written: of a killed one, a beginning of it. */
      let expected: Line[] = [];
      let hasOurTurn = false;
      let where = `seed ${seed}, round ${round}:`;
      for (let turn = 0; turn < 1 + Math.floor(random() * 3); turn += 1) {
        const kind: EngineKind = random() < 0.5 ? 'alluvium' : 'leveldb';
        const options = oneOf<object>(kind === 'alluvium' ? OUR_OPTIONS : THEIR_OPTIONS);
        const steps = historyOf(random, { steps: 5 + Math.floor(random() * 60), keys: 400, largeValues: 0 });
        const inFlightMax = kind === 'alluvium' ? 16 : 1;
        const isKilled = random() < 0.4;
        hasOurTurn ||= kind === 'alluvium';
        where += ` ${kind}${isKilled ? ', killed' : ''} with ${JSON.stringify(options)};`;
        if (!isKilled) {
          await engines.run(kind, directory, options, steps, inFlightMax);
          expected.push(...linesOf(steps));
          continue;
        }
        const killAfter = Math.floor(random() * steps.length);
        const acknowledged = await engines.runAndKill(kind, directory, options, steps, inFlightMax, killAfter);
        const seen = await look(directory, cursor);
        const done = seen.changes instanceof EngineError ? [] : seen.changes.slice(expected.length);
        let count = acknowledged + 1;
        while (linesOf(steps.slice(0, count)).length < done.length && count < steps.length) count += 1;
        expected.push(...linesOf(steps.slice(0, count)));
        check(seen, where);
      }
      check(await look(directory, cursor, oneOf(OUR_OPTIONS)), where);

      function check(seen: Look, what: string): void {
        ({ cursor } = seen);
        const { changes } = seen;
        if (changes instanceof EngineError) {
          // Who opens it first after the loss is told: that may have been our engine's own turn.
          if (!hasOurTurn) expect(seen.isLossTold, what).toBe(true);
          expect(changes.code, what).toBe('HISTORY_GONE');
          outcomes.lost += 1;
          content = new Map(seen.content);
        } else {
          expect(seen.isLossTold, what).toBe(false);
          expect(differenceOf(expected, changes), what).toBeUndefined();
          expect(seen.all.slice(seen.all.length - changes.length), what).toEqual(changes);
          for (const change of changes) {
            if (change.type === 'set') content.set(textOf(change.key), textOf(change.value));
            else content.delete(textOf(change.key));
          }
          expect(content, what).toEqual(seen.content);
          outcomes.carried += 1;
        }
        expected = [];
        hasOurTurn = false;
      }
    }
    expect(outcomes.carried).toBeGreaterThan(outcomes.lost);
  },
);
