/** Every way of damaging the files of a directory that a test tries, one at a time. */
import type { MemoryFileSystem } from '../../src/index.ts';
import { randomOf } from './runs.ts';

export type DamageKind = 'byte' | 'cut' | 'sector' | 'missing' | 'swapped' | 'copied';

export interface Damage {
  readonly kind: DamageKind;
  /** Of the file that is not what it was. */
  readonly path: string;
  /** Where it begins to be otherwise. */
  readonly offset: number;
  readonly what: string;
  apply(image: MemoryFileSystem): void;
}

/** Bytes of the pieces that are zeroed: what a disk loses at once, and less, so that small files have several. */
const SECTOR_BYTES = [16, 64, 512, 4096];
const RANDOM_WAYS = 1;

/** What a byte is changed to: each single bit, nothing, everything, and something else. */
export function* changedBytes(path: string, bytes: Uint8Array, seed: number): Generator<Damage> {
  const random = randomOf(seed);
  for (const [offset, byte] of bytes.entries()) {
    const changed = new Set([0x00, 0xff]);
    for (let bit = 0; bit < 8; bit += 1) changed.add(byte ^ (1 << bit));
    for (let way = 0; way < RANDOM_WAYS; way += 1) changed.add(Math.floor(random() * 256));
    changed.delete(byte);
    for (const to of changed) {
      const what = `byte ${offset} of ${path} from ${byte} to ${to}`;
      yield { kind: 'byte', path, offset, what, apply: (image) => rewrite(image, path, (file) => file.fill(to, offset, offset + 1)) }; // prettier-ignore
    }
  }
}

export function* cutShort(path: string, bytes: Uint8Array): Generator<Damage> {
  for (let offset = 0; offset < bytes.length; offset += 1) {
    const what = `${path} cut to ${offset} of ${bytes.length} bytes`;
    yield { kind: 'cut', path, offset, what, apply: (image) => rewrite(image, path, (file) => file.subarray(0, offset)) }; // prettier-ignore
  }
}

export function* zeroedSectors(path: string, bytes: Uint8Array): Generator<Damage> {
  for (const size of SECTOR_BYTES) {
    for (let offset = 0; offset < bytes.length; offset += size) {
      const end = Math.min(offset + size, bytes.length);
      if (bytes.subarray(offset, end).every((byte) => byte === 0)) continue;
      const what = `bytes ${offset} to ${end} of ${path} zeroed`;
      yield { kind: 'sector', path, offset, what, apply: (image) => rewrite(image, path, (file) => file.fill(0, offset, end)) }; // prettier-ignore
    }
  }
}

/** What a file is: only files of one kind can be taken for each other. */
const KINDS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['table', /\.(ldb|sst)$/],
  ['log', /\.log$/],
  ['index', /\.index$/],
  ['manifest', /MANIFEST-\d+$/],
];

export const kindOf = (path: string): string => KINDS.find(([, pattern]) => pattern.test(path))?.[0] ?? path;

/** Whole files: gone, in each other's place, one over the other, and under another number. */
export function* misplacedFiles(image: MemoryFileSystem, paths: readonly string[]): Generator<Damage> {
  for (const path of paths) {
    yield { kind: 'missing', path, offset: 0, what: `${path} is missing`, apply: (into) => remove(into, path) };
    for (const other of paths) {
      if (other === path || kindOf(other) !== kindOf(path)) continue;
      const [bytes, others] = [image.readFileNow(path), image.readFileNow(other)];
      if (Buffer.compare(bytes, others) === 0) continue;
      yield {
        kind: 'copied',
        path,
        offset: 0,
        what: `${path} is a copy of ${other}`,
        apply: (into) => replace(into, path, others),
      };
      if (path > other) continue;
      const apply = (into: MemoryFileSystem): void => {
        replace(into, path, others);
        replace(into, other, bytes);
      };
      yield { kind: 'swapped', path, offset: 0, what: `${path} and ${other} in each other's place`, apply };
    }
    const number = /\d{6}/.exec(path.slice(path.lastIndexOf('/')))?.[0];
    if (number === undefined) continue;
    for (const twin of [Number(number) - 1, Number(number) + 1, 900]) {
      const name = path.slice(path.lastIndexOf('/')).replace(number, String(twin).padStart(6, '0'));
      const target = path.slice(0, path.lastIndexOf('/')) + name;
      if (paths.includes(target)) continue;
      const apply = (into: MemoryFileSystem): void => into.writeFileNow(target, into.readFileNow(path));
      yield { kind: 'copied', path: target, offset: 0, what: `${path} is there twice, also as ${target}`, apply };
    }
  }
}

function rewrite(image: MemoryFileSystem, path: string, change: (bytes: Uint8Array) => Uint8Array): void {
  image.writeFileNow(path, change(image.readFileNow(path).slice()));
}

/** Takes effect at once: the memory file system does its work before it answers. */
function remove(image: MemoryFileSystem, path: string): void {
  void image.remove(path);
}

/** Only this name: where a file has two, the other one stays as it is. */
function replace(image: MemoryFileSystem, path: string, bytes: Uint8Array): void {
  remove(image, path);
  image.writeFileNow(path, bytes);
}
