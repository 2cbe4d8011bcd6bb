import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { CorruptionError, IoError } from '../../../src/errors.ts';
import { FIRST, LAST } from '../../../src/storage/wal/record-format.ts';
import { encodeDurabilityMark as mark } from '../../../src/storage/wal/log-writer.ts';
import {
  type LogClaims,
  type LogFile,
  type RecoveryOptions,
  type RecoverySink,
  recoverLogs,
  type RecoveryReport,
} from '../../../src/storage/wal/log-recovery.ts';
import { batchOf, BytesFile, flipped, fragment, framed, joined, logFile } from '../../support/log-bytes.ts';

interface Recovered {
  readonly sequences: readonly number[];
  readonly report: RecoveryReport;
}

async function attempt(
  logs: readonly LogFile[],
  lastSequence: number,
  options: RecoveryOptions,
): Promise<{ sequences: number[]; result: E.Either<unknown, RecoveryReport> }> {
  const sequences: number[] = [];
  const sink: RecoverySink = {
    batch: (_bytes, _start, _end, sequence) => {
      sequences.push(sequence);
      return undefined;
    },
  };
  return { sequences, result: await recoverLogs(logs, lastSequence, sink, options)() };
}

async function recovered(
  logs: readonly LogFile[],
  lastSequence = 0,
  salvage = false,
  claims?: LogClaims,
): Promise<Recovered> {
  const { sequences, result } = await attempt(logs, lastSequence, { salvage, claims });
  if (E.isLeft(result)) throw result.left;
  return { sequences, report: result.right };
}

async function damage(logs: readonly LogFile[], lastSequence = 0): Promise<CorruptionError> {
  const { result } = await attempt(logs, lastSequence, { salvage: false });
  if (E.isRight(result) || !(result.left instanceof CorruptionError)) throw new Error(JSON.stringify(result));
  return result.left;
}

/** Bytes of a framed record: a mark, a batch of one small value. */
const MARK = 19;
const BATCH = 7 + batchOf(1).length;

describe('intact logs', () => {
  it('give every batch, in order, over all logs', async () => {
    const logs = [
      logFile(3, framed(mark(1), batchOf(1, 2), batchOf(3))),
      logFile(5, framed(mark(4), batchOf(4), mark(5), batchOf(5))),
    ];
    const { sequences, report } = await recovered(logs);
    expect(sequences).toEqual([1, 3, 4, 5]);
    expect(report).toEqual({ lastSequence: 5, batches: 4, torn: undefined });
  });

  it('may be none, or empty, or hold nothing but a mark', async () => {
    expect((await recovered([], 7)).report).toEqual({ lastSequence: 7, batches: 0, torn: undefined });
    const logs = [logFile(3, new Uint8Array()), logFile(4, framed(mark(8))), logFile(5, new Uint8Array(99))];
    expect((await recovered(logs, 7)).report).toEqual({ lastSequence: 7, batches: 0, torn: undefined });
  });

  it('may be of real LevelDB, with empty batches, which are no marks there', async () => {
    const { sequences, report } = await recovered([logFile(3, framed(batchOf(5), mark(900), batchOf(6)))], 2);
    expect(sequences).toEqual([5, 6]);
    expect(report.torn).toBe(undefined);
  });

  it('may leave out numbers within a log', async () => {
    const older = logFile(3, framed(mark(1), batchOf(1), batchOf(90)));
    const younger = logFile(4, framed(mark(1), batchOf(91), batchOf(99)));
    expect((await recovered([older, younger])).sequences).toEqual([1, 90, 91, 99]);
  });

  it('may leave out numbers before the first, and between logs of which one is of real LevelDB', async () => {
    expect((await recovered([logFile(3, framed(mark(8), batchOf(90)))], 7)).sequences).toEqual([90]);
    const ours = framed(mark(1), batchOf(90));
    expect((await recovered([logFile(3, framed(batchOf(1))), logFile(4, ours)])).sequences).toEqual([1, 90]);
    expect((await recovered([logFile(3, ours), logFile(4, framed(batchOf(99)))])).sequences).toEqual([90, 99]);
  });

  it('are all applied, though the manifest may count their numbers already', async () => {
    const { sequences, report } = await recovered([logFile(3, framed(mark(4), batchOf(4), batchOf(5)))], 50);
    expect(sequences).toEqual([4, 5]);
    expect(report.lastSequence).toBe(50);
  });

  it('hand over the place of each batch, and wait for the sink', async () => {
    const log = logFile(3, joined(framed(mark(1), batchOf(1), batchOf(2, 3))));
    const seen: unknown[] = [];
    let isBusy = false;
    const sink: RecoverySink = {
      batch: async (bytes, start, end, sequence, count, from, offset) => {
        expect(isBusy).toBe(false);
        isBusy = true;
        await new Promise(setImmediate);
        isBusy = false;
        seen.push([
          Buffer.compare(bytes.subarray(start, end), batchOf(sequence, count)),
          sequence,
          count,
          from,
          offset,
        ]);
      },
    };
    expect(E.isRight(await recoverLogs([log], 0, sink, { salvage: false })())).toBe(true);
    expect(seen).toEqual([
      [0, 1, 1, log, MARK],
      [0, 2, 3, log, MARK + BATCH],
    ]);
  });

  it('end with the error of the file or of the sink', async () => {
    const error = new IoError('read', 'x', 'EIO', 'failed');
    const file = new BytesFile(framed(mark(1), batchOf(1)));
    const failing: RecoverySink = { batch: () => Promise.reject(error) };
    const log = { number: 3, name: 'x', file };
    expect(await recoverLogs([log], 0, failing, { salvage: true })()).toEqual(E.left(error));
    file.read = () => Promise.reject(error);
    expect(await recoverLogs([log], 0, failing, { salvage: true })()).toEqual(E.left(error));
    const buggy: RecoverySink = {
      batch: () => {
        throw new TypeError('bug');
      },
    };
    await expect(recoverLogs([logFile(3, framed(batchOf(1)))], 0, buggy, { salvage: true })()).rejects.toThrow('bug');
  });
});

