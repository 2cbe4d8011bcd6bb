// Goal: a few bytes on the socket cannot make either side hold, or walk, more than bytes came. Method: messages that stand for
// much more than themselves, told to an owner and to one who attaches; and a socket that somebody else has put there.
import { chownSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { DefaultSerializer, serialize } from 'node:v8';
import { afterEach, describe, expect, it } from 'vitest';
import { open } from 'alluvium';
import { type AttachedStore, openOrAttach } from 'alluvium/attach';
import { destroy } from '../../adapters/level/directory.ts';
import { encodeMessage, FRAME_BYTES_MAX, FrameReader, HELLO_BYTES_MAX } from '../../adapters/attach/frames.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const newDirectory = temporaryDirectories();
const HELLO = { protocol: 'alluvium-attach', version: 2, package: '0.0.0' };
const OWNER_HELLO = { ...HELLO, location: '/', cursor: `al1.${'0'.repeat(32)}.1.1`, pid: 1, since: new Date() };
const LONGEST_LIST = 2 ** 32 - 1;
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).toReversed()) await each.close();
});

const frame = (content: Uint8Array, flag = 0): Buffer => {
  const header = Buffer.alloc(5);
  header.writeUInt32LE(content.length);
  header[4] = flag;
  return Buffer.concat([header, content]);
};

/** A list of so many holes: a few bytes as a message. */
const holes = (length: number): unknown[] => {
  const list: unknown[] = [];
  list.length = length;
  return list;
};

/** An object in an object, so many times; made by hand, since node:v8 would give up on writing it, too. */
function nested(depth: number): Uint8Array {
  const serializer = new DefaultSerializer();
  serializer.writeHeader();
  const head = serializer.releaseBuffer();
  const begin = Buffer.from('o"\x01a', 'latin1');
  const end = Buffer.from('{\x01', 'latin1');
  return Buffer.concat([
    head,
    ...Array<Buffer>(depth).fill(begin),
    Buffer.from('_'),
    ...Array<Buffer>(depth).fill(end),
  ]);
}

async function owner(): Promise<{ readonly store: AttachedStore; readonly path: string }> {
  const store = await openOrAttach(newDirectory());
  opened.push(store);
  return { store, path: join(store.location, 'alluvium.sock') };
}

/** Says it, and waits for the end of the connection. @returns the error code of the refusal, if one was told */
function say(path: string, bytes: readonly Uint8Array[]): Promise<string | undefined> {
  const reader = new FrameReader();
  const ended = new Promise<string | undefined>((resolve) => {
    let refusal: string | undefined;
    const socket = connect(path);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk);
      for (let next = reader.next(); next !== undefined; next = reader.next()) {
        const { refusal: told } = next.message as { refusal?: { fields: { code: string } } };
        refusal = told?.fields.code ?? refusal;
      }
    });
    socket.on('close', () => resolve(refusal));
    for (const each of bytes) socket.write(each);
  });
  return inTime('the end of the connection', ended);
}

describe('a message', () => {
  it.each<[string, object]>([
    ['a list', holes(LONGEST_LIST)],
    ['a request', { id: 1, request: { op: 'getMany', keys: holes(LONGEST_LIST) } }],
    ['a write', { id: 1, request: { op: 'write', operations: holes(LONGEST_LIST) } }],
    ['an answer', { id: 1, value: holes(1000) }],
    ['an error', { id: 1, error: { message: '', fields: {}, cause: { fields: { issues: holes(LONGEST_LIST) } } } }],
  ])('with a list that is longer than the message is none: %s', (_, message) => {
    const bytes = serialize(message);
    expect(bytes.length).toBeLessThan(200);
    const reader = new FrameReader();
    reader.push(frame(bytes));
    const before = performance.now();
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'ATTACH_PROTOCOL' }) as Error);
    expect(performance.now() - before).toBeLessThan(1000);
  });

  it('with the longest honest lists is read', () => {
    for (const list of [
      [],
      [undefined],
      Array.from({ length: 10_000 }, () => 1),
      Array.from({ length: 300 }, () => ''),
    ]) {
      const reader = new FrameReader();
      reader.push(Buffer.concat(encodeMessage({ id: 1, value: list })));
      expect(reader.next()?.message).toEqual({ id: 1, value: list });
    }
  });

  it('that is nested without end is none', () => {
    const shallow = new FrameReader();
    shallow.push(frame(nested(3)));
    expect(shallow.next()?.message).toEqual({ a: { a: { a: undefined } } });
    const reader = new FrameReader();
    reader.push(frame(nested(1_000_000)));
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'ATTACH_PROTOCOL' }) as Error);
  });

  it('has a place for __proto__ as for any other name, and changes no prototype', () => {
    const given: unknown = JSON.parse('{"__proto__":{"isPolluted":true}}');
    const reader = new FrameReader();
    reader.push(Buffer.concat(encodeMessage({ id: 1, error: { message: 'm', name: 'n', fields: given } })));
    const { error } = reader.next()?.message as { error: { fields: object } };
    expect(Reflect.get(error.fields, 'isPolluted')).toBeUndefined();
    expect(Object.keys(error.fields)).toEqual(['__proto__']);
    expect(Reflect.get({}, 'isPolluted')).toBeUndefined();
  });
});

