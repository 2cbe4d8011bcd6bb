/** What the memory file system forgets in a crash, and how it fails on demand. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IoError, NoSpaceError } from '../../../src/errors.ts';
import type { WritableFile } from '../../../src/storage/file-system/file-system.ts';
import type { CrashMode, RandomSource } from '../../../src/storage/file-system/memory-crash.ts';
import { Crash, Fault, type FileOperation } from '../../../src/storage/file-system/memory-faults.ts';
import { MemoryFileSystem } from '../../../src/storage/file-system/memory-file-system.ts';

const MODES: readonly CrashMode[] = ['all', 'synced', 'zeros', 'prefix', 'sectors', 'stale'];
const POWER_CUTS: readonly CrashMode[] = ['synced', 'zeros', 'prefix', 'sectors', 'stale'];
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Small and seeded: the same seed gives the same numbers for ever (a linear congruence, good enough for choices). */
function seeded(seed: number): RandomSource {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

/** Many images of one state, over all seeds up to `count`. */
function images(fileSystem: MemoryFileSystem, mode: CrashMode, count = 200): MemoryFileSystem[] {
  return Array.from({ length: count }, (_value, seed) => fileSystem.crashImage(mode, seeded(seed)));
}

const text = (fileSystem: MemoryFileSystem, path: string): string =>
  Buffer.from(fileSystem.readFileNow(path)).toString();

async function make(fileSystem: MemoryFileSystem, path: string, content: string): Promise<WritableFile> {
  const file = await fileSystem.create(path);
  await file.append(bytesOf(content));
  return file;
}

async function makeDurable(fileSystem: MemoryFileSystem, path: string, content: string): Promise<WritableFile> {
  const file = await make(fileSystem, path, content);
  await file.sync();
  await fileSystem.syncDirectory('/');
  return file;
}

describe('bytes in a crash', () => {
  test('unsynced bytes vanish, synced ones stay', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'synced');
    await file.append(bytesOf(' unsynced'));
    expect(text(fileSystem, '/a')).toBe('synced unsynced');
    expect(text(fileSystem.crashImage('synced', seeded(1)), '/a')).toBe('synced');
  });

  test('a killed process loses nothing, but what was unsynced still is', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'synced');
    await file.append(bytesOf(' unsynced'));
    await make(fileSystem, '/b', 'unsynced');
    const killed = fileSystem.crashImage('all', seeded(1));
    expect(text(killed, '/a')).toBe('synced unsynced');
    expect(text(killed, '/b')).toBe('unsynced');
    const powerCut = killed.crashImage('synced', seeded(1));
    expect(text(powerCut, '/a')).toBe('synced');
    expect(powerCut.paths()).toEqual(['/a']);
    const torn = new Set(images(killed, 'prefix').map((image) => text(image, '/a')));
    expect(torn).toContain('synced uns');
  });

  test('zeros: the size survives, unsynced bytes do not', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'synced');
    await file.append(bytesOf('123'));
    expect(text(fileSystem.crashImage('zeros', seeded(1)), '/a')).toBe('synced\0\0\0');
  });

  test('prefix: whole writes in order, and the last one torn', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'synced');
    for (const part of ['1111', '2222', '3333']) await file.append(bytesOf(part));
    const found = new Set(images(fileSystem, 'prefix').map((image) => text(image, '/a')));
    const whole = 'synced111122223333';
    for (const content of found) expect(whole.startsWith(content) && content.length >= 6).toBe(true);
    for (const length of [6, 8, 10, 13, 14, 15, 18]) expect(found).toContain(whole.slice(0, length));
  });

  test('prefix: also torn at a sector of 512 bytes', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'x'.repeat(100));
    await file.append(new Uint8Array(5000).fill(7));
    const sizes = images(fileSystem, 'prefix').map((image) => image.readFileNow('/a').length);
    const atSectors = sizes.filter((size) => size > 100 && size < 5100 && size % 512 === 0);
    expect(atSectors.length).toBeGreaterThan(10);
    expect(sizes.filter((size) => size % 512 !== 0).length).toBeGreaterThan(10);
  });

  test('sectors: each survives, reads as zeros or as garbage by itself, also later ones without earlier ones', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'x'.repeat(700));
    await file.append(new Uint8Array(4096).fill(7));
    let laterWithoutEarlier = 0;
    let garbage = 0;
    const sizes = new Set<number>();
    for (const image of images(fileSystem, 'sectors')) {
      const bytes = image.readFileNow('/a');
      sizes.add(bytes.length);
      expect(Buffer.from(bytes.subarray(0, 700)).toString()).toBe('x'.repeat(700)); // synced bytes are never touched
      const fates: string[] = [];
      for (let start = 1024; start < bytes.length; start += 512) {
        const sector = new Set(bytes.subarray(start, start + 512));
        fates.push(sector.size > 1 ? 'garbage' : sector.has(7) ? 'kept' : 'zeros');
      }
      if (fates.includes('garbage')) garbage += 1;
      if (fates.lastIndexOf('kept') > fates.indexOf('zeros') && fates.includes('zeros')) laterWithoutEarlier += 1;
    }
    expect(laterWithoutEarlier).toBeGreaterThan(20);
    expect(garbage).toBeGreaterThan(20);
    expect(sizes.size).toBeGreaterThan(20);
    expect(sizes).toContain(4796);
  });

  describe('stale: what was not synced reads as what a removed file had', () => {
    /** A file of which 700 bytes are durable, and 4,096 are not; another one, of sectors of 100, 101, ..., was removed. */
    async function afterRemoval(removedBytesKeptMax: number, isOpen = false): Promise<MemoryFileSystem> {
      const fileSystem = new MemoryFileSystem({ removedBytesKeptMax });
      const former = await makeDurable(fileSystem, '/former', '');
      await former.append(Uint8Array.from({ length: 20 * 512 }, (_value, at) => 100 + Math.floor(at / 512)));
      if (!isOpen) await former.close();
      const file = await makeDurable(fileSystem, '/a', 'x'.repeat(700));
      await fileSystem.remove('/former');
      await file.append(new Uint8Array(4096).fill(7));
      return fileSystem;
    }
    /** What each whole sector behind the durable bytes has: 7 if it was kept, 0 for zeros, 100 and more of the removed file. */
    const sectorsOf = (image: MemoryFileSystem): number[] => {
      const bytes = image.readFileNow('/a');
      expect(Buffer.from(bytes.subarray(0, 700)).toString()).toBe('x'.repeat(700));
      expect([...new Set(bytes.subarray(700, 1024))]).toEqual(bytes.length > 700 ? [7] : []); // the file had this sector
      const sectors: number[] = [];
      for (let start = 1024; start + 512 <= bytes.length; start += 512) {
        expect(new Set(bytes.subarray(start, start + 512)).size).toBe(1);
        sectors.push(bytes[start] ?? -1);
      }
      return sectors;
    };

    test('of the same place or another, all from a sector on or some of them', async () => {
      const fileSystem = await afterRemoval(100_000);
      const found = { samePlace: 0, otherPlace: 0, allFrom: 0, keptBehind: 0, zeros: 0 };
      for (const image of images(fileSystem, 'stale')) {
        const sectors = sectorsOf(image);
        const stale = sectors.flatMap((sector, index) => (sector >= 100 ? [{ sector, index }] : []));
        const shifts = new Set(stale.map(({ sector, index }) => sector - index));
        expect(shifts.size).toBeLessThanOrEqual(1); // one row of sectors, in their order
        if (shifts.has(102)) found.samePlace += 1;
        else if (shifts.size === 1) found.otherPlace += 1;
        if (sectors.includes(0)) found.zeros += 1;
        if (sectors.lastIndexOf(7) > sectors.findIndex((sector) => sector >= 100) && stale.length > 0)
          found.keptBehind += 1;
        const first = stale[0]?.index ?? sectors.length;
        const isRun = sectors.slice(first).every((sector) => sector >= 100);
        if (isRun && stale.length > 2 && sectors.slice(0, first).every((sector) => sector === 7)) found.allFrom += 1;
      }
      for (const count of Object.values(found)) expect(count).toBeGreaterThan(10);
    });

    test('and zeros, where none was removed, is kept, or is free', async () => {
      for (const fileSystem of [await afterRemoval(0), await afterRemoval(9999), await afterRemoval(100_000, true)]) {
        const all = images(fileSystem, 'stale').flatMap(sectorsOf);
        expect(new Set(all)).toEqual(new Set([0, 7]));
      }
    });

    test('also after another crash; of many only the newest', async () => {
      const fileSystem = await afterRemoval(21 * 512);
      const image = fileSystem.crashImage('all', seeded(1));
      expect(new Set(images(image, 'stale').flatMap(sectorsOf)).size).toBeGreaterThan(10);
      const other = await makeDurable(fileSystem, '/b', '');
      await other.append(new Uint8Array(3 * 512).fill(9));
      await other.close();
      await makeDurable(fileSystem, '/c', '');
      await fileSystem.rename('/c', '/b');
      const sectors = new Set(images(fileSystem, 'stale').flatMap(sectorsOf));
      expect(sectors).toEqual(new Set([0, 7, 9]));
      // The file that was there before it went over another one is there still: it has its bytes for itself.
      expect(new Set(images(image, 'stale').flatMap(sectorsOf))).not.toContain(9);
    });
  });

  test('a failed sync loses pages: still readable, the next sync succeeds, the range stays old', async () => {
    let isBroken = false;
    const fileSystem = new MemoryFileSystem({
      onOperation: ({ name }) => (isBroken && name === 'sync' ? new Fault('EIO') : undefined),
    });
    const file = await makeDurable(fileSystem, '/a', 'old');
    await file.append(bytesOf('lost'));
    isBroken = true;
    expect(await failure(file.sync())).toMatchObject({ operation: 'sync', systemCode: 'EIO', outcome: 'unknown' });
    isBroken = false;
    expect(text(fileSystem, '/a')).toBe('oldlost');
    await file.sync();
    for (const mode of POWER_CUTS) {
      for (const image of images(fileSystem, mode, 20)) expect(text(image, '/a')).toBe('old');
    }
    await file.append(bytesOf('new'));
    await file.sync();
    for (const mode of POWER_CUTS) {
      for (const image of images(fileSystem, mode, 20)) expect(text(image, '/a')).toBe('old\0\0\0\0new');
    }
    expect(text(fileSystem.crashImage('all', seeded(1)), '/a')).toBe('oldlostnew');
  });
});

