// The parts of the command line that are functions: escaping, encodings, CSV, suggestions, words.
import { Writable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchWriter } from '../../adapters/cli/batch-writer.ts';
import { countLetters, lettersText } from '../../adapters/cli/desk.ts';
import { coderOf, ENCODINGS } from '../../adapters/cli/encoding.ts';
import { escapeBytes, escapeForTerminal, escapeJson, escapeText } from '../../adapters/cli/escape.ts';
import { type CsvRow, csvRows } from '../../adapters/cli/import/csv-rows.ts';
import { linesOf, type TextLine } from '../../adapters/cli/import/lines.ts';
import { Output } from '../../adapters/cli/output.ts';
import { splitWords } from '../../adapters/cli/split-words.ts';
import { editDistance, suggestionFor } from '../../adapters/cli/suggest.ts';

const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/u;
const HOSTILE = [
  '\u001b[2J',
  '\u009b31m',
  '\u0007',
  '\u202e',
  '\u2066',
  '\u200b',
  '\u2028',
  '\u{e0041}',
  '\u007f',
  '\ufeff',
];

/** Bytes of all kinds: text, text with something hostile in it, and no text at all. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => new TextEncoder().encode(text)),
  fc
    .array(fc.constantFrom(...HOSTILE, 'a', '\\', '\n', '\t', '"', ','), { maxLength: 12 })
    .map((parts) => Buffer.from(parts.join(''))),
  fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value))),
  fc
    .constantFrom('{"$base64":"AA=="}', '{"$utf8":"x"}', '{"$base64":"?"}', ' 1', '1.0', '{"a":1,"a":2}')
    .map((text) => Buffer.from(text)),
);
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

async function* chunked(whole: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
}

describe('what is shown', () => {
  it('has nothing in it that a terminal would obey or hide', () => {
    fc.assert(
      fc.property(bytes, (given) => {
        expect(escapeBytes(given)).not.toMatch(HIDDEN);
        for (const encoding of ENCODINGS) {
          expect(coderOf(encoding).show(given)).not.toMatch(HIDDEN);
          expect(escapeJson(JSON.stringify(coderOf(encoding).toJson(given)))).not.toMatch(HIDDEN);
        }
      }),
    );
    for (const hostile of HOSTILE) expect(escapeText(hostile)).not.toMatch(HIDDEN);
  });

  it('is different for different bytes', () => {
    fc.assert(fc.property(bytes, bytes, (a, b) => same(a, b) || escapeBytes(a) !== escapeBytes(b)));
    expect(escapeBytes(Buffer.from('a\\x00'))).not.toBe(escapeBytes(Buffer.from('a\0')));
  });

  it('shows bytes that are no UTF-8 as bytes, and the text around them as text', () => {
    expect(escapeBytes(Uint8Array.of(0xc3, 0xa9, 0xff, 0x41, 0xed, 0xa0, 0x80, 0xf0, 0x9f))).toBe(
      'é\\xffA\\xed\\xa0\\x80\\xf0\\x9f',
    );
  });

  it('lets colours of ours through the last barrier, and no other sequence', () => {
    expect(escapeForTerminal('\u001b[31mred\u001b[39m\tx\n')).toBe('\u001b[31mred\u001b[39m\tx\n');
    expect(escapeForTerminal('\u001b[2J\u001b]0;x\u0007')).toBe('\\x1b[2J\\x1b]0;x\\x07');
  });
});

describe('an encoding', () => {
  it.each(ENCODINGS)('%s gives every byte back, by way of NDJSON and of CSV fields', (encoding) => {
    const coder = coderOf(encoding);
    fc.assert(
      fc.property(bytes, (given) => {
        const json: unknown = JSON.parse(escapeJson(JSON.stringify(coder.toJson(given))));
        expect(same(coder.fromJson(json), given)).toBe(true);
        const field = coder.write(given);
        if (field !== undefined) expect(same(coder.read(field), given)).toBe(true);
        else expect(encoding).toBe('utf8');
      }),
    );
  });

  it.each([
    ['hex', 'abc'],
    ['hex', 'zz'],
    ['base64', 'a'],
    ['base64', 'YQ'],
    ['json', 'Ada'],
    ['utf8', '\ud800'],
  ] as const)('%s refuses %j', (encoding, text) => {
    expect(() => coderOf(encoding).read(text)).toThrow();
  });
});

describe('CSV', () => {
  const rowsOf = async (text: Uint8Array | string, size = 3): Promise<CsvRow[]> => {
    const rows: CsvRow[] = [];
    for await (const row of csvRows(chunked(Buffer.from(text), size), ',', 1000)) rows.push(row);
    return rows;
  };

  it('is read as it was written, wherever the chunks end', async () => {
    const field = fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', 'é', '😀'), maxLength: 8 });
    const row = fc.array(field, { minLength: 2, maxLength: 4 });
    const end = fc.constantFrom('\n', '\r\n');
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 5 }),
        end,
        fc.integer({ min: 1, max: 9 }),
        async (rows, lineEnd, size) => {
          const quote = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
          const text = rows.map((fields) => fields.map(quote).join(',') + lineEnd).join('');
          expect((await rowsOf(text, size)).map(({ fields }) => fields)).toEqual(rows);
        },
      ),
    );
  });

  it('takes a byte order mark away, passes over empty lines, and needs no last line end', async () => {
    for (const text of ['\ufeffa,b\n\n""\n1,2', '\ufeffa,b\r\n\r\n""\r\n1,2']) {
      expect((await rowsOf(text)).map(({ fields }) => fields)).toEqual([['a', 'b'], [''], ['1', '2']]);
    }
  });

  it.each(['a"b', '"a"b', '"a', 'a\rb', `a${'b'.repeat(1000)}`])('refuses %j, and says in which line', async (text) => {
    await expect(rowsOf(`x\n${text}`)).rejects.toThrow(/^line 2:/);
  });

  it('refuses what is not UTF-8', async () => {
    await expect(rowsOf(Uint8Array.of(0x61, 0xff))).rejects.toThrow('UTF-8');
  });
});

describe('lines', () => {
  const all = async (text: string, size: number, bytesMax = 100): Promise<TextLine[]> => {
    const lines: TextLine[] = [];
    for await (const line of linesOf(chunked(Buffer.from(text), size), bytesMax)) lines.push(line);
    return lines;
  };

  it('are the same wherever the chunks end', async () => {
    for (let size = 1; size <= 12; size += 1) {
      expect(await all('one\r\n\nthr€e\nlast', size)).toEqual([
        { number: 1, text: 'one' },
        { number: 2, text: '' },
        { number: 3, text: 'thr€e' },
        { number: 4, text: 'last' },
      ]);
    }
  });

  it('are bounded: one without an end is refused when it is too long, not when it is over', async () => {
    let given = 0;
    const endless = (async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        given += 1;
        yield await Promise.resolve(new Uint8Array(10).fill(97));
      }
    })();
    await expect(linesOf(endless, 100).next()).rejects.toThrow('longer than 100 bytes');
    expect(given).toBe(11);
  });
});

describe('suggestions and words', () => {
  it('find the name that was meant, and none where nothing is near', () => {
    expect(editDistance('scan', 'sacn')).toBe(1);
    expect(suggestionFor('sacn', ['set', 'scan', 'stats'])).toBe(' Did you mean scan?');
    expect(suggestionFor('exp', ['import', 'export'])).toBe(' Did you mean export?');
    expect(suggestionFor('frobnicate', ['set', 'scan'])).toBe('');
  });

  it('split a line as a shell does', () => {
    expect(splitWords(`set 'a b' "c \\"d\\"" e\\ f ''`)).toEqual(['set', 'a b', 'c "d"', 'e f', '']);
    expect(() => splitWords(`get 'a`)).toThrow('no end');
  });
});

/** A store whose writes end when the test says so. */
class HeldStore {
  readonly sizes: number[] = [];
  readonly #waiting: { readonly succeed: () => void; readonly fail: (error: Error) => void }[] = [];

