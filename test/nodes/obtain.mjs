// The Node binaries of test:nodes: they come as npm packages, one exact version for each platform (pins.json), and go into
// `.nodes/`. Nothing of a package runs while it is fetched, and only a tarball with the pinned checksum is unpacked.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const cache = join(root, '.nodes');
const pins = JSON.parse(readFileSync(join(import.meta.dirname, 'pins.json'), 'utf8'));

/** The major versions that the package claims to run on. */
export const majors = ['20', '22', '24', '26'];

const run = (command, given, cwd) =>
  execFileSync(command, given, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** @returns the tarball in the folder, after its checksum is found to be the pinned one */
function download(pin, folder) {
  const said = run('npm', ['pack', pin.package, '--json', '--ignore-scripts', '--pack-destination', folder], root);
  // npm 10 and 11 answer with a list, npm 12 with an object by package name.
  const [{ filename, integrity }] = Object.values(JSON.parse(said));
  if (integrity !== pin.integrity) throw new Error(`it has the checksum ${integrity}, not the pinned one`);
  return join(folder, filename);
}

function unpack(pin, home) {
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'fetching-'));
  try {
    const tarball = download(pin, folder);
    run('tar', ['-xzf', tarball, '--strip-components=1', 'package/bin/node'], folder);
    rmSync(tarball);
    rmSync(home, { recursive: true, force: true });
    renameSync(folder, home); // so that a folder of that name is always a whole one
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The folder with the `node` of a major version.
 *
 * @throws Error in words, when there is none for this platform, it cannot be fetched, or does not run here
 */
export function obtain(major) {
  const platform = `${process.platform}-${process.arch}`;
  const pin = pins[platform]?.[major];
  if (pin === undefined) throw new Error(`test/nodes/pins.json has none for ${platform}`);
  const home = join(cache, pin.package);
  const folder = join(home, 'bin');
  try {
    if (!existsSync(join(folder, 'node'))) unpack(pin, home);
    const version = run(join(folder, 'node'), ['--version'], root).trim();
    if (!pin.package.endsWith(`@${version.slice(1)}`)) throw new Error(`it says it is ${version}`);
    return { folder, version: version.slice(1) };
  } catch (error) {
    const { message, stderr } = error;
    throw new Error(`${pin.package} cannot be had: ${String(stderr || message).trim()}`, { cause: error });
  }
}