describe('names in a crash', () => {
  test('a name vanishes without syncDirectory, however often its file was synced', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await make(fileSystem, '/a', 'content');
    await file.sync();
    expect(fileSystem.crashImage('synced', seeded(1)).paths()).toEqual([]);
    await fileSystem.syncDirectory('/');
    const image = fileSystem.crashImage('synced', seeded(1));
    expect(text(image, '/a')).toBe('content');
  });

  test('syncDirectory publishes names, not bytes', async () => {
    const fileSystem = new MemoryFileSystem();
    await make(fileSystem, '/a', 'content');
    await fileSystem.syncDirectory('/');
    expect(text(fileSystem.crashImage('synced', seeded(1)), '/a')).toBe('');
  });

  test('syncDirectory is about its own directory only', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/d');
    await make(fileSystem, '/d/a', '');
    await make(fileSystem, '/b', '');
    await fileSystem.syncDirectory('/');
    expect(fileSystem.crashImage('synced', seeded(1)).paths()).toEqual(['/b']);
  });

  test('a removed file comes back until the directory is synced', async () => {
    const fileSystem = new MemoryFileSystem();
    await makeDurable(fileSystem, '/a', 'back');
    await fileSystem.remove('/a');
    expect(text(fileSystem.crashImage('synced', seeded(1)), '/a')).toBe('back');
    await fileSystem.syncDirectory('/');
    expect(fileSystem.crashImage('synced', seeded(1)).paths()).toEqual([]);
  });

  test('a rename happens or not, never by half', async () => {
    const fileSystem = new MemoryFileSystem();
    await makeDurable(fileSystem, '/CURRENT', 'old');
    await makeDurable(fileSystem, '/tmp', 'new');
    await fileSystem.rename('/tmp', '/CURRENT');
    for (const mode of ['prefix', 'sectors'] as const) {
      const found = images(fileSystem, mode).map((image) => {
        const files = image.paths().map((path) => [path, text(image, path)]);
        return JSON.stringify(files);
      });
      expect([...new Set(found)].sort()).toEqual(['[["/CURRENT","new"]]', '[["/CURRENT","old"],["/tmp","new"]]']);
    }
  });

  test('a rename between directories is one unit as well, and brings along what it builds on', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/d');
    await fileSystem.makeDirectory('/e');
    await make(fileSystem, '/e/x', ''); // replaced below; must not come back when /e is synced
    await (await make(fileSystem, '/d/a', 'moved')).sync();
    await fileSystem.rename('/d/a', '/e/x');
    const found = new Set(images(fileSystem, 'sectors').map((image) => image.paths().join()));
    expect([...found].sort()).toEqual(['', '/d/a', '/d/a,/e/x', '/e/x']);
    await fileSystem.syncDirectory('/d');
    await fileSystem.syncDirectory('/e');
    const image = fileSystem.crashImage('synced', seeded(1));
    expect(image.paths()).toEqual(['/e/x']);
    expect(text(image, '/e/x')).toBe('moved');
  });

  test('prefix keeps the order of names, sectors does not', async () => {
    const fileSystem = new MemoryFileSystem();
    for (const name of ['a', 'b', 'c']) await make(fileSystem, `/${name}`, '');
    const ordered = new Set(images(fileSystem, 'prefix').map((image) => image.paths().join()));
    expect([...ordered].sort()).toEqual(['', '/a', '/a,/b', '/a,/b,/c']);
    const any = new Set(images(fileSystem, 'sectors').map((image) => image.paths().join()));
    expect(any.size).toBe(8);
  });

  test('hard links are one file in an image too', async () => {
    const fileSystem = new MemoryFileSystem();
    await makeDurable(fileSystem, '/a', 'one');
    await fileSystem.link('/a', '/b');
    await fileSystem.syncDirectory('/');
    for (const mode of MODES) {
      const image = fileSystem.crashImage(mode, seeded(1));
      image.writeFileNow('/a', bytesOf('two'));
      expect(text(image, '/b')).toBe('two');
    }
    expect(text(fileSystem, '/b')).toBe('one');
  });

  test('a made directory is durable on return; with a failing sync it is not there', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/x/y');
    expect(await fileSystem.crashImage('synced', seeded(1)).list('/x')).toEqual(['y']);
    const broken = new MemoryFileSystem({
      onOperation: ({ name }) => (name === 'syncDirectory' ? new Fault('EIO') : undefined),
    });
    expect(await failure(broken.makeDirectory('/x'))).toBeInstanceOf(IoError);
    expect(await broken.list('/')).toEqual([]);
  });
});