describe('a torn tail of our log', () => {
  it('ends recovery in peace, and is reported', async () => {
    const bytes = framed(mark(1), batchOf(1), mark(2), batchOf(2), batchOf(3));
    const cut = bytes.subarray(0, bytes.length - 1);
    const { sequences, report } = await recovered([logFile(3, cut)]);
    expect(sequences).toEqual([1, 2]);
    expect(report.torn).toEqual({
      file: '000003.log',
      offset: 2 * MARK + 2 * BATCH,
      reason: 'the file ends within a record',
      bytesDropped: BATCH - 1,
      laterLogsDropped: [],
      corruption: undefined,
    });
    expect(report).toMatchObject({ lastSequence: 2, batches: 2 });
  });

  it('drops later batches that were never claimed to be durable', async () => {
    const bytes = flipped(framed(mark(1), batchOf(1), mark(2), batchOf(2), batchOf(3), mark(2)), 2 * MARK + BATCH + 12);
    const { sequences, report } = await recovered([logFile(3, bytes)]);
    expect(sequences).toEqual([1]);
    expect(report.torn).toMatchObject({ offset: 2 * MARK + BATCH, bytesDropped: MARK + 2 * BATCH });
  });

  it('drops later logs whole', async () => {
    const torn = framed(mark(1), batchOf(1), batchOf(2)).subarray(0, MARK + BATCH + 3);
    const later = framed(mark(1), batchOf(3));
    const { sequences, report } = await recovered([logFile(3, torn), logFile(4, later), logFile(6, framed(mark(2)))]);
    expect(sequences).toEqual([1]);
    expect(report.torn).toMatchObject({
      laterLogsDropped: ['000004.log', '000006.log'],
      bytesDropped: 3 + later.length + MARK,
    });
  });

  it('may be its whole content, when the log before is ours', async () => {
    const bytes = framed(mark(2), batchOf(2), batchOf(3)).fill(0, 0, MARK);
    const { sequences, report } = await recovered([logFile(3, framed(mark(1), batchOf(1))), logFile(4, bytes)]);
    expect(sequences).toEqual([1]);
    expect(report.torn).toMatchObject({ file: '000004.log', offset: 0 });
  });

  it('may have lost whole records between two logs: what follows in the younger one is dropped', async () => {
    const logs = [logFile(3, framed(mark(1), batchOf(1))), logFile(4, framed(mark(1), batchOf(3), batchOf(4)))];
    const { sequences, report } = await recovered(logs);
    expect(sequences).toEqual([1]);
    expect(report.torn).toMatchObject({
      file: '000003.log',
      offset: MARK + BATCH,
      reason: 'the next log goes on with sequence number 3, this one ends with 1',
      laterLogsDropped: ['000004.log'],
    });
    // Nothing is missing when the numbers go on.
    const whole = [logFile(3, framed(mark(1), batchOf(1))), logFile(4, framed(mark(1), batchOf(2)))];
    expect((await recovered(whole)).sequences).toEqual([1, 2]);
  });

  it('may have lost all that no mark claims, back to the mark', async () => {
    const logs = [logFile(3, framed(mark(1), batchOf(1))), logFile(4, framed(mark(2), batchOf(3)))];
    expect((await recovered(logs)).sequences).toEqual([1]);
    const empty = [logFile(3, new Uint8Array()), logFile(4, framed(mark(1), batchOf(3)))];
    const { sequences, report } = await recovered(empty);
    expect(sequences).toEqual([]);
    expect(report.torn).toMatchObject({ file: '000003.log', offset: 0 });
  });
});

