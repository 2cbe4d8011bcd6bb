/**
 * A consumer seen from outside, by its name: where it is, what is before it, its dead letters. The engine's handle asks for a
 * handler; this one's is never run.
 */
import type { ConsumerInfo, KeyRange } from 'alluvium';
import type { ConsumerFace } from '../attach/index.ts';
import { NotFoundError } from './failure.ts';
import type { CommandStore } from './open-store.ts';
import { suggestionFor } from './suggest.ts';

export async function consumerInfos(store: CommandStore): Promise<readonly ConsumerInfo[]> {
  const infos: ConsumerInfo[] = [];
  for await (const info of store.consumers()) infos.push(info);
  return infos;
}

export interface Desk {
  readonly info: ConsumerInfo;
  readonly consumer: ConsumerFace;
}

/** @returns rejects with NotFoundError: a consumer that was never run must not come to be by a typing error */
export async function deskOf(store: CommandStore, name: string, range: KeyRange = {}): Promise<Desk> {
  const infos = await consumerInfos(store);
  const info = infos.find((known) => known.name === name);
  if (info !== undefined) return { info, consumer: store.consumer(name, { ...range, handle: () => undefined }) };
  const suggestion = suggestionFor(
    name,
    infos.map((known) => known.name),
  );
  throw new NotFoundError(`there is no consumer ${JSON.stringify(name)}.${suggestion}`);
}
