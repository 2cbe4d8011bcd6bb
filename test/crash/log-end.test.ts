// Goal: what was synced is never lost in silence to the end of a log: wherever the log is cut, whatever byte of it is changed, and
// when it is gone, also while memtables wait for their flush. What may be lost, and is said to be so in
// `docs/guarantees.md` (5): what was never synced; and, where the power has taken the index's end, the last synced group.
// Method: killed stores in a memory file system, each damage alone. The keys say in which order they were written.
import { describe, expect, it } from 'vitest';
import { CorruptionError, type Cursor, type EngineEvent, MemoryFileSystem, open, verify } from '../../src/index.ts';
import { changesUpTo } from '../support/change-log.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';

const DIRECTORY = '/db';
const GROUPS = 6;
const never = (): number => 0;

interface Opened {
  readonly keys: readonly string[];
  readonly events: readonly EngineEvent['type'][];
}

/** @returns its keys, or the error that it was refused with */
async function openedOrRefused(fileSystem: MemoryFileSystem): Promise<Opened | CorruptionError> {
  const events: EngineEvent['type'][] = [];
  try {
    const store = await open(DIRECTORY, { fileSystem, onEvent: ({ type }) => void events.push(type) });
    const keys: string[] = [];
    for await (const { key } of store.scan()) keys.push(Buffer.from(key).toString());
    await store.close();
    return { keys, events };
  } catch (error) {
    if (error instanceof CorruptionError) return error;
    throw error;
  }
}

/** Six groups: the first so many synced, the others buffered. */
async function killed(synced: number, fileSystem = new MemoryFileSystem(), name = 'k'): Promise<MemoryFileSystem> {
  const store = await open(DIRECTORY, { fileSystem, syncIntervalMs: 60_000 });
  for (let index = 0; index < GROUPS; index += 1) {
    await store.set(`${name}${index}`, 'value', { durability: index < synced ? 'synced' : 'buffered' });
  }
  const image = fileSystem.crashImage('all', never);
  await store.close();
  return image;
}

const logOf = (image: MemoryFileSystem): string =>
  image.paths().find((path) => /^\/db\/\d+\.log$/.test(path) && image.readFileNow(path).length > 50) ?? '';

/** The index of that log. */
const indexOf = (image: MemoryFileSystem): string => {
  const name = logOf(image).slice(DIRECTORY.length, -'.log'.length);
  return image.paths().find((path) => path.endsWith(`${name}.index`)) ?? '';
};

const keysUpTo = (count: number, name = 'k'): string[] =>
  Array.from({ length: count }, (_, index) => `${name}${index}`);

/** Without the zeros behind it that are reserved for later. */
function contentOf(image: MemoryFileSystem, log: string): Uint8Array {
  const bytes = image.readFileNow(log);
  return bytes.subarray(0, bytes.findLastIndex((byte) => byte !== 0) + 1);
}

function* damagedLogs(image: MemoryFileSystem): Generator<readonly [what: string, damaged: MemoryFileSystem]> {
  const log = logOf(image);
  const bytes = contentOf(image, log);
  for (let length = 0; length < bytes.length; length += 1) {
    const copy = image.crashImage('all', never);
    copy.writeFileNow(log, bytes.subarray(0, length));
    yield [`cut to ${length}`, copy];
  }
  for (let offset = 0; offset < bytes.length; offset += 1) {
    const copy = image.crashImage('all', never);
    const damaged = bytes.slice();
    damaged[offset] = (damaged[offset] ?? 0) ^ 0x10;
    copy.writeFileNow(log, damaged);
    yield [`byte ${offset}`, copy];
  }
}

/** As if the power had taken the index's end: all of it that was not synced. */
function withoutIndexes(image: MemoryFileSystem): MemoryFileSystem {
  const copy = image.crashImage('all', never);
  for (const path of copy.paths()) if (path.endsWith('.index')) copy.writeFileNow(path, new Uint8Array(0));
  return copy;
}

