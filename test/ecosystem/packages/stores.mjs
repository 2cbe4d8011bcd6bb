// datastore-level and blockstore-level against the suites that their makers publish for every such store. For mocha.
import { LevelBlockstore } from 'blockstore-level';
import { LevelDatastore } from 'datastore-level';
import { interfaceBlockstoreTests } from 'interface-blockstore-tests';
import { interfaceDatastoreTests } from 'interface-datastore-tests';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const suites = [
  ['datastore-level', LevelDatastore, interfaceDatastoreTests],
  ['blockstore-level', LevelBlockstore, interfaceBlockstoreTests],
];

for (const [name, Store, suite] of suites) {
  describe(name, () => {
    const directories = [];
    suite({
      setup: async () => {
        const directory = await mkdtemp(join(tmpdir(), 'alluvium-ecosystem-'));
        directories.push(directory);
        const store = new Store(directory);
        await store.open();
        return store;
      },
      teardown: async (store) => {
        await store.close();
      },
    });
    after(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true }))));
  });
}
