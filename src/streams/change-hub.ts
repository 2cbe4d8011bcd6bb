/**
 * Between the write pipeline and everybody who listens: each committed group goes to those who are interested in it.
 *
 *                        ┌─ index of ranges ─> subscriber's hand-over ─> pulled by its reader
 *   committed group ─────┤
 *                        └─ those who want everything
 *
 * A change is made out of the pipeline's bytes once, however many want it, and only if anybody does. A commit costs by the
 * number of those who are interested (`interest-index.ts`). Nobody's code runs inside of the publication: whoever has
 * something to read is woken in one microtask for all of them.
 */
import { HandOver, type HandOverPolicy, type HandOverPort, type LiveGroup } from '../operators/hand-over.ts';
import type { Change, Cursor, Durability, SequenceNumber } from '../model.ts';
import { HistoryReader } from '../storage/history/history-reader.ts';
import type { LogArchive } from '../storage/history/log-archive.ts';
import type { Tree } from '../storage/tree.ts';
import type { WriteAheadLog } from '../storage/wal/write-ahead-log.ts';
import { ChangeDecoder } from './change-decoder.ts';
import type { Clock } from './clock.ts';
import { cursorPrefix } from './cursor.ts';
import { type ByteRange, InterestIndex } from './interest-index.ts';
import type { CommittedGroup } from './write-stream.ts';

/** Changes that were dropped, by the policy of their subscriber: `count` of them, the last at `sequence`; 0: see `progressMs`. */
export interface SkippedChanges {
  readonly type: 'skipped';
  readonly count: number;
  readonly sequence: SequenceNumber;
  readonly cursor: Cursor;
}

export interface ListenOptions {
  readonly range: ByteRange;
  /** Behind which sequence number to begin. */
  readonly position: SequenceNumber;
  /** The last sequence number that is wanted; `Infinity`: there is no end. */
  readonly until: SequenceNumber;
  readonly durability: Durability;
  readonly onOverflow: HandOverPolicy;
  readonly bufferChangesMax: number;
  readonly bufferBytesMax: number;
}

export type ChangeHandOver = HandOver<Change | SkippedChanges>;

interface Subscriber {
  readonly handOver: ChangeHandOver;
  readonly until: SequenceNumber;
  /** Of the group that is being published. */
  pending: Change[];
  pendingBytes: number;
}

/** A page of history: this many changes, or this many bytes of them. */
const PAGE_CHANGES = 1024;
const PAGE_BYTES = 256 * 1024;

export interface ChangeHubParts {
  readonly tree: Tree;
  /** `undefined` when opened for reading only: nothing is published then. */
  readonly log: WriteAheadLog | undefined;
  /** `undefined` when opened for reading only. */
  readonly archive: LogArchive | undefined;
  /** Then: reads it. */
  readonly openHistory?: (() => Promise<LogArchive>) | undefined;
  readonly clock: Clock;
}

export class ChangeHub {
  readonly #parts: ChangeHubParts;
  #archive: LogArchive | undefined;
  #opening: Promise<void> | undefined;
  #cursorPrefix: `al1.${string}`;
  #decoder: ChangeDecoder;
  readonly #index = new InterestIndex<Subscriber>();
  /** With what lets go of the files that it reads history from. */
  readonly #open = new Map<ChangeHandOver, () => void>();
  #interested: Subscriber[] = [];
  readonly #touched = new Set<Subscriber>();
  #soon: (() => void)[] = [];
  /** Those that have something to give when more is durable. */
  readonly #unready = new Set<ChangeHandOver>();
  /** Those whose last change has a number that is not there, or not durable, yet. */
  readonly #unended = new Set<Subscriber>();
  readonly #waitingForSync = new Set<{ readonly sequence: SequenceNumber; readonly resume: () => void }>();
  #isComplete = false;

  constructor(parts: ChangeHubParts) {
    this.#parts = parts;
    const { archive } = parts;
    this.#archive = archive;
    this.#cursorPrefix = cursorPrefix(archive?.databaseId ?? '0'.repeat(32), archive?.epoch ?? 1);
    this.#decoder = new ChangeDecoder(this.#cursorPrefix);
  }

  get archive(): LogArchive | undefined {
    return this.#archive;
  }

  /** Whether cursors can be given and taken, and history be read; else {@link ChangeHub.openHistory} has to come first. */
  get isHistoryOpen(): boolean {
    return this.#archive !== undefined || this.#parts.openHistory === undefined;
  }

