// Goal: history is kept as the options say, and as long as a consumer needs it, and never beyond the hard limit; whoever
// asks for what is gone hears so, with the place from which there is everything.
// Method: memtables of a few writes, so that there are many logs; the files of the archive, counted; a clock that is set.
import { firstValueFrom, filter } from 'rxjs';
import { describe, expect, it } from 'vitest';
import {
  type Change,
  type ChangesFrom,
  type EngineEvent,
  HistoryGoneError,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type Store,
} from '../../src/index.ts';
import { ending, lineOf, next, taken } from '../support/change-lines.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { Gate } from '../support/gate.ts';
import { SetClock } from '../support/set-clock.ts';
import { inTime, until } from '../support/waiting.ts';

const DIRECTORY = '/data';
const KIB = 1024;
const VALUE = 'v'.repeat(KIB);

/** Logs of history on the disk, and their bytes. */
async function archived(files: MemoryFileSystem): Promise<{ logs: number; bytes: number }> {
  const root = `${DIRECTORY}/archive`;
  const [id = ''] = await files.list(root);
  const logs = (await files.list(`${root}/${id}`)).filter((name) => name.endsWith('.log'));
  let bytes = 0;
  for (const name of logs) {
    const stat = await files.stat(`${root}/${id}/${name}`).catch(() => undefined); // it may go meanwhile
    bytes += stat?.size ?? 0;
  }
  return { logs: logs.length, bytes };
}
/** So many logs of one write each, all in tables. */
async function writeLogs(store: Store, count: number): Promise<void> {
  for (let log = 0; log < count; log += 1) {
    await store.set('key', VALUE);
    await store.flush();
  }
}
/** The first change there is. What goes between the look and the reading is told, and looked for again. */
async function oldest(store: Store): Promise<number> {
  for (;;) {
    const found = await taken(store.changes({ from: 'start' }), 1).catch((error: unknown) => {
      if (error instanceof HistoryGoneError) return undefined;
      throw error;
    });
    if (found !== undefined) return found[0]?.sequence ?? 0;
  }
}
/** Waits until that is so. */
async function untilSo(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const state = { isSo: await isSo(), isAsked: false };
  await until(what, () => {
    if (!state.isSo && !state.isAsked) {
      state.isAsked = true;
      void isSo().then((answer) => Object.assign(state, { isSo: answer, isAsked: false }));
    }
    return state.isSo;
  });
}
async function goneFrom(store: Store, from: ChangesFrom): Promise<HistoryGoneError> {
  const { values, error } = await ending(store.changes({ from }));
  expect(values).toEqual([]);
  expect(error).toBeInstanceOf(HistoryGoneError);
  return error as HistoryGoneError;
}
const openWith = async (options: OpenOptions): Promise<[Store, MemoryFileSystem, EngineEvent[]]> => {
  const fileSystem = new MemoryFileSystem();
  const events: EngineEvent[] = [];
  const store = await open(DIRECTORY, { fileSystem, onEvent: (event) => events.push(event), ...options });
  return [store, fileSystem, events];
};
/** Runs a consumer until it has settled everything up to a sequence number. */
async function consume(store: Store, last: number): Promise<void> {
  const consumer = store.consumer('slow', { from: 'start', handle: () => undefined });
  await inTime(
    'the consumer',
    firstValueFrom(consumer.run().pipe(filter((event) => event.type === 'acked' && event.sequence >= last))),
  );
}

