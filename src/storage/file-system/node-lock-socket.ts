/**
 * A lock in pure Node: a listening socket with a name of which there is only one, and which the kernel takes back when the
 * process dies, however it dies.
 *
 * On Linux an abstract unix socket (one per network namespace), on Windows a named pipe (Node makes it with
 * FILE_FLAG_FIRST_PIPE_INSTANCE). Nothing is ever said through it.
 */
import { createServer } from 'node:net';
import { systemCode } from './node-errors.ts';

/**
 * @param identity - hexadecimal
 * @returns what gives it back, or `undefined` if somebody holds it; rejects if it cannot be made for another reason
 */
export async function takeSocket(identity: string): Promise<(() => Promise<void>) | undefined> {
  const name = process.platform === 'win32' ? `\\\\.\\pipe\\alluvium-${identity}` : `\0alluvium-${identity}`;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.destroy();
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Exclusive: otherwise the workers of a `node:cluster` would share one socket, and all of them hold the lock.
      server.listen({ path: name, exclusive: true }, resolve);
    });
  } catch (thrown) {
    if (systemCode(thrown) === 'EADDRINUSE') return undefined;
    throw thrown;
  }
  server.on('error', () => undefined); // a failed accept (EMFILE) takes nothing from the lock
  server.unref(); // a held lock must not keep the process alive
  return () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve()); // its only error is that it is closed already
    });
}