describe('damage in our log', () => {
  it('is found when a later mark claims what cannot be read', async () => {
    const bytes = flipped(framed(mark(1), batchOf(1), batchOf(2), batchOf(3), mark(4), batchOf(4)), MARK + BATCH + 12);
    const error = await damage([logFile(3, bytes)]);
    expect(error).toMatchObject({ file: '000003.log', offset: MARK + BATCH });
    expect(error.reason).toBe(
      'a record does not match its checksum; records 2 to 3 were acknowledged as durable and cannot be read',
    );
  });

  it('is no damage when the highest mark claims exactly what was read', async () => {
    const bytes = flipped(framed(mark(1), batchOf(1), batchOf(2), mark(2), batchOf(3)), MARK + BATCH + 12);
    expect((await recovered([logFile(3, bytes)])).sequences).toEqual([1]);
    const claimed = flipped(framed(mark(1), batchOf(1), batchOf(2), mark(3), batchOf(3)), MARK + BATCH + 12);
    expect((await damage([logFile(3, claimed)])).reason).toContain('records 2 to 2');
  });

  it('is found when the mark is in a later log', async () => {
    const torn = framed(mark(1), batchOf(1), batchOf(2)).subarray(0, MARK + BATCH + 3);
    const logs = [logFile(3, torn), logFile(4, framed(mark(1), batchOf(3))), logFile(5, framed(mark(3)))];
    expect(await damage(logs)).toMatchObject({ file: '000003.log', offset: MARK + BATCH });
  });

  it('is found by the highest mark, not the last', async () => {
    const logs = [logFile(3, framed(mark(1), batchOf(1)).subarray(0, 30)), logFile(4, framed(mark(2), mark(1)))];
    expect((await damage(logs)).offset).toBe(MARK);
  });

  it('is found when a log ends cleanly but too early', async () => {
    const logs = [logFile(3, framed(mark(1), batchOf(1))), logFile(4, framed(mark(3), batchOf(3)))];
    const error = await damage(logs);
    expect(error).toMatchObject({ file: '000003.log', offset: MARK + BATCH });
    expect(error.reason).toContain('records 2 to 2 were acknowledged');
  });

  it('is found when a log is missing, at the first mark that misses it', async () => {
    expect(await damage([logFile(4, framed(mark(9), batchOf(9)))], 7)).toMatchObject({ file: '000004.log', offset: 0 });
    expect((await recovered([logFile(4, framed(mark(9), batchOf(9)))], 8)).sequences).toEqual([9]);
  });

  it('is found when a mark within a log claims more than stands before it', async () => {
    const bytes = framed(mark(1), batchOf(1), mark(3), batchOf(3));
    expect(await damage([logFile(3, bytes)])).toMatchObject({ offset: MARK + BATCH });
  });

  it('is found when numbers are missing between two logs and a later mark claims them', async () => {
    const logs = [logFile(3, framed(mark(1), batchOf(1))), logFile(4, framed(mark(1), batchOf(3), mark(4)))];
    expect(await damage(logs)).toMatchObject({ file: '000003.log', offset: MARK + BATCH });
  });

  it('is found in the first record of a log, by the marks behind it', async () => {
    const bytes = flipped(framed(mark(1), batchOf(1), mark(2), batchOf(2)), 12);
    expect(await damage([logFile(3, bytes)])).toMatchObject({ offset: 0 });
    const unclaimed = flipped(framed(mark(1), batchOf(1), mark(1), batchOf(2)), 12);
    expect((await recovered([logFile(3, unclaimed)])).report.torn).toMatchObject({ offset: 0 });
  });

  it('is found though the manifest counts further than the tables go', async () => {
    const bytes = framed(mark(4), batchOf(4), batchOf(5), mark(6), batchOf(6));
    const first = await damage([logFile(3, flipped(bytes, MARK + 12))], 50);
    expect(first.reason).toContain('sequence number 5 behind it was durable');
    const second = await damage([logFile(3, flipped(bytes, MARK + BATCH + 12))], 50);
    expect(second.reason).toContain('records 5 to 5');
  });

  it('is found in a record that is no batch, if what is claimed is missing', async () => {
    const shortened = batchOf(2).subarray(0, 19);
    for (const bad of [new Uint8Array(), Uint8Array.of(1), shortened]) {
      const claimed = framed(mark(1), batchOf(1), bad, batchOf(3), mark(3));
      expect(await damage([logFile(3, claimed)])).toMatchObject({ file: '000003.log', offset: MARK + BATCH });
      const unclaimed = await recovered([logFile(3, framed(mark(1), batchOf(1), bad, batchOf(3), mark(2)))]);
      expect(unclaimed.sequences).toEqual([1]);
      expect(unclaimed.report.torn).toMatchObject({ offset: MARK + BATCH, corruption: undefined });
    }
  });

  it('is found when sequence numbers go back, if what is claimed is missing', async () => {
    const reason = 'a write batch begins with sequence number 2, the one before ends with 2';
    const offset = MARK + 7 + batchOf(1, 2).length;
    const claimed = framed(mark(1), batchOf(1, 2), batchOf(2), mark(4));
    const lost = 'records 3 to 3 were acknowledged as durable and cannot be read';
    expect(await damage([logFile(3, claimed)])).toMatchObject({ offset, reason: `${reason}; ${lost}` });
    const { sequences, report } = await recovered([logFile(3, framed(mark(1), batchOf(1, 2), batchOf(2), mark(3)))]);
    expect(sequences).toEqual([1]);
    expect(report.torn).toMatchObject({ offset, reason, bytesDropped: BATCH + MARK, corruption: undefined });
  });
});

