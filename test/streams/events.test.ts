// Goal: whoever listens hears of all that goes on, each beginning with its end, and disturbs nothing.
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { type EngineEvent, open, type OpenOptions } from '../../src/index.ts';
import { FaultFileSystem, type FaultPlan } from '../support/fault-file-system.ts';
import { randomOf } from '../support/runs.ts';
import { inTime, until } from '../support/waiting.ts';

const TINY: OpenOptions = {
  memtableBytesMax: 2048,
  tableBytesMax: 1024,
  level1BytesMax: 2048,
  level0CompactionTrigger: 2,
  durability: 'buffered',
  syncIntervalMs: 5,
};

/** Every beginning has one end with its job id, later, and nothing else ends. */
function checkPairs(events: readonly EngineEvent[]): { flushes: number; compactions: number; failures: number } {
  const begun = new Map<number, string>();
  const jobIds = new Set<number>();
  const counts = { flushes: 0, compactions: 0, failures: 0 };
  for (const event of events) {
    if (event.type === 'flushBegin' || event.type === 'compactionBegin') {
      expect(jobIds.has(event.jobId)).toBe(false);
      jobIds.add(event.jobId);
      begun.set(event.jobId, event.type.replace('Begin', 'End'));
    } else if (event.type === 'flushEnd' || event.type === 'compactionEnd') {
      expect(begun.get(event.jobId)).toBe(event.type);
      begun.delete(event.jobId);
      expect(event.durationMs).toBeGreaterThanOrEqual(0);
      if (event.error !== undefined) counts.failures += 1;
      if (event.type === 'flushEnd') counts.flushes += 1;
      else counts.compactions += 1;
    }
  }
  expect([...begun]).toEqual([]);
  return counts;
}

/** A workload on a file system with faults; all the events of the store's life. */
async function eventsOf(plan: FaultPlan | undefined, seed = 1): Promise<EngineEvent[]> {
  const fileSystem = new FaultFileSystem();
  const events: EngineEvent[] = [];
  const store = await open('/db', { ...TINY, fileSystem, onEvent: (event) => events.push(event) });
  fileSystem.plan = plan;
  const random = randomOf(seed);
  const writes: PromiseLike<unknown>[] = [];
  for (let index = 0; index < 150; index += 1) {
    const write = store.set(`key ${Math.floor(random() * 40)}`, 'x'.repeat(Math.floor(random() * 200)));
    writes.push(write.then(undefined, () => undefined));
    if (index % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await inTime('the writes', Promise.all(writes));
  await store.compact().then(undefined, () => undefined);
  fileSystem.plan = undefined;
  await store.close().then(undefined, () => undefined);
  return events;
}

describe('the events of a store', () => {
  it('pair up by their job ids when all goes well', async () => {
    const { flushes, compactions, failures } = checkPairs(await eventsOf(undefined));
    expect(flushes).toBeGreaterThan(5);
    expect(compactions).toBeGreaterThan(2);
    expect(failures).toBe(0);
  });

  it('pair up when flushes and compactions fail, and name the error', { timeout: 60_000 }, async () => {
    let failed = 0;
    for (let seed = 0; seed < 4; seed += 1) {
      const random = randomOf(seed);
      const isHit = ({ path }: { readonly path: string }): boolean =>
        (path.endsWith('.ldb') || path.includes('MANIFEST')) && random() < 0.05;
      const events = await eventsOf({ code: 'EIO', arrives: 0.5, isHit }, seed);
      failed += checkPairs(events).failures;
      const errors = events.filter((event) => event.type === 'backgroundError');
      for (const { error, retryInMs } of errors) {
        expect(error).toMatchObject({ code: 'IO' });
        expect(retryInMs).toBeGreaterThan(0);
      }
    }
    expect(failed).toBeGreaterThan(3);
  });

  it('pair up when the store is closed in the middle', async () => {
    for (let wait = 0; wait < 12; wait += 1) {
      const events: EngineEvent[] = [];
      const store = await open('/db', {
        ...TINY,
        fileSystem: new FaultFileSystem(),
        onEvent: (event) => events.push(event),
      });
      for (let index = 0; index < 40; index += 1) store.set(`key ${index % 9}`, 'x'.repeat(150)).subscribe();
      store.compact().subscribe({ error: () => undefined });
      for (let tick = 0; tick < wait; tick += 1) await new Promise((resolve) => setImmediate(resolve));
      await inTime('the close', store.close());
      checkPairs(events);
    }
  });

  it('tell that writes are refused, and later that they are taken again', async () => {
    const fileSystem = new FaultFileSystem();
    const events: EngineEvent[] = [];
    const store = await open('/db', { fileSystem, onEvent: (event) => events.push(event) });
    // The log that is written to, and not the one that is being prepared beside it.
    const [active = ''] = (await fileSystem.list('/db')).filter((name) => name.endsWith('.log')).toSorted();
    let left = 1;
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ name, path }) => name === 'sync' && path === `/db/${active}` && left-- > 0,
    };
    await expect(Promise.resolve(store.set('key', 'value'))).rejects.toMatchObject({ code: 'IO' });
    await expect(Promise.resolve(store.set('key', 'value'))).rejects.toMatchObject({ code: 'READ_ONLY' });
    await until('the mending', () => events.some(({ type }) => type === 'writesResumed'));
    await store.set('key', 'value');
    const types = events.map(({ type }) => type).filter((type) => /^writes|^background/.test(type));
    expect(types).toEqual(['writesRefused', 'backgroundError', 'writesResumed']);
    await store.close();
  });

  it('complete when the store has closed, also for who comes later', async () => {
    const store = await open('/db', { fileSystem: new FaultFileSystem() });
    const all = lastValueFrom(store.events.pipe(toArray()));
    await store.set('key', 'value');
    await store.close();
    expect((await all).map(({ type }) => type)).toEqual(['flushBegin', 'flushEnd']);
    expect(await lastValueFrom(store.events.pipe(toArray()))).toEqual([]);
  });

  it('say how much was flushed and merged', async () => {
    const events = await eventsOf(undefined);
    for (const event of events) {
      if (event.type === 'flushBegin') expect(event.entries).toBeGreaterThan(0);
      if (event.type === 'flushEnd') expect(event.bytesWritten).toBeGreaterThan(0);
      if (event.type === 'compactionBegin') expect(event.inputTables).toBeGreaterThan(event.isTrivialMove ? 0 : 1);
    }
  });
});
