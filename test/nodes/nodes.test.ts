// Goal: test:nodes runs what package.json claims, with binaries pinned to the byte, and a Node that is missing is a failure.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const readJson = (file: string): unknown => JSON.parse(readFileSync(join(root, file), 'utf8'));

interface Pin {
  readonly package: string;
  readonly integrity: string;
}
const pins = Object.entries(
  readJson('test/nodes/pins.json') as Readonly<Record<string, Readonly<Record<string, Pin>>>>,
);
const { engines } = readJson('package.json') as { readonly engines: { readonly node: string } };

function runNodes(given: readonly string[], flags: readonly string[] = []): { status: number | null; said: string } {
  const parts = [...flags, 'test/nodes/run.mjs', ...given];
  const { status, stdout, stderr } = spawnSync(process.execPath, parts, { cwd: root, encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

describe('the pinned binaries', () => {
  it.each(pins)('of %s are of exact versions, checked, and not older than the package claims', (platform, byMajor) => {
    const [oldestMajor = 0, oldestMinor = 0] = engines.node.replace('>=', '').split('.').map(Number);
    for (const [major, pin] of Object.entries(byMajor)) {
      const [name = '', version = ''] = pin.package.split('@');
      expect(name).toMatch(new RegExp(`^node-(bin-)?${platform}$`));
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      expect(version.split('.')[0]).toBe(major);
      expect(pin.integrity).toMatch(/^sha512-[\w+/]{86}==$/);
      const [, minor = 0] = version.split('.').map(Number);
      expect(Number(major) * 1000 + minor).toBeGreaterThanOrEqual(oldestMajor * 1000 + oldestMinor);
    }
  });

  it('are there on Linux for each Node that the package claims', () => {
    const linux = pins.filter(([platform]) => platform.startsWith('linux'));
    expect(linux.map(([, byMajor]) => Object.keys(byMajor))).toEqual(linux.map(() => ['20', '22', '24', '26']));
  });
});

describe('test:nodes', { timeout: 30_000 }, () => {
  it('refuses a Node that the package does not claim, and options that it does not have', () => {
    expect(runNodes(['--only', '21'])).toEqual({ status: 2, said: '--only takes 20, 22, 24, 26, not 21\n' });
    expect(runNodes(['--olny', '22'])).toMatchObject({ status: 2, said: expect.stringContaining('--olny') as string });
  });

  it.each([[[]], [['--allow-missing']]])('fails where no Node can be had, and says which: %j', (more) => {
    const elsewhere = `data:text/javascript,Object.defineProperty(process,'platform',{value:'plan9'})`;

    const { status, said } = runNodes(['--only', '22', ...more], ['--import', elsewhere]);

    expect(said).toMatch(/MISSING +Node 22 +not run: .*pins\.json has none for plan9/);
    expect(status).toBe(1);
  });
});
