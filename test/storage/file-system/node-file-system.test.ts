import fs, { readdirSync } from 'node:fs';
import { lstat, mkdtemp, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { IoError, NoSpaceError } from '../../../src/errors.ts';
import { NodeFileSystem } from '../../../src/storage/file-system/node-file-system.ts';

const fileSystem = new NodeFileSystem();
let root = '';

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'alluvium-node-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true, force: true });
});

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );
const systemError = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

/** `fs.write` as the system would do it if it took at most `bytesMax` per call. */
function writeAtMost(bytesMax: (call: number) => number): void {
  let calls = 0;
  vi.spyOn(fs, 'write').mockImplementation(((
    descriptor: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    _position: null,
    done: (error: Error | null, count: number) => void,
  ) => {
    const count = fs.writeSync(descriptor, bytes, offset, Math.min(length, bytesMax(calls++)));
    setImmediate(done, null, count);
  }) as unknown as typeof fs.write);
}

describe('short calls', () => {
  test('an append goes on after short writes until all is written', async () => {
    writeAtMost((call) => (call % 3 === 1 ? 0 : 7));
    const file = await fileSystem.create(join(root, 'a'));
    const text = 'a text that is written seven bytes at a time';
    await file.append(bytesOf(text));
    await file.close();
    expect(await readFile(join(root, 'a'), 'utf8')).toBe(text);
  });

  test('a device that takes no byte any more is an error, not an endless loop', async () => {
    writeAtMost((call) => (call === 0 ? 4 : 0));
    const file = await fileSystem.create(join(root, 'a'));
    expect(await failure(file.append(bytesOf('12345678')))).toMatchObject({ systemCode: 'EIO', outcome: 'unknown' });
    const writeSync = vi.spyOn(fs, 'writeSync').mockReturnValue(0);
    expect(() => file.appendNow(bytesOf('x'))).toThrow(IoError);
    expect(writeSync.mock.calls.length).toBeLessThan(10);
    await file.close();
  });

  test('appendNow goes on after short writes', async () => {
    const writeSync = fs.writeSync;
    vi.spyOn(fs, 'writeSync').mockImplementation(((descriptor: number, bytes: Uint8Array, offset: number) =>
      writeSync(descriptor, bytes, offset, 1)) as typeof fs.writeSync);
    const file = await fileSystem.create(join(root, 'a'));
    file.appendNow(bytesOf('byte by byte'));
    await file.close();
    expect(await readFile(join(root, 'a'), 'utf8')).toBe('byte by byte');
  });

  test('a read goes on after short reads until it is full or at the end', async () => {
    await writeFile(join(root, 'a'), 'a text that is read three bytes at a time');
    vi.spyOn(fs, 'read').mockImplementation(((
      descriptor: number,
      into: Uint8Array,
      offset: number,
      length: number,
      position: number,
      done: (error: Error | null, count: number) => void,
    ) => {
      setImmediate(done, null, fs.readSync(descriptor, into, offset, Math.min(length, 3), position));
    }) as unknown as typeof fs.read);
    const file = await fileSystem.openForRead(join(root, 'a'));
    const into = new Uint8Array(100);
    expect(await file.read(into.subarray(0, 20), 2)).toBe(20);
    expect(new TextDecoder().decode(into.subarray(0, 20))).toBe('text that is read th');
    expect(await file.read(into, 0)).toBe(41);
    await file.close();
  });
});

