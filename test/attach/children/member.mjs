/**
 * One of several processes that share a store by `openOrAttach`, and may be killed at any moment. Each has a name, and writes
 * keys of which it alone knows what they must be:
 *
 *     log/<name>/<n>   and   last/<name> = n     in one batch, n from 1 on
 *     total            and   part/<name>         a sum that all of them raise, under a check, and the share of this one
 *     own/<name>/<key> and   own-last/<name>     sets and deletes, as model.mjs says
 *     solo/<name>                                set and deleted by itself, in turns
 *
 * Everybody reads everybody's, in snapshots, by scans, and as a mirror made of changes, which is given up and taken up again
 * by its cursor. What must never be seen is told as a failure; what was acknowledged is told to the parent.
 */
import { openOrAttach } from 'alluvium/attach';
import { batchOf, difference, endOf, lastKeyOf, Model, prefixOf } from './model.mjs';

const [directory, name, seed, runSeed] = process.argv.slice(2);
const tell = (message) => process.send(message);
const fail = (what, error) =>
  tell({ failure: `${name}: ${what} ${error?.stack ?? error ?? ''} ${error?.cause?.stack ?? ''}` });
process.on('uncaughtException', (error) => fail('uncaught', error));
process.on('unhandledRejection', (error) => fail('unhandled', error));
process.on('disconnect', () => process.exit());

let state = Number(seed) >>> 0;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
};

const text = (bytes) => (bytes === undefined ? undefined : Buffer.from(bytes).toString());
const numberOf = (bytes) => (bytes === undefined ? 0 : Number(Buffer.from(bytes).toString()));
const options = { takeOverMs: 300_000, attachMs: 300_000, memtableBytesMax: 64 * 1024, syncIntervalMs: 10 };
const store = await openOrAttach(directory, options);
let role;
const tellRole = () => {
  if (role !== store.role) tell({ role: (role = store.role) });
};

let issued = 0;
let acknowledged = 0;
let part = 0;
let ownIssued = 0;
let ownAcknowledged = 0;
let soloIssued = 0;
const models = new Map();
const modelOf = (who) => models.get(who) ?? models.set(who, new Model(runSeed, who)).get(who);
const calls = { writes: 0, reads: 0, scans: 0, snapshots: 0, conflicts: 0, resumes: 0, ownersLost: 0 };
const durability = () => (random() < 0.5 ? 'buffered' : 'synced');

/** A few batches at once: acknowledgements come in order. */
async function append() {
  const writes = [];
  for (let count = 1 + Math.floor(random() * 4); count > 0; count -= 1) {
    issued += 1;
    const n = issued;
    const lines = [
      { type: 'set', key: `log/${name}/${String(n).padStart(8, '0')}`, value: 'x'.repeat(Math.floor(random() * 300)) },
      { type: 'set', key: `last/${name}`, value: String(n) },
    ];
    const write = store.write(lines, { durability: durability() }).then(() => {
      if (n !== acknowledged + 1) fail(`write ${n} was acknowledged after ${acknowledged}`);
      acknowledged = n;
      tell({ acknowledged });
    });
    writes.push(write);
  }
  calls.writes += writes.length;
  await Promise.all(writes);
  const last = numberOf(await store.get(`last/${name}`));
  if (last !== issued) fail(`last is ${last} after ${issued} were acknowledged`);
}

/** One more, by check and set. */
async function raise() {
  for (;;) {
    const total = await store.entry('total');
    const lines = [
      { type: 'check', key: 'total', sequence: total?.sequence ?? 'absent' },
      { type: 'set', key: 'total', value: String(numberOf(total?.value) + 1) },
      { type: 'set', key: `part/${name}`, value: String(part + 1) },
    ];
    try {
      calls.writes += 1;
      await store.write(lines, { durability: durability() });
      part += 1;
      return;
    } catch (error) {
      if (error.code !== 'CONFLICT') throw error;
      calls.conflicts += 1;
    }
  }
}

/** Some of the own batches at once; then everything that reads, against the model. */
async function change() {
  const writes = [];
  for (let count = 1 + Math.floor(random() * 4); count > 0; count -= 1) {
    ownIssued += 1;
    const n = ownIssued;
    const write = store.write(batchOf(runSeed, name, n), { durability: durability() }).then(() => {
      if (n !== ownAcknowledged + 1) fail(`own batch ${n} was acknowledged after ${ownAcknowledged}`);
      ownAcknowledged = n;
      tell({ ownAcknowledged });
    });
    writes.push(write);
  }
  calls.writes += writes.length;
  await Promise.all(writes);
  await readOwn();
}

