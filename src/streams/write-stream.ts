/**
 * The life of a write, in one pipe:
 *
 *   store.set ──> groupCommit ──> paceByDebt ──> flushAtThreshold ──> checkConditions ──┐
 *                 the only queue  waits while    makes room: new log  looks up what       │
 *                 before the log  compaction     and new memtable     conditions ask      │
 *                                 is behind                           about               │
 *             ┌───────────────────────────────────────────────────────────────────────────┘
 *             └─> walAppend ──> memtableInsert ──> publish ──> ack
 *                 judges the    then readers       the change
 *                 conditions,   see it             streams
 *                 gives the sequence numbers
 *
 * One group is under way at a time; while it syncs, the next one gathers. So acknowledgements, sequence numbers and
 * changes have one and the same order without any of the stages having to care, and one sync serves all who wait.
 *
 * A failure is answered to the writes of its group, and the pipe lives on. What the engine does after a failed log is in
 * `log-keeper.ts`.
 */
import { type Observable, type Subject, Subscription, tap } from 'rxjs';
import { InvalidArgumentError, ReadOnlyError } from '../errors.ts';
import { checkConditions } from '../operators/check-conditions.ts';
import { flushAtThreshold } from '../operators/flush-at-threshold.ts';
import { groupCommit } from '../operators/group-commit.ts';
import { memtableInsert } from '../operators/memtable-insert.ts';
import { type DelayScheduler, paceByDebt } from '../operators/pace-by-debt.ts';
import { walAppend } from '../operators/wal-append.ts';
import type { WriteGroup } from '../operators/write-group.ts';
import { BatchBuffer, BatchReader } from '../storage/codec/write-batch.ts';
import { Memtable } from '../storage/memtable/memtable.ts';
import type { Tree } from '../storage/tree.ts';
import type { EncodedGroup, WriteAheadLog } from '../storage/wal/write-ahead-log.ts';
import { type Clock, SLICE_MS } from './clock.ts';
import type { Health } from './health.ts';
import type { LogKeeper } from './log-keeper.ts';
import type { Stall } from './stall.ts';
import type { Write } from './write.ts';
import { GroupConditions, isConditional } from './write-conditions.ts';

/** A group that is in the log and in the memtable. Its bytes are valid only while it is being published. */
export interface CommittedGroup {
  /** The batches as they are in the log: one between each two neighbours of `bounds`. */
  readonly encoded: EncodedGroup;
  /** Commit time of its changes: milliseconds since 1970. */
  readonly timeMs: number;
}

export interface WritePipelineParts {
  readonly tree: Tree;
  readonly log: WriteAheadLog;
  readonly keeper: LogKeeper;
  readonly stall: Stall;
  readonly health: Health;
  /** Where committed groups are published; synchronously, before their acknowledgements. */
  readonly committed$: Subject<CommittedGroup>;
  readonly counters: WriteCounters;
  /** Told when a write has left an answer for its idempotency key, which has to be swept away some day. */
  readonly onStoredAnswer: () => void;
  readonly clock: Clock;
}

/** What the pipeline counts, for `store.stats()`. */
export class WriteCounters {
  groups = 0;
  writes = 0;
  userBytes = 0;
  waitingWrites = 0;
  waitingBytes = 0;
  callersAtTheDoor = 0;
}

/** Most writes of one group: what is acknowledged in one go must stay a short step. */
const GROUP_WRITES_MAX = 4096;
/** Operations inserted into the memtable between two turns of the event loop. */
const INSERTS_PER_TURN = 4096;

type Group = WriteGroup<Write>;
type Done = (failure: unknown) => void;

/** The pipe. Subscribed to once, for the life of the store. */
export function writePipeline(writes$: Observable<Write>, parts: WritePipelineParts): Observable<Group> {
  const { tree, stall, counters, clock } = parts;
  const stages = new WriteStages(parts);
  const { waitingWritesMax, waitingWriteBytesMax, groupBytesMax, onOverflow } = tree.options;
  const fail = (group: Group, error: unknown): void => stages.fail(group, error);

  return writes$.pipe(
    groupCommit<Write>({
      writesMax: waitingWritesMax,
      bytesMax: waitingWriteBytesMax,
      groupWritesMax: GROUP_WRITES_MAX,
      groupBytesMax,
      onOverflow,
      sizeOf: (write) => write.bytes,
      isCancelled: (write) => write.state === 'cancelled',
      onRejected: (write, error) => write.fail(error),
      gather: gatherer(clock),
      onDepth: (writes, bytes, atDoor) => {
        counters.waitingWrites = writes;
        counters.waitingBytes = bytes;
        counters.callersAtTheDoor = atDoor;
      },
    }),
    tap((group) => take(group)),
    paceByDebt<Group>(stall, delaysBy(clock)),
    flushAtThreshold<Group>(stages, { fail }),
    checkConditions<Group>(stages, { fail }),
    walAppend<Group>({ append: (group, done) => stages.append(group, done), fail }),
    memtableInsert<Group>({ insert: (_group, done) => stages.insert(done), fail }),
    tap(() => stages.publish()),
    tap((group) => stages.acknowledge(group)),
  );
}