  readonly write = (lines: readonly unknown[]): Promise<unknown> => {
    this.sizes.push(lines.length);
    return new Promise((resolve, reject) => this.#waiting.push({ succeed: () => resolve(undefined), fail: reject }));
  };

  get underWay(): number {
    return this.#waiting.length;
  }

  settle(error?: Error): void {
    const write = this.#waiting.shift();
    if (error === undefined) write?.succeed();
    else write?.fail(error);
  }
}

describe('many writes', () => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const feed = async (writer: BatchWriter, count: number, value = ''): Promise<void> => {
    for (let index = 0; index < count; index += 1) await writer.add({ type: 'set', key: String(index), value });
    await writer.finish();
  };

  it('are under way four batches at a time, and no more is taken from the source', async () => {
    const store = new HeldStore();
    const done = feed(new BatchWriter(store), 10_500);
    for (let settled = 0; settled < 11; settled += 1) {
      await turn();
      expect(store.underWay).toBe(Math.min(4, 11 - settled));
      store.settle();
    }
    await done;
    expect(store.sizes).toEqual([...Array.from({ length: 10 }, () => 1000), 500]);
  });

  it('are cut by bytes, too', async () => {
    const store = new HeldStore();
    void feed(new BatchWriter(store), 8, 'x'.repeat(600_000));
    await turn();
    expect(store.sizes).toEqual([2, 2, 2, 2]);
  });

  it('end with the first failure', async () => {
    const store = new HeldStore();
    const done = feed(new BatchWriter(store), 100_000);
    const outcome = expect(done).rejects.toThrow('the disk is full');
    await turn();
    store.settle(new Error('the disk is full'));
    await outcome;
    expect(store.sizes).toHaveLength(4);
  });
});

