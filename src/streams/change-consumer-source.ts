/** The change stream as a consumer's source: what is durable, from history and live, at the consumer's pace. */
import type { Change, Cursor, KeyRange, SequenceNumber } from '../model.ts';
import { AbortedError } from '../errors.ts';
import type { ChangeHandOver, ChangeHub } from './change-hub.ts';
import { positionOf } from './change-place.ts';
import type { Backlog, ChangeSource, ConsumerFrom, ConsumerSource, Place } from './consumer-source.ts';
import { boundsOf } from './scan-options.ts';
import { pullOrWaitAsPull, type Waited } from './stream.ts';

/** Changes and bytes that wait in memory for a consumer; beyond that it reads on from history. */
const BUFFER_CHANGES_MAX = 16_384;
const BUFFER_BYTES_MAX = 16 * 1024 * 1024;

export class ChangeConsumerSource implements ConsumerSource {
  readonly #hub: ChangeHub;
  readonly #retain: (consumer: string, settled: SequenceNumber | undefined) => void;

  /** @param retain - told what each consumer has settled: what is behind it is to be kept */
  constructor(hub: ChangeHub, retain: (consumer: string, settled: SequenceNumber | undefined) => void) {
    this.#hub = hub;
    this.#retain = retain;
  }

  async open(from: Cursor, range: KeyRange): Promise<ChangeSource> {
    await this.#hub.openHistory();
    return new DurableChanges(this.#hub, this.#listen(await positionOf(this.#hub, from), range));
  }

  async resolve(from: ConsumerFrom): Promise<Place> {
    await this.#hub.openHistory();
    const position = await positionOf(this.#hub, from);
    // What is not durable yet may be lost, and then nothing stands there.
    const sequence = from === 'now' ? Math.min(position, this.#hub.durableSequence) : position;
    return { sequence, cursor: this.#hub.cursorAt(sequence) };
  }

  /** Reads what lies between, page by page: the exact figure costs a pass over it. */
  async lag(
    after: Cursor,
    range: KeyRange,
    settled: readonly SequenceNumber[],
    signal?: AbortSignal,
  ): Promise<Backlog> {
    await this.#hub.openHistory();
    const end = this.#hub.durableSequence;
    const changes = this.#listen(await positionOf(this.#hub, after), range);
    const source = new DurableChanges(this.#hub, changes);
    let [count, bytes, run] = [0, 0, 0];
    let oldestTimeMs: number | undefined;
    try {
      while (changes.position < end) {
        if (signal?.aborted === true) throw new AbortedError('the lag', { cause: signal.reason });
        const page = await source.pullOrWait(() => undefined);
        if (page === undefined) continue;
        if (page.length === 0) break; // the store closes
        for (const change of page) {
          if (change.sequence > end) break;
          while (change.sequence >= (settled[run] ?? Infinity) + (settled[run + 1] ?? 0)) run += 2;
          if (change.sequence >= (settled[run] ?? Infinity)) continue;
          oldestTimeMs ??= change.timeMs;
          count += 1;
          bytes += change.key.length + (change.type === 'set' ? change.value.length : 0);
        }
      }
    } finally {
      source.close();
    }
    return { changes: count, bytes, oldestTimeMs };
  }

  retain(consumer: string, watermark: Place | undefined): void {
    this.#retain(consumer, watermark?.sequence);
  }

  #listen(position: SequenceNumber, range: KeyRange): ChangeHandOver {
    return this.#hub.listen({
      range: boundsOf(range),
      position,
      until: Infinity,
      durability: 'synced',
      onOverflow: 'replay',
      bufferChangesMax: BUFFER_CHANGES_MAX,
      bufferBytesMax: BUFFER_BYTES_MAX,
    });
  }
}

class DurableChanges implements ChangeSource {
  readonly #hub: ChangeHub;
  readonly #changes: ChangeHandOver;

  constructor(hub: ChangeHub, changes: ChangeHandOver) {
    this.#hub = hub;
    this.#changes = changes;
  }

  get watermark(): Place {
    const sequence = this.#changes.position;
    return { sequence, cursor: this.#hub.cursorAt(sequence) };
  }

  pull(): readonly Change[] | Promise<readonly Change[]> {
    return pullOrWaitAsPull(this);
  }

  pullOrWait(wake: () => void): Waited<Change> {
    const page = this.#changes.pull(wake);
    return page instanceof Promise ? page.then((changes) => changes?.filter(isChange)) : page?.filter(isChange);
  }

  close(): void {
    this.#changes.close();
  }
}

/** The policy drops nothing; the compiler does not know. */
const isChange = (value: { readonly type: string }): value is Change => value.type !== 'skipped';
