/** What comes over the socket of `alluvium/attach`, and what is given to the command line. */
import assert from 'node:assert/strict';
import { AttachProtocolError, AttachVersionError } from '../../adapters/attach/attach-error.ts';
import { encodeMessage, FrameReader } from '../../adapters/attach/frames.ts';
import { checkHello, readAnswer, readAsked, readOwnerHello } from '../../adapters/attach/protocol.ts';
import { readError, writeError } from '../../adapters/attach/wire-error.ts';
import { COMMANDS } from '../../adapters/cli/commands.ts';
import { type Coder, coderOf, ENCODINGS } from '../../adapters/cli/encoding.ts';
import { escapeBytes, escapeForTerminal } from '../../adapters/cli/escape.ts';
import { UsageError } from '../../adapters/cli/failure.ts';
import { readCsv } from '../../adapters/cli/import/csv.ts';
import { csvRows } from '../../adapters/cli/import/csv-rows.ts';
import { ImportError } from '../../adapters/cli/import/import-line.ts';
import { readNdjson } from '../../adapters/cli/import/ndjson.ts';
import { parseArguments } from '../../adapters/cli/parse-arguments.ts';
import { codersOf, ENCODING_OPTIONS, RANGE_OPTIONS, rangeOf } from '../../adapters/cli/shared-options.ts';
import { splitWords } from '../../adapters/cli/split-words.ts';
import { sealFrames } from './seals.ts';
import { type FuzzTarget, never, oneOf } from './target.ts';

const encoder = new TextEncoder();
const LINE_BYTES_MAX = 1_000;
const HELLO = { protocol: 'alluvium-attach', version: 1, package: '0.1.0' };
const CURSOR = `al1.${'0'.repeat(32)}.1.1`;
const SINCE = new Date(1_700_000_000_000);

const messages: readonly object[] = [
  { ...HELLO, location: '/db', cursor: CURSOR, pid: 7, since: SINCE },
  { ...HELLO, refusal: writeError(new AttachProtocolError('no.')) },
  {
    id: 1,
    request: { op: 'write', operations: [{ type: 'set', key: 'k', value: new Uint8Array(3) }], durability: 'synced' },
  },
  { id: 2, request: { op: 'scanOpen', stream: 4, options: { gte: 'a', limit: 3 } } },
  { id: 3, value: [{ key: new Uint8Array(2), sequence: 9 }] },
  { id: 4, error: writeError(new RangeError('x', { cause: new Error('y') })) },
  { cancel: 2 },
  { goodbye: true },
];

const attempted = (work: () => unknown): void => {
  try {
    work();
  } catch (error) {
    if (!isProtocolError(error)) throw error;
  }
};
const isProtocolError = oneOf(AttachProtocolError, AttachVersionError);

/** In two pieces, as a socket may give it. */
function decodeFrames(bytes: Uint8Array): void {
  const reader = new FrameReader();
  const cut = (bytes[0] ?? 0) % (bytes.length + 1);
  reader.push(Buffer.from(bytes.subarray(0, cut)));
  reader.push(Buffer.from(bytes.subarray(cut)));
  for (let received = reader.next(); received !== undefined; received = reader.next()) {
    const { message } = received;
    // A refusal in a hello is thrown as what it says it is: any class that may go over the wire.
    const hasRefusal = typeof message === 'object' && message !== null && Reflect.get(message, 'refusal') !== undefined;
    if (!hasRefusal) {
      attempted(() => checkHello(message));
      attempted(() => readOwnerHello(message));
    }
    attempted(() => readAsked(message));
    attempted(() => readAnswer(message));
    assert.ok(readError(message) instanceof Error);
    if (typeof message === 'object' && message !== null) assert.ok(encodeMessage(message).length > 0);
  }
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  const cut = Math.min(bytes.length, (bytes[0] ?? 0) % 40);
  yield bytes.subarray(0, cut);
  yield bytes.subarray(cut);
}

async function drain(lines: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const line of lines) count += line === undefined ? 0 : 1;
  return count;
}

/** All encodings after another; only one may refuse, for each has its own things to say. */
async function forEachCoder(read: (coder: Coder) => AsyncIterable<unknown>): Promise<void> {
  for (const encoding of ENCODINGS) {
    await drain(read(coderOf(encoding))).catch((error: unknown) => {
      if (!(error instanceof ImportError)) throw error;
    });
  }
}

async function decodeCsv(bytes: Uint8Array): Promise<void> {
  const settings = { delimiter: ',', rowLengthMax: LINE_BYTES_MAX, keyColumn: undefined, valueColumn: undefined };
  await forEachCoder((coder) => readCsv(chunksOf(bytes), { ...settings, coders: { key: coder, value: coder } }));
  const whole = { ...settings, keyColumn: 'key', coders: { key: coderOf('utf8'), value: coderOf('utf8') } };
  await forEachCoder(() => readCsv(chunksOf(bytes), whole));
  const rows: (readonly string[])[] = [];
  for await (const { fields } of csvRows(chunksOf(bytes), ',', LINE_BYTES_MAX)) rows.push(fields);
  const text = rows
    .map((fields) => `${fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(',')}\r\n`)
    .join('');
  const again: (readonly string[])[] = [];
  for await (const { fields } of csvRows(chunksOf(encoder.encode(text)), ',', 4 * LINE_BYTES_MAX)) again.push(fields);
  assert.deepEqual(again, rows);
}

