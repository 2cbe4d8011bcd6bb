// Goal: nobody but the user may read or write what we make, whatever the umask says. Method: umask 0, under which everything
// that does not ask for less is open to all; then all that makes files, and a look at every mode.
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { open, repair, restore } from 'alluvium';
import { openOrAttach } from 'alluvium/attach';
import { alluvium } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const newDirectory = temporaryDirectories();
let umask = 0;
beforeEach(() => void (umask = process.umask(0)));
afterEach(() => void process.umask(umask));

/** What is open to anybody else, as `name mode`. */
function openToOthers(folder: string): string[] {
  const entries = [folder, ...readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)))];
  expect(entries.length).toBeGreaterThan(3);
  return entries
    .map((path) => [path.slice(folder.length), lstatSync(path).mode & 0o777] as const)
    .filter(([, mode]) => (mode & 0o077) !== 0)
    .map(([name, mode]) => `${name} ${mode.toString(8)}`);
}

describe.skipIf(process.platform === 'win32')('under umask 0', () => {
  it('what a store makes is its user’s alone: while it is open, closed, backed up, restored, repaired', async () => {
    const folder = newDirectory();
    const at = (name: string): string => join(folder, name);
    const location = join(at('parents'), 'that are missing', 'data');
    const store = await open(location);
    await store.set('key', 'value');
    await store.flush();
    await store.set('key', 'another');
    const consumer = store.consumer('one', { handle: () => Promise.resolve() });
    await new Promise<void>((resolve) => {
      const run = consumer.run().subscribe(() => (run.unsubscribe(), resolve()));
    });
    expect(openToOthers(at('parents'))).toEqual([]); // with its lock, its note and its next log
    await store.backup(at('linked'));
    await store.backup(at('copied'), { hardLinks: false });
    await store.close();
    await restore(at('linked'), at('restored'));
    rmSync(join(location, 'CURRENT'));
    await repair(location);
    expect(readdirSync(location)).toContain('lost');
    for (const name of ['parents', 'linked', 'copied', 'restored']) expect(openToOthers(at(name)), name).toEqual([]);
  });

  it('a socket is so from the first moment, and nobody else can get to it before', async () => {
    const folder = join(newDirectory(), 'open to all');
    mkdirSync(folder, 0o777);
    const store = await openOrAttach(folder);
    expect(openToOthers(folder)).toEqual([' 777']); // the folder, which is not of our making
    const socket = lstatSync(join(folder, 'alluvium.sock'));
    expect([socket.isSocket(), socket.mode & 0o777]).toEqual([true, 0o600]);
    expect(readdirSync(folder)).not.toContain('alluvium.sock.new');
    await store.close();
  });

  it('so is what the command line exports', async () => {
    const folder = newDirectory();
    const location = join(folder, 'data');
    const store = await open(location);
    await store.set('key', 'value');
    await store.close();
    for (const words of [
      ['export', location, join(folder, 'entries.ndjson')],
      ['export', location, join(folder, 'copy'), '--format', 'level'],
    ]) {
      expect((await alluvium(words)).code, words.join(' ')).toBe(0);
    }
    expect(openToOthers(folder)).toEqual([]);
  });
});
