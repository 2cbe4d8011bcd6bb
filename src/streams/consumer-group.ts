/**
 * All that goes by one name in this process: the workers that share the work, the session that gives it to them, and the
 * stored record. Whatever changes one of them (start, stop, seek, pause, delete) happens one after the other.
 */
import * as E from 'fp-ts/lib/Either.js';
import { ClosedError, ConsumerError, HistoryGoneError } from '../errors.ts';
import type { Durability, KeyRange, WriteOperation } from '../model.ts';
import { type CheckedSettings, fingerprintOf } from './consumer-options.ts';
import { type ConsumerRecord, decodeRecord, encodeRecord, isSameRange, recordKeyOf } from './consumer-record.ts';
import { ConsumerSession } from './consumer-session.ts';
import type { Backlog, ConsumerFrom, ConsumerSource, ConsumerStorePort } from './consumer-source.ts';
import type { Worker } from './consumer-work.ts';
import { idOfKey, letterKeyOf, lettersRange, unparkOperations, wishesRange, wishKeyOf } from './dead-letters.ts';

export interface ConsumerPorts {
  readonly store: ConsumerStorePort;
  readonly source: ConsumerSource;
}

/** How often a lag is read anew, because the consumer was faster. */
const LAG_TRIES_MAX = 100;
/** Dead letters that one commit is about. */
const LETTERS_AT_ONCE = 1_000;

export class ConsumerGroup {
  readonly #name: string;
  readonly #store: ConsumerStorePort;
  readonly #source: ConsumerSource;
  readonly #onIdle: () => void;
  #workers = new Set<Worker>();
  #settings: CheckedSettings | undefined;
  #session: ConsumerSession | undefined;
  /** Whose work the session gives out: those that came with its settings. */
  #workersOfSession: ReadonlySet<Worker> | undefined;
  #isClosed = false;
  /** The last of what happens one after the other, and how much of it is to come. */
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param onIdle - told when nothing is known here that the store does not know */
  constructor(name: string, { store, source }: ConsumerPorts, onIdle: () => void) {
    this.#name = name;
    this.#store = store;
    this.#source = source;
    this.#onIdle = onIdle;
  }

  get isRunning(): boolean {
    return this.#workers.size > 0;
  }

  /** @throws ConsumerError when others of this name work by other settings; ClosedError */
  join(worker: Worker, settings: CheckedSettings): void {
    if (this.#isClosed) throw new ClosedError('store');
    const current = this.#settings;
    const isOther = current !== undefined && fingerprintOf(current) !== fingerprintOf(settings);
    if (this.isRunning && isOther) {
      throw new ConsumerError(
        this.#name,
        'it runs already, with other settings. Give all of its workers the same ones.',
      );
    }
    // A session of other settings, whose workers have left, is about to end: it must not see those that come now.
    if (isOther) this.#workers = new Set();
    this.#settings = settings;
    this.#workers.add(worker);
    this.#session?.dispatch();
    void this.#inTurn(() => this.#start());
  }

  /** Resolves when what the worker did is committed; never rejects. */
  async leave(worker: Worker): Promise<void> {
    if (!this.#workers.delete(worker)) return;
    this.#session?.release(worker);
    await this.#inTurn(async () => {
      if (!this.isRunning) await this.#stop();
    });
  }

