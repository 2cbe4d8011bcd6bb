// Goal: after a log has failed and was replaced, the logs that follow are replayed in the order in which they were written.
// Method: one injected sync failure; then writes over several rotations. After each of them the process is killed (an image of
// the file system), and the directory opened again.
import { firstValueFrom, filter } from 'rxjs';
import { expect, it } from 'vitest';
import { MemoryFileSystem, open } from '../../src/index.ts';
import { Fault } from '../../src/storage/file-system/memory-faults.ts';

it('keeps what is acknowledged after a log was replaced, over the next rotations', { timeout: 60_000 }, async () => {
  let isArmed = false;
  const fileSystem = new MemoryFileSystem({
    onOperation: ({ name, path }) => {
      if (!isArmed || name !== 'sync' || !path.endsWith('.log')) return undefined;
      isArmed = false;
      return new Fault('EIO');
    },
  });
  const store = await open('/db', { fileSystem, memtableBytesMax: 4096 });
  await store.set('before', '1');
  const resumed = firstValueFrom(store.events.pipe(filter(({ type }) => type === 'writesResumed')));
  isArmed = true;
  await expect(store.set('failed', '2')).rejects.toMatchObject({ code: 'IO', outcome: 'unknown' });
  await resumed;

  const acknowledged = ['before'];
  let flushes = store.stats().flushes;
  for (let rotations = 0; rotations < 3;) {
    const key = `key ${acknowledged.length}`;
    await store.set(key, 'x'.repeat(30));
    acknowledged.push(key);
    const isFlushing = store.stats().waitingMemtables > 0 || store.stats().flushes > flushes;
    if (!isFlushing && acknowledged.length % 16 !== 0) continue;
    if (store.stats().flushes > flushes) rotations += 1;
    flushes = store.stats().flushes;
    const killed = await open('/db', { fileSystem: fileSystem.crashImage('all', () => 0) });
    const values = await killed.getMany(acknowledged);
    await killed.close();
    expect(values.indexOf(undefined)).toBe(-1);
  }
  await store.close();
});
