// Goal: CURRENT is believed only in its exact form, and at every moment of its replacement a crash leaves the old or the new.
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { Fault } from '../../../src/storage/file-system/memory-faults.ts';
import { readCurrent, writeCurrent } from '../../../src/storage/manifest/current-file.ts';
import { randomOf } from '../../support/runs.ts';
import { bytesOf } from '../../support/sorted-model.ts';

async function directory(onOperation?: ConstructorParameters<typeof MemoryFileSystem>[0]): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem(onOperation);
  await fileSystem.makeDirectory('/db');
  return fileSystem;
}

describe('CURRENT', () => {
  it('is what was written', async () => {
    const fileSystem = await directory();
    expect(await readCurrent(fileSystem, '/db')).toBeUndefined();
    for (const fileNumber of [1, 999_999, 1_000_000, 123_456_789_012_345]) {
      await writeCurrent(fileSystem, '/db', fileNumber);
      expect(await readCurrent(fileSystem, '/db')).toBe(fileNumber);
    }
    await writeCurrent(fileSystem, '/db', 5);
    expect(fileSystem.readFileNow('/db/CURRENT')).toEqual(bytesOf('MANIFEST-000005\n'));
    expect(fileSystem.paths()).toEqual(['/db/CURRENT']);
  });

  it.each([
    [''],
    ['\n'],
    ['MANIFEST-000005'],
    ['MANIFEST-000005\r\n'],
    ['MANIFEST-000005\n\n'],
    [' MANIFEST-000005\n'],
    ['MANIFEST-000005 \n'],
    ['MANIFEST-\n'],
    ['MANIFEST--5\n'],
    ['MANIFEST-5x\n'],
    ['manifest-000005\n'],
    ['../MANIFEST-000005\n'],
    ['../x\n'],
    ['/etc/passwd\n'],
    ['000005.log\n'],
    ['MANIFEST-000005\0\n'],
    ['MANIFEST-000005\nMANIFEST-000006\n'],
    ['MANIFEST-1234567890123456\n'],
    [`MANIFEST-${'0'.repeat(100)}5\n`],
    ['\ufeffMANIFEST-000005\n'],
  ])('that says %j is refused', async (text) => {
    const fileSystem = await directory();
    fileSystem.writeFileNow('/db/CURRENT', new TextEncoder().encode(text));
    await expect(readCurrent(fileSystem, '/db')).rejects.toMatchObject({ code: 'CORRUPTION', file: 'CURRENT' });
  });

  it('of a gigabyte is refused without reading it', async () => {
    let bytesRead = 0;
    const fileSystem = await directory({
      onOperation: ({ name, bytes }) => {
        if (name === 'read') bytesRead += bytes;
        return undefined;
      },
    });
    fileSystem.writeFileNow('/db/CURRENT', new Uint8Array(2 ** 20));
    await expect(readCurrent(fileSystem, '/db')).rejects.toMatchObject({ code: 'CORRUPTION' });
    expect(bytesRead).toBe(0);
  });

  it('is the old or the new one after a crash at any call of its replacement, and the new one when that is done', async () => {
    const images: MemoryFileSystem[] = [];
    let isArmed = false;
    const fileSystem = await directory({
      onOperation: () => {
        if (!isArmed) return undefined;
        for (const mode of ['all', 'synced', 'zeros', 'prefix', 'sectors', 'sectors'] as const) {
          images.push(fileSystem.crashImage(mode, randomOf(images.length)));
        }
        return undefined;
      },
    });
    await writeCurrent(fileSystem, '/db', 3);
    isArmed = true;
    await writeCurrent(fileSystem, '/db', 8);
    isArmed = false;
    expect(images.length).toBeGreaterThan(30);
    for (const image of images) expect([3, 8]).toContain(await readCurrent(image, '/db'));
    for (const mode of ['synced', 'zeros', 'prefix', 'sectors'] as const) {
      expect(await readCurrent(fileSystem.crashImage(mode, randomOf(1)), '/db')).toBe(8);
    }
  });

  it('stays what it was when its replacement fails before the rename, and no file stays open', async () => {
    for (const failing of ['create', 'append', 'sync', 'close', 'rename']) {
      let isArmed = false;
      let open = 0;
      const fileSystem = await directory({
        onOperation: ({ name, path }) => {
          if (name === 'create' && !(isArmed && failing === 'create')) open += 1;
          if (name === 'close' && path.endsWith('.dbtmp')) open -= 1;
          return isArmed && name === failing ? new Fault('EIO') : undefined;
        },
      });
      await writeCurrent(fileSystem, '/db', 3);
      isArmed = true;
      await expect(writeCurrent(fileSystem, '/db', 8)).rejects.toMatchObject({ code: 'IO', operation: failing });
      isArmed = false;
      expect(await readCurrent(fileSystem, '/db')).toBe(3);
      expect(open).toBe(0);
    }
  });

  it('that cannot be read is an error, and not a missing database', async () => {
    const fileSystem = await directory({
      onOperation: ({ name }) => (name === 'open' ? new Fault('EACCES') : undefined),
    });
    await expect(readCurrent(fileSystem, '/db')).rejects.toMatchObject({ code: 'IO', systemCode: 'EACCES' });
  });
});
