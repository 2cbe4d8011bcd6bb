// Goal: what classic-level has beyond abstract-level is here, too, and fails with the codes that its users look for.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LockedError, MemoryFileSystem, OutOfRangeError, ReadOnlyError } from 'alluvium';
import { ClassicLevel, Level, LevelError } from 'alluvium/level';
import { temporaryDirectories } from '../support/temporary.ts';

const makeDirectory = temporaryDirectories();
const inMemory = (): Level => new Level('/memory', { engine: { fileSystem: new MemoryFileSystem() } });

const fill = (db: Level, entries: number): Promise<void> =>
  db.batch(
    Array.from({ length: entries }, (_, number) => ({
      type: 'put',
      key: String(number).padStart(6, '0'),
      value: 'v'.repeat(100),
    })),
  );

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('a Level', () => {
  it('is called ClassicLevel as well', () => {
    expect(ClassicLevel).toBe(Level);
  });

  it('keeps its location as it was given, and wants one', async () => {
    const directory = makeDirectory();
    const db = new Level(`${directory}/./a/b`);
    expect(db.location).toBe(`${directory}/./a/b`);
    await db.open();
    expect(readdirSync(join(directory, 'a/b'))).toContain('CURRENT');
    await db.close();
    for (const wrong of ['', null, 5]) expect(() => new Level(wrong as never)).toThrow(TypeError);
  });

  it('tells the bytes of a range once they are in tables', async () => {
    const db = inMemory();
    const before = db.approximateSize('000000', '999999'); // waits for the open
    await fill(db, 2000);
    expect(await before).toBe(0);
    await db.compactRange('000000', '999999');
    const whole = await db.approximateSize('000000', '999999');
    expect(whole).toBeGreaterThan(1000);
    expect(
      await db.approximateSize(Buffer.from('001000'), Buffer.from('999999'), { keyEncoding: 'buffer' }),
    ).toBeLessThan(whole);
    await expect((db.approximateSize as (start: string) => Promise<number>)('a')).rejects.toThrow(TypeError);
    await expect((db.compactRange as (start: string) => Promise<void>)('a')).rejects.toThrow(TypeError);
    await db.close();
    await expect(db.approximateSize('a', 'b')).rejects.toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN' });
    await expect(db.compactRange('a', 'b')).rejects.toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN' });
  });

  it("has LevelDB's properties", async () => {
    const db = inMemory();
    expect(() => db.getProperty('leveldb.stats')).toThrow(expect.objectContaining({ code: 'LEVEL_DATABASE_NOT_OPEN' }));
    await db.open();
    await fill(db, 2000);
    const filesOf = (): string[] =>
      Array.from({ length: 7 }, (_, level) => db.getProperty(`leveldb.num-files-at-level${level}`));
    expect(filesOf()).toEqual(['0', '0', '0', '0', '0', '0', '0']);
    expect(Number(db.getProperty('leveldb.approximate-memory-usage'))).toBeGreaterThan(200_000);
    await db.compactRange('', '~');
    expect(
      filesOf()
        .map(Number)
        .reduce((sum, files) => sum + files),
    ).toBeGreaterThan(0);
    expect(db.getProperty('leveldb.stats')).toMatch(/Level +Tables +Size/);
    expect(db.getProperty('leveldb.sstables').match(/--- level \d ---\n/g)).toHaveLength(7);
    expect(db.getProperty('leveldb.num-files-at-level7')).toBe('');
    expect(db.getProperty('nothing')).toBe('');
    expect(() => db.getProperty(5 as never)).toThrow(TypeError);
    await db.close();
  });

  it('acknowledges a write as buffered, and with sync as synced', async () => {
    const db = inMemory();
    await db.put('a', '1');
    const { sequence } = db.store.stats();
    await db.put('b', '2', { sync: true });
    expect(db.store.stats().durableSequence).toBe(sequence + 1);
    await db.batch([{ type: 'del', key: 'a' }], { sync: true });
    await db.del('b', { sync: true });
    await db.batch().put('c', '3').write({ sync: true });
    expect(db.store.stats().durableSequence).toBe(sequence + 4);
    await db.close();
  });

  it("moves sizes into LevelDB's ranges, and refuses what is no number", async () => {
    const options = {
      cacheSize: 0,
      writeBufferSize: 1,
      blockSize: 1,
      maxOpenFiles: 1,
      blockRestartInterval: 0,
      maxFileSize: 1,
    };
    const db = new Level('/memory', {
      ...options,
      multithreading: true,
      compression: false,
      engine: { fileSystem: new MemoryFileSystem() },
    });
    await fill(db, 2000);
    await fill(db, 2000);
    expect(await db.get('001234')).toBe('v'.repeat(100));
    expect(db.store.stats().flushes).toBeGreaterThan(0); // of a memtable of 64 KiB
    await db.close();
    await expect(db.open({ cacheSize: 'large' as never })).rejects.toMatchObject({
      cause: { code: 'INVALID_ARGUMENT' },
    });
    await expect(db.open({ engine: { memtableBytesMax: 1 } })).rejects.toMatchObject({
      cause: expect.any(OutOfRangeError) as unknown,
    });
  });

  it('keeps what was given to it, whatever becomes of the buffers', async () => {
    const db = new Level<Buffer, Uint8Array>('/memory', {
      keyEncoding: 'buffer',
      valueEncoding: 'view',
      engine: { fileSystem: new MemoryFileSystem() },
    });
    await db.open();
    const key = Buffer.from('key');
    const value = Uint8Array.of(1, 2, 3);
    const batch = db.batch().put(Buffer.from('x'), value);
    const writes = [db.put(key, value), db.batch([{ type: 'put', key: Buffer.from('y'), value }])];
    const read = db.getMany([key]);
    key.fill(0);
    value.fill(0);
    await Promise.all([...writes, batch.write()]);
    const wanted = Uint8Array.of(1, 2, 3);
    expect(await db.getMany([Buffer.from('key'), Buffer.from('x'), Buffer.from('y')])).toEqual([
      wanted,
      wanted,
      wanted,
    ]);
    expect(await read).toEqual([undefined]); // as of the call: the writes had not been acknowledged
    await db.close();
  });
});

