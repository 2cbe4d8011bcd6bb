// Goal: ten processes share one store, and the one that has it is killed again and again: nobody loses an acknowledged write,
// nothing is done twice, nobody sees a wrong value, a gap or a repeat. Method: see children/member.mjs, which knows what must be.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { open } from 'alluvium';
import { PROPERTY_MS, randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime, until } from '../support/waiting.ts';

const PROCESSES = 10;
const KILLS = runs(4);
const PATIENCE_MS = 60_000;

const makeDirectory = temporaryDirectories();

interface Message {
  readonly failure?: string;
  readonly ready?: true;
  readonly role?: string;
  readonly acknowledged?: number;
  readonly done?: { readonly acknowledged: number; readonly part: number; readonly followed: number };
}

class Member {
  readonly name: string;
  readonly child: ChildProcess;
  role = '';
  isReady = false;
  acknowledged = 0;
  done: Message['done'];
  readonly ended: Promise<void>;

  constructor(directory: string, name: string, seed: number, failures: string[]) {
    this.name = name;
    const script = join(import.meta.dirname, 'children', 'member.mjs');
    this.child = fork(script, [directory, name, String(seed)], { stdio: 'inherit' });
    this.child.on('message', (message: Message) => {
      if (message.failure !== undefined) failures.push(message.failure);
      if (message.ready === true) this.isReady = true;
      if (message.role !== undefined) this.role = message.role;
      if (message.acknowledged !== undefined) this.acknowledged = message.acknowledged;
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
    const member = new Member(directory, `p${all.length}`, Math.floor(random() * 2 ** 31), failures);
    all.push(member);
    members.add(member);
    return member;
  };
  for (let count = 0; count < PROCESSES; count += 1) start();
  const hasEnded = (): boolean => failures.length > 0;

  for (let kill = 0; kill < KILLS && !hasEnded(); kill += 1) {
    const owner = (): Member | undefined => [...members].find(({ role }) => role === 'owner');
    await until('an owner', () => hasEnded() || owner() !== undefined);
    if (kill === 0) await until('everybody', () => hasEnded() || all.every(({ isReady }) => isReady));
    await new Promise((resolve) => setTimeout(resolve, random() * 400));
    const victim = owner();
    if (victim === undefined) continue;
    members.delete(victim);
    victim.child.kill('SIGKILL');
    await victim.ended;
    start();
  }
  await until('everybody', () => hasEnded() || [...members].every(({ isReady }) => isReady));
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const { child } of members) child.send('stop');
  const ends = Promise.all([...members].map(({ ended }) => ended));
  await inTime('the end', ends, PATIENCE_MS).catch((error: unknown) => failures.push(String(error)));
  expect(failures, `seed ${seed}`).toEqual([]);

  const store = await open(directory, { createIfMissing: false });
  const text = async (key: string): Promise<number> => Number(Buffer.from((await store.get(key)) ?? '0').toString());
  let parts = 0;
  for (const member of all) {
    const last = await text(`last/${member.name}`);
    const part = await text(`part/${member.name}`);
    parts += part;
    let count = 0;
    for await (const page of store.scan({ gte: `log/${member.name}/`, lt: `log/${member.name}0` }).pages())
      count += page.length;
    expect(count).toBe(last);
    if (members.has(member)) expect(member.done).toMatchObject({ acknowledged: last, part });
    else expect(last).toBeGreaterThanOrEqual(member.acknowledged);
  }
  expect(await text('total')).toBe(parts);
  expect(parts).toBeGreaterThan(0);
  await store.close();
});
