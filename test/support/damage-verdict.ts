/** What a damaged store says, held against all that was in it. */
import {
  type EngineError,
  EngineError as AnyEngineError,
  type FileSystem,
  type MemoryFileSystem,
  open,
  type OpenOptions,
  type Store,
} from '../../src/index.ts';
import { LAST, type PartName, PARTS, SMALL } from './rich-store.ts';

const HANG_MS = 60_000;

export interface Right {
  readonly directory: string;
  readonly keys: readonly string[];
  readonly parts: ReadonlyMap<PartName, readonly string[]>;
}

const names = Object.keys(PARTS) as PartName[];

const reopen = (directory: string, fileSystem: FileSystem, options: OpenOptions = {}): Promise<Store> =>
  Promise.resolve(open(directory, { fileSystem, ...SMALL, ...options }));

/** What a store holds that nobody has damaged. */
export async function rightOf(image: MemoryFileSystem, directory: string): Promise<Right> {
  const store = await reopen(
    directory,
    image.crashImage('all', () => 0),
  );
  const keys = (await PARTS.scan(store, [])).map((line) => line.slice(0, line.indexOf(' = ')));
  const parts = new Map<PartName, readonly string[]>();
  for (const name of names) parts.set(name, await PARTS[name](store, keys));
  await store.close();
  return { directory, keys, parts };
}

export interface Verdict {
  /** What the open, or a part, has failed with. */
  readonly errors: readonly EngineError[];
  /** Whether an event told of a loss. */
  readonly events: readonly string[];
  /** Whether the last group, which nothing vouches for, is missing. */
  readonly isLastMissing: boolean;
}

/**
 * Opens the damaged store and reads everything of it. Each part is right or fails.
 *
 * @throws when a part is wrong, when it fails with what is no error of ours, and when it hangs
 */
export async function verdictOn(
  image: FileSystem,
  right: Right,
  what: string,
  options: OpenOptions = {},
): Promise<Verdict> {
  const errors: EngineError[] = [];
  const events: string[] = [];
  let isLastMissing = false;
  const note = (error: unknown): undefined => {
    if (!(error instanceof AnyEngineError)) throw new Error(what, { cause: error });
    errors.push(error);
  };
  const store = await inTime(
    reopen(right.directory, image, { ...options, onEvent: ({ type }) => void events.push(type) }),
    what,
  ).catch(note);
  if (store === undefined) return { errors, events, isLastMissing };
  for (const name of names) {
    const wanted = right.parts.get(name) ?? [];
    const lines = await inTime(PARTS[name](store, right.keys), `${what}: ${name}`).catch(note);
    if (lines === undefined) continue;
    if (name === 'scan' && !lines.some(isLast) && wanted.some(isLast)) isLastMissing = true;
    const difference = differenceOf(name, lines, wanted, isLastMissing, events.includes('historyLost'));
    if (difference !== undefined) throw new Error(`${what}: ${name}: ${difference}`);
  }
  // A damaged table may fail its last compaction.
  await inTime(Promise.resolve(store.close()), `${what}: close`).catch(note);
  return { errors, events, isLastMissing };
}

/** Without its index, history does not know when something was committed. */
const timeless = (line: string | undefined): string | undefined => line?.replace(/ at \d+:/, ':');
const isLast = (line: string): boolean => line.includes(LAST);

function differenceOf(
  name: PartName,
  lines: readonly string[],
  wanted: readonly string[],
  isLastMissing: boolean,
  isHistoryLost: boolean,
): string | undefined {
  const right = isLastMissing ? wanted.filter((line) => !isLast(line)) : wanted;
  const given = isLastMissing ? lines.filter((line) => !isLast(line)) : lines;
  if (name === 'changes' || name === 'cursor') {
    const times = lines.map((line) => Number(/ at (\d+):/.exec(line)?.[1]));
    if (times.some((time, index) => time < (times[index - 1] ?? 0))) return `its times go back: ${times.join(' ')}`;
  }
  // What history has lost is gone from its beginning on; what it still has is right.
  const isHistory = name === 'changes' || name === 'cursor';
  const least = isHistory && isHistoryLost ? right.slice(Math.max(0, right.length - given.length)) : right;
  const at = Math.max(least.length, given.length);
  for (let index = 0; index < at; index += 1) {
    if (timeless(given[index]) !== timeless(least[index]))
      return `line ${index} is ${given[index]}, and not ${least[index]}`;
  }
  return undefined;
}

function inTime<T>(work: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: no answer in ${HANG_MS} ms`)), HANG_MS);
    work.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}
