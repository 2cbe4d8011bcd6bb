/** What a figure depends on besides the code: the machine, its disk, the versions. */
import { execFile } from 'node:child_process';
import { open, readFile, statfs } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { clientVersion } from './peer-clients.mjs';
import { summarize } from './statistics.mjs';
import { withTemporaryDirectory } from './temporary.mjs';

const run = promisify(execFile);
const require = createRequire(import.meta.url);

/** Engines of `bench/peers`. */
const PEERS = ['@nxtedition/rocksdb', 'lmdb', 'better-sqlite3', 'memory-level'];

const BYTES_PER_GIB = 1024 ** 3;
const SYNC_PROBES = 200;
const PROBE_BYTES = 4096;
const TMPFS_MAGIC = 0x01021994;
/** Part of the processors that may be busy with something else before the figures are in doubt. */
const LOAD_SHARE_MAX = 0.25;

/** @returns {Promise<string>} */
export async function commitOf() {
  try {
    const { stdout } = await run('git', ['rev-parse', '--short=12', 'HEAD']);
    const { stdout: changes } = await run('git', ['status', '--porcelain', '--', 'src', 'bench', 'package-lock.json']);
    return stdout.trim() + (changes.trim() === '' ? '' : ' with uncommitted changes');
  } catch {
    return 'unknown';
  }
}

/** @param {string} name @returns {Promise<string>} */
async function versionOf(name) {
  // Not by the package's exports, which need not show their package.json.
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return JSON.parse(await readFile(join(folder, name, 'package.json'), 'utf8')).version;
    } catch {
      // Not in this folder.
    }
  }
  return 'unknown';
}

/** Median milliseconds of appending 4 KiB and syncing them: what bounds durable writes. @param {string} directory */
const syncMilliseconds = (directory) =>
  withTemporaryDirectory(directory, 'alluvium-probe-', async (probe) => {
    const file = await open(join(probe, 'probe'), 'w');
    const times = [];
    for (let turn = 0; turn < SYNC_PROBES; turn += 1) {
      const start = performance.now();
      await file.write(Buffer.alloc(PROBE_BYTES, 1));
      await file.datasync();
      times.push(performance.now() - start);
    }
    await file.close();
    return summarize(times).median;
  });

/** @param {string} directory */
const isInMemory = async (directory) => platform() === 'linux' && (await statfs(directory)).type === TMPFS_MAGIC;

/** What is wrong with measuring here and now. @param {string} directory @returns {Promise<string[]>} */
export async function doubts(directory) {
  const found = [];
  const load = loadavg()[0] ?? 0;
  if (load > availableParallelism() * LOAD_SHARE_MAX) {
    found.push(`The machine was busy when the run began (load ${load.toFixed(1)}): the spread will be wide.`);
  }
  if (await isInMemory(directory)) found.push(`${directory} is in memory: durable writes cost nothing there.`);
  return found;
}

/** @param {string} directory @returns {Promise<(readonly [string, string])[]>} what and its value */
export async function describeMachine(directory) {
  const { blocks, bsize } = await statfs(directory);
  return [
    ['processor', `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`],
    ['memory', `${(totalmem() / BYTES_PER_GIB).toFixed(1)} GiB`],
    [
      'disk',
      `${((blocks * bsize) / BYTES_PER_GIB).toFixed(0)} GiB; 4 KiB appended and synced in ${(
        await syncMilliseconds(directory)
      ).toFixed(3)} ms (median of ${SYNC_PROBES})`,
    ],
    ['system', `${platform()} ${release()}`],
    ['Node.js', process.version],
    ['classic-level', await versionOf('classic-level')],
    ...PEERS.map((name) => /** @type {const} */ ([name, clientVersion(name)])),
    ['rxjs', await versionOf('rxjs')],
    ['load when it began', (loadavg()[0] ?? 0).toFixed(2)],
  ];
}
