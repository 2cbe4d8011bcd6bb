/** The one place where the engine's errors become abstract-level's: codes that begin with `LEVEL_`, ours as the cause. */
import { AlreadyExistsError, EngineError, InvalidArgumentError, NotADatabaseError } from 'alluvium';

/** An error with one of abstract-level's codes. Its cause is the engine's error, with the facts as fields. */
export class LevelError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = code === 'LEVEL_ABORTED' ? 'AbortError' : 'LevelError';
    this.code = code;
  }
}

/** What abstract-level has a name of its own for. Other codes of the engine get `LEVEL_` before them. */
const CODES: Readonly<Record<string, string | undefined>> = {
  CLOSED: 'LEVEL_DATABASE_NOT_OPEN',
  IO: 'LEVEL_IO_ERROR',
  KEY_TOO_LARGE: 'LEVEL_INVALID_KEY',
  NOT_ATTACHABLE: 'LEVEL_NOT_SUPPORTED',
  NO_SPACE: 'LEVEL_IO_ERROR',
  READ_ONLY: 'LEVEL_READONLY',
  VALUE_TOO_LARGE: 'LEVEL_INVALID_VALUE',
};

/** An error of the engine as `level` knows it; any other error as it is. */
export function levelErrorOf(error: unknown): unknown {
  if (error instanceof EngineError) {
    const code = CODES[error.code] ?? `LEVEL_${error.code}`;
    return new LevelError(code, prefixOf(error) + error.message, { cause: error });
  }
  // Only a reserved key is refused so: what else can be wrong with a key, abstract-level has checked before.
  if (error instanceof InvalidArgumentError && /(^|\.)key$/.test(error.argument)) {
    return new LevelError('LEVEL_INVALID_KEY', error.message, { cause: error });
  }
  return error;
}

/** LevelDB says it in these words, and programs look for them, because it has no code for it. */
function prefixOf(error: EngineError): string {
  if (error instanceof NotADatabaseError) return 'the database does not exist: ';
  return error instanceof AlreadyExistsError ? 'the database exists: ' : '';
}

export function throwLevelError(error: unknown): never {
  throw levelErrorOf(error);
}

/** Runs something of the store that throws at the call. */
export function translated<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    return throwLevelError(error);
  }
}

export const notOpen = (what: string): LevelError =>
  new LevelError('LEVEL_DATABASE_NOT_OPEN', `Database is not open: cannot call ${what}`);
