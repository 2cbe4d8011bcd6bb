// Goal: whoever holds the name of a database's lock without having the database (anybody on the machine can, who knows the path)
// keeps it closed, and does nothing else: the refusal is typed and at once, nothing is changed, and reading goes on.
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { open, verify } from 'alluvium';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const newDirectory = temporaryDirectories();

it.skipIf(process.platform !== 'linux')(
  'a lock that somebody else holds by its name refuses, and costs nothing',
  async () => {
    const location = newDirectory();
    const store = await open(location);
    await store.set('key', 'value');
    await store.close();
    const { dev, ino } = statSync(location, { bigint: true });
    const identity = createHash('sha256').update(`${location}\0${dev}:${ino}`).digest('hex');
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(`\0alluvium-${identity}`, () => resolve()));
    const before = readdirSync(location);

    await expect(inTime('the open', open(location))).rejects.toMatchObject({
      code: 'LOCKED',
      holder: { pid: undefined, since: undefined }, // nobody is accused who has nothing to do with it
    });
    expect(readdirSync(location)).toEqual(before);
    const reader = await open(location, { readOnly: true });
    expect(await reader.has('key')).toBe(true);
    await reader.close();
    expect((await verify(location)).isWhole).toBe(true);

    await new Promise((resolve) => squatter.close(resolve));
    await (await open(location)).close();
  },
);
