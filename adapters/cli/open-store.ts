/**
 * How commands come to a store: the one file that opens any. A command sees a {@link CommandStore} and nothing else, so
 * that a store in another process can take its place.
 *
 * `'read'` changes no file: it holds the directory's lock, so that nobody writes meanwhile, and opens read-only under it.
 * `'write'` is needed for all that waits for changes as well: who only reads never hears of one.
 */
import type {
  BackupOptions,
  BackupReport,
  ConsumerInfo,
  ConsumerOptions,
  EngineEvent,
  NodeFileSystem,
  OpenOptions,
  StoreStats,
} from 'alluvium';
import type { Observable } from 'rxjs';
import type { AttachedStore, ConsumerFace, DeskFace, OperationFace, StoreFace, StreamFace } from '../attach/index.ts';
import { codeOf, Failure } from './failure.ts';
import type { Talk } from './talk.ts';

/** What commands need of a store, in whichever process it is. */
export interface CommandStore extends Omit<StoreFace, 'close' | 'getSync'> {
  readonly events: Observable<EngineEvent>;
  consumer(name: string, options: ConsumerOptions): ConsumerFace;
  desk(name: string): DeskFace;
  consumers(): StreamFace<ConsumerInfo>;
  stats(): StoreStats | OperationFace<StoreStats>;
  backup(directory: string, options?: BackupOptions): OperationFace<BackupReport>;
}

export interface OpenedStore {
  readonly store: CommandStore;
  readonly close: () => Promise<void>;
}

/** `'create'` is `'write'`, and makes a database where there is none. */
export type OpenMode = 'read' | 'write' | 'create';
export type OpenStore = (location: string, mode: OpenMode, options?: OpenOptions) => Promise<OpenedStore>;

export const storeOpener =
  (talk: Talk): OpenStore =>
  async (location, mode, options = {}) => {
    if (location === '') throw new Failure('the name of a database is empty. Give the path of its directory.');
    if (mode === 'read') return openForReading(location, options);
    if (mode === 'write') await expectDatabase(location);
    return openForWriting(location, mode, options, talk);
  };

/** Before anything is locked: a lock leaves a file behind, and other people's directories are left alone. */
async function expectDatabase(location: string): Promise<void> {
  const files = await fileSystem();
  const kind = await files.stat(`${location}/CURRENT`).then(
    (stat) => stat.kind,
    (error: unknown) => {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    },
  );
  if (kind !== undefined) return;
  const names = await files.list(location).catch(() => undefined);
  if (names === undefined) throw new Failure(`there is no directory ${location}. Give the path of a database.`);
  // Tables without CURRENT are a database that is damaged: the open says what is wrong with it.
  if (names.some((name) => /\.(ldb|sst)$/.test(name))) return;
  throw new Failure(`${location} is not a database: there is no CURRENT file in it.`);
}

/** The engine is loaded when it is needed: help and typing errors answer in half the time. */
const engine = (): Promise<typeof import('alluvium')> => import('alluvium');

async function fileSystem(): Promise<NodeFileSystem> {
  const { NodeFileSystem: Files } = await engine();
  return new Files();
}

const isSystemError = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && 'systemCode' in error && codes.includes(String(error.systemCode));

/**
 * Keeps everybody from writing to a database while it is read without being opened.
 *
 * @returns what gives the lock back; rejects with LockedError
 */
export async function holdDatabase(location: string): Promise<() => Promise<void>> {
  await expectDatabase(location);
  const files = await fileSystem();
  try {
    const lock = await files.lock(await files.realPath(location), { pid: process.pid, since: new Date() });
    return () => lock.release();
  } catch (error) {
    // What nobody may write to, nobody needs to be kept from writing to.
    if (isSystemError(error, 'EACCES', 'EPERM', 'EROFS')) return () => Promise.resolve();
    throw error;
  }
}

async function openForReading(location: string, options: OpenOptions): Promise<OpenedStore> {
  const release = await holdDatabase(location).catch((error: unknown) => {
    if (codeOf(error) === 'LOCKED') return undefined;
    throw error;
  });
  if (release === undefined) return attach(location, options);
  try {
    const { open } = await engine();
    const store = await open(location, { ...options, readOnly: true });
    return {
      store,
      close: async () => {
        await store.close();
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** How long a process that has the database may take to answer: a person waits. */
const ATTACH_MS = 1_000;

/** Opens the store, or attaches to the process that has it. @returns rejects with LockedError where that lets nobody in */
export async function openOrAttachTo(location: string, options: OpenOptions): Promise<AttachedStore> {
  const { openOrAttach } = await import('../attach/index.ts');
  return openOrAttach(location, { ...options, attachMs: ATTACH_MS });
}

async function attach(location: string, options: OpenOptions): Promise<OpenedStore> {
  const store = await openOrAttachTo(location, { ...options, createIfMissing: false });
  return { store, close: async () => store.close() };
}

async function openForWriting(
  location: string,
  mode: 'write' | 'create',
  options: OpenOptions,
  talk: Talk,
): Promise<OpenedStore> {
  const onEvent: OpenOptions['onEvent'] = (event) => {
    options.onEvent?.(event);
    if (event.type === 'historyLost') {
      const { firstSequence, lastSequence } = event;
      talk.note(`note: the changes from ${firstSequence} to ${lastSequence} are lost to history; the data is whole.`);
    }
    if (event.type === 'backgroundError') {
      talk.note(`note: ${event.during} failed and is tried again: ${messageOf(event.error)}`);
    }
  };
  try {
    const store = await openOrAttachTo(location, { ...options, onEvent, createIfMissing: mode === 'create' });
    return { store, close: async () => store.close() };
  } catch (error) {
    if (codeOf(error) !== 'NOT_A_DATABASE') throw error;
    throw new Failure(`${location} is not a database, and cannot be made one: ${messageOf(error)}`, undefined, {
      cause: error,
    });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
