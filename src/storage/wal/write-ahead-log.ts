/**
 * The write-ahead log: one live file, one that is ready for the next memtable, and those whose memtables wait for their
 * flush.
 *
 *   retired ... retired | active | next          file numbers ascend
 *   (one per waiting      ^        ^
 *    memtable)            |        made, and its name synced, before it is needed: so a rotation waits for nothing
 *                         appended to
 *
 * Two rules that LevelDB does not keep, and loses data by (google/leveldb#193): a write is acknowledged as synced only
 * after every older log is synced too; and a new log's name is made durable before anything in it is acknowledged.
 *
 * Each log begins with a durability mark, synced before the log is used, and a further one precedes the first record after a sync has made more of the
 * past durable; `log-recovery.ts` tells what they are for. After a failed write or sync nothing more is written to any of
 * these files (rule R3): the caller makes what memory holds durable in tables, and begins again with {@link replace}.
 */
import { EngineError } from '../../errors.ts';
import { BATCH_HEADER_BYTES } from '../codec/write-batch.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import type { Step } from '../read/internal-iterator.ts';
import { type LiveLog, type LogArchivePort, LogMaker } from './log-maker.ts';
import { encodeDurabilityMark } from './log-writer.ts';
import { HEADER_BYTES } from './record-format.ts';

/** A log without a write in it is no longer than this: its first mark, an empty batch in one record. */
export const EMPTY_LOG_BYTES_MAX: number = HEADER_BYTES + BATCH_HEADER_BYTES;

/** Encoded batches that go to the log together: `bytes` holds one batch between each two neighbours of `bounds`. */
export interface EncodedGroup {
  readonly bytes: Uint8Array;
  readonly bounds: readonly number[];
  /** Sequence number of the first operation, and of the last. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly isSynced: boolean;
  /** Now: milliseconds since 1970. */
  readonly timeMs: number;
}

export class WriteAheadLog {
  readonly #archive: LogArchivePort;
  readonly #maker: LogMaker;
  readonly #retired: LiveLog[] = [];
  #active: LiveLog;
  #next: LiveLog | undefined;
  #preparing: Promise<void> | undefined;
  #failure: EngineError | undefined;
  /** Everything up to here is durable: in synced logs or in tables. */
  #durableSequence: number;
  #appendedSequence: number;
  /** What the newest mark in the active log says. */
  #markedSequence: number;
  /** What the mark in the prepared log says. */
  #nextMarkedSequence = 0;
  #syncsRunning = 0;
  /** Logs with a lower number may go. */
  #obsoleteBelow = 0;
  /** One after the other: history takes them in their order. */
  #removing: Promise<void> = Promise.resolve();
  /** Commit time of the newest group: never goes back. */
  #commitTimeMs: number;
  bytesWritten = 0;
  syncs = 0;
  /** Told whenever more has become durable. */
  onDurable: (() => void) | undefined;

  private constructor(maker: LogMaker, archive: LogArchivePort, active: LiveLog, durableSequence: number) {
    this.#maker = maker;
    this.#archive = archive;
    this.#active = active;
    this.#commitTimeMs = archive.newestTimeMs;
    this.#durableSequence = durableSequence;
    this.#appendedSequence = durableSequence;
    this.#markedSequence = 0;
  }

  /**
   * A fresh log, its name durable, on top of a tree in which everything up to `durableSequence` will be in tables when the
   * caller's commit is done. Until then it is not: so the first mark claims nothing.
   *
   * @param reserveBytes - room that a log keeps ready for synced writes, at a time; 0: none
   */
  static async begin(
    fileSystem: FileSystem,
    directory: string,
    allocateFileNumber: () => number,
    durableSequence: number,
    archive: LogArchivePort,
    reserveBytes = 0,
  ): Promise<WriteAheadLog> {
    const maker = new LogMaker(fileSystem, directory, allocateFileNumber, archive, reserveBytes);
    return new WriteAheadLog(maker, archive, await maker.create(0), durableSequence);
  }

  get activeNumber(): number {
    return this.#active.writer.fileNumber;
  }

  /** Commit time of what was appended last: milliseconds since 1970, at most 10 ms early. */
  get commitTimeMs(): number {
    return this.#commitTimeMs;
  }

