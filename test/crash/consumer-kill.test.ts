// Goal: whoever handles changes can be killed at any moment, again and again. What a consumer writes through `tx` happens
// exactly once, and so the sums it keeps are the sums of the events; a subscriber that keeps its cursor with its output
// goes on without a gap and without a repeat; and no event that was acknowledged is ever lost.
// Method: processes on one directory that produce events and handle them, each killed by SIGKILL: in the middle of its work,
// of opening, or of closing. The last one handles what is left. Each batch of events leaves a mark in the store, which tells
// of its content and, by its sequence number, of its place; so everything is compared with what the store itself has.
// Not seen here: what only a power cut takes away, because what a killed process wrote is in the system's cache
// (`properties/changes-kill.property.test.ts` has that).
// `npm test` kills a few of each kind. A hundred of each, with what became of them, after `npm run build`:
//
//     ALLUVIUM_RUNS_FACTOR=25 ALLUVIUM_REPORT=1 npx vitest run test/crash/consumer-kill.test.ts
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { open, type Store } from '../../src/index.ts';
import { EventProcesses, type Told } from '../support/event-process.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const CONSUMERS = ['one-checked', 'one-unchecked', 'one-marking', 'shared', 'batch-checked', 'batch-unchecked'];
const EVENTS = { gte: 'event!', lt: 'event"' };
/** Kills of each kind of process in `npm test`. */
const KILLS = 4;
const newDirectory = temporaryDirectories();

interface EventOfStore {
  readonly text: string;
  readonly amount: number;
}

