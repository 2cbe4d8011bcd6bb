/**
 * Every error the engine can report: one class and one stable `code` each. Messages may change; codes may not.
 *
 * Each message says what happened, where, and what can be done about it; the facts are fields, the cause is kept.
 */

/** Base of all engine errors. Branch on {@link EngineError.code}, never on the message. */
export abstract class EngineError extends Error {
  abstract readonly code: string;
}

/** Bytes read back are not what the writer wrote. Nothing after `offset` in `file` can be trusted. */
export class CorruptionError extends EngineError {
  readonly code = 'CORRUPTION';
  /** File name relative to the database directory. */
  readonly file: string;
  /** Byte offset of the first bad byte, or of the record or block that holds it. */
  readonly offset: number;
  /** What does not fit, in words. */
  readonly reason: string;

  constructor(file: string, offset: number, reason: string, options?: ErrorOptions) {
    super(
      `${file} is damaged at byte ${offset}: ${reason}. Nothing was deleted; restore from a backup, or run repair (a dry ` +
        `run first), which keeps all that can be read.` +
        (file.endsWith('.log') ? ' Opened with salvage, the log gives what is before the damage.' : ''),
      options,
    );
    this.name = 'CorruptionError';
    this.file = file;
    this.offset = offset;
    this.reason = reason;
  }
}

/** What is known of a failed call: `'failed'`, it had no effect; `'unknown'`, it may have had one. */
export type IoOutcome = 'failed' | 'unknown';

/** The operating system refused a file operation. */
export class IoError extends EngineError {
  readonly code = 'IO';
  /** The call that failed, for instance `'sync'`. */
  readonly operation: string;
  /** Path of the file or directory it was about. */
  readonly file: string;
  /** The system's own code, for instance `'EIO'`. */
  readonly systemCode: string;
  /** Whether the operation may have had an effect all the same. */
  readonly outcome: IoOutcome;

  constructor(operation: string, file: string, systemCode: string, outcome: IoOutcome, options?: ErrorOptions) {
    super(
      `${operation} of ${file} failed with ${systemCode}` +
        (outcome === 'unknown' ? '; whether it reached the disk is unknown' : '') +
        '. Check the device, its mount and the permissions, then try again.',
      options,
    );
    this.name = 'IoError';
    this.operation = operation;
    this.file = file;
    this.systemCode = systemCode;
    this.outcome = outcome;
  }
}

/** The disk (or a quota) is full. Reads go on; writes are accepted again when there is room. */
export class NoSpaceError extends EngineError {
  readonly code = 'NO_SPACE';
  readonly operation: string;
  readonly file: string;

  constructor(operation: string, file: string, options?: ErrorOptions) {
    super(
      `no space left for ${operation} of ${file}. Free some space on that file system; then writes go on.`,
      options,
    );
    this.name = 'NoSpaceError';
    this.operation = operation;
    this.file = file;
  }
}

/** Who holds a database open. */
export interface LockHolder {
  /** Process id, or `undefined` when the holder left no note (real LevelDB does not). */
  readonly pid: number | undefined;
  /** When it opened the database, or `undefined` when it left no note. */
  readonly since: Date | undefined;
}

/** Another process, or another store in this one, has the database open. */
export class LockedError extends EngineError {
  readonly code = 'LOCKED';
  readonly directory: string;
  readonly holder: LockHolder;

  constructor(directory: string, holder: LockHolder, options?: ErrorOptions) {
    const who = holder.pid === undefined ? 'another process' : `process ${holder.pid}`;
    const since = holder.since === undefined ? '' : ` since ${holder.since.toISOString()}`;
    super(`${directory} is open in ${who}${since}. Close it there first, or open it with readOnly.`, options);
    this.name = 'LockedError';
    this.directory = directory;
    this.holder = holder;
  }
}

/** The store, snapshot or stream was used after it was closed. */
export class ClosedError extends EngineError {
  readonly code = 'CLOSED';

  constructor(what: string, options?: ErrorOptions) {
    super(`the ${what} is closed. ${what === 'snapshot' ? 'Take a new one' : 'Open it again to use it'}.`, options);
    this.name = 'ClosedError';
  }
}

/** The caller's `AbortSignal` ended the operation. Its `reason` is the cause. */
export class AbortedError extends EngineError {
  readonly code = 'ABORTED';