async function readOwn() {
  const rows = modelOf(name).rowsAfter(ownIssued);
  const expected = new Map(rows);
  const keys = Array.from({ length: 16 }, (_, n) => prefixOf(name) + String(n).padStart(2, '0'));
  calls.reads += 1;
  const draw = random();
  if (draw < 0.3) {
    const found = (await store.getMany(keys)).map(text);
    keys.forEach((key, n) => {
      if (found[n] !== expected.get(key)) fail(`getMany: ${key} is ${found[n]}, not ${expected.get(key)}`);
    });
  } else if (draw < 0.6) {
    const key = keys[Math.floor(random() * keys.length)];
    const [value, is, entry] = await Promise.all([store.get(key), store.has(key), store.entry(key)]);
    const all = [text(value), is, text(entry?.value)];
    const wanted = [expected.get(key), expected.has(key), expected.get(key)];
    if (all.join() !== wanted.join()) fail(`${key} is ${all}, not ${wanted}`);
  } else {
    calls.scans += 1;
    const reverse = random() < 0.5;
    const limit = random() < 0.5 ? 1 + Math.floor(random() * 6) : undefined;
    const wanted = (reverse ? rows.toReversed() : rows).slice(0, limit);
    try {
      const found = [];
      const range = { gte: prefixOf(name), lt: endOf(name), reverse, limit };
      for await (const { key, value } of store.scan(range)) found.push([text(key), text(value)]);
      const wrong = difference(found, wanted);
      if (wrong !== undefined) fail(`scan: ${wrong}`);
    } catch (error) {
      if (error.code !== 'OWNER_LOST') throw error;
      calls.ownersLost += 1;
    }
  }
}

/** Set by itself, deleted by itself; and a condition that does not hold, with a line that must never be seen. */
async function changeSolo() {
  soloIssued += 1;
  const n = soloIssued;
  calls.writes += 2;
  if (n % 3 === 0) await store.delete(`solo/${name}`, { durability: durability() });
  else await store.set(`solo/${name}`, String(n), { durability: durability() });
  const found = text(await store.get(`solo/${name}`));
  const wanted = n % 3 === 0 ? undefined : String(n);
  if (found !== wanted) fail(`solo is ${found}, not ${wanted}`);
  const lines = [
    { type: 'set', key: `poison/${name}`, value: '' },
    // Nothing has this number; 1 has the first write of all, which may be this one's.
    { type: 'check', key: `solo/${name}`, sequence: 2 ** 52 },
  ];
  await store.write(lines).then(
    () => fail('a write whose condition did not hold was acknowledged'),
    (error) => {
      if (error.code !== 'CONFLICT') throw error;
      calls.conflicts += 1;
    },
  );
}

/** A moment in which everything fits together. */
async function look() {
  const view = store.snapshot();
  calls.snapshots += 1;
  try {
    const counts = new Map();
    const lasts = new Map();
    const owns = new Map();
    let parts = 0;
    const total = numberOf(await view.get('total'));
    for await (const { key, value } of view.scan()) {
      const [kind, who, n] = text(key).split('/');
      if (kind === 'poison') fail(`a snapshot has what was never written: ${text(key)}`);
      if (kind === 'own') owns.set(who, [...(owns.get(who) ?? []), [text(key), text(value)]]);
      if (kind === 'last') lasts.set(who, numberOf(value));
      if (kind === 'part') parts += numberOf(value);
      if (kind !== 'log') continue;
      const count = (counts.get(who) ?? 0) + 1;
      if (count !== Number(n)) fail(`a snapshot has ${who}'s ${n} at place ${count}`);
      counts.set(who, count);
    }
    if (total !== parts) fail(`a snapshot has a total of ${total}, and parts of ${parts}`);
    const whos = [...lasts.keys()];
    const ends = await view.getMany(whos.map(lastKeyOf));
    whos.forEach((who, index) => {
      const n = numberOf(ends[index]);
      const wrong = difference(owns.get(who) ?? [], modelOf(who).rowsAfter(n));
      if (wrong !== undefined) fail(`a snapshot after batch ${n} of ${who}: ${wrong}`);
    });
    for (const [who, last] of lasts)
      if (counts.get(who) !== last) fail(`a snapshot has ${counts.get(who)} of ${who}'s ${last}`);
  } catch (error) {
    if (error.code !== 'OWNER_LOST') throw error;
    calls.ownersLost += 1;
  } finally {
    view.close();
  }
}

