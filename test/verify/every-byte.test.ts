// Goal: `verify` finds every single byte that was changed, in every kind of file of a database: nothing that its format lays
// down may be otherwise without being told.
// Method: a small database with several levels, a split log, sealed and live history, killed; each byte of each file is
// changed in three ways (a flipped bit, 0x00, 0xff), and the findings must differ from those of the unchanged one.
// What cannot be found is listed by name and reason.
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem, open, verify, type VerifyReport } from '../../src/index.ts';

const DIRECTORY = '/db';
const never = (): number => 0;

/** Files whose content no format lays down, or that nothing names: by a pattern of the name, and why. */
const CANNOT_BE_FOUND: readonly (readonly [RegExp, string])[] = [
  [/alluvium\.lock$/, 'a note for people: process and time; it decides nothing'],
  [/LOG$/, "LevelDB's diary: text that nobody reads"],
  [/lost\//, 'set aside by salvage: nothing refers to it, and it is listed as unreferenced'],
  [/^000900\.ldb$/, 'a table that no MANIFEST names: listed as unreferenced, deleted by the next open'],
  [/archive\/f+\//, 'history of another database: listed as unreferenced'],
];

async function databaseWithEverything(): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem();
  const options = { fileSystem, blockBytesMax: 64, level0CompactionTrigger: 100, manifestBytesMax: 1024 } as const;
  let store = await open(DIRECTORY, options);
  for (let index = 0; index < 8; index += 1) await store.set(`b ${index}`, `value ${'x'.repeat(index)}`);
  await store.flush();
  await store.set('a', 'new');
  await store.delete('b 3');
  await store.compact();
  await store.close(); // seals history, and writes its state
  store = await open(DIRECTORY, options);
  await store.set('b 3', 'again');
  await store.flush();
  await store.set('in the log', '1');
  await store.write([
    { type: 'set', key: 'in the log', value: '2' },
    { type: 'delete', key: 'b 5' },
  ]);
  const image = fileSystem.crashImage('all', never);
  await store.close();
  image.writeFileNow(`${DIRECTORY}/alluvium.lock`, new TextEncoder().encode('{"pid":1}'));
  image.writeFileNow(`${DIRECTORY}/LOG`, new TextEncoder().encode('2026 diary'));
  await image.makeDirectory(`${DIRECTORY}/lost`);
  image.writeFileNow(`${DIRECTORY}/lost/000001.log`, new Uint8Array(9));
  image.writeFileNow(`${DIRECTORY}/000900.ldb`, new Uint8Array(9));
  await image.makeDirectory(`${DIRECTORY}/archive/${'f'.repeat(32)}`);
  image.writeFileNow(`${DIRECTORY}/archive/${'f'.repeat(32)}/STATE`, new Uint8Array(9));
  return image;
}

const findingsOf = ({ findings }: VerifyReport): string => JSON.stringify(findings);

const nameless = (path: string): string => path.replace(/[0-9a-f]{32}/, '<id>');

describe('verify', async () => {
  const source = await databaseWithEverything();
  const unchanged = await verify(DIRECTORY, { fileSystem: source });
  const paths = source.paths().map((path) => path.slice(DIRECTORY.length + 1));
  const lasting = paths.filter((path) => source.readFileNow(`${DIRECTORY}/${path}`).length > 0);

  it('finds nothing in the database as it is, which has every kind of file', () => {
    expect(unchanged.findings).toEqual([]);
    expect(unchanged.isWhole).toBe(true);
    const kinds = [/\.ldb$/, /^\d+\.log$/, /MANIFEST/, /CURRENT/, /STATE$/, /archive.*\.log$/, /\.index$/];
    for (const kind of kinds)
      expect(
        lasting.filter((path) => kind.test(path)),
        String(kind),
      ).not.toEqual([]);
    expect(unchanged.tables).toBeGreaterThan(1);
    expect(unchanged.historySegments).toBeGreaterThan(2);
    expect(unchanged.logBatches).toBe(2);
    expect(unchanged.unreferenced).toEqual(['000900.ldb', `archive/${'f'.repeat(32)}`, 'lost/000001.log']);
  });

  it.each(lasting.map((path) => [nameless(path), path] as const))(
    'finds any changed byte of %s',
    { timeout: 300_000 },
    async (_, path) => {
      const excuse = CANNOT_BE_FOUND.find(([pattern]) => pattern.test(path));
      const bytes = source.readFileNow(`${DIRECTORY}/${path}`);
      const unseen: string[] = [];
      for (let offset = 0; offset < bytes.length; offset += 1) {
        const byte = bytes[offset] ?? 0;
        for (const changed of new Set([byte ^ (1 << (offset % 8)), 0x00, 0xff])) {
          if (changed === byte) continue;
          const image = source.crashImage('all', never);
          const damaged = bytes.slice();
          damaged[offset] = changed;
          image.writeFileNow(`${DIRECTORY}/${path}`, damaged);
          const report = await verify(DIRECTORY, { fileSystem: image });
          if (findingsOf(report) === findingsOf(unchanged)) unseen.push(`byte ${offset} from ${byte} to ${changed}`);
        }
      }
      if (excuse === undefined) expect(unseen).toEqual([]);
      else expect(unseen, `an excuse that is not needed: ${excuse[1]}`).not.toEqual([]);
    },
  );

  it.each(
    lasting
      .filter((path) => !CANNOT_BE_FOUND.some(([pattern]) => pattern.test(path)))
      .map((path) => [nameless(path), path] as const),
  )('finds that %s is missing', async (_, path) => {
    const image = source.crashImage('all', never);
    await image.remove(`${DIRECTORY}/${path}`);
    const report = await verify(DIRECTORY, { fileSystem: image });
    // An index is not needed, a live log has two names, and one that was only prepared is missed by nobody.
    const isLive = /archive.*\.log$/.test(path) && paths.includes(path.slice(-'000000.log'.length));
    const isEmpty = /^\d+\.log$/.test(path) && source.readFileNow(`${DIRECTORY}/${path}`).length === 19;
    const isSpare = path.endsWith('.index') || isLive || isEmpty;
    expect(report.isWhole).toBe(isSpare);
  });
});
