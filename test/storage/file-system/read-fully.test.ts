// Goal: a read that gives fewer bytes than are there is damage, with the place where they end, and never taken for all of them;
// an error of the disk is tried again, three times in all, and no other one is.
import { describe, expect, it } from 'vitest';
import { CorruptionError, IoError } from '../../../src/errors.ts';
import { readFully, runReadingNow, type ReadRequest } from '../../../src/storage/file-system/read-fully.ts';
import type { ReadableFile } from '../../../src/storage/file-system/file-system.ts';

/** A file whose reads answer so, one after the other: a number of bytes, or an error's code. */
function fileOf(answers: (number | string)[]): ReadableFile {
  const readNow = (): number => {
    const answer = answers.shift() ?? 0;
    if (typeof answer === 'string') throw new IoError('read', 'f', answer, 'failed');
    return answer;
  };
  return {
    path: 'f',
    size: () => Promise.resolve(8),
    read: () => Promise.resolve().then(readNow),
    readNow,
    close: () => Promise.resolve(),
  };
}

function* eightBytes(): Generator<ReadRequest, string, void> {
  yield { into: new Uint8Array(8), position: 100 };
  return 'all';
}

describe.each([
  ['in the background', (file: ReadableFile) => readFully({ file, name: 'f' }, new Uint8Array(8), 100)],
  ['on this thread', async (file: ReadableFile) => Promise.resolve().then(() => runReadingNow({ file, name: 'f' }, eightBytes()))], // prettier-ignore
])('reading %s', (_, read) => {
  it.each([0, 1, 7])('%i of 8 bytes are damage, where they end', async (count) => {
    const failed = await read(fileOf([count])).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failed).toBeInstanceOf(CorruptionError);
    expect(failed).toMatchObject({ file: 'f', offset: 100 + count });
  });

  it('is tried again when the disk fails, twice and no more', async () => {
    await read(fileOf(['EIO', 'EIO', 8]));
    await expect(read(fileOf(['EIO', 'EIO', 'EIO', 8]))).rejects.toMatchObject({ systemCode: 'EIO' });
    await expect(read(fileOf(['EACCES', 8]))).rejects.toMatchObject({ systemCode: 'EACCES' });
  });
});