describe('the end of a log', () => {
  it('is told: all that is synced is vouched for, also the last group', async () => {
    const image = await killed(GROUPS);
    expect(await openedOrRefused(image.crashImage('all', never))).toMatchObject({ keys: keysUpTo(GROUPS) });
    for (const [what, damaged] of damagedLogs(image)) {
      const answer = await openedOrRefused(damaged);
      expect(answer, what).toBeInstanceOf(CorruptionError);
      expect(answer, what).toMatchObject({ file: logOf(image).slice(DIRECTORY.length + 1) });
    }
  });

  it('loses nothing to what becomes of the zeros behind it', async () => {
    const image = await killed(GROUPS);
    const log = logOf(image);
    const bytes = image.readFileNow(log);
    const { length } = contentOf(image, log);
    expect(bytes.length).toBeGreaterThan(length + 500);
    for (let offset = length; offset < bytes.length; offset += 7) {
      const cut = image.crashImage('all', never);
      cut.writeFileNow(log, bytes.subarray(0, offset));
      expect(await openedOrRefused(cut), `cut to ${offset}`).toMatchObject({ keys: keysUpTo(GROUPS) });
      const changed = image.crashImage('all', never);
      const damaged = bytes.slice();
      damaged[offset] = 0x10;
      changed.writeFileNow(log, damaged);
      expect(await openedOrRefused(changed), `byte ${offset}`).toMatchObject({ keys: keysUpTo(GROUPS) });
    }
  });

  it('may lose what was never synced, and nothing else', async () => {
    const synced = 3;
    const lengths = new Set<number>();
    for (const [what, damaged] of damagedLogs(await killed(synced))) {
      const answer = await openedOrRefused(damaged);
      if (answer instanceof CorruptionError) continue;
      expect(answer.keys, what).toEqual(keysUpTo(answer.keys.length));
      expect(answer.keys.length, what).toBeGreaterThanOrEqual(synced);
      lengths.add(answer.keys.length);
    }
    expect([...lengths].sort()).toEqual([3, 4, 5]);
  });

  it('may lose the last synced group to a bad record, and says so, where the index has gone with the power', async () => {
    const image = withoutIndexes(await killed(GROUPS));
    const lengths = new Set<number>();
    for (const [what, damaged] of damagedLogs(image)) {
      const answer = await openedOrRefused(damaged);
      if (answer instanceof CorruptionError) continue;
      expect(answer.keys, what).toEqual(keysUpTo(answer.keys.length));
      if (what.startsWith('cut')) continue; // between two groups, both unknown to the index: nothing can tell
      expect(answer.keys.length, what).toBe(GROUPS - 1);
      expect(answer.events, what).toContain('logTailDropped');
      lengths.add(answer.keys.length);
    }
    expect([...lengths]).toEqual([GROUPS - 1]);
  });
});

