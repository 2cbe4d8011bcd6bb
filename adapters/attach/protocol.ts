/**
 * What is said over the socket. Each side begins with a hello; then the one who attached asks, and the owner answers, in any
 * order. `goodbye` is the owner's last word: it is about to close.
 *
 * ```text
 * attached: hello, (request | cancel)*          owner: hello | refusal, (answer | failure)*, goodbye?
 * ```
 *
 * Streams are pulled: `scanOpen` or `changesOpen`, then one `pull` per page; an empty page is the end.
 */
import type {
  Bytes,
  ChangesOptions,
  ConsumerFrom,
  ConsumerOptions,
  Cursor,
  Durability,
  ScanOptions,
  WriteOperation,
} from 'alluvium';
import { AttachProtocolError, AttachVersionError } from './attach-error.ts';
import { readError, type WireError } from './wire-error.ts';

export const PROTOCOL = 'alluvium-attach';
/** Goes up with every change that an older side would not understand. */
export const PROTOCOL_VERSION = 2;

export type Request =
  | { readonly op: 'get' | 'entry' | 'has'; readonly key: Bytes; readonly snapshot?: number | undefined }
  | { readonly op: 'getMany'; readonly keys: readonly Bytes[]; readonly snapshot?: number | undefined }
  | {
      readonly op: 'write';
      readonly operations: readonly WriteOperation[];
      readonly durability?: Durability | undefined;
      readonly idempotencyKey?: string | undefined;
      readonly windowMs?: number | undefined;
    }
  | { readonly op: 'flush' | 'stats' | 'consumers' }
  | { readonly op: 'backup'; readonly directory: string }
  | { readonly op: 'compact'; readonly start?: Bytes | undefined; readonly end?: Bytes | undefined }
  | { readonly op: 'approximateSize'; readonly start: Bytes; readonly end: Bytes }
  | { readonly op: 'snapshotOpen' | 'snapshotClose'; readonly snapshot: number }
  | {
      readonly op: 'scanOpen';
      readonly stream: number;
      readonly snapshot?: number | undefined;
      readonly options: ScanOptions;
    }
  | { readonly op: 'changesOpen'; readonly stream: number; readonly options: ChangesOptions }
  | {
      readonly op: 'consumer';
      readonly name: string;
      /** None: the consumer is as it ran last. */
      readonly view: ConsumerView | undefined;
      readonly call: ConsumerCall;
      /** Of `'seek'`. */
      readonly from?: ConsumerFrom | undefined;
      /** Of a dead letter; none: all of them. */
      readonly id?: string | undefined;
    }
  | { readonly op: 'deadLettersOpen'; readonly stream: number; readonly name: string }
  | { readonly op: 'pull' | 'streamClose'; readonly stream: number };

/** Of a consumer's options, those that mean something without its handler. */
export type ConsumerView = Pick<ConsumerOptions, 'gt' | 'gte' | 'lt' | 'lte' | 'from' | 'durability'>;

export type ConsumerCall =
  'position' | 'lag' | 'seek' | 'pause' | 'resume' | 'deadLetter' | 'replay' | 'dropDeadLetter' | 'delete';

/** What the owner says first. */
export interface OwnerHello {
  readonly protocol: typeof PROTOCOL;
  readonly version: number;
  readonly package: string;
  readonly location: string;
  /** Where its change stream is now. */
  readonly cursor: Cursor;
  readonly pid: number;
  readonly since: Date;
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: WireError }
  | { readonly goodbye: true };

const field = (message: object, name: string): unknown => Reflect.get(message, name);

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const asObject = (message: unknown): object => {
  if (typeof message === 'object' && message !== null) return message;
  throw new AttachProtocolError('a message is no object.');
};

/** Looks at the first message of either side. @throws AttachProtocolError, AttachVersionError, or what the owner refuses with */
export function checkHello(message: unknown): object {
  const hello = asObject(message);
  if (field(hello, 'protocol') !== PROTOCOL) throw new AttachProtocolError('it does not begin with a hello.');
  const version = field(hello, 'version');
  if (!isWhole(version)) throw new AttachProtocolError('its hello has no version.');
  if (version !== PROTOCOL_VERSION) {
    throw new AttachVersionError(PROTOCOL_VERSION, version, String(field(hello, 'package')));
  }
  const refusal = field(hello, 'refusal');
  if (refusal !== undefined) throw readError(refusal);
  return hello;
}

