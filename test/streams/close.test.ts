// Goal: a close comes to its end whatever is under way, answers everybody, keeps what was acknowledged, and lets go of
// everything.
// Method: a close at many moments of work, on disks that fail, hang on and recover; then the directory is opened again.
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { ClosedError, EngineError, open, type OpenOptions, type Store } from '../../src/index.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { GatedFileSystem } from '../support/gated-file-system.ts';
import { randomOf } from '../support/runs.ts';
import { inTime, until } from '../support/waiting.ts';

const TINY: OpenOptions = {
  memtableBytesMax: 2048,
  tableBytesMax: 1024,
  level1BytesMax: 2048,
  level0CompactionTrigger: 2,
  level0SlowdownTrigger: 3,
  level0StopTrigger: 4,
  groupBytesMax: 200,
};

/** Nothing is held any more, and nothing goes on. */
async function expectQuiet(fileSystem: FaultFileSystem): Promise<void> {
  expect(fileSystem.openPaths).toEqual([]);
  expect(fileSystem.locks).toBe(0);
  const { calls } = fileSystem;
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(fileSystem.calls).toBe(calls);
}

type Answer = readonly [key: string, isAcknowledged: boolean];

/** Writes that note what they were told. */
function write(store: Store, count: number, answers: Answer[], random: () => number): PromiseLike<unknown>[] {
  return Array.from({ length: count }, (_, index) => {
    const key = `key ${answers.length} ${index} ${Math.floor(random() * 1e9)}`;
    const durability = random() < 0.5 ? 'synced' : 'buffered';
    return lastValueFrom(store.set(key, 'x'.repeat(Math.floor(random() * 150)), { durability })).then(
      () => answers.push([key, true]),
      (error: unknown) => {
        expect(error).toBeInstanceOf(EngineError);
        answers.push([key, false]);
      },
    );
  });
}

async function expectThere(fileSystem: FaultFileSystem, answers: readonly Answer[]): Promise<void> {
  const keys = answers.filter(([, isAcknowledged]) => isAcknowledged).map(([key]) => key);
  const again = await open('/db', { fileSystem });
  const values = await again.getMany(keys);
  await again.close();
  expect(keys.filter((_, index) => values[index] === undefined)).toEqual([]);
}

describe('a close', () => {
  it(
    'at any moment answers all that was accepted, keeps it, and lets go of everything',
    { timeout: 60_000 },
    async () => {
      for (let wait = 0; wait < 30; wait += 1) {
        const random = randomOf(wait);
        const fileSystem = new FaultFileSystem();
        const store = await open('/db', { ...TINY, fileSystem });
        const answers: Answer[] = [];
        const writes = write(store, 60, answers, random);
        const others = [store.flush(), store.compact(), store.getMany(['a', 'b'])].map((operation) =>
          lastValueFrom<unknown>(operation).then(undefined, (error: unknown) => {
            expect(error).toBeInstanceOf(ClosedError);
          }),
        );
        for (let turn = 0; turn < wait; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        await inTime('the close', store.close());
        await inTime('the answers', Promise.all([...writes, ...others]));
        // Accepted before the close: all of them have succeeded.
        expect(answers.filter(([, isAcknowledged]) => isAcknowledged)).toHaveLength(60);
        await expectQuiet(fileSystem);
        await expectThere(fileSystem, answers);
      }
    },
  );

  it(
    'ends every way of reading with ClosedError, and change streams without an error',
    { timeout: 20_000 },
    async () => {
      const fileSystem = new FaultFileSystem();
      const store = await open('/db', { ...TINY, fileSystem, blockCacheBytesMax: 0 });
      for (let index = 0; index < 400; index += 1) store.set(`key ${index}`, 'value').subscribe();
      await store.compact();
      const pulled = store.scan()[Symbol.asyncIterator]();
      await pulled.next();
      const waiting = store.scan()[Symbol.asyncIterator]();
      const answer = waiting.next().then(
        () => 'a value',
        (error: unknown) => error,
      );
      const pushed = lastValueFrom(store.scan()).then(
        () => 'its end',
        (error: unknown) => error,
      );
      const changes = lastValueFrom(store.changes({ from: 'now' }).pipe(toArray()));
      const pulledChanges = (async () => {
        let count = 0;
        for await (const change of store.changes({ from: 'now' })) count += change.batchSize;
        return count;
      })();
      const events = lastValueFrom(store.events.pipe(toArray()));
      const last = lastValueFrom(store.set('last', 'value'));
      const snapshot = store.snapshot();
      await inTime('the close', store.close());
      await last;
      const rest = async (): Promise<void> => {
        for (;;) if ((await pulled.next()).done === true) return;
      };
      await expect(rest()).rejects.toBeInstanceOf(ClosedError);
      expect(['a value', 'its end'].includes(String(await answer)) || (await answer) instanceof ClosedError).toBe(true);
      expect((await pushed) === 'its end' || (await pushed) instanceof ClosedError).toBe(true);
      expect((await inTime('the changes', changes)).map(({ key }) => Buffer.from(key).toString())).toEqual(['last']);
      expect(await inTime('the changes', pulledChanges)).toBe(1);
      await inTime('the events', events);
      for (const values of [pulled, waiting]) expect(await values.return?.()).toMatchObject({ done: true });
      await expect(Promise.resolve(snapshot.get('key 1'))).rejects.toBeInstanceOf(ClosedError);
      snapshot.close();
      await expectQuiet(fileSystem);
    },
  );

  it('twice, or three times at once, is one close', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await open('/db', { fileSystem });
    await store.set('key', 'value');
    await Promise.all([store.close(), store.close(), store[Symbol.asyncDispose]()]);
    const { calls } = fileSystem;
    await store.close();
    expect(fileSystem.calls).toBe(calls);
    await expectQuiet(fileSystem);
  });

  it('refuses at once what comes after it', async () => {
    const store = await open('/db', { fileSystem: new FaultFileSystem() });
    const closed = lastValueFrom(store.close());
    const late = [
      store.set('a', 'b'),
      store.delete('a'),
      store.write([]),
      store.get('a'),
      store.has('a'),
      store.getMany(['a']),
      store.flush(),
      store.compact(),
      store.approximateSize('a', 'b'),
      store.scan(),
      store.changes(),
    ];
    for (const one of late) await expect(lastValueFrom<unknown>(one)).rejects.toBeInstanceOf(ClosedError);
    expect(() => store.snapshot()).toThrow(ClosedError);
    await closed;
  });

  it('leaves nothing to replay, so that the next open writes no table', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await open('/db', { fileSystem });
    await store.set('key', 'value', { durability: 'buffered' });
    await store.close();
    const tables = (await fileSystem.list('/db')).filter((name) => name.endsWith('.ldb'));
    expect(tables).toHaveLength(1);
    const again = await open('/db', { fileSystem });
    expect(again.stats()).toMatchObject({ sequence: 1, flushes: 0 });
    expect((await fileSystem.list('/db')).filter((name) => name.endsWith('.ldb'))).toEqual(tables);
    await again.close();
  });
});

