// What bad input gets: each line answers for one way in which callers, disks or other programs may be wrong.
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import {
  type ClosedError,
  ComparatorMismatchError,
  CorruptionError,
  EngineError,
  type EngineEvent,
  InvalidArgumentError,
  IoError,
  KeyTooLargeError,
  LockedError,
  MemoryFileSystem,
  NoSpaceError,
  NotADatabaseError,
  open,
  openInMemory,
  OutOfRangeError,
  type OpenOptions,
  type Store,
  ValueTooLargeError,
  type WriteOperation,
} from '../../src/index.ts';
import { Fault } from '../../src/storage/file-system/memory-faults.ts';
import { parseFileName } from '../../src/storage/file-names.ts';
import { encodeVersionEdit } from '../../src/storage/manifest/version-edit.ts';
import { RecordWriter } from '../../src/storage/wal/record-writer.ts';
import { contentOf } from '../support/crash-workload.ts';
import { randomOf } from '../support/runs.ts';
import { textOf } from '../support/sorted-model.ts';

const DIRECTORY = '/db';
const text = (bytes: Uint8Array | undefined): string | undefined => (bytes === undefined ? undefined : textOf(bytes));

/** What the promise rejects with; the test fails if it does not. */
async function failureOf(work: PromiseLike<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it should have failed');
}

const opened = (fileSystem: MemoryFileSystem, options: OpenOptions = {}): Promise<Store> =>
  open(DIRECTORY, { memtableBytesMax: 64 * 1024, ...options, fileSystem }).then((store) => store);

/** Every file and its bytes. */
const filesOf = (fileSystem: MemoryFileSystem): [string, string][] =>
  fileSystem.paths().map((path) => [path, textOf(fileSystem.readFileNow(path))]);

const namesOf = (fileSystem: MemoryFileSystem, kind: string): string[] =>
  fileSystem.paths().filter((path) => parseFileName(path.slice(DIRECTORY.length + 1))?.kind === kind);

/** A closed database: three keys in a table. */
async function closedDatabase(): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem();
  const store = await opened(fileSystem);
  await store.write([
    { type: 'set', key: 'a', value: '1' },
    { type: 'set', key: 'b', value: '2' },
  ]);
  await store.flush();
  await store.set('c', '3');
  await store.close();
  return fileSystem;
}

/** A database whose process was killed: writes in the log, each synced. */
async function killedDatabase(count: number, durability: 'synced' | 'buffered' = 'synced'): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem();
  const store = await opened(fileSystem, { syncIntervalMs: 60_000 });
  for (let index = 0; index < count; index += 1) await store.set(`k${index}`, 'v'.repeat(30), { durability });
  const image = fileSystem.crashImage('all', () => 0);
  await store.close();
  return image;
}