describe('crash images', () => {
  test('never touch the original, and writing into one side is not seen on the other', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'synced');
    await file.append(bytesOf(' more'));
    const all = images(fileSystem, 'all', 2);
    const others = POWER_CUTS.map((mode) => fileSystem.crashImage(mode, seeded(3)));
    await file.append(bytesOf(' later'));
    expect(text(all[0] as MemoryFileSystem, '/a')).toBe('synced more');
    for (const image of [...all, ...others]) {
      image.writeFileNow('/a', bytesOf('X'));
      await image.create('/new');
      await image.syncDirectory('/');
    }
    expect(text(fileSystem, '/a')).toBe('synced more later');
    expect(fileSystem.paths()).toEqual(['/a']);
    expect(text(fileSystem.crashImage('synced', seeded(1)), '/a')).toBe('synced');
  });

  test('are the same for the same seed', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', 'synced');
    await file.append(new Uint8Array(3000).fill(1));
    for (const mode of MODES) {
      const [one, two] = [fileSystem.crashImage(mode, seeded(5)), fileSystem.crashImage(mode, seeded(5))];
      expect(Buffer.compare(one.readFileNow('/a'), two.readFileNow('/a'))).toBe(0);
    }
  });

  test('of any power cut have the room that was reserved and synced, though it was given back since', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await makeDurable(fileSystem, '/a', '');
    file.reserveNow(2);
    await file.sync();
    await file.append(Uint8Array.of(7));
    await file.trim();
    for (const mode of POWER_CUTS) {
      for (const image of images(fileSystem, mode, 20)) expect(image.readFileNow('/a'), mode).toHaveLength(2);
    }
  });

  test('hold what was synced and nothing that was never written, for any history', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.constant('sync' as const),
            fc.constant('trim' as const),
            fc.record({ reserved: fc.integer({ min: 1, max: 4000 }) }),
            fc.integer({ min: 1, max: 1500 }),
          ),
          { maxLength: 12 },
        ),
        fc.constantFrom(...POWER_CUTS),
        fc.nat(),
        async (steps, mode, seed) => {
          const fileSystem = new MemoryFileSystem();
          const file = await makeDurable(fileSystem, '/a', '');
          let size = 0;
          let synced = 0;
          let reservedEnd = 0;
          let reservedSynced = 0;
          let reservedMost = 0;
          for (const step of steps) {
            if (step === 'sync') {
              await file.sync();
              synced = size;
              reservedSynced = reservedEnd;
              reservedMost = reservedEnd;
            } else if (step === 'trim') {
              await file.trim();
              reservedEnd = 0;
            } else if (typeof step === 'object') {
              file.reserveNow(step.reserved);
              reservedEnd = Math.max(reservedEnd, size + step.reserved);
              reservedMost = Math.max(reservedMost, reservedEnd);
            } else {
              await file.append(Uint8Array.from({ length: step }, (_value, index) => (size + index) % 251));
              size += step;
            }
          }
          const image = fileSystem.crashImage(mode, seeded(seed));
          const bytes = image.readFileNow('/a');
          expect(bytes.length).toBeGreaterThanOrEqual(Math.max(synced, reservedSynced));
          expect(bytes.length).toBeLessThanOrEqual(Math.max(size, reservedMost));
          const zerosMin = mode === 'prefix' ? bytes.findLastIndex((byte) => byte !== 0) + 1 : synced;
          const kept = Math.max(synced, zerosMin);
          expect(bytes.subarray(size).every((byte) => byte === 0)).toBe(true);
          for (let at = 0; at < kept; at += 1) if (bytes[at] !== at % 251) expect.fail(`byte ${at} of ${kept}`);
          // After a power cut, what is there is on the disk: the next cut leaves the same.
          expect(Buffer.compare(image.crashImage('synced', seeded(1)).readFileNow('/a'), bytes)).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('start without locks', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.lock('/', { pid: 1, since: undefined });
    await fileSystem.crashImage('all', seeded(1)).lock('/', { pid: 2, since: undefined });
  });
});