describe('what the indexes say', () => {
  const claims = (durable: number, firsts: readonly (readonly [number, number])[] = []): LogClaims => ({
    durable,
    claimedBy: 3,
    firsts: new Map(firsts),
    isManifestOurs: true,
  });
  const told = (bytes: Uint8Array, said: LogClaims, lastSequence = 0): Promise<Recovered | CorruptionError> =>
    recovered([logFile(3, bytes)], lastSequence, false, said).catch((error: unknown) => {
      if (error instanceof CorruptionError) return error;
      throw error;
    });

  it('must be there, to the last number', async () => {
    const bytes = framed(mark(1), batchOf(1), batchOf(2));
    expect(await told(bytes, claims(2))).toMatchObject({ sequences: [1, 2], report: { torn: undefined } });
    expect(await told(bytes, claims(3))).toMatchObject({
      offset: bytes.length,
      reason: 'its end is missing: records 3 to 3 were acknowledged as durable and cannot be read',
    });
    const cut = bytes.subarray(0, bytes.length - 1);
    expect(await told(cut, claims(1))).toMatchObject({ sequences: [1], report: { torn: { corruption: undefined } } });
    const reason = 'the file ends within a record; records 2 to 2 were acknowledged as durable and cannot be read';
    expect(await told(cut, claims(2))).toMatchObject({ offset: MARK + BATCH, reason });
  });

  it('is of that log, also where it is missing', async () => {
    const logs = [logFile(3, framed(mark(1), batchOf(1))), logFile(4, framed(mark(1)))];
    const attempted = (claimedBy: number): Promise<unknown> =>
      recovered(logs, 0, false, { ...claims(2), claimedBy }).catch((error: unknown) => error);
    expect(await attempted(3)).toMatchObject({ file: '000003.log', offset: MARK + BATCH });
    expect(await attempted(4)).toMatchObject({ file: '000004.log', offset: MARK });
    expect(await attempted(5)).toMatchObject({ file: '000004.log', offset: MARK });
    expect(String(await attempted(5))).toContain('log 5 is missing: records 2 to 2');
  });

  it('says nothing of a log of real LevelDB, nor of one behind it', async () => {
    expect(await told(framed(batchOf(1)), claims(9))).toMatchObject({ sequences: [1], report: { torn: undefined } });
    const cut = framed(batchOf(1), batchOf(2)).subarray(0, BATCH + 9);
    expect(await told(cut, claims(9))).toMatchObject({ sequences: [1], report: { torn: { corruption: undefined } } });
  });

  it('is believed where the first record is gone', async () => {
    const bytes = framed(mark(1), batchOf(1)).fill(0, 0, MARK);
    expect(await told(bytes, claims(1))).toBeInstanceOf(CorruptionError);
  });

  it('tells another log', async () => {
    const bytes = framed(mark(5), batchOf(6), mark(7));
    expect(await told(bytes, claims(0, [[3, 6]]), 5)).toMatchObject({ sequences: [6] });
    expect(await told(bytes, claims(0, [[4, 9]]), 5)).toMatchObject({ sequences: [6] });
    const reason = 'it begins with sequence number 6, and its index says that it began with 8';
    expect(await told(bytes, claims(0, [[3, 8]]), 5)).toMatchObject({ file: '000003.log', offset: MARK, reason });
    // Only of its first batch.
    expect(await told(framed(mark(5), batchOf(6), batchOf(7)), claims(0, [[3, 6]]), 5)).toMatchObject({
      sequences: [6, 7],
    });
  });

  it('is of an older log, if that was in tables or logs before: then the log counts', async () => {
    const bytes = framed(mark(5), batchOf(6));
    expect(await told(bytes, claims(3, [[3, 2]]), 5)).toMatchObject({ sequences: [6], report: { torn: undefined } });
    expect(await told(bytes, claims(3, [[3, 5]]), 5)).toMatchObject({ sequences: [6], report: { torn: undefined } });
    expect(await told(framed(batchOf(6)), claims(0, [[3, 9]]), 5)).toMatchObject({ sequences: [6] });
    const two = [logFile(3, framed(mark(5), batchOf(6))), logFile(4, framed(mark(5), batchOf(7)))];
    expect(await recovered(two, 5, false, claims(0, [[4, 6]]))).toMatchObject({ sequences: [6, 7] });
  });

  it('decides about a log whose numbers are all in tables', async () => {
    const bytes = framed(mark(2), batchOf(2), mark(3), batchOf(3));
    const reason = 'it begins with sequence number 2, and up to 5 all is in tables';
    for (const firsts of [[], [[3, 6]], [[3, 2]]] as const) {
      const torn = { offset: MARK, reason, corruption: undefined };
      expect(await told(bytes, claims(5, firsts), 5)).toMatchObject({ sequences: [], report: { torn } });
      expect(await told(bytes, claims(6, firsts), 5)).toMatchObject({
        reason: `${reason}; records 6 to 6 were acknowledged as durable and cannot be read`,
      });
    }
    // Where the MANIFEST is another program's, its number says less.
    const foreign = { ...claims(0), isManifestOurs: false };
    expect(await told(bytes, foreign, 5)).toMatchObject({ sequences: [2, 3] });
    // A log of LevelDB with numbers that are in tables may be read again.
    expect(await told(framed(batchOf(2)), claims(0), 5)).toMatchObject({ sequences: [2] });
  });

  it('are not misled by records behind a broken one that are no batches', async () => {
    const broken = flipped(framed(batchOf(2)), 12);
    const bytes = joined(framed(mark(1), batchOf(1)), broken, framed(Uint8Array.of(1)), framed(mark(2)));
    expect(await told(bytes, claims(1))).toMatchObject({ sequences: [1], report: { torn: { corruption: undefined } } });
    const marked = joined(framed(mark(1), batchOf(1)), broken, framed(Uint8Array.of(1)), framed(mark(3)));
    expect(await told(marked, claims(1))).toMatchObject({ offset: MARK + BATCH });
  });

  it('count for the logs from the broken one on', async () => {
    const first = framed(mark(1), batchOf(1));
    const torn = framed(mark(2), batchOf(2), batchOf(3)).subarray(0, MARK + BATCH + 5);
    const third = framed(mark(2), batchOf(4));
    const logs = [logFile(3, first), logFile(4, torn), logFile(5, third)];
    const { sequences, report } = await recovered(logs, 0, false, claims(2));
    expect(sequences).toEqual([1, 2]);
    const laterLogsDropped = ['000005.log'];
    expect(report.torn).toMatchObject({ file: '000004.log', bytesDropped: 5 + third.length, laterLogsDropped });
    // What is behind the place in the same log is not read twice, nor from its beginning.
    const marked = joined(torn.subarray(0, MARK + BATCH), flipped(framed(batchOf(3)), 12), framed(mark(4)));
    await expect(recovered([logFile(3, first), logFile(4, marked)], 0, false, claims(2))).rejects.toMatchObject({
      file: '000004.log',
      offset: MARK + BATCH,
    });
  });

  it('are not misled by what older batches are behind a broken one', async () => {
    const bytes = joined(flipped(framed(mark(5), batchOf(6)), MARK + 12), framed(batchOf(3), mark(5)));
    expect(await told(bytes, claims(5), 5)).toMatchObject({
      sequences: [],
      report: { torn: { corruption: undefined } },
    });
  });
});

