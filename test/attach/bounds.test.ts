// Goal: what one side does wrong, or too much of, costs the other side nothing; and what happened once stays mended. Method: one
// case for each; clients and owners of a bare socket, and processes of other users where we may make them.
import { execFile } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join, relative } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ConsumerError, open, type Store } from 'alluvium';
import { type AttachedStore, type AttachOptions, openOrAttach } from 'alluvium/attach';
import { Desk } from '../../adapters/attach/desk.ts';
import { encodeMessage, FrameReader } from '../../adapters/attach/frames.ts';
import { presentCursor } from '../../adapters/attach/present-cursor.ts';
import { readError, writeError } from '../../adapters/attach/wire-error.ts';
import { SetClock } from '../support/set-clock.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime, until } from '../support/waiting.ts';

const makeDirectory = temporaryDirectories();
const HELLO = { protocol: 'alluvium-attach', version: 2, package: '0.0.0' };
const isRoot = process.geteuid?.() === 0;
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function join_(directory: string, options?: AttachOptions): Promise<AttachedStore> {
  const store = await openOrAttach(directory, options);
  opened.push(store);
  return store;
}

interface Talk {
  readonly socket: Socket;
  readonly heard: { readonly id: number; readonly value?: unknown; readonly error?: { readonly message: string } }[];
  readonly ask: (id: number, request: object) => void;
}

/** A client that says what it likes. */
async function talkTo(store: AttachedStore): Promise<Talk> {
  const socket = connect(join(store.location, 'alluvium.sock'));
  opened.push({ close: () => socket.destroy() });
  const reader = new FrameReader();
  const heard: Talk['heard'] = [];
  let isGreeted = false;
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    reader.push(chunk);
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      if (isGreeted) heard.push(next.message as Talk['heard'][number]);
      isGreeted = true;
    }
  });
  const say = (message: object): void => {
    for (const each of encodeMessage(message)) socket.write(each);
  };
  say(HELLO);
  await until('the hello', () => isGreeted);
  return { socket, heard, ask: (id, request) => say({ id, request }) };
}

