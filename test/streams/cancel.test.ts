// Goal: whatever is under way can be left: its caller hears so at once, and nothing stays behind, no lock, no listener, no work.
import { firstValueFrom, lastValueFrom, race, Subject, takeUntil, timeout, timer } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { AbortedError, open, type OpenOptions, type Store } from '../../src/index.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { GatedFileSystem } from '../support/gated-file-system.ts';
import { inTime, until } from '../support/waiting.ts';

let store: Store | undefined;
afterEach(async () => {
  await store?.close();
  store = undefined;
});
const openStore = async (options: OpenOptions): Promise<Store> => {
  store = await open('/db', options);
  return store;
};

describe('an open that nobody waits for any more', () => {
  it.each<[string, (fileSystem: FaultFileSystem) => Promise<void>]>([
    [
      'because of its signal',
      async (fileSystem) => {
        const controller = new AbortController();
        const opening = lastValueFrom(open('/db', { fileSystem, signal: controller.signal })); // begun, unlike a promise
        controller.abort('why');
        await expect(opening).rejects.toMatchObject({ code: 'ABORTED', cause: 'why' });
      },
    ],
    [
      'because it was unsubscribed',
      (fileSystem) => {
        open('/db', { fileSystem }).subscribe().unsubscribe();
        return Promise.resolve();
      },
    ],
    [
      'because another was first',
      async (fileSystem) => {
        const first$ = new Subject<string>();
        const winner = firstValueFrom(race(open('/db', { fileSystem }), first$));
        first$.next('first');
        expect(await winner).toBe('first');
      },
    ],
  ])('%s closes what it has opened: the lock is free, no file is open', async (_why, leave) => {
    const fileSystem = new FaultFileSystem();
    await leave(fileSystem);
    await until(
      'the close',
      () => fileSystem.calls > 10 && fileSystem.locks === 0 && fileSystem.openPaths.length === 0,
    );
    await openStore({ fileSystem });
  });

  it('with a signal that is aborted before touches nothing', async () => {
    const fileSystem = new FaultFileSystem();
    const opening = Promise.resolve(open('/db', { fileSystem, signal: AbortSignal.abort() }));
    await expect(opening).rejects.toBeInstanceOf(AbortedError);
    expect(fileSystem.calls).toBe(0);
  });

  it('stays open for its owner when that has got it, whatever the signal does', async () => {
    const controller = new AbortController();
    const opened = await openStore({ fileSystem: new FaultFileSystem(), signal: controller.signal });
    controller.abort();
    await opened.set('key', 'value');
    const subscribed = await firstValueFrom(
      open('/other', { fileSystem: new FaultFileSystem() }).pipe(timeout(10_000)),
    );
    await subscribed.set('key', 'value');
    await subscribed.close();
  });
});

describe('a flush or a compaction that nobody waits for any more', () => {
  it('ends for its caller, and is done all the same', { timeout: 30_000 }, async () => {
    const fileSystem = new GatedFileSystem();
    const opened = await openStore({ fileSystem, durability: 'buffered' });
    const write = async (): Promise<void> => {
      for (const key of ['a', 'b', 'c']) await opened.set(key, 'value');
    };
    await write();
    const controller = new AbortController();
    const flushed = lastValueFrom(opened.flush({ signal: controller.signal }));
    controller.abort('why');
    await expect(flushed).rejects.toMatchObject({ code: 'ABORTED', cause: 'why' });
    await until('the flush', () => opened.stats().flushes === 1);

    await write();
    fileSystem.holdCompactions();
    const other = new AbortController();
    const compacted = lastValueFrom(opened.compact({ signal: other.signal }));
    await until('the flush', () => opened.stats().flushes === 2);
    other.abort('stop');
    await expect(compacted).rejects.toMatchObject({ code: 'ABORTED', cause: 'stop' });
    fileSystem.letCompactionsGo();
    await inTime('another one', opened.compact());
    expect(opened.stats().levels[0]?.tables).toBe(0);
  });

  it('by unsubscribing, too', async () => {
    const opened = await openStore({ fileSystem: new FaultFileSystem() });
    await opened.set('a', 'value');
    opened
      .flush()
      .pipe(takeUntil(timer(0)))
      .subscribe();
    opened.compact().subscribe().unsubscribe();
    await inTime('a write', opened.set('b', 'value'));
    await inTime('a flush', opened.flush());
  });
});

describe('a stream of changes that nobody wants any more', () => {
  it('is gone: by break, unsubscribe, and signal; writers never waited for it', async () => {
    const opened = await openStore({ fileSystem: new FaultFileSystem() });
    const byBreak = (async () => {
      for await (const { key } of opened.changes({ from: 'now' })) return Buffer.from(key).toString();
      return undefined;
    })();
    const controller = new AbortController();
    const bySignal = (async () => {
      for await (const change of opened.changes({ from: 'now', signal: controller.signal }))
        expect(change.sequence).toBe(1);
    })();
    let seen = 0;
    const subscription = opened.changes({ from: 'now' }).subscribe(() => (seen += 1));
    await opened.set('one', '1');
    subscription.unsubscribe();
    expect(await byBreak).toBe('one');
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort('enough');
    await expect(bySignal).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' });
    await opened.set('two', '2');
    expect(seen).toBe(1);
  });

  it('that is aborted before sees nothing, and one that is left while it waits ends at once', async () => {
    const opened = await openStore({ fileSystem: new FaultFileSystem() });
    const values = opened.changes({ from: 'now', signal: AbortSignal.abort() })[Symbol.asyncIterator]();
    await expect(values.next()).rejects.toBeInstanceOf(AbortedError);
    const waiting = opened.changes({ from: 'now' })[Symbol.asyncIterator]();
    const next = waiting.next();
    await waiting.return?.();
    expect(await inTime('its end', next)).toMatchObject({ done: true });
  });
});
