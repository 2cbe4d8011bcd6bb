/** Random histories of a database, as data, and what the database then holds. */
import type { WriteOperation } from '../../src/index.ts';
import { bytesOf, textOf } from './sorted-model.ts';

export interface WriteStep {
  readonly type: 'write';
  readonly operations: readonly WriteOperation[];
  readonly isSynced: boolean;
}

export type Step =
  | WriteStep
  | { readonly type: 'flush' }
  | { readonly type: 'compact'; readonly start: Uint8Array | undefined; readonly end: Uint8Array | undefined };

/** Entries by key; keys as strings of one character per byte. */
export type Contents = Map<string, Uint8Array>;

/** What is read of a database: everything, both ways, and some keys one by one. */
export interface Reading {
  readonly forwards: readonly (readonly [key: Uint8Array, value: Uint8Array])[];
  readonly backwards: readonly (readonly [key: Uint8Array, value: Uint8Array])[];
  /** One for each probe. */
  readonly gets: readonly (Uint8Array | undefined)[];
}

export interface HistoryOptions {
  readonly steps: number;
  /** How many different keys there are, beside the odd ones. */
  readonly keys: number;
  /** Values of 1 MiB among the writes. */
  readonly largeValues: number;
}

/** Empty, of extreme bytes, beginnings of each other, and one of the longest that we write. */
const ODD_KEYS: readonly string[] = [
  '',
  '\0',
  '\0\0',
  '\xff',
  '\xff\xff',
  '\xff\xff\xff',
  'k',
  'key\0',
  'L'.repeat(65_536),
];
/** No history has these. */
const ABSENT_KEYS: readonly string[] = ['\0\0\0\0', 'absent', 'key', 'zzzz', '\xff\xff\xff\xff'];
const MIB = 1024 * 1024;

/** Every key of the histories with that many keys, and some more. */
export function probesOf(keys: number): Uint8Array[] {
  const ordinary = Array.from({ length: keys }, (_unused, index) => ordinaryKey(index));
  return [...ordinary, ...ODD_KEYS, ...ABSENT_KEYS].map(bytesOf);
}

/** Binary, and in families that share long beginnings. */
function ordinaryKey(index: number): string {
  return `key${String.fromCharCode(index % 7)}${'-'.repeat((index % 3) * 20)}${String.fromCharCode(index >> 8, index & 255)}`;
}

/** @param random - numbers in [0, 1); the same numbers give the same history */
export function historyOf(random: () => number, { steps, keys, largeValues }: HistoryOptions): Step[] {
  const whole = (end: number): number => Math.floor(random() * end);
  const key = (): Uint8Array => {
    const odd = random() < 0.04 ? ODD_KEYS[whole(ODD_KEYS.length)] : undefined;
    return bytesOf(odd ?? ordinaryKey(whole(keys)));
  };
  const noise = (length: number): Uint8Array => Uint8Array.from({ length }, () => whole(256));
  const value = (): Uint8Array => {
    const kind = random();
    if (kind < 0.08) return new Uint8Array(0);
    if (kind < 0.5) return noise(1 + whole(40));
    if (kind < 0.9) return new Uint8Array(1 + whole(700)).fill(whole(256)); // snappy makes it short
    return noise(whole(2000));
  };
  const operation = (): WriteOperation =>
    random() < 0.25 ? { type: 'delete', key: key() } : { type: 'set', key: key(), value: value() };
  const step = (): Step => {
    const kind = random();
    if (kind < 0.01) return { type: 'flush' };
    if (kind < 0.015) {
      const [start, end] = [key(), key()].sort((a, b) => Buffer.compare(a, b));
      return { type: 'compact', start, end: random() < 0.5 ? end : undefined };
    }
    const count = kind < 0.75 ? 1 : 1 + whole(30);
    return { type: 'write', operations: Array.from({ length: count }, operation), isSynced: random() < 0.2 };
  };
  const history = Array.from({ length: steps }, step);
  for (let index = 0; index < largeValues; index += 1) {
    const large = index % 2 === 0 ? new Uint8Array(MIB).fill(index) : new Uint8Array(MIB).map((_unused, at) => at * at);
    const operations: WriteOperation[] = [{ type: 'set', key: key(), value: large }];
    history.splice(whole(history.length), 0, { type: 'write', operations, isSynced: false });
  }
  return history;
}