// Found by T5 on ext4 with data=writeback: a file whose bytes the power had taken held those of one that was there before.
describe('blocks of an older file', () => {
  /** Of the places where one file ends and the other begins. */
  const STEP = 7;
  const before = [...keysUpTo(GROUPS), ...keysUpTo(GROUPS, 'l')];

  /** A store of as many synced and buffered groups again, in a log of the same layout; and the bytes of log and index before. */
  async function again(
    synced: number,
    syncedBefore = synced,
  ): Promise<{ image: MemoryFileSystem; log: string; index: string; older: Uint8Array; olderIndex: Uint8Array }> {
    const first = await killed(syncedBefore); // its log is shorter: nothing was durable before it
    const second = await killed(syncedBefore, first.crashImage('all', never), 'l');
    const older = second.readFileNow(logOf(second));
    const olderIndex = second.readFileNow(indexOf(second));
    const image = await killed(synced, second.crashImage('all', never), 'm');
    return { image, log: logOf(image), index: indexOf(image), older, olderIndex };
  }

  it.each([0, 2, GROUPS])('at the end of a log take what was never synced, and no more: %i synced', async (synced) => {
    const { image, log, older } = await again(synced);
    const newer = image.readFileNow(log);
    expect(newer).toHaveLength(older.length);
    const lengths = new Map<number, number>();
    for (let at = 0; at < newer.length; at += STEP) {
      const copy = image.crashImage('all', never);
      const mixed = Buffer.concat([newer.subarray(0, at), older.subarray(at)]);
      if (mixed.equals(newer)) continue; // the last values have the same end
      copy.writeFileNow(log, new Uint8Array(mixed));
      const answer = await openedOrRefused(copy);
      if (answer instanceof CorruptionError) {
        lengths.set(-1, at);
        continue;
      }
      const count = answer.keys.length - 2 * GROUPS;
      expect(answer.keys, `${at}`).toEqual([...before, ...keysUpTo(count, 'm')]);
      expect(count, `${at}`).toBeGreaterThanOrEqual(synced);
      expect(answer.events, `${at}`).toContain('logTailDropped');
      lengths.set(count, at);
    }
    const opened = Array.from({ length: GROUPS - synced }, (_, more) => synced + more);
    expect([...lengths.keys()]).toEqual(synced === 0 ? opened : [-1, ...opened]);
  });

  it.each([2, 0])('are no history: dropped with the end of a log, %i synced', async (synced) => {
    const { image, log, older } = await again(synced);
    const newer = image.readFileNow(log);
    const end = newer.findLastIndex((byte) => byte !== 0) + 1; // behind it is room that is reserved
    for (const at of [end - 40, end >> 1, 0]) {
      if (at === 0 && synced > 0) continue; // that is damage
      const copy = image.crashImage('all', never);
      copy.writeFileNow(log, new Uint8Array(Buffer.concat([newer.subarray(0, at), older.subarray(at)])));
      const events: string[] = [];
      const onEvent = ({ type }: EngineEvent): void => void events.push(type);
      const cursors = new Map<string, string>();
      for (let life = 0; life < 3; life += 1) {
        const store = await open(DIRECTORY, { fileSystem: copy, onEvent });
        const keys: string[] = [];
        for await (const { key } of store.scan()) keys.push(Buffer.from(key).toString());
        const { sequence } = await store.set(`z${life}`, 'value');
        const changes = await changesUpTo(store, 'start', sequence);
        const changed = changes.map(({ key }) => Buffer.from(key).toString());
        expect(changed.filter((key) => key < 'z').sort(), `${at}`).toEqual(keys.filter((key) => key < 'z'));
        const sequences = changes.map((change) => change.sequence);
        expect(sequences, `${at}`).toEqual([...new Set(sequences)].sort((one, other) => one - other));
        // Places of before lead on.
        for (const [key, cursor] of cursors) {
          const [next] = await changesUpTo(store, cursor as Cursor, sequence);
          expect(Buffer.from(next?.key ?? []).toString(), key).toBe(changed[changed.indexOf(key) + 1]);
        }
        for (const { key, cursor } of changes.slice(0, -1)) cursors.set(Buffer.from(key).toString(), cursor);
        await store.close();
      }
      expect(events.filter((type) => type === 'logTailDropped' || type === 'historyLost')).toEqual(['logTailDropped']);
      expect((await verify(DIRECTORY, { fileSystem: copy })).findings).toEqual([]);
    }
  });

  it.each(['', '.index'])('do not count for more than damage, where something synced is gone: log%s', async (also) => {
    const { image, log, index, older, olderIndex } = await again(GROUPS);
    image.writeFileNow(log, older);
    if (also !== '') image.writeFileNow(index, olderIndex);
    const answer = await openedOrRefused(image);
    if (also === '') return expect(answer).toBeInstanceOf(CorruptionError);
    // With what the index said, all is gone that could tell of more; what is left is whole.
    expect(answer).toMatchObject({ keys: before, events: expect.arrayContaining(['logTailDropped']) as unknown });
  });

  it.each([
    [0, 0],
    [2, 2],
    [GROUPS, GROUPS],
    [GROUPS, 0], // an older index that claims nothing: what is synced in the log counts all the same
  ])('in the place of an index take nothing: %i synced, and %i before', async (synced, syncedBefore) => {
    const { image, index, olderIndex } = await again(synced, syncedBefore);
    for (let at = 0; at <= olderIndex.length; at += STEP) {
      const copy = image.crashImage('all', never);
      const mixed = Buffer.concat([image.readFileNow(index).subarray(0, at), olderIndex.subarray(at)]);
      copy.writeFileNow(index, new Uint8Array(mixed));
      const answer = await openedOrRefused(copy);
      expect(answer, `${at}`).toMatchObject({ keys: [...before, ...keysUpTo(GROUPS, 'm')] });
    }
  });

  it('of a later log, that is gone, in the place of an index take nothing', async () => {
    const later = await again(GROUPS);
    const stale = later.image.readFileNow(later.index);
    const image = await killed(GROUPS);
    const index = indexOf(image);
    expect(index).not.toBe(later.index);
    for (const own of [0, image.readFileNow(index).length]) {
      const copy = image.crashImage('all', never);
      copy.writeFileNow(index, Uint8Array.from([...image.readFileNow(index).subarray(0, own), ...stale]));
      expect(await openedOrRefused(copy)).toMatchObject({ keys: keysUpTo(GROUPS) });
    }
  });
});

