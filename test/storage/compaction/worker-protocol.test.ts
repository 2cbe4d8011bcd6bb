// Goal: an error comes out of the worker as the error it was: same class, same facts.
import { describe, expect, it } from 'vitest';
import { AbortedError, CorruptionError, IoError, NoSpaceError } from '../../../src/errors.ts';
import { fromPlain, toPlain } from '../../../src/storage/compaction/worker-protocol.ts';

const across = (error: unknown): Error => fromPlain(structuredClone(toPlain(error)));

describe('an error that crosses from the worker', () => {
  it.each([
    [new CorruptionError('000005.ldb', 77, 'the checksum is wrong')],
    [new IoError('sync', '/db/000007.ldb', 'EIO', 'unknown')],
    [new IoError('open', '/db/000007.ldb', 'ENOENT', 'failed')],
    [new NoSpaceError('append', '/db/000007.ldb')],
  ])('keeps its class and its facts: %s', (error) => {
    const crossed = across(error);
    expect(crossed.constructor).toBe(error.constructor);
    expect(crossed.message).toBe(error.message);
    expect(Object.entries(crossed)).toEqual(Object.entries(error));
  });

  it('is an AbortedError when the job was called off', () => {
    expect(across(new AbortedError('the compaction'))).toBeInstanceOf(AbortedError);
  });

  it('keeps the message and the stack of a bug, and takes anything that was thrown', () => {
    const bug = across(new TypeError('undefined is not a function'));
    expect(bug.message).toContain('undefined is not a function');
    expect(bug.message).toContain('worker-protocol.test');
    expect(bug).not.toHaveProperty('code');
    expect(across('a string').message).toContain('a string');
    expect(across(undefined).message).toContain('undefined');
    expect(across(Object.assign(new Error('no stack'), { stack: undefined })).message).toContain('no stack');
  });
});