describe('the hook', () => {
  async function workload(fileSystem: MemoryFileSystem): Promise<void> {
    await fileSystem.makeDirectory('/d');
    const file = await fileSystem.create('/d/a');
    await file.append(bytesOf('12345'));
    file.appendNow(bytesOf('678'));
    await file.sync();
    await file.close();
    await fileSystem.rename('/d/a', '/d/b');
    await fileSystem.link('/d/b', '/d/c');
    await fileSystem.remove('/d/c');
    await fileSystem.syncDirectory('/d');
    const reader = await fileSystem.openForRead('/d/b');
    await reader.size();
    await reader.read(new Uint8Array(3), 0);
    await reader.close();
    await fileSystem.list('/d');
    await fileSystem.stat('/d/b');
    await fileSystem.realPath('/d');
    await fileSystem.freeBytes('/d');
    await (await fileSystem.lock('/d', { pid: 1, since: undefined })).release();
  }

  const NAMES = [
    ...['makeDirectory', 'makeDirectory', 'syncDirectory', 'create', 'append', 'append', 'sync', 'close', 'rename'],
    ...['link', 'remove', 'syncDirectory', 'open', 'size', 'read', 'close', 'list', 'stat', 'realPath', 'freeBytes'],
    ...['lock', 'unlock'],
  ];

  test('sees every call, numbered', async () => {
    const seen: FileOperation[] = [];
    await workload(new MemoryFileSystem({ onOperation: (operation) => void seen.push(operation) }));
    expect(seen.map(({ name }) => name)).toEqual(NAMES);
    expect(seen.map(({ index }) => index)).toEqual(NAMES.map((_name, index) => index));
    expect(seen.find(({ name }) => name === 'append')).toMatchObject({ path: '/d/a', bytes: 5 });
    expect(seen.find(({ name }) => name === 'rename')).toMatchObject({ path: '/d/b', bytes: 0 });
  });

  test.each(['EIO', 'ENOSPC', 'EMFILE', 'EACCES'])('makes any call fail with %s, as a typed error', async (code) => {
    for (const nth of NAMES.keys()) {
      const fileSystem = new MemoryFileSystem({
        onOperation: ({ index }) => (index === nth ? new Fault(code) : undefined),
      });
      const error = await failure(workload(fileSystem));
      if (code === 'ENOSPC') expect(error).toBeInstanceOf(NoSpaceError);
      else expect(error).toMatchObject({ code: 'IO', operation: NAMES[nth], systemCode: code });
    }
  });

  test('a failed call had no effect, unless the fault says so', async () => {
    let fault: Fault | undefined;
    const fileSystem = new MemoryFileSystem({ onOperation: () => fault });
    const file = await make(fileSystem, '/a', '');
    fault = new Fault('EIO');
    expect(await failure(fileSystem.rename('/a', '/b'))).toMatchObject({ outcome: 'unknown' });
    expect(await failure(file.append(bytesOf('12345678')))).toMatchObject({ outcome: 'unknown' });
    expect(fileSystem.paths()).toEqual(['/a']);
    expect(text(fileSystem, '/a')).toBe('');
    for (const [bytes, content] of [
      [1, '1'],
      [4, '11234'],
      [7, '112341234567'],
    ] as const) {
      fault = new Fault('EIO', bytes); // a short write, then the error
      expect(() => file.appendNow(bytesOf('12345678'))).toThrow(IoError);
      expect(text(fileSystem, '/a')).toBe(content);
    }
    fault = new Fault('EIO', 1);
    await failure(fileSystem.rename('/a', '/b'));
    expect(fileSystem.paths()).toEqual(['/b']);
  });

  test('may throw its fault; a mistake in the hook itself comes out as it is', async () => {
    const thrown = new MemoryFileSystem({
      onOperation: () => {
        throw new Fault('EIO');
      },
    });
    expect(await failure(thrown.list('/'))).toMatchObject({ code: 'IO', systemCode: 'EIO' });
    const mistake = new TypeError('a bug of the test');
    const wrong = new MemoryFileSystem({
      onOperation: () => {
        throw mistake;
      },
    });
    expect(await failure(wrong.list('/'))).toBe(mistake);
  });

  test('a crash stops everything: no later call happens', async () => {
    let isDown = false;
    const fileSystem = new MemoryFileSystem({ onOperation: () => (isDown ? new Crash() : undefined) });
    const file = await make(fileSystem, '/a', 'before');
    isDown = true;
    expect(await failure(file.append(bytesOf('after')))).toMatchObject({ systemCode: 'ECRASH' });
    isDown = false;
    expect(await failure(file.append(bytesOf('after')))).toMatchObject({ systemCode: 'ECRASH' });
    expect(() => file.appendNow(bytesOf('after'))).toThrow(IoError);
    expect(await failure(fileSystem.create('/b'))).toMatchObject({ systemCode: 'ECRASH' });
    expect(text(fileSystem, '/a')).toBe('before');
    expect(text(fileSystem.crashImage('all', seeded(1)), '/a')).toBe('before');
  });

  test('a silent crash leaves every later call pending', async () => {
    const fileSystem = new MemoryFileSystem({
      onOperation: ({ index }) => (index === 1 ? new Crash({ isSilent: true }) : undefined),
    });
    const file = await fileSystem.create('/a');
    let settled = 0;
    for (const call of [file.append(bytesOf('x')), file.sync(), fileSystem.list('/')]) {
      void call.then(
        () => (settled += 1),
        () => (settled += 1),
      );
    }
    await new Promise(setImmediate);
    expect(settled).toBe(0);
  });

  test('images can be taken inside of it, at every call', async () => {
    const found: string[] = [];
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({
      onOperation: () => void found.push(fileSystem.crashImage('synced', seeded(1)).paths().join()),
    });
    await workload(fileSystem);
    expect(new Set(found)).toEqual(new Set(['', '/d/b']));
  });
});

