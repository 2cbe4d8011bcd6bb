// Goal: when the owner goes away, others go on: at once, in order, and with nothing lost, done twice or made up. Method: several
// stores in one process, whose owner closes at every moment; and figures of what the owner holds for each of them.
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { rename, rm } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type ChangeEvent, type ChangesOptions, open } from 'alluvium';
import { type AttachedStore, openOrAttach } from 'alluvium/attach';
import { encodeMessage } from '../../adapters/attach/frames.ts';
import { randomOf, runs, seedOfThisRun } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime, until } from '../support/waiting.ts';

const makeDirectory = temporaryDirectories();
const opened: AttachedStore[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const store of opened.splice(0).reverse()) await store.close();
});

async function join_(directory: string): Promise<AttachedStore> {
  const store = await openOrAttach(directory);
  opened.push(store);
  return store;
}

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString();

describe('when the owner closes', () => {
  it('one of the others takes over, and the rest attach to that one', async () => {
    const directory = makeDirectory();
    const stores = [await join_(directory), await join_(directory), await join_(directory)];
    await stores[1]?.set('a', '1');
    await stores[0]?.close();
    await until('an owner', () => stores.filter(({ role }) => role === 'owner').length === 1);
    await until('another', () => stores.filter(({ role }) => role === 'attached').length === 1);
    expect(text(await stores[1]?.get('a'))).toBe('1');
    expect(text(await stores[2]?.get('a'))).toBe('1');
    expect(stores[0]?.role).toBe('closed');
  });

  it('what is under way is answered, once, wherever the close finds it', { timeout: 120_000 }, async () => {
    const random = randomOf(seedOfThisRun());
    for (let run = 0; run < runs(15); run += 1) {
      const directory = makeDirectory();
      const owner = await join_(directory);
      const attached = await join_(directory);
      const seen: number[] = [];
      const following = attached.changes({ gte: 'k', lt: 'l' }).subscribe((change) => {
        if (change.type === 'set') seen.push(Number(text(change.value)));
      });
      let acknowledged = 0;
      const writes = Array.from({ length: 60 }, (_, n) =>
        attached.write([{ type: 'set', key: 'k', value: String(n) }], { durability: 'buffered' }).then(() => {
          expect(n).toBe(acknowledged);
          acknowledged += 1;
        }),
      );
      for (let turns = Math.floor(random() * 12); turns > 0; turns -= 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      const closed = owner.close().then(() => undefined);
      const read = attached.get('k');
      await inTime('the writes', Promise.all(writes));
      await closed;
      expect(Number(text(await read))).toBe(59);
      await until('all changes', () => seen.length >= 60);
      expect(seen).toEqual(Array.from({ length: 60 }, (_, n) => n));
      following.unsubscribe();
      expect(attached.role).toBe('owner');
      await attached.close();
    }
  });

  it('snapshots and open scans say that they are gone', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    for (let n = 0; n < 600; n += 1) await owner.set(`k${n}`, 'v', { durability: 'buffered' });
    const view = attached.snapshot();
    expect(text(await view.get('k1'))).toBe('v');
    const scan = attached.scan()[Symbol.asyncIterator]();
    await scan.next();
    const unread = attached.scan();
    await owner.close();
    await expect(view.get('k1')).rejects.toMatchObject({ code: 'OWNER_LOST' });
    await expect(view.scan()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'OWNER_LOST' });
    const rest = async (): Promise<void> => {
      while ((await scan.next()).done !== true);
    };
    await expect(rest()).rejects.toMatchObject({ code: 'OWNER_LOST' });
    view.close();
    let count = 0;
    for await (const page of unread.pages()) count += page.length; // it had not begun
    expect(count).toBe(600);
  });

  it('changes come to the end that they were given, at another owner', { timeout: 60_000 }, async () => {
    const random = randomOf(seedOfThisRun());
    for (let run = 0; run < runs(6); run += 1) {
      const directory = makeDirectory();
      const owner = await join_(directory);
      const attached = await join_(directory);
      for (let n = 1; n <= 3000; n += 1) void owner.set(`k${n}`, 'v', { durability: 'buffered' }).subscribe();
      await owner.set('end', '');
      const collect = async (options: ChangesOptions): Promise<number[]> => {
        const found: number[] = [];
        for await (const event of attached.changes(options)) if (event.type !== 'entry') found.push(event.sequence);
        return found;
      };
      const now = collect({ from: 'start', until: 'now' });
      const future = collect({ from: 3001, until: 3003 });
      await attached.has('end'); // the owner has been asked for all of it
      for (let turns = Math.floor(random() * 12); turns > 0; turns -= 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      await owner.set('behind', '');
      await owner.close();
      await attached.set('behind it', '');
      await attached.set('beyond', '');
      expect(await inTime('the end', now)).toEqual(Array.from({ length: 3001 }, (_, n) => n + 1));
      expect(await inTime('the end to come', future)).toEqual([3001, 3002, 3003]);
      await attached.close();
    }
  });

  it(
    'changes go on without a gap and without a repeat, through one owner after the other',
    { timeout: 60_000 },
    async () => {
      const directory = makeDirectory();
      const first = await join_(directory);
      const last = await join_(directory);
      const seen: ChangeEvent[] = [];
      const values = new Map<string, string | undefined>();
      last.changes({ from: 'snapshot' }).subscribe((event) => void seen.push(event));
      last.watch({ gte: '' }).subscribe(({ key, value }) => void values.set(text(key) ?? '', text(value)));
      await first.set('n0', '0');
      await until('the first', () => seen.some(({ type }) => type === 'set') && values.size === 1);
      for (let n = 1; n <= 6; n += 1) {
        const owner = opened.find(({ role }) => role === 'owner');
        if (owner !== last) await owner?.close();
        const writer = await join_(directory);
        await writer.set(`n${n}`, String(n));
        await writer.delete(`n${n - 1}`);
      }
      const changes = (): string[] =>
        seen.flatMap((event) =>
          event.type === 'set' || event.type === 'delete' ? [`${event.type.charAt(0)}${text(event.key) ?? ''}`] : [],
        );
      const expected = ['sn0', ...[1, 2, 3, 4, 5, 6].flatMap((n) => [`sn${n}`, `dn${n - 1}`])];
      await until('all', () => changes().length >= expected.length);
      expect(changes()).toEqual(expected);
      await until('the watch', () => values.get('n5') === undefined && values.get('n6') === '6');
    },
  );

  it('another database in its place is refused', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    await owner.set('a', '1');
    const elsewhere = `${directory}-before`;
    await rename(directory, elsewhere); // what is open stays open
    const other = await open(directory);
    await other.set('a', '2');
    await other.close();
    await owner.close();
    await expect(attached.get('a')).rejects.toMatchObject({ code: 'OTHER_DATABASE' });
    await rm(elsewhere, { recursive: true });
  });
});

