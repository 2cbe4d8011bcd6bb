/**
 * The owner's side: listens beside the database, and serves whoever attaches.
 *
 *     listen in the folder <name>.new ──> mode 0600 ──> rename to <name>      only while the directory's lock is held
 *
 * The system makes a socket with the mode that the umask leaves, and whoever connects before it is changed stays connected:
 * so it is made in a folder that only this user may enter. The rename puts aside what a dead owner has left, and nobody else
 * ever does: who does not hold the lock only connects.
 */
import { chmod, lstat, mkdir, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Cursor, Store } from 'alluvium';
import { packageVersion } from './package-version.ts';
import { cursorAt, type OwnerHello, PROTOCOL, PROTOCOL_VERSION } from './protocol.ts';
import { ServerConnection } from './server-connection.ts';
import { NEW_NAME, NEW_SUFFIX, socketPathOf } from './socket-path.ts';

/** Processes that may be attached at once; more are turned away. */
const CONNECTIONS_MAX = 1024;

export class AttachServer {
  readonly #store: Store;
  readonly #cursor: Cursor;
  readonly #path: string;
  readonly #since = new Date();
  readonly #server: Server;
  readonly #connections = new Set<ServerConnection>();
  /** Of the socket: which file it is, whatever its name has become. */
  #inode: bigint | undefined;

  private constructor(store: Store, cursor: Cursor, path: string) {
    this.#store = store;
    this.#cursor = cursor;
    this.#path = path;
    this.#server = createServer((socket) => this.#serve(socket));
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** @param store - opened for writing by this process, so that it holds the directory's lock */
  static async listen(store: Store, cursor: Cursor): Promise<AttachServer> {
    const server = new AttachServer(store, cursor, await socketPathOf(store.location));
    try {
      await server.#listen();
    } catch (error) {
      await server.close();
      await rm(server.#path + NEW_SUFFIX, { recursive: true, force: true });
      throw error;
    }
    return server;
  }

  /** Processes that are attached. */
  get size(): number {
    return this.#connections.size;
  }

  /** Says goodbye, and answers nobody any more. The store may be closed then, and not before. */
  async close(): Promise<void> {
    // The name goes first, while the lock is held: later it may be another owner's.
    if (process.platform !== 'win32') await this.#removeName();
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const connection of [...this.#connections]) connection.goodbye();
    await closed;
  }

  async #listen(): Promise<void> {
    const isPipe = process.platform === 'win32';
    const folder = this.#path + NEW_SUFFIX;
    const path = isPipe ? this.#path : join(folder, NEW_NAME);
    if (!isPipe) {
      await rm(folder, { recursive: true, force: true }); // of a dead owner
      await mkdir(folder, { mode: 0o700 });
    }
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      // Exclusive: the workers of a `node:cluster` would share it otherwise, and only one of them has the store.
      this.#server.listen({ path, exclusive: true }, resolve);
    });
    this.#server.on('error', () => undefined); // a failed accept ends nothing
    this.#server.unref(); // to be asked is no reason to live on
    if (isPipe) return;
    await chmod(path, 0o600);
    await rename(path, this.#path);
    this.#inode = await inodeOf(this.#path);
    await rmdir(folder);
  }

  /** Unless it is another one's: where the directory was moved, there may be another database in its place. */
  async #removeName(): Promise<void> {
    const inode = await inodeOf(this.#path).catch(() => undefined);
    if (inode !== undefined && inode === this.#inode) await unlink(this.#path).catch(() => undefined);
  }

  #serve(socket: Socket): void {
    socket.unref();
    const connection = new ServerConnection(socket, this.#store, this.#cursor, () => this.#hello());
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  #hello(): OwnerHello {
    return {
      protocol: PROTOCOL,
      version: PROTOCOL_VERSION,
      package: packageVersion(),
      location: this.#store.location,
      cursor: cursorAt(this.#cursor, this.#store.stats().sequence),
      pid: process.pid,
      since: this.#since,
    };
  }
}

const inodeOf = async (path: string): Promise<bigint> => (await lstat(path, { bigint: true })).ino;
