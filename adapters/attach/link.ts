/**
 * The way to the store, whoever has it: this process, or another one; and the step from one to the next.
 *
 * ```text
 *              opened here ──> owner ──────────────────────────────> closed
 *             /                  ^                                     ^
 *     begin ──                   │ opened here                         │
 *             \                  │                                     │
 *              attached ──> between ──> attached again  ───────────────┘
 *                        (connection broken)
 * ```
 *
 * Requests wait in one order, that of the calls, until they are answered. When the connection breaks:
 *
 * - what another owner can answer is asked again, in the same order: reads, and writes, which carry an idempotency key, so that
 *   one that was done and not answered is not done twice;
 * - what hangs on something that only the old owner had (a snapshot, a scan) fails with OwnerLostError.
 *
 * That no acknowledged write is lost is the store's doing: a buffered write is with the operating system when it is
 * acknowledged, so it is in the log that the next owner reads. That there are never two owners is the lock's.
 */
import { ClosedError, type Cursor, LockedError, open, type OpenOptions, type Store } from 'alluvium';
import { realpath } from 'node:fs/promises';
import {
  AttachProtocolError,
  AttachVersionError,
  OtherDatabaseError,
  OwnerLostError,
  TakeOverError,
} from './attach-error.ts';
import { Connection } from './connection.ts';
import { Desk } from './desk.ts';
import { presentCursor } from './present-cursor.ts';
import type { Sink } from './operation.ts';
import { type Answer, cursorAt, databaseIdOf, type OwnerHello, type Request, sequenceOf } from './protocol.ts';
import { AttachServer } from './server.ts';
import { checkSocketOwner, socketPathOf } from './socket-path.ts';
import { readError } from './wire-error.ts';

export type Role = 'owner' | 'attached' | 'between' | 'closed';

export interface LinkOptions {
  /** How the store is opened the first time. */
  readonly openOptions: OpenOptions;
  /** How long the first open may wait for a holder that answers. */
  readonly attachMs: number;
  /** How long nobody may answer for the store before calls fail. */
  readonly takeOverMs: number;
  /** Whether others may attach. */
  readonly isServed: boolean;
}

/** Something that lives with one owner: which one is known when it is asked for. */
export interface Anchor {
  readonly what: string;
  generation: number | undefined;
}

export const anchor = (what: string): Anchor => ({ what, generation: undefined });

export interface AskOptions {
  /** What the request makes, or hangs on. */
  readonly holdAt?: Anchor | undefined;
  /** Whether its answer may never come: such a request keeps no process alive, and no store from closing. */
  readonly isIdle?: boolean;
}

interface Pending {
  readonly id: number;
  readonly request: Request;
  readonly sink: Sink<unknown>;
  readonly anchor: Anchor | undefined;
  /** Whether its answer may never come, as the next change may never: nothing waits for it to end. */
  readonly isIdle: boolean;
  isSent: boolean;
  sends: number;
  /** At the own desk: what takes it back. */
  cancel: (() => void) | undefined;
}

/** A request that was sent so often has something to do with the breaking of the connections. */
const SENDS_MAX = 50;
const BACK_OFF_FIRST_MS = 4;
const BACK_OFF_LONGEST_MS = 250;

export class Link {
  readonly #location: string;
  readonly #options: LinkOptions;
  #role: Role = 'between';
  #store: Store | undefined;
  #server: AttachServer | undefined;
  #serveFailure: unknown;
  #desk: Desk | undefined;
  #connection: Connection | undefined;
  #holder: OwnerHello | undefined;
  /** Counts owners: what was made at one is nothing at the next. */
  #generation = 0;
  #cursor: Cursor | undefined;
  #ids = 0;
  readonly #pending = new Map<number, Pending>();
  /** Those that have not been sent, in order. */
  readonly #unsent = new Map<number, Pending>();
  /** Answers that somebody waits for. */
  #work = 0;
  #working: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  /** Nothing new is accepted. */
  #isClosing = false;
  /** Nobody is looked for any more. */
  #isStopped = false;
  /** Whether the owner was lost, and nobody has looked for the next one yet. */
  #isSearchDue = false;
  #wakeFromWait: (() => void) | undefined;
  #onSettled: (() => void) | undefined;

  constructor(location: string, options: LinkOptions) {
    this.#location = location;
    this.#options = options;
  }

  get role(): Role {
    return this.#isClosing ? 'closed' : this.#role;
  }

  /** The store, where this process has it, or had it until it was closed. */
  get store(): Store | undefined {
    return this.#store;
  }

  /** The process that has the store, where it is another one. */
  get holder(): OwnerHello | undefined {
    return this.#role === 'attached' ? this.#holder : undefined;
  }

  /** Why nobody can attach, where this process has the store and cannot listen. */
  get serveFailure(): unknown {
    return this.#serveFailure;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  get generation(): number {
    return this.#generation;
  }

  /** The newest place of the change stream that this process has heard of. */
  get cursor(): Cursor | undefined {
    return this.#cursor;
  }

  /** A number for something that is held at the owner. */
  nextId(): number {
    this.#ids += 1;
    return this.#ids;
  }

