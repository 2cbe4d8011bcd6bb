/** Scans and change streams of a store that another process has: each page is asked for when it is wanted. */
import {
  type ChangeEvent,
  type ChangesFrom,
  type ChangesOptions,
  type ChangesUntil,
  ClosedError,
  type Cursor,
  type DeadLetter,
  type ScanOptions,
} from 'alluvium';
import { abortedBy, onAbort } from './abort.ts';
import { type Anchor, anchor } from './anchor.ts';
import { OwnerLostError } from './attach-error.ts';
import type { AskOptions, Link } from './link.ts';
import type { Pages } from './operation.ts';
import { type Request, sequenceOf } from './protocol.ts';

export const asked = <T>(link: Link, request: Request, options?: AskOptions): Promise<T> =>
  new Promise<T>((resolve, reject) => {
    link.ask(request, { succeed: (value) => resolve(value as T), fail: reject }, options);
  });

/** What an owner reads for us, page by page. It ends with its owner: what that one has seen of the store, nobody else has. */
class RemotePages<T> implements Pages<T> {
  readonly #link: Link;
  readonly #stream: number;
  readonly #anchor: Anchor;
  readonly #opened: Promise<unknown>;
  #isClosed = false;

  constructor(link: Link, holdAt: Anchor, openAs: (stream: number) => Request) {
    this.#link = link;
    this.#stream = link.nextId();
    this.#anchor = holdAt;
    this.#opened = asked(link, openAs(this.#stream), { holdAt });
    this.#opened.catch(() => undefined); // whoever pulls hears of it
  }

