// export | import gives every byte back, in each encoding and format.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { beforeAll, describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { alluvium, shell } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();
const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index);
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

/** Text, hostile text, JSON in all its forms, and no text at all; the empty key and the empty value. */
const ENTRIES: readonly (readonly [Uint8Array, Uint8Array])[] = [
  [text(''), text('the empty key')],
  [text('the empty value'), text('')],
  [everyByte, everyByte.toReversed()],
  [text('\ufeffbyte order mark'), text('\ufeff')],
  [text('\u001b[2J\u202e\\x00'), text('line 1\r\nline 2\ttab "quoted", and \\n')],
  [text('json'), text('{"a":[1,null,"é"]}')],
  [text('json with blanks'), text('{ "a": 1.0 }\n')],
  [text('json that looks like bytes'), text('{"$base64":"AAA="}')],
  [text('"a string"'), text('"\\ud800"')],
  [Uint8Array.of(0xff, 0x00), Uint8Array.of(0x80)],
];
const TEXT_ONLY = ENTRIES.filter(([key, value]) =>
  [key, value].every(
    (bytes) =>
      Buffer.from(bytes).toString() === Buffer.from(Buffer.from(bytes).toString()).toString() &&
      !Buffer.from(bytes).toString().includes('\ufffd'),
  ),
);

async function storeOf(entries: typeof ENTRIES): Promise<string> {
  const folder = join(directory(), 'store');
  const store = await open(folder);
  await store.write(entries.map(([key, value]) => ({ type: 'set', key, value })));
  await store.close();
  return folder;
}

async function contentOf(folder: string): Promise<string[]> {
  const store = await open(folder, { readOnly: true });
  const rows: string[] = [];
  for await (const { key, value } of store.scan())
    rows.push(`${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`);
  await store.close();
  return rows;
}

let source = '';
let content: readonly string[] = [];
beforeAll(async () => {
  source = await storeOf(ENTRIES);
  content = await contentOf(source);
});

describe('export and import', () => {
  it.each(['utf8', 'hex', 'base64', 'json'])('in NDJSON, %s', async (encoding) => {
    const copy = join(directory(), 'copy');
    const outcome = await shell(
      `set -o pipefail; alluvium export '${source}' --encoding ${encoding} | alluvium import '${copy}' --create --encoding ${encoding}`,
    );
    expect(outcome).toMatchObject({ code: 0, stderr: '', stdout: `${ENTRIES.length} operations imported\n` });
    expect(await contentOf(copy)).toEqual(content);
  });

  it.each(['hex', 'base64', 'json'])('in CSV, %s', async (encoding) => {
    const copy = join(directory(), 'copy');
    const file = join(directory(), 'entries.csv');
    expect(await alluvium(['export', source, file, '--encoding', encoding])).toMatchObject({ code: 0 });
    expect(await alluvium(['import', copy, file, '--create', '--encoding', encoding])).toMatchObject({ code: 0 });
    expect(await contentOf(copy)).toEqual(content);
  });

  it('in CSV, utf8: text comes back, and other bytes are refused, not mangled', async () => {
    const texts = await storeOf(TEXT_ONLY);
    const copy = join(directory(), 'copy');
    expect(
      await shell(
        `set -o pipefail; alluvium export '${texts}' --format csv | alluvium import '${copy}' --create --format csv`,
      ),
    ).toMatchObject({ code: 0 });
    expect(await contentOf(copy)).toEqual(await contentOf(texts));
    const folder = directory();
    const refused = await alluvium(['export', source, join(folder, 'entries.csv')]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('not UTF-8') as string });
    expect(readdirSync(folder)).toEqual([]); // nothing half done
  });

  it('with a LevelDB directory, both ways', async () => {
    const theirs = join(directory(), 'theirs');
    const level = new ClassicLevel<Uint8Array, Uint8Array>(theirs, { keyEncoding: 'view', valueEncoding: 'view' });
    await level.batch(ENTRIES.map(([key, value]) => ({ type: 'put', key, value })));
    await level.close();
    const copy = join(directory(), 'copy');
    expect(await alluvium(['import', copy, theirs, '--create'])).toMatchObject({ code: 0 });
    expect(await contentOf(copy)).toEqual(content);
    const back = join(directory(), 'back');
    expect(await alluvium(['export', copy, back, '--format', 'level'])).toMatchObject({ code: 0 });
    const read = new ClassicLevel<Uint8Array, Uint8Array>(back, { keyEncoding: 'view', valueEncoding: 'view' });
    const rows: string[] = [];
    for await (const [key, value] of read.iterator()) {
      if (!Buffer.from(key).toString('latin1').startsWith('!_alluvium!'))
        rows.push(`${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`);
    }
    await read.close();
    expect(rows).toEqual(content);
  });

  it('of changes: what changes --json prints can be imported, deletes too', async () => {
    const copy = join(directory(), 'copy');
    await shell(
      `alluvium delete '${source}' json; alluvium changes '${source}' --from start --no-follow --json | alluvium import '${copy}' --create`,
    );
    expect(await contentOf(copy)).toEqual(await contentOf(source));
    await shell(`alluvium set '${source}' json '{"a":[1,null,"é"]}'`);
    expect(await contentOf(source)).toEqual(content);
  });
});

describe('import', () => {
  it('names the wrong line, and keeps what stood before it', async () => {
    const copy = join(directory(), 'copy');
    const input = '{"key":"a","value":"1"}\n\n{"key":"b"}\n{"key":"c","value":"3"}\n';
    const outcome = await alluvium(['import', copy, '--create'], { input });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('line 3: it has no value');
    expect(outcome.stderr).toContain('1 operation from before it');
    expect(await contentOf(copy)).toEqual(['61=31']);
  });

  it('takes the rows of any CSV file', async () => {
    const file = join(directory(), 'airports.csv');
    writeFileSync(file, 'code,city\r\nVIE,Wien\r\nJFK,"New York, NY"\r\n');
    const copy = join(directory(), 'copy');
    expect(await alluvium(['import', copy, file, '--create', '--key-column', 'code'])).toMatchObject({ code: 0 });
    const { stdout } = await alluvium(['scan', copy]);
    expect(stdout).toBe('JFK\t{"code":"JFK","city":"New York, NY"}\nVIE\t{"code":"VIE","city":"Wien"}\n');
  });

  it('holds a line without an end within its bound', async () => {
    const outcome = await shell(
      `head -c 3000000 /dev/zero | tr '\\0' a | alluvium import '${join(directory(), 'copy')}' --create --line-bytes-max 100000`,
    );
    expect(outcome).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('line 1: it is longer than 100000 bytes') as string,
    });
  });

  it('checks everything and writes nothing in a dry run', async () => {
    const outcome = await alluvium(['import', join(directory(), 'none'), '--dry-run'], {
      input: '{"key":"a","value":"1"}\n',
    });
    expect(outcome).toMatchObject({ code: 0, stdout: '1 operation can be imported\n' });
  });
});

describe('export', () => {
  it('replaces no file unasked, and leaves nothing half done', async () => {
    const folder = directory();
    const file = join(folder, 'entries.ndjson');
    writeFileSync(file, 'mine');
    expect(await alluvium(['export', source, file])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--yes') as string,
    });
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(await alluvium(['export', source, file, '--yes'])).toMatchObject({ code: 0 });
    expect(readdirSync(folder)).toEqual(['entries.ndjson']);
    expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(ENTRIES.length);
  });
});