  constructor(operation: string, options?: ErrorOptions) {
    super(`${operation} was aborted by its signal.`, options);
    this.name = 'AbortError'; // the name that fetch, timers and streams use, so that one check serves all
  }
}

/** A write on a store that takes none now. The cause, if any, is the failure that made it so. */
export class ReadOnlyError extends EngineError {
  readonly code = 'READ_ONLY';

  constructor(reason: string, options?: ErrorOptions) {
    super(`the store takes no writes: ${reason}`, options);
    this.name = 'ReadOnlyError';
  }
}

/** The path is not, or not yet, a database. */
export class NotADatabaseError extends EngineError {
  readonly code = 'NOT_A_DATABASE';
  readonly directory: string;

  constructor(directory: string, reason: string, options?: ErrorOptions) {
    super(`${directory} is not a database: ${reason}`, options);
    this.name = 'NotADatabaseError';
    this.directory = directory;
  }
}

/** `errorIfExists` was set, and there is a database; or a new directory was asked for, and there is one. */
export class AlreadyExistsError extends EngineError {
  readonly code = 'ALREADY_EXISTS';
  readonly directory: string;

  constructor(
    directory: string,
    reason = 'holds a database already. Choose another directory, or open without errorIfExists.',
  ) {
    super(`${directory} ${reason}`);
    this.name = 'AlreadyExistsError';
    this.directory = directory;
  }
}

/** The database orders its keys by another rule than ours. */
export class ComparatorMismatchError extends EngineError {
  readonly code = 'COMPARATOR_MISMATCH';
  readonly directory: string;
  readonly expected: string;
  readonly actual: string;

  constructor(directory: string, expected: string, actual: string) {
    super(
      `${directory} is ordered by ${JSON.stringify(actual)}, and this engine by ${JSON.stringify(expected)}. ` +
        'Open it with the program that made it, and export from there.',
    );
    this.name = 'ComparatorMismatchError';
    this.directory = directory;
    this.expected = expected;
    this.actual = actual;
  }
}

/** A key is longer than the engine takes. */
export class KeyTooLargeError extends EngineError {
  readonly code = 'KEY_TOO_LARGE';
  readonly bytes: number;
  readonly bytesMax: number;

  constructor(bytes: number, bytesMax: number) {
    super(`a key of ${bytes} bytes is over the limit of ${bytesMax}. Put the long part into the value, or hash it.`);
    this.name = 'KeyTooLargeError';
    this.bytes = bytes;
    this.bytesMax = bytesMax;
  }
}

/** A value, or a whole batch, is longer than the engine takes. */
export class ValueTooLargeError extends EngineError {
  readonly code = 'VALUE_TOO_LARGE';
  readonly bytes: number;
  readonly bytesMax: number;

  constructor(what: 'value' | 'batch', bytes: number, bytesMax: number) {
    super(`a ${what} of ${bytes} bytes is over the limit of ${bytesMax}. Split it into several.`);
    this.name = 'ValueTooLargeError';
    this.bytes = bytes;
    this.bytesMax = bytesMax;
  }
}

/** A bounded buffer was full and its policy is `'fail'`. */
export class BufferOverflowError extends EngineError {
  readonly code = 'BUFFER_OVERFLOW';
  /** What the buffer may hold. */
  readonly capacity: number;
  /** In what it is counted. */
  readonly unit: 'values' | 'bytes';

  constructor(capacity: number, unit: 'values' | 'bytes' = 'values') {
    super(`a bounded buffer is full (${capacity} ${unit}). Wait for earlier work to finish, then try again.`);
    this.name = 'BufferOverflowError';
    this.capacity = capacity;
    this.unit = unit;
  }
}

/** An argument is of the wrong type or shape; thrown at the call. */
export class InvalidArgumentError extends TypeError {
  readonly code = 'INVALID_ARGUMENT';
  readonly argument: string;

  /** @param found - what it is, where its type does not say it */
  constructor(argument: string, expected: string, actual: unknown, found?: string) {
    super(`${argument} must be ${expected}, not ${found ?? describe(actual)}.`);
    this.name = 'InvalidArgumentError';
    this.argument = argument;
  }
}