describe('failures', () => {
  /** Makes the next call of one function of node:fs fail. */
  function failOnce(name: 'fdatasync' | 'fsync' | 'write' | 'read' | 'close' | 'fstat', code: string): void {
    const fail = (...given: unknown[]): void => {
      setImmediate(given.at(-1) as (error: Error) => void, systemError(code));
    };
    vi.spyOn(fs, name).mockImplementationOnce(fail); // six signatures, of which only the callback counts
  }

  test('a failed sync is final: every later append and sync of the file is refused', async () => {
    const file = await fileSystem.create(join(root, 'a'));
    await file.append(bytesOf('lost?'));
    failOnce('fdatasync', 'EIO');
    expect(await failure(file.sync())).toMatchObject({
      code: 'IO',
      operation: 'sync',
      systemCode: 'EIO',
      outcome: 'unknown',
    });
    expect(await failure(file.sync())).toMatchObject({ code: 'IO', operation: 'sync', outcome: 'unknown' });
    expect(await failure(file.append(bytesOf('more')))).toMatchObject({ operation: 'append', outcome: 'failed' });
    expect(() => file.appendNow(bytesOf('more'))).toThrow(IoError);
    await file.close();
    expect(await readFile(join(root, 'a'), 'utf8')).toBe('lost?');
  });

  test.each(['ENOSPC', 'EDQUOT'])('%s is NoSpaceError for appends, and final for syncs', async (code) => {
    const file = await fileSystem.create(join(root, 'a'));
    failOnce('write', code);
    expect(await failure(file.append(bytesOf('x')))).toBeInstanceOf(NoSpaceError);
    await file.append(bytesOf('x')); // a full disk may have room again
    failOnce('fdatasync', code);
    expect(await failure(file.sync())).toBeInstanceOf(NoSpaceError);
    expect(await failure(file.sync())).toMatchObject({ systemCode: code, outcome: 'unknown' });
    await file.close();
  });

  test('a failed close after unsynced bytes is unknown, after a sync it failed', async () => {
    const file = await fileSystem.create(join(root, 'a'));
    await file.append(bytesOf('x'));
    closeThenFail();
    expect(await failure(file.close())).toMatchObject({ operation: 'close', systemCode: 'EIO', outcome: 'unknown' });
    const synced = await fileSystem.create(join(root, 'b'));
    await synced.append(bytesOf('x'));
    await synced.sync();
    closeThenFail();
    expect(await failure(synced.close())).toMatchObject({ operation: 'close', systemCode: 'EIO', outcome: 'failed' });
  });

  /** As on NFS: the descriptor is gone, and the close reports an earlier write. */
  function closeThenFail(): void {
    vi.spyOn(fs, 'close').mockImplementationOnce(((descriptor: number, done: (error: Error) => void) => {
      fs.closeSync(descriptor);
      setImmediate(done, systemError('EIO'));
    }) as typeof fs.close);
  }

  test('reads and opens that fail had no effect; renames may have had one', async () => {
    await writeFile(join(root, 'a'), 'text');
    const file = await fileSystem.openForRead(join(root, 'a'));
    failOnce('read', 'EIO');
    expect(await failure(file.read(new Uint8Array(4), 0))).toMatchObject({
      operation: 'read',
      systemCode: 'EIO',
      outcome: 'failed',
    });
    await file.close();
    expect(await failure(fileSystem.openForRead(join(root, 'b')))).toMatchObject({
      operation: 'open',
      outcome: 'failed',
    });
    expect(await failure(fileSystem.rename(join(root, 'b'), join(root, 'c')))).toMatchObject({ outcome: 'unknown' });
  });

  test.runIf(process.platform === 'linux')('no descriptor stays open, whatever fails', async () => {
    await writeFile(join(root, 'a'), 'text');
    const before = readdirSync('/proc/self/fd').length;
    await failure(fileSystem.openForRead(root));
    await failure(fileSystem.openForRead('/dev/null'));
    await failure(fileSystem.openForRead(join(root, 'missing')));
    await failure(fileSystem.create(join(root, 'a')));
    failOnce('fstat', 'EIO');
    await failure(fileSystem.openForRead(join(root, 'a')));
    failOnce('fsync', 'EIO');
    expect(await failure(fileSystem.syncDirectory(root))).toMatchObject({
      operation: 'syncDirectory',
      outcome: 'unknown',
    });
    const file = await fileSystem.openForRead(join(root, 'a'));
    failOnce('read', 'EIO');
    await failure(file.read(new Uint8Array(1), 0));
    await file.close();
    const lock = await fileSystem.lock(root, { pid: process.pid, since: undefined });
    await failure(fileSystem.lock(root, { pid: process.pid, since: undefined }));
    await lock.release();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  test('a closed file is asked nothing more, on the calling thread either', async () => {
    const written = await fileSystem.create(join(root, 'a'));
    await written.close();
    const file = fileSystem.openForReadNow(join(root, 'a'));
    await file.close();
    const calls = [
      () => file.sizeNow?.(),
      () => file.readNow?.(new Uint8Array(1), 0),
      () => written.reserveNow(1),
      () => written.appendNow(bytesOf('x')),
    ];
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ systemCode: 'EBADF', outcome: 'failed' }));
    expect(await readFile(join(root, 'a'), 'utf8')).toBe('');
  });

  test('a read on the calling thread ends with the file', async () => {
    await writeFile(join(root, 'a'), 'text');
    const file = fileSystem.openForReadNow(join(root, 'a'));
    const into = new Uint8Array(9);
    expect([file.sizeNow?.(), file.readNow?.(into, 1)]).toEqual([4, 3]);
    expect(new TextDecoder().decode(into.subarray(0, 3))).toBe('ext');
    expect(file.readNow?.(into, 4)).toBe(0);
    await file.close();
  });

  test('room that cannot be reserved, or given back, is an error of its own', async () => {
    const file = await fileSystem.create(join(root, 'a'));
    file.reserveNow(100);
    const writeSync = vi.spyOn(fs, 'writeSync').mockReturnValueOnce(0);
    expect(() => file.reserveNow(200)).toThrow(
      expect.objectContaining({ operation: 'reserve', systemCode: 'EIO', outcome: 'unknown' }),
    );
    expect(writeSync).toHaveBeenCalledTimes(1);
    vi.spyOn(fs, 'ftruncate').mockImplementationOnce(((_: number, __: number, done: (error: Error) => void) => {
      setImmediate(done, systemError('EIO'));
    }) as typeof fs.ftruncate);
    expect(await failure(file.trim())).toMatchObject({ operation: 'trim', systemCode: 'EIO', outcome: 'unknown' });
    await file.trim();
    expect((await stat(join(root, 'a'))).size).toBe(0);
    file.reserveNow(100);
    failOnce('fdatasync', 'EIO');
    await failure(file.sync());
    expect(() => file.reserveNow(100)).toThrow(expect.objectContaining({ operation: 'reserve', outcome: 'failed' }));
    expect(await failure(file.trim())).toMatchObject({ operation: 'trim', systemCode: 'EIO', outcome: 'failed' });
    await file.close();
  });

  test('directories are made once, however many make them; no file or link becomes one', async () => {
    await Promise.all(Array.from({ length: 8 }, () => fileSystem.makeDirectory(join(root, 'x/y/z'))));
    expect(await fileSystem.stat(join(root, 'x/y/z'))).toMatchObject({ kind: 'directory' });
    await writeFile(join(root, 'a'), 'text');
    expect(await failure(fileSystem.makeDirectory(join(root, 'a')))).toMatchObject({ systemCode: 'ENOTDIR' });
    expect(await failure(fileSystem.makeDirectory(join(root, 'a/b')))).toMatchObject({ systemCode: 'ENOTDIR' });
    await symlink(join(root, 'nowhere'), join(root, 'dangling'));
    expect(await failure(fileSystem.makeDirectory(join(root, 'dangling')))).toMatchObject({ systemCode: 'EEXIST' });
    await expect(lstat(join(root, 'nowhere'))).rejects.toThrow();
  });

  test.runIf(process.platform === 'linux')('a directory where none can be made is an error', async () => {
    expect(await failure(fileSystem.makeDirectory('/proc/alluvium'))).toMatchObject({
      operation: 'makeDirectory',
      systemCode: 'ENOENT',
    });
  });

  test('a new directory whose parent cannot be synced is taken back', async () => {
    failOnce('fsync', 'EIO');
    expect(await failure(fileSystem.makeDirectory(join(root, 'd')))).toMatchObject({ systemCode: 'EIO' });
    expect(await fileSystem.list(root)).toEqual([]);
  });

  test('a standard descriptor is refused and closed', async () => {
    await writeFile(join(root, 'a'), 'text');
    const close = vi.spyOn(fs, 'close').mockImplementation((_descriptor, done) => {
      setImmediate(() => done?.(null));
    });
    const open = (...given: unknown[]): void => {
      setImmediate(given.at(-1) as (error: null, descriptor: number) => void, null, 2);
    };
    vi.spyOn(fs, 'open').mockImplementation(open);
    expect(await failure(fileSystem.openForRead(join(root, 'a')))).toMatchObject({ systemCode: 'EBADF' });
    expect(close).toHaveBeenCalledWith(2, expect.any(Function));
  });
});