  get durableSequence(): number {
    return this.#durableSequence;
  }

  /** Whether something was appended that no sync has made durable. */
  get isDirty(): boolean {
    return this.#appendedSequence > this.#durableSequence;
  }

  /** What broke the log, until {@link replace} has mended it. */
  get failure(): EngineError | undefined {
    return this.#failure;
  }

  get hasNext(): boolean {
    return this.#next !== undefined;
  }

  /** Makes the file for the next rotation ready. Idempotent; concurrent calls share the work. */
  prepareNext(): Promise<void> {
    if (this.#next !== undefined) return Promise.resolve();
    const marked = this.#durableSequence;
    this.#preparing ??= this.#maker
      .create(marked)
      .then((log) => {
        this.#next = log;
        this.#nextMarkedSequence = marked;
      })
      .finally(() => {
        this.#preparing = undefined;
      });
    return this.#preparing;
  }

  /** Switches to the prepared file, at once. @returns its number: older logs are for the memtables before it */
  rotate(): number {
    const next = this.#next;
    if (next === undefined) throw new Error('rotate without a prepared log'); // a bug of ours
    this.#next = undefined;
    this.#retired.push(this.#active);
    this.#active = next;
    this.#markedSequence = this.#nextMarkedSequence;
    return next.writer.fileNumber;
  }

  /**
   * Appends a group, each batch as a record of its own, and syncs if the group asks for it. One call at a time.
   *
   * @throws (or rejects with) IoError or NoSpaceError; the log is then broken until {@link replace}
   */
  append(group: EncodedGroup): Step {
    if (this.#failure !== undefined) throw this.#failure;
    const active = this.#active.writer;
    const before = active.bytesWritten;
    try {
      if (this.#durableSequence > this.#markedSequence) {
        const mark = encodeDurabilityMark(this.#durableSequence + 1);
        active.stage(mark, 0, mark.length);
        this.#markedSequence = this.#durableSequence;
      }
      const { bytes, bounds } = group;
      for (let index = 1; index < bounds.length; index += 1) {
        active.stage(bytes, bounds[index - 1] as number, bounds[index] as number);
      }
      const written = active.flushStaged();
      if (written === undefined && !group.isSynced) {
        this.#appended(group, before);
        this.#count(group, before);
        return undefined;
      }
      return this.#finishAppend(group, written, before);
    } catch (error) {
      throw this.#break(error);
    }
  }

  async #finishAppend(group: EncodedGroup, written: Step, bytesBefore: number): Promise<void> {
    try {
      if (written !== undefined) await written;
    } catch (error) {
      throw this.#break(error);
    }
    this.#appended(group, bytesBefore);
    if (group.isSynced) {
      const { writer } = this.#active;
      writer.reserve(writer.bytesWritten - bytesBefore);
      await this.sync();
    }
    this.#count(group, bytesBefore);
    if (group.isSynced) this.#claimDurable(); // a first group could not be spoken of before
  }

  /** Says in the newest index what the marks will say in the log, where something follows. */
  #claimDurable(): void {
    const active = this.#active.segment;
    const before = this.#retired.at(-1)?.segment;
    // What is in the active log and not counted yet is not for the index of the one before.
    if (active.isEmpty) before?.noteDurable(Math.min(this.#durableSequence, before.lastSequence));
    else active.noteDurable(this.#durableSequence);
  }

  #appended(group: EncodedGroup, bytesBefore: number): void {
    this.#appendedSequence = group.lastSequence;
    this.bytesWritten += this.#active.writer.bytesWritten - bytesBefore;
  }

  /** From here on the group is history: what fails before does not count. */
  #count({ firstSequence, lastSequence, timeMs }: EncodedGroup, offset: number): void {
    const { writer, segment } = this.#active;
    const now = Math.max(timeMs, this.#commitTimeMs);
    this.#commitTimeMs = segment.count(firstSequence, lastSequence, offset, writer.bytesWritten, now);
  }

  /** Makes everything appended before this call durable. */
  async sync(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const upTo = this.#appendedSequence;
    // The list as it is now: a rotation while we wait must not slip a dirty log past us.
    const dirty = [...this.#retired, this.#active].filter(({ writer }) => writer.isDirty);
    this.#syncsRunning += 1;
    try {
      for (const { writer } of dirty) await writer.sync();
    } catch (error) {
      throw this.#break(error);
    } finally {
      this.#syncsRunning -= 1;
    }
    this.syncs += 1;
    this.noteDurable(upTo);
    this.#claimDurable();
    await this.#removeObsolete();
  }

  /** What a flush has made durable in a table need not be synced here. */
  noteDurable(sequence: number): void {
    if (sequence <= this.#durableSequence) return;
    this.#durableSequence = sequence;
    this.onDurable?.();
  }

  /**
   * Before the MANIFEST lets go of the logs below `fileNumber`: makes them fit to be history, which nothing else has. One
   * that failed is written again, with what counts; also one that is sound, and holds a group that failed because of
   * another log, or room that it could not give back.
   */
  async seal(fileNumber: number): Promise<void> {
    for (const { writer, segment } of this.#retired.filter((log) => log.writer.fileNumber < fileNumber)) {
      const isTrimmed = await writer.trim();
      const isSynced = await writer.sync().then(
        () => true,
        () => false,
      );
      const counted = segment.isEmpty ? EMPTY_LOG_BYTES_MAX : segment.bytes;
      if (!isTrimmed || !isSynced || writer.bytesWritten > counted) await this.#archive.rewrite(segment);
      else await segment.seal();
    }
  }

  /** Closes and removes the logs whose memtables are in tables now; not in the middle of a sync of theirs. */
  async removeBelow(fileNumber: number): Promise<void> {
    this.#obsoleteBelow = Math.max(this.#obsoleteBelow, fileNumber);
    await this.#removeObsolete();
  }

  #removeObsolete(): Promise<void> {
    const done = this.#removing.then(() => this.#removeEach());
    this.#removing = done.catch(() => undefined); // the caller hears of it
    return done;
  }

  /** Asks before each of them: a sync that begins meanwhile has the others in its list, and removes them at its end. */
  async #removeEach(): Promise<void> {
    while (this.#syncsRunning === 0 && (this.#retired[0]?.writer.fileNumber ?? Infinity) < this.#obsoleteBelow) {
      const { writer, segment } = this.#retired.shift() as LiveLog;
      await writer.close().catch(() => undefined); // its content is durable elsewhere
      await this.#archive.release(segment);
    }
  }

  /**
   * After a failure: a fresh log in place of the broken one. The broken ones stay until {@link removeBelow}, because they
   * hold what the waiting memtables hold.
   *
   * @returns the number of the fresh log
   */
  async replace(): Promise<number> {
    await this.#preparing?.catch(() => undefined); // its own caller hears of it
    const marked = this.#durableSequence;
    const fresh = await this.#maker.create(marked);
    this.#retired.push(this.#active);
    // A file that was prepared before has a lower number than the fresh one. Used after it, it would be taken for older:
    // recovery would leave it out, or take its writes for damage.
    if (this.#next !== undefined && this.#next.writer.fileNumber < fresh.writer.fileNumber) {
      this.#retired.push(this.#next);
      this.#next = undefined;
    }
    this.#active = fresh;
    this.#markedSequence = marked;
    return fresh.writer.fileNumber;
  }

  /** After {@link replace}, when every memtable before it is in a durable table. */
  mend(durableSequence: number): void {
    this.#failure = undefined;
    this.noteDurable(durableSequence);
    this.#appendedSequence = Math.max(this.#appendedSequence, durableSequence);
  }

  async close(): Promise<void> {
    await this.#preparing?.catch(() => undefined);
    const logs = [...this.#retired, this.#active, this.#next].filter((log) => log !== undefined);
    const closed = await Promise.allSettled(
      logs.flatMap(({ writer, segment }) => [writer.close(), segment.closeIndex()]),
    );
    for (const one of closed) if (one.status === 'rejected') throw one.reason;
  }

  #break(error: unknown): EngineError {
    if (!(error instanceof EngineError)) throw error; // a bug of ours
    this.#failure ??= error;
    return this.#failure;
  }
}
