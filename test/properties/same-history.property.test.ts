// Goal (T11): options decide how fast, never what. One list of commands gives one history, whatever the options, on a disk or
// in memory, with a worker or without one; and real LevelDB gives the same.
// Method: metamorphic. The list runs on the model, on each named option set, on as many random ones, on the disk, and on
// classic-level; all histories must be equal. Then either engine opens what the other has left.
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { NodeFileSystem, open, type OpenOptions } from '../../src/index.ts';
import { classicHistory, withoutNumbers } from '../support/classic-history.ts';
import { contentOf } from '../support/crash-workload.ts';
import { recordFigures } from '../support/figures.ts';
import { OPTION_SETS, randomOptions, TINY } from '../support/option-sets.ts';
import { PROPERTY_MS, runsOf } from '../support/runs.ts';
import { commands, modelHistory, type StoreCommand, storeHistory } from '../support/store-commands.ts';
import { textOf } from '../support/sorted-model.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const newDirectory = temporaryDirectories();
const DISK_SETS: Readonly<Record<string, OpenOptions>> = {
  'on the disk': {},
  'on the disk, tiny': TINY,
  'on the disk, without a worker': { ...TINY, worker: 'off', durability: 'buffered' },
};
/** On a disk nobody can look at what a kill would leave while the store is open. */
const portable = (one: StoreCommand): StoreCommand => (one.do === 'kill' ? { do: 'reopen' } : one);

it('one list, one history, with any options, and on LevelDB', { timeout: 2 * PROPERTY_MS }, async () => {
  const named = Object.entries(OPTION_SETS);
  const random = fc.array(randomOptions, { minLength: named.length, maxLength: named.length });
  await fc.assert(
    fc.asyncProperty(commands(50), random, async (drawn, sets) => {
      const list = drawn.map(portable);
      const expected = modelHistory(list);
      for (const [name, options] of named) expect(await storeHistory(list, options), name).toEqual(expected);
      for (const options of sets) expect(await storeHistory(list, options), JSON.stringify(options)).toEqual(expected);
      const [entries] = expected.slice(-2);
      for (const [name, options] of Object.entries(DISK_SETS)) {
        const directory = newDirectory();
        const fileSystem = new NodeFileSystem();
        expect(await storeHistory(list, options, { directory, fileSystem }), name).toEqual(expected);
        expect(await contentOfClassic(directory), `${name}, opened by LevelDB`).toEqual(entries);
      }
      const theirs = newDirectory();
      const writeBufferSize = 64 * 1024;
      expect(await classicHistory(list, theirs, { writeBufferSize }), 'LevelDB').toEqual(
        withoutNumbers(list, expected),
      );
      const ours = await open(theirs);
      expect(await contentOf(ours), 'of LevelDB, opened by us').toEqual(entries);
      await ours.close();
      expect(await contentOfClassic(theirs), 'and by LevelDB again').toEqual(entries);
      const histories = named.length + sets.length + Object.keys(DISK_SETS).length + 1;
      recordFigures('T11', { lists: 1, commands: list.length, histories, turnsWithLevelDB: 5, violations: 0 });
    }),
    runsOf(2),
  );
});

async function contentOfClassic(directory: string): Promise<unknown[]> {
  const db = new ClassicLevel<Buffer, Buffer>(directory, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await db.open();
  const entries = await db.iterator().all();
  await db.close();
  return entries.map(([key, value]) => [textOf(key), textOf(value)]);
}