/** The events of the store, by sequence number, ascending, as the marks tell; and what is wrong with those. */
async function eventsOf(store: Store, { acknowledged, begun, last }: Told): Promise<Map<number, EventOfStore>> {
  const found: [number, EventOfStore][] = [];
  const missing = new Map(acknowledged);
  for await (const { key, value } of store.scan('mark!', 'mark"')) {
    const batch = Number(textOf(key).slice('mark!'.length));
    expect(begun.has(batch), `batch ${batch} was never begun`).toBe(true);
    const entry = await store.entry(key);
    const sequence = entry?.sequence ?? NaN;
    if (missing.has(batch)) expect(sequence, `place of batch ${batch}`).toBe(missing.get(batch));
    missing.delete(batch);
    const marks = JSON.parse(textOf(value)) as readonly string[];
    for (const [line, text] of marks.entries()) {
      found.push([sequence - marks.length + line, { text, amount: Number(text.split(' ')[1]) }]);
    }
  }
  expect([...missing], 'batches that were acknowledged, and are lost').toEqual([]);
  if (last !== undefined) found.push([last, { text: 'set 1', amount: 1 }]);
  return new Map(found.sort(([a], [b]) => a - b));
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const sumOf = (events: Iterable<EventOfStore>): number => [...events].reduce((sum, { amount }) => sum + amount, 0);

/** What history still has of the events: the newest of them, whole, in order. @returns how many it has no more */
async function checkHistory(store: Store, events: ReadonlyMap<number, EventOfStore>): Promise<number> {
  const sequences: number[] = [];
  const end = await store.set(EVENTS.lt, 'the end of what is looked at');
  for await (const { sequence, type } of store.changes({ gte: EVENTS.gte, lte: EVENTS.lt, from: 'start' })) {
    if (sequence === end.sequence) break;
    expect(events.get(sequence)?.text.split(' ')[0], `change ${sequence} of history`).toBe(type);
    sequences.push(sequence);
  }
  const gone = events.size - sequences.length;
  expect(sequences).toEqual([...events.keys()].slice(gone));
  return gone;
}

/** What was delivered was durable, so it is there; and nothing else was. */
function checkDeliveries({ delivered }: Told, events: ReadonlyMap<number, EventOfStore>): void {
  const wrong = [...delivered].filter(([sequence, text]) => events.get(sequence)?.text !== text);
  expect(wrong.slice(0, 5), 'delivered, and not in the store').toEqual([]);
}

async function checkConsumer(store: Store, name: string, events: ReadonlyMap<number, EventOfStore>): Promise<void> {
  const counts = new Map<number, string>();
  const sums: Record<string, number> = { sum: 0, amount: 0, total: 0 };
  for await (const { key, value } of store.scan(`out!${name}!`, `out!${name}"`)) {
    const [, , kind = '', of] = textOf(key).split('!');
    if (kind === 'count') counts.set(Number(of), textOf(value));
    else sums[kind] = (sums[kind] ?? 0) + Number(textOf(value));
  }
  const missed = [...events.keys()].filter((sequence) => !counts.has(sequence));
  expect(missed.slice(0, 5), `${name}: events without their effects`).toEqual([]);
  const wrong = [...counts].filter(([sequence, count]) => count !== '1' || !events.has(sequence));
  expect(wrong.slice(0, 5), `${name}: effects that did not happen exactly once`).toEqual([]);
  const expected = sumOf(events.values());
  expect(name === 'one-marking' ? sums['amount'] : sums['sum'], `${name}: sum`).toBe(expected);
  const hasTotal = ['one-checked', 'batch-checked', 'batch-unchecked'].includes(name);
  expect(sums['total'], `${name}: total`).toBe(hasTotal ? expected : 0);

  const desk = store.consumer(name, { ...EVENTS, handle: () => undefined });
  const position = await desk.position();
  expect(position?.sequence, `${name}: position`).toBeGreaterThanOrEqual([...events.keys()].at(-1) ?? NaN);
  expect(position?.settledBeyond, `${name}: settled beyond`).toBe(0);
  expect((await desk.lag()).changes, `${name}: lag`).toBe(0);
  for await (const letter of desk.deadLetters()) expect.unreachable(`${name}: dead letter ${letter.id}`);
}

/** Runs and kills; then the last run, and what is in the store after it. */
async function killed(
  script: string,
  given: object,
  check: (store: Store, told: Told, events: ReadonlyMap<number, EventOfStore>) => Promise<void>,
): Promise<void> {
  const seed = seedOfThisRun();
  const directory = mkdtempSync(join(newDirectory(), 'store-'));
  const processes = new EventProcesses({ script, directory, random: randomOf(seed), given });
  const { told, counts } = processes;
  let store: Store | undefined;
  try {
    // Those that have closed in time, and one that was killed only while it opened, leave nothing to make good.
    const isEnough = (): boolean => counts.opening + counts.working >= runs(KILLS) && counts.working > 0;
    while (!isEnough() && told.failures.length === 0) await processes.runAndKill();
    if (told.failures.length === 0) await processes.drain();
    expect(told.failures.slice(0, 5)).toEqual([]);
    store = await open(directory);
    const events = await eventsOf(store, told);
    checkDeliveries(told, events);
    const gone = await checkHistory(store, events);
    await check(store, told, events);
    const { opening, working } = counts;
    recordFigures('T4', {
      kills: opening + working,
      events: events.size,
      batches: told.acknowledged.size,
      violations: 0,
    });
    if (process.env['ALLUVIUM_REPORT'] !== undefined) {
      console.log(script, given, { seed, ...counts, gone, events: events.size, batches: told.acknowledged.size });
      console.log(Object.fromEntries(told.deliveries), { begun: told.begun.size, overtaken: told.overtaken });
    }
  } catch (error) {
    const failures = told.failures.slice(0, 5).join('\n');
    throw new Error(`ALLUVIUM_SEED=${seed}: ${String(error)}\n${failures}`, { cause: error });
  } finally {
    await store?.close();
    rmSync(directory, { recursive: true, force: true }); // of a long run it takes longer than a hook may
  }
}

describe('a process that is killed again and again', () => {
  it('the effects of consumers happen exactly once', { timeout: 4 * PROPERTY_MS }, async () => {
    await killed('consume.mjs', {}, async (store, told, events) => {
      for (const name of CONSUMERS) await checkConsumer(store, name, events);
      const names: string[] = [];
      for await (const { name } of store.consumers()) names.push(name);
      expect(names).toEqual([...CONSUMERS].sort());
      // Had no delivery come again, or none after a kill, this would have tested nothing.
      expect(Math.max(...told.deliveries.values())).toBeGreaterThan(events.size);
    });
  });

  it('a subscriber that keeps its cursor with its output', { timeout: 4 * PROPERTY_MS }, async () => {
    const outside = newDirectory();
    await killed('follow.mjs', { outside }, async (store, _told, events) => {
      for (const name of ['synced', 'buffered', 'pushed']) {
        const output = JSON.parse(readFileSync(join(outside, `${name}.json`), 'utf8')) as Record<string, unknown>;
        let hash = 0;
        for (const [sequence, { amount }] of events) {
          hash = (Math.imul(hash ^ (sequence % 2 ** 32), 0x01000193) + amount) >>> 0;
        }
        const sequence = [...events.keys()].at(-1);
        expect(output, name).toMatchObject({ sequence, count: events.size, sum: sumOf(events.values()), hash });
      }
      await checkMirror(store, outside);
    });
  });

  it('a mirror of a range, overtaken by retention now and then', { timeout: 4 * PROPERTY_MS }, async () => {
    const outside = newDirectory();
    const given = { outside, isHistoryShort: true };
    await killed('follow.mjs', given, (store) => checkMirror(store, outside));
  });
});

async function checkMirror(store: Store, outside: string): Promise<void> {
  const { entries } = JSON.parse(readFileSync(join(outside, 'mirror.json'), 'utf8')) as {
    entries: readonly (readonly [string, string])[];
  };
  const expected: [string, string][] = [];
  for await (const { key, value } of store.scan(EVENTS)) expected.push([textOf(key), textOf(value)]);
  expect([...entries].sort(([a], [b]) => (a < b ? -1 : 1))).toEqual(expected);
}
