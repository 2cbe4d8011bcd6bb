// Goal: who asks for a flush, a compaction or a backup hears of the flush that fails, however far away its next try is. (They
// waited, and as nothing else kept the process alive, it ended with exit code 0 in the middle of `await store.flush()`.)
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { open, type Store } from '../../src/index.ts';
import { type Clock, systemClock } from '../../src/streams/clock.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const newDirectory = temporaryDirectories();

/** Pauses never end by themselves. */
const endless: Clock = { ...systemClock, setTimer: () => () => undefined };

const brokenTables = (fileSystem: FaultFileSystem): void => {
  fileSystem.plan = {
    code: 'EIO',
    arrives: 0,
    isHit: ({ name, path }) => name === 'append' && path.endsWith('.ldb'),
  };
};

it.each<[string, (store: Store) => PromiseLike<unknown>]>([
  ['flush', (store) => store.flush()],
  ['compact', (store) => store.compact()],
  ['backup', (store) => store.backup('/copy')],
])('%s tells, tries again at once when it is asked again, and succeeds when the disk is well', async (_name, ask) => {
  const fileSystem = new FaultFileSystem();
  const store = await open('/db', { fileSystem, clock: endless });
  await store.set('key', 'value');
  brokenTables(fileSystem);
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const faults = fileSystem.faults;
    await expect(inTime('the answer', ask(store)), `attempt ${attempt}`).rejects.toMatchObject({
      code: 'IO',
      systemCode: 'EIO',
    });
    expect(fileSystem.faults).toBeGreaterThan(faults);
  }
  fileSystem.plan = undefined;
  await inTime('the answer', ask(store));
  const { waitingMemtables, levels } = store.stats();
  expect([waitingMemtables, levels.reduce((sum, { tables }) => sum + tables, 0)]).toEqual([0, 1]);
  await store.close();
});

it('a compaction that is asked for does not wait for the next try of another one that has failed', async () => {
  const fileSystem = new FaultFileSystem();
  const store = await open('/db', { fileSystem, clock: endless, level0CompactionTrigger: 2 });
  await store.set('a', '1');
  await store.flush();
  const failed = new Promise((resolve) => {
    store.events.subscribe((event) => {
      if (event.type === 'backgroundError' && event.during === 'compaction') resolve(undefined);
    });
  });
  await store.set('a', '2');
  let tables = 0;
  fileSystem.plan = {
    code: 'EIO',
    arrives: 0,
    isHit: ({ name, path }) => name === 'create' && path.endsWith('.ldb') && ++tables > 1, // the flush's own is made
  };
  await store.flush();
  await inTime('the failure', failed);
  fileSystem.plan = undefined;
  await inTime('the compaction', store.compact());
  expect(store.stats().levels[0]?.tables).toBe(0);
  await store.close();
});

it('no process ends in the middle of it', async () => {
  const script = `
    import { NodeFileSystem, open } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
    class Broken extends NodeFileSystem {
      create(path) {
        return path.endsWith('.ldb') ? Promise.reject(new Error('no tables today')) : super.create(path);
      }
    }
    const store = await open(process.argv[1], { fileSystem: new Broken(), worker: 'off' });
    await store.set('key', 'value');
    for (const what of ['flush', 'flush', 'compact', 'flush']) {
      await store[what]().then(() => console.log('done'), (error) => console.log(what, error.message));
    }
    await store.close();
    console.log('closed');`;
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script, newDirectory()]);
  const { stdout } = await run;
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
  ).toEqual(['flush', 'flush', 'compact', 'flush', 'closed']);
});