describe('a key', () => {
  it('may be empty, as in LevelDB, and so may a value', async () => {
    const store = await openInMemory();
    await store.set('', '');
    await store.flush();
    expect(text(await store.get(''))).toBe('');
    expect(await store.has('')).toBe(true);
    expect(await contentOf(store)).toEqual([['', '']]);
    await store.delete(new Uint8Array(0));
    expect(await store.has('')).toBe(false);
    await store.close();
  });

  it('of 64 KiB is taken, of one byte more refused at the call, also as UTF-8', async () => {
    const store = await openInMemory();
    const longest = 'k'.repeat(65_536);
    await store.set(longest, 'v');
    expect(text(await store.get(longest))).toBe('v');
    for (const key of [`${longest}k`, new Uint8Array(65_537), 'ä'.repeat(32_769)]) {
      expect(() => store.set(key, 'v')).toThrow(KeyTooLargeError);
      expect(() =>
        store.write([
          { type: 'set', key: 'a', value: '1' },
          { type: 'set', key, value: '' },
        ]),
      ).toThrow(KeyTooLargeError);
      expect(await store.get(key)).toBeUndefined(); // real LevelDB may have written one
    }
    expect(await store.has('a')).toBe(false);
    const error = (() => {
      try {
        return store.set(new Uint8Array(65_537), '');
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toMatchObject({ code: 'KEY_TOO_LARGE', bytes: 65_537, bytesMax: 65_536 });
    await store.close();
  });

  it('of 16 MiB can be deleted and checked, of one byte more not', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open('/db', { fileSystem, memtableBytesMax: 1024 * 1024 });
    const longest = new Uint8Array(16 * 1024 * 1024).fill(7);
    const longer = new Uint8Array(longest.length + 1);
    for (const type of ['delete', 'check'] as const) {
      const line = (key: Uint8Array): WriteOperation =>
        type === 'delete' ? { type, key } : { type, key, sequence: 'absent' };
      expect(() => store.write([line(longer)])).toThrow(KeyTooLargeError);
      expect(() => store.write([line(longest)])).not.toThrow();
    }
    expect(() => store.delete(longer)).toThrow(expect.objectContaining({ bytesMax: longest.length }));
    await store.set('a', '1');
    await store.delete(longest);
    await store.close();
    const again = await open('/db', { fileSystem });
    expect(await contentOf(again)).toEqual([['a', '1']]);
    const lengths: number[] = [];
    for await (const { key } of again.changes({ from: 'start', until: 'now' })) lengths.push(key.length);
    expect(lengths).toEqual([1, longest.length]);
    await again.close();
  });

  it.each([undefined, null, 7, {}, [], Symbol('key'), true, new ArrayBuffer(3), [1, 2]])(
    'that is %s is a TypeError at the call, everywhere',
    async (wrong) => {
      const store = await openInMemory();
      const key = wrong as string;
      const snapshot = store.snapshot();
      const calls: (() => unknown)[] = [
        () => store.get(key),
        () => store.has(key),
        () => store.set(key, 'v'),
        () => store.set('k', key),
        () => store.delete(key),
        () => store.getMany([key]),
        () => store.write([{ type: 'set', key, value: 'v' }]),
        () => store.write([{ type: 'set', key: 'k', value: key }]),
        () => store.write([{ type: 'delete', key }]),
        () => store.approximateSize(key, 'b'),
        () => store.approximateSize('a', key),
        () => snapshot.get(key),
        () => snapshot.has(key),
        () => snapshot.getMany([key]),
      ];
      if (wrong !== undefined) {
        calls.push(
          () => store.scan({ gt: key }),
          () => store.scan({ gte: key }),
          () => store.scan({ lt: key }),
          () => store.scan({ lte: key }),
          () => store.scan('a', key),
          () => store.compact({ start: key }),
          () => store.compact({ end: key }),
        );
      }
      for (const call of calls) {
        expect(call).toThrow(TypeError);
        expect(call).toThrow(InvalidArgumentError);
      }
      expect(store.stats().sequence).toBe(0);
      await store.close();
    },
  );
});

describe('a value', () => {
  it('over 1 GiB is refused at the call, and not read', async () => {
    class Huge extends Uint8Array {
      override get length(): number {
        return 2 ** 30 + 1;
      }
      override get byteLength(): number {
        return 2 ** 30 + 1;
      }
    }
    const store = await openInMemory();
    expect(() => store.set('k', new Huge(0))).toThrow(ValueTooLargeError);
    expect(() => store.write([{ type: 'set', key: 'k', value: new Huge(0) }])).toThrow(ValueTooLargeError);
    await store.close();
  });

  it('may not make a batch of over 1 GiB together with others', async () => {
    class Large extends Uint8Array {
      override get length(): number {
        return 2 ** 29;
      }
    }
    const store = await openInMemory();
    const line = { type: 'set', key: 'k', value: new Large(0) } as const;
    expect(() => store.write([line, line, line])).toThrow(ValueTooLargeError);
    await store.close();
  });
});

describe('a batch', () => {
  it('is refused whole for one wrong line', async () => {
    const store = await openInMemory();
    const good: WriteOperation = { type: 'set', key: 'good', value: '1' };
    const wrong: unknown[] = [
      { type: 'put', key: 'a', value: 'b' },
      { type: 'del', key: 'a' },
      { key: 'a', value: 'b' },
      { type: 'set', key: 'a' },
      { type: 'set', value: 'b' },
      { type: 'delete' },
      null,
      undefined,
      'set',
      7,
    ];
    for (const line of wrong) {
      expect(() => store.write([good, line as WriteOperation, good])).toThrow(InvalidArgumentError);
    }
    expect(() => store.write('set' as unknown as WriteOperation[])).toThrow(InvalidArgumentError);
    expect(() => store.write(undefined as unknown as WriteOperation[])).toThrow(InvalidArgumentError);
    expect(await store.has('good')).toBe(false);
    await store.close();
  });

  it('with holes is refused whole', async () => {
    const store = await openInMemory();
    const holes = [{ type: 'set', key: 'a', value: '1' }] as WriteOperation[];
    holes.length = 3;
    expect(() => store.write(holes)).toThrow(InvalidArgumentError);
    expect(() => store.getMany(new Array<string>(2))).toThrow(InvalidArgumentError);
    expect(await store.has('a')).toBe(false);
    await store.close();
  });

  it('is copied: what happens to the list afterwards changes nothing', async () => {
    const store = await openInMemory();
    const list: WriteOperation[] = [{ type: 'set', key: 'a', value: '1' }];
    const writing = store.write(list);
    list.push({ type: 'set', key: 'b', value: '2' });
    await writing;
    expect(await contentOf(store)).toEqual([['a', '1']]);
    await store.close();
  });
});

describe('options', () => {
  it('of the wrong type or out of range throw at the call, and name themselves', () => {
    const wrong: Record<string, unknown> = {
      memtableBytesMax: 10,
      waitingMemtablesMax: 0,
      blockBytesMax: 0,
      blockCacheBytesMax: -1,
      openTablesMax: 1,
      level0StopTrigger: 1,
      syncIntervalMs: 0.5,
      groupBytesMax: Number.NaN,
      durability: 'sometimes',
      compression: 'zip',
      onOverflow: 'explode',
      readOnly: 'yes',
      worker: true,
      filterBitsPerKey: '10',
    };
    for (const [name, value] of Object.entries(wrong)) {
      expect(() => open(DIRECTORY, { [name]: value })).toThrow(name);
    }
    expect(() => open('')).toThrow(InvalidArgumentError);
    expect(() => open(undefined as unknown as string)).toThrow(InvalidArgumentError);
  });

  it('that would stop writes before a compaction can begin are refused, and not by default', async () => {
    const options = { level0CompactionTrigger: 30, level0SlowdownTrigger: 30 };
    expect(() => openInMemory({ ...options, level0StopTrigger: 29 })).toThrow(RangeError);
    const store = await openInMemory(options);
    for (let count = 0; count < 35; count += 1) {
      await store.set(`k${count}`, 'v');
      await store.flush();
    }
    await store.close();
  });
});

describe('a directory', () => {
  it('that is a file, or below one, is not a database', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.writeFileNow('/file', new Uint8Array(3));
    for (const path of ['/file', '/file/below']) {
      const error = await failureOf(open(path, { fileSystem }));
      expect(error, path).toBeInstanceOf(NotADatabaseError);
      expect(error).toMatchObject({ code: 'NOT_A_DATABASE', directory: path });
    }
  });

  it('that is not there is made, but not with createIfMissing: false, nor with readOnly', async () => {
    const fileSystem = new MemoryFileSystem();
    for (const options of [{ createIfMissing: false }, { readOnly: true }]) {
      expect(await failureOf(opened(fileSystem, options))).toBeInstanceOf(NotADatabaseError);
      expect(fileSystem.paths()).toEqual([]);
    }
  });

  it('that may not be read is unavailable, not corrupt and not empty', async () => {
    for (const name of ['stat', 'list', 'open', 'read'] as const) {
      const whole = await closedDatabase();
      const onOperation = (operation: { name: string }): Error | undefined =>
        operation.name === name ? new Fault('EACCES') : undefined;
      const fileSystem = whole.crashImage('all', () => 0, { onOperation });
      const before = filesOf(fileSystem);
      const error = await failureOf(opened(fileSystem));
      expect(error, name).toBeInstanceOf(IoError);
      expect(error).toMatchObject({ systemCode: 'EACCES', operation: name });
      expect(filesOf(fileSystem)).toEqual(before);
      expect(await contentOf(await opened(whole))).toEqual([['a', '1'], ['b', '2'], ['c', '3']]); // prettier-ignore
    }
  });

  it('of another comparator is refused by name, and left as it is', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(DIRECTORY);
    const edit = { comparator: 'idb_cmp1', logNumber: 3, nextFileNumber: 4, lastSequence: 0 };
    const bytes = encodeVersionEdit(edit);
    const records = new RecordWriter();
    records.add(bytes, 0, bytes.length);
    fileSystem.writeFileNow(`${DIRECTORY}/MANIFEST-000002`, records.staged().slice());
    fileSystem.writeFileNow(`${DIRECTORY}/CURRENT`, Buffer.from('MANIFEST-000002\n'));
    fileSystem.writeFileNow(`${DIRECTORY}/000003.log`, new Uint8Array(0));
    const before = filesOf(fileSystem);
    const error = await failureOf(opened(fileSystem));
    expect(error).toBeInstanceOf(ComparatorMismatchError);
    expect(error).toMatchObject({ actual: 'idb_cmp1', expected: 'leveldb.BytewiseComparator', directory: DIRECTORY });
    expect(filesOf(fileSystem)).toEqual(before);
  });

  it('with a missing table is corrupt, names the table, and is left as it is', async () => {
    const fileSystem = await closedDatabase();
    const [table = ''] = namesOf(fileSystem, 'table');
    const whole = fileSystem.readFileNow(table);
    await fileSystem.remove(table);
    const before = filesOf(fileSystem);
    const error = await failureOf(opened(fileSystem));
    expect(error).toBeInstanceOf(CorruptionError);
    expect(error).toMatchObject({ file: table.slice(DIRECTORY.length + 1) });
    expect(filesOf(fileSystem)).toEqual(before);
    fileSystem.writeFileNow(table, whole);
    expect(await contentOf(await opened(fileSystem))).toHaveLength(3);
  });

  it('without its MANIFEST or CURRENT is corrupt, and left as it is', async () => {
    for (const kind of ['MANIFEST', 'CURRENT']) {
      const fileSystem = await closedDatabase();
      const path = fileSystem.paths().find((one) => one.includes(kind)) ?? '';
      await fileSystem.remove(path);
      const before = filesOf(fileSystem);
      const error = await failureOf(opened(fileSystem));
      expect(error).toMatchObject({ code: 'CORRUPTION', file: 'CURRENT' });
      expect(filesOf(fileSystem)).toEqual(before);
    }
  });

  it('whose CURRENT says anything else than a MANIFEST of this directory is corrupt', async () => {
    const wrong = [
      '',
      '\n',
      'MANIFEST-000002',
      '../MANIFEST-000002\n',
      'MANIFEST-2x\n',
      '/etc/passwd\n',
      'x'.repeat(500),
    ];
    for (const content of wrong) {
      const fileSystem = await closedDatabase();
      fileSystem.writeFileNow(`${DIRECTORY}/CURRENT`, Buffer.from(content));
      const error = await failureOf(opened(fileSystem));
      expect(error, content).toMatchObject({ code: 'CORRUPTION', file: 'CURRENT' });
    }
  });

  it('with a MANIFEST cut short anywhere gives all it held, or an error', async () => {
    const source = await closedDatabase();
    const [manifest = ''] = namesOf(source, 'manifest');
    const whole = source.readFileNow(manifest);
    let errors = 0;
    for (let length = 0; length < whole.length; length += 1) {
      const fileSystem = source.crashImage('all', () => 0);
      fileSystem.writeFileNow(manifest, whole.subarray(0, length));
      const before = filesOf(fileSystem);
      try {
        const store = await opened(fileSystem);
        expect(await contentOf(store), `cut at ${length}`).toEqual([['a', '1'], ['b', '2'], ['c', '3']]); // prettier-ignore
        await store.close();
      } catch (error) {
        expect(error, `cut at ${length}`).toBeInstanceOf(EngineError);
        expect(error, `cut at ${length}`).toMatchObject({ code: 'CORRUPTION' });
        expect(filesOf(fileSystem)).toEqual(before);
        errors += 1;
      }
    }
    expect(errors).toBeGreaterThan(whole.length / 2);
  });

  it('with any bit of its MANIFEST flipped gives all it held, or an error', async () => {
    const source = await closedDatabase();
    const [manifest = ''] = namesOf(source, 'manifest');
    const whole = source.readFileNow(manifest);
    for (let bit = 0; bit < 8 * whole.length; bit += 1) {
      const fileSystem = source.crashImage('all', () => 0);
      const damaged = whole.slice();
      damaged[bit >>> 3] = (damaged[bit >>> 3] as number) ^ (1 << (bit & 7));
      fileSystem.writeFileNow(manifest, damaged);
      try {
        const store = await opened(fileSystem);
        expect(await contentOf(store), `bit ${bit}`).toEqual([['a', '1'], ['b', '2'], ['c', '3']]); // prettier-ignore
        await store.close();
      } catch (error) {
        expect(error, `bit ${bit}`).toBeInstanceOf(CorruptionError);
      }
    }
  });
});

