/**
 * A small store with every kind of file and every kind of record in it, as images of its file system: killed in the midst
 * of its work, closed, and as its own backup. And all that can be read of such a store, part by part.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filter, firstValueFrom } from 'rxjs';
import { codecs, type Consumer, type Keyspace, MemoryFileSystem, open, type Store } from '../../src/index.ts';
import { changesUpTo } from './change-log.ts';

export const DIRECTORY = '/db';
export const BACKUP = '/copy';
/** Written last of all, buffered and never synced: the one group of the killed store that may be missing, as a whole. */
export const LAST = 'z last, buffered';
/** Written by who reads: up to it, changes are read. */
const END = 'zz end';
const REPEATED = [{ type: 'set', key: 'f once', value: 'only once' }] as const;
const IDEMPOTENCY = { idempotencyKey: 'f-1', windowMs: 24 * 3_600_000 } as const;

const never = (): number => 0;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function usersOf(store: Store): Keyspace<number, { name: string }> {
  return store.keyspace('users', { key: codecs.number, value: codecs.json() });
}

/** A consumer that parks what says so, and copies the rest. */
function copierOf(store: Store): Consumer {
  return store.consumer('copier', {
    gte: 'b',
    lt: 'f',
    attemptsMax: 1,
    handle: (change, transaction) => {
      if (change.type === 'set' && text(change.value) === 'poison') throw new Error('it is poison');
      transaction.set(`y ${text(change.key)}`, change.type);
    },
  });
}

/** Lets the consumer settle everything up to `sequence`. */
async function consumeUpTo(store: Store, sequence: number): Promise<void> {
  const isThere = filter((event: { type: string; sequence?: number }) => {
    return event.type === 'acked' && (event.sequence ?? 0) >= sequence;
  });
  await firstValueFrom(copierOf(store).run().pipe(isThere));
}

/** Options under which a few hundred bytes make several blocks, levels and segments. */
export const SMALL = { blockBytesMax: 64, blockRestartInterval: 2, level0CompactionTrigger: 100 } as const;

export interface RichImages {
  readonly killed: MemoryFileSystem;
  readonly closed: MemoryFileSystem;
  /** Under {@link BACKUP}. */
  readonly backup: MemoryFileSystem;
}

export async function richImages(): Promise<RichImages> {
  const fileSystem = new MemoryFileSystem();
  let store = await open(DIRECTORY, { fileSystem, ...SMALL });
  await store.set('a', 'old');
  for (let index = 0; index < 6; index += 1) await store.set(`b ${index}`, `value ${index} ${'of it '.repeat(index)}`);
  await usersOf(store).write([
    { type: 'set', key: 7, value: { name: 'Ada' } },
    { type: 'set', key: -1.5, value: { name: 'Bo' } },
  ]);
  await store.flush();
  await store.set('a', 'new');
  await store.set('b 2', 'poison');
  const { sequence } = await store.delete('b 3');
  await consumeUpTo(store, sequence);
  await store.compact();
  await store.set('c in level 0', 'x'.repeat(40));
  await store.set('b 0', 'again');
  await store.close(); // seals history, and writes its state
  store = await open(DIRECTORY, { fileSystem, ...SMALL });
  // From here on STATE tells of nothing: two sealed segments that only their own bytes tell of, and a live log.
  await store.set('d sealed since', '1');
  await store.set('b 1', 'changed');
  await store.flush();
  await store.write(REPEATED, IDEMPOTENCY);
  await store.set('d sealed since', '2');
  await store.flush();
  await store.set('e in the log', '1');
  const last = await store.write([
    { type: 'set', key: 'e in the log', value: '2' },
    { type: 'delete', key: 'b 5' },
  ]);
  await consumeUpTo(store, last.sequence);
  await usersOf(store).set(8, { name: 'Cy' });
  await store.set(LAST, 'y', { durability: 'buffered' });
  const killed = fileSystem.crashImage('all', never);
  await store.backup(BACKUP);
  await store.close();
  return { killed, closed: only(fileSystem, DIRECTORY), backup: only(fileSystem, BACKUP) };
}

