/**
 * Encrypts the values of a keyspace again, with the key that is current now.
 *
 *   a page of keys ──> those whose value an older key has encrypted ──> a few at a time: read again, [check, set]
 *
 * Page by page, because a scan from end to end would keep every table that is compacted meanwhile. The check is what makes it
 * safe beside other writers: a value that was changed since it was read is theirs.
 */
import { AbortedError, ConflictError, InvalidArgumentError, ValueUnreadableError } from '../errors.ts';
import type { KeyRange, SequenceNumber } from '../model.ts';
import { onAbort } from './abort.ts';
import { checkSettings } from './check-settings.ts';
import { systemClock, yieldTurn } from './clock.ts';
import type { KeyspaceForm, KeyspaceRange, StoredRange } from './keyspace-form.ts';
import type { KeyspaceStore } from './keyspace-store.ts';
import { Operation } from './operation.ts';
import type { ValueCipher } from './value-cipher.ts';

/** What to encrypt again: a range, or all. */
export interface KeyspaceRewriteOptions<Key> extends KeyspaceRange<Key> {
  /** Ends it with an `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** What became of the values. The store itself needs no older key if none is unreadable or contended. */
export interface KeyspaceRewriteReport {
  /** Values that were looked at. */
  readonly values: number;
  readonly rewritten: number;
  /** Left as they are: they could not be decrypted. */
  readonly unreadable: number;
  /** Left as they are: somebody else wrote them again and again, and not with the current key. */
  readonly contended: number;
  /** Sequence number of the last one that was rewritten; consumers behind it do not need the older keys. */
  readonly sequence: SequenceNumber | undefined;
}

/** Entries that are looked at between two turns of the event loop. */
const PAGE_ENTRIES = 256;
/** Values that are in memory, and on their way, at the same time: they share a sync. */
const VALUES_AT_ONCE = 16;
/** The same in bytes, where there is more than one. */
const BYTES_AT_ONCE = 4 * 1024 * 1024;

/** Times that one value is tried, while others write it. */
const ATTEMPTS_MAX = 8;

type Counts = { -readonly [Name in keyof KeyspaceRewriteReport]: KeyspaceRewriteReport[Name] };

interface OldValue {
  readonly key: Uint8Array;
  readonly bytes: number;
}

interface Page {
  readonly old: readonly OldValue[];
  /** Its last key, if more may follow. */
  readonly last: Uint8Array | undefined;
}

/** @throws InvalidArgumentError, SchemaError */
export function rewriteKeyspace<Key, Value>(
  form: KeyspaceForm<Key, Value>,
  store: KeyspaceStore,
  options: KeyspaceRewriteOptions<Key>,
): Operation<KeyspaceRewriteReport> {
  checkSettings('options', options);
  const { cipher } = form;
  if (cipher === undefined) {
    throw new InvalidArgumentError('options.encryption', 'there, to encrypt with the current key', undefined);
  }
  const range = form.rangeOf(options);
  const { signal } = options;
  return new Operation((sink) => {
    const ending = new AbortController();
    const stopListening = onAbort(signal, () => ending.abort(signal?.reason));
    if (signal?.aborted === true) ending.abort(signal.reason);
    new Rewriting(cipher, store, ending.signal).run(range).then(
      (report) => {
        stopListening();
        sink.succeed(report);
      },
      (error: unknown) => {
        stopListening();
        sink.fail(error);
      },
    );
    return () => {
      stopListening();
      ending.abort();
    };
  });
}

class Rewriting {
  readonly #cipher: ValueCipher;
  readonly #store: KeyspaceStore;
  readonly #signal: AbortSignal;
  readonly #counts: Counts = { values: 0, rewritten: 0, unreadable: 0, contended: 0, sequence: undefined };

  constructor(cipher: ValueCipher, store: KeyspaceStore, signal: AbortSignal) {
    this.#cipher = cipher;
    this.#store = store;
    this.#signal = signal;
  }

  async run(range: StoredRange): Promise<KeyspaceRewriteReport> {
    let rest: KeyRange = range;
    for (;;) {
      const { old, last } = await this.#page(rest);
      for (const together of chunksOf(old)) {
        this.#throwIfEnded();
        await Promise.all(together.map(({ key }) => this.#rewrite(key)));
      }
      if (last === undefined) return this.#counts;
      rest = { gt: last, lt: range.lt, lte: range.lte };
      await yieldTurn(systemClock);
    }
  }

  /** The values of a page that are to be rewritten. */
  async #page(range: KeyRange): Promise<Page> {
    const old: OldValue[] = [];
    let count = 0;
    let last: Uint8Array | undefined;
    for await (const { key, value } of this.#store.scan({ ...range, limit: PAGE_ENTRIES, signal: this.#signal })) {
      count += 1;
      last = key;
      if (!this.#cipher.isCurrent(value)) old.push({ key, bytes: value.length });
    }
    this.#counts.values += count;
    return { old, last: count === PAGE_ENTRIES ? last : undefined };
  }

  async #rewrite(key: Uint8Array): Promise<void> {
    const counts = this.#counts;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const found = await this.#store.entry(key);
      if (found === undefined || this.#cipher.isCurrent(found.value)) return; // somebody else did it
      try {
        const value = this.#cipher.seal(this.#cipher.open(found.value, key), key);
        const check = { type: 'check', key, sequence: found.sequence } as const;
        const { sequence } = await this.#store.write([check, { type: 'set', key, value }]);
        counts.rewritten += 1;
        counts.sequence = Math.max(counts.sequence ?? 0, sequence);
        return;
      } catch (error) {
        if (error instanceof ValueUnreadableError) {
          counts.unreadable += 1;
          return;
        }
        if (!(error instanceof ConflictError)) throw error;
      }
    }
    counts.contended += 1;
  }

  #throwIfEnded(): void {
    if (this.#signal.aborted) throw new AbortedError('the rewriting', { cause: this.#signal.reason });
  }
}

function* chunksOf(old: readonly OldValue[]): Generator<readonly OldValue[]> {
  let chunk: OldValue[] = [];
  let bytes = 0;
  for (const value of old) {
    if (chunk.length > 0 && (chunk.length === VALUES_AT_ONCE || bytes + value.bytes > BYTES_AT_ONCE)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(value);
    bytes += value.bytes;
  }
  if (chunk.length > 0) yield chunk;
}