/** Somebody who has the lock, says hello, and answers nobody; with what makes it go away. */
async function silentOwner(
  directory: string,
): Promise<{ readonly holder: Store; readonly hangUp: () => void; readonly leave: () => Promise<void> }> {
  const holder = await open(directory);
  const cursor = await presentCursor(holder);
  const talking: Socket[] = [];
  const server = createServer((socket) => {
    talking.push(socket);
    socket.on('error', () => undefined);
    const hello = { ...HELLO, location: holder.location, cursor, pid: 1, since: new Date() };
    for (const each of encodeMessage(hello)) socket.write(each);
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(join(holder.location, 'alluvium.sock'), () => resolve()));
  opened.push(holder);
  const hangUp = (): void => {
    server.close();
    for (const socket of talking) socket.destroy();
  };
  const leave = async (): Promise<void> => {
    hangUp();
    await holder.close();
  };
  return { holder, hangUp, leave };
}

describe('calls that nobody can be sent', () => {
  it('are bounded and counted, and done when there is somebody', async () => {
    const directory = makeDirectory();
    const { hangUp, leave } = await silentOwner(directory);
    const store = await join_(directory, { waitingRequestsMax: 3 });
    const followed: string[] = [];
    for (const name of ['one', 'two', 'three', 'four']) {
      store
        .changes()
        .subscribe({ next: () => followed.push(name), error: (error: unknown) => followed.push(String(error)) });
    }
    const sent = store.set('sent', '1').then(); // the silent one has it, and does not answer
    expect(store.waitingRequests).toBe(0);
    hangUp();
    await until('nobody', () => store.role === 'between');
    expect(store.waitingRequests).toBe(1); // to be sent again; what may wait for ever does not count
    const stop = new AbortController();
    const calls = [sent, store.set('a', '1').then(), store.set('b', '1', { signal: stop.signal }).then()];
    expect(store.waitingRequests).toBe(3);
    const overflow = { code: 'BUFFER_OVERFLOW', capacity: 3, unit: 'values' };
    await expect(store.get('c')).rejects.toMatchObject(overflow);
    await expect(store.stats()).rejects.toMatchObject(overflow);
    store
      .changes()
      .subscribe({ error: (error: unknown) => followed.push(`five: ${Reflect.get(Object(error), 'code')}`) });
    await until('the fifth', () => followed.length === 1);
    stop.abort();
    await expect(calls.pop()).rejects.toMatchObject({ name: 'AbortError' });
    expect(store.waitingRequests).toBe(2);
    calls.push(store.set('c', '1').then());
    expect(store.waitingRequests).toBe(3);
    await leave();
    await Promise.all(calls);
    await until('an owner', () => store.role === 'owner');
    expect(store.waitingRequests).toBe(0);
    expect((await store.stats()).waitingRequests).toBe(0);
    for (const key of ['sent', 'a', 'c']) expect(await store.has(key)).toBe(true);
    expect(await store.has('b')).toBe(false);
    await until('all streams', () => new Set(followed).size === 5);
    expect([...new Set(followed)].sort()).toEqual(['five: BUFFER_OVERFLOW', 'four', 'one', 'three', 'two']);
  });

  it('let go of what is held, however many wait', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const store = await join_(directory, { waitingRequestsMax: 1 });
    const value = Buffer.alloc(8 * 1024 * 1024);
    const snapshot = store.snapshot();
    await snapshot.get('k');
    const scan = store.scan()[Symbol.asyncIterator]();
    await store.set('k', '1');
    await scan.next();
    expect((await owner.stats()).snapshots).toBe(1);
    // The first fills the way there; the second waits for room.
    const writes = [store.set('k', value).then(), store.set('k', value).then()];
    expect(store.waitingRequests).toBe(1);
    await expect(store.get('k')).rejects.toMatchObject({ code: 'BUFFER_OVERFLOW' });
    snapshot.close();
    await scan.return?.();
    await Promise.all(writes);
    expect((await store.stats()).waitingRequests).toBe(0);
    const held = async (): Promise<number> => (await owner.stats()).snapshots;
    for (let tries = 0; tries < 1000 && (await held()) > 0; tries += 1) await new Promise(setImmediate);
    expect(await held()).toBe(0);
  });

  it('are counted once, though they were waiting already when the owner went away', async () => {
    const directory = makeDirectory();
    const { hangUp, leave } = await silentOwner(directory);
    const store = await join_(directory, { waitingRequestsMax: 2 });
    const value = Buffer.alloc(8 * 1024 * 1024);
    const writes = [store.set('k', value).then(), store.set('k', value).then()];
    expect(store.waitingRequests).toBe(1);
    hangUp();
    await until('nobody', () => store.role === 'between');
    expect(store.waitingRequests).toBe(2);
    await leave();
    await Promise.all(writes);
    expect(store.waitingRequests).toBe(0);
  });

  it('refuses other numbers', () => {
    for (const waitingRequestsMax of [0, 1.5, 2 ** 24 + 1, Number.NaN]) {
      expect(() => openOrAttach('x', { waitingRequestsMax })).toThrow(RangeError);
    }
    expect(() => openOrAttach('x', { waitingRequestsMax: '5' as unknown as number })).toThrow(TypeError);
  });
});

describe('a change stream of somebody who is attached', () => {
  it.each([
    [undefined, 5000],
    [700_000, 700_000],
  ])('tells its place when nothing came for a while: asked for %s, after %i ms', async (progressMs, afterMs) => {
    const clock = new SetClock(undefined, 5000);
    const store = await open(makeDirectory(), { clock });
    opened.push(store);
    const desk = new Desk(store, await presentCursor(store));
    const pages: unknown[] = [];
    const sink = {
      succeed: (page: unknown) => void pages.push(page),
      fail: (error: unknown) => void pages.push(error),
    };
    desk.answer({ op: 'changesOpen', stream: 1, options: { gte: 'k', lt: 'l', progressMs } }, sink);
    await until('the stream', () => pages.length === 1);
    desk.answer({ op: 'pull', stream: 1 }, sink);
    const { sequence } = await store.set('a', '1');
    await until('the timer', () => clock.held.includes(afterMs));
    expect(clock.held).not.toContain(progressMs === undefined ? 700_000 : 5000);
    expect(pages).toHaveLength(1);
    clock.fire(afterMs);
    await until('the place', () => pages.length === 2);
    expect(pages[1]).toMatchObject([{ type: 'skipped', count: 0, sequence }]);
    desk.close();
  });
});

/** What a process prints. */
function run(script: string, directory: string, onOutput: () => void = () => undefined): Promise<string> {
  const root = join(import.meta.dirname, '../..');
  return new Promise((resolve) => {
    const all = ['--input-type=module', '-e', script, directory];
    const child = execFile(process.execPath, all, { cwd: root }, (_, stdout, stderr) => resolve(stdout + stderr));
    child.stdout?.on('data', onOutput);
  });
}