/**
 * When the next group is formed. Writers that await their acknowledgement write again in the microtasks after it: a sync
 * is worth waiting for all of them to come, a buffered write is not worth more than the end of the present microtask.
 *
 * But writers that only ever wait for memory would keep the thread for good, microtask after microtask, and no timer
 * would fire: so once a slice of time is used up, the event loop has its turn first.
 */
function gatherer(clock: Clock): (open: () => void, first: Write) => void {
  let sliceEnd = 0;
  return (open, first) => {
    if (first.durability === 'buffered' && clock.now() < sliceEnd) {
      clock.afterMicrotask(open);
      return;
    }
    clock.afterTurn(() => {
      sliceEnd = clock.now() + SLICE_MS;
      open();
    });
  };
}

/** The timers of held groups: those who wait for their write keep the process alive. */
const delaysBy = (clock: Clock): DelayScheduler => ({
  now: () => clock.now(),
  schedule: (work, ms) => new Subscription(clock.setTimer(work, ms, true)),
});

function take(group: Group): void {
  for (const write of group.writes) write.state = 'taken';
}

const NO_GROUP: EncodedGroup = {
  bytes: new Uint8Array(0),
  bounds: [0],
  firstSequence: 0,
  lastSequence: 0,
  isSynced: false,
  timeMs: 0,
};

/** The ports of the operators: what each stage does to log and memtable. */
class WriteStages {
  readonly #parts: WritePipelineParts;
  readonly #buffer = new BatchBuffer();
  readonly #reader = new BatchReader();
  #encoded: EncodedGroup = NO_GROUP;
  /** Of the group under way, if any of its writes has some. */
  #conditions: GroupConditions | undefined;

  constructor(parts: WritePipelineParts) {
    this.#parts = parts;
  }

  hasRoomFor(group: Group): boolean {
    const { tree, health } = this.#parts;
    if (group.writes.some((write) => write.isBarrier) && (health.isLogBroken || tree.active.entryCount > 0))
      return false;
    // A write may have become impossible while it waited: `append` refuses it, and it needs no room.
    return health.isLogBroken || tree.active.hasRoomFor(operationCount(group), encodedBytes(group));
  }

  rotate(group: Group, done: Done): void {
    const capacityBytes = Memtable.capacityFor(operationCount(group), encodedBytes(group));
    this.#parts.keeper.rotate(capacityBytes).then(() => done(undefined), done);
  }