describe('a close that comes at a bad time', () => {
  it('while writers are stopped behind a compaction: they are served all the same', { timeout: 60_000 }, async () => {
    const fileSystem = new GatedFileSystem();
    let isStopped = false;
    const onEvent: OpenOptions['onEvent'] = (event) => {
      if (event.type === 'stallBegin' && event.level0Tables >= 4) isStopped = true;
    };
    const store = await open('/db', { ...TINY, fileSystem, onEvent });
    fileSystem.holdCompactions();
    const answers: Answer[] = [];
    const writes = write(store, 300, answers, randomOf(1));
    await until('the stop', () => isStopped);
    const closed = lastValueFrom(store.close());
    await inTime('the answers', Promise.all(writes));
    expect(answers.every(([, isAcknowledged]) => isAcknowledged)).toBe(true);
    fileSystem.letCompactionsGo(); // a read that hangs cannot be ended from outside
    await inTime('the close', closed);
    await expectQuiet(fileSystem);
    await expectThere(fileSystem, answers);
  });

  it.each([
    ['no table can be made', 'create', '.ldb', 'EIO'],
    ['no table can be synced', 'sync', '.ldb', 'EIO'],
    ['the disk is full', 'append', '.ldb', 'ENOSPC'],
    ['no MANIFEST can be synced', 'sync', 'MANIFEST', 'EIO'],
    ['no log can be made', 'create', '.log', 'EMFILE'],
    ['no log can be synced', 'sync', '.log', 'EIO'],
    ['nothing can be removed', 'remove', '', 'EACCES'],
    ['nothing can be closed', 'close', '', 'EIO'],
  ])(
    'while %s, for good: it does not hang, and nothing acknowledged is lost',
    { timeout: 60_000 },
    async (_why, name, part, code) => {
      for (const wait of [0, 3, 80]) {
        const fileSystem = new FaultFileSystem();
        const store = await open('/db', { ...TINY, fileSystem, syncIntervalMs: 5 });
        const answers: Answer[] = [];
        await Promise.all(write(store, 20, answers, randomOf(wait)));
        fileSystem.plan = {
          code,
          arrives: 0,
          isHit: (operation) => operation.name === name && operation.path.includes(part),
        };
        const writes = write(store, 60, answers, randomOf(wait + 1));
        const asked = [store.flush(), store.compact()].map((operation) =>
          lastValueFrom(operation).then(undefined, () => undefined),
        );
        await new Promise((resolve) => setTimeout(resolve, wait));
        const outcome = await inTime(
          'the close',
          lastValueFrom(store.close()).catch((error: unknown) => error),
        );
        if (outcome !== undefined) expect(outcome).toBeInstanceOf(EngineError);
        await inTime('the answers', Promise.all([...writes, ...asked]));
        fileSystem.plan = undefined;
        await expectQuiet(fileSystem);
        await expectThere(fileSystem, answers);
      }
    },
  );

  it('with a full queue that refuses: what was accepted is served', { timeout: 20_000 }, async () => {
    for (const onOverflow of ['fail', 'dropNewest', 'dropOldest'] as const) {
      const fileSystem = new FaultFileSystem();
      const store = await open('/db', {
        ...TINY,
        fileSystem,
        onOverflow,
        waitingWritesMax: 4,
        memtableBytesMax: 2 ** 20,
      });
      const answers: Answer[] = [];
      const writes = write(store, 20, answers, randomOf(3));
      await inTime('the close', store.close());
      await inTime('the answers', Promise.all(writes));
      expect(answers.filter(([, isAcknowledged]) => isAcknowledged).length).toBeGreaterThanOrEqual(4);
      await expectQuiet(fileSystem);
      await expectThere(fileSystem, answers);
    }
  });

  it('of a store that is only read', async () => {
    const fileSystem = new FaultFileSystem();
    const first = await open('/db', { fileSystem });
    await first.set('key', 'value');
    const reader = await open('/db', { fileSystem: new FaultFileSystem(fileSystem.memory), readOnly: true });
    expect(await reader.has('key')).toBe(true);
    await inTime('the close', reader.close());
    await first.close();
    await expectQuiet(fileSystem);
  });
});