/** A string of the wrong form is shown, in printable characters and cut; of anything else its type says enough. */
function describe(actual: unknown): string {
  if (typeof actual !== 'string') return actual === null ? 'null' : typeof actual;
  const shown = JSON.stringify(actual.length > SHOWN_LENGTH_MAX ? `${actual.slice(0, SHOWN_LENGTH_MAX)}...` : actual);
  return shown.replace(/[^ -~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const SHOWN_LENGTH_MAX = 64;

/** An argument is outside of its range; thrown at the call. */
export class OutOfRangeError extends RangeError {
  readonly code = 'OUT_OF_RANGE';
  readonly argument: string;

  constructor(argument: string, expected: string, actual: number) {
    super(`${argument} must be ${expected}, not ${actual}.`);
    this.name = 'OutOfRangeError';
    this.argument = argument;
  }
}

/** A sequence number that a key has, or `'absent'` where it has no value. */
export type PresentSequence = number | 'absent';

/** A `check` of a batch did not hold: somebody else wrote the key. Nothing of the batch was written. */
export class ConflictError extends EngineError {
  readonly code = 'CONFLICT';
  readonly key: Uint8Array;
  readonly expected: PresentSequence;
  readonly actual: PresentSequence;

  constructor(key: Uint8Array, expected: PresentSequence, actual: PresentSequence) {
    super(
      `the check of key ${printable(key)} did not hold: expected ${describeSequence(expected)}, and it is ` +
        `${describeSequence(actual)}. Nothing was written; read the key again, decide again, and try again.`,
    );
    this.name = 'ConflictError';
    this.key = key;
    this.expected = expected;
    this.actual = actual;
  }
}

const describeSequence = (sequence: PresentSequence): string =>
  sequence === 'absent' ? 'absent' : `at sequence ${sequence}`;

/** Longest part of a key that a message shows, in bytes. */
const PRINTED_BYTES_MAX = 64;

/** A key for people: what is not plain ASCII is escaped, so that a message never carries control characters. */
function printable(key: Uint8Array): string {
  let text = '';
  for (const byte of key.subarray(0, PRINTED_BYTES_MAX)) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `"${text}"${key.length > PRINTED_BYTES_MAX ? ` and ${key.length - PRINTED_BYTES_MAX} bytes more` : ''}`;
}

/** Why a cursor leads nowhere. */
export type CursorFault = 'malformed' | 'otherDatabase' | 'future' | 'droppedEpoch';

/** The cursor is no place in the change stream of this database. */
export class InvalidCursorError extends EngineError {
  readonly code = 'INVALID_CURSOR';
  readonly cursor: string;
  readonly fault: CursorFault;

  constructor(cursor: string, fault: CursorFault, explanation: string) {
    super(`the cursor ${JSON.stringify(cursor.slice(0, 100))} leads nowhere: ${explanation}`);
    this.name = 'InvalidCursorError';
    this.cursor = cursor;
    this.fault = fault;
  }
}

/** The history of changes does not reach back to the place that was asked for. */
export class HistoryGoneError extends EngineError {
  readonly code = 'HISTORY_GONE';
  /** The place asked for: the first sequence number that was wanted. */
  readonly sequence: number;
  /** The oldest place there is: from here on every change can be had. */
  readonly oldest: number;

  constructor(sequence: number, oldest: number, options?: ErrorOptions) {
    super(
      `changes from sequence ${sequence} on are no longer kept; the oldest there are begin at ${oldest}. Start ` +
        `from 'start', or from 'snapshot' to have the present state and every change after it (a consumer: seek('start'), ` +
        `or to the cursor of a snapshot's end). To keep more, set historyBytesMax, for consumers historyHardBytesMax.`,
      options,
    );
    this.name = 'HistoryGoneError';
    this.sequence = sequence;
    this.oldest = oldest;
  }
}

/** One thing that is wrong with a value, as Standard Schema tells it. */
export interface SchemaIssue {
  readonly message: string;
  /** Where in the value, from the outside in. */
  readonly path: readonly (string | number)[];
}

/** What an error about a value says of it. */
export interface SchemaErrorSettings {
  /** Whether the message says nothing of the value, for messages get into logs, and into dead letters. Default false. */
  readonly isSecret?: boolean;
}

/** A key or value is not what its keyspace's codec or schema takes; or what is stored is not. */
export class SchemaError extends EngineError {
  readonly code = 'SCHEMA';
  readonly keyspace: string;
  /** The stored key, where something stored is wrong. */
  readonly key: Uint8Array | undefined;
  readonly issues: readonly SchemaIssue[];

  constructor(
    keyspace: string,
    what: string,
    key: Uint8Array | undefined,
    issues: readonly SchemaIssue[],
    options?: ErrorOptions,
    { isSecret = false }: SchemaErrorSettings = {},
  ) {
    const place = key === undefined ? '' : ` of key ${printable(key)}`;
    const reason = issues[0]?.message ?? 'no reason was given';
    const first = isSecret ? 'its values are encrypted, so this text does not say why' : reason;
    super(
      `keyspace ${JSON.stringify(keyspace)}: ${what}${place} does not fit: ${first}. ` +
        (key === undefined ? 'Nothing was written.' : 'It is left as it is; read it as bytes, and mend or delete it.'),
      options,
    );
    this.name = 'SchemaError';
    this.keyspace = keyspace;
    this.key = key;
    this.issues = issues;
  }
}

/**
 * Why a stored value of an encrypted keyspace cannot be read: its key is not there (perhaps for ever); it was not written so
 * at this place, or another key has its id; it is no encrypted value at all; or the key provider threw.
 */
export type UnreadableReason = 'keyUnknown' | 'notAuthentic' | 'malformed' | 'providerFailed';

const UNREADABLE: Readonly<Record<UnreadableReason, string>> = {
  keyUnknown:
    'the key provider does not have its key. Load that key, and read again; if the key was destroyed, so is the value: ' +
    'delete the entry, or read past it',
  notAuthentic:
    'it is not what was written there with its key: it was changed, comes from elsewhere, or the provider has another ' +
    'key under that id. Restore it from a backup, or delete the entry',
  malformed: 'it is no encrypted value of a version that is known. Was it written without encryption?',
  providerFailed: 'the key provider failed; its error is the cause',
};

/** A stored value of an encrypted keyspace cannot be read. Everything else still can; it is left as it is. */
export class ValueUnreadableError extends EngineError {
  readonly code = 'VALUE_UNREADABLE';
  readonly keyspace: string;
  /** The stored key of the entry. */
  readonly key: Uint8Array;
  /** Id of the encryption key that the value names; `undefined` where it is malformed. */
  readonly keyId: string | undefined;
  readonly reason: UnreadableReason;

  constructor(
    keyspace: string,
    key: Uint8Array,
    keyId: string | undefined,
    reason: UnreadableReason,
    options?: ErrorOptions,
  ) {
    const id = keyId === undefined ? '' : ` (encryption key ${keyId})`;
    super(
      `keyspace ${JSON.stringify(keyspace)}: the value of key ${printable(key)}${id} cannot be decrypted: ` +
        `${UNREADABLE[reason]}.`,
      options,
    );
    this.name = 'ValueUnreadableError';
    this.keyspace = keyspace;
    this.key = key;
    this.keyId = keyId;
    this.reason = reason;
  }
}

/** Why nothing can be encrypted: the current key has encrypted as many values as it may; or the key provider threw. */
export type EncryptionFault = 'spent' | 'providerFailed';

/** A value cannot be encrypted, so nothing was written. */
export class EncryptionKeyError extends EngineError {
  readonly code = 'ENCRYPTION_KEY';
  readonly keyspace: string;
  /** Id of the current key; `undefined` where the provider gave none. */
  readonly keyId: string | undefined;
  readonly reason: EncryptionFault;

  constructor(keyspace: string, keyId: string | undefined, reason: EncryptionFault, options?: ErrorOptions) {
    const why =
      reason === 'spent'
        ? `encryption key ${keyId ?? ''} has encrypted as many values as one key may. Make another one current`
        : 'the key provider failed; its error is the cause';
    super(`keyspace ${JSON.stringify(keyspace)}: the value cannot be encrypted: ${why}. Nothing was written.`, options);
    this.name = 'EncryptionKeyError';
    this.keyspace = keyspace;
    this.keyId = keyId;
    this.reason = reason;
  }
}

/** A consumer cannot run so: another one of its name runs with other settings, or its record cannot be read. */
export class ConsumerError extends EngineError {
  readonly code = 'CONSUMER';
  readonly consumer: string;

  constructor(consumer: string, reason: string, options?: ErrorOptions) {
    super(`consumer ${JSON.stringify(consumer)}: ${reason}`, options);
    this.name = 'ConsumerError';
    this.consumer = consumer;
  }
}
