/**
 * The peers' servers: found, started on a free port of this machine with their data in a directory of ours, and ended with this process,
 * however that ends short of a SIGKILL.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const HOST = '127.0.0.1';
const START_MS_MAX = 10_000;
const STOP_MS_MAX = 5_000;
const LOOK_MS = 20;
const run = promisify(execFile);

/** @typedef {'synced' | 'buffered'} Durability */

/**
 * @typedef {object} Peer
 * @property {string} command
 * @property {string} debianPackage
 * @property {(durability: Durability, version: string) => string | undefined} lacks - why it cannot do this, if so
 * @property {(directory: string, port: number, durability: Durability) => Promise<string[]>} prepare - its arguments
 */

/** The setting came with this version; one before refuses it, and acknowledges before it syncs. */
const NATS_SYNC_ALWAYS = [2, 10];

/** @type {Record<'redis' | 'nats', Peer>} */
const peers = {
  redis: {
    command: 'redis-server',
    debianPackage: 'redis-server',
    lacks: () => undefined,
    prepare: async (directory, port, durability) => {
      const settings = {
        port,
        bind: HOST,
        dir: directory,
        appendonly: 'yes',
        // Not `everysec`, which may hold an acknowledged write back from the system while a sync is under way.
        appendfsync: durability === 'synced' ? 'always' : 'no',
        save: '',
      };
      return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    },
  },
  nats: {
    command: 'nats-server',
    debianPackage: 'nats-server',
    lacks: (durability, version) => {
      const [major = 0, minor = 0] = version.split('.').map(Number);
      const [needsMajor = 0, needsMinor = 0] = NATS_SYNC_ALWAYS;
      const isOld = major < needsMajor || (major === needsMajor && minor < needsMinor);
      return durability === 'synced' && isOld ? `nats-server ${version} has no \`sync_interval: always\`` : undefined;
    },
    prepare: async (directory, port, durability) => {
      const file = join(directory, 'nats.conf');
      const sync = durability === 'synced' ? ', sync_interval: always' : '';
      const storage = JSON.stringify(join(directory, 'jetstream'));
      await writeFile(file, `listen: "${HOST}:${port}"\njetstream { store_dir: ${storage}${sync} }\n`);
      return ['--config', file];
    },
  },
};

/** @typedef {keyof typeof peers} PeerName */

/** @param {PeerName} name @returns {Promise<string | undefined>} its version, or `undefined` if it is not installed */
export async function serverVersion(name) {
  try {
    const { stdout } = await run(peers[name].command, ['--version']);
    return /(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

/** What to say, or to do, where it is not installed. @param {PeerName} name */
export const installCommand = (name) => ['apt-get', 'install', '--yes', peers[name].debianPackage];

/** @param {PeerName} name */
export async function installServer(name) {
  const [command = '', ...rest] = installCommand(name);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }; // it shall not be started as a service
  await run('apt-get', ['update'], { env });
  await run(command, rest, { env });
}

/** @param {PeerName} name @param {Durability} durability @param {string} version @returns {string | undefined} */
export const whyNot = (name, durability, version) => peers[name].lacks(durability, version);

/** Servers that run, so that none outlives us. @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
const killAll = () => {
  for (const server of running) server.kill('SIGKILL');
};
process.on('exit', killAll);
// As an interruption from the keyboard, which is what removes temporary directories.
for (const signal of ['SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    if (!process.emit('SIGINT')) process.exit(1);
  });
}

/**
 * @param {PeerName} name
 * @param {string} directory - of its data
 * @param {Durability} durability
 * @returns {Promise<{ readonly port: number, readonly stop: () => Promise<void> }>}
 */
export async function startServer(name, directory, durability) {
  await mkdir(directory, { recursive: true });
  const port = await freePort();
  const { command, prepare } = peers[name];
  const server = spawn(command, await prepare(directory, port, durability), { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const listen = (/** @type {Buffer} */ text) => (said = (said + text.toString()).slice(-2000));
  server.stdout.on('data', listen);
  server.stderr.on('data', listen);
  server.on('error', (error) => (said += error.message));
  running.add(server);
  process.prependOnceListener('SIGINT', killAll); // before its directory is removed
  server.once('close', () => {
    running.delete(server);
    process.removeListener('SIGINT', killAll);
  });
  const stop = async () => {
    if (!running.has(server)) return;
    const isClosed = once(server, 'close');
    server.kill('SIGTERM');
    const timeout = setTimeout(() => server.kill('SIGKILL'), STOP_MS_MAX);
    await isClosed;
    clearTimeout(timeout);
  };
  const until = performance.now() + START_MS_MAX;
  while (!(await isListening(port))) {
    if (!running.has(server) || performance.now() > until) {
      await stop();
      throw new Error(`${command} did not start: ${said.trim()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return { port, stop };
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('A listening server has a port');
  return address.port;
}

/** @param {number} port @returns {Promise<boolean>} */
const isListening = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, HOST);
    const answer = (/** @type {boolean} */ isThere) => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => answer(true)).once('error', () => answer(false));
  });
