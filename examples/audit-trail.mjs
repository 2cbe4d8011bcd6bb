// An audit trail: who changed what, and when. Nothing is written twice for it: the change stream has what was committed,
// in batches that are whole, each with its time. Only who it was must be told, so that is a line of every batch.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'alluvium';

const text = new TextDecoder();

// The wall clock of this example can be set, so that three days take no time, and print the same each time.
let wall = new Date('2026-03-02T08:00:00Z');
const clock = {
  date: () => wall,
  now: () => performance.now(),
  random: () => Math.random(),
  /** @param {() => void} work @param {number} ms */
  setTimer: (work, ms) => {
    const timer = setTimeout(work, ms).unref();
    return () => clearTimeout(timer);
  },
  /** @param {() => void} work */
  afterTurn: (work) => void setImmediate(work),
  /** @param {() => void} work */
  afterMicrotask: (work) => queueMicrotask(work),
};

const directory = await mkdtemp(join(tmpdir(), 'alluvium-audit-trail-'));
let store = await open(directory, { clock });

/**
 * The one door through which the accounts are written: with the name of whoever writes, in the same commit.
 * @param {string} who @param {string} when @param {Record<string, number | undefined>} balances
 */
async function change(who, when, balances) {
  wall = new Date(when);
  const lines = Object.entries(balances).map(([account, cents]) => {
    const key = `account:${account}`;
    return cents === undefined
      ? { type: /** @type {const} */ ('delete'), key }
      : { type: /** @type {const} */ ('set'), key, value: String(cents) };
  });
  return store.write([{ type: 'set', key: 'audit:who', value: who }, ...lines]);
}

/** @typedef {{ when: Date, who: string, account: string, cents: number | undefined }} Line */

/**
 * What was committed from a moment on, up to now, commit by commit.
 * @param {Date} from
 */
async function* trail(from) {
  const now = store.stats().sequence;
  /** @type {import('alluvium').Change[]} */
  let batch = [];
  for await (const change of store.changes({ from })) {
    batch.push(change);
    if (batch.length >= change.batchSize) {
      yield linesOf(batch);
      batch = [];
    }
    if (change.sequence >= now) return; // what would follow is live
  }
}

/** @param {readonly import('alluvium').Change[]} batch */
function linesOf([first, ...changes]) {
  assert.ok(first?.type === 'set' && text.decode(first.key) === 'audit:who', 'somebody wrote past the door');
  const when = new Date(first.timeMs);
  const who = text.decode(first.value);
  return changes.map((change) => {
    const account = text.decode(change.key).slice('account:'.length);
    return { when, who, account, cents: change.type === 'set' ? Number(text.decode(change.value)) : undefined };
  });
}

/** @param {readonly Line[]} lines */
function print(lines) {
  const what = lines.map(({ account, cents }) => (cents === undefined ? `${account} closed` : `${account} ${cents}`));
  console.log(`${lines[0]?.when.toISOString()} ${lines[0]?.who}: ${what.join(', ')}`);
}

await change('ada', '2026-03-02T09:15:00Z', { joan: 10_000, grace: 2_500 });
await change('joan', '2026-03-02T17:40:00Z', { joan: 9_000, grace: 3_500 });
await change('ada', '2026-03-03T08:05:00Z', { mary: 0 });
await store.compact(); // the trail is not made of what the tables hold: that joan had 10,000 is in them no more
await change('mallory', '2026-03-03T23:59:59Z', { grace: 0, mary: 3_500 });
await change('ada', '2026-03-04T10:00:00Z', { grace: 3_500, mary: undefined });

console.log('Since the evening of the third:');
for await (const lines of trail(new Date('2026-03-03T18:00:00Z'))) print(lines);
// => Since the evening of the third:
// => 2026-03-03T23:59:59.000Z mallory: grace 0, mary 3500
// => 2026-03-04T10:00:00.000Z ada: grace 3500, mary closed

// It is as durable as the accounts are, and complete: a fold over all of it gives the accounts.
await store.close();
store = await open(directory, { clock });
/** @type {Record<string, number>} */
const folded = {};
console.log('From the beginning:');
for await (const lines of trail(new Date(0))) {
  print(lines);
  for (const { account, cents } of lines) {
    if (cents === undefined) delete folded[account];
    else folded[account] = cents;
  }
}
// => From the beginning:
// => 2026-03-02T09:15:00.000Z ada: joan 10000, grace 2500
// => 2026-03-02T17:40:00.000Z joan: joan 9000, grace 3500
// => 2026-03-03T08:05:00.000Z ada: mary 0
// => 2026-03-03T23:59:59.000Z mallory: grace 0, mary 3500
// => 2026-03-04T10:00:00.000Z ada: grace 3500, mary closed

/** @type {Record<string, number>} */
const accounts = {};
for await (const { key, value } of store.scan('account:', 'account;')) {
  accounts[text.decode(key).slice('account:'.length)] = Number(text.decode(value));
}
assert.deepEqual(folded, accounts);

await store.close();
await rm(directory, { recursive: true });
