// Goal: whatever comes over the socket, the owner lives on, and whoever attaches gets a typed error. Method: a client and an
// owner made of a bare socket, which say what they must not.
import { existsSync, renameSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { open } from 'alluvium';
import { type AttachedStore, openOrAttach } from 'alluvium/attach';
import { encodeMessage, FRAME_BYTES_MAX, FrameReader } from '../../adapters/attach/frames.ts';
import { runsOf } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const makeDirectory = temporaryDirectories();
const HELLO = { protocol: 'alluvium-attach', version: 2, package: '0.0.0' };
const CURSOR = `al1.${'0'.repeat(32)}.1.1`;
const OWNER_HELLO = { ...HELLO, location: '/', cursor: CURSOR, pid: 1, since: new Date() };
const opened: (AttachedStore | Server | Socket)[] = [];

afterEach(async () => {
  for (const each of opened.splice(0)) {
    if ('destroy' in each) each.destroy();
    else await each.close();
  }
});

async function owner(): Promise<{ readonly store: AttachedStore; readonly path: string }> {
  const store = await openOrAttach(makeDirectory());
  opened.push(store);
  expect(store.role).toBe('owner');
  return { store, path: join(store.location, 'alluvium.sock') };
}

const frame = (content: Uint8Array, flag = 0, length = content.length): Buffer => {
  const header = Buffer.alloc(5);
  header.writeUInt32LE(length);
  header[4] = flag;
  return Buffer.concat([header, content]);
};

/** What the owner says until it ends the connection. */
function say(path: string, bytes: readonly Uint8Array[], isHalfClosed = false): Promise<unknown[]> {
  return inTime(
    'the end of the connection',
    new Promise((resolve) => {
      const reader = new FrameReader();
      const heard: unknown[] = [];
      const socket = connect(path);
      opened.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        reader.push(chunk);
        for (let next = reader.next(); next !== undefined; next = reader.next()) heard.push(next.message);
      });
      socket.on('close', () => resolve(heard));
      for (const each of bytes) socket.write(each);
      if (isHalfClosed) socket.end();
    }),
  );
}

describe('frames', () => {
  it('give back what was put in, however it is cut', () => {
    const value = fc.oneof(fc.string(), fc.integer(), fc.uint8Array({ maxLength: 300 }), fc.constant(undefined));
    fc.assert(
      fc.property(
        fc.array(fc.dictionary(fc.string(), value), { maxLength: 5 }),
        fc.array(fc.nat(40)),
        (messages, cuts) => {
          const bytes = Buffer.concat(messages.flatMap((message) => encodeMessage({ message })));
          const reader = new FrameReader();
          const heard: unknown[] = [];
          let at = 0;
          for (const cut of [...cuts, bytes.length]) {
            reader.push(bytes.subarray(at, at + cut));
            at = Math.min(at + cut, bytes.length);
            for (let next = reader.next(); next !== undefined; next = reader.next()) heard.push(next.message);
          }
          expect(heard).toEqual(messages.map((message) => ({ message })));
        },
      ),
      runsOf(100),
    );
  });

  it('carry whatever messages are made of', () => {
    const message = {
      ...OWNER_HELLO,
      text: 'a, \u00e9, \u20ac and \u{1f600}',
      numbers: [0, -1, 1, 2 ** 31, -(2 ** 40), 1.5, Number.MAX_SAFE_INTEGER, NaN],
      nothing: [undefined, null, true, false],
      bytes: [new Uint8Array(0), Uint8Array.of(0x61, 0xff, 0xff), Buffer.from('text')],
      nested: { list: [[], [{}], { a: { b: [1] } }] },
      // Made with room for its elements, which node:v8 writes as if it had holes.
      made: new Array<number>(300).fill(7),
      lists: Array.from({ length: 100 }, () => Array.from({ length: 100 }, () => 0)),
      again: CURSOR,
    };
    const twice = { first: message.nested, second: message.nested };
    for (const each of [message, twice]) {
      const reader = new FrameReader();
      for (const piece of encodeMessage(each)) reader.push(Buffer.from(piece));
      expect(reader.next()?.message).toEqual(each);
    }
  });

  it('carry a message that is longer than a frame', () => {
    const message = { bytes: new Uint8Array(20 * 1024 * 1024).fill(7) };
    const frames = encodeMessage(message);
    const reader = new FrameReader();
    for (const each of frames.slice(0, -1)) reader.push(Buffer.from(each));
    expect(reader.next()).toBeUndefined();
    reader.push(Buffer.from(frames.at(-1) ?? []));
    const { bytes } = reader.next()?.message as typeof message;
    expect(Buffer.compare(bytes, message.bytes)).toBe(0);
  });

  it.each([
    ['too long', frame(Buffer.alloc(0), 0, FRAME_BYTES_MAX + 1)],
    ['empty', frame(Buffer.alloc(0))],
    ['of an unknown kind', frame(serialize({}), 2)],
    ['of no value', frame(Buffer.from('garbage'))],
    // Ten bytes that node:v8 would make a list of 2^25 places of: 256 MiB, and seconds. (Found by T13.)
    ['a list with holes', frame(Buffer.from('ff0f61ffffff0f4000ffffff0f', 'hex'))],
    ['a list with holes in an object', frame(serialize({ list: Object.assign([], { 1000: 1 }) }))],
    // Each would be as long as all of the message is, and there are hundreds.
    ['lists within lists, all too long', frame(Buffer.from(`ff0f${'418008'.repeat(400)}`, 'hex'))],
    ['lists with holes within lists', frame(Buffer.from(`ff0f${'61800849004900'.repeat(200)}`, 'hex'))],
    ['a map', frame(serialize(new Map([[1, 2]])))],
    ['cut within a string', frame(Buffer.from('ff0f2205616263', 'hex'))],
    ['cut within a number', frame(Buffer.from('ff0f4900', 'hex').subarray(0, 3))],
    ['cut within bytes', frame(Buffer.from('ff0f5c0103', 'hex'))],
    ['a number without end', frame(Buffer.from('ff0f49ffffffffff01', 'hex'))],
  ])('refuse one that is %s, without waiting for its content', (_, bytes) => {
    const reader = new FrameReader();
    reader.push(bytes);
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'ATTACH_PROTOCOL' }) as Error);
  });
});

