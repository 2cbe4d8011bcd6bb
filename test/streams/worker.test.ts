// Goal: with the operating system's files, flush and compaction are a worker's; without it the store goes on; and the thread
// keeps no process alive.
// Method: the package as it is built, because only there is a worker to start.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type * as Alluvium from '../../src/index.ts';
import type { EngineEvent, Store } from '../../src/index.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime, until } from '../support/waiting.ts';

const BUILT = new URL('../../dist/index.js', import.meta.url);
const newDirectory = temporaryDirectories();
const KIB = 1024;

let store: Store | undefined;
afterEach(async () => {
  vi.restoreAllMocks();
  await store?.close();
  store = undefined;
});

interface Started {
  readonly opened: Store;
  readonly events: EngineEvent[];
  /** The workers that were spoken to. */
  readonly workers: Set<Worker>;
}

async function openBuilt(options: Alluvium.OpenOptions): Promise<Started> {
  const built = (await import(BUILT.href)) as typeof Alluvium;
  const events: EngineEvent[] = [];
  const workers = new Set<Worker>();
  const post = Reflect.get<Worker, 'postMessage'>(Worker.prototype, 'postMessage');
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, message: unknown) {
    workers.add(this);
    post.call(this, message);
  });
  const opened = await built.open(newDirectory(), {
    memtableBytesMax: 512 * KIB,
    tableBytesMax: 256 * KIB,
    level1BytesMax: 1024 * KIB,
    durability: 'buffered',
    onEvent: (event) => events.push(event),
    ...options,
  });
  store = opened;
  return { opened, events, workers };
}

const keyOf = (index: number): string => `key ${String((index * 7919) % 5000).padStart(5, '0')}`;

async function write(opened: Store, count: number): Promise<Map<string, string>> {
  const expected = new Map<string, string>();
  const writes: PromiseLike<unknown>[] = [];
  for (let index = 0; index < count; index += 1) {
    const value = `${index} ${'x'.repeat(index % 300)}`;
    expected.set(keyOf(index), value);
    writes.push(Promise.resolve(opened.set(keyOf(index), value)));
    if (writes.length === 500) await Promise.all(writes.splice(0));
  }
  await Promise.all(writes);
  return expected;
}

async function expectAll(opened: Store, expected: ReadonlyMap<string, string>): Promise<void> {
  const keys = [...expected.keys()];
  const values = await opened.getMany(keys);
  expect(values.map((value) => Buffer.from(value ?? '').toString())).toEqual([...expected.values()]);
}

const isEnded = (event: EngineEvent): boolean => event.type === 'compactionEnd' && event.bytesWritten > 0;

describe.skipIf(!existsSync(BUILT))('a store on the disk', () => {
  it('has its tables written by one worker, and reads what that wrote', { timeout: 60_000 }, async () => {
    const { opened, events, workers } = await openBuilt({});
    const expected = await write(opened, 20_000);
    await until('a compaction', () => events.some(isEnded));
    await expectAll(opened, expected);
    await inTime('the compaction', opened.compact());
    await expectAll(opened, expected);
    expect(workers.size).toBe(1);
    expect(events.filter(({ type }) => type === 'workerUnavailable' || type === 'backgroundError')).toEqual([]);
  });

  it('goes on without the worker when that dies, says so once, and loses nothing', { timeout: 60_000 }, async () => {
    const { opened, events, workers } = await openBuilt({});
    let isKilled = false;
    const killer = setInterval(() => {
      const [worker] = workers;
      if (worker === undefined || !events.some(({ type }) => type === 'compactionBegin')) return;
      clearInterval(killer);
      isKilled = true;
      void worker.terminate();
    }, 1);
    const expected = await write(opened, 20_000);
    await until('its death', () => isKilled);
    await inTime('the compaction', opened.compact());
    clearInterval(killer);
    await expectAll(opened, expected);
    expect(events.filter(({ type }) => type === 'workerUnavailable')).toHaveLength(1);
    expect(workers.size).toBe(1);
    expect(opened.stats().levels[0]?.tables).toBe(0);
  });

  it('starts no thread when it is told not to', { timeout: 60_000 }, async () => {
    const { opened, events, workers } = await openBuilt({ worker: 'off' });
    await write(opened, 8000);
    await inTime('the compaction', opened.compact());
    expect(workers.size).toBe(0);
    expect(events.filter(({ type }) => type === 'workerUnavailable')).toEqual([]);
  });

  const manyJobs = `
      for (let index = 0; index < 3000; index += 1) await store.set('key ' + (index % 700), value);
      await store.compact();`;
  const oneJob = `
      await store.write(Array.from({ length: 4000 }, (_, index) => ({ type: 'set', key: 'key ' + index, value })));
      await store.flush();`;
  it.each([
    ['many jobs', 19, manyJobs],
    ['one job', 26, oneJob], // shrunk: after it the worker, which had been let go before it came up, held the process
  ])(
    'does not keep the process alive, with a worker that has done %s',
    { timeout: 60_000 },
    async (_name, bits, work) => {
      const program = `
      const { open } = await import(${JSON.stringify(BUILT.href)});
      const store = await open(process.argv[1], { memtableBytesMax: 2 ** ${bits}, durability: 'buffered' });
      const value = 'x'.repeat(1000);
      ${work}
      console.log('done');`;
      const output = await new Promise<string>((resolve, reject) => {
        const parts = ['--input-type=module', '--eval', program, newDirectory()];
        execFile(process.execPath, parts, { timeout: 30_000 }, (error, stdout) =>
          error === null
            ? resolve(stdout)
            : reject(error instanceof Error ? error : new Error('it did not end by itself')),
        );
      });
      expect(output.trim()).toBe('done');
    },
  );
});
