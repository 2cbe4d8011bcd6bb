// Goal: `npm start` does what it says on a smaller load, and says so plainly when a promise is broken.
// Method: the tour itself runs in a process of its own, once unharmed and once with each kind of planted damage.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkOrder } from '../demo/checks.ts';
import { readFlights } from '../demo/flights.ts';
import { parseAcknowledgement } from '../demo/killed-writer.ts';
import { PLANTS } from '../demo/plant.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
let workspace = '';

beforeAll(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'alluvium-demo-test-'));
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'demo/tsconfig.json'], { cwd: root });
}, 120_000);

afterAll(() => rm(workspace, { recursive: true, force: true }));

interface Ran {
  readonly code: number;
  readonly text: string;
}

const runTour = (directory: string, ...more: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const given = ['demo/dist/main.js', '--records', '5000', '--directory', directory, ...more];
    const tour = execFile(process.execPath, given, { cwd: root }, (_, stdout, stderr) => {
      resolve({ code: tour.exitCode ?? -1, text: stdout + stderr });
    });
  });

describe('the tour', () => {
  it('kills its writer, finds every acknowledged flight, and finishes the load', { timeout: 120_000 }, async () => {
    const directory = join(workspace, 'unharmed');
    const { code, text } = await runTour(directory);

    expect(text).toContain('SIGKILL came after 2,500 acknowledgements');
    expect(text).toMatch(/ok {4}all 2,\d+ acknowledged records|ok {4}all 3,\d+ acknowledged records/);
    expect(text).toContain('ok    a scan gives exactly the 5,000 flights, sorted');
    expect(text).toContain('ok    the live stream had every change');
    expect(text).toMatch(/durable writes: p50 \d/);
    expect(text).toMatch(/write amplification \d/);
    expect(text).toContain(directory);
    expect(text).toContain('Every check holds');
    expect(text).not.toContain('FAIL');
    expect(code).toBe(0);
    expect(await readdir(directory)).toContain('CURRENT');
  });

  it.each(PLANTS)(
    'says that a check failed, and exits with 1, on a planted %s',
    { timeout: 120_000 },
    async (plant) => {
      const { code, text } = await runTour(join(workspace, plant), '--plant', plant);

      expect(text).toMatch(/^ +FAIL /m);
      expect(text).toContain('A CHECK FAILED');
      expect(text).not.toContain('Every check holds');
      expect(code).toBe(1);
    },
  );

  it('says what is wrong with its arguments', { timeout: 60_000 }, async () => {
    const { code, text } = await runTour(join(workspace, 'never'), '--plant', 'roses');

    expect(text).toContain('--plant must be one of loss, change, stranger, disorder, not roses');
    expect(text).toContain('npm start -- [--records N]');
    expect(code).toBe(2);
  });
});

describe('the data set', () => {
  it('deals out every row exactly once', async () => {
    const flights = await readFlights();

    expect(flights).toHaveLength(200_000);
    expect(new Set(flights.map(({ key }) => key)).size).toBe(200_000);
  });
});

describe('an acknowledgement', () => {
  it('is read from a whole line only', () => {
    expect(parseAcknowledgement('12 13;')).toEqual({ number: 12, sequence: 13 });
    expect(parseAcknowledgement('12 1')).toBeUndefined();
    expect(parseAcknowledgement('')).toBeUndefined();
  });

  it.each([
    ['a hole', [0, 1], [1, 3]],
    ['a repeat', [0, 1], [1, 1]],
    ['another order', [1, 0], [1, 2]],
    ['a late start', [1, 2], [2, 3]],
  ])('out of order is told: %s', (_, numbers, sequences) => {
    const acknowledgements = numbers.map((number, index) => ({ number, sequence: sequences[index] ?? 0 }));

    expect(checkOrder(acknowledgements).failure).toMatch(/^acknowledgement \d was of record \d/);
  });
});