describe('logs of memtables that wait for their flush', () => {
  async function waiting(): Promise<MemoryFileSystem> {
    const fileSystem = new FaultFileSystem();
    const store = await open(DIRECTORY, { fileSystem });
    fileSystem.plan = {
      code: 'EIO',
      arrives: 0,
      isHit: ({ name, path }) => name === 'create' && path.endsWith('.ldb'),
    };
    for (let index = 0; index < GROUPS; index += 1) {
      await store.set(`k${index}`, 'value');
      if (index % 2 === 1 && index < GROUPS - 1) {
        const flushed = store.flush().then(
          () => undefined,
          () => undefined,
        );
        await store.set(`k${index}`, 'value'); // behind the rotation
        void flushed;
      }
    }
    const image = fileSystem.memory.crashImage('all', never);
    fileSystem.plan = undefined;
    await store.close();
    return image;
  }

  it('are told when one of them is missing, also the last', async () => {
    const image = await waiting();
    expect(await openedOrRefused(image.crashImage('all', never))).toMatchObject({ keys: keysUpTo(GROUPS) });
    const used = image.paths().filter((path) => /^\/db\/\d+\.log$/.test(path) && image.readFileNow(path).length > 19);
    expect(used.length).toBeGreaterThanOrEqual(2);
    for (const log of used) {
      for (const isInArchive of [true, false]) {
        const copy = image.crashImage('all', never);
        const name = log.slice(log.lastIndexOf('/'));
        for (const path of copy.paths()) {
          if (path === log || (!isInArchive && path.endsWith(name))) await copy.remove(path);
        }
        expect(await openedOrRefused(copy), log).toBeInstanceOf(CorruptionError);
      }
    }
  });
});

it('a store that was closed has nothing in its log', async () => {
  const fileSystem = new MemoryFileSystem();
  const store = await open(DIRECTORY, { fileSystem });
  for (const key of keysUpTo(GROUPS)) await store.set(key, 'value', { durability: 'buffered' });
  await store.close();
  for (const path of fileSystem.paths().filter((one) => /^\/db\/\d+\.log$/.test(one))) {
    const cut = fileSystem.crashImage('all', never);
    cut.writeFileNow(path, new Uint8Array(0));
    const answer = await openedOrRefused(cut);
    if (!(answer instanceof CorruptionError)) expect(answer.keys, path).toEqual(keysUpTo(GROUPS));
  }
});
