// Goal: ten processes share one store, and the one that has it is killed again and again: nobody loses an acknowledged write,
// nothing is done twice, nobody sees a wrong value, a gap or a repeat. Method: see children/member.mjs and model.mjs, which know
// what must be. Trust: `npm run test:trust -- --only ATTACH`.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { open } from 'alluvium';
import { difference, lastKeyOf, Model, prefixOf, endOf } from './children/model.mjs';
import { recordFigures } from '../support/figures.ts';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime, until } from '../support/waiting.ts';

const PROCESSES = 10;
const KILLS = runs(3);
const PATIENCE_MS = 240_000;

const makeDirectory = temporaryDirectories();

interface Message {
  readonly failure?: string;
  readonly ready?: true;
  readonly role?: string;
  readonly acknowledged?: number;
  readonly ownAcknowledged?: number;
  readonly done?: Readonly<Record<string, number>>;
}

class Member {
  readonly name: string;
  readonly child: ChildProcess;
  role = '';
  isReady = false;
  acknowledged = 0;
  ownAcknowledged = 0;
  answers = 0;
  done: Message['done'];
  readonly ended: Promise<void>;

  constructor(directory: string, name: string, seeds: readonly number[], failures: string[]) {
    this.name = name;
    const script = join(import.meta.dirname, 'children', 'member.mjs');
    this.child = fork(script, [directory, name, ...seeds.map(String)], { stdio: 'inherit' });
    this.child.on('message', (message: Message) => {
      if (message.acknowledged !== undefined || message.ownAcknowledged !== undefined) this.answers += 1;
      if (message.failure !== undefined) failures.push(message.failure);
      if (message.ready === true) this.isReady = true;
      if (message.role !== undefined) this.role = message.role;
      if (message.acknowledged !== undefined) this.acknowledged = message.acknowledged;
      if (message.ownAcknowledged !== undefined) this.ownAcknowledged = message.ownAcknowledged;
      if (message.done !== undefined) this.done = message.done;
    });
    this.ended = new Promise((resolve) => this.child.once('exit', () => resolve()));
  }
}

const members = new Set<Member>();
afterAll(() => {
  for (const { child } of members) child.kill('SIGKILL');
});

it(`ten processes agree, while the owner is killed ${KILLS} times`, { timeout: 2 * PROPERTY_MS }, async () => {
  const seed = seedOfThisRun();
  const random = randomOf(seed);
  const directory = makeDirectory();
  const failures: string[] = [];
  const all: Member[] = [];
  const start = (): Member => {
    const member = new Member(directory, `p${all.length}`, [Math.floor(random() * 2 ** 31), seed], failures);
    all.push(member);
    members.add(member);
    return member;
  };
  for (let count = 0; count < PROCESSES; count += 1) start();
  const hasEnded = (): boolean => failures.length > 0;

  for (let kill = 0; kill < KILLS && !hasEnded(); kill += 1) {
    const owner = (): Member | undefined => [...members].find(({ role }) => role === 'owner');
    await until('an owner', () => hasEnded() || owner() !== undefined, PATIENCE_MS);
    if (kill === 0) await until('everybody', () => hasEnded() || all.every(({ isReady }) => isReady), PATIENCE_MS);
    // Some die as soon as they are the owner; most when everybody has had an answer since, so that nobody is always too late.
    if (random() < 0.7) {
      const before = new Map([...members].map((member) => [member, member.answers]));
      const isServed = (): boolean => [...before].every(([member, answers]) => member.answers > answers);
      await until('an answer for everybody', () => hasEnded() || isServed(), PATIENCE_MS);
    }
    await new Promise((resolve) => setTimeout(resolve, random() * 400));
    const victim = owner();
    if (victim === undefined) continue;
    members.delete(victim);
    victim.child.kill('SIGKILL');
    await victim.ended;
    start();
  }
  await until('everybody', () => hasEnded() || [...members].every(({ isReady }) => isReady), PATIENCE_MS);
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const { child } of members) child.send('stop');
  const ends = Promise.all([...members].map(({ ended }) => ended));
  await inTime('the end', ends, PATIENCE_MS).catch((error: unknown) => failures.push(String(error)));
  expect(failures, `seed ${seed}`).toEqual([]);

  const store = await open(directory, { createIfMissing: false });
  const text = async (key: string): Promise<number> => Number(Buffer.from((await store.get(key)) ?? '0').toString());
  const rowsOf = async (gte: string, lt: string): Promise<[string, string][]> => {
    const rows: [string, string][] = [];
    for await (const page of store.scan({ gte, lt }).pages()) {
      for (const { key, value } of page) rows.push([Buffer.from(key).toString(), Buffer.from(value).toString()]);
    }
    return rows;
  };
  let parts = 0;
  const sums = { kills: KILLS, processes: all.length, acknowledged: 0, ownBatches: 0 };
  for (const member of all) {
    const { name, done } = member;
    const last = await text(`last/${name}`);
    const part = await text(`part/${name}`);
    const own = await text(lastKeyOf(name));
    parts += part;
    sums.acknowledged += last;
    sums.ownBatches += own;
    expect(await rowsOf(`log/${name}/`, `log/${name}0`)).toHaveLength(last);
    const rows = await rowsOf(prefixOf(name), endOf(name));
    expect(difference(rows, new Model(String(seed), name).rowsAfter(own)), name).toBeUndefined();
    if (members.has(member)) {
      expect(done).toMatchObject({ acknowledged: last, part, ownAcknowledged: own });
      const solo = done?.['solo'] ?? 0;
      expect(await text(`solo/${name}`)).toBe(solo % 3 === 0 ? 0 : solo);
    } else {
      expect(last).toBeGreaterThanOrEqual(member.acknowledged);
      expect(own).toBeGreaterThanOrEqual(member.ownAcknowledged);
    }
  }
  expect(await text('total')).toBe(parts);
  expect(parts).toBeGreaterThan(0);
  expect(await rowsOf('poison/', 'poison0')).toEqual([]);
  await store.close();
  recordFigures('ATTACH', { ...sums, raised: parts });
  for (const { done } of members) {
    const {
      mirrored = 0,
      followed = 0,
      conflicts = 0,
      resumes = 0,
      scans = 0,
      snapshots = 0,
      ownersLost = 0,
    } = done ?? {};
    recordFigures('ATTACH', { mirrored, followed, conflicts, resumes, scans, snapshots, ownersLost });
  }
  recordFigures('ATTACH', { violations: failures.length });
});
