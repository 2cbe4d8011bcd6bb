/** A process in simulated time, and the machine under it: its disk takes its time, fails now and then, and loses its power. */
import type { CrashMode } from '../../src/storage/file-system/memory-crash.ts';
import { Fault, type FileOperation } from '../../src/storage/file-system/memory-faults.ts';
import { type Clock, MemoryFileSystem, open, type OpenOptions, type Store } from '../../src/index.ts';
import { DelayedFileSystem } from './delayed-file-system.ts';
import type { Mortal, SimulatedTime } from './simulated-time.ts';

export const DIRECTORY = '/db';
/** What a power cut may bring back of files that were removed. */
const REMOVED_BYTES_KEPT_MAX = 1_048_576;

const CODES = ['EIO', 'ENOSPC', 'EMFILE', 'EACCES'] as const;
/** Calls that no disk and no quota makes fail. */
const SAFE_CALLS: ReadonlySet<string> = new Set(['close', 'realPath']);

/** Calls whose answers take their time, too: what looks only may as well have happened later. */
const CHANGING = /^answer (create|append|sync|rename|link|remove|makeDirectory)/;

export class SimulatedMachine {
  readonly time: SimulatedTime;
  memory: MemoryFileSystem;
  /** Of the calls to the file system, how many fail: 0 to 1. */
  faultRate = 0;
  faults = 0;
  fileCalls = 0;

  constructor(time: SimulatedTime) {
    this.time = time;
    this.memory = new MemoryFileSystem({ onOperation: this.#onOperation, removedBytesKeptMax: REMOVED_BYTES_KEPT_MAX });
  }

  readonly #onOperation = ({ name, path, bytes }: FileOperation): Error | undefined => {
    this.fileCalls += 1;
    this.time.note(`${name} ${path} ${bytes}`);
    if (this.faultRate === 0 || SAFE_CALLS.has(name) || this.time.random() >= this.faultRate) return undefined;
    this.faults += 1;
    const code = CODES[this.time.below(CODES.length)] ?? 'EIO';
    this.time.note(code);
    return new Fault(code, name === 'append' ? this.time.below(bytes + 1) : 0);
  };

  /** The process is dead at this moment; the next one finds what the disk has kept. */
  crash(process: SimulatedProcess, mode: CrashMode): void {
    process.isDead = true;
    this.memory = this.memory.crashImage(mode, this.time.random, { onOperation: this.#onOperation });
    this.time.note(`crash ${mode}`);
  }
}

export class SimulatedProcess implements Mortal {
  isDead = false;
  readonly machine: SimulatedMachine;
  readonly clock: Clock;
  readonly fileSystem: DelayedFileSystem;

  constructor(machine: SimulatedMachine) {
    this.machine = machine;
    const { time } = machine;
    this.clock = time.clockOf(this);
    // A call takes effect some time after it was made, and is answered some time after that: in between lies a crash, or
    // another call that was made later.
    const turn = (call: string): Promise<void> =>
      new Promise((resolve) => void time.schedule(this, call, this.#latencyMs(), resolve));
    const answerTurn = (call: string): Promise<void> | undefined => (CHANGING.test(call) ? turn(call) : undefined);
    this.fileSystem = new DelayedFileSystem(machine.memory, turn, answerTurn);
  }

  open(options: OpenOptions): Promise<Store> {
    return open(DIRECTORY, { ...options, fileSystem: this.fileSystem, clock: this.clock }).then();
  }

  sleep(ms: number): Promise<void> {
    return this.machine.time.sleep(this, ms);
  }

  /** Mostly short; one in fifty is a disk that thinks. */
  #latencyMs(): number {
    const { time } = this.machine;
    return time.random() < 0.02 ? time.between(5, 200) : time.between(0.01, 0.5);
  }
}