describe('history', () => {
  it('keeps everything by default, and everything that is in no table whatever the limit', async () => {
    const [store, files] = await openWith({});
    await writeLogs(store, 20);
    expect(await taken(store.changes({ from: 'start' }), 20)).toHaveLength(20);
    expect((await archived(files)).logs).toBeGreaterThanOrEqual(20);
    await store.close();

    const [none] = await openWith({ historyBytesMax: 0, historyHardBytesMax: 0 });
    for (let index = 0; index < 50; index += 1) await none.set(`${index}`, VALUE);
    expect(await taken(none.changes({ from: 'start' }), 50)).toHaveLength(50);
    await none.close();
  });

  it('goes, the oldest first and by whole logs, beyond historyBytesMax; the cursors to it get HISTORY_GONE', async () => {
    const [store, files, events] = await openWith({ historyBytesMax: 5 * KIB });
    const live = store.changes()[Symbol.asyncIterator]();
    const first = next(live, 3);
    await writeLogs(store, 3);
    const [one, two] = await first;
    expect(await oldest(store)).toBe(1);
    await writeLogs(store, 9);
    await untilSo('the oldest have gone', async () => (await oldest(store)) === 9);
    const start = await oldest(store);
    expect(start).toBe(12 - 4 + 1); // each log is 1 KiB and a little: four fit
    await untilSo('their files have gone', async () => (await archived(files)).bytes <= 5 * KIB);
    const { logs } = await archived(files);
    expect(logs).toBeLessThanOrEqual(4 + 2); // and those that are in no table: what is written next
    for (const from of [one?.cursor ?? 'now', two?.cursor ?? 'now', 1, start - 1] as const) {
      const error = await goneFrom(store, from);
      expect(error).toMatchObject({ code: 'HISTORY_GONE', oldest: start });
      expect(error.sequence).toBeLessThan(start);
      expect(error.message).toContain(String(start));
    }
    expect(await goneFrom(store, two?.cursor ?? 'now')).toMatchObject({ sequence: 3 });
    // Where the error says that there is everything, there is.
    expect((await taken(store.changes({ from: start }), 4)).map(({ sequence }) => sequence)).toEqual([9, 10, 11, 12]);
    expect(await next(live, 9)).toHaveLength(9); // who was live is not concerned
    expect(events.filter(({ type }) => type === 'historyDropped' || type === 'historyHeld')).toEqual([]);
    await store.close();
  });

  it('goes at the next open, when the limit is lower then', async () => {
    const [store, files] = await openWith({});
    await writeLogs(store, 10);
    await store.close();
    const again = await open(DIRECTORY, { fileSystem: files, historyBytesMax: 2 * KIB + 512 });
    await untilSo('the oldest have gone', async () => (await oldest(again)) === 9);
    await again.close();
    const third = await open(DIRECTORY, { fileSystem: files });
    expect(await oldest(third)).toBe(9); // and it is known after another open
    expect((await goneFrom(third, 8)).oldest).toBe(9);
    await third.close();
  });

  it('goes beyond its age, also when nothing is written', async () => {
    const HOUR = 3_600_000;
    const clock = new SetClock(1e12);
    const [store, files] = await openWith({ clock, historyAgeMsMax: HOUR });
    for (let minute = 0; minute < 60; minute += 20) {
      await writeLogs(store, 1);
      clock.dateMs += 20 * 60_000;
    }
    const before = (await archived(files)).logs;
    expect(await oldest(store)).toBe(1);
    clock.dateMs += 1; // the first is an hour and a millisecond old
    expect(clock.held).toContain(60_000);
    clock.fire(60_000);
    await untilSo('the first has gone', async () => (await oldest(store)) === 2);
    await untilSo('its file has gone', async () => (await archived(files)).logs === before - 1);
    clock.dateMs += 10 * HOUR;
    expect(clock.fire(60_000)).toBe(1); // it looks again and again
    await untilSo('all have gone', async () => (await archived(files)).logs === before - 3);
    expect((await goneFrom(store, 3)).oldest).toBe(4);
    expect((await goneFrom(store, new Date(1e12))).oldest).toBe(4);
    await store.close();
    expect(clock.held).toEqual([]);
  });

  it('gives a date before it HISTORY_GONE, and one within it the change of that time', async () => {
    const clock = new SetClock(1e12);
    const [store] = await openWith({ clock, historyBytesMax: 3 * KIB + 512 });
    for (let index = 0; index < 8; index += 1) {
      await writeLogs(store, 1);
      clock.dateMs += 1000;
    }
    await untilSo('the oldest have gone', async () => (await oldest(store)) === 6);
    expect(await goneFrom(store, new Date(1e12))).toMatchObject({ oldest: 6 });
    // What is gone may have been committed at the very time of the oldest that is there.
    for (const ms of [4999, 5000]) expect(await goneFrom(store, new Date(1e12 + ms))).toMatchObject({ oldest: 6 });
    for (const [ms, sequence] of [
      [5001, 7],
      [6000, 7],
      [7000, 8],
    ] as const) {
      const [change] = await taken(store.changes({ from: new Date(1e12 + ms) }), 1);
      expect(change?.sequence).toBe(sequence);
    }
    await store.close();
  });

  it('that goes while a stream reads it, or sleeps in it, ends the stream with HISTORY_GONE and never with a hole', async () => {
    const gate = new Gate();
    const files = new MemoryFileSystem();
    const fileSystem = new DelayedFileSystem(files, async (call) => {
      if (/^open .*archive.*\.log$/.test(call)) await gate.pass();
    });
    const store = await open(DIRECTORY, { fileSystem, historyBytesMax: 4 * KIB + 512 });
    await writeLogs(store, 4);
    const reading = store.changes({ from: 1 })[Symbol.asyncIterator]();
    const oldest = store.changes({ from: 'start' })[Symbol.asyncIterator]();
    gate.close();
    const first = next(reading, 1);
    const firstOfAll = next(oldest, 1);
    const sleeping = store.changes({ bufferChangesMax: 1 })[Symbol.asyncIterator]();
    const one = next(sleeping, 1);
    await until('both open the log', () => gate.waiting > 1);
    await writeLogs(store, 6);
    expect((await one)[0]?.sequence).toBe(5); // the only one that it took
    const early = (await ending(store.changes({ from: 1 }))).error;
    expect(early).toMatchObject({ code: 'HISTORY_GONE', oldest: 7 });
    await untilSo('the files have gone', async () => (await archived(files)).logs <= 6);
    gate.open();
    await expect(inTime('the reader', first)).rejects.toMatchObject({ code: 'HISTORY_GONE' });
    // Who has nothing yet, and wanted the oldest, gets what is the oldest now.
    expect((await inTime('the one who wants the oldest', firstOfAll))[0]?.sequence).toBe(7);
    await expect(inTime('the sleeper', next(sleeping, 1))).rejects.toMatchObject({
      code: 'HISTORY_GONE',
      sequence: 6,
      oldest: 7,
    });
    await store.close();
  });

  it('that could not be removed is removed later', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await open(DIRECTORY, { fileSystem, historyBytesMax: 3 * KIB + 512 });
    await writeLogs(store, 3);
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ name, path }) => path.includes('/archive/') && (name === 'rename' || name === 'remove'),
    };
    await writeLogs(store, 4);
    expect(fileSystem.faults).toBeGreaterThan(0);
    expect((await archived(fileSystem.memory)).bytes).toBeGreaterThan(4 * KIB);
    fileSystem.plan = undefined;
    await writeLogs(store, 1);
    await untilSo('it is removed', async () => (await archived(fileSystem.memory)).bytes <= 4 * KIB);
    expect(await oldest(store)).toBe(6);
    await store.close();
  });
});

