// Goal: what somebody has planted in a database directory leads nowhere. A link, a pipe, a device or a directory in the place
// of any file or folder of the database is refused or replaced, in bounded time; what a link leads to keeps its bytes and dates.
// Method: each name of a whole database (and names that are only made later) is replaced in turn; then everything that can be
// done with a directory is done: opened for writing, written, flushed, compacted, opened for reading, verified, repaired,
// backed up, restored. Beside it lies what the links lead to, which is looked at before and after.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EngineError, open, repair, restore, verify } from '../../src/index.ts';
import { runs } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const newDirectory = temporaryDirectories();
const PATIENCE_MS = 30_000;

/** A closed database with a table, a log, history and something in `lost/`. */
async function database(): Promise<string> {
  const location = join(newDirectory(), 'data');
  const store = await open(location, { worker: 'off' });
  for (let index = 0; index < 20; index += 1)
    await store.set(`key ${index}`, `value ${index}`, { durability: 'buffered' });
  await store.flush();
  await store.set('last', 'in the log');
  await store.close();
  return location;
}

/** Everything below a folder: names, kinds, dates, bytes. */
function census(folder: string): string {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .toSorted()
    .map((name) => {
      const path = join(folder, name);
      const { mode, mtimeMs, ino } = lstatSync(path);
      const isFile = lstatSync(path).isFile();
      return `${name} ${mode} ${mtimeMs} ${ino} ${isFile ? readFileSync(path, 'hex') : ''}`;
    })
    .join('\n');
}

/** Writes: opens, writes, backs up, repairs. @returns how many of the two calls failed */
const write = (location: string): Promise<number> => doEverything(location, -2);

/** Refuses what is no error of the engine; everything else may succeed or fail. @returns how many calls failed */
async function doEverything(location: string, from = 0): Promise<number> {
  const aside = newDirectory();
  const calls: (() => Promise<unknown>)[] = [
    async () => {
      const store = await open(location, { readOnly: true });
      await store.get('key 1').then(undefined, engineError);
      await store.close();
    },
    () => verify(location).then((report) => expect(report.isWhole).toBeTypeOf('boolean')),
    () => repair(location, { dryRun: true }).then(),
    () => restore(location, join(aside, 'restored')).then(),
    async () => {
      const store = await open(location, { worker: 'off' });
      try {
        await store.set('added', 'now');
        await store.flush();
        await store.compact();
        await store.backup(join(aside, 'backup'));
        await store.get('key 1');
      } finally {
        await store.close();
      }
    },
    () => repair(location).then(),
  ];
  let failures = 0;
  for (const call of calls.slice(from)) {
    await inTime('a call', call(), PATIENCE_MS).then(undefined, (error: unknown) => {
      engineError(error);
      failures += 1;
    });
  }
  return failures;
}

function engineError(error: unknown): void {
  if (!(error instanceof EngineError)) throw error;
}

/** The names that a database has, and some that it makes later or once had. */
async function namesToPlant(): Promise<string[]> {
  const location = await database();
  const found = readdirSync(location, { recursive: true, withFileTypes: true }).map((entry) => ({
    path: join(entry.parentPath, entry.name).slice(location.length + 1),
    isFile: entry.isFile(),
  }));
  const files = found.filter(({ isFile }) => isFile).map(({ path }) => path);
  expect(files).toEqual(expect.arrayContaining(['CURRENT', 'LOCK']));
  const all = [...files, 'alluvium.lock', '000020.ldb', '000021.log', '000022.dbtmp', '000020.sst'];
  if (runs(1) > 1) return all;
  // One of each kind, where time is short.
  const kinds = new Map(all.toReversed().map((name) => [name.replace(/\d{6}/, 'N'), name]));
  return [...kinds.values()];
}

/** The id of a database is drawn at random: each one has its own archive. */
const archiveOf = (location: string): string => `archive/${readdirSync(join(location, 'archive'))[0] ?? ''}`;
const ownName = (location: string, name: string): string =>
  name.replace(/^archive\/[0-9a-f]{32}/, () => archiveOf(location));