  /** @returns rejects with CorruptionError, IoError */
  openHistory(): Promise<void> {
    const { openHistory } = this.#parts;
    if (this.#archive !== undefined || openHistory === undefined) return Promise.resolve();
    this.#opening ??= openHistory().then(
      (archive) => {
        this.#archive = archive;
        this.#cursorPrefix = cursorPrefix(archive.databaseId, epochOfWriter(archive, this.visibleSequence));
        this.#decoder = new ChangeDecoder(this.#cursorPrefix);
      },
      (error: unknown) => {
        this.#opening = undefined; // the next one tries again
        throw error;
      },
    );
    return this.#opening;
  }

  /** How many are listening or reading history. */
  get subscribers(): number {
    return this.#open.size;
  }

  /** The last sequence number that readers see. */
  get visibleSequence(): SequenceNumber {
    return this.#parts.tree.visibleSequence;
  }

  /** The last sequence number that readers see and that survives a power cut. */
  get durableSequence(): SequenceNumber {
    const { tree, log } = this.#parts;
    return log === undefined ? tree.visibleSequence : Math.min(tree.visibleSequence, log.durableSequence);
  }

  /** Milliseconds since 1970; as commit times, not before the newest of them, if the clock was put back. */
  get nowMs(): number {
    const { clock, log } = this.#parts;
    return Math.max(clock.date().getTime(), log?.commitTimeMs ?? 0);
  }

  /** @returns what calls it off */
  setTimer(work: () => void, ms: number): () => void {
    return this.#parts.clock.setTimer(work, ms);
  }

  cursorAt(sequence: SequenceNumber): Cursor {
    return `${this.#cursorPrefix}${sequence}`;
  }

  /** Takes a group that has just become visible, before its acknowledgements. */
  publish(group: CommittedGroup): void {
    this.#route(group);
    this.#stirUnended(); // also those that wait for the number of a change that is none of theirs
  }

