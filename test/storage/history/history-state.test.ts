import { describe, expect, it } from 'vitest';
import { CorruptionError, MemoryFileSystem } from '../../../src/index.ts';
import { type HistoryState, readHistoryState, writeHistoryState } from '../../../src/storage/history/history-state.ts';
import { ARCHIVE } from '../../support/archive-files.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { framed } from '../../support/log-bytes.ts';
import { randomOf } from '../../support/runs.ts';

const PATH = `${ARCHIVE}/STATE`;
const FIRST: HistoryState = {
  epoch: 3,
  epochEnds: [{ epoch: 2, lastSequence: 9 }],
  start: 4,
  end: 2 ** 53 - 1,
  isClean: true,
  segments: [
    { fileNumber: 7, firstSequence: 4, lastSequence: 9, bytes: 100, firstTimeMs: 1_700_000_000_000.5, lastTimeMs: 0 },
  ],
};
const SECOND: HistoryState = { ...FIRST, isClean: false, segments: [] };

describe('the state of history', () => {
  it('is read back; where there is none, that is said', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(ARCHIVE);
    expect(await readHistoryState(fileSystem, ARCHIVE)).toBeUndefined();
    await writeHistoryState(fileSystem, ARCHIVE, FIRST);
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject(FIRST);
    await writeHistoryState(fileSystem, ARCHIVE, SECOND);
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject(SECOND);
    expect(await fileSystem.list(ARCHIVE)).toEqual(['STATE']);
  });

  it('is the one before or the one after, whenever the power goes; and is durable when it was written', async () => {
    const images: MemoryFileSystem[] = [];
    const fileSystem: MemoryFileSystem = new MemoryFileSystem({
      onOperation: (operation) => {
        for (const mode of ['all', 'synced', 'prefix', 'sectors', 'zeros'] as const) {
          images.push(fileSystem.crashImage(mode, randomOf(operation.index)));
        }
        return undefined;
      },
    });
    await fileSystem.makeDirectory(ARCHIVE);
    await writeHistoryState(fileSystem, ARCHIVE, FIRST);
    images.length = 0;
    await writeHistoryState(fileSystem, ARCHIVE, SECOND);
    const found = await Promise.all(images.map(async (image) => (await readHistoryState(image, ARCHIVE))?.isClean));
    expect(new Set(found)).toEqual(new Set([true, false]));
    const after = fileSystem.crashImage('synced', randomOf(1));
    expect(await readHistoryState(after, ARCHIVE)).toMatchObject(SECOND);
    // A crash has left the file that it is written into: in nobody's way.
    fileSystem.writeFileNow(`${PATH}.tmp`, new Uint8Array(10));
    await writeHistoryState(fileSystem, ARCHIVE, FIRST);
    expect(await readHistoryState(fileSystem, ARCHIVE)).toMatchObject(FIRST);
  });

  it('stays as it was when it cannot be written, and no file stays open', async () => {
    for (const call of ['create', 'append', 'sync', 'close', 'rename', 'syncDirectory'] as const) {
      const fileSystem = new FaultFileSystem();
      await fileSystem.makeDirectory(ARCHIVE);
      await writeHistoryState(fileSystem, ARCHIVE, FIRST);
      fileSystem.plan = { code: 'EIO', arrives: 0.5, isHit: ({ name }) => name === call };
      await expect(writeHistoryState(fileSystem, ARCHIVE, SECOND), call).rejects.toMatchObject({ code: 'IO' });
      fileSystem.plan = undefined;
      const { isClean } = (await readHistoryState(fileSystem, ARCHIVE)) ?? {};
      expect(isClean, call).toBe(call !== 'syncDirectory');
      expect(fileSystem.openPaths, call).toEqual([]);
    }
  });

  it('is damaged, and not another one, for every changed byte and every length', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(ARCHIVE);
    await writeHistoryState(fileSystem, ARCHIVE, FIRST);
    const bytes = fileSystem.readFileNow(PATH);
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const flipped = bytes.slice();
      flipped[offset] = (bytes[offset] ?? 0) ^ (1 << (offset % 8));
      for (const damaged of [flipped, bytes.slice(0, offset)]) {
        fileSystem.writeFileNow(PATH, damaged);
        await expect(readHistoryState(fileSystem, ARCHIVE), `byte ${offset}`).rejects.toBeInstanceOf(CorruptionError);
      }
    }
  });

  const body = { version: 1, ...FIRST };
  it.each([
    ['no JSON', '{'],
    ['another version', JSON.stringify({ ...body, version: 2 })],
    ['a list', '[]'],
    ['nothing', 'null'],
    ['a number that is none', JSON.stringify({ ...body, end: '9' })],
    ['a negative number', JSON.stringify({ ...body, start: -1 })],
    ['half a number', JSON.stringify({ ...body, epoch: 1.5 })],
    ['a number beyond the largest', JSON.stringify({ ...body, end: 2 ** 53 })],
    ['a word for a truth', JSON.stringify({ ...body, isClean: 'yes' })],
    ['segments that are none', JSON.stringify({ ...body, segments: [{ ...FIRST.segments[0], fileNumber: null }] })],
    ['a segment without a time', JSON.stringify({ ...body, segments: [{ ...FIRST.segments[0], lastTimeMs: '0' }] })],
    ['epochs that are none', JSON.stringify({ ...body, epochEnds: [7] })],
  ])('is refused where it holds %s', async (_, text) => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(ARCHIVE);
    fileSystem.writeFileNow(PATH, framed(new TextEncoder().encode(text)));
    await expect(readHistoryState(fileSystem, ARCHIVE)).rejects.toMatchObject({
      code: 'CORRUPTION',
      file: 'archive/STATE',
    });
  });
});