describe('a link in the place of a file', () => {
  it('leads nowhere, whichever file it is, and what it leads to stays as it was', { timeout: 600_000 }, async () => {
    const files = await namesToPlant();
    expect(files.length).toBeGreaterThan(10);
    for (const name of files) {
      const location = await database();
      const treasury = newDirectory();
      const own = join(location, ownName(location, name));
      // The link leads to the very bytes that belong there: nothing but its being a link can give it away.
      if (existsSync(own)) renameSync(own, join(treasury, 'treasure'));
      else writeFileSync(join(treasury, 'treasure'), 'what was saved over years');
      utimesSync(join(treasury, 'treasure'), 1_000_000, 1_000_000);
      symlinkSync(join(treasury, 'treasure'), own);
      const before = census(treasury);

      await doEverything(location);
      expect(census(treasury), name).toBe(before);
    }
  });

  it('is named by the error: ELOOP, and the path', async () => {
    const location = await database();
    const treasure = join(newDirectory(), 'treasure');
    renameSync(join(location, 'CURRENT'), treasure);
    symlinkSync(treasure, join(location, 'CURRENT'));
    const expected = { code: 'IO', systemCode: 'ELOOP', file: join(location, 'CURRENT') };
    await expect(open(location)).rejects.toMatchObject(expected);
    await expect(open(location, { readOnly: true })).rejects.toMatchObject(expected);
  });

  it('to nothing makes nothing', async () => {
    for (const name of ['CURRENT', 'LOCK', 'alluvium.lock', '000030.log', '000031.dbtmp']) {
      const location = await database();
      const target = join(newDirectory(), 'nothing');
      rmSync(join(location, name), { force: true });
      symlinkSync(target, join(location, name));
      await doEverything(location);
      expect(existsSync(target), name).toBe(false);
    }
  });
});

