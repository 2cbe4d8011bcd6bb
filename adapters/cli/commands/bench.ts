import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command, Context } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import type { CommandStore } from '../open-store.ts';
import { alignColumns } from '../table-text.ts';
import { countText } from '../units.ts';
import { withStore } from '../with-store.ts';

const WRITERS = 64;
const KEYS = 100_000;

interface Figure {
  readonly name: string;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export const bench: Command = {
  name: 'bench',
  summary: 'Measure this machine: writes, reads and scans on a new database',
  positionals: [{ name: 'directory', isOptional: true }],
  options: {
    seconds: { kind: 'number', help: 'Of each measurement (default 2)' },
    'value-bytes': { kind: 'number', help: 'Of each value (default 100)' },
  },
  details: [
    'Makes a database of its own in the directory (default: that for temporary files), and removes it. A latency is that of one',
    'call; for scan, of one page. The disk counts: name a directory on the one that you mean.',
  ],
  examples: ['bench', 'bench /mnt/disk --seconds 10 --json'],
  standsAlone: true,
  async run(context) {
    const { flags, positionals, out, talk, signal } = context;
    const ms = 1000 * (flags.number('seconds', 1, 3600) ?? 2);
    const value = new Uint8Array(flags.number('value-bytes', 0, 2 ** 20) ?? 100).map(
      (_, index) => (index * 7919) % 251,
    );
    const directory = await mkdtemp(join(positionals[0] ?? tmpdir(), 'alluvium-bench-'));
    try {
      const figures = await withStore({ ...context, positionals: [directory] }, 'create', async (store) => {
        const measured: Figure[] = [];
        for (const [name, work] of workloads(store, value)) {
          signal.throwIfAborted();
          const progress = talk.progress({ label: name, unit: 'entries' });
          const figure = await measure(context, name, ms, work, (done) => progress.at(done)).finally(() =>
            progress.end(),
          );
          measured.push(figure);
          if (flags.has('json')) await out.json(figure);
        }
        return measured;
      });
      if (flags.has('json')) return EXIT.done;
      const rows = figures.map(({ name, perSecond, p50Ms, p99Ms }) => [
        name,
        countText(perSecond),
        p50Ms.toFixed(3),
        p99Ms.toFixed(3),
      ]);
      for (const line of alignColumns([['WHAT', 'PER SECOND', 'P50 ms', 'P99 ms'], ...rows], [1, 2, 3]))
        await out.line(line);
      return EXIT.done;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};

interface Workload {
  /** Calls that are under way at once. */
  readonly callers: number;
  /** One call. @returns how many entries it was about */
  readonly call: (number: number) => Promise<number>;
}

const keyOf = (number: number): string => `key:${String((number * 2_654_435_761) % KEYS).padStart(8, '0')}`;

function workloads(store: CommandStore, value: Uint8Array): readonly (readonly [string, Workload])[] {
  const set =
    (durability: 'synced' | 'buffered') =>
    async (number: number): Promise<number> => {
      await store.set(keyOf(number), value, { durability });
      return 1;
    };
  const scan = async (): Promise<number> => {
    let entries = 0;
    for await (const page of store.scan({ limit: 1000 }).pages()) entries += page.length;
    return entries;
  };
  const get = async (number: number): Promise<number> => {
    await store.get(keyOf(number));
    return 1;
  };
  return [
    ['set, buffered, 64 callers', { callers: WRITERS, call: set('buffered') }],
    ['set, synced, 1 caller', { callers: 1, call: set('synced') }],
    ['set, synced, 64 callers', { callers: WRITERS, call: set('synced') }],
    ['get, 1 caller', { callers: 1, call: get }],
    ['scan of 1,000 entries', { callers: 1, call: scan }],
  ];
}

/** Latencies that are kept for the percentiles: beyond it, every second one is dropped. */
const SAMPLES_MAX = 1_000_000;

async function measure(
  { signal }: Context,
  name: string,
  ms: number,
  { callers, call }: Workload,
  onProgress: (done: number) => void,
): Promise<Figure> {
  let samples: number[] = [];
  let done = 0;
  let calls = 0;
  const startMs = performance.now();
  const caller = async (): Promise<void> => {
    while (performance.now() - startMs < ms && !signal.aborted) {
      const calledMs = performance.now();
      calls += 1;
      const entries = await call(calls);
      done += entries; // not `done += await`: that would add to what it was before the call
      samples.push(performance.now() - calledMs);
      if (samples.length > SAMPLES_MAX) samples = samples.filter((_, index) => index % 2 === 0);
      if (calls % 256 === 0) onProgress(done);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const elapsedMs = performance.now() - startMs;
  const sorted = Float64Array.from(samples).sort();
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { name, perSecond: (1000 * done) / elapsedMs, p50Ms: at(0.5), p99Ms: at(0.99) };
}
