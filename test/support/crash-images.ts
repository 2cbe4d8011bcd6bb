/**
 * The images that crashes leave along a workload, each kept once however often it was taken.
 *
 * Between two syncs most images of a power cut are the same, while what was acknowledged grows. So an image is opened once, and
 * what it holds is held against what was known at each of the moments it was taken at.
 */
import { createHash } from 'node:crypto';
import { Fault, type FileOperation, type FileOperationHook } from '../../src/storage/file-system/memory-faults.ts';
import { type CrashMode, MemoryFileSystem } from '../../src/index.ts';
import type { Demand } from './tracked-writes.ts';
import { randomOf } from './runs.ts';

/** What is taken at each crash point: a kill, and fourteen power cuts, of which twelve are drawn. */
export const CRASH_MODES: readonly CrashMode[] = [
  'all',
  'synced',
  'zeros',
  ...Array.from({ length: 4 }, () => 'prefix' as const),
  ...Array.from({ length: 4 }, () => 'sectors' as const),
  ...Array.from({ length: 4 }, () => 'stale' as const),
];

/** Calls that change nothing leave the same images as the next call that does, when more is acknowledged. */
const CHANGING: ReadonlySet<string> = new Set([
  'create',
  'append',
  'sync',
  'syncDirectory',
  'rename',
  'link',
  'remove',
  'removeDirectory',
  'makeDirectory',
]);

export const isChanging = ({ name }: FileOperation): boolean => CHANGING.has(name);

/** On a file system without hard links, logs move into the archive when they are released. */
export const linkFault = ({ name }: FileOperation, hasLinks: boolean): Fault | undefined =>
  name === 'link' && !hasLinks ? new Fault('EPERM') : undefined;

/** What was known at a moment at which an image was taken. */
export interface Moment<D extends Demand> {
  readonly demand: D;
  /** For messages: the call, and the mode. */
  readonly what: string;
}

export interface CrashImage<D extends Demand> {
  /** As it was taken at the last of the moments: of what looks the same, more may have been synced since the first. */
  image: MemoryFileSystem;
  readonly hasLinks: boolean;
  /** At least one; in the order of time. */
  readonly moments: Moment<D>[];
}

/** A copy to open, with a hook if there is one: an image is opened more than once. */
export function openable<D extends Demand>(
  { image, hasLinks }: CrashImage<D>,
  onOperation?: FileOperationHook,
): MemoryFileSystem {
  return image.crashImage('all', () => 0, {
    onOperation: (operation) => onOperation?.(operation) ?? linkFault(operation, hasLinks),
  });
}

export class CrashImages<D extends Demand> {
  readonly #hasLinks: boolean;
  readonly #seed: number;
  readonly #byContent = new Map<string, CrashImage<D>>();
  /** Images, those counted again that were there already. */
  taken = 0;

  constructor(seed: number, hasLinks: boolean) {
    this.#seed = seed;
    this.#hasLinks = hasLinks;
  }

  /** Takes the images of a crash at this moment. */
  take(source: MemoryFileSystem, demand: D, modes: readonly CrashMode[], what: string): void {
    for (const mode of modes) {
      const image = source.crashImage(mode, randomOf(this.#seed * 31 + this.taken));
      const moment = { demand: { ...demand, isKill: demand.isKill && mode === 'all' }, what: `${what}, ${mode}` };
      this.taken += 1;
      const content = contentHash(image);
      const known = this.#byContent.get(content);
      if (known === undefined) this.#byContent.set(content, { image, hasLinks: this.#hasLinks, moments: [moment] });
      else {
        known.image = image;
        known.moments.push(moment);
      }
    }
  }

  /** Those that differ. */
  get different(): readonly CrashImage<D>[] {
    return [...this.#byContent.values()];
  }
}

/** The same for the same names with the same bytes. */
export function contentHash(fileSystem: MemoryFileSystem): string {
  const hash = createHash('sha1');
  for (const path of fileSystem.paths()) {
    const bytes = fileSystem.readFileNow(path);
    hash.update(`${path} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('base64');
}