describe('a link in the place of a folder', () => {
  /** Files whose names are the database's own, so that nothing else spares them. */
  function treasuryOf(id: string): string {
    const treasury = newDirectory();
    for (const folder of ['', 'archive', `archive/${id}`, id]) {
      mkdirSync(join(treasury, folder), { recursive: true });
      for (const name of ['CURRENT', '000001.log', '000001.index', '000002.ldb', 'STATE', 'STATE.tmp', 'diary.txt']) {
        writeFileSync(join(treasury, folder, name), name);
      }
    }
    return treasury;
  }

  it.each([
    ['archive', (location: string) => join(location, 'archive')],
    ['the archive of this database', (location: string) => join(location, archiveOf(location))],
    ['lost', (location: string) => join(location, 'lost')],
  ])('is refused: %s', async (_, placeOf) => {
    const location = await database();
    const id = archiveOf(location).slice('archive/'.length);
    const treasury = treasuryOf(id);
    const place = placeOf(location);
    rmSync(place, { recursive: true, force: true });
    symlinkSync(treasury, place);
    const before = census(treasury);

    await expect(open(location)).rejects.toMatchObject({ code: 'IO', systemCode: 'ELOOP', file: place });
    await expect(repair(location)).rejects.toMatchObject({ code: 'IO', systemCode: 'ELOOP', file: place });
    expect(await doEverything(location)).toBeGreaterThan(1);
    expect(census(treasury)).toBe(before);
  });

  it('is refused where a repair would look through all archives', async () => {
    const location = await database();
    const treasury = treasuryOf('0'.repeat(32));
    symlinkSync(treasury, join(location, 'archive', 'somewhere'));
    rmSync(join(location, 'CURRENT')); // so that history begins anew, and the old one moves aside
    const before = census(treasury);
    await expect(repair(location)).rejects.toMatchObject({ systemCode: 'ELOOP' });
    expect(census(treasury)).toBe(before);
  });

  it('is no reason against a database that is reached through a link itself', async () => {
    const location = await database();
    const link = join(newDirectory(), 'link');
    symlinkSync(location, link);
    const store = await open(link);
    expect(await store.has('last')).toBe(true);
    expect(store.location).toBe(location);
    await store.close();
    expect((await verify(link)).isWhole).toBe(true);
  });

  it('is refused as the place where a backup is written', async () => {
    const store = await open(await database());
    const treasury = treasuryOf('0'.repeat(32));
    const before = census(treasury);
    const target = join(newDirectory(), 'backup');
    symlinkSync(treasury, `${target}.partial`);
    await expect(store.backup(target)).rejects.toMatchObject({ code: 'IO', systemCode: 'ELOOP' });
    await expect(restore(store.location, target)).rejects.toMatchObject({ code: expect.any(String) as string });
    await store.close();
    await expect(restore(store.location, target)).rejects.toMatchObject({ code: 'IO', systemCode: 'ELOOP' });
    expect(census(treasury)).toBe(before);
  });

  it('in what an interrupted backup has left is removed, and not what it leads to', async () => {
    const store = await open(await database());
    const treasury = treasuryOf('0'.repeat(32));
    const before = census(treasury);
    const target = join(newDirectory(), 'backup');
    mkdirSync(join(`${target}.partial`, 'archive'), { recursive: true });
    symlinkSync(join(treasury, 'archive'), join(`${target}.partial`, '000007.ldb'));
    symlinkSync(join(treasury, 'nothing'), join(`${target}.partial`, '000008.ldb'));
    await expect(store.backup(target)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' }); // nothing says what it is
    const mark =
      'alluvium: a backup or a restore that is under way, or was cut short. The next one of this name begins anew.\n';
    symlinkSync(join(treasury, 'archive'), join(`${target}.partial`, 'UNFINISHED'));
    await expect(store.backup(target)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    unlinkSync(join(`${target}.partial`, 'UNFINISHED'));
    writeFileSync(join(`${target}.partial`, 'UNFINISHED'), mark);
    await store.backup(target);
    await store.close();
    expect(census(treasury)).toBe(before);
    expect((await verify(target)).isWhole).toBe(true);
  });
});

describe('a folder in the place of a backup that is being written', () => {
  it.each(['diary.txt', 'archive/diary.txt', 'notes/2024.log', '2024.log'])(
    'is refused if it holds anything that no backup wrote: %s',
    async (name) => {
      const store = await open(await database());
      const target = join(newDirectory(), 'backup');
      mkdirSync(join(`${target}.partial`, name, '..'), { recursive: true });
      writeFileSync(join(`${target}.partial`, name), 'dear diary');
      writeFileSync(join(`${target}.partial`, '000004.ldb'), 'a table');
      const before = census(`${target}.partial`);
      await expect(store.backup(target)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      await store.close();
      await expect(restore(store.location, target)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      expect(census(`${target}.partial`)).toBe(before);
    },
  );
});

describe('a hard link in the place of a file', () => {
  it('is not written through, whatever is done', { timeout: 600_000 }, async () => {
    const files = await namesToPlant();
    for (const name of files) {
      const location = await database();
      const treasure = join(newDirectory(), 'treasure');
      const own = join(location, ownName(location, name));
      if (existsSync(own)) renameSync(own, treasure);
      else writeFileSync(treasure, 'what was saved over years');
      linkSync(treasure, own);
      utimesSync(treasure, 1_000_000, 1_000_000);
      const bytes = readFileSync(treasure, 'hex');

      await write(location);
      expect([readFileSync(treasure, 'hex'), lstatSync(treasure).mtimeMs], name).toEqual([bytes, 1_000_000_000]);
    }
  });
});

describe.skipIf(process.platform === 'win32')('what is no file, in the place of one', () => {
  it('is refused or replaced, and holds nobody up', { timeout: 600_000 }, async () => {
    const files = await namesToPlant();
    const kinds: readonly (readonly [string, (path: string) => void])[] = [
      ['a pipe', (path) => void execFileSync('mkfifo', [path])],
      ['an endless device', (path) => symlinkSync('/dev/zero', path)],
      ['a directory', (path) => mkdirSync(path)],
    ];
    // Each name with one of them, in turn: all three for all names would take a minute.
    for (const [index, name] of files.entries()) {
      const [kind, plant] = kinds[index % kinds.length] ?? ['', () => undefined];
      const location = await database();
      const own = join(location, ownName(location, name));
      rmSync(own, { force: true });
      plant(own);
      await write(location).catch((error: unknown) => {
        throw new Error(`${kind} as ${name}`, { cause: error });
      });
    }
  });

  it('is refused for what it is', async () => {
    const location = await database();
    rmSync(join(location, 'CURRENT'));
    execFileSync('mkfifo', [join(location, 'CURRENT')]);
    await expect(inTime('the open', open(location))).rejects.toMatchObject({ code: 'IO', systemCode: 'EINVAL' });
    rmSync(join(location, 'CURRENT'));
    mkdirSync(join(location, 'CURRENT'));
    await expect(inTime('the open', open(location))).rejects.toMatchObject({ code: 'IO', systemCode: 'EISDIR' });
  });
});

describe('numbers that somebody has made up', () => {
  it('that leave no room for others are refused, before anything is written', async () => {
    for (const name of ['999999999999999.ldb', '999999999999998.log']) {
      const location = await database();
      writeFileSync(join(location, name), '');
      const before = census(location).replaceAll(/^(LOCK|alluvium).*$/gm, '');
      await expect(open(location)).rejects.toMatchObject({ code: 'CORRUPTION', file: 'CURRENT' });
      expect(census(location).replaceAll(/^(LOCK|alluvium).*$/gm, '')).toBe(before);
      rmSync(join(location, name));
      const store = await open(location);
      expect(await store.has('last')).toBe(true);
      await store.close();
    }
  });
});