const newest = new Map();
/** What once was, is. */
async function readOthers() {
  const names = [...newest.keys()];
  const values = await store.getMany(names.map((who) => `last/${who}`));
  names.forEach((who, index) => {
    const last = numberOf(values[index]);
    if (last < newest.get(who)) fail(`${who} was at ${newest.get(who)}, and is at ${last}`);
    newest.set(who, last);
  });
}

let followed = 0;
const followedOwn = { first: 0, last: 0 };
const following = new Map();
let sequence = 0;
const abort = new AbortController();
const follower = (async () => {
  try {
    for await (const change of store.changes({ gte: 'log/', lt: 'log0', signal: abort.signal })) {
      const [, who, digits] = Buffer.from(change.key).toString().split('/');
      const n = Number(digits);
      const before = following.get(who);
      if (before !== undefined && n !== before + 1) fail(`changes: ${who}'s ${n} came after ${before}`);
      if (change.sequence <= sequence) fail(`changes: ${change.sequence} came after ${sequence}`);
      sequence = change.sequence;
      following.set(who, n);
      if (!newest.has(who)) newest.set(who, n);
      followed += 1;
      if (who === name) {
        followedOwn.first ||= n;
        followedOwn.last = n;
      }
    }
  } catch (error) {
    if (error.name !== 'AbortError') fail('changes', error);
  }
})();

const mirrors = new Map();
let cursor;
let mirrored = 0;
/** Everybody's own keys, made of changes; the stream is left now and then, and taken up behind the last change. */
const mirror = (async () => {
  while (!abort.signal.aborted) {
    let left = 1 + Math.floor(random() * 400);
    // It begins with the state; if the owner goes away meanwhile, it begins again.
    if (cursor === undefined) mirrors.clear();
    try {
      const range = { gte: 'own-last/', lt: 'own0', signal: abort.signal };
      for await (const event of store.changes({ ...range, from: cursor ?? 'snapshot' })) {
        if (event.type === 'snapshotEnd') cursor = event.cursor;
        if (event.type === 'snapshotEnd') continue;
        const [kind, who] = text(event.key).split('/');
        const rows = mirrors.get(who) ?? mirrors.set(who, { n: 0, rows: new Map() }).get(who);
        if (event.type !== 'entry') cursor = event.cursor;
        if (event.type === 'delete') rows.rows.delete(text(event.key));
        else if (kind === 'own') rows.rows.set(text(event.key), text(event.value));
        if (kind !== 'own-last') continue;
        const n = numberOf(event.value);
        if (event.type === 'entry') {
          rows.n = n;
          continue;
        }
        if (n !== rows.n + 1) fail(`mirror: batch ${n} of ${who} came after ${rows.n}`);
        rows.n = n;
        mirrored += 1;
        const found = [...rows.rows].sort(([a], [b]) => (a < b ? -1 : 1));
        const wrong = difference(found, modelOf(who).rowsAfter(n));
        if (wrong !== undefined) fail(`mirror after batch ${n} of ${who}: ${wrong}`);
        left -= 1;
        if (left <= 0) break;
      }
      calls.resumes += 1;
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.code !== 'OWNER_LOST' || cursor !== undefined) return fail('mirror', error);
      calls.ownersLost += 1;
    }
  }
})();

let isStopping = false;
process.on('message', () => (isStopping = true));
tell({ ready: true });
tellRole();
const watch = setInterval(tellRole, 5);

while (!isStopping) {
  const draw = random();
  try {
    if (draw < 0.25) await append();
    else if (draw < 0.55) await change();
    else if (draw < 0.7) await raise();
    else if (draw < 0.8) await changeSolo();
    else if (draw < 0.85) await look();
    else if (draw < 0.95) await readOthers();
    else await readOwn();
  } catch (error) {
    fail('a call', error);
    break;
  }
  tellRole();
}
// The follower began before the first write, so it must have heard of every one of them.
const end = Date.now() + 120_000;
const isBehind = () => followedOwn.last < acknowledged || (mirrors.get(name)?.n ?? 0) < ownAcknowledged;
while (isBehind() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
if (acknowledged > 0 && (followedOwn.first !== 1 || followedOwn.last !== acknowledged)) {
  fail(`changes: own ones from ${followedOwn.first} to ${followedOwn.last}, and ${acknowledged} were acknowledged`);
}
if ((mirrors.get(name)?.n ?? 0) !== ownAcknowledged) {
  fail(`mirror: own batches up to ${mirrors.get(name)?.n}, and ${ownAcknowledged} were acknowledged`);
}
abort.abort();
await follower;
await mirror;
clearInterval(watch);
await store.close();
tell({ done: { acknowledged, part, ownAcknowledged, solo: soloIssued, followed, mirrored, ...calls } });
process.disconnect();
