// Goal: when compaction falls behind, writers feel it: first a little, then wholly; nobody else does, and no write is lost.
// Method: compactions that stand still until the test lets them go.
import { lastValueFrom } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type EngineEvent, open, type OpenOptions, ReadOnlyError, type Store } from '../../src/index.ts';
import { systemClock } from '../../src/streams/clock.ts';
import { GatedFileSystem } from '../support/gated-file-system.ts';
import { inTime, until } from '../support/waiting.ts';

const KIB = 1024;
const OPTIONS: OpenOptions = {
  memtableBytesMax: 64 * KIB,
  level0CompactionTrigger: 2,
  level0SlowdownTrigger: 1,
  level0StopTrigger: 5,
  durability: 'buffered',
  groupBytesMax: 1, // a group for each write
  clock: { ...systemClock, now: () => systemClock.now() / 10 }, // on a busy machine, too, a delay is not over at once
};

let fileSystem = new GatedFileSystem();
let store: Store | undefined;
let events: EngineEvent[] = [];
afterEach(async () => {
  fileSystem.plan = undefined;
  fileSystem.letCompactionsGo();
  await store?.close();
  store = undefined;
});

async function openStore(options: OpenOptions = {}): Promise<Store> {
  fileSystem = new GatedFileSystem();
  events = [];
  store = await open('/db', { ...OPTIONS, ...options, fileSystem, onEvent: (event) => events.push(event) });
  return store;
}

const level0 = (opened: Store): number => opened.stats().levels[0]?.tables ?? 0;
/** Whether level 0 is full, and a group waits for that. (A stop for a flush, which is soon over, comes before.) */
const isStopped = (): boolean => {
  const last = events.findLast(({ type }) => type === 'stallBegin' || type === 'stallEnd');
  return last?.type === 'stallBegin' && last.kind === 'stop' && last.level0Tables >= 5;
};
const value = 'x'.repeat(10 * KIB);
/** The same keys again and again, so that the tables have to be merged. */
const keyOf = (index: number): string => `key ${index % 9}`;