function only(fileSystem: MemoryFileSystem, directory: string): MemoryFileSystem {
  const image = fileSystem.crashImage('all', never);
  for (const path of image.paths()) if (!path.startsWith(`${directory}/`)) void image.remove(path);
  return image;
}

/** A directory of the golden ones, in memory: written by real LevelDB, with its snappy, and a log without marks. */
export async function goldenImage(name: string): Promise<MemoryFileSystem> {
  const image = new MemoryFileSystem();
  await image.makeDirectory(DIRECTORY);
  const folder = join(import.meta.dirname, '../golden', name);
  for (const file of readdirSync(folder)) image.writeFileNow(`${DIRECTORY}/${file}`, readFileSync(join(folder, file)));
  return image;
}

/** All that can be read, part by part; each part alone, so that damage to one does not hide what the others say. */
export type PartName =
  'scan' | 'back' | 'gets' | 'sync' | 'typed' | 'position' | 'letters' | 'changes' | 'cursor' | 'once';
export type Part = (store: Store, keys: readonly string[]) => Promise<readonly string[]>;

/** Keys that are not there, or not any more, beside those that are. */
const ABSENT = ['', 'a ', 'b 3', 'b 5', 'c', 'zzz'];

export const PARTS: Readonly<Record<PartName, Part>> = {
  scan: async (store) => {
    const lines: string[] = [];
    for await (const { key, value } of store.scan()) lines.push(`${text(key)} = ${text(value)}`);
    return lines;
  },
  back: async (store) => {
    const lines: string[] = [];
    for await (const { key, value } of store.scan({ reverse: true })) lines.push(`${text(key)} = ${text(value)}`);
    return lines;
  },
  gets: async (store, keys) => {
    const lines: string[] = [];
    for (const key of [...ABSENT, ...keys]) {
      const found = await store.entry(Buffer.from(key, 'latin1'));
      lines.push(`${key}: ${found === undefined ? 'absent' : `${text(found.value)} (${found.sequence})`}`);
    }
    return lines;
  },
  sync: async (store, keys) => {
    await Promise.resolve(); // what is thrown is to be a rejection
    return [...ABSENT, ...keys].map((key) => {
      const value = store.getSync(Buffer.from(key, 'latin1'));
      return `${key}: ${value === undefined ? 'absent' : text(value)}`;
    });
  },
  typed: async (store) => {
    const lines: string[] = [];
    for await (const { key, value } of usersOf(store).scan()) lines.push(`${key} = ${JSON.stringify(value)}`);
    return lines;
  },
  position: async (store) => {
    const position = await copierOf(store).position();
    return [`${position?.sequence} ${position?.settledBeyond} ${position?.isPaused}`];
  },
  letters: async (store) => {
    const lines: string[] = [];
    for await (const { id, change, error, attempts } of copierOf(store).deadLetters()) {
      lines.push(`${id} ${change.type} ${text(change.key)} ${error.message} ${attempts}`);
    }
    return lines;
  },
  changes: (store) => changesFrom(store, 'start'),
  /** From the middle: through the index of a segment. */
  cursor: async (store) => {
    const lines = (await changesFrom(store, 'start')).filter((line) => !line.includes(LAST));
    const middle = Number.parseInt(lines[Math.floor(lines.length / 2)] ?? '0', 10);
    return changesFrom(store, middle);
  },
  once: async (store) => {
    const before = await store.entry('f once');
    if (before === undefined) return []; // a store without it; where it has gone, the gets say so
    const { sequence } = await store.write(REPEATED, IDEMPOTENCY);
    return [`${before.sequence} ${sequence}`];
  },
};

async function changesFrom(store: Store, from: 'start' | number): Promise<string[]> {
  const { sequence } = await store.set(END, '', { durability: 'buffered' });
  return (await changesUpTo(store, from, sequence))
    .filter((change) => text(change.key) !== END)
    .map((change) => {
      const value = change.type === 'set' ? text(change.value) : '';
      const place = `${change.sequence} (${change.batchIndex} of ${change.batchSize}) at ${change.timeMs}`;
      return `${place}: ${change.type} ${text(change.key)} ${value}`;
    });
}