describe('a signal', () => {
  it('that many calls share has one listener, and none in the end', async () => {
    const directory = makeDirectory();
    await join_(directory);
    const attached = await join_(directory);
    const { signal } = new AbortController();
    const writes = Array.from({ length: 20 }, (_, n) => attached.set(`k${n}`, '1', { signal }).then(() => undefined));
    const streams = Array.from({ length: 20 }, () => attached.changes({ signal })[Symbol.asyncIterator]());
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await Promise.all(writes);
    for (const each of streams) await each.return?.();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('of a call that is refused at once is let go of', async () => {
    const directory = makeDirectory();
    await join_(directory);
    const attached = await join_(directory);
    await attached.close();
    const { signal } = new AbortController();
    await expect(attached.set('k', '1', { signal })).rejects.toMatchObject({ code: 'CLOSED' });
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('that was for the opening does not end a take-over', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const opening = new AbortController();
    const attached = await join_(directory, { signal: opening.signal });
    opening.abort();
    await owner.close();
    expect(await attached.has('a')).toBe(false);
    expect(attached.role).toBe('owner');
  });
});

describe('a store that lets nobody attach', () => {
  it('tells its figures, and closes', async () => {
    const directory = makeDirectory();
    const store = await openOrAttach(directory, { attach: false });
    expect((await inTime('the figures', store.stats())).sequence).toBeGreaterThanOrEqual(0);
    await inTime('the close', store.close());
    const reader = await openOrAttach(directory, { readOnly: true });
    expect((await inTime('the figures', reader.stats())).flushes).toBe(0);
    await inTime('the close', reader.close());
  });
});

describe('who is attached', () => {
  it('takes over the directory that it was opened in, wherever the process has gone', async () => {
    const directory = makeDirectory();
    const before = process.cwd();
    process.chdir(makeDirectory());
    try {
      const owner = await join_(directory);
      const attached = await join_(relative(process.cwd(), directory));
      process.chdir('/');
      await owner.set('a', '1');
      await owner.close();
      expect(await attached.has('a')).toBe(true);
    } finally {
      process.chdir(before);
    }
  });

  it('may use the bytes of a key again, whenever it is asked for', async () => {
    const directory = makeDirectory();
    const owner = await join_(directory);
    const attached = await join_(directory);
    await owner.set('a', 'A');
    await owner.set('b', 'B');
    const closed = owner.close().then(() => undefined);
    await until('nobody', () => attached.role !== 'attached');
    const key = Buffer.from('a');
    const reads = [attached.get(key), attached.getMany([key]).then(([value]) => value)].map(async (read) => read);
    key.write('b');
    expect(await Promise.all(reads)).toEqual([Buffer.from('A'), Buffer.from('A')].map((each) => Uint8Array.from(each)));
    await closed;
  });

  it('does not repeat a write that nobody may remember any more', async () => {
    const directory = makeDirectory();
    const { leave } = await silentOwner(directory);
    const attached = await join_(directory);
    const late = attached.set('late', '1', { idempotencyKey: 'late', windowMs: 2 }).then(undefined, (e: unknown) => e);
    const write = attached.set('k', '1').then(({ durability }) => durability);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await leave();
    expect(await late).toMatchObject({ code: 'TAKE_OVER' });
    expect(await write).toBe('synced');
    expect(await attached.has('late')).toBe(false);
  });

  it('stays alive for an answer while it looks for the next owner', async () => {
    const directory = makeDirectory();
    const holder = await open(directory);
    opened.push(holder);
    const talking: Socket[] = [];
    const cursor = await presentCursor(holder);
    const server = createServer((socket) => {
      talking.push(socket);
      socket.on('error', () => undefined);
      const hello = { ...HELLO, location: holder.location, cursor, pid: 1, since: new Date() };
      for (const each of encodeMessage(hello)) socket.write(each);
    });
    await new Promise<void>((resolve) => server.listen(join(holder.location, 'alluvium.sock'), () => resolve()));
    const script = `import { openOrAttach } from 'alluvium/attach';
      const store = await openOrAttach(process.argv[1], { takeOverMs: 2500 });
      process.stdout.write(store.role + ' ');
      const poll = setInterval(() => {
        if (store.role === 'attached') return;
        clearInterval(poll);
        setTimeout(() => store.get('a').then(undefined, ({ code }) => console.log(code)), 600);
      }, 5);`;
    let isAttached = false;
    const output = run(script, directory, () => (isAttached = true));
    await until('a guest', () => isAttached);
    server.close();
    for (const socket of talking) socket.destroy();
    expect(await output).toBe('attached TAKE_OVER\n');
  });
});

describe('an owner', () => {
  it('ends who does not say hello shortly', async () => {
    const store = await join_(makeDirectory());
    const socket = connect(join(store.location, 'alluvium.sock'));
    socket.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.resume();
    for (const each of encodeMessage({ ...HELLO, package: 'x'.repeat(70_000) })) socket.write(each);
    await inTime('the end', closed);
    await talkTo(store); // others are welcome
  });

  it('has one pull of a stream waiting, however many are asked for', async () => {
    const store = await join_(makeDirectory());
    const { heard, ask } = await talkTo(store);
    ask(1, { op: 'changesOpen', stream: 1, options: {} });
    for (let id = 2; id < 1002; id += 1) ask(id, { op: 'pull', stream: 1 });
    await until('the refusals', () => heard.length === 1000);
    expect(heard.filter(({ error }) => error !== undefined)).toHaveLength(999);
    await store.set('a', '1');
    await until('the change', () => heard.length === 1001);
    expect(heard.at(-1)?.value).toEqual([expect.objectContaining({ key: new Uint8Array([97]) })]);
  });

  it('holds one batch once, for however many streams of somebody who does not read', async () => {
    const store = await join_(makeDirectory());
    const { socket, heard, ask } = await talkTo(store);
    const count = 40;
    for (let id = 1; id <= count; id += 1) ask(id, { op: 'changesOpen', stream: id, options: {} });
    for (let id = 1; id <= count; id += 1) ask(1000 + id, { op: 'pull', stream: id });
    await until('the streams', () => heard.length === count);
    await new Promise((resolve) => setTimeout(resolve, 100)); // by now the pulls have come, too
    socket.pause();
    const before = process.memoryUsage().external;
    await store.set('large', Buffer.alloc(4 * 1024 * 1024), { durability: 'buffered' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(process.memoryUsage().external - before).toBeLessThan(80 * 1024 * 1024); // 160, if each had its own
    socket.resume();
    await until('all of them', () => heard.length === 2 * count);
    expect(heard.slice(count).map(({ id }) => id)).toEqual(Array.from({ length: count }, (_, n) => 1001 + n));
  });

  it('that cannot listen says why, and leaves nothing behind', async () => {
    const directory = makeDirectory();
    mkdirSync(join(directory, 'alluvium.sock'));
    writeFileSync(join(directory, 'alluvium.sock/in-the-way'), '');
    const store = await join_(directory);
    expect(store.serveFailure).toBeInstanceOf(Error);
    expect(existsSync(join(directory, 'alluvium.sock.new'))).toBe(false);
    await store.set('a', '1');
  });

  it('whose directory was moved leaves the socket of another database alone', async () => {
    const directory = join(makeDirectory(), 'db');
    const moved = await openOrAttach(directory);
    renameSync(directory, `${directory}-moved`);
    const next = await join_(directory);
    expect(next.role).toBe('owner');
    await expect(moved.close()).rejects.toMatchObject({ code: 'IO' }); // its files are not where they were
    const guest = await join_(directory);
    expect(guest.role).toBe('attached');
  });
});

describe('the socket', () => {
  it.runIf(isRoot)('that another user has put there is not spoken to', async () => {
    const directory = makeDirectory();
    const { leave } = await silentOwner(directory);
    chownSync(join(directory, 'alluvium.sock'), 54_321, 54_321);
    await expect(openOrAttach(directory, { attachMs: 50 })).rejects.toMatchObject({ code: 'LOCKED' });
    chownSync(directory, 54_321, 54_321); // whoever has the directory has the database
    expect((await join_(directory)).role).toBe('attached');
    await leave();
  });

  it.runIf(isRoot)('is found by a user who is a number without a name', async () => {
    const outer = makeDirectory();
    chmodSync(outer, 0o755);
    const directory = join(outer, 'd'.repeat(120));
    mkdirSync(directory);
    chownSync(directory, 54_321, 54_321);
    const script = `import { openOrAttach } from 'alluvium/attach';
      process.setgid(54321); process.setuid(54321);
      const stores = [await openOrAttach(process.argv[1]), await openOrAttach(process.argv[1])];
      console.log(stores.map(({ role, serveFailure }) => role + serveFailure).join());
      for (const store of stores.reverse()) await store.close();`;
    expect(await run(script, directory)).toBe('ownerundefined,attachedundefined\n');
  });
});

describe('errors', () => {
  it('of consumers are of their class on the other side, and none of them can upset the way there', () => {
    const error = Object.assign(new ConsumerError('totals', 'it runs.'), { odd: [(): number => 1, Symbol('odd')] });
    const read = readError(structuredClone(writeError(error)));
    expect(read).toBeInstanceOf(ConsumerError);
    expect(read).toMatchObject({ code: 'CONSUMER', consumer: 'totals', message: error.message });
  });
});