describe('output', () => {
  it('waits for a slow reader, with one chunk held', async () => {
    let take = (): void => undefined;
    let taken = 0;
    const stream = new Writable({
      decodeStrings: false,
      write: (chunk: string, _encoding, done) => {
        taken += chunk.length;
        take = () => done();
      },
    });
    const out = new Output(stream);
    let wait: Promise<void> | undefined;
    let lines = 0;
    while (wait === undefined) {
      wait = out.line('x'.repeat(99));
      lines += 1;
    }
    expect(lines).toBe(Math.ceil((64 * 1024) / 100));
    let isOver = false;
    void wait.then(() => (isOver = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect({ isOver, taken }).toEqual({ isOver: false, taken: lines * 100 });
    take();
    await wait;
  });
});

describe('dead letters, counted before a question', () => {
  it('are read page by page, and no more of them than the question tells', async () => {
    for (const [letters, text] of [
      [0, '0 dead letters'],
      [1, '1 dead letter'],
      [1000, '1,000 dead letters'],
      [1001, 'more than 1,000 dead letters'],
      [1_000_000, 'more than 1,000 dead letters'],
    ] as const) {
      let read = 0;
      let isClosed = false;
      async function* pages(): AsyncGenerator<readonly never[]> {
        try {
          while (read < letters) {
            const size = Math.min(256, letters - read);
            read += size;
            yield await Promise.resolve(Array.from<never>({ length: size }));
          }
        } finally {
          isClosed = true;
        }
      }
      const consumer = { deadLetters: () => ({ pages }) };
      const counted = await countLetters(consumer, new AbortController().signal);
      expect(lettersText(counted)).toBe(text);
      expect(read).toBeLessThanOrEqual(Math.min(letters, 1024));
      expect(isClosed).toBe(true);
    }
  });
});