describe('a consumer', () => {
  it('holds what it has not settled, beyond historyBytesMax, also after a reopening, until it is settled', async () => {
    const [store, files] = await openWith({ historyBytesMax: 2 * KIB });
    await store.set('key', VALUE);
    await consume(store, 1);
    await writeLogs(store, 8);
    const { sequence } = await store.write([]);
    const lag = await store.consumer('slow', { handle: () => undefined }).lag();
    expect(lag.changes).toBeGreaterThan(0);
    expect(await taken(store.changes({ from: 2 }), 8)).toHaveLength(8);
    await store.close();

    const again = await open(DIRECTORY, { fileSystem: files, historyBytesMax: 2 * KIB });
    await writeLogs(again, 2); // it looks for what may go
    expect(await taken(again.changes({ from: 2 }), 10)).toHaveLength(10);
    await consume(again, sequence);
    await writeLogs(again, 2);
    await untilSo('the others have gone', async () => (await oldest(again)) > 9);
    await again.close();
  });

  it('that is deleted holds nothing any more', async () => {
    const [store] = await openWith({ historyBytesMax: 2 * KIB });
    await store.set('key', VALUE);
    await consume(store, 1);
    await writeLogs(store, 5);
    expect(await taken(store.changes({ from: 2 }), 5)).toHaveLength(5);
    await store.consumer('slow', { handle: () => undefined }).delete();
    await writeLogs(store, 1);
    await untilSo('the others have gone', async () => (await oldest(store)) > 3);
    await store.close();
  });

  it('is warned of once at four fifths of the hard limit, and named when it loses its place', async () => {
    const [store, files, events] = await openWith({
      historyBytesMax: 2 * KIB,
      historyHardBytesMax: 10 * KIB,
      memtableBytesMax: 64 * KIB, // so that its log reserves 1 KiB at most
    });
    await store.set('key', VALUE);
    await consume(store, 1);
    const told = (type: EngineEvent['type']): EngineEvent[] => events.filter((event) => event.type === type);
    const bytes: number[] = [];
    const writeUntil = async (type: EngineEvent['type']): Promise<void> => {
      for (let log = 0; told(type).length === 0; log += 1) {
        expect(log).toBeLessThan(20);
        bytes.push((await archived(files)).bytes);
        await writeLogs(store, 1);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await writeUntil('historyHeld');
    expect(told('historyHeld')).toMatchObject([{ consumer: 'slow', bytesMax: 10 * KIB }]);
    const [held] = told('historyHeld');
    expect(held?.type === 'historyHeld' && held.bytes >= 8 * KIB).toBe(true);
    expect(Math.max(...bytes)).toBeLessThan(9 * KIB + 100); // not before; 100 for the logs that nothing is in yet
    expect(told('historyDropped')).toEqual([]);
    const { sequence } = await store.write([]);
    expect((await taken(store.changes({ from: 2 }), 1))[0]?.sequence).toBeLessThan(sequence - 3); // all is there

    await writeUntil('historyDropped');
    expect(told('historyDropped')).toMatchObject([{ consumers: ['slow'] }]);
    await writeLogs(store, 3);
    expect(told('historyHeld')).toHaveLength(1);
    expect(told('historyDropped')).toHaveLength(1); // told of once
    // It holds nothing any more; and it hears of its loss when it runs.
    await untilSo('what it held has gone', async () => (await archived(files)).bytes <= 2 * KIB + 100);
    const error = await firstValueFrom(store.consumer('slow', { handle: () => undefined }).run()).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(HistoryGoneError);
    expect(lineOf((await taken(store.changes({ from: 'start' }), 1))[0] as Change)).toContain('set key');
    await store.close();

    // Nor after a reopening, which knows of it from its record.
    const options = { historyBytesMax: 2 * KIB, historyHardBytesMax: 10 * KIB };
    const again = await open(DIRECTORY, { fileSystem: files, ...options, onEvent: (event) => events.push(event) });
    await writeLogs(again, 5);
    await untilSo('what is too much has gone', async () => (await archived(files)).bytes <= 2 * KIB + 100);
    expect([told('historyHeld').length, told('historyDropped').length]).toEqual([1, 1]);
    await again.close();
  });
});
