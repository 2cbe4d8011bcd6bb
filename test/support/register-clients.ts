/** Clients that use a store's keys as registers, each call noted with its begin and end: what a checker needs to know. */
import {
  ConflictError,
  EngineError,
  IoError,
  NoSpaceError,
  type OpenOptions,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import type { Call, RegisterCall } from './linearizability.ts';
import { FOREVER, SimulatedTime } from './simulated-time.ts';
import { SimulatedMachine, SimulatedProcess } from './simulated-process.ts';
import { bytesOf, textOf } from './sorted-model.ts';

export const REGISTERS = ['a', 'ab', 'b', 'c', 'd'] as const;
const PATIENCE_MS = 300_000;

export interface OpenCall {
  readonly key: string;
  readonly call: RegisterCall;
  readonly begin: number;
}

/** Calls by key; the order of begins and ends is that in which they happened. */
export class CallHistory {
  readonly calls: Map<string, Call[]>;
  readonly #running = new Set<OpenCall>();
  #tick = 0;
  count = 0;
  unknown = 0;

  constructor(keys: readonly string[] = REGISTERS) {
    this.calls = new Map(keys.map((key) => [key, []]));
  }

  begin(key: string, call: RegisterCall): OpenCall {
    const open = { key, call, begin: (this.#tick += 1) };
    this.#running.add(open);
    return open;
  }

  /** @param answer - what is known only at the end: what was read, whether it was swapped */
  end(open: OpenCall, answer: RegisterCall = open.call): void {
    this.#add(open, answer, (this.#tick += 1), false);
  }

  /** It failed: it may happen yet. A read that failed tells nothing. */
  fail(open: OpenCall): void {
    this.#add(open, open.call, Infinity, true);
  }

  /** It never happened. */
  withdraw(open: OpenCall): void {
    this.#running.delete(open);
  }

  /** The process is dead: what runs has happened by now, or will never. */
  crash(): void {
    const end = (this.#tick += 1);
    for (const open of [...this.#running]) this.#add(open, open.call, end, true);
  }

  #add(open: OpenCall, call: RegisterCall, end: number, isUnknown: boolean): void {
    if (!this.#running.delete(open)) return;
    if (isUnknown && call.do === 'read') return;
    this.count += 1;
    if (isUnknown) this.unknown += 1;
    this.calls.get(open.key)?.push({ call, begin: open.begin, end, isUnknown });
  }
}

const textOrNothing = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : textOf(bytes);

/** One client: one call after the other, of its own or another's values, until its process dies. */
export class RegisterClient {
  readonly #store: Store;
  readonly #history: CallHistory;
  readonly #random: () => number;
  readonly #name: string;
  readonly #wrongs: string[];
  #count = 0;

  constructor(store: Store, history: CallHistory, random: () => number, name: string, wrongs: string[]) {
    this.#store = store;
    this.#history = history;
    this.#random = random;
    this.#name = name;
    this.#wrongs = wrongs;
  }

  async step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.3) return this.#write([this.#key()]);
    if (choice < 0.42) return this.#write([...new Set([this.#key(), this.#key(), this.#key()])]);
    if (choice < 0.58) return this.#swap(this.#key());
    if (choice < 0.9) return this.#read(this.#key());
    return this.#readAll();
  }

  #key(): string {
    return REGISTERS[Math.floor(this.#random() * REGISTERS.length)] ?? 'a';
  }

  #newValue(): string {
    this.#count += 1;
    return `${this.#name}.${this.#count}${'-'.repeat(this.#random() < 0.2 ? 300 : 0)}`;
  }

  async #write(keys: readonly string[]): Promise<void> {
    const isDelete = this.#random() < 0.2;
    const values = keys.map(() => (isDelete ? undefined : this.#newValue()));
    const operations = keys.map((key, index): WriteOperation => {
      const value = values[index];
      return value === undefined
        ? { type: 'delete', key: bytesOf(key) }
        : { type: 'set', key: bytesOf(key), value: bytesOf(value) };
    });
    const open = keys.map((key, index) => this.#history.begin(key, { do: 'write', value: values[index] }));
    try {
      await this.#store.write(operations);
      for (const one of open) this.#history.end(one);
    } catch (error) {
      for (const one of open) this.#failed(one, error);
    }
  }

  async #read(key: string): Promise<void> {
    const open = this.#history.begin(key, { do: 'read', value: undefined });
    try {
      const value = textOrNothing(await this.#store.get(bytesOf(key)));
      this.#history.end(open, { do: 'read', value });
    } catch (error) {
      this.#judge(error);
      this.#history.withdraw(open);
    }
  }

  async #readAll(): Promise<void> {
    const open = REGISTERS.map((key) => this.#history.begin(key, { do: 'read', value: undefined }));
    try {
      const found = new Map<string, string>();
      for await (const { key, value } of this.#store.scan()) found.set(textOf(key), textOf(value));
      for (const one of open) this.#history.end(one, { do: 'read', value: found.get(one.key) });
    } catch (error) {
      this.#judge(error);
      for (const one of open) this.#history.withdraw(one);
    }
  }

  /** Reads, then writes on the condition that nothing has come between. Values are used once, so a value tells its write. */
  async #swap(key: string): Promise<void> {
    const reading = this.#history.begin(key, { do: 'read', value: undefined });
    let swapping: OpenCall | undefined;
    try {
      const entry = await this.#store.entry(bytesOf(key));
      const expected = textOrNothing(entry?.value);
      this.#history.end(reading, { do: 'read', value: expected });
      if (entry === undefined) return; // 'absent' does not tell which absence
      const value = this.#newValue();
      swapping = this.#history.begin(key, { do: 'swap', expected, value, isDone: true });
      try {
        await this.#store.write([
          { type: 'check', key: bytesOf(key), sequence: entry.sequence },
          { type: 'set', key: bytesOf(key), value: bytesOf(value) },
        ]);
        this.#history.end(swapping);
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        this.#history.end(swapping, { do: 'swap', expected, value, isDone: false });
      }
    } catch (error) {
      this.#history.withdraw(reading);
      if (swapping === undefined) this.#judge(error);
      else this.#failed(swapping, error);
    }
  }

  /** The error says whether the write may still turn up. */
  #failed(write: OpenCall, error: unknown): void {
    this.#judge(error);
    const isUnknown = error instanceof NoSpaceError || (error instanceof IoError && error.outcome === 'unknown');
    if (isUnknown) this.#history.fail(write);
    else this.#history.withdraw(write);
  }

  #judge(error: unknown): void {
    const isAllowed = error instanceof EngineError && ['IO', 'NO_SPACE', 'READ_ONLY', 'CLOSED'].includes(error.code);
    if (!isAllowed) this.#wrongs.push(String(error));
  }
}

/** The history of six clients in simulated time, through crashes and faults, of about so many calls. */
export async function crashingHistory(seed: number, calls: number, options: OpenOptions): Promise<CallHistory> {
  const time = new SimulatedTime(seed);
  const machine = new SimulatedMachine(time);
  const history = new CallHistory();
  const wrongs: string[] = [];
  const isPower = time.random() < 0.5;
  const durability = isPower || time.random() < 0.5 ? 'synced' : 'buffered';
  for (let life = 0; history.count < calls; life += 1) {
    machine.faultRate = time.random() < 0.25 ? 0.02 : 0;
    const process = new SimulatedProcess(machine);
    const live = async (): Promise<void> => {
      let store: Store | undefined;
      while (store === undefined) {
        try {
          store = await process.open({ ...options, durability });
        } catch (error) {
          if (machine.faults === 0) throw error;
          machine.faultRate = 0;
          await process.sleep(1000);
        }
      }
      const opened = store;
      const clients = Array.from({ length: 6 }, async (_, index) => {
        const client = new RegisterClient(opened, history, time.random, `${life}.${index}`, wrongs);
        for (;;) {
          await client.step();
          await process.sleep(time.between(0, 2));
        }
      });
      const tend = async (): Promise<void> => {
        for (;;) {
          await process.sleep(time.between(0, 60));
          await (time.random() < 0.5 ? opened.flush() : opened.compact()).then(undefined, () => undefined);
        }
      };
      await Promise.all([...clients, tend()]);
    };
    const failures: unknown[] = [];
    const living = live().catch((error: unknown) => void failures.push(error));
    const end = time.sleep(FOREVER, time.between(5, 200));
    await time.until('a life', Promise.race([living, end]), PATIENCE_MS);
    for (const cause of failures) throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
    const modes = ['synced', 'zeros', 'prefix', 'sectors'] as const;
    machine.crash(process, isPower ? (modes[time.below(modes.length)] ?? 'synced') : 'all');
    history.crash();
  }
  if (wrongs.length > 0) throw new Error(`seed ${seed}: ${wrongs[0]}`);
  return history;
}