describe('an owner', () => {
  it('listens where only its user may ask', async () => {
    const { path } = await owner();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(path).isSocket()).toBe(true);
  });

  it.each<[string, readonly Uint8Array[], string | undefined]>([
    ['garbage', [Buffer.from('GET / HTTP/1.1\r\n\r\n')], 'ATTACH_PROTOCOL'],
    ['a length beyond the bound', [frame(Buffer.alloc(0), 0, 2 ** 32 - 1)], 'ATTACH_PROTOCOL'],
    ['no hello', [frame(serialize({ id: 1, request: { op: 'stats' } }))], 'ATTACH_PROTOCOL'],
    ['a number', [frame(serialize(7))], 'ATTACH_PROTOCOL'],
    ['an unknown request', [...encodeMessage(HELLO), ...encodeMessage({ id: 1, request: { op: 'open' } })], undefined],
    [
      'a name for a number',
      [...encodeMessage(HELLO), ...encodeMessage({ id: 'x', request: { op: 'stats' } })],
      undefined,
    ],
    [
      'a stream without a number',
      [...encodeMessage(HELLO), ...encodeMessage({ id: 1, request: { op: 'pull' } })],
      undefined,
    ],
    ['garbage after the hello', [...encodeMessage(HELLO), frame(Buffer.from([1, 2, 3]))], undefined],
  ])('ends a connection that says %s, and lives on', async (_, bytes, refusal) => {
    const { store, path } = await owner();
    const [hello] = await say(path, bytes);
    const given = (hello as { readonly refusal?: { readonly fields: { readonly code: string } } }).refusal;
    expect(given?.fields.code).toBe(refusal);
    await store.set('a', '1');
    const other = await openOrAttach(store.location);
    opened.unshift(other);
    expect(await other.get('a')).toEqual(new TextEncoder().encode('1'));
  });

  it('tells its version to whoever speaks another one, and ends', async () => {
    const { path } = await owner();
    const heard = await say(path, encodeMessage({ ...HELLO, version: 3 }));
    expect(heard).toEqual([expect.objectContaining({ protocol: 'alluvium-attach', version: 2 })]);
  });

  it('lives on when a connection is cut in the midst of a message, at any byte', async () => {
    const { store, path } = await owner();
    const lines = [{ type: 'set', key: 'k', value: 'v' }];
    const whole = Buffer.concat([
      ...encodeMessage(HELLO),
      ...encodeMessage({ id: 1, request: { op: 'write', operations: lines } }),
    ]);
    for (let length = 0; length < whole.length; length += 1) await say(path, [whole.subarray(0, length)], true);
    expect(await store.get('k')).toBeUndefined();
    await say(path, [whole], true);
    expect((await store.stats()).snapshots).toBe(0);
  });

  it('lives on whatever is said after the hello', { timeout: 120_000 }, async () => {
    const { store, path } = await owner();
    const key = fc.anything({ withDate: true, withTypedArray: true, maxDepth: 1 });
    const op = fc.constantFrom(
      ...['get', 'entry', 'has', 'getMany', 'write', 'compact', 'approximateSize', 'scanOpen', 'changesOpen', 'pull'],
      ...['snapshotOpen', 'snapshotClose', 'streamClose', 'stats'],
    );
    const request = fc.record(
      {
        op,
        key,
        keys: key,
        operations: key,
        start: key,
        end: key,
        options: key,
        stream: fc.nat(2),
        snapshot: fc.nat(2),
      },
      { requiredKeys: ['op'] },
    );
    const message = fc.record({ id: fc.nat(), request });
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 5 }), async (messages) => {
        const bytes = messages.flatMap((each) => encodeMessage(each));
        await say(path, [...encodeMessage(HELLO), ...bytes], true);
      }),
      runsOf(50),
    );
    await store.set('b', '2');
    expect(await store.has('b')).toBe(true);
  });

  it('refuses reserved keys, as for itself', async () => {
    const { store } = await owner();
    const other = await openOrAttach(store.location);
    opened.unshift(other);
    const call = (): unknown => other.set('!_alluvium!x', '1');
    expect(call).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error);
  });
});

