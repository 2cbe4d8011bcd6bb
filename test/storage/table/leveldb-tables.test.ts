/** Tables that real LevelDB wrote, in a child process: its failures would abort this one. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { BlockCache } from '../../../src/storage/table/block-cache.ts';
import { Lookup } from '../../../src/storage/table/lookup.ts';
import { Table } from '../../../src/storage/table/table.ts';
import { decodeFooter, FOOTER_BYTES } from '../../../src/storage/table/table-format.ts';
import { MemoryReadableFile } from '../../support/memory-files.ts';
import {
  buildTable,
  compareEntries,
  readBackwards,
  readForwards,
  settled,
  type TableEntry,
} from '../../support/table-entries.ts';

const root = mkdtempSync(join(tmpdir(), 'alluvium-table-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

// Writes keys, overwrites and deletes some, and compacts, so that everything ends up in tables.
const program = `
const { ClassicLevel } = require('classic-level');
const [directory, compression] = process.argv.slice(1);
(async () => {
  const db = new ClassicLevel(directory, { compression: compression === 'snappy', writeBufferSize: 65536 });
  await db.open();
  for (let round = 0; round < 2; round += 1) {
    for (let from = 0; from < 4000; from += 100) {
      const batch = [];
      for (let index = from; index < from + 100; index += 1 + round) {
        batch.push({ type: 'put', key: 'key' + (index * 7919) % 4000, value: ('value ' + index + ' ').repeat(index % 20) });
      }
      await db.batch(batch);
    }
  }
  await db.del('key17');
  await db.compactRange('a', 'z');
  await db.close();
})();
`;

function expectedOf(): Map<string, string> {
  const expected = new Map<string, string>();
  for (let round = 0; round < 2; round += 1) {
    for (let index = 0; index < 4000; index += 1 + round) {
      expected.set(`key${(index * 7919) % 4000}`, `value ${index} `.repeat(index % 20));
    }
  }
  expected.delete('key17');
  return expected;
}

it.each(['none', 'snappy'] as const)(
  'reads the tables of LevelDB with compression %s, and writes the same',
  async (compression) => {
    const directory = join(root, compression);
    execFileSync(process.execPath, ['-e', program, directory, compression], { stdio: 'pipe' });
    const names = readdirSync(directory).filter((name) => name.endsWith('.ldb'));
    expect(names.length).toBeGreaterThan(0);
    const entries: TableEntry[] = [];
    for (const name of names) {
      const bytes = new Uint8Array(readFileSync(join(directory, name)));
      const table = await Table.open(new MemoryReadableFile(bytes), 5, name, bytes.length, new BlockCache(1_000_000));
      expect(table.properties).toBeUndefined();
      const own = await readForwards(table.iterator({ isCacheFilled: true, readAheadBytes: 20_000 }));
      expect(await readBackwards(table.iterator({ isCacheFilled: false, readAheadBytes: 0 }))).toEqual(own);
      await findAll(table, own);
      expectSameData(bytes, own, compression);
      entries.push(...own);
    }
    entries.sort(compareEntries);
    const decoder = new TextDecoder();
    const live = new Map<string, string>();
    for (const { key, kind, value } of entries.toReversed()) {
      if (kind === KIND_SET) live.set(decoder.decode(key), decoder.decode(value));
      else live.delete(decoder.decode(key));
    }
    expect(new Map([...live].toSorted())).toEqual(new Map([...expectedOf()].toSorted()));
  },
);

async function findAll(table: Table, entries: readonly TableEntry[]): Promise<void> {
  const lookup = new Lookup();
  for (const { key, sequence, kind, value } of entries) {
    lookup.reset(key, 0, key.length, sequence);
    await settled(table.find(lookup));
    const bytes = lookup.valueBytes.subarray(lookup.valueStart, lookup.valueEnd);
    const isRight = lookup.foundSequence === sequence && Buffer.compare(bytes, value) === 0;
    if (!isRight || lookup.state !== (kind === KIND_SET ? 'found' : 'deleted')) expect.unreachable('a wrong answer');
  }
}

/** Uncompressed, our data blocks and filter are LevelDB's to the byte; compressed, snappy may choose otherwise. */
function expectSameData(theirs: Uint8Array, entries: readonly TableEntry[], compression: 'none' | 'snappy'): void {
  if (compression === 'snappy') return;
  const ours = buildTable(entries, { blockBytesMax: 4096, restartInterval: 16, compression, filterBitsPerKey: 10 });
  // Behind data and filter, ours has properties, and therefore other handles.
  const end = decodeFooter(theirs.subarray(-FOOTER_BYTES), theirs.length).metaindex.offset;
  expect(end).toBeGreaterThan(theirs.length / 2);
  expect(Buffer.compare(ours.subarray(0, end), theirs.subarray(0, end))).toBe(0);
}