  /** Ends all runs, what they did committed. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const workers = takeAll(this.#workers);
    await this.#inTurn(() => this.#stop());
    for (const worker of workers) worker.complete();
  }

  async position(): Promise<ConsumerRecord | undefined> {
    return this.#session?.position ?? (await this.#read());
  }

  /** @param settings - `undefined`: as it runs, or as it is stored */
  async lag(settings: CheckedSettings | undefined, signal: AbortSignal | undefined): Promise<Backlog> {
    for (let tries = 1; ; tries += 1) {
      const record = await this.position();
      const { cursor, sequence } = record ?? (await this.#source.resolve(settings?.from ?? 'start'));
      const range = settings?.range ?? record?.range ?? {};
      try {
        return await this.#source.lag(cursor, range, record?.settled ?? [], signal);
      } catch (error) {
        // What is settled while we read may be taken away before we have read it: then we begin where the consumer is by now.
        if (!(error instanceof HistoryGoneError) || tries === LAG_TRIES_MAX) throw error;
        const now = record === undefined ? undefined : await this.position();
        if (now === undefined || now.sequence <= sequence) throw error;
      }
    }
  }

  seek(from: ConsumerFrom): Promise<void> {
    return this.#inTurn(async () => {
      await this.#stop();
      try {
        const place = await this.#source.resolve(from);
        // A record that cannot be read is what a seek mends.
        const stored = await this.#read().catch(() => undefined);
        // Both places are wanted until the new one is on the disk: a power cut may bring the old one back.
        const isBack = stored === undefined || place.sequence < stored.sequence;
        this.#source.retain(this.#name, isBack ? place : { cursor: stored.cursor, sequence: stored.sequence });
        const { isPaused = false, range = {} } = stored ?? {};
        await this.#write({ ...place, settled: [], isPaused, range: this.#settings?.range ?? range }, 'synced');
      } finally {
        await this.#start();
      }
    });
  }

  /** @param settings - of one that may be new; `undefined`: it must have run before */
  setPaused(isPaused: boolean, settings: CheckedSettings | undefined): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#session !== undefined) return this.#session.setPaused(isPaused);
      const record = settings === undefined ? await this.#read() : await this.#load(settings);
      if (record === undefined)
        throw new ConsumerError(this.#name, 'it never ran. Run it first, or seek it to a place.');
      if (record.isPaused !== isPaused) await this.#write({ ...record, isPaused }, this.#durabilityOf(settings));
    });
  }

  /** @returns how many letters will be tried again */
  async replay(id: string | undefined, signal: AbortSignal | undefined): Promise<number> {
    const wish = (at: string): WriteOperation[] => [{ type: 'set', key: wishKeyOf(this.#name, at), value: '' }];
    const count = await this.#eachLetter(id, signal, wish);
    this.#session?.lookForReplays();
    return count;
  }

  /** @returns how many letters there were */
  async drop(id: string | undefined, signal: AbortSignal | undefined): Promise<number> {
    this.#session?.dropReplays(id);
    const count = await this.#eachLetter(id, signal, (at) => unparkOperations(this.#name, at));
    this.#session?.dropReplays(id); // those that were read meanwhile
    return count;
  }

  delete(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.isRunning) throw new ConsumerError(this.#name, 'it runs. End its runs, then delete it.');
      await this.drop(undefined, undefined);
      await this.#eachKey(wishesRange(this.#name, undefined), undefined, (key) => [{ type: 'delete', key }]);
      await this.#store.commit([{ type: 'delete', key: recordKeyOf(this.#name) }], this.#store.durability);
      this.#source.retain(this.#name, undefined);
    });
  }

  async #start(): Promise<void> {
    // As they are now: while it starts, those of other settings may come.
    const settings = this.#settings;
    const workers = this.#workers;
    if (this.#workersOfSession !== this.#workers) await this.#stop();
    if (this.#session !== undefined || !this.isRunning || this.#isClosed || settings === undefined) return;
    const name = this.#name;
    try {
      const loaded = await this.#load(settings);
      const record = { ...loaded, range: settings.range };
      if (!isSameRange(loaded.range, record.range)) await this.#write(record, this.#durabilityOf(settings));
      this.#source.retain(name, { cursor: record.cursor, sequence: record.sequence });
      const changes = await this.#source.open(record.cursor, settings.range);
      const ports = { store: this.#store, source: this.#source };
      const onEnd = (failure: { readonly error: unknown } | undefined): void => this.#onEnd(takeAll(workers), failure);
      this.#workersOfSession = workers;
      this.#session = new ConsumerSession({ name, settings, ...ports, changes, record, workers, onEnd });
      this.#session.start();
    } catch (error) {
      for (const worker of takeAll(workers)) worker.fail(error);
    }
  }

  async #stop(): Promise<void> {
    await this.#session?.stop();
    this.#session = undefined;
  }

  /** The session has ended by itself: what was done is committed, then its workers are told. */
  #onEnd(workers: readonly Worker[], failure: { readonly error: unknown } | undefined): void {
    void this.#inTurn(async () => {
      await this.#stop();
      for (const worker of workers) {
        if (failure === undefined) worker.complete();
        else worker.fail(failure.error);
      }
      await this.#start(); // for those that came meanwhile
    });
  }

  /** The record; the very first time, a new one, stored, so that `'now'` stays the moment it was. */
  async #load(settings: CheckedSettings): Promise<ConsumerRecord> {
    const stored = await this.#read();
    if (stored !== undefined) return stored;
    const { cursor, sequence } = await this.#source.resolve(settings.from);
    const record: ConsumerRecord = { cursor, sequence, settled: [], isPaused: false, range: settings.range };
    this.#source.retain(this.#name, { cursor, sequence }); // while the record is written, history may be removed
    try {
      await this.#write(record, this.#durabilityOf(settings));
    } catch (error) {
      this.#source.retain(this.#name, undefined);
      throw error;
    }
    return record;
  }

  async #read(): Promise<ConsumerRecord | undefined> {
    const entry = await this.#store.entry(recordKeyOf(this.#name));
    return entry === undefined ? undefined : recordOf(this.#name, entry.value);
  }

  #durabilityOf(settings: CheckedSettings | undefined): Durability {
    return settings?.durability ?? this.#store.durability;
  }

  async #write(record: ConsumerRecord, durability: Durability): Promise<void> {
    const value = encodeRecord(record);
    await this.#store.commit([{ type: 'set', key: recordKeyOf(this.#name), value }], durability);
    this.#source.retain(this.#name, { cursor: record.cursor, sequence: record.sequence });
  }

  /** Commits something about one letter, if there is one, or about every letter. */
  async #eachLetter(
    id: string | undefined,
    signal: AbortSignal | undefined,
    operationsOf: (id: string) => readonly WriteOperation[],
  ): Promise<number> {
    if (id === undefined) return this.#eachKey(lettersRange(this.#name), signal, (key) => operationsOf(idOfKey(key)));
    if ((await this.#store.entry(letterKeyOf(this.#name, id))) === undefined) return 0;
    await this.#store.commit(operationsOf(id), this.#store.durability);
    return 1;
  }

  async #eachKey(
    range: KeyRange,
    signal: AbortSignal | undefined,
    operationsOf: (key: Uint8Array) => readonly WriteOperation[],
  ): Promise<number> {
    const scan = this.#store.scanReserved(range, signal);
    let count = 0;
    try {
      for (let page = await scan.pull(); page.length > 0; page = await scan.pull()) {
        for (let start = 0; start < page.length; start += LETTERS_AT_ONCE) {
          signal?.throwIfAborted();
          const entries = page.slice(start, start + LETTERS_AT_ONCE);
          await this.#store.commit(
            entries.flatMap(({ key }) => operationsOf(key)),
            this.#store.durability,
          );
          count += entries.length;
        }
      }
    } finally {
      scan.close();
    }
    return count;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const result = this.#last.then(work);
    const done = (): void => {
      this.#waiting -= 1;
      if (this.#waiting === 0 && !this.isRunning && this.#session === undefined) this.#onIdle();
    };
    this.#last = result.then(done, done);
    return result;
  }
}

/** @throws ConsumerError */
export function recordOf(consumer: string, value: Uint8Array): ConsumerRecord {
  const record = decodeRecord(value);
  if (E.isRight(record)) return record.right;
  throw new ConsumerError(consumer, `${record.left}. Seek to a place to give it a new one, or delete the consumer.`);
}

function takeAll(workers: Set<Worker>): readonly Worker[] {
  const all = [...workers];
  workers.clear();
  return all;
}
