/**
 * The life of one database in simulated time: writers, readers, followers and a consumer at work, on a disk that takes its
 * time and fails now and then; processes that close, are killed or lose their power, and come back.
 *
 * What must hold is checked at each opening, and at the end, when the faults are over: every durable write is there, in
 * order, whole (I1 to I3); history has each change once (I4); the consumer's effects are there exactly once (I5); the
 * files are those that the MANIFEST names (I6).
 */
import { NEVER, type ObservableInput } from 'rxjs';
import type { CrashMode } from '../../src/storage/file-system/memory-crash.ts';
import {
  type Change,
  EngineError,
  type OpenOptions,
  type Snapshot,
  type Store,
  type Transaction,
  verify,
} from '../../src/index.ts';
import { changesUpTo, historyViolation } from './change-log.ts';
import { contentOf } from './crash-workload.ts';
import { strayFiles } from './file-census.ts';
import { DIRECTORY, SimulatedMachine, SimulatedProcess } from './simulated-process.ts';
import { FOREVER, SimulatedTime } from './simulated-time.ts';
import { bytesOf, type TextEntry, textOf } from './sorted-model.ts';
import { isRecovered, TrackedWrites, violation, type WriteState } from './tracked-writes.ts';

export const VIRTUAL_MS = 600_000;
/** Longer than any back-off of the engine: what takes longer hangs. */
const PATIENCE_MS = 300_000;
/** What transient faults may be answered with. Anything else, `CORRUPTION` above all, is a lie. */
const ALLOWED: ReadonlySet<string> = new Set(['IO', 'NO_SPACE', 'READ_ONLY', 'CLOSED']);
const MODES: readonly CrashMode[] = ['all', 'all', 'synced', 'zeros', 'prefix', 'sectors', 'stale', 'stale'];
const MARKERS = 'w/';
/** What the consumer writes: out of its own range. */
const OUTPUTS = 'x/';
const SUM = 'x~sum';
const LAST_KEY = '~ last';

export interface SimulationFigures {
  readonly hash: string;
  readonly virtualMs: number;
  readonly events: number;
  readonly fileCalls: number;
  readonly faults: number;
  readonly crashes: number;
  readonly openings: number;
  readonly writes: number;
  readonly acknowledged: number;
  readonly handled: number;
  readonly parked: number;
}

/** Runs the seed; throws at the first thing that is not as promised. */
export const simulate = (seed: number, virtualMs: number = VIRTUAL_MS): Promise<SimulationFigures> =>
  new Simulation(seed, virtualMs).run();

class Simulation {
  readonly #seed: number;
  readonly #virtualMs: number;
  readonly #time: SimulatedTime;
  readonly #machine: SimulatedMachine;
  readonly #options: OpenOptions;
  readonly #tracked: TrackedWrites;
  readonly #failures: string[] = [];
  /** Sequence and key of what a follower was given, over all lives. */
  readonly #followed: [number, string][] = [];
  readonly #handled = new Set<string>();
  #crashes = 0;
  #openings = 0;
  #issued = 0;
  #acknowledged = 0;
  #isCalm = false;

  constructor(seed: number, virtualMs: number) {
    this.#seed = seed;
    this.#virtualMs = virtualMs;
    this.#time = new SimulatedTime(seed);
    this.#machine = new SimulatedMachine(this.#time);
    this.#options = this.#drawOptions();
    this.#tracked = new TrackedWrites(this.#time.random);
  }