export function apply(contents: Contents, step: Step): void {
  if (step.type !== 'write') return;
  for (const operation of step.operations) {
    if (operation.type === 'set') contents.set(textOf(operation.key), operation.value as Uint8Array);
    else contents.delete(textOf(operation.key));
  }
}

/** In words, the first thing that was read otherwise than the contents say; `undefined` if there is none. */
export function difference(contents: Contents, reading: Reading, probes: readonly Uint8Array[]): string | undefined {
  const { forwards, backwards, gets } = reading;
  const expected = [...contents].sort(([a], [b]) => (a < b ? -1 : 1));
  const ways = [
    ['forwards', forwards],
    ['backwards', backwards.toReversed()],
  ] as const;
  for (const [way, entries] of ways) {
    for (let index = 0; index < Math.max(expected.length, entries.length); index += 1) {
      const [key, value] = entries[index] ?? [];
      const [rightKey, rightValue] = expected[index] ?? [];
      if (key !== undefined && textOf(key) === rightKey && isSame(value, rightValue)) continue;
      return `${way}, entry ${index} is ${shown(key, value)}, and should be ${shown(rightKey, rightValue)}`;
    }
  }
  if (gets.length !== probes.length) return `${gets.length} answers to ${probes.length} questions`;
  for (const [index, probe] of probes.entries()) {
    const right = contents.get(textOf(probe));
    if (!isSame(gets[index], right))
      return `get gives ${shown(probe, gets[index])}, and should give ${shown(probe, right)}`;
  }
  return undefined;
}

/**
 * What a killed engine left: the contents after some step that is at least the last acknowledged one, and nothing between
 * two steps. Every step up to there was applied whole, and in order.
 *
 * @returns the contents, and how many steps are in them; throws when there is no such step
 */
export function contentsAfterKill(
  before: Contents,
  steps: readonly Step[],
  acknowledged: number,
  reading: Reading,
): { readonly contents: Contents; readonly stepCount: number } {
  const found: Contents = new Map(reading.forwards.map(([key, value]) => [textOf(key), value]));
  const contents: Contents = new Map(before);
  for (const step of steps.slice(0, acknowledged + 1)) apply(contents, step);
  const wrong = new Set<string>();
  const check = (key: string): void => {
    if (isSame(contents.get(key), found.get(key))) wrong.delete(key);
    else wrong.add(key);
  };
  for (const key of [...contents.keys(), ...found.keys()]) check(key);
  const wrongAtFirst = [...wrong];
  for (let stepCount = acknowledged + 1; ; stepCount += 1) {
    if (wrong.size === 0) return { contents, stepCount };
    const step = steps[stepCount];
    if (step === undefined) break;
    apply(contents, step);
    if (step.type === 'write') for (const { key } of step.operations) check(textOf(key));
  }
  const [key = ''] = wrongAtFirst;
  throw new Error(
    `after ${acknowledged + 1} acknowledged steps of ${steps.length}, ${wrongAtFirst.length} keys are wrong, and no later ` +
      `step explains them; the first has ${shown(key, found.get(key))}`,
  );
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

function shown(key: Uint8Array | string | undefined, value: Uint8Array | undefined): string {
  if (key === undefined) return 'nothing';
  const name = JSON.stringify(typeof key === 'string' ? key : textOf(key)).slice(0, 60);
  if (value === undefined) return `${name} -> nothing`;
  return `${name} -> ${value.length} bytes ${Buffer.from(value.subarray(0, 16)).toString('hex')}`;
}
