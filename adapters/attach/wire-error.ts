/**
 * Errors on their way to another process: message, code, fields and cause, and there an error of the same class again. What
 * is no error of the engine becomes a plain `Error`.
 */
import * as alluvium from 'alluvium';
import * as own from './attach-error.ts';

export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Own fields that are data. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly cause: unknown;
}

/** Causes of causes that go along. */
const DEPTH_MAX = 4;

type ErrorClass = abstract new (...given: never[]) => Error;

const CLASSES: ReadonlyMap<string, ErrorClass> = new Map<string, ErrorClass>([
  ['ABORTED', alluvium.AbortedError],
  ['ALREADY_EXISTS', alluvium.AlreadyExistsError],
  ['BUFFER_OVERFLOW', alluvium.BufferOverflowError],
  ['CLOSED', alluvium.ClosedError],
  ['COMPARATOR_MISMATCH', alluvium.ComparatorMismatchError],
  ['CONFLICT', alluvium.ConflictError],
  ['CONSUMER', alluvium.ConsumerError],
  ['CORRUPTION', alluvium.CorruptionError],
  ['HISTORY_GONE', alluvium.HistoryGoneError],
  ['INVALID_ARGUMENT', alluvium.InvalidArgumentError],
  ['INVALID_CURSOR', alluvium.InvalidCursorError],
  ['IO', alluvium.IoError],
  ['KEY_TOO_LARGE', alluvium.KeyTooLargeError],
  ['LOCKED', alluvium.LockedError],
  ['NOT_A_DATABASE', alluvium.NotADatabaseError],
  ['NO_SPACE', alluvium.NoSpaceError],
  ['OUT_OF_RANGE', alluvium.OutOfRangeError],
  ['READ_ONLY', alluvium.ReadOnlyError],
  ['SCHEMA', alluvium.SchemaError],
  ['VALUE_TOO_LARGE', alluvium.ValueTooLargeError],
  ['ATTACH_PROTOCOL', own.AttachProtocolError],
  ['NOT_ATTACHABLE', own.NotAttachableError],
]);

export function writeError(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return writeError(new Error(String(error)), depth);
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(error)) {
    if (isData(value)) fields[name] = value;
  }
  const cause = error.cause === undefined || depth >= DEPTH_MAX ? undefined : writeError(error.cause, depth + 1);
  return { name: error.name, message: error.message, stack: error.stack, fields, cause };
}

const isData = (value: unknown): boolean => {
  if (value === null || typeof value !== 'object') return typeof value !== 'function' && typeof value !== 'symbol';
  if (value instanceof Uint8Array || value instanceof Date) return true;
  return (
    (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) &&
    Object.values(value).every(
      (each) =>
        each instanceof Date || each instanceof Uint8Array || !['object', 'function', 'symbol'].includes(typeof each),
    )
  );
};

const text = (given: object, name: string): string => {
  const value: unknown = Reflect.get(given, name);
  return typeof value === 'string' ? value : '';
};

/** Never throws: what is no error is one that says so. */
export function readError(given: unknown, depth = 0): Error {
  if (typeof given !== 'object' || given === null)
    return new own.AttachProtocolError('a failure came without a reason.');
  const error = new Error(text(given, 'message'));
  const fields: unknown = Reflect.get(given, 'fields');
  const cause: unknown = Reflect.get(given, 'cause');
  if (typeof fields === 'object' && fields !== null) {
    const { code } = fields as { readonly code?: unknown };
    const found = typeof code === 'string' ? CLASSES.get(code) : undefined;
    if (found !== undefined) Object.setPrototypeOf(error, found.prototype as object);
    for (const [name, value] of Object.entries(fields)) {
      if (name !== '__proto__')
        Object.defineProperty(error, name, { value, enumerable: true, writable: true, configurable: true });
    }
  }
  const hidden = { enumerable: false, writable: true, configurable: true };
  Object.defineProperty(error, 'name', {
    value: text(given, 'name') || 'Error',
    enumerable: true,
    writable: true,
    configurable: true,
  });
  if (text(given, 'stack') !== '') Object.defineProperty(error, 'stack', { value: text(given, 'stack'), ...hidden });
  if (cause !== undefined && depth < DEPTH_MAX) {
    Object.defineProperty(error, 'cause', { value: readError(cause, depth + 1), ...hidden });
  }
  return error;
}