describe('a log', () => {
  it('cut short anywhere gives back a prefix: of unsynced writes, or of all but the last', async () => {
    const source = await killedDatabase(5, 'buffered');
    const log = namesOf(source, 'log').find((path) => source.readFileNow(path).length > 100) ?? '';
    const whole = source.readFileNow(log);
    const lengths = new Set<number>();
    for (let length = 12 + 7; length <= whole.length; length += 1) {
      const fileSystem = source.crashImage('all', () => 0);
      fileSystem.writeFileNow(log, whole.subarray(0, length));
      const store = await opened(fileSystem);
      const entries = await contentOf(store);
      expect(entries.map(([key]) => key)).toEqual(['k0', 'k1', 'k2', 'k3', 'k4'].slice(0, entries.length));
      lengths.add(entries.length);
      await store.close();
    }
    expect([...lengths].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('damaged in the middle is refused with file and offset, nothing is touched, and salvage keeps what it drops', async () => {
    const source = await killedDatabase(6);
    const log = namesOf(source, 'log').find((path) => source.readFileNow(path).length > 100) ?? '';
    const name = log.slice(DIRECTORY.length + 1);
    const damaged = source.readFileNow(log);
    const at = Buffer.from(damaged).indexOf('k2');
    damaged[at] = 0xff;
    source.writeFileNow(log, damaged);
    const before = filesOf(source);

    const error = await failureOf(opened(source));
    expect(error).toBeInstanceOf(CorruptionError);
    expect(error).toMatchObject({ file: name });
    const { offset, message } = error as CorruptionError;
    expect(offset).toBeGreaterThan(0);
    expect(offset).toBeLessThanOrEqual(at);
    expect(message).toContain(name);
    expect(message).toContain('Nothing was deleted');
    expect(filesOf(source)).toEqual(before);
    expect(await failureOf(opened(source, { readOnly: true }))).toBeInstanceOf(CorruptionError);
    expect(filesOf(source)).toEqual(before);

    const events: EngineEvent[] = [];
    const store = await opened(source, { salvage: true, onEvent: (event) => events.push(event) });
    expect((await contentOf(store)).map(([key]) => key)).toEqual(['k0', 'k1']);
    expect(events).toContainEqual(expect.objectContaining({ type: 'logTailDropped', file: name, offset }));
    expect(Buffer.compare(source.readFileNow(`${DIRECTORY}/lost/${name}`), damaged)).toBe(0);
    await store.set('k9', 'new');
    await store.close();
    const again = await opened(source);
    expect((await contentOf(again)).map(([key]) => key)).toEqual(['k0', 'k1', 'k9']);
    await again.close();
  });
});

describe('a store', () => {
  it('is open once: the second opener learns who has it', async () => {
    const fileSystem = new MemoryFileSystem();
    const first = await opened(fileSystem);
    const error = await failureOf(opened(fileSystem));
    expect(error).toBeInstanceOf(LockedError);
    expect(error).toMatchObject({ code: 'LOCKED', directory: DIRECTORY, holder: { pid: process.pid } });
    expect((error as LockedError).holder.since).toBeInstanceOf(Date);
    await first.set('k', 'v'); // and the first is none the worse for it
    await first.close();
    const second = await opened(fileSystem);
    expect(text(await second.get('k'))).toBe('v');
    await second.close();
  });

  it('that is open for reading only tells figures of what is there, and of no log', async () => {
    const fileSystem = await closedDatabase();
    const store = await opened(fileSystem, { readOnly: true });
    expect(store.stats()).toMatchObject({
      sequence: 3,
      durableSequence: 3,
      syncs: 0,
      logBytesWritten: 0,
      writeAmplification: 0,
      waitingWrites: 0,
    });
    await store.close();
  });

  it('refuses options of a scan that are none, at the call', async () => {
    const store = await openInMemory();
    expect(() => store.scan({ reverse: 1 as never })).toThrow(InvalidArgumentError);
    expect(() => store.scan({ limit: '1' as never })).toThrow(InvalidArgumentError);
    for (const limit of [-1, 0.5, NaN, 2 ** 53]) expect(() => store.scan({ limit })).toThrow(OutOfRangeError);
    await store.close();
  });

  it('takes at most 2^24 lines in a batch, and reads no further', async () => {
    const store = await openInMemory();
    const lines = new Array<WriteOperation>(2 ** 24 + 1); // all of them holes
    expect(() => store.write(lines)).toThrow(OutOfRangeError);
    lines.length -= 1;
    expect(() => store.write(lines)).toThrow(InvalidArgumentError);
    await store.close();
  });

  it('refuses everything after its close, with ClosedError', async () => {
    const store = await openInMemory();
    await store.set('k', 'v');
    const snapshot = store.snapshot();
    await store.close();
    const closed = { code: 'CLOSED' } satisfies Partial<ClosedError>;
    const works: (() => PromiseLike<unknown>)[] = [
      () => store.get('k'),
      () => store.has('k'),
      () => store.getMany(['k']),
      () => store.set('k', 'v'),
      () => store.delete('k'),
      () => store.write([{ type: 'delete', key: 'k' }]),
      () => store.write([]),
      () => store.flush(),
      () => store.compact(),
      () => store.approximateSize('a', 'z'),
      () => lastValueFrom(store.scan().pipe(toArray())),
      () => lastValueFrom(store.changes().pipe(toArray())),
      () => snapshot.get('k'),
      () => snapshot.has('k'),
      () => snapshot.getMany(['k']),
      () => lastValueFrom(snapshot.scan().pipe(toArray())),
      async () => store.scan()[Symbol.asyncIterator]().next(),
      async () => store.changes()[Symbol.asyncIterator]().next(),
      async () => store.scan().pages()[Symbol.asyncIterator]().next(),
    ];
    for (const work of works) {
      const error = await failureOf(work());
      expect(error, String(work)).toMatchObject(closed);
    }
    expect(() => store.snapshot()).toThrow(expect.objectContaining(closed));
    snapshot.close();
    await store.close(); // again: nothing
    await store[Symbol.asyncDispose]();
  });

  it('ends an iterator that was left open with ClosedError, and lets it be closed', async () => {
    const store = await openInMemory({ blockBytesMax: 1, blockCacheBytesMax: 0, memtableBytesMax: 2048 });
    for (let count = 0; count < 600; count += 1)
      await store.set(`k${1000 + count}`, 'v'.repeat(20), { durability: 'buffered' });
    await store.flush();
    const left = store.scan()[Symbol.asyncIterator]();
    const unused = store.scan()[Symbol.asyncIterator]();
    const returned = store.scan()[Symbol.asyncIterator]();
    await left.next();
    await returned.next();
    const waiting = store
      .scan({ gte: 'k1500' })
      [Symbol.asyncIterator]()
      .next()
      .catch((error: unknown) => error);
    await store.close();
    await returned.return?.();
    const read = async (): Promise<void> => {
      for (let step = await left.next(); step.done !== true; step = await left.next());
    };
    expect(await failureOf(read())).toMatchObject({ code: 'CLOSED' });
    expect(await failureOf(unused.next())).toMatchObject({ code: 'CLOSED' });
    const outcome = await waiting;
    if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'CLOSED' });
    else expect(outcome).toMatchObject({ done: false });
    expect(await left.next()).toEqual({ done: true, value: undefined });
  });

  it('ends an iterator for good with its first error, and with its return', async () => {
    const store = await openInMemory();
    for (let count = 0; count < 10; count += 1) await store.set(`k${count}`, 'v');
    const failed = store.scan({ signal: AbortSignal.abort() })[Symbol.asyncIterator]();
    expect(await failureOf(failed.next())).toMatchObject({ code: 'ABORTED' });
    expect(await failed.next()).toEqual({ done: true, value: undefined });
    expect(await failed.next()).toEqual({ done: true, value: undefined });

    const returned = store.scan()[Symbol.asyncIterator]();
    const first = returned.next();
    await returned.return?.();
    await first;
    expect(await returned.next()).toEqual({ done: true, value: undefined });
    await store.close();
  });

  it('serves a closed snapshot to nobody', async () => {
    const store = await openInMemory();
    await store.set('k', '1');
    const snapshot = store.snapshot();
    await store.set('k', '2');
    snapshot.close();
    await store.compact();
    expect(await failureOf(snapshot.get('k'))).toMatchObject({ code: 'CLOSED' });
    expect(await failureOf(snapshot.getMany(['k']))).toMatchObject({ code: 'CLOSED' });
    expect(await failureOf(lastValueFrom(snapshot.scan().pipe(toArray())))).toMatchObject({ code: 'CLOSED' });
    const scanned = (async () => lastValueFrom(store.scan({ snapshot }).pipe(toArray())))();
    expect(await failureOf(scanned)).toMatchObject({ code: 'CLOSED' });
    await store.close();
  });

  it('takes no snapshot of another store', async () => {
    const one = await openInMemory();
    const other = await openInMemory();
    await one.set('k', '1');
    await other.set('k', '2');
    await other.set('k', '3');
    const snapshot = other.snapshot();
    expect(() => one.scan({ snapshot })).toThrow(InvalidArgumentError);
    expect(() => one.scan({ snapshot: { sequence: 1 } as never })).toThrow(InvalidArgumentError);
    await one.close();
    await other.close();
  });
});

describe('a full disk', () => {
  it(
    'fails writes with NoSpaceError, serves reads, and is got over when there is room',
    { timeout: 30_000 },
    async () => {
      let isFull = false;
      const fileSystem: MemoryFileSystem = new MemoryFileSystem({
        onOperation: ({ name }) =>
          isFull && (name === 'append' || name === 'create') ? new Fault('ENOSPC', 10) : undefined,
      });
      const events: EngineEvent[] = [];
      const store = await opened(fileSystem, { memtableBytesMax: 2048, onEvent: (event) => events.push(event) });
      for (let count = 0; count < 30; count += 1) await store.set(`k${count}`, 'v'.repeat(50));
      isFull = true;
      const error = await failureOf(store.set('full', 'x'.repeat(100)));
      expect(error).toBeInstanceOf(NoSpaceError);
      expect(error).toMatchObject({ code: 'NO_SPACE', operation: 'append' });
      const next = await failureOf(store.set('full', 'again'));
      expect(next).toMatchObject({ code: 'READ_ONLY', cause: { code: 'NO_SPACE' } });
      expect(text(await store.get('k29'))).toBe('v'.repeat(50));
      expect(await contentOf(store)).toHaveLength(30);
      expect(events).toContainEqual(expect.objectContaining({ type: 'writesRefused' }));
      isFull = false;
      while (!events.some(({ type }) => type === 'writesResumed'))
        await new Promise((resolve) => setTimeout(resolve, 10));
      await store.set('room', 'y');
      await store.close();
      const again = await opened(fileSystem);
      expect(text(await again.get('room'))).toBe('y');
      expect((await contentOf(again)).filter(([key]) => key.startsWith('k'))).toHaveLength(30);
      await again.close();
    },
  );

  it('closes without a hang, and loses nothing that was acknowledged', async () => {
    const fileSystem = new MemoryFileSystem({ capacityBytes: 6000 });
    const store = await opened(fileSystem, { memtableBytesMax: 1024 });
    const taken: string[] = [];
    const random = randomOf(7);
    for (let count = 0; count < 100; count += 1) {
      const key = `k${count}`;
      const isTaken = await store
        .set(
          key,
          Uint8Array.from({ length: 60 }, () => 256 * random()),
        )
        .then(
          () => true,
          (error: unknown) => {
            expect(error).toBeInstanceOf(EngineError);
            return false;
          },
        );
      if (isTaken) taken.push(key);
    }
    expect(taken.length).toBeGreaterThan(5);
    expect(taken.length).toBeLessThan(100);
    await store.close().then(
      () => undefined,
      (error: unknown) => expect(error).toBeInstanceOf(EngineError),
    );
    const roomy = fileSystem.crashImage('synced', () => 0, { capacityBytes: 2 ** 30 });
    const again = await opened(roomy);
    const found = new Set((await contentOf(again)).map(([key]) => key));
    expect(taken.filter((key) => !found.has(key))).toEqual([]);
    await again.close();
  });
});