  /** The first time. Rejects as `open` does; with LockedError if the holder does not let others attach. */
  async begin(): Promise<void> {
    await this.#search(true);
  }

  /**
   * Asks whoever has the store, now or when somebody has it again.
   *
   * @returns what takes the request back
   */
  ask(request: Request, sink: Sink<unknown>, { holdAt, isIdle = false }: AskOptions = {}): () => void {
    if (this.#isClosing) {
      sink.fail(new ClosedError('store'));
      return () => undefined;
    }
    const id = this.nextId();
    const pending: Pending = { id, request, sink, anchor: holdAt, isIdle, isSent: false, sends: 0, cancel: undefined };
    this.#pending.set(id, pending);
    if (!isIdle) this.#work += 1;
    this.#unsent.set(id, pending);
    this.#send();
    if (this.#role === 'between') this.#searchAgain();
    return () => this.#takeBack(pending);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#isClosing = true;
    await this.#settled();
    this.#isStopped = true;
    this.#wakeFromWait?.();
    await this.#working?.catch(() => undefined);
    this.#connection?.end();
    this.#failAll(new ClosedError('store'));
    const store = this.#store;
    this.#role = 'closed';
    this.#desk?.close();
    await this.#server?.close();
    await store?.close();
  }

  /** Resolves when what was accepted is answered, but for what may wait for ever. */
  #settled(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#work > 0) return;
        this.#onSettled = undefined;
        resolve();
      };
      this.#onSettled = look;
      look();
    });
  }

  #takeBack(pending: Pending): void {
    if (!this.#forget(pending)) return;
    if (pending.cancel !== undefined) pending.cancel();
    else if (pending.isSent) this.#connection?.send({ cancel: pending.id });
    this.#look();
  }

  /** Hands out what waits, in order, as far as there is room. */
  #send(): void {
    const desk = this.#role === 'owner' ? this.#desk : undefined;
    const connection = this.#role === 'attached' ? this.#connection : undefined;
    if (desk === undefined && connection === undefined) return;
    for (const pending of this.#unsent.values()) {
      if (connection !== undefined && (!connection.hasRoom || connection !== this.#connection)) break;
      this.#unsent.delete(pending.id);
      if (!this.#hasAnchorage(pending)) continue;
      pending.isSent = true;
      pending.sends += 1;
      try {
        if (desk !== undefined) this.#askDesk(desk, pending);
        else connection?.send({ id: pending.id, request: pending.request });
      } catch (error) {
        this.#settle(pending, (sink) => sink.fail(error)); // it cannot be written down
      }
    }
    this.#look();
  }

  #askDesk(desk: Desk, pending: Pending): void {
    pending.cancel = desk.answer(pending.request, {
      succeed: (value) => this.#settle(pending, (sink) => sink.succeed(value)),
      fail: (error) => this.#settle(pending, (sink) => sink.fail(error)),
    });
  }

  /** Whether what the request hangs on is at this owner; what the request makes is, from now on. */
  #hasAnchorage(pending: Pending): boolean {
    const { anchor: held } = pending;
    if (held === undefined) return true;
    held.generation ??= this.#generation;
    if (held.generation === this.#generation) return true;
    this.#settle(pending, (sink) => sink.fail(new OwnerLostError(held.what)));
    return false;
  }

  #settle(pending: Pending, tell: (sink: Sink<unknown>) => void): void {
    if (!this.#forget(pending)) return;
    tell(pending.sink);
    this.#look();
  }

  #forget(pending: Pending): boolean {
    if (!this.#pending.delete(pending.id)) return false;
    this.#unsent.delete(pending.id);
    if (!pending.isIdle) this.#work -= 1;
    return true;
  }

  /** A process that waits for nothing but the next change may end. */
  #look(): void {
    this.#connection?.keepAlive(this.#work > 0);
    this.#onSettled?.();
  }

  #answered(answer: Answer, connection: Connection): void {
    if (connection !== this.#connection) return;
    if ('goodbye' in answer) {
      connection.end();
      this.#lost(connection, undefined);
      return;
    }
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return; // it was taken back
    if ('error' in answer) {
      const error = readError(answer.error);
      this.#settle(pending, (sink) => sink.fail(error));
      return;
    }
    if (pending.request.op === 'write') this.#heardOf(answer.value);
    this.#settle(pending, (sink) => sink.succeed(answer.value));
  }

  #heardOf(commit: unknown): void {
    const sequence: unknown = typeof commit === 'object' && commit !== null ? Reflect.get(commit, 'sequence') : 0;
    if (this.#cursor === undefined || typeof sequence !== 'number' || sequence <= sequenceOf(this.#cursor)) return;
    this.#cursor = cursorAt(this.#cursor, sequence);
  }

  #lost(connection: Connection, reason: unknown): void {
    if (connection !== this.#connection) return;
    this.#connection = undefined;
    this.#generation += 1;
    if (this.#role === 'attached') this.#role = 'between';
    const isOurFault = reason instanceof AttachProtocolError; // to ask again would end so again
    for (const pending of [...this.#pending.values()]) {
      if (!pending.isSent) continue;
      const { anchor: held } = pending;
      if (isOurFault) this.#settle(pending, (sink) => sink.fail(reason));
      else if (held !== undefined) this.#settle(pending, (sink) => sink.fail(new OwnerLostError(held.what)));
      else if (pending.sends >= SENDS_MAX) {
        this.#settle(pending, (sink) => sink.fail(new TakeOverError(this.#location, 0, { cause: reason })));
      }
    }
    this.#unsent.clear();
    for (const pending of this.#pending.values()) {
      pending.isSent = false;
      this.#unsent.set(pending.id, pending); // the map has them in the order of the calls
    }
    this.#isSearchDue = true;
    this.#searchAgain();
  }

  #failAll(error: unknown): void {
    for (const pending of [...this.#pending.values()]) this.#settle(pending, (sink) => sink.fail(error));
  }

  #searchAgain(): void {
    if (this.#working !== undefined || this.#isStopped) return;
    this.#isSearchDue = false;
    const working = this.#search(false).catch((error: unknown) => this.#failAll(error));
    this.#working = working;
    void working.then(() => {
      if (this.#working === working) this.#working = undefined;
      if (this.#role === 'between' && (this.#isSearchDue || this.#work > 0)) this.#searchAgain(); // lost again meanwhile
    });
  }

  /** Becomes the owner, or attaches to whoever was quicker; both in turn, until one succeeds. */
  async #search(isFirst: boolean): Promise<void> {
    const { takeOverMs, attachMs } = this.#options;
    const end = performance.now() + (isFirst ? attachMs : takeOverMs);
    let cause: unknown;
    for (let attempt = 0; !this.#isStopped; attempt += 1) {
      try {
        if (await this.#tryOpen(isFirst)) return;
      } catch (error) {
        if (!(error instanceof LockedError) || !this.#options.isServed) throw this.#failureOf(isFirst, error);
        cause = error;
      }
      try {
        if (await this.#tryAttach(end)) return;
      } catch (error) {
        if (error instanceof AttachVersionError || error instanceof OtherDatabaseError) throw error;
      }
      if (performance.now() >= end) throw isFirst ? cause : this.#failureOf(false, cause);
      await this.#wait(Math.min(BACK_OFF_LONGEST_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(attempt, 10)));
    }
    throw new ClosedError('store');
  }

  #failureOf(isFirst: boolean, cause: unknown): unknown {
    if (isFirst || cause instanceof OtherDatabaseError) return cause;
    return new TakeOverError(this.#location, this.#options.takeOverMs, { cause });
  }

  /** With jitter: those who lost one owner at the same moment shall not try in step. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms / 2 + Math.random() * ms);
      // Nobody waits for an answer: a process may end in between.
      if (this.#work === 0 && this.#generation > 0) timer.unref();
      this.#wakeFromWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #tryOpen(isFirst: boolean): Promise<boolean> {
    const { openOptions, isServed } = this.#options;
    // Whoever takes over knows that there is a database; if there is none any more, none is to be made.
    const options = isFirst ? openOptions : { ...openOptions, createIfMissing: false, errorIfExists: false };
    const store = await open(this.#location, options);
    try {
      if (this.#isStopped) throw new ClosedError('store');
      if (isServed) {
        const cursor = await presentCursor(store);
        this.#checkDatabase(cursor);
        this.#desk = new Desk(store, cursor);
        this.#cursor = cursor;
        this.#server = await AttachServer.listen(store, cursor).catch((error: unknown) => {
          this.#serveFailure = error; // the store is as good as ever; only nobody can attach
          return undefined;
        });
      }
      if (this.#closingMeanwhile()) throw new ClosedError('store');
    } catch (error) {
      await this.#server?.close();
      this.#server = undefined;
      await store.close();
      throw error;
    }
    this.#store = store;
    this.#role = 'owner';
    this.#send();
    return true;
  }

  /** After an await, what the compiler knew of it before is not so any more. */
  #closingMeanwhile(): boolean {
    return this.#isStopped;
  }

  async #tryAttach(end: number): Promise<boolean> {
    const directory = await realpath(this.#location);
    const path = await socketPathOf(directory);
    await checkSocketOwner(path, directory);
    const connection = await Connection.open(path, Math.max(1000, end - performance.now()));
    try {
      this.#checkDatabase(connection.hello.cursor);
    } catch (error) {
      connection.end();
      throw error;
    }
    if (this.#isStopped) {
      connection.end();
      return true;
    }
    this.#holder = connection.hello;
    this.#cursor = connection.hello.cursor;
    this.#connection = connection;
    this.#role = 'attached';
    connection.start({
      onAnswer: (answer) => this.#answered(answer, connection),
      onDrain: () => this.#send(),
      onLost: (reason) => this.#lost(connection, reason),
    });
    this.#send();
    return true;
  }

  #checkDatabase(cursor: Cursor): void {
    if (this.#cursor === undefined || databaseIdOf(this.#cursor) === databaseIdOf(cursor)) return;
    throw new OtherDatabaseError(this.#location);
  }
}
