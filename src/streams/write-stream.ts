/**
 * The life of a write, in one pipe:
 *
 *   store.set ──> groupCommit ──> paceByDebt ──> flushAtThreshold ──> walAppend ──> memtableInsert ──> publish ──> ack
 *                 the only queue  waits while    makes room: new log  gives the     then readers      the change
 *                 before the log  compaction     and new memtable     sequence      see it            streams
 *                                 is behind                           numbers
 *
 * One group is under way at a time; while it syncs, the next one gathers. So acknowledgements, sequence numbers and
 * changes have one and the same order without any of the stages having to care, and one sync serves all who wait.
 *
 * A failure is answered to the writes of its group, and the pipe lives on. What the engine does after a failed log is in
 * `log-keeper.ts`.
 */
import { type Observable, type Subject, tap } from 'rxjs';
import { InvalidArgumentError, ReadOnlyError } from '../errors.ts';
import type { Durability } from '../model.ts';
import { flushAtThreshold } from '../operators/flush-at-threshold.ts';
import { groupCommit } from '../operators/group-commit.ts';
import { memtableInsert } from '../operators/memtable-insert.ts';
import { paceByDebt } from '../operators/pace-by-debt.ts';
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

/** A group that is in the log and in the memtable. Its bytes are valid only while it is being published. */
export interface CommittedGroup {
  /** The batches as they are in the log: one between each two neighbours of `bounds`. */
  readonly encoded: EncodedGroup;
  readonly durability: Durability;
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
    paceByDebt<Group>(stall),
    flushAtThreshold<Group>(stages, { fail }),
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

function take(group: Group): void {
  for (const write of group.writes) write.state = 'taken';
}

/** The ports of the operators: what each stage does to log and memtable. */
class WriteStages {
  readonly #parts: WritePipelineParts;
  readonly #buffer = new BatchBuffer();
  readonly #reader = new BatchReader();
  #encoded: EncodedGroup = { bytes: new Uint8Array(0), bounds: [0], lastSequence: 0, isSynced: false };

  constructor(parts: WritePipelineParts) {
    this.#parts = parts;
  }

  hasRoomFor(group: Group): boolean {
    const { tree, health } = this.#parts;
    if (group.writes.some((write) => write.isBarrier) && (health.isLogBroken || tree.active.entryCount > 0))
      return false;
    // A write may have become impossible while it waited: `append` refuses it, and it needs no room.
    return health.isLogBroken || tree.active.hasRoomFor(operationCount(group), group.bytes);
  }

  rotate(group: Group, done: Done): void {
    const capacityBytes = Memtable.capacityFor(operationCount(group), group.bytes);
    this.#parts.keeper.rotate(capacityBytes).then(() => done(undefined), done);
  }

  append(group: Group, done: Done): void {
    const { log, health, stall, tree, counters, keeper } = this.#parts;
    const encoded = this.#encode(group);
    if (encoded.bounds.length === 1) return done(undefined); // nothing but barriers
    if (encoded.lastSequence > Number.MAX_SAFE_INTEGER) {
      return done(new ReadOnlyError('its sequence numbers are used up. Export it into a new database.'));
    }
    const refusal = health.refusalOfWrite(stall.isFull ? 'compaction' : undefined);
    if (refusal instanceof ReadOnlyError) return done(refusal); // a closing store still serves what it has accepted
    stall.admitted(group.bytes);
    // A number that was given out is never given out again, whatever becomes of the group.
    tree.versions.lastSequence = encoded.lastSequence;
    counters.groups += 1;
    counters.writes += group.writes.length;
    counters.userBytes += group.bytes;
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
    const { committed$ } = this.#parts;
    if (!committed$.observed || this.#encoded.bounds.length === 1) return;
    committed$.next({ encoded: this.#encoded, durability: this.#encoded.isSynced ? 'synced' : 'buffered' });
  }

  acknowledge(group: Group): void {
    const durability = this.#encoded.isSynced ? 'synced' : 'buffered';
    for (const write of group.writes) write.acknowledge(durability);
    if (this.#parts.log.isDirty) this.#parts.keeper.syncSoon();
    group.release();
  }

  fail(group: Group, error: unknown): void {
    for (const write of group.writes) write.fail(error);
    group.release();
  }

  /** Every batch with its sequence numbers, one after the other in one buffer that serves group after group. */
  #encode(group: Group): EncodedGroup {
    const buffer = this.#buffer;
    buffer.reset();
    const bounds: number[] = [0];
    let sequence = this.#parts.tree.versions.lastSequence;
    let isSynced = false;
    for (const write of group.writes) {
      if (write.isBarrier) continue;
      const start = buffer.append(sequence + 1, write.operations);
      if (buffer.length - start !== write.bytes) {
        // Its bytes were changed under us (a transferred or resized buffer): room was made for others than these.
        buffer.truncate(start);
        write.fail(
          new InvalidArgumentError('key or value', 'left as it is until the write completes', write.operations),
        );
        continue;
      }
      bounds.push(buffer.length);
      sequence += write.operations.length;
      write.sequence = sequence;
      if (write.durability === 'synced') isSynced = true;
    }
    this.#encoded = { bytes: buffer.bytes, bounds, lastSequence: sequence, isSynced };
    return this.#encoded;
  }
}

function operationCount(group: Group): number {
  let count = 0;
  for (const { operations } of group.writes) count += operations.length;
  return count;
}
