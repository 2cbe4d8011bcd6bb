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
import { BufferOverflowError, ClosedError, type Cursor, type Store } from 'alluvium';
import type { Anchor } from './anchor.ts';
import { AttachProtocolError, OwnerLostError, TakeOverError } from './attach-error.ts';
import type { Connection } from './connection.ts';
import type { Desk } from './desk.ts';
import type { Sink } from './operation.ts';
import { type Found, type Opened, OwnerSearch, type SearchOptions } from './owner-search.ts';
import { type Answer, cursorAt, type OwnerHello, type Request, sequenceOf } from './protocol.ts';
import { type Pending, Requests } from './requests.ts';
import { readError } from './wire-error.ts';

export type Role = 'owner' | 'attached' | 'between' | 'closed';

export interface AskOptions {
  /** What the request makes, or hangs on. */
  readonly holdAt?: Anchor | undefined;
  /** Whether its answer may never come: such a request keeps no process alive, and no store from closing. */
  readonly isIdle?: boolean;
  /** Whether it is part of what was let in before, a stream or a snapshot: it is taken, however much waits. */
  readonly isLetIn?: boolean;
  /** For how long it may be asked again: a write is remembered for a time only. Default: for ever. */
  readonly repeatMs?: number;
}

/** A request that was sent so often may be what its owners die of: the next one is spared it. */
const SENDS_MAX = 16;

export class Link {
  readonly #location: string;
  readonly #waitingRequestsMax: number;
  readonly #search: OwnerSearch;
  #role: Role = 'between';
  #opened: Opened | undefined;
  #connection: Connection | undefined;
  /** Counts owners: what was made at one is nothing at the next. */
  #generation = 0;
  #cursor: Cursor | undefined;
  #ids = 0;
  readonly #requests = new Requests();
  #working: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  /** Nothing new is accepted. */
  #isClosing = false;
  /** Whether the owner was lost, and nobody has looked for the next one yet. */
  #isSearchDue = false;
  #onSettled: (() => void) | undefined;
  readonly #waitingForStore = new Set<(store: Store | undefined) => void>();

  /** @param waitingRequestsMax - how many requests may wait to be sent, beside those of streams that are open */
  constructor(location: string, options: SearchOptions, waitingRequestsMax: number) {
    this.#location = location;
    this.#waitingRequestsMax = waitingRequestsMax;
    this.#search = new OwnerSearch(location, options);
  }

  get role(): Role {
    return this.#isClosing ? 'closed' : this.#role;
  }

  /** The store, where this process has it, or had it until it was closed. */
  get store(): Store | undefined {
    return this.#opened?.store;
  }

  /** The process that has the store, where it is another one. */
  get holder(): OwnerHello | undefined {
    return this.#role === 'attached' ? this.#connection?.hello : undefined;
  }

  /** Why nobody can attach, where this process has the store and cannot listen. */
  get serveFailure(): unknown {
    return this.#opened?.serveFailure;
  }

  /** Requests that nobody has been sent yet, as far as they are bounded. */
  get waitingRequests(): number {
    return this.#requests.waiting;
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
    this.#take(await this.#search.find(true, () => true));
  }

