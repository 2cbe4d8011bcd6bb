/**
 * Reads directories in a process of its own, which they may not end: everything that reads a database and changes nothing.
 *
 *     directory   ->   { codes: the code of each call's error, or 'ok', faults: errors that are none of the engine's, maxRssKib }
 */
import { EngineError, open, repair, verify } from 'alluvium';

const options = { readOnly: true, memtableBytesMax: 1 << 20, blockCacheBytesMax: 1 << 20, tableCacheBytesMax: 1 << 20 };

async function readAll(directory) {
  const store = await open(directory, options);
  try {
    for await (const page of store.scan().pages()) void page.length;
    for await (const page of store.scan({ reverse: true, values: false }).pages()) void page.length;
    await store.getMany(['key:000001', 'absent', 'key:000199']);
    await store.approximateSize('a', 'z');
    store.stats();
  } finally {
    await store.close();
  }
}

async function readHistory(directory) {
  const store = await open(directory, options);
  try {
    for await (const page of store.changes({ from: 'start', until: 'now' }).pages()) void page.length;
    for await (const { name } of store.consumers()) {
      const desk = store.desk(name);
      await desk.lag();
      for await (const page of desk.deadLetters().pages()) void page.length;
    }
  } finally {
    await store.close();
  }
}

const calls = [
  readAll,
  readHistory,
  (directory) => verify(directory),
  (directory) => repair(directory, { dryRun: true }),
];

process.on('message', async (directory) => {
  const codes = [];
  const faults = [];
  for (const call of calls) {
    try {
      await call(directory);
      codes.push('ok');
    } catch (error) {
      codes.push(error.code ?? error.name);
      if (!(error instanceof EngineError)) faults.push(error.stack);
    }
  }
  process.send({ codes, faults, maxRssKib: process.resourceUsage().maxRSS });
});
process.on('disconnect', () => process.exit());
process.send('ready');