  lookUp(group: Group, done: Done): void {
    if (!isConditional(group.writes)) return done(undefined);
    const conditions = new GroupConditions(group.writes, this.#parts);
    this.#conditions = conditions;
    const step = conditions.lookUp();
    if (step === undefined) done(undefined);
    else step.then(() => done(undefined), done);
  }

  append(group: Group, done: Done): void {
    const { log, health, stall, tree, counters, keeper } = this.#parts;
    const encoded = this.#encode(group);
    if (encoded.bounds.length === 1) return this.#appendNothing(done);
    if (encoded.lastSequence > Number.MAX_SAFE_INTEGER) {
      return done(new ReadOnlyError('its sequence numbers are used up. Export it into a new database.'));
    }
    const refusal = health.refusalOfWrite(stall.isFull ? 'compaction' : undefined);
    if (refusal instanceof ReadOnlyError) return done(refusal); // a closing store still serves what it has accepted
    const encodedEnd = encoded.bounds.at(-1) as number; // a group may have writes that write nothing
    stall.admitted(encodedEnd);
    // A number that was given out is never given out again, whatever becomes of the group.
    tree.versions.lastSequence = encoded.lastSequence;
    counters.groups += 1;
    counters.writes += encoded.bounds.length - 1;
    counters.userBytes += encodedEnd;
    const failed = (error: unknown): void => {
      keeper.logFailed(error);
      done(error);
    };
    try {
      const step = log.append(encoded);
      if (step !== undefined) {
        step.then(() => done(undefined), failed);
        return;
      }
    } catch (error) {
      failed(error);
      return;
    }
    done(undefined); // outside of the try: what the next stages throw is no failure of the log
  }

  /** Barriers, and writes that commit nothing: whose answers must be as durable as they ask for. */
  #appendNothing(done: Done): void {
    const { log, health, keeper } = this.#parts;
    if (!this.#encoded.isSynced || !log.isDirty) return done(undefined);
    const refusal = health.refusalOfWrite();
    if (refusal instanceof ReadOnlyError) return done(refusal);
    log.sync().then(
      () => done(undefined),
      (error: unknown) => {
        keeper.logFailed(error);
        done(error);
      },
    );
  }

  insert(done: Done): void {
    const { bytes, bounds } = this.#encoded;
    const reader = this.#reader;
    const { active } = this.#parts.tree;
    let batch = 0;
    let isInBatch = false;
    const slice = (): void => {
      for (let inserts = 0; inserts < INSERTS_PER_TURN;) {
        if (!isInBatch) {
          if (batch === bounds.length - 1) return visible();
          reader.reset(bytes, bounds[batch] as number, bounds[batch + 1] as number);
          isInBatch = true;
        }
        if (reader.next()) {
          const { sequence, kind, keyStart, keyEnd, valueStart, valueEnd } = reader;
          active.add(sequence, kind, bytes, keyStart, keyEnd, valueStart, valueEnd);
          inserts += 1;
        } else {
          isInBatch = false;
          batch += 1;
        }
      }
      this.#parts.clock.afterTurn(slice);
    };
    const visible = (): void => {
      this.#parts.tree.visibleSequence = this.#encoded.lastSequence;
      done(undefined);
    };
    slice();
  }

  publish(): void {
    const { committed$, log } = this.#parts;
    if (!committed$.observed || this.#encoded.bounds.length === 1) return;
    committed$.next({ encoded: this.#encoded, timeMs: log.commitTimeMs });
  }

  acknowledge(group: Group): void {
    const durability = this.#encoded.isSynced ? 'synced' : 'buffered';
    const conditions = this.#takeConditions();
    for (const write of group.writes) {
      if (conditions === undefined) write.acknowledge(durability);
      else conditions.answer(write, durability);
    }
    if (conditions?.hasStoredAnswer === true) this.#parts.onStoredAnswer();
    if (this.#parts.log.isDirty) this.#parts.keeper.syncSoon();
    group.release();
  }

  fail(group: Group, error: unknown): void {
    const conditions = this.#takeConditions();
    for (const write of group.writes) {
      if (conditions === undefined) write.fail(error);
      else conditions.fail(write, error);
    }
    group.release();
  }

  /** Before the first answer: whoever gets it may write again at once. */
  #takeConditions(): GroupConditions | undefined {
    const conditions = this.#conditions;
    this.#conditions = undefined;
    return conditions;
  }

  /**
   * Every batch with its sequence numbers, one after the other in one buffer that serves group after group. Without those
   * whose conditions do not hold now that their turn has come.
   */
  #encode(group: Group): EncodedGroup {
    const buffer = this.#buffer;
    const conditions = this.#conditions;
    buffer.reset();
    const bounds: number[] = [0];
    let sequence = this.#parts.tree.versions.lastSequence;
    const firstOfGroup = sequence + 1;
    let isSynced = false;
    for (const write of group.writes) {
      if (write.isBarrier) continue;
      if (conditions !== undefined && !conditions.admits(write, sequence)) continue;
      const start = buffer.append(sequence + 1, write.operations);
      if (buffer.length - start !== write.encodedBytes) {
        // Its bytes were changed under us (a transferred or resized buffer): room was made for others than these.
        buffer.truncate(start);
        const changed = 'left as it is until the write completes';
        const error = new InvalidArgumentError('key or value', changed, write.operations);
        if (conditions === undefined) write.fail(error);
        else conditions.refuse(write, error);
        continue;
      }
      bounds.push(buffer.length);
      const firstSequence = sequence + 1;
      sequence += write.operations.length;
      write.sequence = sequence;
      conditions?.written(write, firstSequence);
      if (write.durability === 'synced') isSynced = true;
    }
    if (conditions?.isSyncWanted === true) isSynced = true;
    const timeMs = this.#parts.clock.date().getTime();
    this.#encoded = {
      bytes: buffer.bytes,
      bounds,
      firstSequence: firstOfGroup,
      lastSequence: sequence,
      isSynced,
      timeMs,
    };
    return this.#encoded;
  }
}

function encodedBytes(group: Group): number {
  let bytes = 0;
  for (const write of group.writes) bytes += write.encodedBytes;
  return bytes;
}

function operationCount(group: Group): number {
  let count = 0;
  for (const { operations } of group.writes) count += operations.length;
  return count;
}
