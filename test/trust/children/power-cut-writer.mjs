/**
 * Writes until its disk goes away. Run as `node power-cut-writer.mjs <directory> <index of the first write>`; begins when it gets
 * a line. Write i is a batch of two keys, so that its parts could be missed.
 */
import { open } from 'alluvium';
import { once } from 'node:events';

const [directory, first] = process.argv.slice(2);
const IN_FLIGHT_MAX = 4;
const SYNCED_EVERY = 3;
const tell = (...words) => process.stdout.write(`${words.join(' ')};\n`);

tell('ready');
await once(process.stdin, 'data');
const small = { memtableBytesMax: 16 * 1024, tableBytesMax: 16 * 1024, level1BytesMax: 64 * 1024, syncIntervalMs: 20 };
const store = await open(directory, { ...small, level0CompactionTrigger: 2, manifestBytesMax: 4096 });
tell('open');

async function write(index) {
  const value = `${index} ${'x'.repeat((index * 37) % 400)}`;
  const batch = ['a', 'b'].map((part) => ({ type: 'set', key: `${part}/${String(index).padStart(8, '0')}`, value }));
  const { durability } = await store.write(batch, { durability: index % SYNCED_EVERY === 0 ? 'synced' : 'buffered' });
  tell('acknowledged', index, durability);
}

const inFlight = new Set();
for (let index = Number(first); ; index += 1) {
  const written = write(index).finally(() => inFlight.delete(written));
  inFlight.add(written);
  if (inFlight.size >= IN_FLIGHT_MAX) await Promise.race(inFlight); // rejects when the disk is gone, and ends the process
}
