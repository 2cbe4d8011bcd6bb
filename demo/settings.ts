/** What the tour may be told on its command line, and the options of its store. */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { GivenOptions } from 'alluvium';
import { isPlant, type Plant, PLANTS } from './plant.ts';

/** Writes that may be on their way to the log at once. One sync serves all that wait, so more in flight means more per second. */
export const IN_FLIGHT_MAX = 256;

/** With fewer than a few windows of writes there would be no middle to be killed in. */
const RECORDS_MIN = 1000;

/** A memtable far below the default, so that this little data is enough to show flushes, levels and compactions. */
export const STORE_OPTIONS: GivenOptions = {
  durability: 'synced',
  memtableBytesMax: 2 * 1024 * 1024,
  tableBytesMax: 1024 * 1024,
};

export interface Settings {
  /** Records to load; at most what the data set has. */
  readonly recordsMax: number;
  /** Where the store goes: a directory that is new or empty. */
  readonly directory: string;
  /** The damage to do before the checks, to show that they see it. */
  readonly plant: Plant | undefined;
}

export const USAGE = `npm start -- [--records N] [--directory PATH] [--plant ${PLANTS.join('|')}]`;

/** The command line does not say what to do; the message says why. */
export class UsageError extends Error {}

const parse = (argv: readonly string[]): { records?: string; directory?: string; plant?: string } => {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({ args: [...argv], options: { records: text, directory: text, plant: text } }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
};

/** Reads the command line, and makes a directory where it names none. */
export async function readSettings(argv: readonly string[]): Promise<Settings> {
  const { records, directory, plant } = parse(argv);
  const recordsMax = records === undefined ? Infinity : Number(records);
  if (!(recordsMax >= RECORDS_MIN))
    throw new UsageError(`--records must be a number from ${RECORDS_MIN}, not ${records}`);
  if (plant !== undefined && !isPlant(plant)) {
    throw new UsageError(`--plant must be one of ${PLANTS.join(', ')}, not ${plant}`);
  }
  return { recordsMax, directory: directory ?? (await mkdtemp(join(tmpdir(), 'alluvium-demo-'))), plant };
}
