/** What every file system must do, asked of both. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { IoError, LockedError } from '../../../src/errors.ts';
import type { FileSystem } from '../../../src/storage/file-system/file-system.ts';
import { MemoryFileSystem } from '../../../src/storage/file-system/memory-file-system.ts';
import { NodeFileSystem } from '../../../src/storage/file-system/node-file-system.ts';

interface Place {
  readonly fileSystem: FileSystem;
  readonly root: string;
}

const temporary: string[] = [];
afterEach(async () => {
  for (const directory of temporary.splice(0)) await rm(directory, { recursive: true, force: true });
});

const places: Record<string, () => Promise<Place>> = {
  NodeFileSystem: async () => {
    const root = await mkdtemp(join(tmpdir(), 'alluvium-contract-'));
    temporary.push(root);
    return { fileSystem: new NodeFileSystem(), root };
  },
  MemoryFileSystem: async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/some/root');
    return { fileSystem, root: '/some/root' };
  },
};

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

async function write(fileSystem: FileSystem, path: string, text: string): Promise<void> {
  const file = await fileSystem.create(path);
  await file.append(bytesOf(text));
  await file.sync();
  await file.close();
}

async function read(fileSystem: FileSystem, path: string): Promise<string> {
  const file = await fileSystem.openForRead(path);
  const bytes = new Uint8Array(await file.size());
  const length = await file.read(bytes, 0);
  await file.close();
  return new TextDecoder().decode(bytes.subarray(0, length));
}

/** The system's code with which a call is refused. */
async function codeOf(call: Promise<unknown>): Promise<string> {
  const thrown: unknown = await call.then(
    () => 'no error',
    (error: unknown) => error,
  );
  return thrown instanceof IoError ? thrown.systemCode : String(thrown);
}