describe('closing', () => {
  it('serves what was accepted, and refuses what comes later', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    const write = attached.set('a', '1').then(({ durability }) => durability);
    const changes = attached.changes()[Symbol.asyncIterator]().next();
    const closed = attached.close().then(() => 'closed');
    await expect(attached.get('a')).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await Promise.all([write, closed])).toEqual(['synced', 'closed']);
    expect(await changes).toMatchObject({ done: true });
    expect(text(await owner.get('a'))).toBe('1');
    await attached.close();
  });

  it('leaves nothing that could be asked, whoever had the store', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    await attached.close();
    await owner.close();
    for (const store of [owner, attached]) {
      await expect(store.get('a')).rejects.toMatchObject({ code: 'CLOSED' });
      await expect(store.set('a', '1')).rejects.toMatchObject({ code: 'CLOSED' });
    }
  });

  it('of either side lets go of all that was held', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    for (let n = 0; n < 10; n += 1) {
      await attached.snapshot().has('a');
      await attached.set('a', String(n), { durability: 'buffered' });
    }
    expect((await owner.stats()).snapshots).toBe(10);
    await attached.close();
    for (;;) {
      if ((await owner.stats()).snapshots === 0) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
});

describe('back-pressure', () => {
  it('who does not take its answers is not read any more, and others are served', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    await owner.set('k', Buffer.alloc(256 * 1024), { durability: 'buffered' });
    const socket = connect(join(owner.location, 'alluvium.sock'));
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.pause();
    for (const each of encodeMessage({ protocol: 'alluvium-attach', version: 2, package: '' })) socket.write(each);
    const before = process.memoryUsage().arrayBuffers;
    // 5 GiB of answers, if all of them were made.
    for (let id = 0; id < 20_000; id += 1) {
      for (const each of encodeMessage({ id, request: { op: 'get', key: 'k', padding: 'x'.repeat(200) } }))
        socket.write(each);
    }
    const other = await join_(directory);
    for (let n = 0; n < 50; n += 1) await other.set(`o${n}`, '1', { durability: 'buffered' });
    expect(socket.writableLength).toBeGreaterThan(0); // the owner has stopped reading
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200 * 1024 * 1024);
  });

  it('many calls at once are all answered, in order', async () => {
    const directory = makeDirectory();
    await join_(directory);
    const attached = await join_(directory);
    const order: number[] = [];
    const value = Buffer.alloc(16 * 1024);
    const calls = Array.from({ length: 3000 }, (_, n) =>
      attached.set(`k${n % 10}`, value, { durability: 'buffered' }).then(() => void order.push(n)),
    );
    await inTime('all', Promise.all(calls), 60_000);
    expect(order).toEqual(Array.from({ length: 3000 }, (_, n) => n));
  });
});

describe('a change stream that nothing is written to', () => {
  it(
    'goes on when the owner goes away, though history has left its last change behind',
    { timeout: 120_000 },
    async () => {
      const directory = makeDirectory();
      const owner = await openOrAttach(directory, { memtableBytesMax: 64 * 1024, historyBytesMax: 64 * 1024 });
      opened.push(owner);
      const attached = await join_(directory);
      const seen: string[] = [];
      const failures: unknown[] = [];
      // By itself it would take some seconds; whoever asks to be told is told sooner.
      const options = { gte: 'k', lt: 'l', progressMs: 20 } as const;
      attached.changes(options).subscribe({
        next: (event) => {
          if (event.type === 'set') seen.push(text(event.value) ?? '');
          if (event.type === 'skipped') place = event.sequence;
        },
        error: (error: unknown) => void failures.push(error),
      });
      let place = 0;
      await attached.set('k', '1');
      await until('the first', () => seen.length === 1);
      for (let n = 0; n < 100; n += 1) await owner.set('a', Buffer.alloc(8 * 1024), { durability: 'buffered' });
      await owner.flush();
      const { sequence } = await owner.stats();
      await until('the place', () => place >= sequence);
      await owner.close();
      await attached.set('k', '2');
      await until('the second', () => failures.length > 0 || seen.length === 2);
      expect([seen, failures]).toEqual([['1', '2'], []]);
    },
  );
});