describe('who attaches', () => {
  /** Somebody who holds the lock, and talks like this. */
  async function impostor(talk: (socket: Socket) => void): Promise<string> {
    const directory = makeDirectory();
    const store = await open(directory);
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      talk(socket);
    });
    opened.push(Object.assign(server, { close: () => void store.close().subscribe() }));
    await new Promise<void>((resolve) => server.listen(join(store.location, 'alluvium.sock'), () => resolve()));
    return directory;
  }

  it('is told of another version', async () => {
    const directory = await impostor((socket) => {
      for (const each of encodeMessage({ ...OWNER_HELLO, version: 9, package: '9.9.9' })) socket.write(each);
    });
    await expect(openOrAttach(directory)).rejects.toMatchObject({ code: 'ATTACH_VERSION', ours: 2, theirs: 9 });
  });

  it.each<[string, (socket: Socket) => void]>([
    ['garbage', (socket) => void socket.end('garbage, garbage')],
    ['nothing', (socket) => void socket.end()],
    ['an incomplete hello', (socket) => void socket.end(Buffer.concat(encodeMessage(HELLO)))],
  ])('gets LockedError from a holder that says %s', async (_, talk) => {
    const directory = await impostor(talk);
    await expect(openOrAttach(directory, { attachMs: 100 })).rejects.toMatchObject({ code: 'LOCKED' });
  });

  it('gets a typed error when answers are garbage', async () => {
    let said = 0;
    const directory = await impostor((socket) => {
      for (const each of encodeMessage(OWNER_HELLO)) socket.write(each);
      socket.on('data', () => {
        said += 1;
        if (said > 1) socket.write(frame(Buffer.from('garbage')));
      });
    });
    const store = await openOrAttach(directory);
    await expect(store.get('a')).rejects.toMatchObject({ code: 'ATTACH_PROTOCOL' });
    await store.close();
  });

  it('gets TakeOverError when nobody has the store in time, and the next call tries again', async () => {
    const directory = makeDirectory();
    const holder = await open(directory);
    const talking: Socket[] = [];
    const server = createServer((socket) => {
      talking.push(socket);
      socket.on('error', () => undefined);
      for (const each of encodeMessage(OWNER_HELLO)) socket.write(each);
    });
    await new Promise<void>((resolve) => server.listen(join(holder.location, 'alluvium.sock'), () => resolve()));
    const store = await openOrAttach(directory, { takeOverMs: 150 });
    expect(store.role).toBe('attached');
    server.close();
    for (const socket of talking) socket.destroy(); // it answers nobody any more, and keeps the lock
    await expect(store.get('a')).rejects.toMatchObject({ code: 'TAKE_OVER', cause: { code: 'LOCKED' } });
    await holder.close();
    // The hello was of another database than this: so it has been looked at again.
    await expect(store.get('a')).rejects.toMatchObject({ code: 'OTHER_DATABASE' });
    await store.close();
  });

  it('gets LockedError from a holder that does not listen, after a while', async () => {
    const directory = makeDirectory();
    const store = await open(directory);
    await expect(openOrAttach(directory, { attachMs: 50 })).rejects.toMatchObject({ code: 'LOCKED' });
    await expect(openOrAttach(directory, { attach: false })).rejects.toMatchObject({ code: 'LOCKED' });
    await store.close();
  });
});

describe('the socket', () => {
  it('of a dead owner is replaced by the next one', async () => {
    const directory = makeDirectory();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(directory, 'stale.sock'), () => resolve()));
    renameSync(join(directory, 'stale.sock'), join(directory, 'alluvium.sock')); // what a killed process leaves
    await new Promise<void>((resolve) => server.close(() => resolve()));
    expect(existsSync(join(directory, 'alluvium.sock'))).toBe(true);
    const store = await openOrAttach(directory);
    const other = await openOrAttach(directory);
    expect([store.role, other.role]).toEqual(['owner', 'attached']);
    await other.close();
    await store.close();
    expect(existsSync(join(directory, 'alluvium.sock'))).toBe(false);
  });

  it('lies elsewhere where the path is too long for one', async () => {
    const directory = join(makeDirectory(), 'd'.repeat(120));
    const store = await openOrAttach(directory);
    const other = await openOrAttach(directory);
    expect([store.serveFailure, store.role, other.role]).toEqual([undefined, 'owner', 'attached']);
    await other.set('a', '1');
    expect(await store.has('a')).toBe(true);
    await other.close();
    await store.close();
  });
});