test('close waits for the calls in flight before it gives the number back', async () => {
  await writeFile(join(root, 'a'), 'text');
  const file = await fileSystem.openForRead(join(root, 'a'));
  const arrived: (() => void)[] = [];
  const slowRead = (...given: unknown[]): void => {
    const done = given.at(-1) as (error: null, count: number) => void;
    arrived.push(() => done(null, 4));
  };
  vi.spyOn(fs, 'read').mockImplementation(slowRead);
  const close = vi.spyOn(fs, 'close');
  const reads = [file.read(new Uint8Array(4), 0), file.read(new Uint8Array(4), 0)];
  const closing = file.close();
  arrived[0]?.();
  await reads[0];
  await new Promise(setImmediate);
  expect(close).not.toHaveBeenCalled();
  arrived[1]?.();
  await closing;
  expect(await reads[1]).toBe(4);
  expect(close).toHaveBeenCalledTimes(1);
});

describe.runIf(process.platform !== 'win32')('an untrusted directory', () => {
  test('files are 0600 and directories 0700 also under umask 0', async () => {
    const umask = process.umask(0); // vitest runs test files in processes of their own
    try {
      await fileSystem.makeDirectory(join(root, 'x/y'));
      await (await fileSystem.create(join(root, 'x/y/a'))).close();
      const lock = await fileSystem.lock(join(root, 'x/y'), { pid: process.pid, since: undefined });
      for (const name of await fileSystem.list(join(root, 'x/y'))) {
        expect([name, (await stat(join(root, 'x/y', name))).mode & 0o777]).toEqual([name, 0o600]);
      }
      await lock.release();
      for (const name of ['x', 'x/y']) expect((await stat(join(root, name))).mode & 0o777).toBe(0o700);
    } finally {
      process.umask(umask);
    }
  });

  test('a symbolic link at the name of a file is refused, its target untouched', async () => {
    const target = join(root, 'target');
    await writeFile(target, 'secret');
    await mkdir(join(root, 'db'));
    const before = await stat(target);
    for (const name of ['CURRENT', 'LOCK', 'alluvium.lock']) await symlink(target, join(root, 'db', name));
    await symlink(join(root, 'nowhere'), join(root, 'db', 'dangling'));

    expect(await failure(fileSystem.openForRead(join(root, 'db/CURRENT')))).toMatchObject({ systemCode: 'ELOOP' });
    expect(await failure(fileSystem.create(join(root, 'db/CURRENT')))).toMatchObject({ systemCode: 'EEXIST' });
    expect(await failure(fileSystem.create(join(root, 'db/dangling')))).toMatchObject({ systemCode: 'EEXIST' });
    expect(await failure(fileSystem.lock(join(root, 'db'), { pid: 1, since: undefined }))).toMatchObject({
      systemCode: 'ELOOP',
    });
    await rm(join(root, 'db/LOCK'));
    const lock = await fileSystem.lock(join(root, 'db'), { pid: process.pid, since: undefined });
    await lock.release();

    const after = await stat(target);
    expect(await readFile(target, 'utf8')).toBe('secret');
    expect([after.mtimeMs, after.size, after.mode, after.ino]).toEqual([
      before.mtimeMs,
      before.size,
      before.mode,
      before.ino,
    ]);
    await expect(lstat(join(root, 'nowhere'))).rejects.toThrow();
  });

  test('a planted pipe is refused at once', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    expect(await failure(fileSystem.openForRead(join(root, 'pipe')))).toMatchObject({ systemCode: 'EINVAL' });
    expect(await fileSystem.stat(join(root, 'pipe'))).toMatchObject({ kind: 'other' });
  });
});