describe('a log of real LevelDB', () => {
  it('is damaged where a record is no batch, or numbers go back: nothing vouches for what follows', async () => {
    const logs = [logFile(3, framed(batchOf(1, 2))), logFile(4, framed(batchOf(2)))];
    const reason = 'a write batch begins with sequence number 2, the one before ends with 2';
    expect(await damage(logs)).toMatchObject({ file: '000004.log', offset: 0, reason });
    expect(await damage([logFile(3, framed(batchOf(1), Uint8Array.of(1)))])).toMatchObject({ offset: BATCH });
    expect(await damage([logFile(3, framed(Uint8Array.of(1)))])).toMatchObject({ offset: 0 });
  });

  it('has a torn tail when nothing can be read behind it', async () => {
    const bytes = framed(batchOf(1), batchOf(2));
    const { sequences, report } = await recovered([logFile(3, flipped(bytes, BATCH + 9))]);
    expect(sequences).toEqual([1]);
    expect(report.torn).toMatchObject({ offset: BATCH, corruption: undefined });
    const cut = await recovered([
      logFile(3, joined(framed(batchOf(1)), fragment(FIRST, batchOf(2)))),
      logFile(4, new Uint8Array()),
    ]);
    expect(cut.report.torn?.reason).toBe('the file ends before the last part of a record');
  });

  it('is damaged when any batch can be read behind the place, also in a later log', async () => {
    const bytes = framed(batchOf(1), batchOf(2), batchOf(3));
    const error = await damage([logFile(3, flipped(bytes, BATCH + 9))], 50);
    expect(error).toMatchObject({ file: '000003.log', offset: BATCH });
    expect(error.reason).toContain('sequence number 3 can still be read behind it');
    const logs = [logFile(3, framed(batchOf(1), batchOf(2)).subarray(0, BATCH + 9)), logFile(4, framed(batchOf(3)))];
    expect(await damage(logs)).toMatchObject({ file: '000003.log', offset: BATCH });
  });

  it('is damaged when its first record is', async () => {
    expect(await damage([logFile(3, flipped(framed(batchOf(1), batchOf(2)), 9))])).toMatchObject({ offset: 0 });
  });

  it('may hold empty or older batches behind its torn tail', async () => {
    const bytes = framed(batchOf(5), batchOf(6), mark(90), batchOf(4));
    expect((await recovered([logFile(3, flipped(bytes, BATCH + 9))])).sequences).toEqual([5]);
  });
});

