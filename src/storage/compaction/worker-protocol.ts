/** What the main thread and the table worker say to each other, and how errors cross between them with their class. */
import { AbortedError, CorruptionError, IoError, type IoOutcome, NoSpaceError } from '../../errors.ts';
import type { TableOutput } from './merge-tables.ts';
import type { TableJob } from './table-job.ts';

export type ToWorker =
  | { readonly type: 'run'; readonly job: TableJob }
  | { readonly type: 'callOff'; readonly jobId: number }
  | { readonly type: 'fileNumber'; readonly jobId: number; readonly fileNumber: number };

export type FromWorker =
  | { readonly type: 'allocate'; readonly jobId: number }
  | { readonly type: 'done'; readonly jobId: number; readonly output: TableOutput }
  | { readonly type: 'failed'; readonly jobId: number; readonly error: PlainError };

/** Structured cloning keeps an error's message but not its class; so the facts travel, and the class is made again. */
export type PlainError =
  | { readonly code: 'CORRUPTION'; readonly file: string; readonly offset: number; readonly reason: string }
  | {
      readonly code: 'IO';
      readonly operation: string;
      readonly file: string;
      readonly systemCode: string;
      readonly outcome: IoOutcome;
    }
  | { readonly code: 'NO_SPACE'; readonly operation: string; readonly file: string }
  | { readonly code: 'ABORTED' }
  | { readonly code: 'BUG'; readonly message: string };

export function toPlain(error: unknown): PlainError {
  if (error instanceof CorruptionError) {
    return { code: error.code, file: error.file, offset: error.offset, reason: error.reason };
  }
  if (error instanceof IoError) {
    const { code, operation, file, systemCode, outcome } = error;
    return { code, operation, file, systemCode, outcome };
  }
  if (error instanceof NoSpaceError) return { code: error.code, operation: error.operation, file: error.file };
  if (error instanceof AbortedError) return { code: error.code };
  return { code: 'BUG', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

export function fromPlain(plain: PlainError): Error {
  switch (plain.code) {
    case 'CORRUPTION':
      return new CorruptionError(plain.file, plain.offset, plain.reason);
    case 'IO':
      return new IoError(plain.operation, plain.file, plain.systemCode, plain.outcome);
    case 'NO_SPACE':
      return new NoSpaceError(plain.operation, plain.file);
    case 'ABORTED':
      return new AbortedError('the background job');
    case 'BUG':
      return new Error(`the table worker failed: ${plain.message}`);
  }
}