/** @throws as {@link checkHello} */
export function readOwnerHello(message: unknown): OwnerHello {
  const hello = checkHello(message);
  const cursor = field(hello, 'cursor');
  const location = field(hello, 'location');
  const pid = field(hello, 'pid');
  const since = field(hello, 'since');
  const isCursor = (text: unknown): text is Cursor =>
    typeof text === 'string' && /^al1\.[0-9a-f]{32}\.\d+\.\d+$/.test(text);
  if (!isCursor(cursor) || typeof location !== 'string' || !isWhole(pid) || !(since instanceof Date)) {
    throw new AttachProtocolError('its hello is incomplete.');
  }
  const name = String(field(hello, 'package'));
  return { protocol: PROTOCOL, version: PROTOCOL_VERSION, package: name, location, cursor, pid, since };
}

/** What the owner was asked, as far as it concerns the connection; the store looks at the rest. */
export type Asked = { readonly cancel: number } | { readonly id: number; readonly request: Request };

const OPS: ReadonlySet<unknown> = new Set<Request['op']>([
  'get',
  'entry',
  'has',
  'getMany',
  'write',
  'flush',
  'stats',
  'consumers',
  'backup',
  'compact',
  'approximateSize',
  'snapshotOpen',
  'snapshotClose',
  'scanOpen',
  'changesOpen',
  'consumer',
  'deadLettersOpen',
  'pull',
  'streamClose',
]);

const STREAM_OPS: ReadonlySet<unknown> = new Set<Request['op']>([
  'scanOpen',
  'changesOpen',
  'deadLettersOpen',
  'pull',
  'streamClose',
]);

const CONSUMER_CALLS: ReadonlySet<unknown> = new Set<ConsumerCall>([
  'position',
  'lag',
  'seek',
  'pause',
  'resume',
  'deadLetter',
  'replay',
  'dropDeadLetter',
  'delete',
]);

/** @throws AttachProtocolError */
export function readAsked(message: unknown): Asked {
  const asked = asObject(message);
  const cancel = field(asked, 'cancel');
  if (isWhole(cancel)) return { cancel };
  const id = field(asked, 'id');
  const request = field(asked, 'request');
  if (!isWhole(id) || !isRequest(request)) throw new AttachProtocolError('a request is none.');
  return { id, request };
}

/** The names and the numbers that the desk goes by; keys, values and options are for the store to refuse. */
function isRequest(request: unknown): request is Request {
  if (typeof request !== 'object' || request === null || !OPS.has(field(request, 'op'))) return false;
  const op = field(request, 'op') as Request['op'];
  const snapshot = field(request, 'snapshot');
  if (op.startsWith('snapshot') ? !isWhole(snapshot) : snapshot !== undefined && !isWhole(snapshot)) return false;
  if (STREAM_OPS.has(op) && !isWhole(field(request, 'stream'))) return false;
  if (op === 'consumer' && !CONSUMER_CALLS.has(field(request, 'call'))) return false;
  const options = field(request, op === 'consumer' ? 'view' : 'options');
  const mayLack = op !== 'scanOpen' && op !== 'changesOpen';
  return (mayLack && options === undefined) || (typeof options === 'object' && options !== null);
}

/** @throws AttachProtocolError */
export function readAnswer(message: unknown): Answer {
  const answer = asObject(message);
  if (field(answer, 'goodbye') === true) return { goodbye: true };
  const id = field(answer, 'id');
  if (!isWhole(id)) throw new AttachProtocolError('an answer has no number.');
  const error = field(answer, 'error');
  return error === undefined ? { id, value: field(answer, 'value') } : { id, error: error as WireError };
}

/** The database that a cursor is of. */
export const databaseIdOf = (cursor: Cursor): string => cursor.split('.')[1] ?? '';

/** The place of another sequence number of the same time. */
export const cursorAt = (cursor: Cursor, sequence: number): Cursor =>
  `${cursor.slice(0, cursor.lastIndexOf('.') + 1)}${sequence}` as Cursor;

export const sequenceOf = (cursor: Cursor): number => Number(cursor.slice(cursor.lastIndexOf('.') + 1));