describe('salvage', () => {
  it('stops at damage and reports it', async () => {
    const bytes = flipped(framed(mark(1), batchOf(1), batchOf(2), mark(3), batchOf(3)), MARK + BATCH + 12);
    const { sequences, report } = await recovered([logFile(3, bytes)], 0, true);
    expect(sequences).toEqual([1]);
    expect(report.torn).toMatchObject({ file: '000003.log', offset: MARK + BATCH });
    expect(report.torn?.corruption).toBeInstanceOf(CorruptionError);
    expect(report.torn?.corruption?.reason).toContain('records 2 to 2');
  });

  it('stops at a malformed batch, too', async () => {
    const { report } = await recovered(
      [logFile(3, framed(mark(1), Uint8Array.of(1))), logFile(4, framed(mark(2)))],
      0,
      true,
    );
    expect(report.torn?.corruption).toBeInstanceOf(CorruptionError);
    expect(report.torn?.laterLogsDropped).toEqual(['000004.log']);
  });
});

describe('a durability mark', () => {
  it('is an empty batch', () => {
    expect([...mark(0x0102_0304_0506)]).toEqual([6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0]);
    expect(() => mark(0)).toThrow(RangeError);
    expect(() => mark(1.5)).toThrow(RangeError);
    expect(() => mark(2 ** 53)).toThrow(RangeError);
  });

  it('counts also when it is split between two blocks', async () => {
    const split = joined(fragment(FIRST, mark(3).subarray(0, 5)), fragment(LAST, mark(3).subarray(5)));
    const bytes = joined(framed(mark(1), batchOf(1)), flipped(framed(batchOf(2)), 12), split);
    expect(await damage([logFile(3, bytes)])).toMatchObject({ offset: MARK + BATCH });
  });
});