  async next(): Promise<readonly T[]> {
    if (this.#isClosed) return [];
    const [, page] = await Promise.all([
      this.#opened,
      asked<readonly T[]>(this.#link, { op: 'pull', stream: this.#stream }, { holdAt: this.#anchor, isLetIn: true }),
    ]);
    if (page.length === 0) this.#isClosed = true; // the owner has closed it, too
    return page;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    endStream(this.#link, this.#stream, this.#anchor);
  }
}

export class RemoteScan<T> extends RemotePages<T> {
  /** @param snapshot - number and anchor of the snapshot that it reads, if it reads one */
  constructor(link: Link, options: ScanOptions, snapshot?: { readonly id: number; readonly anchor: Anchor }) {
    const sent: ScanOptions = { ...options, signal: undefined }; // a signal stays here
    super(link, snapshot?.anchor ?? anchor('scan'), (stream) => {
      return { op: 'scanOpen', stream, snapshot: snapshot?.id, options: sent };
    });
  }
}

export class RemoteLetters extends RemotePages<DeadLetter> {
  constructor(link: Link, name: string) {
    super(link, anchor('list of dead letters'), (stream) => ({ op: 'deadLettersOpen', stream, name }));
  }
}

function endStream(link: Link, stream: number, holdAt: Anchor): void {
  if (holdAt.generation !== undefined && holdAt.generation !== link.generation) return; // it went with its owner
  link.ask(
    { op: 'streamClose', stream },
    { succeed: () => undefined, fail: () => undefined },
    { holdAt, isLetIn: true },
  );
}

interface OpenChanges {
  readonly stream: number;
  readonly anchor: Anchor;
  readonly place: Promise<Cursor>;
}

/**
 * A change stream, which outlives its owner: it goes on behind the last change that it gave.
 *
 * One that began 'now' and gave nothing yet goes on from where the owner said that now is; and if the owner has died before
 * it said so, from the newest place that this process knew of at the call. So it may give changes that were committed just
 * before the call, and never leaves out one from after it. As for its end: 'now' is what the owner says first, and if that one
 * has died before, what the next one says; never a place from before the call.
 */
export class RemoteChanges implements Pages<ChangeEvent> {
  readonly #link: Link;
  readonly #options: ChangesOptions;
  #from: ChangesFrom;
  #until: ChangesUntil | undefined;
  #open: OpenChanges | undefined;
  #isInSnapshot: boolean;
  #hasGiven = false;
  #isClosed = false;

  constructor(link: Link, options: ChangesOptions) {
    this.#link = link;
    this.#options = { ...options, signal: undefined }; // a signal stays here
    this.#from = options.from ?? 'now';
    this.#until = options.until;
    this.#isInSnapshot = this.#from === 'snapshot';
    const known = link.cursor;
    this.#open = this.#begin(false); // what comes after 'now' is what comes after this line
    if (this.#from === 'now' && known !== undefined) this.#from = known;
  }

  async next(): Promise<readonly ChangeEvent[]> {
    while (!this.#isClosed) {
      this.#open ??= this.#begin(true);
      try {
        const page = this.#taken(await this.#pull(this.#open));
        if (page !== undefined) return page;
      } catch (error) {
        this.#open = undefined;
        if (error instanceof ClosedError && this.#link.isClosing && !this.#isUnfinished) return [];
        if (!(error instanceof OwnerLostError) && !this.#isOwnerClosing(error)) throw error;
        if (this.#isInSnapshot && this.#hasGiven)
          throw new OwnerLostError('snapshot that the change stream begins with');
      }
    }
    return [];
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#open !== undefined) endStream(this.#link, this.#open.stream, this.#open.anchor);
  }

  /** Whether to end now would look like the end of what was asked for. */
  get #isUnfinished(): boolean {
    return this.#isInSnapshot || this.#until !== undefined;
  }

  /** The owner's stream is cut short when its store closes; ours goes on with the next owner. */
  #isOwnerClosing(error: unknown): boolean {
    return error instanceof ClosedError && this.#until !== undefined && !this.#isInSnapshot && !this.#link.isClosing;
  }

  /** @param isLetIn - whether it was there before, at an owner that has gone */
  #begin(isLetIn: boolean): OpenChanges {
    const opened = { stream: this.#link.nextId(), anchor: anchor('change stream') };
    const request = {
      op: 'changesOpen',
      stream: opened.stream,
      options: { ...this.#options, from: this.#from, until: this.#until },
    } as const;
    const place = asked<Cursor>(this.#link, request, { holdAt: opened.anchor, isLetIn });
    this.#learnPlace(place, this.#from === 'now', this.#until === 'now');
    return { ...opened, place };
  }

  /** Where now is, for the next owner. The end is a number: that it will have got there, also if it has lost the change. */
  #learnPlace(place: Promise<Cursor>, isFromNow: boolean, isUntilNow: boolean): void {
    place.then(
      (cursor) => {
        if (isFromNow && !this.#hasGiven) this.#from = cursor;
        if (isUntilNow) this.#until = sequenceOf(cursor);
      },
      () => undefined, // whoever pulls hears of it
    );
  }

  async #pull({ stream, anchor: holdAt, place }: OpenChanges): Promise<readonly ChangeEvent[]> {
    const pull = { op: 'pull', stream } as const;
    // What is there already comes; the next change, or a number of the future, may never.
    const { until } = this.#options;
    const isIdle = until === undefined || typeof until === 'number';
    const [, page] = await Promise.all([place, asked<readonly ChangeEvent[]>(this.#link, pull, { holdAt, isIdle })]);
    return page;
  }

  /** `undefined`: there was nothing in it but the place. */
  #taken(page: readonly ChangeEvent[]): readonly ChangeEvent[] | undefined {
    if (page.length === 0) {
      // The owner's stream without an end ends when its store closes; ours goes on with the next owner.
      if (this.#until === undefined && !this.#link.isClosing) throw new OwnerLostError('change stream');
      return page;
    }
    this.#hasGiven = true;
    for (const event of page) {
      if (event.type === 'snapshotEnd') this.#isInSnapshot = false;
      if (event.type !== 'entry') this.#from = event.cursor;
    }
    // The owner tells the place of a silent stream; whoever did not ask for that does not hear of it.
    const isPlace = page.every((event) => event.type === 'skipped' && event.count === 0);
    return isPlace && this.#options.progressMs === undefined ? undefined : page;
  }
}

/** Ends pages with an AbortedError when the signal aborts, also a page that is waited for. */
export function abortable<T>(pages: Pages<T>, signal: AbortSignal | undefined, what: string): Pages<T> {
  if (signal === undefined) return pages;
  let tell = (): void => undefined;
  const abort = (): void => {
    pages.close();
    tell();
  };
  const stopListening = onAbort(signal, abort);
  if (signal.aborted) abort();
  const close = (): void => {
    stopListening();
    pages.close();
  };
  const next = (): Promise<readonly T[]> =>
    new Promise((resolve, reject) => {
      tell = () => reject(abortedBy(signal, what));
      if (signal.aborted) tell();
      else pages.next().then(resolve, reject);
    });
  return { next, close };
}
