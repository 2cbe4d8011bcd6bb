// Goal (T4 of the plan): a process that writes can be killed at any moment, again and again, on one and the same database. What
// was acknowledged is there, buffered or synced; nothing is there without all before it; batches are whole; `verify` finds
// nothing.
// Method: processes that write numbered batches of shared keys, each killed by SIGKILL: in the middle of its work, of opening,
// or of closing. Each tells what it finds. Now and then the whole content is held against the batches it should be made of.
// `npm test` kills a few; `npm run test:trust -- --only T4` hundreds.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { open, verify } from '../../src/index.ts';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { contentAfter, markersOf } from './children/numbered-batches.mjs';

const WRITER = join(import.meta.dirname, 'children', 'write.mjs');
const KILLS = 4;
/** After every so many kills, all is looked at. */
const LOOK_EVERY = 8;
/** A process that says nothing for so long hangs. */
const SILENCE_MS_MAX = 180_000;
const newDirectory = temporaryDirectories();

/** What is known of one database. */
interface Known {
  readonly directory: string;
  readonly workload: string;
  readonly random: () => number;
  /** Batches that must be there: all up to the last one that was acknowledged, or was found. */
  surely: number;
  begun: number;
  kills: number;
}

/** One process, from its start to its end. */
async function writeAndKill(known: Known): Promise<void> {
  const { directory, workload, random } = known;
  const way = random();
  const killAt = way < 0.2 ? 'opening' : 'open';
  const closeAfterMs = way > 0.85 ? Math.floor(5 + random() * 200) : undefined;
  const afterMs =
    killAt === 'opening' ? random() * 60 : closeAfterMs === undefined ? random() * 300 : closeAfterMs + random() * 80;
  const settings = JSON.stringify({ seed: Math.floor(random() * 2 ** 31), workload, closeAfterMs });
  const child = spawn(process.execPath, [WRITER, directory, settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  let failure: string | undefined;
  const silent = setTimeout(() => {
    failure ??= `a process hangs after ${stage}`;
    child.kill('SIGKILL');
  }, SILENCE_MS_MAX);
  let stage = '';
  let kill: NodeJS.Timeout | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.endsWith(';')) continue; // cut short by the kill
    silent.refresh();
    const [word = '', index = ''] = line.slice(0, -1).split(' ');
    if (word === 'failed') failure ??= line;
    if (word === 'begun') known.begun = Math.max(known.begun, Number(index) + 1);
    if (word === 'acknowledged') known.surely = Math.max(known.surely, Number(index) + 1);
    if (['opening', 'open', 'closed'].includes(word)) stage = word;
    if (word === 'open') failure ??= recoveredViolation(known, Number(index));
    if (word === killAt) kill ??= setTimeout(() => child.kill('SIGKILL'), afterMs);
    if (failure !== undefined) child.kill('SIGKILL');
  }
  await ended;
  clearTimeout(silent);
  clearTimeout(kill);
  if (stage !== 'closed' && child.signalCode !== 'SIGKILL') failure ??= `a process ended by itself, after ${stage}`;
  if (stage !== 'closed') known.kills += 1;
  if (failure !== undefined) throw new Error(failure);
}

/** Of a batch that was begun and never acknowledged nobody knows; it was found, so from here on it is there. */
function recoveredViolation(known: Known, found: number): string | undefined {
  if (found < known.surely) return `${known.surely} batches were acknowledged, and ${found} are there`;
  if (found > known.begun) return `${known.begun} batches were begun, and ${found} are there`;
  known.surely = found;
  return undefined;
}

/** All of the content, and every byte of the files. */
async function look(known: Known): Promise<void> {
  const store = await open(known.directory);
  try {
    const markers = await markersOf(store);
    expect(markers).toEqual(markers.map((_, index) => index));
    const broken = recoveredViolation(known, markers.length);
    if (broken !== undefined) throw new Error(broken);
    known.begun = markers.length; // the rest is written again
    const found = new Map<string, string>();
    for await (const { key, value } of store.scan())
      found.set(Buffer.from(key).toString(), Buffer.from(value).toString());
    const wanted = contentAfter(markers.length);
    const wrong = [...wanted].find(([key, value]) => found.get(key) !== value);
    expect(wrong, 'an entry that is missing, or old').toBeUndefined();
    expect(found.size, 'entries').toBe(wanted.size);
  } finally {
    await store.close();
  }
  expect((await verify(known.directory)).findings).toEqual([]);
}

describe('a process that writes, killed again and again', () => {
  it.each(['kv', 'compactions'])('loses nothing: %s', { timeout: 4 * PROPERTY_MS }, async (workload) => {
    const seed = seedOfThisRun();
    const directory = join(newDirectory(), 'store');
    const known: Known = { directory, workload, random: randomOf(seed), surely: 0, begun: 0, kills: 0 };
    try {
      while (known.kills < runs(KILLS)) {
        const before = known.kills;
        await writeAndKill(known);
        if (known.kills !== before && known.kills % LOOK_EVERY === 0) await look(known);
      }
      await look(known);
      recordFigures('T4', { kills: known.kills, batches: known.surely, violations: 0 });
    } catch (error) {
      throw new Error(`ALLUVIUM_SEED=${seed}: ${String(error)}`, { cause: error });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