describe('writers', () => {
  it('are slowed, then stopped, and go on when compaction does; nothing is lost', { timeout: 30_000 }, async () => {
    const opened = await openStore();
    fileSystem.holdCompactions();
    const answers: number[] = [];
    const COUNT = 60;
    const writes = Array.from({ length: COUNT }, (_, index) =>
      opened.set(keyOf(index), `${index} ${value}`).then(({ sequence }) => answers.push(sequence)),
    );
    await until('the stop', isStopped);
    expect(events.some((event) => event.type === 'stallBegin' && event.kind === 'slowdown')).toBe(true);
    const answered = answers.length;
    expect(answered).toBeLessThan(COUNT);
    expect(level0(opened)).toBe(5);

    // Nobody else is held up: timers, reads, scans.
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 2);
    const read = await fileSystem.whileReading(() => opened.get(keyOf(0)));
    expect(Buffer.from(read ?? '').toString()).toContain(value);
    await new Promise((resolve) => setTimeout(resolve, 60));
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(1);
    expect(answers.length).toBe(answered);
    expect(opened.stats().waitingWrites).toBeGreaterThan(0);

    fileSystem.letCompactionsGo();
    await inTime('the writes', Promise.all(writes));
    expect(answers).toEqual(Array.from({ length: COUNT }, (_, index) => index + 1));
    expect(opened.stats().stalledMs).toBeGreaterThan(0);
    for (let key = 0; key < 9; key += 1) {
      const last = COUNT - 1 - ((COUNT - 1 - key) % 9);
      expect(Buffer.from((await opened.get(keyOf(key))) ?? '').toString()).toBe(`${last} ${value}`);
    }
  });

  it('are told once that a stall ends, however its kind has changed meanwhile', { timeout: 30_000 }, async () => {
    const opened = await openStore();
    fileSystem.holdCompactions();
    const writes = Array.from({ length: 60 }, (_, index) => Promise.resolve(opened.set(keyOf(index), value)));
    await until('the stop', isStopped);
    fileSystem.letCompactionsGo();
    await inTime('the writes', Promise.all(writes));
    let isStalled = false;
    let kind: string | undefined;
    for (const event of events) {
      if (event.type === 'stallBegin') {
        if (isStalled) expect(event.kind).not.toBe(kind); // it waits on, for another reason
        isStalled = true;
        kind = event.kind;
      } else if (event.type === 'stallEnd') {
        expect(isStalled).toBe(true);
        expect(event.durationMs).toBeGreaterThanOrEqual(0);
        isStalled = false;
      }
    }
    expect(isStalled).toBe(false);
  });

  it('can be taken back while they wait behind the stop', { timeout: 30_000 }, async () => {
    const opened = await openStore();
    fileSystem.holdCompactions();
    const writes = Array.from({ length: 60 }, (_, index) => Promise.resolve(opened.set(keyOf(index), value)));
    await until('the stop', isStopped);
    const controller = new AbortController();
    const aborted = lastValueFrom(opened.set('aborted', value, { signal: controller.signal }));
    const subscription = opened.set('unsubscribed', value).subscribe();
    controller.abort();
    subscription.unsubscribe();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    fileSystem.letCompactionsGo();
    await inTime('the writes', Promise.all(writes));
    expect(await opened.getMany(['aborted', 'unsubscribed'])).toEqual([undefined, undefined]);
  });

  it(
    'behind a compaction that fails are refused, not kept waiting, and go on when it succeeds',
    { timeout: 30_000 },
    async () => {
      const opened = await openStore({ memtableBytesMax: 16 * KIB });
      fileSystem.plan = {
        code: 'EIO',
        arrives: 0,
        isHit: ({ name, path }) => name === 'open' && path.endsWith('.ldb'), // compactions only
      };
      let refusal: unknown;
      const acknowledged: string[] = [];
      for (let index = 0; refusal === undefined && index < 200; index += 1) {
        const key = `key ${index % 3} ${index}`;
        await inTime(
          'an answer',
          opened.set(key, 'x'.repeat(5 * KIB)).then(
            () => acknowledged.push(key),
            (error: unknown) => (refusal = error),
          ),
        );
      }
      expect(refusal).toBeInstanceOf(ReadOnlyError);
      expect(refusal).toMatchObject({ cause: { code: 'IO', systemCode: 'EIO' } });
      fileSystem.plan = undefined;
      await until('the compaction', () => level0(opened) < 5);
      await inTime('the write', opened.set('after', 'it'));
      expect((await opened.getMany(acknowledged)).includes(undefined)).toBe(false);
    },
  );

  it('that only wait for a flush are not refused because of a compaction', { timeout: 30_000 }, async () => {
    const opened = await openStore({
      memtableBytesMax: 4 * KIB,
      waitingMemtablesMax: 1,
      level0SlowdownTrigger: 1000,
      level0StopTrigger: 1000,
    });
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ name, path }) => name === 'open' && path.endsWith('.ldb'), // compactions only
    };
    const write = (index: number): Promise<unknown> => inTime('an answer', opened.set(keyOf(index), 'x'.repeat(KIB)));
    for (let index = 0; !events.some(({ type }) => type === 'backgroundError'); index += 1) {
      await write(index);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(Array.from({ length: 60 }, (_, index) => write(index)));
    expect(events.some((event) => event.type === 'stallBegin' && event.waitingMemtables > 0)).toBe(true);
  });

  it('wait for a flush that has no room, and not longer than until it fails', { timeout: 30_000 }, async () => {
    const opened = await openStore({ memtableBytesMax: 8 * KIB, waitingMemtablesMax: 1 });
    fileSystem.plan = {
      code: 'ENOSPC',
      arrives: 0,
      isHit: ({ name, path }) => name === 'create' && path.endsWith('.ldb'),
    };
    let refusal: unknown;
    const acknowledged: string[] = [];
    for (let index = 0; refusal === undefined && index < 100; index += 1) {
      await inTime(
        'an answer',
        opened.set(`key ${index}`, 'x'.repeat(KIB)).then(
          () => acknowledged.push(`key ${index}`),
          (error: unknown) => (refusal = error),
        ),
      );
    }
    expect(refusal).toMatchObject({ code: 'READ_ONLY', cause: { code: 'NO_SPACE' } });
    fileSystem.plan = undefined;
    await until('the flush', () => opened.stats().waitingMemtables === 0);
    await inTime('the write', opened.set('after', 'it'));
    expect((await opened.getMany([...acknowledged, 'after'])).includes(undefined)).toBe(false);
  });
});
