/** An engine in a process of its own, ours or real LevelDB, that can be killed; the other side is test/contract/children. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Reading, Step } from './history.ts';

export type EngineKind = 'alluvium' | 'leveldb';

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly failure?: string;
}

type Message = Answer | { readonly acknowledged: number };

const CHILDREN = join(import.meta.dirname, '..', 'contract', 'children');

export class EngineProcess {
  readonly kind: EngineKind;
  /** Index of the last step that was acknowledged in the present run; -1: none. */
  acknowledged = -1;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #onAcknowledged: () => void = () => undefined;
  #calls = 0;
  #stderr = '';

  constructor(kind: EngineKind) {
    this.kind = kind;
    this.#child = fork(join(CHILDREN, `${kind}.mjs`), [], {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#child.on('message', (message) => this.#take(message as Message));
    const ends = ['close', 'disconnect'].map((name) => new Promise((done) => this.#child.once(name, done)));
    // What it still said is in the channel after its end; `disconnect` comes when all of it was read.
    this.#ended = Promise.all(ends).then(() => this.#failAll(`its process has ended: ${this.#stderr}`));
  }

  open(directory: string, options: object): Promise<unknown> {
    return this.#call('open', { directory, options });
  }

  close(): Promise<unknown> {
    return this.#call('close', {});
  }

  /** Ends when every step is done, and every write acknowledged. */
  run(steps: readonly Step[], inFlightMax: number): Promise<unknown> {
    this.acknowledged = -1;
    return this.#call('run', { steps, inFlightMax });
  }

  /** Begins the steps, and kills the process once step `killAfter` (or a later one) is acknowledged. */
  async runAndKill(steps: readonly Step[], inFlightMax: number, killAfter: number): Promise<void> {
    this.#onAcknowledged = () => {
      if (this.acknowledged >= killAfter) this.#child.kill('SIGKILL');
    };
    const isDone = await this.run(steps, inFlightMax).then(
      () => true,
      (error: unknown) => {
        if (this.#child.signalCode !== 'SIGKILL') throw error;
        return false;
      },
    );
    if (isDone) await this.kill(); // the signal came after the last answer
  }

  async read(probes: readonly Uint8Array[]): Promise<Reading> {
    return (await this.#call('read', { probes })) as Reading;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #call(call: string, given: object): Promise<unknown> {
    const id = this.#calls++;
    return new Promise((succeed, fail) => {
      this.#waiting.set(id, ({ result, failure }) => {
        if (failure === undefined) succeed(result);
        else fail(new Error(`${this.kind}, ${call}: ${failure}`));
      });
      this.#child.send({ id, call, given }, (error) => {
        if (error !== null) void this.#ended.then(() => this.#settle({ id, failure: error.message }));
      });
    });
  }

  #take(message: Message): void {
    if ('id' in message) return this.#settle(message);
    const { acknowledged } = message;
    // LevelDB answers writes that are in flight together in any order; this engine promises the order of the calls.
    if (acknowledged < this.acknowledged && this.kind === 'alluvium') {
      this.#failAll(`it acknowledged ${acknowledged} after ${this.acknowledged}`);
    }
    this.acknowledged = Math.max(acknowledged, this.acknowledged);
    this.#onAcknowledged();
  }

  #failAll(failure: string): void {
    for (const id of this.#waiting.keys()) this.#settle({ id, failure });
  }

  #settle(answer: Answer): void {
    const settle = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    settle?.(answer);
  }
}

/** Processes that are used again until they are killed; starting one takes longer than most of what they do. */
export class EngineProcesses {
  readonly #idle = new Map<EngineKind, EngineProcess>();

  /** Runs `work` with a process, which may be killed in it. */
  async with<T>(kind: EngineKind, work: (engine: EngineProcess) => Promise<T>): Promise<T> {
    const engine = this.#idle.get(kind) ?? new EngineProcess(kind);
    this.#idle.set(kind, engine);
    try {
      return await work(engine);
    } catch (error) {
      await this.kill(kind);
      throw error;
    }
  }

  async kill(kind: EngineKind): Promise<void> {
    const engine = this.#idle.get(kind);
    this.#idle.delete(kind);
    await engine?.kill();
  }

  /** What the engine reads in a directory, opened for it and closed. */
  readAll(kind: EngineKind, directory: string, options: object, probes: readonly Uint8Array[]): Promise<Reading> {
    return this.with(kind, async (engine) => {
      await engine.open(directory, options);
      const reading = await engine.read(probes);
      await engine.close();
      return reading;
    });
  }

  /** Runs the steps on a directory, and closes it. */
  run(
    kind: EngineKind,
    directory: string,
    options: object,
    steps: readonly Step[],
    inFlightMax: number,
  ): Promise<void> {
    return this.with(kind, async (engine) => {
      await engine.open(directory, options);
      await engine.run(steps, inFlightMax);
      await engine.close();
    });
  }

  /**
   * Runs the steps on a directory, and kills the engine once step `killAfter` is acknowledged.
   *
   * @returns the index of the last step that it had acknowledged, as far as was heard; -1: none
   */
  async runAndKill(
    kind: EngineKind,
    directory: string,
    options: object,
    steps: readonly Step[],
    inFlightMax: number,
    killAfter: number,
  ): Promise<number> {
    const acknowledged = await this.with(kind, async (engine) => {
      await engine.open(directory, options);
      await engine.runAndKill(steps, inFlightMax, killAfter);
      return engine.acknowledged;
    });
    this.#idle.delete(kind);
    return acknowledged;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#idle.keys()].map((kind) => this.kill(kind)));
  }
}
