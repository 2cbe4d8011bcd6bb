/** What can go wrong on the command line itself, and what any error means to the shell. */
import { EXIT, type ExitCode } from './exit-code.ts';

/** An error that knows its exit code. Its message is for people, and says what to do. */
export class Failure extends Error {
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.error, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Failure';
    this.exitCode = exitCode;
  }
}

/** The command line is wrong. */
export class UsageError extends Failure {
  constructor(message: string) {
    super(message, EXIT.usage);
    this.name = 'UsageError';
  }
}

/** What was asked for is not there. */
export class NotFoundError extends Failure {
  constructor(message: string) {
    super(message, EXIT.notFound);
    this.name = 'NotFoundError';
  }
}

/** By the engine's stable codes and not by its classes: an error may have come from another process. */
const EXIT_OF_CODE: Readonly<Record<string, ExitCode | undefined>> = {
  LOCKED: EXIT.locked,
  CORRUPTION: EXIT.corruption,
  CONFLICT: EXIT.conflict,
  INVALID_ARGUMENT: EXIT.usage,
  OUT_OF_RANGE: EXIT.usage,
  INVALID_CURSOR: EXIT.usage,
  KEY_TOO_LARGE: EXIT.usage,
};

export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof Failure) return error.exitCode;
  return EXIT_OF_CODE[codeOf(error) ?? ''] ?? EXIT.error;
}

/** One line for people. A stack is only shown for what is none of our errors: then it is a bug, and the stack is the report. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `something was thrown that is no error: ${String(error)}`;
  const isExpected = error instanceof Failure || codeOf(error) !== undefined;
  return isExpected ? error.message : `this is a bug, please report it: ${error.stack ?? error.message}`;
}