describe('errors', () => {
  it('LEVEL_LOCKED: the directory is open already, and attaching is switched off', async () => {
    const directory = makeDirectory();
    const db = new Level(directory);
    await db.open();
    const failure = await failureOf(new Level(directory, { attach: false }).open());
    expect(failure).toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN', cause: { code: 'LEVEL_LOCKED' } });
    expect((failure as { cause: LevelError }).cause.cause).toBeInstanceOf(LockedError);
    await db.close();
  });

  it('LEVEL_CORRUPTION: a file is damaged', async () => {
    const directory = makeDirectory();
    const db = new Level(directory);
    await fill(db, 100);
    await db.close();
    const manifest = join(directory, readFileSync(join(directory, 'CURRENT'), 'utf8').trim());
    const bytes = readFileSync(manifest);
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    writeFileSync(manifest, bytes);
    expect(await failureOf(db.open())).toMatchObject({
      cause: { code: 'LEVEL_CORRUPTION', cause: { code: 'CORRUPTION' } },
    });
  });

  it('LEVEL_IO_ERROR: the operating system refuses', async () => {
    const failure = await failureOf(new Level(join(makeDirectory(), 'x'.repeat(300))).open());
    expect(failure).toMatchObject({ cause: { code: 'LEVEL_IO_ERROR', cause: { systemCode: 'ENAMETOOLONG' } } });
  });

  it('LEVEL_READONLY: opened with readOnly, beside whoever writes', async () => {
    const directory = makeDirectory();
    const owner = new Level(directory);
    await owner.put('a', '1', { sync: true });
    const names = readdirSync(directory).toSorted();
    const reader = new Level(directory, { readOnly: true });
    expect(await reader.get('a')).toBe('1');
    for (const write of [
      reader.put('b', '2'),
      reader.del('a'),
      reader.batch([{ type: 'del', key: 'a' }]),
      reader.clear(),
    ]) {
      const failure = await failureOf(write);
      expect(failure).toMatchObject({ code: 'LEVEL_READONLY', name: 'LevelError' });
      expect((failure as LevelError).cause).toBeInstanceOf(ReadOnlyError);
    }
    await reader.close();
    expect(readdirSync(directory).toSorted()).toEqual(names);
    await owner.close();
    expect(await failureOf(new Level(join(directory, 'none'), { readOnly: true }).open())).toMatchObject({
      cause: { code: 'LEVEL_NOT_A_DATABASE' },
    });
  });

  it('LEVEL_INVALID_KEY and LEVEL_INVALID_VALUE: reserved, or too long', async () => {
    const db = inMemory();
    await db.open();
    expect(await failureOf(db.put('k'.repeat(70_000), ''))).toMatchObject({
      code: 'LEVEL_INVALID_KEY',
      cause: { code: 'KEY_TOO_LARGE' },
    });
    expect(await failureOf(db.sublevel('_alluvium').put('x', ''))).toMatchObject({ code: 'LEVEL_INVALID_KEY' });
    expect(await failureOf(db.batch([{ type: 'del', key: '!_alluvium!x' }]))).toMatchObject({
      code: 'LEVEL_INVALID_KEY',
    });
    await db.close();
  });

  it('a snapshot of another database is refused', async () => {
    const [one, other] = [inMemory(), inMemory()];
    await Promise.all([one.open(), other.open()]);
    const snapshot = other.snapshot();
    for (const read of [one.get('a', { snapshot }), one.getMany(['a'], { snapshot }), one.has('a', { snapshot })]) {
      expect(await failureOf(read)).toMatchObject({ code: 'LEVEL_INVALID_SNAPSHOT' });
    }
    expect(() => one.iterator({ snapshot })).toThrow(expect.objectContaining({ code: 'LEVEL_INVALID_SNAPSHOT' }));
    await Promise.all([one.close(), other.close()]);
  });
});
