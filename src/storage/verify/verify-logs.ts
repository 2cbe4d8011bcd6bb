/**
 * Checks the logs that an open would replay, by the judgement of recovery itself: what it would refuse is an error, what
 * it would drop as the torn end of a write a warning. Then the bytes between their records.
 */
import * as E from 'fp-ts/lib/Either.js';
import { type LogClaims, type LogFile, recoverLogs } from '../wal/log-recovery.ts';
import type { VerifyContext } from './verify-context.ts';
import { walkRecords } from './walk-records.ts';

export interface CheckedLogs {
  readonly batches: number;
  readonly lastSequence: number;
}

/**
 * @param logs - numbers and names, ascending
 * @param tablesLast - the manifest's last sequence number
 * @param claims - what their indexes say of them
 */
export async function verifyLogs(
  context: VerifyContext,
  logs: readonly { readonly number: number; readonly name: string }[],
  tablesLast: number,
  claims: LogClaims,
): Promise<CheckedLogs> {
  const opened: LogFile[] = [];
  try {
    for (const { number, name } of logs) {
      const log = await context.open(name);
      if (log !== undefined) opened.push({ number, name, file: log.file });
    }
    return await checkOpened(context, opened, tablesLast, claims);
  } finally {
    for (const { file } of opened) await file.close();
  }
}

async function checkOpened(
  context: VerifyContext,
  logs: readonly LogFile[],
  tablesLast: number,
  claims: LogClaims,
): Promise<CheckedLogs> {
  const sink = { batch: (...[, , , , count]: BatchArguments) => context.looked(count) };
  const report = await recoverLogs(logs, tablesLast, sink, { salvage: true, claims })();
  if (E.isLeft(report)) {
    context.failed(report.left, logs[0]?.name ?? '');
    return { batches: 0, lastSequence: tablesLast };
  }
  const { torn, batches, lastSequence } = report.right;
  if (torn !== undefined) {
    const later = torn.laterLogsDropped.length === 0 ? '' : ', and all of the logs behind it';
    const what = `${torn.corruption?.reason ?? torn.reason}; an open leaves out ${torn.bytesDropped} bytes${later}`;
    context.add(torn.corruption === undefined ? 'tornTail' : 'damaged', torn.file, torn.offset, what);
  }
  for (const { file, name } of logs) {
    const end = await walkRecords(context, file, name, () => undefined);
    // One behind the place where recovery stopped would else go untold.
    if (end.type !== 'end' && name !== torn?.file) context.add('tornTail', name, end.offset, end.reason);
  }
  return { batches, lastSequence };
}

type BatchArguments = [bytes: Uint8Array, start: number, end: number, sequence: number, count: number];
