/** A consumer seen from outside, by its name: where it is, what is before it, its dead letters. */
import type { ConsumerInfo } from 'alluvium';
import type { DeskFace } from '../attach/face.ts';
import { NotFoundError } from './failure.ts';
import type { CommandStore } from './open-store.ts';
import { suggestionFor } from './suggest.ts';
import { countOf } from './units.ts';

export async function consumerInfos(store: CommandStore): Promise<readonly ConsumerInfo[]> {
  const infos: ConsumerInfo[] = [];
  for await (const info of store.consumers()) infos.push(info);
  return infos;
}

export interface Desk {
  readonly info: ConsumerInfo;
  readonly consumer: DeskFace;
}

/** @returns rejects with NotFoundError: a consumer that was never run must not come to be by a typing error */
export async function deskOf(store: CommandStore, name: string): Promise<Desk> {
  const infos = await consumerInfos(store);
  const info = infos.find((known) => known.name === name);
  if (info !== undefined) return { info, consumer: store.desk(name) };
  const suggestion = suggestionFor(
    name,
    infos.map((known) => known.name),
  );
  throw new NotFoundError(`there is no consumer ${JSON.stringify(name)}.${suggestion}`);
}

/** More are not counted before a question is put: each of them is read for it. */
const COUNTED_MAX = 1000;

/** A desk, as far as this needs one. */
interface Lettered {
  deadLetters(options: { readonly signal: AbortSignal }): { pages(): AsyncIterable<readonly unknown[]> };
}

export interface LetterCount {
  readonly count: number;
  /** Whether there are more than were counted. */
  readonly isMore: boolean;
}

/** How many dead letters there are, page by page, up to a thousand. */
export async function countLetters(consumer: Lettered, signal: AbortSignal): Promise<LetterCount> {
  let count = 0;
  for await (const page of consumer.deadLetters({ signal }).pages()) {
    count += page.length;
    if (count > COUNTED_MAX) return { count: COUNTED_MAX, isMore: true };
  }
  return { count, isMore: false };
}

export const lettersText = ({ count, isMore }: LetterCount): string =>
  `${isMore ? 'more than ' : ''}${countOf(count, 'dead letter')}`;
