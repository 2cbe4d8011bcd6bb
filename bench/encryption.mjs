/**
 * What encrypting costs per value: `node bench/encryption.mjs` after `npm run build`. The codec, the cipher and the keys' place in
 * it, without store and disk: a line for `store.write` made, an entry of the store given its types; and the same without encryption.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { codecs, EncryptionKey, openInMemory } from 'alluvium';
import { describeMachine } from './support/machine.mjs';
import { summarize } from './support/statistics.mjs';

const SIZES = [256, 4 * 1024, 64 * 1024];
const ROUNDS = 9;
/** Long enough for a clock, short enough for nine of each. */
const ROUND_US = 100_000;
/** Between two looks at the clock, which are not for nothing. */
const CALLS = 256;

/** Of the processor, so that whoever else is on the machine counts less. @param {() => unknown} work @returns {number} microseconds for one call */
function timeOf(work) {
  const begun = process.cpuUsage();
  let calls = 0;
  let used = 0;
  while (used < ROUND_US) {
    for (let call = 0; call < CALLS; call += 1) work();
    calls += CALLS;
    const { user, system } = process.cpuUsage(begun);
    used = user + system;
  }
  return used / calls;
}

/** @param {readonly number[]} times */
function cell(times) {
  const { median, min, max } = summarize(times);
  return `${median.toFixed(1)} (${min.toFixed(1)} to ${max.toFixed(1)})`;
}

const key = new EncryptionKey(randomUUID(), randomBytes(32));
const keys = { current: () => key, byId: () => key };
const store = await openInMemory();
const encrypted = store.keyspace('bench', { key: codecs.utf8, value: codecs.bytes, encryption: { keys } });
const plain = store.keyspace('bench', { key: codecs.utf8, value: codecs.bytes });

console.log(JSON.stringify(await describeMachine(tmpdir()), undefined, 2));
console.log(
  '\n| value, bytes | written, us | read, us | written without, us | read without, us |\n| --- | --- | --- | --- | --- |',
);
for (const bytes of SIZES) {
  const value = new Uint8Array(randomBytes(bytes));
  /** @type {(() => unknown)[]} */
  const works = [];
  for (const keyspace of [encrypted, plain]) {
    const line = keyspace.setLine('a-key-of-20-letters!', value);
    const entry = { key: Buffer.from(line.key), value: Buffer.from(line.value) };
    works.push(
      () => keyspace.setLine('a-key-of-20-letters!', value),
      () => keyspace.decodeEntry(entry),
    );
  }
  for (const work of works) timeOf(work); // the compiler warms up
  /** @type {number[][]} */
  const times = works.map(() => []);
  // In turns, so that all meet the same machine.
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, work] of works.entries()) times[index]?.push(timeOf(work));
  }
  console.log(`| ${[bytes.toLocaleString('en-US'), ...times.map(cell)].join(' | ')} |`);
}
await store.close();
