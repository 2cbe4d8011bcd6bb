/**
 * One of several processes that share a store by `openOrAttach`, and may be killed at any moment. Each has a name, and writes
 * keys of which it alone knows what they must be:
 *
 *     log/<name>/<n>   and   last/<name> = n     in one batch, n from 1 on
 *     total            and   part/<name>         a sum that all of them raise, under a check, and the share of this one
 *
 * Everybody reads everybody's. What must never be seen is told as a failure; what was acknowledged is told to the parent.
 */
import { openOrAttach } from 'alluvium/attach';

const [directory, name, seed] = process.argv.slice(2);
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

const numberOf = (bytes) => (bytes === undefined ? 0 : Number(Buffer.from(bytes).toString()));
const options = { takeOverMs: 60_000, attachMs: 60_000, memtableBytesMax: 64 * 1024, syncIntervalMs: 10 };
const store = await openOrAttach(directory, options);
let role;
const tellRole = () => {
  if (role !== store.role) tell({ role: (role = store.role) });
};

let issued = 0;
let acknowledged = 0;
let part = 0;
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
      await store.write(lines, { durability: durability() });
      part += 1;
      return;
    } catch (error) {
      if (error.code !== 'CONFLICT') throw error;
    }
  }
}

/** A moment in which everything fits together. */
async function look() {
  const view = store.snapshot();
  try {
    const counts = new Map();
    const lasts = new Map();
    let parts = 0;
    const total = numberOf(await view.get('total'));
    for await (const { key, value } of view.scan()) {
      const [kind, who, n] = Buffer.from(key).toString().split('/');
      if (kind === 'last') lasts.set(who, numberOf(value));
      if (kind === 'part') parts += numberOf(value);
      if (kind !== 'log') continue;
      const count = (counts.get(who) ?? 0) + 1;
      if (count !== Number(n)) fail(`a snapshot has ${who}'s ${n} at place ${count}`);
      counts.set(who, count);
    }
    if (total !== parts) fail(`a snapshot has a total of ${total}, and parts of ${parts}`);
    for (const [who, last] of lasts)
      if (counts.get(who) !== last) fail(`a snapshot has ${counts.get(who)} of ${who}'s ${last}`);
  } catch (error) {
    if (error.code !== 'OWNER_LOST') throw error;
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

let isStopping = false;
process.on('message', () => (isStopping = true));
tell({ ready: true });
tellRole();
const watch = setInterval(tellRole, 5);

while (!isStopping) {
  const draw = random();
  try {
    if (draw < 0.5) await append();
    else if (draw < 0.75) await raise();
    else if (draw < 0.8) await look();
    else await readOthers();
  } catch (error) {
    fail('a call', error);
    break;
  }
  tellRole();
}
// The follower began before the first write, so it must have heard of every one of them.
const end = Date.now() + 30_000;
while (followedOwn.last < acknowledged && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
if (acknowledged > 0 && (followedOwn.first !== 1 || followedOwn.last !== acknowledged)) {
  fail(`changes: own ones from ${followedOwn.first} to ${followedOwn.last}, and ${acknowledged} were acknowledged`);
}
abort.abort();
await follower;
clearInterval(watch);
await store.close();
tell({ done: { acknowledged, part, followed } });
process.disconnect();
