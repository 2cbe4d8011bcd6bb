// Goal: what indexes say of logs is gathered of those that recovery reads, and of no others; what is not there says nothing.
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem, open } from '../../../src/index.ts';
import { databaseIdPointer } from '../../../src/storage/history/database-id.ts';
import { claimsOfIndex, claimsOfLogs } from '../../../src/storage/history/log-claims.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';

const ID = 'a'.repeat(32);
const compactionPointers = [...Array.from({ length: 6 }, () => undefined), databaseIdPointer(ID).key];
const NOTHING = { durable: 0, claimedBy: 0, firsts: new Map(), isManifestOurs: false };

/** The archive of a store that was written to, under the name of this database. */
async function archived(): Promise<{ fileSystem: FaultFileSystem; indexes: number[] }> {
  const memory = new MemoryFileSystem();
  const store = await open('/db', { fileSystem: memory });
  await store.set('a', '1');
  await store.flush();
  await store.set('b', '2');
  const image = memory.crashImage('all', () => 0);
  await store.close();
  const [path = ''] = await image.list('/db/archive');
  await image.rename(`/db/archive/${path}`, `/db/archive/${ID}`);
  const names = (await image.list(`/db/archive/${ID}`)).filter((name) => name.endsWith('.index'));
  return { fileSystem: new FaultFileSystem(image), indexes: names.map((name) => Number(name.slice(0, -6))) };
}

describe('claims of logs', () => {
  it('are those of the indexes from the first log that is read on', async () => {
    const { fileSystem, indexes } = await archived();
    const first = indexes[0] ?? 0;
    const all = await claimsOfLogs(fileSystem, '/db', { logNumber: first, compactionPointers });
    expect(all).toMatchObject({ durable: 2, isManifestOurs: true });
    expect([...all.firsts.values()]).toEqual([1, 2]);
    const later = await claimsOfLogs(fileSystem, '/db', { logNumber: first + 1, compactionPointers });
    expect([...later.firsts.values()]).toEqual([2]);
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('are none without an archive, an index, an identity or the number of a log', async () => {
    const { fileSystem, indexes } = await archived();
    const none = await claimsOfLogs(fileSystem, '/elsewhere', { logNumber: 1, compactionPointers });
    expect(none).toEqual(NOTHING);
    expect(await claimsOfLogs(fileSystem, '/db', { logNumber: 0, compactionPointers })).toEqual(NOTHING);
    expect(await claimsOfLogs(fileSystem, '/db', { logNumber: 1, compactionPointers: [] })).toEqual(NOTHING);
    const path = `/db/archive/${ID}`;
    expect(await claimsOfIndex(fileSystem, path, 999)).toEqual({ first: undefined, durable: 0, sealed: 0 });
    expect(await claimsOfIndex(fileSystem, path, indexes[0] ?? 0)).toMatchObject({ first: 1 });
  });

  it('cannot be told where the disk fails', async () => {
    const { fileSystem } = await archived();
    for (const call of ['list', 'open'] as const) {
      fileSystem.plan = {
        code: 'EIO',
        arrives: 0,
        isHit: ({ name, path }) => name === call && path.includes('archive'),
      };
      const claims = claimsOfLogs(fileSystem, '/db', { logNumber: 1, compactionPointers });
      await expect(claims).rejects.toMatchObject({ code: 'IO', systemCode: 'EIO' });
    }
  });
});