describe('an owner', () => {
  it('holds no more than a hello of somebody who has not said it', async () => {
    const { store, path } = await owner();
    expect(await say(path, [frame(Buffer.alloc(HELLO_BYTES_MAX + 1))])).toBe('ATTACH_PROTOCOL');
    const header = Buffer.alloc(5);
    header.writeUInt32LE(FRAME_BYTES_MAX);
    header[4] = 1;
    expect(await say(path, [header])).toBe('ATTACH_PROTOCOL'); // without waiting for the content
    const half = frame(Buffer.alloc(HELLO_BYTES_MAX / 2 + 1), 1);
    expect(await say(path, [half, half])).toBe('ATTACH_PROTOCOL');
    await store.set('a', '1');
  });

  it('lives on, and answers at once, whatever a list says of itself', async () => {
    const { store, path } = await owner();
    for (const request of [
      { op: 'getMany', keys: holes(LONGEST_LIST) },
      { op: 'write', operations: holes(LONGEST_LIST) },
      { op: 'scanOpen', stream: 1, options: { keys: holes(LONGEST_LIST) } },
    ]) {
      await say(path, [...encodeMessage(HELLO), ...encodeMessage({ id: 1, request })]);
    }
    await inTime('a write', store.set('a', '1'), 2000);
  });

  it('makes its socket where a dead one has left an unfinished one, and follows no link there', async () => {
    const directory = newDirectory();
    const treasure = join(newDirectory(), 'treasure');
    writeFileSync(treasure, 'treasure', { mode: 0o644 });
    symlinkSync(treasure, join(directory, 'alluvium.sock.new'));
    const store = await openOrAttach(directory);
    expect([store.serveFailure, lstatSync(treasure).mode & 0o777]).toEqual([undefined, 0o644]);
    await store.close();
    mkdirSync(join(directory, 'alluvium.sock.new'));
    writeFileSync(join(directory, 'alluvium.sock.new', 's'), '');
    const next = await openOrAttach(directory);
    expect(next.serveFailure).toBeUndefined();
    await next.close();
    mkdirSync(join(directory, 'alluvium.sock.new'));
    writeFileSync(join(directory, 'alluvium.sock.new', 's'), '');
    await destroy(directory);
    expect(existsSync(directory)).toBe(false);
  });
});

describe('who attaches', () => {
  /** Somebody who has the lock, and a socket that says this. */
  async function impostor(talk: (socket: Socket) => void): Promise<string> {
    const directory = newDirectory();
    const store = await open(directory);
    const server: Server = createServer((socket) => {
      socket.on('error', () => undefined);
      talk(socket);
    });
    const sockets = new Set<Socket>();
    server.on('connection', (socket) => void sockets.add(socket));
    opened.push({
      close: async () => {
        for (const socket of sockets) socket.destroy();
        server.close();
        await store.close();
      },
    });
    await new Promise<void>((resolve) => server.listen(join(store.location, 'alluvium.sock'), () => resolve()));
    return directory;
  }

  it('holds no more than a hello of an owner that has not said it', async () => {
    let said = 0;
    const directory = await impostor((socket) => {
      const write = (): void => {
        for (;;) {
          said += 1;
          if (said > 1000 || !socket.write(frame(Buffer.alloc(HELLO_BYTES_MAX), 1))) return;
        }
      };
      socket.on('drain', write);
      write();
    });
    await expect(openOrAttach(directory, { attachMs: 100 })).rejects.toMatchObject({ code: 'LOCKED' });
    expect(said).toBeLessThan(500);
  });

  it('gets a typed error when an answer says to be longer than it is', async () => {
    const directory = await impostor((socket) => {
      for (const each of encodeMessage(OWNER_HELLO)) socket.write(each);
      const reader = new FrameReader();
      socket.on('data', (chunk: Buffer) => {
        reader.push(chunk);
        for (let next = reader.next(); next !== undefined; next = reader.next()) {
          const id: unknown = Reflect.get(next.message as object, 'id');
          if (id !== undefined)
            for (const each of encodeMessage({ id, value: holes(LONGEST_LIST) })) socket.write(each);
        }
      });
    });
    const store = await openOrAttach(directory);
    opened.push(store);
    await expect(inTime('an answer', store.getMany(['a']))).rejects.toMatchObject({ code: 'ATTACH_PROTOCOL' });
  });

  it.skipIf(process.getuid?.() !== 0)('does not speak to a socket that another user has put there', async () => {
    let greeted = 0;
    const directory = await impostor((socket) => {
      greeted += 1;
      for (const each of encodeMessage(OWNER_HELLO)) socket.write(each);
    });
    chownSync(join(directory, 'alluvium.sock'), 65_534, 65_534);
    await expect(openOrAttach(directory, { attachMs: 100 })).rejects.toMatchObject({ code: 'LOCKED' });
    expect(greeted).toBe(0);
    chownSync(directory, 65_534, 65_534); // whoever owns the directory may
    const store = await openOrAttach(directory, { attachMs: 5000 });
    opened.push(store);
    expect([store.role, greeted]).toEqual(['attached', 1]);
  });
});
