import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { SegmentWriter } from '../../../src/storage/history/segment-writer.ts';
import {
  ARCHIVE,
  archiveNames,
  archiveOf,
  bytesOfBatch,
  type MadeBatch,
  nameOf,
  readAll,
  writeSegment,
} from '../../support/archive-files.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { randomOf } from '../../support/runs.ts';

const BATCHES: readonly MadeBatch[] = [
  { sequence: 5, count: 3, timeMs: 1000 },
  { sequence: 8, count: 1, timeMs: 1000 },
  { sequence: 20, count: 2, timeMs: 1500, valueBytes: 100_000 },
  { sequence: 22, count: 1, timeMs: 1600 },
];
const names = BATCHES.map((batch) => nameOf(batch));

describe('a segment that is written anew', () => {
  it('holds exactly the batches, with their times, and is durable with its names', async () => {
    const fileSystem = new MemoryFileSystem();
    const info = await writeSegment(fileSystem, 7, BATCHES);
    expect(info).toMatchObject({ fileNumber: 7, firstSequence: 5, lastSequence: 22 });
    expect(info).toMatchObject({ firstTimeMs: 1000, lastTimeMs: 1600 });
    expect(info.bytes).toBe(fileSystem.readFileNow(`${ARCHIVE}/000007.log`).length);
    const after = fileSystem.crashImage('synced', randomOf(1));
    expect(await archiveNames(after)).toEqual(['000007.index', '000007.log']);
    expect((await readAll(await archiveOf(after, [info]), 5, 22)).map((name) => name.split('@')[0])).toEqual(
      names.map((name) => name.split('@')[0]),
    );
    expect(await readAll(await archiveOf(fileSystem, [info]), 5, 22)).toEqual(names);
  });

  it('says where nobody knows what was committed together, wherever it is read from', async () => {
    const fileSystem = new MemoryFileSystem();
    const singles = [5, 6, 7, 8].map((sequence) => ({ sequence, count: 1, timeMs: 1000 + 20 * sequence }));
    const info = await writeSegment(fileSystem, 7, singles, false);
    const archive = await archiveOf(fileSystem, [info]);
    for (const from of [5, 6, 8]) {
      const wanted = singles.filter(({ sequence }) => sequence >= from);
      expect(await readAll(archive, from, 8)).toEqual(wanted.map((batch) => nameOf(batch, false)));
    }
  });

  it('has its name only when all of it is on the disk', async () => {
    const images: MemoryFileSystem[] = [];
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({
      onOperation: ({ index }) => {
        for (const mode of ['synced', 'prefix', 'sectors', 'zeros'] as const) {
          images.push(fileSystem.crashImage(mode, randomOf(index)));
        }
        return undefined;
      },
    });
    const info = await writeSegment(fileSystem, 7, BATCHES);
    let named = 0;
    for (const image of images) {
      if (!image.paths().includes(`${ARCHIVE}/000007.log`)) continue;
      named += 1;
      const read = await readAll(await archiveOf(image, [info]), 5, 22);
      expect(read).toHaveLength(BATCHES.length);
    }
    expect(named).toBeGreaterThan(0);
    expect(named).toBeLessThan(images.length);
  });

  it('is begun again over what a crash has left of it, and takes the place of an older one', async () => {
    const fileSystem = new MemoryFileSystem();
    await writeSegment(fileSystem, 7, [{ sequence: 1, count: 1, timeMs: 5 }]);
    for (const name of ['000007.log.tmp', '000007.index.tmp']) {
      fileSystem.writeFileNow(`${ARCHIVE}/${name}`, new Uint8Array(40).fill(0xff));
    }
    const info = await writeSegment(fileSystem, 7, BATCHES);
    expect(await readAll(await archiveOf(fileSystem, [info]), 5, 22)).toEqual(names);
    expect(await archiveNames(fileSystem)).toEqual(['000007.index', '000007.log']);
  });

  it('leaves nothing open and nothing behind when a call fails, or when it is given up', async () => {
    let failed = 0;
    for (let call = 0; ; call += 1) {
      const fileSystem = new FaultFileSystem();
      await fileSystem.makeDirectory(ARCHIVE);
      let calls = 0;
      fileSystem.plan = { code: 'EIO', arrives: 0.5, isHit: () => calls++ === call };
      const write = async (): Promise<void> => {
        const writer = await SegmentWriter.begin(fileSystem, ARCHIVE, 7);
        try {
          for (const batch of BATCHES) {
            const bytes = bytesOfBatch(batch);
            await writer.add(bytes, 0, bytes.length, batch.sequence, batch.count, batch.timeMs);
          }
          await writer.finish();
        } catch (error) {
          await writer.abandon();
          throw error;
        }
      };
      const outcome = await write().then(
        () => 'written',
        () => 'failed',
      );
      expect(fileSystem.openPaths, `call ${call}`).toEqual([]);
      if (outcome === 'failed') {
        failed += 1;
        expect((await archiveNames(fileSystem)).includes('000007.log'), `call ${call}`).toBe(false);
      }
      if (fileSystem.faults === 0) break;
    }
    expect(failed).toBeGreaterThan(4); // create, create, append, append, sync, close, rename, rename
  });
});