  /**
   * Asks whoever has the store, now or when somebody has it again; BufferOverflowError if too much waits for that already.
   *
   * @returns what takes the request back
   */
  ask(request: Request, sink: Sink<unknown>, options: AskOptions = {}): () => void {
    if (this.#isClosing) {
      sink.fail(new ClosedError('store'));
      return () => undefined;
    }
    const { holdAt, isIdle = false, isLetIn = false, repeatMs = Infinity } = options;
    const isCounted = !isIdle && !isLetIn;
    if (isCounted && this.#requests.waiting >= this.#waitingRequestsMax) {
      sink.fail(new BufferOverflowError(this.#waitingRequestsMax));
      return () => undefined;
    }
    const fresh = { isSent: false, sends: 0, firstSentMs: 0, cancel: undefined };
    const kind = { isIdle, isCounted, repeatMs };
    const pending: Pending = { id: this.nextId(), request, sink, anchor: holdAt, ...kind, ...fresh };
    this.#requests.add(pending);
    this.#send();
    if (this.#role === 'between') {
      if (!isIdle) this.#search.keepAlive();
      this.#searchAgain();
    }
    return () => this.#takeBack(pending);
  }

  /**
   * Calls `work` once: with the store, when this process has it; with `undefined` when it is closed and never will.
   *
   * @returns what calls it off
   */
  whenOwner(work: (store: Store | undefined) => void): () => void {
    this.#waitingForStore.add(work);
    return () => void this.#waitingForStore.delete(work);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#isClosing = true;
    await this.#settled();
    this.#search.stop();
    await this.#working?.catch(() => undefined);
    this.#connection?.end();
    this.#failAll(new ClosedError('store'));
    this.#role = 'closed';
    this.#tellOfStore(undefined);
    const opened = this.#opened;
    opened?.served?.desk.close();
    await opened?.served?.server?.close();
    await opened?.store.close();
  }

  /** Resolves when what was accepted is answered, but for what may wait for ever. */
  #settled(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#requests.work > 0) return;
        this.#onSettled = undefined;
        resolve();
      };
      this.#onSettled = look;
      look();
    });
  }

  #takeBack(pending: Pending): void {
    if (!this.#requests.forget(pending)) return;
    if (pending.cancel !== undefined) pending.cancel();
    else if (pending.isSent) this.#connection?.send({ cancel: pending.id });
    this.#look();
  }

  /** Hands out what waits, in order, as far as there is room. */
  #send(): void {
    const desk = this.#role === 'owner' ? this.#opened?.served?.desk : undefined;
    const connection = this.#role === 'attached' ? this.#connection : undefined;
    if (desk === undefined && connection === undefined) return;
    for (const pending of this.#requests.unsent()) {
      if (connection !== undefined && (!connection.hasRoom || connection !== this.#connection)) break;
      const refusal = this.#refusalOf(pending);
      if (refusal !== undefined) {
        this.#settle(pending, (sink) => sink.fail(refusal));
        continue;
      }
      this.#requests.sent(pending, Date.now());
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

  /**
   * Why a request must not go to this owner: what it hangs on is not there, or nobody may remember any more that it was
   * done. What it makes is here from now on.
   */
  #refusalOf({ anchor: held, sends, firstSentMs, repeatMs }: Pending): Error | undefined {
    const sinceMs = Date.now() - firstSentMs;
    if (sends > 0 && sinceMs > repeatMs) return new TakeOverError(this.#location, sinceMs);
    if (held === undefined) return undefined;
    held.generation ??= this.#generation;
    return held.generation === this.#generation ? undefined : new OwnerLostError(held.what);
  }

  #settle(pending: Pending, tell: (sink: Sink<unknown>) => void): void {
    if (!this.#requests.forget(pending)) return;
    tell(pending.sink);
    this.#look();
  }

  /** A process that waits for nothing but the next change may end. */
  #look(): void {
    this.#connection?.keepAlive(this.#requests.work > 0);
    this.#onSettled?.();
  }

  #answered(answer: Answer, connection: Connection): void {
    if (connection !== this.#connection) return;
    if ('goodbye' in answer) {
      connection.end();
      this.#lost(connection, undefined);
      return;
    }
    const pending = this.#requests.get(answer.id);
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
    for (const pending of this.#requests.all()) {
      if (!pending.isSent) continue;
      const { anchor: held, sends, firstSentMs } = pending;
      if (isOurFault) this.#settle(pending, (sink) => sink.fail(reason));
      else if (held !== undefined) this.#settle(pending, (sink) => sink.fail(new OwnerLostError(held.what)));
      else if (sends >= SENDS_MAX) {
        const error = new TakeOverError(this.#location, Date.now() - firstSentMs, { cause: reason });
        this.#settle(pending, (sink) => sink.fail(error));
      }
    }
    this.#requests.unsendAll();
    this.#isSearchDue = true;
    this.#searchAgain();
  }

  #failAll(error: unknown): void {
    for (const pending of this.#requests.all()) this.#settle(pending, (sink) => sink.fail(error));
  }

  #searchAgain(): void {
    if (this.#working !== undefined || this.#search.isStopped) return;
    this.#isSearchDue = false;
    const working = this.#search
      .find(false, () => this.#requests.work > 0)
      .then((found) => this.#take(found))
      .catch((error: unknown) => this.#failAll(error));
    this.#working = working;
    void working.then(() => {
      if (this.#working === working) this.#working = undefined;
      // Lost again meanwhile, or asked again by whoever was just told that it failed.
      if (this.#role === 'between' && (this.#isSearchDue || this.#requests.work > 0)) this.#searchAgain();
    });
  }

  #take(found: Found): void {
    if (found.kind === 'opened') {
      this.#opened = found;
      this.#cursor = found.served?.cursor;
      this.#role = 'owner';
      this.#send(); // before any call of the store itself
      this.#tellOfStore(found.store);
      return;
    }
    const { connection } = found;
    this.#cursor = connection.hello.cursor;
    this.#connection = connection;
    this.#role = 'attached';
    connection.start({
      onAnswer: (answer) => this.#answered(answer, connection),
      onDrain: () => this.#send(),
      onLost: (reason) => this.#lost(connection, reason),
    });
    this.#send();
  }

  #tellOfStore(store: Store | undefined): void {
    const waiting = [...this.#waitingForStore];
    this.#waitingForStore.clear();
    for (const work of waiting) work(store);
  }
}
