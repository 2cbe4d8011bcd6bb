/**
 * From the system's errors to the engine's: the one place where it is done, for every file system.
 *
 * ENOSPC and EDQUOT become {@link NoSpaceError}, every other code an {@link IoError}. What is not a system error (it has
 * no code) is a bug of ours and passes through untouched.
 */
import { EngineError, IoError, type IoOutcome, NoSpaceError } from '../../errors.ts';

/** The names of the calls of the port, as they stand in {@link IoError.operation} and are told to fault hooks. */
export type FileOperationName =
  | 'append'
  | 'close'
  | 'create'
  | 'freeBytes'
  | 'link'
  | 'list'
  | 'lock'
  | 'makeDirectory'
  | 'open'
  | 'read'
  | 'realPath'
  | 'remove'
  | 'removeDirectory'
  | 'rename'
  | 'reserve'
  | 'size'
  | 'stat'
  | 'sync'
  | 'syncDirectory'
  | 'trim'
  | 'unlock';

/** Calls that change the disk: when they fail, they may have had a part, or all, of their effect. */
const UNCERTAIN: ReadonlySet<FileOperationName> = new Set<FileOperationName>([
  'append',
  'link',
  'makeDirectory',
  'remove',
  'removeDirectory',
  'rename',
  'reserve',
  'sync',
  'syncDirectory',
  'trim',
]);

/** The system's code of an error, for instance `'ENOENT'`; `undefined` if it has none. */
export function systemCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/**
 * Says in the engine's terms why a call failed.
 *
 * @param outcome - by default `'unknown'` for calls that change the disk and `'failed'` for the others
 * @returns the error to throw: `thrown` itself if it is an engine error already, or no system error at all
 */
export function translateError(
  thrown: unknown,
  operation: FileOperationName,
  path: string,
  outcome: IoOutcome = UNCERTAIN.has(operation) ? 'unknown' : 'failed',
): Error {
  if (thrown instanceof EngineError) return thrown;
  const code = systemCode(thrown);
  if (code === 'ENOSPC' || code === 'EDQUOT') return new NoSpaceError(operation, path, { cause: thrown });
  if (code !== undefined) return new IoError(operation, path, code, outcome, { cause: thrown });
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
