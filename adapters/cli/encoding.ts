/**
 * Keys and values as text, and back, without losing a byte.
 *
 *     utf8    the text itself                      hex, base64   of the bytes
 *     json    the bytes are JSON text, as the json encoding of `level` and of `codecs.json` has them
 *
 * In NDJSON, bytes that an encoding has no place for stand there as an object, whatever the encoding is:
 *
 *     bytes := { "$base64": string } | { "$utf8": string }
 *
 * so that `export | import` gives every byte back. A JSON value that has this very form is written in it, too.
 */
import { decodeUtf8, escapeBytes, escapeJson } from './escape.ts';
import { UsageError } from './failure.ts';

export const ENCODINGS = ['utf8', 'hex', 'base64', 'json'] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** One encoding, both ways. What cannot be read throws a UsageError. */
export interface Coder {
  /** From an argument, or a field of a CSV file. */
  read(text: string): Uint8Array;
  /** For a line of text, safe on a terminal. */
  show(bytes: Uint8Array): string;
  /** For a field of a CSV file; `undefined` where it has no place for these bytes. */
  write(bytes: Uint8Array): string | undefined;
  /** For NDJSON. */
  toJson(bytes: Uint8Array): unknown;
  fromJson(value: unknown): Uint8Array;
}

const HEX = /^(?:[0-9a-f]{2})*$/i;

const encode = (text: string): Uint8Array => {
  if (/\p{Cs}/u.test(text))
    throw new UsageError('half a surrogate pair is no character, and cannot be stored as UTF-8.');
  return new TextEncoder().encode(text);
};
const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const base64 = (bytes: Uint8Array): string => buffer(bytes).toString('base64');

function readHex(text: string): Uint8Array {
  if (!HEX.test(text))
    throw new UsageError(`${JSON.stringify(text.slice(0, 40))} is not hexadecimal: two digits a byte.`);
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function readBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  // Node passes over what it does not know; we do not.
  if (bytes.toString('base64') !== text) throw new UsageError(`${JSON.stringify(text.slice(0, 40))} is not base64.`);
  return new Uint8Array(bytes);
}

const inBase64 = (bytes: Uint8Array): unknown => ({ $base64: base64(bytes) });

/** The bytes of a `{ "$base64" }` or `{ "$utf8" }`; `undefined` for anything else. */
function markedBytes(value: unknown): Uint8Array | undefined {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) return undefined;
  if ('$base64' in value && typeof value.$base64 === 'string') return readBase64(value.$base64);
  if ('$utf8' in value && typeof value.$utf8 === 'string') return encode(value.$utf8);
  return undefined;
}

function isMarked(value: unknown): boolean {
  try {
    return markedBytes(value) !== undefined;
  } catch {
    return true; // it has the form, and no sense
  }
}

function expectString(value: unknown, encoding: Encoding): string {
  if (typeof value === 'string') return value;
  throw new UsageError(
    `a string was expected, not ${Array.isArray(value) ? 'an array' : value === null ? 'null' : typeof value}` +
      (encoding === 'utf8' ? ': for values that are JSON, give --value-encoding json.' : '.'),
  );
}

const stringCoder = (
  encoding: Encoding,
  read: (text: string) => Uint8Array,
  write: (bytes: Uint8Array) => string | undefined,
): Coder => ({
  read,
  write,
  show: (bytes) => (encoding === 'utf8' ? escapeBytes(bytes) : (write(bytes) ?? '')),
  toJson: (bytes) => write(bytes) ?? inBase64(bytes),
  fromJson: (value) => markedBytes(value) ?? read(expectString(value, encoding)),
});

/** A JSON value stands for its bytes only where printing it gives them back: no blanks, no 1.0, no doubled names. */
function jsonOf(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  if (text === undefined) return inBase64(bytes);
  try {
    const value: unknown = JSON.parse(text);
    if (JSON.stringify(value) === text && !isMarked(value)) return value;
  } catch {
    // not JSON: text, then
  }
  return { $utf8: text };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new UsageError(`${JSON.stringify(text.slice(0, 40))} is not JSON; a string is in double quotes there.`);
  }
}

const bytesOfJson = (value: unknown): Uint8Array => markedBytes(value) ?? encode(JSON.stringify(value));
const writeJson = (bytes: Uint8Array): string => escapeJson(JSON.stringify(jsonOf(bytes)));

const CODERS: Readonly<Record<Encoding, Coder>> = {
  utf8: stringCoder('utf8', encode, decodeUtf8),
  hex: stringCoder('hex', readHex, (bytes) => buffer(bytes).toString('hex')),
  base64: stringCoder('base64', readBase64, base64),
  json: {
    read: (text) => bytesOfJson(readJson(text)),
    show: writeJson,
    write: writeJson,
    toJson: jsonOf,
    fromJson: bytesOfJson,
  },
};

export const coderOf = (encoding: Encoding): Coder => CODERS[encoding];

/** How keys and how values are read and shown. */
export interface Coders {
  readonly key: Coder;
  readonly value: Coder;
}