describe.each(Object.entries(places))('%s', (_name, makePlace) => {
  test('reads back what was appended, from any position, and less only at the end', async () => {
    const { fileSystem, root } = await makePlace();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 8 }),
        fc.nat(5000),
        fc.nat(900),
        async (parts, position, length) => {
          const path = `${root}/file`;
          const file = await fileSystem.create(path);
          for (const [index, part] of parts.entries()) {
            if (index % 2 === 0) await file.append(part);
            else file.appendNow(part);
          }
          await file.close();
          const all = Buffer.concat(parts);
          const reader = await fileSystem.openForRead(path);
          const into = new Uint8Array(length).fill(0xee);
          const count = await reader.read(into, position);
          expect(await reader.size()).toBe(all.length);
          await reader.close();
          await fileSystem.remove(path);
          expect(Buffer.from(into.subarray(0, count))).toEqual(all.subarray(position, position + length));
          expect(into.subarray(count).every((byte) => byte === 0xee)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('what is reserved reads as zeros, is taken by appends, and is cut off when it is trimmed', async () => {
    const { fileSystem, root } = await makePlace();
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.record({ type: fc.constant('append' as const), bytes: fc.uint8Array({ maxLength: 300 }) }),
            fc.record({ type: fc.constant('reserve' as const), bytes: fc.nat(200_000) }),
            fc.record({ type: fc.constant('trim' as const) }),
          ),
          { maxLength: 8 },
        ),
        async (steps) => {
          const path = `${root}/file`;
          const file = await fileSystem.create(path);
          let appended = Buffer.alloc(0);
          let reservedEnd = 0;
          for (const [index, step] of steps.entries()) {
            if (step.type === 'reserve') {
              file.reserveNow(step.bytes);
              reservedEnd = Math.max(reservedEnd, appended.length + step.bytes);
            } else if (step.type === 'trim') {
              await file.trim();
              reservedEnd = 0;
            } else {
              if (index % 2 === 0) await file.append(step.bytes);
              else file.appendNow(step.bytes);
              appended = Buffer.concat([appended, step.bytes]);
            }
          }
          await file.sync();
          await file.close();
          const expected = Buffer.alloc(Math.max(appended.length, reservedEnd));
          appended.copy(expected);
          expect((await fileSystem.stat(path)).size).toBe(expected.length);
          const reader = await fileSystem.openForRead(path);
          expect(await reader.size()).toBe(expected.length);
          const into = new Uint8Array(expected.length + 1).fill(0xee);
          expect(await reader.read(into, 0)).toBe(expected.length);
          expect(Buffer.compare(into.subarray(0, expected.length), expected)).toBe(0);
          await reader.close();
          await fileSystem.remove(path);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('a reader sees what is appended after it was opened, and keeps a removed or replaced file', async () => {
    const { fileSystem, root } = await makePlace();
    const writer = await fileSystem.create(`${root}/a`);
    const reader = await fileSystem.openForRead(`${root}/a`);
    await writer.append(bytesOf('later'));
    await writer.close();
    await write(fileSystem, `${root}/b`, 'other');
    await fileSystem.rename(`${root}/b`, `${root}/a`);
    const into = new Uint8Array(10);
    expect(await reader.read(into, 0)).toBe(5);
    await fileSystem.remove(`${root}/a`);
    expect(await reader.read(into, 2)).toBe(3);
    expect(new TextDecoder().decode(into.subarray(0, 3))).toBe('ter');
    await reader.close();
  });

  test('many reads at once each get their own bytes', async () => {
    const { fileSystem, root } = await makePlace();
    const file = await fileSystem.create(`${root}/numbers`);
    await file.append(Uint8Array.from({ length: 64 * 100 }, (_value, index) => Math.floor(index / 100)));
    await file.close();
    const reader = await fileSystem.openForRead(`${root}/numbers`);
    await Promise.all(
      Array.from({ length: 64 }, async (_value, index) => {
        const into = new Uint8Array(100);
        expect(await reader.read(into, index * 100)).toBe(100);
        expect(into.every((byte) => byte === index)).toBe(true);
      }),
    );
    await reader.close();
  });

  test('close waits for reads in flight, is idempotent, and later calls are refused with EBADF', async () => {
    const { fileSystem, root } = await makePlace();
    await write(fileSystem, `${root}/a`, 'text');
    const reader = await fileSystem.openForRead(`${root}/a`);
    const reading = reader.read(new Uint8Array(4), 0);
    await reader.close();
    await reader.close();
    expect(await reading).toBe(4);
    expect(await codeOf(reader.read(new Uint8Array(4), 0))).toBe('EBADF');
    expect(await codeOf(reader.size())).toBe('EBADF');
    const writer = await fileSystem.create(`${root}/b`);
    await writer.close();
    await writer.close();
    expect(await codeOf(writer.append(bytesOf('x')))).toBe('EBADF');
    expect(await codeOf(writer.sync())).toBe('EBADF');
    expect(() => writer.appendNow(bytesOf('x'))).toThrow(IoError);
  });

  test('create refuses a taken name and leaves its content alone', async () => {
    const { fileSystem, root } = await makePlace();
    await write(fileSystem, `${root}/a`, 'first');
    await fileSystem.makeDirectory(`${root}/d`);
    expect(await codeOf(fileSystem.create(`${root}/a`))).toBe('EEXIST');
    expect(await codeOf(fileSystem.create(`${root}/d`))).toBe('EEXIST');
    expect(await read(fileSystem, `${root}/a`)).toBe('first');
  });

  test('missing names and parents are ENOENT, a file on the way is ENOTDIR, a directory is no file', async () => {
    const { fileSystem, root } = await makePlace();
    await write(fileSystem, `${root}/a`, '');
    expect(await codeOf(fileSystem.openForRead(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.stat(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.remove(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.list(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.realPath(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.rename(`${root}/missing`, `${root}/b`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.syncDirectory(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.create(`${root}/missing/a`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.freeBytes(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.create(`${root}/a/b`))).toBe('ENOTDIR');
    expect(await codeOf(fileSystem.list(`${root}/a`))).toBe('ENOTDIR');
    expect(await codeOf(fileSystem.makeDirectory(`${root}/a/b`))).toBe('ENOTDIR');
    expect(await codeOf(fileSystem.syncDirectory(`${root}/a`))).toBe('ENOTDIR');
    expect(await codeOf(fileSystem.openForRead(root))).toBe('EISDIR');
    expect(['EISDIR', 'EPERM']).toContain(await codeOf(fileSystem.remove(root)));
  });

  test('removes a directory that is empty, and no other', async () => {
    const { fileSystem, root } = await makePlace();
    await fileSystem.makeDirectory(`${root}/a/b`);
    await write(fileSystem, `${root}/a/file`, 'x');
    expect(await codeOf(fileSystem.removeDirectory(`${root}/missing`))).toBe('ENOENT');
    expect(await codeOf(fileSystem.removeDirectory(`${root}/a/file`))).toBe('ENOTDIR');
    expect(['ENOTEMPTY', 'EEXIST']).toContain(await codeOf(fileSystem.removeDirectory(`${root}/a`)));
    await fileSystem.removeDirectory(`${root}/a/b`);
    expect(await fileSystem.list(`${root}/a`)).toEqual(['file']);
    await fileSystem.remove(`${root}/a/file`);
    await fileSystem.removeDirectory(`${root}/a`);
    expect(await fileSystem.list(root)).toEqual([]);
    await fileSystem.makeDirectory(`${root}/a`); // the name is free again
    expect(await fileSystem.list(`${root}/a`)).toEqual([]);
  });

  test('makeDirectory makes missing parents, and is content with what is there', async () => {
    const { fileSystem, root } = await makePlace();
    await fileSystem.makeDirectory(`${root}/x/y/z`);
    await fileSystem.makeDirectory(`${root}/x/y/z`);
    expect((await fileSystem.stat(`${root}/x/y/z`)).kind).toBe('directory');
    await write(fileSystem, `${root}/file`, '');
    expect(['EEXIST', 'ENOTDIR']).toContain(await codeOf(fileSystem.makeDirectory(`${root}/file`)));
    expect((await fileSystem.stat(`${root}/file`)).kind).toBe('file');
  });

  test('list is sorted by code unit', async () => {
    const { fileSystem, root } = await makePlace();
    for (const name of ['b', 'a', 'B', '10', '9', 'é', 'z']) await write(fileSystem, `${root}/${name}`, '');
    expect(await fileSystem.list(root)).toEqual(['10', '9', 'B', 'a', 'b', 'z', 'é']);
  });

  test('stat tells kind, size and private modes', async () => {
    const { fileSystem, root } = await makePlace();
    await write(fileSystem, `${root}/a`, 'four');
    await fileSystem.makeDirectory(`${root}/d`);
    expect(await fileSystem.stat(`${root}/a`)).toEqual({
      kind: 'file',
      size: 4,
      mode: 0o600,
      version: expect.any(Number) as number,
    });
    expect(await fileSystem.stat(`${root}/d`)).toMatchObject({ kind: 'directory', mode: 0o700 });
  });

  test('rename replaces a file, moves between directories, and refuses what is not a file', async () => {
    const { fileSystem, root } = await makePlace();
    await write(fileSystem, `${root}/a`, 'new');
    await write(fileSystem, `${root}/b`, 'old');
    await fileSystem.makeDirectory(`${root}/d/e`);
    await fileSystem.rename(`${root}/a`, `${root}/b`);
    expect(await fileSystem.list(root)).toEqual(['b', 'd']);
    expect(await codeOf(fileSystem.rename(`${root}/b`, `${root}/d`))).toBe('EISDIR');
    expect(await codeOf(fileSystem.rename(`${root}/d`, `${root}/b`))).toBe('ENOTDIR');
    expect(await codeOf(fileSystem.rename(`${root}/d`, `${root}/d/e/f`))).toBe('EINVAL');
    await fileSystem.rename(`${root}/b`, `${root}/d/e/c`);
    await fileSystem.rename(`${root}/d`, `${root}/g`);
    expect(await read(fileSystem, `${root}/g/e/c`)).toBe('new');
    await fileSystem.makeDirectory(`${root}/empty`);
    expect(['ENOTEMPTY', 'EEXIST']).toContain(await codeOf(fileSystem.rename(`${root}/empty`, `${root}/g`)));
  });

  test('a hard link is a second name of one file', async () => {
    const { fileSystem, root } = await makePlace();
    const file = await fileSystem.create(`${root}/a`);
    await fileSystem.link(`${root}/a`, `${root}/b`);
    await file.append(bytesOf('both'));
    await file.close();
    expect(await codeOf(fileSystem.link(`${root}/a`, `${root}/b`))).toBe('EEXIST');
    expect(await codeOf(fileSystem.link(`${root}/missing`, `${root}/c`))).toBe('ENOENT');
    await fileSystem.rename(`${root}/a`, `${root}/b`); // two names of one file: nothing happens
    expect(await fileSystem.list(root)).toEqual(['a', 'b']);
    await fileSystem.remove(`${root}/a`);
    expect(await read(fileSystem, `${root}/b`)).toBe('both');
  });

  test('realPath is absolute and the same for every way to write it', async () => {
    const { fileSystem, root } = await makePlace();
    await fileSystem.makeDirectory(`${root}/d`);
    const real = await fileSystem.realPath(`${root}/d`);
    expect(real.startsWith('/')).toBe(true);
    expect(await fileSystem.realPath(`${root}//d/../d/.`)).toBe(real);
  });

  test('freeBytes is a positive whole number', async () => {
    const { fileSystem, root } = await makePlace();
    const free = await fileSystem.freeBytes(root);
    expect(Number.isSafeInteger(free) && free > 0).toBe(true);
  });

  test('a lock excludes a second one, names the holder, and is free after release', async () => {
    const { fileSystem, root } = await makePlace();
    const holder = { pid: process.pid, since: new Date(1_700_000_000_000) };
    const lock = await fileSystem.lock(root, holder);
    const refusal: unknown = await fileSystem.lock(`${root}/.`, holder).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(LockedError);
    expect(refusal).toMatchObject({ holder });
    await lock.release();
    await lock.release();
    const again = await fileSystem.lock(root, holder);
    await lock.release(); // an old lock gives nothing of a new one back
    await expect(fileSystem.lock(root, holder)).rejects.toBeInstanceOf(LockedError);
    await again.release();
    expect(await codeOf(fileSystem.lock(`${root}/missing`, holder))).toBe('ENOENT');
  });

  test('of two locks asked for at the same time one is given', async () => {
    const { fileSystem, root } = await makePlace();
    const holder = { pid: process.pid, since: undefined };
    const asked = await Promise.allSettled([fileSystem.lock(root, holder), fileSystem.lock(root, holder)]);
    expect(asked.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected']);
    for (const result of asked) if (result.status === 'fulfilled') await result.value.release();
  });
});
