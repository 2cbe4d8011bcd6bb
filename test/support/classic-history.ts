/** The history of a list of store commands on real LevelDB, by way of classic-level; and what of a history it can have. */
import { ClassicLevel } from 'classic-level';
import type { WriteOperation } from '../../src/index.ts';
import type { Seen, StoreCommand } from './store-commands.ts';
import { textOf } from './sorted-model.ts';

type Bound = Uint8Array | string | undefined;
type Database = ClassicLevel<Buffer, Buffer>;

/** LevelDB numbers its writes, but tells nobody; and it has no changes. */
export const withoutNumbers = (list: readonly StoreCommand[], history: readonly Seen[]): Seen[] =>
  history
    .slice(0, -1)
    .map((seen, index) => (['set', 'delete', 'batch'].includes(list[index]?.do ?? '') ? undefined : seen));

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const text = (value: Buffer | undefined): string | undefined => (value === undefined ? undefined : textOf(value));
const bound = (value: Bound): Buffer | undefined => (value === undefined ? undefined : Buffer.from(value));

type Line =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

function lineOf(operation: WriteOperation): Line[] {
  if (operation.type === 'check') throw new Error('LevelDB knows no conditions');
  const key = Buffer.from(operation.key);
  return operation.type === 'set'
    ? [{ type: 'put', key, value: Buffer.from(operation.value) }]
    : [{ type: 'del', key }];
}

/** Like {@link withoutNumbers} of what the store gives. */
export async function classicHistory(
  list: readonly StoreCommand[],
  directory: string,
  options: object,
): Promise<Seen[]> {
  let db: Database = await opened();
  const snapshots = new Map<number, ReturnType<Database['snapshot']>>();
  const history: Seen[] = [];
  for (const one of list) history.push(await step(one));
  history.push(await entries({ way: 'pull' }, undefined));
  await closed();
  return history;

  async function opened(): Promise<Database> {
    const made: Database = new ClassicLevel(directory, { keyEncoding: 'buffer', valueEncoding: 'buffer', ...options });
    await made.open();
    return made;
  }

  async function closed(): Promise<void> {
    for (const snapshot of snapshots.values()) await snapshot.close();
    snapshots.clear();
    await db.close();
  }

  async function entries(
    scan: Extract<StoreCommand, { do: 'scan' }>['scan'],
    slot: number | undefined,
  ): Promise<unknown[]> {
    const { gt, gte, lt, lte, reverse = false, limit, keys = true, values = true } = scan;
    const snapshot = slot === undefined ? undefined : snapshots.get(slot);
    const range = Object.entries({ gt: bound(gt), gte: bound(gte), lt: bound(lt), lte: bound(lte) });
    const given = Object.fromEntries(range.filter(([, value]) => value !== undefined));
    // Of two bounds on one side ours takes the inclusive one, and so does abstract-level.
    const found = await db
      .iterator({ ...given, reverse, limit: limit ?? -1, ...(snapshot === undefined ? {} : { snapshot }) })
      .all();
    return found.map(([key, value]) => (keys && values ? [textOf(key), textOf(value)] : textOf(keys ? key : value)));
  }

  async function step(one: StoreCommand): Promise<Seen> {
    switch (one.do) {
      case 'set':
        return db.put(bytes(one.key), bytes(one.value));
      case 'delete':
        return db.del(bytes(one.key));
      case 'batch':
        return db.batch(one.operations.flatMap(lineOf));
      case 'get':
        return text(await db.get(bytes(one.key)));
      case 'has':
        return (await db.get(bytes(one.key))) !== undefined;
      case 'getMany':
        return (await db.getMany(one.keys.map(bytes))).map(text);
      case 'scan':
        return entries(one.scan, one.snapshot);
      case 'snapshot':
        await snapshots.get(one.slot)?.close();
        snapshots.set(one.slot, db.snapshot());
        return undefined;
      case 'snapshotClose':
        await snapshots.get(one.slot)?.close();
        snapshots.delete(one.slot);
        return undefined;
      case 'snapshotGetMany': {
        const snapshot = snapshots.get(one.slot);
        if (snapshot === undefined) return undefined;
        return (await db.getMany(one.keys.map(bytes), { snapshot })).map(text);
      }
      case 'flush':
        return undefined; // it has none
      case 'compact':
        await db.compactRange(bytes(one.start ?? ''), bytes(one.end ?? '\xff\xff\xff'));
        return undefined;
      case 'reopen':
      case 'kill':
        await closed();
        db = await opened();
        return entries({ way: 'pull' }, undefined);
    }
  }
}