describe('room', () => {
  test('a write beyond the capacity writes a part and fails; removing makes room', async () => {
    const fileSystem = new MemoryFileSystem({ capacityBytes: 10 });
    const file = await make(fileSystem, '/a', '123456');
    expect(await fileSystem.freeBytes('/')).toBe(4);
    expect(await failure(file.append(bytesOf('7890abc')))).toBeInstanceOf(NoSpaceError);
    expect(text(fileSystem, '/a')).toBe('1234567890');
    expect(() => file.appendNow(bytesOf('x'))).toThrow(NoSpaceError);
    await file.append(new Uint8Array(0));
    await fileSystem.link('/a', '/b');
    await fileSystem.remove('/a');
    await fileSystem.remove('/b');
    expect(await fileSystem.freeBytes('/')).toBe(0); // still open
    await file.close();
    expect(await fileSystem.freeBytes('/')).toBe(10);
  });

  test('is counted in images, and by replaced files', async () => {
    const fileSystem = new MemoryFileSystem({ capacityBytes: 100 });
    await (await makeDurable(fileSystem, '/a', '12345')).close();
    await fileSystem.link('/a', '/c');
    await (await makeDurable(fileSystem, '/b', '123')).close();
    expect(await fileSystem.crashImage('all', seeded(1)).freeBytes('/')).toBe(92);
    await fileSystem.rename('/b', '/a');
    await fileSystem.remove('/c');
    expect(await fileSystem.freeBytes('/')).toBe(97);
  });
});

test('appends take the bytes of the call: the caller may scribble over its buffer afterwards', async () => {
  const fileSystem = new MemoryFileSystem();
  const file = await fileSystem.create('/a');
  const buffer = bytesOf('right');
  const appending = file.append(buffer);
  buffer.fill(0);
  await appending;
  expect(text(fileSystem, '/a')).toBe('right');
});

test('relative paths begin at the root', async () => {
  const fileSystem = new MemoryFileSystem();
  await fileSystem.makeDirectory('d');
  await make(fileSystem, './d//a', 'x');
  expect(fileSystem.paths()).toEqual(['/d/a']);
  expect(await fileSystem.realPath('d/../d/a')).toBe('/d/a');
});
