// Goal: what users store does not turn up where they do not expect it. Values: in no error, no event, no statistics and no file
// but those that hold entries. Keys: only in the errors that are about a key (docs/errors.md says which). Method: every failure
// that we know how to make, on a store full of one word, with all that is told gathered, causes and stacks included; on Node's
// own inspection, which shows what JSON does not.
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type EngineEvent, open, repair, type Store, verify } from 'alluvium';
import { temporaryDirectories } from '../support/temporary.ts';

const newDirectory = temporaryDirectories();
const VALUE = 'valueMarker7e1f';
const KEY = 'keyMarker93ac';

/** Everything that an object shows of itself. Bytes as text: a marker in them would be a list of numbers. */
function shown(told: unknown): string {
  const bytes: string[] = [];
  const json = JSON.stringify(told, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
    if (value instanceof Error)
      return { fields: Object.entries(value), message: value.message, stack: value.stack, cause: value.cause };
    return typeof value === 'bigint' ? String(value) : value;
  });
  const text = inspect(told, { depth: 10, showHidden: true, maxArrayLength: 1000, maxStringLength: 100_000 });
  for (const [run] of text.matchAll(/(?:\d+,\s*){5,}\d+/g)) {
    bytes.push(String.fromCharCode(...run.split(',').map((number) => Number(number) & 0xff)));
  }
  return `${json}${text}${bytes.join('')}`;
}

class Gathered {
  readonly told: unknown[] = [];
  failures = 0;

  async fails(work: () => PromiseLike<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.failures += 1;
      this.told.push(error);
    }
  }

  readonly onEvent = (event: EngineEvent): void => void this.told.push(event);
}

async function fill(store: Store): Promise<void> {
  for (let index = 0; index < 50; index += 1) {
    await store.set(`${KEY}${index}`, `${VALUE}${index}`.repeat(20), { durability: 'buffered' });
  }
}

describe('what users store', () => {
  it('is in no error, no event and no statistics, but for keys in errors that are about a key', async () => {
    const gathered = new Gathered();
    const aboutKeys = new Gathered();
    const location = join(newDirectory(), 'data');
    const store = await open(location, { onEvent: gathered.onEvent, worker: 'off' });
    store.events.subscribe(gathered.onEvent);
    await fill(store);
    await store.flush();
    await fill(store);
    await store.compact();
    const check = { type: 'check', key: `${KEY}1`, sequence: 1 } as const;
    await aboutKeys.fails(() => store.write([check, { type: 'set', key: `${KEY}2`, value: VALUE }]));
    await gathered.fails(() => store.set(KEY.repeat(10_000), VALUE));
    await gathered.fails(() => open(location));
    await gathered.fails(() => store.backup(location));
    const abort = AbortSignal.abort();
    await gathered.fails(() => store.set(`${KEY}3`, VALUE, { signal: abort }));
    gathered.told.push(store.stats(), store, store.set(`${KEY}4`, VALUE));
    await store.set(`${KEY}log`, VALUE);
    await store.close();
    await gathered.fails(() => store.get(`${KEY}1`));

    // Damage of every kind of file, found by everything that looks.
    for (const name of readdirSync(location).filter((one) => /\.(ldb|log)$|^MANIFEST/.test(one))) {
      const path = join(location, name);
      const bytes = readFileSync(path);
      for (const at of [10, bytes.length >> 1, bytes.length - 20].filter(
        (place) => place >= 0 && place < bytes.length,
      )) {
        const damaged = Uint8Array.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 0x20;
        writeFileSync(path, damaged);
        gathered.told.push(await verify(location).then(undefined, (error: unknown) => error));
        await gathered.fails(async () => {
          const damagedStore = await open(location, { readOnly: true, onEvent: gathered.onEvent });
          await gathered.fails(() => damagedStore.getMany([`${KEY}1`, `${KEY}49`]));
          await damagedStore.close();
        });
        writeFileSync(path, bytes);
      }
    }
    expect(gathered.failures).toBeGreaterThan(8);
    expect(shown(gathered.told)).not.toContain(VALUE);
    expect(shown(gathered.told)).not.toContain(KEY);
    expect(aboutKeys.failures).toBe(1);
    expect(shown(aboutKeys.told)).not.toContain(VALUE);
    expect(shown(aboutKeys.told)).toContain(`${KEY}1`);
  });

  it('would be seen here, if it were told', () => {
    const bytes = new TextEncoder().encode(VALUE);
    for (const told of [
      new Error(VALUE),
      { cause: new Error('x', { cause: VALUE }) },
      { bytes },
      [[{ deep: [bytes] }]],
    ]) {
      expect(shown(told)).toContain(VALUE);
    }
  });

  it('is told of by key alone in a repair’s losses, which say between which keys they lie', async () => {
    const location = join(newDirectory(), 'data');
    const store = await open(location, { worker: 'off', blockBytesMax: 256 });
    await fill(store);
    await store.compact();
    await store.close();
    const table = readdirSync(location).find((name) => name.endsWith('.ldb')) ?? '';
    const bytes = readFileSync(join(location, table));
    bytes[300] = (bytes[300] ?? 0) ^ 1;
    writeFileSync(join(location, table), bytes);
    const report = await repair(location);
    expect(report.lossCount).toBeGreaterThan(0);
    expect(shown(report)).not.toContain(VALUE);
  });

  it('is in no other file than those that hold entries', async () => {
    const location = join(newDirectory(), 'data');
    const store = await open(location, { worker: 'off', compression: 'none' });
    await fill(store);
    await store.flush();
    await fill(store);
    const names = readdirSync(location, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const holding = names
      .filter(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1').includes(VALUE))
      .map(({ name }) => name);
    expect(holding.length).toBeGreaterThan(1);
    expect(holding.filter((name) => !/\.(ldb|log)$/.test(name))).toEqual([]);
    expect(names.map(({ name }) => name)).not.toContain('LOG'); // there is no log of what happens, and so nothing in it
    await store.close();
  });

  it('is not in the errors of a socket’s end that was cut, nor of files that are gone', async () => {
    const gathered = new Gathered();
    const location = join(newDirectory(), 'data');
    const store = await open(location, { worker: 'off', onEvent: gathered.onEvent, openTablesMax: 4 });
    await fill(store);
    await store.flush();
    await store.close();
    const again = await open(location, { worker: 'off', onEvent: gathered.onEvent });
    for (const name of readdirSync(location).filter((one) => one.endsWith('.ldb')))
      truncateSync(join(location, name), 50);
    await gathered.fails(() => again.get(`${KEY}1`));
    for (const name of readdirSync(location).filter((one) => one.endsWith('.ldb'))) rmSync(join(location, name));
    await gathered.fails(() => again.compact());
    await again.close();
    expect(gathered.failures).toBeGreaterThan(0);
    expect(shown(gathered.told)).not.toContain(VALUE);
    expect(shown(gathered.told)).not.toContain(KEY);
  });
});
