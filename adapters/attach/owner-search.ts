/**
 * Who has the store? Becomes the owner, or attaches to whoever was quicker: both in turn, until one succeeds or time is up.
 *
 *     open ── LockedError ──> connect ── refused, or no hello ──> wait a little, with jitter ──> open ...
 */
import { ClosedError, type Cursor, LockedError, open, type OpenOptions, type Store } from 'alluvium';
import { realpath } from 'node:fs/promises';
import { AttachVersionError, OtherDatabaseError, TakeOverError } from './attach-error.ts';
import { Connection } from './connection.ts';
import { Desk } from './desk.ts';
import { presentCursor } from './present-cursor.ts';
import { databaseIdOf } from './protocol.ts';
import { AttachServer } from './server.ts';
import { checkSocketOwner, socketPathOf } from './socket-path.ts';

export interface SearchOptions {
  /** How the store is opened the first time. */
  readonly openOptions: OpenOptions;
  /** How long the first open may wait for a holder that answers. */
  readonly attachMs: number;
  /** How long nobody may answer for the store before calls fail. */
  readonly takeOverMs: number;
  /** Whether others may attach. */
  readonly isServed: boolean;
}

/** The store, opened here, with what others attach to; or the way to it. */
export type Found = Opened | { readonly kind: 'attached'; readonly connection: Connection };

export interface Opened {
  readonly kind: 'opened';
  readonly store: Store;
  /** Where others may attach: what serves them, and what serves this process as them. */
  readonly served:
    { readonly cursor: Cursor; readonly desk: Desk; readonly server: AttachServer | undefined } | undefined;
  /** Why nobody can attach, though they may. */
  readonly serveFailure: unknown;
}

const BACK_OFF_FIRST_MS = 4;
const BACK_OFF_LONGEST_MS = 250;

export class OwnerSearch {
  readonly #location: string;
  readonly #options: SearchOptions;
  /** The database that was found the first time: no other one is taken for it. */
  #databaseId: string | undefined;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  constructor(location: string, options: SearchOptions) {
    this.#location = location;
    this.#options = options;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Nobody is looked for any more: a search under way fails with ClosedError, soon. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
  }

  /** Somebody waits for an answer: the process must not end while the search does. */
  keepAlive(): void {
    this.#timer?.ref();
  }

  /**
   * @param isFirst - whether a database may be made
   * @param isWanted - whether somebody waits, and the process is to be kept alive
   * @returns the first time it rejects as `open` does; later with TakeOverError, AttachVersionError, OtherDatabaseError
   */
  async find(isFirst: boolean, isWanted: () => boolean): Promise<Found> {
    const { takeOverMs, attachMs, isServed } = this.#options;
    const end = performance.now() + (isFirst ? attachMs : takeOverMs);
    let cause: unknown;
    for (let attempt = 0; !this.#isStopped; attempt += 1) {
      try {
        return this.#kept(await this.#open(isFirst));
      } catch (error) {
        if (!(error instanceof LockedError) || !isServed) throw this.#failureOf(isFirst, error);
        cause = error;
      }
      try {
        return this.#kept(await this.#attach(end));
      } catch (error) {
        if (error instanceof AttachVersionError || error instanceof OtherDatabaseError) throw error;
      }
      if (performance.now() >= end) throw isFirst ? cause : this.#failureOf(false, cause);
      await this.#wait(Math.min(BACK_OFF_LONGEST_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(attempt, 10)), isWanted());
    }
    throw new ClosedError('store');
  }

  #kept(found: Found): Found {
    const cursor = found.kind === 'attached' ? found.connection.hello.cursor : found.served?.cursor;
    if (cursor !== undefined) this.#databaseId = databaseIdOf(cursor);
    return found;
  }

  #failureOf(isFirst: boolean, cause: unknown): unknown {
    if (isFirst || cause instanceof OtherDatabaseError || cause instanceof ClosedError) return cause;
    return new TakeOverError(this.#location, this.#options.takeOverMs, { cause });
  }

  /** With jitter: those who lost one owner at the same moment shall not try in step. */
  async #wait(ms: number, isWanted: boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#timer = setTimeout(resolve, ms / 2 + Math.random() * ms);
      if (!isWanted) this.#timer.unref(); // a process may end in between
      this.#wake = resolve;
    });
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wake = undefined;
  }

  async #open(isFirst: boolean): Promise<Opened> {
    const { openOptions, isServed } = this.#options;
    // Whoever takes over knows that there is a database; if there is none any more, none is to be made. And a signal that
    // was to end the opening, as one of a timeout, has nothing to do with a take-over.
    const later = { createIfMissing: false, errorIfExists: false, signal: undefined };
    const store = await open(this.#location, isFirst ? openOptions : { ...openOptions, ...later });
    let server: AttachServer | undefined;
    try {
      this.#checkWanted();
      if (!isServed) return { kind: 'opened', store, served: undefined, serveFailure: undefined };
      const cursor = await presentCursor(store);
      this.#checkDatabase(cursor);
      const desk = new Desk(store, cursor);
      let serveFailure: unknown;
      server = await AttachServer.listen(store, cursor).catch((error: unknown) => {
        serveFailure = error; // the store is as good as ever; only nobody can attach
        return undefined;
      });
      this.#checkWanted();
      return { kind: 'opened', store, served: { cursor, desk, server }, serveFailure };
    } catch (error) {
      await server?.close();
      await store.close();
      throw error;
    }
  }

  async #attach(end: number): Promise<Found> {
    const directory = await realpath(this.#location);
    const path = await socketPathOf(directory);
    await checkSocketOwner(path, directory);
    const connection = await Connection.open(path, Math.max(1000, end - performance.now()));
    try {
      this.#checkDatabase(connection.hello.cursor);
      this.#checkWanted();
    } catch (error) {
      connection.end();
      throw error;
    }
    return { kind: 'attached', connection };
  }

  #checkWanted(): void {
    if (this.#isStopped) throw new ClosedError('store');
  }

  #checkDatabase(cursor: Cursor): void {
    if (this.#databaseId === undefined || this.#databaseId === databaseIdOf(cursor)) return;
    throw new OtherDatabaseError(this.#location);
  }
}
