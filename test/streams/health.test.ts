// Goal: a write is refused exactly while it must be, and with the reason that matters most.
import { describe, expect, it } from 'vitest';
import { ClosedError, ReadOnlyError } from '../../src/errors.ts';
import { Health } from '../../src/streams/health.ts';

const disk = new Error('disk');

describe('a store in health', () => {
  it('refuses nothing', () => {
    const health = new Health(false);
    expect(health.refusalOfWrite()).toBeUndefined();
    expect(health.refusalOfWrite('flush')).toBeUndefined();
    expect(health.refusalOfRead()).toBeUndefined();
    expect(health).toMatchObject({ isClosed: false, isLogBroken: false });
  });
});

describe('a store', () => {
  it('opened for reading refuses writes, and only them', () => {
    const health = new Health(true);
    expect(health.refusalOfWrite()).toBeInstanceOf(ReadOnlyError);
    expect(health.refusalOfRead()).toBeUndefined();
  });

  it('whose log is broken refuses writes with the cause, until it is mended', () => {
    const health = new Health(false);
    health.logFailed(disk);
    expect(health.isLogBroken).toBe(true);
    expect(health.refusalOfWrite()).toBeInstanceOf(ReadOnlyError);
    expect(health.refusalOfWrite()?.cause).toBe(disk);
    expect(health.refusalOfRead()).toBeUndefined();
    health.logMended();
    expect(health.refusalOfWrite()).toBeUndefined();
    expect(health.isLogBroken).toBe(false);
  });

  it('whose flush or compaction fails refuses only those who would wait for it, until it has succeeded', () => {
    const health = new Health(false);
    health.backgroundFailed('flush', disk);
    health.backgroundFailed('compaction', new Error('other'));
    expect(health.refusalOfWrite()).toBeUndefined();
    expect(health.refusalOfWrite('flush')).toMatchObject({ code: 'READ_ONLY', cause: disk });
    health.backgroundSucceeded('flush');
    expect(health.refusalOfWrite('flush')).toBeUndefined();
    expect(health.refusalOfWrite('compaction')?.message).toContain('compaction');
    health.backgroundSucceeded('compaction');
    expect(health.refusalOfWrite('compaction')).toBeUndefined();
  });

  it('that is closed refuses everything, whatever else is wrong', () => {
    for (const isReadOnly of [false, true]) {
      const health = new Health(isReadOnly);
      health.logFailed(disk);
      health.backgroundFailed('flush', disk);
      health.close();
      expect(health.isClosed).toBe(true);
      expect(health.refusalOfWrite('flush')).toBeInstanceOf(ClosedError);
      expect(health.refusalOfRead()).toBeInstanceOf(ClosedError);
    }
  });
});