  async run(): Promise<SimulationFigures> {
    try {
      while (this.#time.nowMs < this.#virtualMs) await this.#life();
      const parked = await this.#end();
      if (this.#failures.length > 0) throw new Error(this.#failures.slice(0, 3).join('; '));
      return this.#figures(parked);
    } catch (error) {
      const at = `ALLUVIUM_SEED=${this.#seed}, after ${Math.round(this.#time.nowMs)} ms`;
      throw new Error(`${at}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  #figures(parked: number): SimulationFigures {
    const time = this.#time;
    return {
      hash: time.traceHash(),
      virtualMs: Math.round(time.nowMs),
      events: time.events,
      fileCalls: this.#machine.fileCalls,
      faults: this.#machine.faults,
      crashes: this.#crashes,
      openings: this.#openings,
      writes: this.#issued,
      acknowledged: this.#acknowledged,
      handled: this.#handled.size,
      parked,
    };
  }

  #drawOptions(): OpenOptions {
    const pick = <T>(...choices: readonly T[]): T => choices[this.#time.below(choices.length)] as T;
    return {
      memtableBytesMax: pick(2048, 16_384, 65_536),
      waitingMemtablesMax: pick(1, 2),
      level0CompactionTrigger: pick(1, 2, 4),
      level0SlowdownTrigger: pick(2, 8),
      level0StopTrigger: pick(4, 20),
      level1BytesMax: pick(8192, 65_536),
      tableBytesMax: pick(4096, 32_768),
      blockBytesMax: pick(256, 4096),
      blockCacheBytesMax: pick(0, 4096, 1_000_000),
      manifestBytesMax: pick(1024, 65_536),
      groupBytesMax: pick(1, 500, 100_000),
      syncIntervalMs: pick(1, 100, 5000),
      openTablesMax: pick(8, 100),
      compression: pick('none', 'snappy'),
      durability: pick('synced', 'buffered'),
    };
  }

  /** One process, from its opening to its end. */
  async #life(): Promise<void> {
    const time = this.#time;
    const machine = this.#machine;
    const process = new SimulatedProcess(machine);
    machine.faultRate = time.random() < 0.3 ? time.between(0.001, 0.05) : 0;
    const isShort = time.random() < 0.2; // it dies while it opens
    const lifeMs = isShort ? time.between(0, 5) : time.between(500, 60_000);
    let store: Store | undefined;
    const living = this.#live(process, (opened) => (store = opened));
    living.catch((error: unknown) => this.#failures.push(String(error)));
    await time.until('a life', Promise.race([living, time.sleep(FOREVER, lifeMs)]), PATIENCE_MS);
    if (this.#failures.length > 0) throw new Error(this.#failures[0]);
    const states = this.#tracked.states();
    const durableSequence = store?.stats().durableSequence ?? 0;
    if (store !== undefined && time.random() < 0.3) return this.#close(process, store);
    const mode = MODES[time.below(MODES.length)] ?? 'all';
    machine.crash(process, mode);
    this.#crashes += 1;
    await this.#reckon(states, mode === 'all', durableSequence);
  }

  /** Opens, tries again if the disk fails, and lets the actors work for as long as the process lives. */
  async #live(process: SimulatedProcess, onOpen: (store: Store) => void): Promise<void> {
    for (;;) {
      const store = await this.#attempt('open', () => process.open(this.#options));
      if (store === undefined) {
        await process.sleep(1000);
        this.#machine.faultRate /= 2;
        continue;
      }
      this.#openings += 1;
      for (const write of this.#tracked.writes) write.state = 'synced'; // what was recovered is durable before it opens
      onOpen(store);
      await Promise.all([
        this.#write(process, store),
        this.#write(process, store),
        this.#read(process, store),
        this.#follow(process, store),
        this.#consume(process, store),
        this.#tend(process, store),
      ]);
    }
  }

  /** What only a fault may have made fail: anything else is a failure of the run. */
  async #attempt<T>(what: string, work: () => PromiseLike<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#judge(what, error);
      return undefined;
    }
  }

  #judge(what: string, error: unknown): void {
    const code = error instanceof EngineError ? error.code : 'no engine error';
    this.#time.note(`${what} failed: ${code}`);
    if (!ALLOWED.has(code)) this.#failures.push(`${what}: ${String(error)}`);
    else if (this.#machine.faults === 0 && code !== 'CLOSED')
      this.#failures.push(`${what} without a fault: ${String(error)}`);
  }

  async #write(process: SimulatedProcess, store: Store): Promise<void> {
    const time = this.#time;
    for (;;) {
      const burst = 1 + time.below(5);
      const answers = Array.from({ length: burst }, async () => {
        this.#issued += 1;
        const write = await this.#tracked.issue(store, time.random() < 0.5 ? 'synced' : 'buffered');
        time.note(`write ${write.index} ${write.state} ${write.sequence}`);
        if (write.state === 'failed') this.#judge('write', write.failure);
        else this.#acknowledged += 1;
      });
      await Promise.all(answers);
      await process.sleep(time.random() < 0.6 ? time.between(0, 500) : time.between(0, 70_000));
    }
  }

  /** A snapshot, looked at twice, sees the same. */
  async #read(process: SimulatedProcess, store: Store): Promise<void> {
    const time = this.#time;
    for (;;) {
      const snapshot = await this.#attempt('snapshot', () => Promise.resolve(store.snapshot()));
      const first = snapshot && (await this.#attempt('scan', () => entriesOf(snapshot)));
      await process.sleep(time.between(0, 40_000));
      const second = snapshot && (await this.#attempt('scan', () => entriesOf(snapshot)));
      snapshot?.close();
      if (first === undefined || second === undefined) continue;
      if (first !== second)
        this.#failures.push(`a snapshot changed from ${first.slice(0, 200)} to ${second.slice(0, 200)}`);
    }
  }

  /** Goes on from the last durable change that it was given in the life before. */
  async #follow(process: SimulatedProcess, store: Store): Promise<void> {
    for (;;) {
      try {
        const from = this.#followed.at(-1)?.[0];
        const changes = store.changes({ from: from === undefined ? 'start' : from + 1, durability: 'synced' });
        for await (const change of changes) this.#followed.push([change.sequence, textOf(change.key)]);
        return await process.sleep(PATIENCE_MS * 10); // the store closes
      } catch (error) {
        this.#judge('changes', error);
      }
      await process.sleep(1000);
    }
  }

  /** Runs, dies and comes back. */
  async #consume(process: SimulatedProcess, store: Store): Promise<void> {
    const time = this.#time;
    for (;;) {
      let end = (): void => undefined;
      const ended = new Promise<void>((resolve) => (end = resolve));
      const fail = (error: unknown): void => {
        this.#judge('consumer', error);
        end();
      };
      try {
        const consumer = store.consumer('c', {
          gte: MARKERS,
          lt: OUTPUTS,
          attemptsMax: 4,
          ackWaitMs: 2000,
          backOff: { firstMs: 10, longestMs: 5000 },
          handle: (change, tx) => this.#handle(process, change, tx),
        });
        const running = consumer.run().subscribe({
          next: (event) => {
            if (event.type === 'fault') this.#judge('consumer', event.error);
          },
          error: fail,
          complete: () => end(),
        });
        await Promise.race([ended, process.sleep(time.between(100, 60_000))]);
        running.unsubscribe();
      } catch (error) {
        fail(error);
      }
      await process.sleep(time.between(10, 3000));
    }
  }

  #handle(process: SimulatedProcess, change: Change, tx: Transaction): ObservableInput<unknown> | undefined {
    const time = this.#time;
    const name = textOf(change.key).slice(MARKERS.length);
    this.#handled.add(name);
    const fate = this.#isCalm ? 1 : time.random();
    if (fate < 0.04 || Number(name) % 20 === 7) throw new Error('thrown');
    if (fate < 0.06) return NEVER;
    const work = async (): Promise<void> => {
      if (fate < 0.5) await process.sleep(time.between(0, 300));
      const sum = Number(textOf((await tx.get(SUM)) ?? '0'));
      tx.set(`${OUTPUTS}${name}`, '');
      tx.set(SUM, String(sum + 1));
    };
    return work();
  }

  async #tend(process: SimulatedProcess, store: Store): Promise<void> {
    for (;;) {
      await process.sleep(this.#time.between(0, 60_000));
      const isFlush = this.#time.random() < 0.5;
      await this.#attempt(isFlush ? 'flush' : 'compact', () => (isFlush ? store.flush() : store.compact()));
    }
  }

  /** Closes with everything under way; then the power may go. */
  async #close(process: SimulatedProcess, store: Store): Promise<void> {
    const issued = this.#tracked.writes.length;
    const isClosed = await this.#time.until('the close', this.#closing(store), PATIENCE_MS);
    if (this.#failures.length > 0) throw new Error(this.#failures[0]);
    if (isClosed) this.#tracked.madeDurable(issued);
    const mode = isClosed ? (MODES[this.#time.below(MODES.length)] ?? 'all') : 'all';
    this.#machine.crash(process, mode);
    await this.#reckon(this.#tracked.states(), mode === 'all', 0);
  }

  async #closing(store: Store): Promise<boolean> {
    try {
      await store.close();
      return true;
    } catch (error) {
      this.#judge('close', error);
      return false;
    }
  }

  /** Opens a copy of what the crash has left, and compares; from then on that is what there is. */
  async #reckon(states: readonly WriteState[], isKill: boolean, durableSequence: number): Promise<void> {
    const { memory } = this.#machine;
    const copy = new SimulatedMachine(this.#time);
    copy.memory = memory.crashImage('all', () => 0.5);
    const process = new SimulatedProcess(copy);
    const work = async (): Promise<readonly TextEntry[]> => {
      const store = await process.open(this.#options);
      const stray = await strayFiles(copy.memory, DIRECTORY);
      if (stray !== undefined) throw new Error(stray);
      const entries = await contentOf(store);
      await store.close();
      return entries;
    };
    const entries = await this.#time.until('the opening of the copy', work(), PATIENCE_MS);
    process.isDead = true;
    const { writes } = this.#tracked;
    const broken = violation(writes, { states, isKill, durableSequence }, writesOf(entries));
    if (broken !== undefined) throw new Error(broken);
    const keys = new Set(entries.map(([key]) => key));
    const recovered = writes.filter(({ index }) => isRecovered(index, keys));
    // What was recovered once is there for whoever comes next; until an opening is done, not for who loses his power, too.
    for (const write of recovered) if (states[writes.indexOf(write)] !== 'synced') write.state = 'buffered';
    writes.splice(0, writes.length, ...recovered);
  }

  /** The faults are over: everything comes to its end, and all that there is is looked at. @returns dead letters */
  async #end(): Promise<number> {
    this.#isCalm = true;
    this.#machine.faultRate = 0;
    const process = new SimulatedProcess(this.#machine);
    const parked = await this.#time.until('the end', this.#settle(process), PATIENCE_MS);
    const report = await this.#time.until(
      'verify',
      verify(DIRECTORY, { fileSystem: process.fileSystem, clock: process.clock }).then((found) => found),
      PATIENCE_MS,
    );
    // Its warnings are of what serves only to find things faster.
    const finding = report.findings.find(({ severity }) => severity === 'error');
    if (finding !== undefined) throw new Error(`verify: ${JSON.stringify(finding)}`);
    return parked;
  }

  async #settle(process: SimulatedProcess): Promise<number> {
    const store = await process.open(this.#options);
    const consumer = store.consumer('c', {
      gte: MARKERS,
      lt: OUTPUTS,
      attemptsMax: 4,
      handle: (change, tx) => this.#handle(process, change, tx),
    });
    const running = consumer.run().subscribe({ error: (error: unknown) => this.#failures.push(String(error)) });
    while ((await consumer.lag()).changes > 0) {
      if (this.#failures.length > 0) throw new Error(this.#failures[0]);
      await process.sleep(100);
    }
    running.unsubscribe();
    // After what the consumer still had to do: history is looked at up to here.
    const { sequence } = await store.set(LAST_KEY, 'x', { durability: 'synced' });
    const letters: string[] = [];
    for await (const { change } of consumer.deadLetters()) letters.push(textOf(change.key).slice(MARKERS.length));
    const entries = await contentOf(store);
    const changes = await changesUpTo(store, 'start', sequence);
    await store.close();
    this.#checkConsumer(entries, letters, changes);
    this.#checkHistory(entries, changes);
    return letters.length;
  }

  #checkConsumer(entries: readonly TextEntry[], letters: readonly string[], changes: readonly Change[]): void {
    const names = (prefix: string): string[] =>
      entries.filter(([key]) => key.startsWith(prefix)).map(([key]) => key.slice(prefix.length));
    const events = names(MARKERS);
    const outputs = names(OUTPUTS);
    const settled = [...outputs, ...letters].sort();
    if (settled.join() !== events.join()) {
      const [wrong] = [
        ...events.filter((name) => !settled.includes(name)),
        ...settled.filter((name) => !events.includes(name)),
      ];
      throw new Error(
        `${events.length} events, ${outputs.length} effects and ${letters.length} dead letters; see ${wrong}`,
      );
    }
    for (const name of events) if (!this.#handled.has(name)) throw new Error(`event ${name} was never handled`);
    const sum = entries.find(([key]) => key === SUM)?.[1] ?? '0';
    if (sum !== String(outputs.length)) throw new Error(`the sum is ${sum}, of ${outputs.length} effects`);
    const times = changes.filter(({ key }) => textOf(key).startsWith(OUTPUTS)).length;
    if (times !== outputs.length) throw new Error(`${times} effects in history, ${outputs.length} in the store`);
  }

  #checkHistory(entries: readonly TextEntry[], changes: readonly Change[]): void {
    const isOfWrites = ({ key }: Change): boolean => isOwn(textOf(key));
    const broken = historyViolation(this.#tracked.writes, entries, changes.filter(isOfWrites));
    if (broken !== undefined) throw new Error(`history: ${broken}`);
    const last = this.#followed.at(-1)?.[0] ?? 0;
    const given = this.#followed.map(([sequence, key]) => `${sequence} ${key}`);
    const kept = changes
      .filter(({ sequence }) => sequence <= last)
      .map(({ sequence, key }) => `${sequence} ${textOf(key)}`);
    const at = kept.findIndex((one, index) => one !== given[index]);
    if (at >= 0 || given.length !== kept.length) {
      throw new Error(
        `the follower was given ${given[at]} as its change ${at} of ${given.length}, history has ${kept[at]}`,
      );
    }
  }
}

const isOwn = (key: string): boolean => !key.startsWith(OUTPUTS) && key !== SUM && key !== LAST_KEY;
const writesOf = (entries: readonly TextEntry[]): TextEntry[] => entries.filter(([key]) => isOwn(key));

async function entriesOf(snapshot: Snapshot): Promise<string> {
  let text = '';
  for await (const page of snapshot.scan().pages()) {
    for (const { key, value } of page)
      text += `${textOf(key)}=${Buffer.from(bytesOf(textOf(value))).toString('base64')};`;
  }
  return text;
}