/** Words of a command line, one a line. */
function decodeWords(bytes: Uint8Array): void {
  const [name = '', ...words] = new TextDecoder().decode(bytes).split('\n');
  const command = COMMANDS.find((each) => each.name === name) ?? COMMANDS[name.length % COMMANDS.length];
  assert.ok(command !== undefined);
  const { flags, positionals } = parseArguments(command, words);
  assert.ok(positionals.length <= words.length);
  for (const [option, { kind }] of Object.entries(command.options)) {
    if (kind === 'number') attemptedUsage(() => flags.number(option));
    else flags.text(option);
  }
  if (Object.keys(ENCODING_OPTIONS).some((option) => !(option in command.options))) return;
  const { key } = codersOf(flags);
  if (Object.keys(RANGE_OPTIONS).every((option) => option in command.options)) rangeOf(flags, key);
}

function attemptedUsage(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
  }
}

/** Every byte comes back from what is shown of it as data, and nothing that is shown is obeyed by a terminal. */
function decodeShown(bytes: Uint8Array): void {
  for (const encoding of ENCODINGS) {
    const coder = coderOf(encoding);
    const json = JSON.parse(JSON.stringify(coder.toJson(bytes))) as unknown;
    assert.deepEqual(new Uint8Array(coder.fromJson(json)), bytes);
    const written = coder.write(bytes);
    if (written !== undefined) assert.deepEqual(new Uint8Array(coder.read(written)), bytes);
    assert.doesNotMatch(coder.show(bytes), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  }
  assert.doesNotMatch(escapeBytes(bytes), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  const shown = escapeForTerminal(new TextDecoder().decode(bytes));
  assert.doesNotMatch(shown.replace(/\u001b\[[0-9;]*m/g, ''), /[^\P{Cc}\n\r\t]/u);
}

export const adapterTargets: readonly FuzzTarget[] = [
  {
    name: 'attach frames and protocol',
    seeds: () => messages.map((message) => new Uint8Array(Buffer.concat(encodeMessage(message)))),
    seal: sealFrames,
    words: ['op', 'id', 'request', 'refusal', 'cancel', 'code', 'fields', 'cause', '__proto__', 'A', 'o', 'V', '\\'],
    decode: decodeFrames,
    isRefusal: isProtocolError,
  },
  {
    name: 'NDJSON import',
    seeds: () =>
      ['{"key":"a","value":"b"}\n{"type":"delete","key":{"$base64":"AAE="}}\r\n{"type":"snapshotEnd"}\n'].map((text) =>
        encoder.encode(text),
      ),
    words: [
      '{',
      '}',
      '"key":',
      '"value":',
      '"type":"entry"',
      '{"$utf8":"x"}',
      '"__proto__":{}',
      '\n',
      '\r',
      '\ufeff',
      '\0',
      '\\ud800',
    ],
    decode: (bytes) =>
      forEachCoder((coder) => readNdjson(chunksOf(bytes), { key: coder, value: coder }, LINE_BYTES_MAX)),
    isRefusal: never,
  },
  {
    name: 'CSV import',
    seeds: () =>
      ['key,value\r\na,"b ""c"""\n\n"x\ny",""\n', '\ufeffid,key,value\n1,k,v\n'].map((text) => encoder.encode(text)),
    words: ['"', '""', ',', '\r', '\n', '\r\n', '__proto__', 'key', 'value', '\0'],
    decode: decodeCsv,
    isRefusal: oneOf(ImportError),
  },
  {
    name: 'command line',
    seeds: () =>
      [
        'scan\ndb\n--gte=ab\n--limit\n5\n--encoding\nhex',
        'set\ndb\nkey\nvalue\n--if-sequence=absent',
        'changes\n--json\n--\n-db',
      ].map((text) => encoder.encode(text)),
    words: [
      '\n',
      '--',
      '-',
      '=',
      '--help',
      '--prefix',
      '--limit',
      '--no-',
      '__proto__',
      'constructor',
      'toString',
      '--__proto__',
      '--hasOwnProperty=1',
    ],
    bytesMax: 300,
    decode: decodeWords,
    isRefusal: oneOf(UsageError),
  },
  {
    name: 'words of a line',
    seeds: () => [encoder.encode('set db "a \\" b" \'c\\d\' e\\ f')],
    words: ['"', "'", '\\', ' ', '\t', '\u2028'],
    decode: (bytes) => {
      const words = splitWords(new TextDecoder().decode(bytes));
      const quoted = words.map((word) => `'${word.replaceAll("'", `'"'"'`)}'`).join(' ');
      assert.deepEqual(splitWords(quoted), words);
    },
    isRefusal: oneOf(UsageError),
  },
  {
    name: 'bytes as they are shown',
    seeds: () =>
      ['text', '{"$base64":"AA=="}', '{"a":[1]}', 'a\u001b[31mb\u202e\\'].map((text) => encoder.encode(text)),
    words: [
      '\u001b[2J',
      '\u009b',
      '\u2066',
      '{"$utf8":"',
      '"}',
      '\ud83d\ude00',
      Uint8Array.of(0xed, 0xa0, 0x80),
      Uint8Array.of(0xf4, 0x90),
    ],
    bytesMax: 300,
    decode: decodeShown,
    isRefusal: never,
  },
];
