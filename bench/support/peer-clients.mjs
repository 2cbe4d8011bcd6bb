/**
 * The peers, and the Node.js clients of those that are servers. They live in a package of their own, `bench/peers`, which nobody has who does not ask for
 * it: so they are looked up from there, while the program runs, and not imported by name.
 */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const MANIFEST = new URL('../peers/package.json', import.meta.url);
const require = createRequire(MANIFEST);
const run = promisify(execFile);

/** @param {string} name @returns {Promise<any>} the module; what is in it is the client's affair */
export const loadClient = (name) => import(pathToFileURL(require.resolve(name)).href);

/** Those with native code may fail to install, and are left out then. @param {any} manifest @returns {Record<string, string>} */
const allOf = ({ dependencies, optionalDependencies }) => ({ ...dependencies, ...optionalDependencies });

/**
 * Installs the peers and clients as their lock file says, if they are not there. Fails where the registry is out of reach.
 * (`npm install` and not `npm ci`, which refuses a lock file without the builds of one of them for other systems.)
 */
export async function installClients() {
  const manifest = require(fileURLToPath(MANIFEST));
  const isThere = (/** @type {string} */ name) => {
    try {
      require.resolve(name);
      return true;
    } catch {
      return false;
    }
  };
  if (Object.keys(allOf(manifest)).every(isThere)) return;
  await run('npm', ['install', '--no-save', '--no-audit', '--no-fund'], { cwd: dirname(fileURLToPath(MANIFEST)) });
}

/** @param {string} name @returns {string} */
export const clientVersion = (name) => allOf(require(fileURLToPath(MANIFEST)))[name] ?? 'unknown';