  #route({ encoded, timeMs }: CommittedGroup): void {
    const index = this.#index;
    if (index.size === 0) return;
    const { bytes, bounds, firstSequence: first, lastSequence: last } = encoded;
    const all: Change[] = [];
    this.#decoder.route({ bytes, bounds, timeMs }, index.everything.size > 0, this.#find, (change) => {
      all.push(change);
      for (const subscriber of this.#interested) this.#give(subscriber, change);
    });
    for (const subscriber of this.#touched) {
      const { pending, pendingBytes } = subscriber;
      subscriber.pending = [];
      subscriber.pendingBytes = 0;
      subscriber.handOver.push({ values: pending, first, last: Math.min(last, subscriber.until), bytes: pendingBytes });
    }
    this.#touched.clear();
    if (all.length === 0) return;
    const group: LiveGroup<Change> = { values: all, first, last, bytes: bounds.at(-1) ?? 0 };
    for (const { handOver, until } of index.everything) {
      if (until >= last) handOver.push(group);
      else if (until >= first) handOver.push(cutAfter(group, until));
    }
  }

  #stirUnended(): void {
    for (const subscriber of this.#unended) {
      const { handOver, until } = subscriber;
      if (this.visibleSequence < until) continue;
      handOver.stir();
      if (this.durableSequence >= until) this.#unended.delete(subscriber);
    }
  }

  /** More has become durable: whoever waits for that may go on. */
  stir(): void {
    for (const handOver of this.#unready) handOver.stir(); // each that is still not ready comes back when it is woken
    this.#unready.clear();
    this.#stirUnended();
    for (const one of this.#waitingForSync) {
      if (one.sequence > this.durableSequence && !this.#isComplete) continue;
      this.#waitingForSync.delete(one);
      one.resume();
    }
  }

  /** Calls `resume` once, when everything that is visible now survives a power cut, or the store closes; or calls it off. */
  whenDurable(resume: () => void): () => void {
    const one = { sequence: this.visibleSequence, resume };
    this.#waitingForSync.add(one);
    if (one.sequence <= this.durableSequence || this.#isComplete) this.stir();
    return () => void this.#waitingForSync.delete(one);
  }

  /** The store closes: what waits is still given, then the streams end. */
  complete(): void {
    this.#isComplete = true;
    for (const [handOver, letGo] of this.#open) {
      handOver.complete();
      letGo();
    }
    this.stir();
  }

  /** A new subscriber; `close` it. */
  listen(options: ListenOptions): ChangeHandOver {
    const { range, position, until, durability, onOverflow } = options;
    const { bufferChangesMax: valuesMax, bufferBytesMax: bytesMax } = options;
    let reader: HistoryReader | undefined;
    let stopListening: (() => void) | undefined;
    const listener: { subscriber?: Subscriber; isListening: boolean } = { isListening: false };
    const port: HandOverPort<Change | SkippedChanges> = {
      // What is behind its end is, for this one, not published.
      published: () => Math.min(this.visibleSequence, until),
      ready: () => Math.min(durability === 'synced' ? this.durableSequence : this.visibleSequence, until),
      listen: (wanted) => {
        listener.isListening = wanted;
        stopListening?.();
        stopListening = undefined;
        const { subscriber } = listener;
        if (wanted && subscriber !== undefined) stopListening = this.#index.add(range, subscriber);
        if (wanted) reader?.release().catch(() => undefined); // nothing was written to these files
      },
      replay: async (from, bound) => {
        const archive = this.#archive;
        if (archive === undefined) return { values: [], position: bound };
        if (reader?.position !== from + 1) {
          await reader?.close();
          reader = new HistoryReader(archive, from + 1);
        }
        const values: Change[] = [];
        let bytes = 0;
        await reader.read(bound, (batch) => {
          bytes += this.#decoder.decode(batch, range, from + 1, values);
          return values.length < PAGE_CHANGES && bytes < PAGE_BYTES;
        });
        // A batch is read whole, also one that the end is in the midst of.
        while ((values.at(-1)?.sequence ?? 0) > until) values.pop();
        return { values, position: Math.min(reader.position - 1, until) };
      },
      skipped: (count, sequence) => ({ type: 'skipped', count, sequence, cursor: this.cursorAt(sequence) }),
      whenReady: () => void this.#unready.add(handOver),
      soon: (work) => this.#runSoon(work),
    };
    const handOver: ChangeHandOver = new HandOver(port, { position, onOverflow, valuesMax, bytesMax });
    const subscriber: Subscriber = { handOver, until, pending: [], pendingBytes: 0 };
    listener.subscriber = subscriber;
    if (until !== Infinity && until > this.durableSequence) this.#unended.add(subscriber);
    if (listener.isListening) port.listen(true); // it began before there was anything to add
    const letGo = (): void => void reader?.close().catch(() => undefined);
    this.#open.set(handOver, letGo);
    handOver.onClose = () => {
      this.#open.delete(handOver);
      this.#unready.delete(handOver);
      this.#unended.delete(subscriber);
      letGo();
    };
    if (this.#isComplete) handOver.complete();
    return handOver;
  }

  readonly #visit = (subscriber: Subscriber): void => void this.#interested.push(subscriber);

  readonly #find = (bytes: Uint8Array, start: number, end: number): boolean => {
    if (this.#interested.length > 0) this.#interested = [];
    this.#index.find(bytes, start, end, this.#visit);
    return this.#interested.length > 0 || this.#index.everything.size > 0;
  };

  #give(subscriber: Subscriber, change: Change): void {
    if (change.sequence > subscriber.until) return;
    if (subscriber.pending.length === 0) this.#touched.add(subscriber);
    subscriber.pending.push(change);
    subscriber.pendingBytes += change.key.length + (change.type === 'set' ? change.value.length : 0);
  }

  #runSoon(work: () => void): void {
    this.#soon.push(work);
    if (this.#soon.length > 1) return;
    this.#parts.clock.afterMicrotask(() => {
      const works = this.#soon;
      this.#soon = [];
      for (const one of works) one();
    });
  }
}

/**
 * A reader beside a program that writes, or before the next one does: if all that it sees is of the epoch that was last, then
 * its cursors are of that epoch, and lead on whether the next opening begins another one or not.
 */
function epochOfWriter({ epoch, epochEnds }: LogArchive, visible: SequenceNumber): number {
  const last = epochEnds.at(-1);
  return last?.epoch === epoch - 1 && last.lastSequence >= visible ? last.epoch : epoch;
}

/** Of a group that an end is in the midst of, what is before it. */
function cutAfter({ values, first, bytes }: LiveGroup<Change>, until: SequenceNumber): LiveGroup<Change> {
  return { values: values.filter(({ sequence }) => sequence <= until), first, last: until, bytes };
}
